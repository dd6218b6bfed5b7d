"""The invariants of stored data, the findings about them, and the extent of a search."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.drain import Deadline
from relay_dagster.external_errors import UnreadableItemError

GRACE = timedelta(hours=1)
"""How long a problem must have lasted: the reconciler settles others in minutes."""
SLICES = 24
"""Runs' artifacts and kept feeds are examined in this many parts, one an hour."""
_SLICE_BOUNDS = (
    "",
    *(f"{part * 2**32 // SLICES:08x}" for part in range(1, SLICES)),
    "~",
)
"""The run IDs between the parts: one listing of the bucket has the files of a part."""
_T = TypeVar("_T")


class Invariant(StrEnum):
    """The invariants, each by the name of the finding if it is broken."""

    UNCHECKED_RUN = "run_never_checked"
    OVERDUE_RUN = "run_not_checked_in_time"
    LOCK_WITHOUT_RUN = "lock_without_run"
    RUN_WITHOUT_LOCK = "run_without_lock"
    FEED_GONE = "feed_gone"
    OTHER_FEED = "other_feed"
    HELD_FEED_GONE = "held_feed_gone"
    HOLD_WITHOUT_RUN = "hold_without_run"
    ARTIFACTS_GONE = "artifacts_gone"
    UNSENT_DELIVERY = "delivery_never_sent"
    UNKNOWN_DEAD_LETTER = "unknown_dead_letter"
    UNREADABLE_ITEM = "unreadable_item"


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken invariant, with the run, tenant, or message, and a sentence about it."""

    invariant: Invariant
    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class Extent:
    """The extent of an examination."""

    # Whether the live feeds are read whole and hashed.
    reads_bytes: bool = False
    # The part of the runs' artifacts and of the feeds kept for a rollback to look for, without
    # dead letters, because reading those hides them from the sweep for a while. None for all
    part: int | None = None
    deadline: Deadline | None = None  # nothing more is read after it

    def has(self, run_id: str) -> bool:
        """Return True if the files of a run are examined."""
        if self.part is None:
            return True
        return _SLICE_BOUNDS[self.part] <= run_id < _SLICE_BOUNDS[self.part + 1]

    def bounds(self) -> tuple[str, str]:
        """Return the run IDs between which the runs of this part are."""
        if self.part is None:
            return _SLICE_BOUNDS[0], _SLICE_BOUNDS[-1]
        return _SLICE_BOUNDS[self.part], _SLICE_BOUNDS[self.part + 1]

    def is_cut_short(self) -> bool:
        """Return True if the time is up."""
        return self.deadline is not None and self.deadline.has_passed()


@dataclass
class Progress:
    """How far an examination has come, which goes through the items in one order."""

    # The key of the last item that was examined; None for none
    after: str | None = None
    is_complete: bool = False  # whether all items were examined


def read_items(
    table: Table,
    keys: Iterable[str],
    read: Callable[[Mapping[str, Any]], _T],
    unreadable: list[Finding],
) -> dict[str, _T | None]:
    """Return the values of items by key, None if absent; note the unreadable ones."""
    requested = [*keys]
    items = table.items_by_key(requested)
    values: dict[str, _T | None] = {}
    for key in requested:
        if key not in items:
            values[key] = None
            continue
        try:
            values[key] = table.parse(items[key], read)
        except UnreadableItemError as error:
            finding = Finding(Invariant.UNREADABLE_ITEM, key, str(error))
            unreadable.append(finding)
    return values
