"""What must always hold of runs, locks and feeds, examined over all that is stored.

Nothing is changed here. The runs table is scanned with few attributes; whatever looks wrong is read
again, consistently, and judged anew: what was only under way is no fault. A fault of minutes is no
finding either: processes that died are settled by the reconciler.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain
from typing import Any, TypeVar

from relay_core.domain.codes import RunStatus
from relay_core.domain.run_faults import listed
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import instant_text, unmarshal
from relay_dagster.aws.dynamodb.run_writes import to_feed, to_record
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.drain import Deadline
from relay_dagster.external_errors import MissingResourceError, UnreadableItemError
from relay_dagster.feeds.pointer import FeedPointer, Publication
from relay_dagster.intake.dead_letters import DeadLetters
from relay_dagster.logs import event_log
from relay_dagster.runs.model import DueQueue, LockState, RunRecord
from relay_dagster.wiring import Platform

PATIENCE = timedelta(hours=1)
"""So long a fault may last before it is one: everything is settled within minutes."""
SLICES = 24
"""In so many parts runs' artifacts and kept feeds are asked for, a part an hour."""
_READERS, _TOGETHER = 16, 100
"""Side by side, and how many items each reads by one call at the most."""
_CHECKED = (DueQueue.ATTEMPT, DueQueue.END)
"""The reconciler's queues: in the others runs may wait for a message or a slot."""
_T = TypeVar("_T")
_ATTRIBUTES = (
    "tenant_id",
    "requested_at",
    "acknowledged_at",
    "due_at",
    "status",
    "lock_state",
    "finished_at",
    "holder",
)

log = event_log()


class Invariant(StrEnum):
    """What must always hold, by the fault that is found where it does not."""

    UNCHECKED_RUN = "run_never_checked"
    OVERDUE_RUN = "run_not_checked_in_time"
    LOCK_WITHOUT_RUN = "lock_without_run"
    RUN_WITHOUT_LOCK = "run_without_lock"
    FEED_GONE = "feed_gone"
    OTHER_FEED = "other_feed"
    HELD_FEED_GONE = "held_feed_gone"
    HOLD_WITHOUT_RUN = "hold_without_run"
    ARTIFACTS_GONE = "artifacts_gone"
    UNKNOWN_DEAD_LETTER = "unknown_dead_letter"
    UNREADABLE_ITEM = "unreadable_item"


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken invariant: of which run, tenant or message, and a sentence about it."""

    invariant: Invariant
    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is examined."""

    reads_bytes: bool = False  # whether the feeds in force are read whole and hashed
    # Which part of the runs' artifacts and of the feeds kept beside those in force is asked for,
    # and no dead letter: reading them hides them from the sweep for a while. None for all
    part: int | None = None
    deadline: Deadline | None = None  # nothing more is read after it

    def has(self, run_id: str) -> bool:
        """Return whether what a run has left is asked for."""
        return self.part is None or zlib.crc32(run_id.encode()) % SLICES == self.part

    def is_cut_short(self) -> bool:
        """Return whether the time is up."""
        return self.deadline is not None and self.deadline.has_passed()


@dataclass
class _Suspects:
    """What looked wrong in the scan, or can be judged by a second reading alone."""

    runs: list[str] = field(default_factory=list)
    locks: list[tuple[str, str]] = field(default_factory=list)  # tenant and holder
    feeds: list[str] = field(default_factory=list)


def examine(platform: Platform, now: datetime, extent: Extent) -> Iterator[Finding]:
    """Yield each broken invariant, as far as the extent goes; none of tenants being deleted.

    Raises:
        ExternalServiceError: AWS fails.
    """
    look = _Look(platform, now, extent)
    suspects = look.scanned()
    kinds: tuple[tuple[Callable[[Any], Iterator[Finding]], list[Any]], ...] = (
        (look.runs, suspects.runs),
        (look.locks, suspects.locks),
        (look.feeds, suspects.feeds),
    )
    with ThreadPoolExecutor(_READERS) as pool:
        for judge, those in kinds:
            size = min(-(-len(those) // _READERS), _TOGETHER) or 1
            parts = [those[start : start + size] for start in range(0, len(those), size)]
            yield from chain.from_iterable(pool.map(lambda part, of=judge: [*of(part)], parts))
    if extent.part is None:
        yield from look.dead_letters()


@dataclass(frozen=True, slots=True)
class _Look:
    """One examination: its steps take items that are read together."""

    platform: Platform
    now: datetime
    extent: Extent

    @property
    def _late(self) -> datetime:
        return self.now - PATIENCE

    @property
    def _oldest(self) -> datetime:
        """Files are kept from their making on; the first is made soon after the request."""
        return self.now - timedelta(days=self.platform.settings.retention_days) + PATIENCE

    def scanned(self) -> _Suspects:
        """Return what is to be judged."""
        found, late, oldest = _Suspects(), instant_text(self._late), instant_text(self._oldest)
        closed = self.platform.deletions.listed()
        for row in self.platform.database.runs.scan(_ATTRIBUTES):
            if self.extent.is_cut_short():
                break
            kind, _, name = str(row[schema.KEY]).partition("#")
            if row.get("tenant_id", name) in closed:
                continue
            if kind == Kind.LOCK and row.get("holder"):
                found.locks.append((name, row["holder"]))
            elif kind == Kind.FEED:
                found.feeds.append(name)
            elif kind == Kind.RUN and (
                _looks_wrong(row, late)
                or (
                    self.extent.has(name)
                    and oldest < str(row.get("requested_at", ""))
                    and "" < str(row.get("finished_at", "")) < late
                )
            ):
                found.runs.append(name)
        return found

    def _read(
        self,
        keys: Iterable[str],
        read: Callable[[Mapping[str, Any]], _T],
        unreadable: list[Finding],
    ) -> dict[str, _T | None]:
        """Return what items say, by key, None of those that are not there.

        Those that this release cannot read are left out: of each there is a finding.
        """
        table, said = self.platform.database.runs, dict[str, _T | None]()
        items = table.batch(wanted := [*keys])
        for key in wanted:
            try:
                said[key] = table.parse(items[key], read) if key in items else None
            except UnreadableItemError as error:
                unreadable.append(Finding(Invariant.UNREADABLE_ITEM, key, str(error)))
        return said

    def _holder(self, tenant_id: str) -> str | None:
        """Return which run has a tenant's lock, whatever else of it this release cannot read."""
        item = self.platform.database.runs.item(Kind.LOCK.key(tenant_id))
        return None if item is None else unmarshal(item).get("holder")

    # --- runs -----------------------------------------------------------------------------------

    def runs(self, run_ids: Sequence[str]) -> Iterator[Finding]:
        """Yield what is broken of runs and of what they have left."""
        unreadable: list[Finding] = []
        found = self._read(map(Kind.RUN.key, run_ids), to_record, unreadable)
        for record in filter(None, found.values()):
            if self.extent.is_cut_short():
                break
            if record.acknowledged_at is None:
                yield from self._open_run(record)
            else:
                yield from self._files(record)
        yield from unreadable

    def _open_run(self, record: RunRecord) -> Iterator[Finding]:
        if record.due_at is None:
            told = "it is not settled, and nothing will check it"
            yield _of(record, Invariant.UNCHECKED_RUN, told)
        elif record.due_at < self._late and record.due_queue in _CHECKED:
            message = f"it was to be checked at {record.due_at:%Y-%m-%d %H:%M:%S}Z"
            yield _of(record, Invariant.OVERDUE_RUN, message)
        if record.lock_state is LockState.OWNER:
            holder = self._holder(record.tenant_id)
            if holder != record.run_id and self.platform.runs.get(record.run_id) == record:
                message = f"its tenant's lock is held by {holder or 'nobody'}"
                yield _of(record, Invariant.RUN_WITHOUT_LOCK, message)

    def _files(self, record: RunRecord) -> Iterator[Finding]:
        """Yield what is gone of the files that a record names: one listing has them all."""
        prefix = ArtifactKeys(record.run_id, record.tenant_id).prefix
        there = {each.key for each in self.platform.objects.list_objects(prefix)}
        if record.status is RunStatus.HELD and (
            record.feed_key is None or not self.platform.objects.exists(record.feed_key)
        ):
            yield _of(record, Invariant.HELD_FEED_GONE, "its feed cannot be released any more")
        gone = {*record.artifacts.values()} - there
        if gone and record.requested_at > self._oldest:
            which, days = (
                listed(sorted(gone), ", ", len(gone)),
                self.platform.settings.retention_days,
            )
            message = f"gone before their {days} days are over: {which}"
            yield _of(record, Invariant.ARTIFACTS_GONE, message)

    # --- locks ----------------------------------------------------------------------------------

    def locks(self, held: Sequence[tuple[str, str]]) -> Iterator[Finding]:
        """Yield the locks of runs that do not have them."""
        unreadable: list[Finding] = []
        holders = self._read((Kind.RUN.key(run_id) for _, run_id in held), to_record, unreadable)
        yield from unreadable
        for tenant_id, holder in held:
            if (key := Kind.RUN.key(holder)) not in holders:
                continue
            record = holders[key]
            is_over = record is None or (
                record.lock_state is not LockState.OWNER
                and (record.finished_at is None or record.finished_at < self._late)
            )
            if is_over and self._holder(tenant_id) == holder:
                state = "does not exist" if record is None else f"is {record.status} without it"
                message = f"its lock is held by run {holder}, which {state}"
                yield Finding(Invariant.LOCK_WITHOUT_RUN, f"tenant {tenant_id}", message)

    # --- feeds ----------------------------------------------------------------------------------

    def feeds(self, tenant_ids: Sequence[str]) -> Iterator[Finding]:
        """Yield what is broken of the feeds in force, of those kept and of those held."""
        unreadable: list[Finding] = []
        found = self._read(map(Kind.FEED.key, tenant_ids), to_feed, unreadable)
        feeds = [*filter(None, found.values())]
        named = {each.run_id for feed in feeds for each in self._asked_for(feed)}
        named |= {feed.held_run_id for feed in feeds if feed.held_run_id is not None}
        records = self._read(map(Kind.RUN.key, named), to_record, unreadable)
        yield from unreadable
        for feed in feeds:
            if self.extent.is_cut_short():
                break
            for invariant, message in self._faults(feed, records):
                # A feed that has moved on since it was read may have taken its files with it.
                if self.platform.runs.feed(feed.tenant_id) == feed:
                    yield Finding(invariant, f"tenant {feed.tenant_id}", message)

    def _asked_for(self, feed: FeedPointer) -> list[Publication]:
        kept = (each for each in feed.publications[1:] if self.extent.has(each.run_id))
        return [feed.in_force, *kept]

    def _faults(
        self, feed: FeedPointer, records: Mapping[str, RunRecord | None]
    ) -> Iterator[tuple[Invariant, str]]:
        for publication in self._asked_for(feed):
            record, key = records.get(Kind.RUN.key(publication.run_id)), publication.key
            if record is not None and record.feed_sha256 not in (None, publication.sha256):
                message = "made a feed of another hash than the published one"
                yield Invariant.OTHER_FEED, f"run {publication.run_id} {message}"
                continue
            head = self.platform.objects.head(key)
            if head is None:
                yield Invariant.FEED_GONE, f"{key} of run {publication.run_id} is gone"
                continue
            sha256 = head.sha256
            if self.extent.reads_bytes and publication is feed.in_force:
                sha256 = self._hash_of(key, head.size)
            if sha256 not in (None, publication.sha256):
                yield Invariant.OTHER_FEED, f"{key} has other bytes than were published"
        if feed.held_run_id is not None and (key := Kind.RUN.key(feed.held_run_id)) in records:
            held = records[key]
            if held is None or held.status is not RunStatus.HELD:
                message = f"run {feed.held_run_id}, which is said to be held, is not"
                yield Invariant.HOLD_WITHOUT_RUN, message

    def _hash_of(self, key: str, size: int) -> str | None:
        """Return the hash of an object's bytes; None of one that has just gone."""
        digest = hashlib.sha256()
        try:
            for piece in self.platform.objects.chunks(key, 0, size):
                digest.update(piece)
        except MissingResourceError:
            return None
        return digest.hexdigest()

    # --- dead letters ---------------------------------------------------------------------------

    def dead_letters(self) -> Iterator[Finding]:
        """Yield the dead letters that have no cause and that no record names."""
        for letter in DeadLetters(self.platform).all():
            if letter.message is None or letter.is_on_record or letter.has_cause:
                continue
            if letter.since is not None and letter.since < self._late:
                message = f"it is of run {letter.run_id or 'none'}, whose record does not name it"
                subject = f"message {letter.message.message_id}"
                yield Finding(Invariant.UNKNOWN_DEAD_LETTER, subject, message)


def _looks_wrong(row: Mapping[str, Any], late: str) -> bool:
    if row.get("acknowledged_at") is None:
        owns_lock = row.get("lock_state") == LockState.OWNER
        return row.get("due_at") is None or str(row["due_at"]) < late or owns_lock
    return bool(row.get("status") == RunStatus.HELD)


def _of(record: RunRecord, invariant: Invariant, message: str) -> Finding:
    return Finding(invariant, f"run {record.run_id} of {record.tenant_id}", message)


def report_broken(platform: Platform, now: datetime, deadline: Deadline) -> int:
    """Log each broken invariant, send how many there are, and return it.

    A part of the artifacts is asked for, and what there is time for: a tick that outlives its time
    is lost with all its duties.
    """
    extent = Extent(part=now.hour % SLICES, deadline=deadline)
    findings = list(examine(platform, now, extent))
    if extent.is_cut_short():
        log.warning("invariants_cut_short", found=len(findings))
    for each in findings:
        log.error("invariant_broken", invariant=each.invariant, subject=each.subject)
    platform.metrics.invariants_broken(len(findings))
    return len(findings)
