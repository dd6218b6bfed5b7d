"""Read, decide, commit; and once more where somebody else has committed in between.

No waiting: a lost round means that another writer got through, and writers of a record are few.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from relay_dagster.external_errors import ThrottledError
from relay_dagster.runs.errors import CommitLostError

_Result = TypeVar("_Result")
_ROUNDS = 20


def until_committed(operation: str, run_id: str, try_once: Callable[[], _Result]) -> _Result:
    """Return what the first round gives that loses no commit.

    Args:
        operation: what is tried, for the message.
        run_id: the run that it is about.
        try_once: reads afresh, decides and commits.

    Raises:
        ThrottledError: every round was lost.
    """
    for _ in range(_ROUNDS):
        try:
            return try_once()
        except CommitLostError:
            continue
    raise ThrottledError(operation, f"run {run_id}: too many writers at once")
