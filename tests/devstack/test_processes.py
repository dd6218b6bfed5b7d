"""The development stack: what tests and benchmarks start beside its own processes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from relay_dagster.devstack.processes import Stack, free_port, port_answers

OWN = "own"


class WithOne(Stack):
    """A stack with a process that only its subclass knows."""

    def command(self, name: str) -> list[str]:
        port = str(self.ports[OWN])
        server_command = [
            sys.executable,
            "-m",
            "http.server",
            "--bind",
            self.host,
            port,
        ]
        return server_command if name == OWN else super().command(name)

    def readiness_check(self, name: str) -> Callable[[], bool]:
        return self.answers if name == OWN else super().readiness_check(name)

    def answers(self) -> bool:
        """Return whether its own process listens."""
        return port_answers(self.host, self.ports[OWN])


def test_a_subclass_has_a_process_of_its_own_started_and_ended(
    tmp_path: Path,
) -> None:
    with WithOne(tmp_path, ports={OWN: free_port()}) as stack:
        stack.start(OWN)
        assert stack.answers()
        assert stack.services[OWN].argv == stack.command(OWN)
    assert not stack.answers()
