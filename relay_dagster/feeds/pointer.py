"""A tenant's feed pointer: the live feed, the earlier ones, and the one held back.

The module has frozen values and pure functions. A `FeedPointer` is written in the same
transaction as the event that changes it: a run's success or hold, a release, a
cancellation, or a rollback. `FeedUpdate` is one of these changes.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from relay_dagster.runs.model import ChannelFile, RunRecord

MAX_PENDING = 100
"""The most publications that wait to be reported; with more, the oldest is dropped."""


def published_prefix(tenant_id: str) -> str:
    """Return the S3 prefix of all published copies of a tenant's feeds."""
    return f"published/{tenant_id}/"


def copy_name(owner_id: str, suffix: str, channel_id: str | None = None) -> str:
    """Return the name of a copy of a feed, or of one of its channels.

    ``owner_id`` is the id of the run, or that of the tenant in a download. ``suffix`` is
    the end of the name, such as ``csv``.
    """
    if channel_id is None:
        return f"{owner_id}.{suffix}"
    return f"{owner_id}.{channel_id}.{suffix}"


class PublishedBy(StrEnum):
    """How a feed went live."""

    RUN = "run"
    RELEASE = "release"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Publication:
    """A feed that is live, or was."""

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
    # The number of rows; None if it was never noted.
    record_count: int | None = None
    # The files of channels that were published with the feed
    channels: tuple[ChannelFile, ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A published copy: the feed's, or that of one of its channels."""

    channel_id: str | None  # None for the feed itself
    key: str
    sha256: str
    rows: int | None  # the number of rows; None if it was never noted

    @property
    def suffix(self) -> str:
        """The end of the copy's name, such as ``csv.gz``."""
        name = self.key.rpartition("/")[2]
        # Neither the id of a run nor that of a channel has a dot.
        return name.split(".", 1 if self.channel_id is None else 2)[-1]


def files_of(publication: Publication) -> tuple[PublishedFile, ...]:
    """Return the published copies of a publication: the feed's first, then channels'."""
    feed = PublishedFile(
        None,
        publication.key,
        publication.sha256,
        publication.record_count,
    )
    return feed, *_beside(feed, publication.run_id, publication.channels)


def files_of_run(run: RunRecord) -> tuple[PublishedFile, ...]:
    """Return the copies of a run's feed and its channels; none without a feed."""
    if run.feed_key is None:
        return ()
    feed = PublishedFile(
        None,
        run.feed_key,
        str(run.feed_sha256),
        run.counts.get("record_count"),
    )
    return feed, *_beside(feed, run.run_id, run.channels)


def file_of(
    publication: Publication,
    channel_id: str | None,
) -> PublishedFile | None:
    """Return a publication's copy of a channel, or of the feed for None.

    Return None where the publication lacks the channel.
    """
    for file in files_of(publication):
        if file.channel_id == channel_id:
            return file
    return None


def _beside(
    feed: PublishedFile,
    run_id: str,
    channels: Iterable[ChannelFile],
) -> Iterator[PublishedFile]:
    """Yield the copies of a run's channels, which lie beside that of its feed."""
    folder, _, _ = feed.key.rpartition("/")
    for channel in channels:
        name = copy_name(run_id, channel.suffix, channel.channel_id)
        yield PublishedFile(
            channel.channel_id,
            f"{folder}/{name}",
            channel.sha256,
            channel.rows,
        )


@dataclass(frozen=True, slots=True)
class FeedPointer:
    """A tenant's feed."""

    tenant_id: str
    # The last publications, newest first; the first one is live
    publications: tuple[Publication, ...]
    held_run_id: str | None = None  # the run whose feed is held back
    revision: int = 0  # grows with every change; a change is conditional on it
    # Not yet reported to Dagster, oldest first
    pending: tuple[Publication, ...] = ()
    # The time to report the pending publications.
    due_at: datetime | None = None

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
        """True if the change makes another feed the live one."""
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
        channels=run.channels,
    )
    # Dagster gets no report of the channels.
    to_report = replace(newest, channels=())
    return FeedPointer(
        run.tenant_id,
        (newest, *earlier)[:keep],
        revision=1 if before is None else before.revision + 1,
        pending=(*pending, to_report)[-MAX_PENDING:],
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
    """Return a run's record with its publication noted, if its feed is live."""
    publication = pointer.in_force
    if publication.run_id != run.run_id:
        return run
    return replace(
        run,
        published_at=publication.published_at,
        published_seq=publication.seq,
    )
