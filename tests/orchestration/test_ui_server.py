"""What `relay server ui` refuses to start with, and the real thing in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from relay_dagster import cli
from relay_dagster.devstack.processes import CODE, WEBSERVER, Stack

WORKSPACE = str(Path(__file__).resolve().parents[2] / "workspace.yaml")
GRAPHQL = {"query": "{ version }"}


def refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *arguments: str,
) -> str:
    """Return the one line that `relay server ui` ends with."""
    monkeypatch.setattr("sys.argv", ["relay", "server", "ui", *arguments])
    with pytest.raises(SystemExit) as system_exit:
        cli.main()
    assert system_exit.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "relay.example.com"]
)
@pytest.mark.parametrize("said", [None, "false"])
def test_it_listens_off_loopback_only_behind_a_proxy(
    host: str,
    said: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    if said is not None:
        monkeypatch.setenv("RELAY_UI_BEHIND_PROXY", said)
    line = refused(
        monkeypatch, capsys, "--host", host, "--workspace", WORKSPACE
    )
    assert line.startswith(
        f"RELAY_UI_BEHIND_PROXY must be true to listen on {host}, "
    )


def test_it_needs_an_instance(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(monkeypatch, capsys, "--workspace", WORKSPACE)
    assert line.startswith("DAGSTER_HOME is not set")


def test_it_needs_a_workspace(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "'workspace.yaml' does not exist" in refused(monkeypatch, capsys)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The code server, and the UI on all addresses as behind a proxy."""
    environment = {
        "DAGSTER_WEBSERVER_URL": "https://dagster.example.com",
        "RELAY_UI_BEHIND_PROXY": "true",
        "RELAY_UI_HOSTS": "ui.example.com,0.0.0.0",
    }
    with Stack(
        tmp_path_factory.mktemp("ui"), environment=environment, host="0.0.0.0"
    ) as new_stack:
        new_stack.start(CODE, WEBSERVER)
        yield new_stack


@pytest.mark.integration
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("ui.example.com", 200),
        ("ui.example.com:8443", 200),
        ("dagster.example.com", 200),
        ("localhost", 200),
        ("10.0.0.1", 421),
        ("evil.example", 421),
    ],
)
def test_it_answers_to_the_names_of_its_variables(
    stack: Stack, host: str, status: int
) -> None:
    url = f"http://127.0.0.1:{stack.ports[WEBSERVER]}/graphql"
    answer = httpx.post(
        url, json=GRAPHQL, headers={"Host": host}, trust_env=False
    )
    assert answer.status_code == status


@pytest.mark.integration
def test_a_head_that_does_not_end_is_refused(stack: Stack) -> None:
    headers = {"Host": "ui.example.com", "X-Filler": "a" * (1 << 20)}
    with httpx.Client(base_url=stack.url(WEBSERVER), trust_env=False) as client:
        assert (
            client.get(
                "/server_info", headers={"Host": "ui.example.com"}
            ).status_code
            == 200
        )
        try:
            status = client.get("/server_info", headers=headers).status_code
        except httpx.TransportError:
            status = 0  # closed beneath the sending
    assert status in (0, 400)
