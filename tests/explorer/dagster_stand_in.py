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
            execution = Execution(
                str(uuid.uuid4()),
                record.run_id,
                record.attempt,
                record.tenant_id,
            )
            self.executions[execution.dagster_run_id] = execution

    def waiting(self) -> list[Execution]:
        return [
            execution
            for execution in self.executions.values()
            if execution.state == "waiting"
        ]

    def find(self, record: Any) -> Execution | None:
        if record.dagster_run_id is not None:
            return self.executions.get(record.dagster_run_id)
        return self._of(record.run_id, record.attempt)

    def _of(self, run_id: str, attempt: int) -> Execution | None:
        executions = (
            execution
            for execution in self.executions.values()
            if execution.run_id == run_id
        )
        return next(
            (
                execution
                for execution in executions
                if execution.attempt == attempt
            ),
            None,
        )

    # --- the port of executions -----------------------------------------------------------------

    def state(self, record: Any) -> Any:
        execution = self.find(record)
        return self.states("absent" if execution is None else execution.state)

    def terminate(self, record: Any) -> None:
        self._end(record, "cancelled", only_if="waiting")

    def stop(self, record: Any) -> None:
        self.terminate(record)

    def report_failed(self, record: Any, message: str) -> None:
        self._end(record, "failed")

    def report_cancelled(self, record: Any, message: str) -> None:
        self._end(record, "cancelled")

    def _end(self, record: Any, state: str, only_if: str = "") -> None:
        execution = self.find(record)
        if execution is not None and execution.state in (
            only_if or "waiting executing"
        ):
            execution.state = state

    # --- the port of the history ----------------------------------------------------------------

    def has_unfinished(self, tenant_id: str) -> bool:
        mine = (
            execution
            for execution in self.executions.values()
            if execution.tenant_id == tenant_id
        )
        return any(
            execution.state in ("waiting", "executing") for execution in mine
        )

    def delete_ended_before(self, instant: Any, is_late: Any) -> int:
        return 0

    def history_of(self, tenant_id: str) -> Iterable[str]:
        return [
            name
            for name, execution in self.executions.items()
            if execution.tenant_id == tenant_id
        ]
