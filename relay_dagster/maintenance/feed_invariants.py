"""The invariants of feed pointers, their published copies, and their holds."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb.run_writes import to_feed, to_record
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.external_errors import MissingResourceError
from relay_dagster.feeds.pointer import FeedPointer, Publication, files_of
from relay_dagster.maintenance.invariants import (
    Extent,
    Finding,
    Invariant,
    read_items,
)
from relay_dagster.runs.model import RunRecord
from relay_dagster.wiring import Platform


@dataclass(frozen=True, slots=True)
class FeedExamination:
    """Examines the feeds of tenants, within an extent."""

    platform: Platform
    extent: Extent

    def findings(self, tenant_ids: Sequence[str]) -> Iterator[Finding]:
        """Yield the findings on live feeds, on those kept for a rollback, and on holds."""
        unreadable: list[Finding] = []
        table = self.platform.database.runs
        pointers = read_items(
            table,
            map(Kind.FEED.key, tenant_ids),
            to_feed,
            unreadable,
        )
        feeds = [feed for feed in pointers.values() if feed is not None]
        run_ids = set()
        for feed in feeds:
            run_ids |= {
                publication.run_id for publication in self._examined(feed)
            }
            if feed.held_run_id is not None:
                run_ids.add(feed.held_run_id)
        records = read_items(
            table,
            map(Kind.RUN.key, run_ids),
            to_record,
            unreadable,
        )
        yield from unreadable
        for feed in feeds:
            if self.extent.is_cut_short():
                break
            for invariant, message in self._faults(feed, records):
                # If the pointer has changed since it was read, its files may be gone by right.
                if self.platform.runs.feed(feed.tenant_id) == feed:
                    yield Finding(
                        invariant,
                        f"tenant {feed.tenant_id}",
                        message,
                    )

    def _examined(self, feed: FeedPointer) -> list[Publication]:
        """Return the live publication, and those of this part that can be published again."""
        earlier = feed.publications[1 : self.platform.settings.keep_published]
        examined = [
            publication
            for publication in earlier
            if self.extent.has(publication.run_id)
        ]
        return [feed.in_force, *examined]

    def _faults(
        self,
        feed: FeedPointer,
        records: Mapping[str, RunRecord | None],
    ) -> Iterator[tuple[Invariant, str]]:
        for publication in self._examined(feed):
            record = records.get(Kind.RUN.key(publication.run_id))
            yield from self._publication_faults(feed, publication, record)
        if feed.held_run_id is None:
            return
        held_key = Kind.RUN.key(feed.held_run_id)
        if held_key not in records:
            return
        held_record = records[held_key]
        if held_record is None or held_record.status is not RunStatus.HELD:
            message = f"the feed pointer says that run {feed.held_run_id} is held, but it is not"
            yield Invariant.HOLD_WITHOUT_RUN, message

    def _publication_faults(
        self,
        feed: FeedPointer,
        publication: Publication,
        record: RunRecord | None,
    ) -> Iterator[tuple[Invariant, str]]:
        run_id = publication.run_id
        if record is not None and record.feed_sha256 not in (
            None,
            publication.sha256,
        ):
            message = f"run {run_id} made a feed of another hash than the published one"
            yield Invariant.OTHER_FEED, message
            return
        is_live = publication is feed.in_force
        for file in files_of(publication):
            head = self.platform.objects.head(file.key)
            if head is None:
                yield Invariant.FEED_GONE, f"{file.key} of run {run_id} is gone"
                return
            sha256 = head.sha256
            if self._is_read(sha256, is_live=is_live):
                sha256 = self._hash_of(file.key, head.size)
            # Without the SHA-256 of its bytes, nothing is known against a copy.
            if sha256 and sha256 != file.sha256:
                message = f"{file.key} has other bytes than were published"
                yield Invariant.OTHER_FEED, message
                return

    def _is_read(self, sha256: str | None, *, is_live: bool) -> bool:
        """Return True if a feed is read whole, because its checksum is not enough.

        Copies of early releases have a checksum of another kind than SHA-256. They are
        read, unless the examination has a deadline, which they would use up.
        """
        if self.extent.reads_bytes and is_live:
            return True
        return sha256 == "" and self.extent.deadline is None

    def _hash_of(self, key: str, size: int) -> str | None:
        """Return the SHA-256 of an object's bytes, or None if the object has just gone."""
        digest = hashlib.sha256()
        try:
            for chunk in self.platform.objects.chunks(key, 0, size):
                digest.update(chunk)
        except MissingResourceError:
            return None
        return digest.hexdigest()
