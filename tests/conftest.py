"""What every folder of tests shares: a clean environment, and no way out of this machine."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

# How long an example takes is no matter of right or wrong, and machines are noisy.
settings.register_profile("relay", deadline=None)
settings.load_profile("relay")

_PREFIXES = ("AWS_", "RELAY_", "WORKER_", "DAGSTER_", "CLOUDWATCH_", "SQS_")
_NAMES = (
    "API_KEYS",
    "ARTIFACT_BUCKET",
    "AUDIT_TABLE",
    "ENVIRONMENT",
    "RETENTION_DAYS",
    "RUNS_TABLE",
    "TENANTS_TABLE",
    "UPLOADS_QUEUE_URL",
)
_MADE_UP = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "DAGSTER_DISABLE_TELEMETRY": "true",
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the caller's settings and credentials from the test."""
    for name in list(os.environ):
        if name.startswith(_PREFIXES) or name in _NAMES:
            monkeypatch.delenv(name)
    for name, value in _MADE_UP.items():
        monkeypatch.setenv(name, value)


def _is_local(address: Any) -> bool:
    if not isinstance(address, tuple):
        return True  # a path: a Unix socket
    host = str(address[0])
    if host in ("", "localhost"):
        return True
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return ip.is_loopback or ip.is_unspecified


@pytest.fixture(autouse=True, scope="session")
def no_way_out() -> Iterator[None]:
    """Refuse every connection that leaves this machine."""
    patch = pytest.MonkeyPatch()

    def guarded(name: str) -> Any:
        original = getattr(socket.socket, name)

        def connect(self: socket.socket, address: Any) -> Any:
            if not _is_local(address):
                raise RuntimeError(f"a test tried to reach {address!r}; tests stay on this machine")
            return original(self, address)

        return connect

    for name in ("connect", "connect_ex"):
        patch.setattr(socket.socket, name, guarded(name))
    yield
    patch.undo()
