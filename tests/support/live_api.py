"""The API as users start it: after `bootstrap`, in a process of its own; AWS is embedded."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay_dagster.devstack.processes import API, MOTO, Stack
from relay_dagster.settings import Settings
from relay_dagster.wiring import Platform, connect
from support.api_world import ADMIN


@dataclass(frozen=True, slots=True)
class LiveApi:
    """A running API: its address, its log, and the platform behind it."""

    url: str
    log: Path
    platform: Platform


@contextmanager
def live_api(home: Path, **variables: str) -> Iterator[LiveApi]:
    """Yield an API with empty stores; ``variables`` are set for it beside what it needs."""
    with Stack(home, environment={"API_KEYS": ADMIN, **variables}) as stack:
        stack.start(MOTO)
        stack.environment.update(_bootstrapped(stack))
        stack.start(API)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in stack.environment.items():
                patch.setenv(name, value)
            yield LiveApi(
                stack.url(API),
                stack.services[API].log,
                connect(Settings.from_env()),
            )


def _bootstrapped(stack: Stack) -> dict[str, str]:
    """Create what is missing, and return what the command says to export."""
    process = subprocess.run(
        [sys.executable, "-m", "relay_dagster.cli", "server", "bootstrap"],
        env=stack.process_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = (
        shlex.split(line)[1].partition("=")
        for line in process.stdout.splitlines()
    )
    return {name: value for name, _, value in pairs}
