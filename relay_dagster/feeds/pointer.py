"""Which feed of a tenant is in force, which may be again, and which is held back.

Frozen values and pure functions. A `FeedPointer` changes in the transaction of what updates it: a
run's success or hold, a release, a cancel, a rollback; `FeedUpdate` is such a change.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from relay_dagster.runs.model import RunRecord

MAX_PENDING = 100
"""The most publications that wait to be reported; a feed that has more loses the oldest."""


class PublishedBy(StrEnum):
    """How a feed came into force."""

    RUN = "run"
    RELEASE = "release"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Publication:
    """A feed that is, or was, in force."""

    run_id: str  # the run that made it
    key: str  # where it lies
    sha256: str  # its hash
    finished_at: datetime  # when that run ended
    published_at: datetime  # when it came into force
    # Its number among the tenant's publications; 0 for one that later runs cannot be compared with
    seq: int
    how: PublishedBy = PublishedBy.RUN  # it came into force
    by: str | None = (
        None  # the caller who published it; None of a run's own publication
    )
    record_count: int | None = (
        None  # its rows; None of one that an earlier release has published
    )


@dataclass(frozen=True, slots=True)
class FeedPointer:
    """A tenant's feed."""

    tenant_id: str
    # The last publications, newest first; the first is in force
    publications: tuple[Publication, ...]
    held_run_id: str | None = None  # the run whose feed is held back
    revision: int = 0  # grows with every change; a change is conditional on it
    pending: tuple[Publication, ...] = ()  # not yet reported to Dagster, oldest first
    due_at: datetime | None = None  # when they are to be reported

    @property
    def in_force(self) -> Publication:
        """The publication that the tenant's customers see."""
        return self.publications[0]

    def kept(self, run_id: str, keep: int) -> Publication | None:
        """Return a run's latest publication, if it is one of ``keep`` and may be in force again."""
        return next(
            (one for one in self.publications[:keep] if one.run_id == run_id), None
        )


@dataclass(frozen=True, slots=True)
class FeedUpdate:
    """A change of a tenant's feed pointer."""

    before: FeedPointer | None  # the pointer as it was read, None before the first feed
    after: FeedPointer  # the pointer as it is to be
    # The record of an older held run before and after: its feed is not to be had now
    voided: tuple[RunRecord, RunRecord] | None = None

    def noted(
        self,
        run: RunRecord,
        scheduled: Callable[[RunRecord | None, RunRecord], RunRecord],
    ) -> "tuple[RunRecord, FeedUpdate]":
        """Return the run, with its publication noted, and the update, its voided run scheduled."""
        newest, update = self.after.in_force, self
        if newest.run_id == run.run_id:
            run = replace(
                run, published_at=newest.published_at, published_seq=newest.seq
            )
        if self.voided is not None:
            held, over = self.voided
            update = replace(self, voided=(held, scheduled(held, over)))
        return run, update


FeedUpdateOf = Callable[[RunRecord], FeedUpdate | None]
"""What becomes of the tenant's feed with a record as it is to be; None for nothing."""


def no_update(_: RunRecord) -> None:
    """Leave the tenant's feed as it is."""


def published(
    before: FeedPointer | None,
    run: RunRecord,
    now: datetime,
    keep: int,
    rolled_back_by: str | None,
) -> FeedPointer:
    """Return the pointer once a feed is in force, one of ``keep`` publications; none is held."""
    how, by = PublishedBy.RUN, run.released_by
    if rolled_back_by is not None:
        how, by = PublishedBy.ROLLBACK, rolled_back_by
    elif by is not None:
        how = PublishedBy.RELEASE
    earlier = () if before is None else before.publications
    seq = earlier[0].seq + 1 if earlier else 1
    count = run.counts.get("record_count")
    finished_at = run.finished_at or now
    made = (run.run_id, str(run.feed_key), str(run.feed_sha256), finished_at)
    newest = Publication(*made, now, seq, how, by, count)
    revision, pending = (0, ()) if before is None else (before.revision, before.pending)
    return FeedPointer(
        run.tenant_id,
        (newest, *earlier)[:keep],
        revision=revision + 1,
        pending=(*pending, newest)[-MAX_PENDING:],
        due_at=now,
    )


def holding(before: FeedPointer, run_id: str | None) -> FeedPointer:
    """Return the pointer once a run's feed is held back, or (None) none is."""
    return replace(before, held_run_id=run_id, revision=before.revision + 1)
