"""The app as a process: what it loads, what it needs, what it says of itself."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from relay_dagster.server.app import create_app, serve
from relay_dagster.settings import SettingsError
from support.api_world import ApiWorld

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = {
    "ARTIFACT_BUCKET": "bucket",
    "RUNS_TABLE": "runs",
    "TENANTS_TABLE": "tenants",
    "SQS_QUEUE_URL": "http://127.0.0.1:9/jobs",
    "SQS_DLQ_URL": "http://127.0.0.1:9/dlq",
    "API_KEYS": "key",
}


def test_a_running_app_has_loaded_neither_dagster_nor_the_frames() -> None:
    program = (
        "import sys\n"
        "from fastapi.testclient import TestClient\n"
        "from relay_dagster.server.app import create_app\n"
        "assert TestClient(create_app()).get('/v1/health').status_code == 200\n"
        "from relay_core.config import load_config\n"
        "heavy = {'dagster', 'dagster_aws', 'numpy', 'pandas', 'pandera', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        env={**os.environ, **VARIABLES},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == "[]"


@pytest.mark.parametrize("name", VARIABLES)
def test_nothing_is_served_without_a_variable_that_is_needed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in VARIABLES.items():
        if variable != name:
            monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=name):
        serve("127.0.0.1", 0)


def test_nothing_is_served_without_a_region(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in VARIABLES.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(SettingsError, match=r"^AWS_REGION "):
        serve("127.0.0.1", 0)


def test_what_the_server_says_is_a_line_of_the_log_too() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        process = subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "relay_dagster.cli",
                "server",
                "api",
                "--port",
                str(port),
            ],
            cwd=ROOT,
            env={**os.environ, **VARIABLES},
            capture_output=True,
            text=True,
            check=False,
        )
    last = json.loads(process.stderr.splitlines()[-1])
    assert (last["event"], last["level"], last["logger"]) == (
        "library",
        "error",
        "uvicorn.error",
    )
    assert "address already in use" in last["message"]
    assert process.returncode != 0


def test_settings_are_read_when_an_app_is_made_and_not_before() -> None:
    with pytest.raises(SettingsError):
        create_app()


def test_the_openapi_document_names_each_answer_and_body(
    world: ApiWorld,
) -> None:
    document = world.with_key(None).get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert {"Problem", "RunRequest", "Run", "Tenant"} <= schemas.keys()
    assert "HTTPValidationError" not in str(document)
    for operations in document["paths"].values():
        for operation in operations.values():
            problem = operation["responses"]["500"]["content"]
            assert list(problem) == ["application/problem+json"]
            assert operation["summary"]


def test_every_reference_of_the_openapi_document_leads_somewhere(
    document: dict[str, Any],
) -> None:
    named = set(document["components"]["schemas"])
    references = {
        part.split("'")[0]
        for part in str(document).split("#/components/schemas/")[1:]
    }
    assert references <= named
