"""Dagster as the product's ports see it, in memory: attempts that wait, execute and end."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Execution:
    """One Dagster run of an attempt; ``state`` is a word of the product's `AttemptState`."""

    dagster_run_id: str
    run_id: str
    attempt: int
    tenant_id: str
    state: str = "waiting"
    beats: int = 0


@dataclass
class DagsterStandIn:
    """Holds what was asked for; a run key is taken once. ``states`` makes a word the port's own."""

    states: Any
    executions: dict[str, Execution] = field(default_factory=dict)

    def request(self, record: Any) -> None:
        if self._of(record.run_id, record.attempt) is None:
            made = Execution(
                str(uuid.uuid4()),
                record.run_id,
                record.attempt,
                record.tenant_id,
            )
            self.executions[made.dagster_run_id] = made

    def waiting(self) -> list[Execution]:
        return [
            each for each in self.executions.values() if each.state == "waiting"
        ]

    def find(self, record: Any) -> Execution | None:
        if record.dagster_run_id is not None:
            return self.executions.get(record.dagster_run_id)
        return self._of(record.run_id, record.attempt)

    def _of(self, run_id: str, attempt: int) -> Execution | None:
        found = (
            each for each in self.executions.values() if each.run_id == run_id
        )
        return next((each for each in found if each.attempt == attempt), None)

    # --- the port of executions -----------------------------------------------------------------

    def state(self, record: Any) -> Any:
        found = self.find(record)
        return self.states("absent" if found is None else found.state)

    def terminate(self, record: Any) -> None:
        self._end(record, "cancelled", only_if="waiting")

    def stop(self, record: Any) -> None:
        self.terminate(record)

    def report_failed(self, record: Any, message: str) -> None:
        self._end(record, "failed")

    def report_cancelled(self, record: Any, message: str) -> None:
        self._end(record, "cancelled")

    def _end(self, record: Any, state: str, only_if: str = "") -> None:
        found = self.find(record)
        if found is not None and found.state in (
            only_if or "waiting executing"
        ):
            found.state = state

    # --- the port of the history ----------------------------------------------------------------

    def has_unfinished(self, tenant_id: str) -> bool:
        mine = (
            each
            for each in self.executions.values()
            if each.tenant_id == tenant_id
        )
        return any(each.state in ("waiting", "executing") for each in mine)

    def delete_ended_before(self, instant: Any, is_late: Any) -> int:
        return 0

    def history_of(self, tenant_id: str) -> Iterable[str]:
        return [
            name
            for name, each in self.executions.items()
            if each.tenant_id == tenant_id
        ]
