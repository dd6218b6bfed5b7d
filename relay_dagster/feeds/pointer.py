"""A tenant's feed pointer: the live feed, the earlier ones, and the one held back.

The module has frozen values and pure functions. A `FeedPointer` is written in the same
transaction as the event that changes it: a run's success or hold, a release, a
cancellation, or a rollback. `FeedUpdate` is one of these changes.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from relay_dagster.runs.model import RunRecord

MAX_PENDING = 100
"""The most publications that wait to be reported; with more, the oldest is dropped."""


def published_prefix(tenant_id: str) -> str:
    """Return the S3 prefix of all published copies of a tenant's feeds."""
    return f"published/{tenant_id}/"


class PublishedBy(StrEnum):
    """How a feed came into force."""

    RUN = "run"
    RELEASE = "release"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Publication:
    """A feed that is, or was, in force."""

    run_id: str  # the run that made the feed
    key: str  # the S3 key of the published copy
    sha256: str  # the hash of the feed
    finished_at: datetime  # the end of that run
    published_at: datetime  # the instant when the feed came into force
    # The number among the tenant's publications; 0 if later runs cannot be compared
    # with it
    seq: int
    # The way in which the feed came into force
    how: PublishedBy = PublishedBy.RUN
    # The caller who published it; None for a run's own publication
    by: str | None = None
    record_count: int | None = (
        None  # the number of rows; None if it was never noted
    )


@dataclass(frozen=True, slots=True)
class FeedPointer:
    """A tenant's feed."""

    tenant_id: str
    # The last publications, newest first; the first one is in force
    publications: tuple[Publication, ...]
    held_run_id: str | None = None  # the run whose feed is held back
    revision: int = 0  # grows with every change; a change is conditional on it
    # Not yet reported to Dagster, oldest first
    pending: tuple[Publication, ...] = ()
    due_at: datetime | None = (
        None  # the time to report the pending publications
    )

    @property
    def in_force(self) -> Publication:
        """The publication that the tenant's customers see."""
        return self.publications[0]

    def republishable(self, run_id: str, keep: int) -> Publication | None:
        """Return a run's latest publication if it can be published again, or None.

        It can be if it is one of the last ``keep``: the files of others are not kept.
        """
        for publication in self.publications[:keep]:
            if publication.run_id == run_id:
                return publication
        return None


@dataclass(frozen=True, slots=True)
class FeedUpdate:
    """A change of a tenant's feed pointer."""

    # The pointer as it was read; None before the first feed
    before: FeedPointer | None
    after: FeedPointer  # the pointer as it will be
    # The record of an older held run before and after the change, which supersedes its
    # feed
    superseded: tuple[RunRecord, RunRecord] | None = None

    @property
    def is_publication(self) -> bool:
        """True if the change puts another feed into force."""
        before = self.before
        return before is None or before.in_force != self.after.in_force


def published(
    before: FeedPointer | None,
    run: RunRecord,
    now: datetime,
    keep: int,
    rolled_back_by: str | None,
) -> FeedPointer:
    """Return the pointer with a run's feed live and no feed held back.

    It lists the last ``keep`` publications. ``rolled_back_by`` is the caller who
    publishes an earlier feed again, None for a feed that is published for the first
    time.
    """
    if rolled_back_by is not None:
        published_by = PublishedBy.ROLLBACK
    elif run.released_by is not None:
        published_by = PublishedBy.RELEASE
    else:
        published_by = PublishedBy.RUN
    earlier = () if before is None else before.publications
    pending = () if before is None else before.pending
    newest = Publication(
        run_id=run.run_id,
        key=str(run.feed_key),
        sha256=str(run.feed_sha256),
        finished_at=run.finished_at or now,
        published_at=now,
        seq=earlier[0].seq + 1 if earlier else 1,
        how=published_by,
        by=run.released_by if rolled_back_by is None else rolled_back_by,
        record_count=run.counts.get("record_count"),
    )
    return FeedPointer(
        run.tenant_id,
        (newest, *earlier)[:keep],
        revision=1 if before is None else before.revision + 1,
        pending=(*pending, newest)[-MAX_PENDING:],
        due_at=now,
    )


def holding(before: FeedPointer, run_id: str | None) -> FeedPointer:
    """Return the pointer with a run's feed held back; None holds no feed back."""
    return replace(before, held_run_id=run_id, revision=before.revision + 1)


def reported(
    pointer: FeedPointer,
    publications: Collection[Publication],
) -> FeedPointer:
    """Return the pointer once publications are reported to Dagster.

    If others are pending, it is due at once.
    """
    pending = tuple(
        publication
        for publication in pointer.pending
        if publication not in publications
    )
    due_at = pending[0].published_at if pending else None
    return replace(pointer, pending=pending, due_at=due_at)


def with_publication(run: RunRecord, pointer: FeedPointer) -> RunRecord:
    """Return a run's record with its publication noted, if its feed is in force."""
    publication = pointer.in_force
    if publication.run_id != run.run_id:
        return run
    return replace(
        run,
        published_at=publication.published_at,
        published_seq=publication.seq,
    )
