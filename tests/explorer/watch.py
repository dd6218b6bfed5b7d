"""What must hold at each write, whoever makes it, and the history that is judged in the end.

Read past the API, from the items as they are stored.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from explorer.aws_state import AwsState
from explorer.wire import Call

FINAL = ("SUCCEEDED", "FAILED", "CANCELLED")
ENDED = (*FINAL, "HELD")
EVENT_OF = {
    "SUCCEEDED": "run.succeeded",
    "FAILED": "run.failed",
    "CANCELLED": "run.cancelled",
    "HELD": "run.held",
}


class BrokenError(AssertionError):
    """Something does not hold that always must."""


@dataclass
class Watch:
    """Checks what each write changes in the runs table.

    ``ends`` counts what each run ended as, ``events`` what is told of each run, ``moves`` the runs
    whose feed came into force, ``rollbacks`` how many of those were no end of a run.
    """

    state: AwsState
    table: str
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    rollbacks: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def before_write(self, call: Call) -> Callable[[], None]:
        """Return a check of a write, for once it is made."""
        keys = _written(call, self.table)
        if not keys:
            return lambda: None
        before = {key: self.state.item(self.table, key) for key in keys}
        return lambda: self._check(
            {
                key: (before[key], self.state.item(self.table, key))
                for key in keys
            }
        )

    def _check(self, changes: dict[str, tuple[Any, Any]]) -> None:
        for key, (before, after) in changes.items():
            if key.startswith("RUN#"):
                self._check_run(before, after)
            elif key.startswith("FEED#") and after is not None:
                self._check_feed(before, after, changes)
            elif (
                key.startswith("EVENT#")
                and before is None
                and after is not None
            ):
                self._check_event(after)

    def _check_run(self, before: Any, after: Any) -> None:
        if after is None:
            return
        was = (before or {}).get("status")
        now = after["status"]
        run_id = after["run_id"]
        if was in FINAL and now != was:
            self.broken.append(
                f"a second end: run {run_id} was {was} and is {now}"
            )
        if was == "HELD" and now not in ("HELD", "SUCCEEDED", "CANCELLED"):
            self.broken.append(f"run {run_id} was HELD and is {now}")
        if before is not None and int(after["attempt"]) - int(
            before["attempt"]
        ) not in (0, 1):
            self.broken.append(f"run {run_id} skips an attempt")
        if now in ENDED and now != was and not after.get("hidden"):
            self.ends[run_id, now] += 1

    def _check_feed(
        self, before: Any, after: Any, changes: dict[str, Any]
    ) -> None:
        new = after["publications"][0]
        old = (
            before["publications"][0] if before else {"seq": 0, "run_id": None}
        )
        if (
            int(new["seq"]) == int(old["seq"])
            and new["run_id"] == old["run_id"]
        ):
            return
        run_id = new["run_id"]
        if int(new["seq"]) != int(old["seq"]) + 1:
            self.broken.append(
                f"an older feed after a newer one: publication {new['seq']} of run {run_id} takes "
                f"the place of {old['seq']} of run {old['run_id']}"
            )
        self.moves[run_id] += 1
        run = changes.get(f"RUN#{run_id}")
        if run is None or (run[0] or {}).get("status") == run[1]["status"]:
            self.rollbacks[run_id] += 1
        elif run[1]["status"] != "SUCCEEDED":
            self.broken.append(
                f"the feed of run {run_id} is in force, the run {run[1]['status']}"
            )

    def _check_event(self, event: Any) -> None:
        self.events[
            str(json.loads(event["data"])["run_id"]), event["event"]
        ] += 1


def _written(call: Call, table: str) -> list[str]:
    """Return the keys of a table that a call writes to."""
    params = call.params
    if call.operation == "TransactWriteItems":
        writes = [
            next(iter(param.items())) for param in params["TransactItems"]
        ]
        return [
            _key_of(arguments)
            for action, arguments in writes
            if action != "ConditionCheck" and arguments["TableName"] == table
        ]
    if (
        call.operation in ("PutItem", "UpdateItem", "DeleteItem")
        and params["TableName"] == table
    ):
        return [_key_of(params)]
    return []


def _key_of(arguments: dict[str, Any]) -> str:
    return arguments.get("Item", arguments.get("Key"))["pk"]["S"]
