"""compose.yaml: variables that the settings know, and commands that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from relay_dagster.settings import Settings
from support.deployment import DEPLOY

ROOT = DEPLOY.parent
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("setup", "api", "code", "daemon", "ui")
LOCAL, COMPOSED, PRODUCTION = (
    yaml.safe_load(path.read_text("utf-8"))
    for path in (
        ROOT / "dagster.yaml",
        DEPLOY / "dagster.compose.yaml",
        DEPLOY / "dagster.yaml",
    )
)
# boto3 reads these, and Dagster the others of its own.
OF_BOTO3 = {
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_EC2_METADATA_DISABLED",
}


def environment(service: str) -> dict[str, str]:
    """Return the variables of a service, as if the caller had set each that it asks for."""
    return {
        name: re.sub(r"\$\{\w+:\?[^}]*\}", "given", value)
        for name, value in SERVICES[service]["environment"].items()
    }


def variables_read() -> set[str]:
    """Return the variables that the settings, and the files of Dagster, read."""
    names: set[str] = set()
    for field in Settings.model_fields.values():
        alias = field.validation_alias
        names.update(
            [str(choice) for choice in getattr(alias, "choices", [alias])]
        )
    for name in ("dagster.compose.yaml", "workspace.yaml"):
        text = (DEPLOY / name).read_text("utf-8")
        names.update(re.findall(r"env: (\w+)", text))
    return names


@pytest.mark.parametrize("service", OURS)
def test_the_settings_accept_the_variables_of_each_service(
    service: str,
) -> None:
    variables = environment(service)
    settings = Settings.from_env(variables)
    assert settings.queue_url.startswith(variables["AWS_ENDPOINT_URL"])
    assert set(variables) <= variables_read() | OF_BOTO3
    files = (DEPLOY / "dagster.compose.yaml", DEPLOY / "workspace.yaml")
    names_in_code = re.findall(
        r"env: (\w+)", "".join(path.read_text("utf-8") for path in files)
    )
    assert set(names_in_code) <= set(variables)


@pytest.mark.parametrize("service", ["api", "code", "ui"])
def test_each_command_exists_with_its_options(service: str) -> None:
    command = SERVICES[service]["command"]
    process = subprocess.run(
        [Path(sys.executable).parent / command[0], *command[1:], "--help"],
        capture_output=True,
        text=True,
        env={"TERMINAL_WIDTH": "200"},
    )
    assert process.returncode == 0, process.stderr
    for option in command:
        if option.startswith("-"):
            assert option in process.stdout


def test_every_address_is_of_a_service_and_its_port() -> None:
    variables = environment("api")
    code = SERVICES["code"]["command"]
    assert variables["RELAY_CODE_HOST"] in SERVICES
    assert variables["RELAY_CODE_PORT"] == code[code.index("--port") + 1]
    assert variables["DAGSTER_POSTGRES_HOST"] in SERVICES
    assert variables["AWS_ENDPOINT_URL"] == "http://aws:5000"
    assert "5000" in (DEPLOY / "Dockerfile.emulator").read_text("utf-8")


def test_only_this_machine_reaches_what_is_published() -> None:
    published = {
        name: service["ports"]
        for name, service in SERVICES.items()
        if "ports" in service
    }
    assert set(published) == {"aws", "api", "ui"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)


def test_dagster_differs_from_one_machine_only_in_its_storage() -> None:
    assert {**LOCAL, "storage": PRODUCTION["storage"]} == COMPOSED


def test_files_that_are_named_exist() -> None:
    assert (ROOT / SERVICES["aws"]["build"]["dockerfile"]).is_file()
    for service in OURS:
        (mount,) = SERVICES[service]["volumes"]
        source, target, _ = mount.split(":")
        assert (ROOT / source).is_file()
        assert target == "/opt/relay/dagster/dagster.yaml"
