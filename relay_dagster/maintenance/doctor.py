"""The invariants of runs, locks, and feeds, examined over all that is stored.

Nothing is changed here. DynamoDB scans the runs table for suspicious items, which are read again,
consistently, and judged again: a change that was only in progress is no finding. Nor is a problem
of minutes, because the reconciler settles what dead processes leave.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from relay_core.domain.codes import RunStatus
from relay_core.domain.run_faults import listed
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import instant_text, unmarshal
from relay_dagster.aws.dynamodb.run_writes import to_feed, to_record
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.metrics import INVARIANTS_BROKEN
from relay_dagster.drain import Deadline
from relay_dagster.external_errors import (
    MissingResourceError,
    UnreadableItemError,
)
from relay_dagster.feeds.pointer import FeedPointer, Publication
from relay_dagster.intake.dead_letters import DeadLetters
from relay_dagster.logs import event_log
from relay_dagster.maintenance.housekeeping import Memory, Occasion
from relay_dagster.runs.model import DueQueue, LockState, RunRecord
from relay_dagster.wiring import Platform

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
_READERS = 16
_MAX_ITEMS_PER_READ = 100
_CHECKED_QUEUES = (DueQueue.ATTEMPT, DueQueue.END)
"""The reconciler's queues: in the others, runs may wait for a message or a slot."""
_T = TypeVar("_T")
_SUSPECTS = (
    f"begins_with({schema.KEY}, :lock)"
    " AND (attribute_exists(holder) OR attribute_exists(waiters))"
    f" OR begins_with({schema.KEY}, :feed)"
    f" OR begins_with({schema.KEY}, :run) AND (attribute_not_exists(acknowledged_at)"
    " AND (attribute_not_exists(due_at) OR due_at < :late OR lock_state = :owner)"
    f" OR {schema.LISTED_STATUS} = :held OR {schema.KEY} BETWEEN :first AND :last"
    " AND requested_at > :oldest AND finished_at < :late)"
)
"""Locks, feeds, suspicious or held runs, and the runs whose artifacts are looked for."""

_log = event_log()


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

    reads_bytes: bool = (
        False  # whether the live feeds are read whole and hashed
    )
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


def examine(
    platform: Platform,
    now: datetime,
    extent: Extent,
) -> Iterator[Finding]:
    """Yield each broken invariant within the extent; tenants being deleted are left out."""
    examination = _Examination(platform, now, extent)
    suspects = examination.suspects()
    judges = (
        (Kind.RUN, examination.runs),
        (Kind.LOCK, examination.locks),
        (Kind.FEED, examination.feeds),
    )
    with ThreadPoolExecutor(_READERS) as pool:
        for kind, judge in judges:
            batches = _batches(sorted(suspects[kind]))
            unless_late = _UnlessLate(judge, extent)
            for findings in pool.map(unless_late, batches):
                yield from findings
    if extent.part is None:
        yield from examination.dead_letters()


def _batches(items: Sequence[Any]) -> list[Sequence[Any]]:
    """Divide items among the readers, with a limited number per read."""
    per_reader = -(-len(items) // _READERS)
    size = max(1, min(per_reader, _MAX_ITEMS_PER_READ))
    return [items[start : start + size] for start in range(0, len(items), size)]


@dataclass(frozen=True, slots=True)
class _UnlessLate:
    """Judges a batch of items if there is time."""

    judge: Callable[[Sequence[Any]], Iterator[Finding]]
    extent: Extent

    def __call__(self, batch: Sequence[Any]) -> list[Finding]:
        if self.extent.is_cut_short():
            return []
        return [*self.judge(batch)]


class _Examination:
    """One examination; its methods take items that are read by one call."""

    def __init__(
        self,
        platform: Platform,
        now: datetime,
        extent: Extent,
    ) -> None:
        self._platform = platform
        self._extent = extent
        self._late = now - GRACE
        # Files are kept from their creation, and the first is created soon after the request.
        kept_days = timedelta(days=platform.settings.retention_days)
        self._oldest = now - kept_days + GRACE

    def suspects(self) -> Mapping[str, Sequence[Any]]:
        """Return the suspects by kind: names, and for locks a pair with each run they name."""
        suspects: dict[str, list[Any]] = {
            Kind.RUN: [],
            Kind.LOCK: [],
            Kind.FEED: [],
        }
        first_run_id, last_run_id = self._extent.bounds()
        values = {
            "run": Kind.RUN.key(""),
            "lock": Kind.LOCK.key(""),
            "feed": Kind.FEED.key(""),
            "first": Kind.RUN.key(first_run_id),
            "last": Kind.RUN.key(last_run_id),
            "late": instant_text(self._late),
            "oldest": instant_text(self._oldest),
            "owner": LockState.OWNER,
            "held": RunStatus.HELD,
        }
        closed_tenants = self._platform.deletions.listed()
        attributes = ("tenant_id", "holder", "waiters")
        table = self._platform.database.runs
        for row in table.scan(attributes, _SUSPECTS, values):
            if self._extent.is_cut_short():
                break
            kind, _, name = str(row[schema.KEY]).partition("#")
            if row.get("tenant_id", name) in closed_tenants:
                continue
            if kind == Kind.LOCK:
                suspects[kind] += [
                    (name, run_id) for run_id in _runs_named_by(row)
                ]
            else:
                suspects[kind].append(name)
        return suspects

    def _read(
        self,
        keys: Iterable[str],
        read: Callable[[Mapping[str, Any]], _T],
        unreadable: list[Finding],
    ) -> dict[str, _T | None]:
        """Return the values of items by key, None if absent; note the unreadable ones."""
        table = self._platform.database.runs
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

    def _lock(self, tenant_id: str) -> Mapping[str, Any]:
        """Return a tenant's lock as stored, even if this release cannot read all of it."""
        item = self._platform.database.runs.item(Kind.LOCK.key(tenant_id))
        return unmarshal(item or {})

    # --- runs --------------------------------------------------------------------------

    def runs(self, run_ids: Sequence[str]) -> Iterator[Finding]:
        """Yield the findings on runs and on their files; the IDs are in order."""
        unreadable: list[Finding] = []
        records = self._read(map(Kind.RUN.key, run_ids), to_record, unreadable)
        examined = [run_id for run_id in run_ids if self._extent.has(run_id)]
        stored_keys: Set[str] = set()
        if examined:
            objects = self._platform.objects
            stored_keys = objects.keys_between(examined[0], f"{examined[-1]}/~")
        for record in records.values():
            if record is None:
                continue
            if record.acknowledged_at is None:
                yield from self._open_run(record)
            else:
                yield from self._files(record, stored_keys)
        yield from unreadable

    def _open_run(self, record: RunRecord) -> Iterator[Finding]:
        if record.due_at is None:
            message = "it is not settled, and nothing will check it"
            yield _finding(record, Invariant.UNCHECKED_RUN, message)
        elif record.due_at < self._late and record.due_queue in _CHECKED_QUEUES:
            message = (
                f"it was to be checked at {record.due_at:%Y-%m-%d %H:%M:%S}Z"
            )
            yield _finding(record, Invariant.OVERDUE_RUN, message)
        if record.lock_state is not LockState.OWNER:
            return
        holder = self._lock(record.tenant_id).get("holder")
        if holder == record.run_id:
            return
        has_changed = self._platform.runs.get(record.run_id) != record
        if not has_changed:
            message = f"its tenant's lock is held by {holder or 'nobody'}"
            yield _finding(record, Invariant.RUN_WITHOUT_LOCK, message)

    def _files(
        self,
        record: RunRecord,
        stored_keys: Set[str],
    ) -> Iterator[Finding]:
        """Yield the findings on missing files; ``stored_keys`` are all keys of the part."""
        if record.status is RunStatus.HELD and not self._has_feed(record):
            message = "its feed cannot be released any more"
            yield _finding(record, Invariant.HELD_FEED_GONE, message)
        if (
            not self._extent.has(record.run_id)
            or record.requested_at <= self._oldest
        ):
            return
        missing = sorted({*record.artifacts.values()} - stored_keys)
        if missing:
            days = self._platform.settings.retention_days
            keys = listed(missing, ", ", len(missing))
            message = f"gone before their {days} days are over: {keys}"
            yield _finding(record, Invariant.ARTIFACTS_GONE, message)

    def _has_feed(self, record: RunRecord) -> bool:
        key = record.feed_key
        return key is not None and self._platform.objects.exists(key)

    # --- locks -------------------------------------------------------------------------

    def locks(self, pairs: Sequence[tuple[str, str]]) -> Iterator[Finding]:
        """Yield the locks that name runs which do not hold or await them.

        ``pairs`` has a tenant and a run that the tenant's lock names.
        """
        unreadable: list[Finding] = []
        run_keys = [Kind.RUN.key(run_id) for _, run_id in pairs]
        records = self._read(run_keys, to_record, unreadable)
        yield from unreadable
        for tenant_id, run_id in pairs:
            key = Kind.RUN.key(run_id)
            if key not in records or not self._is_without_lock(records[key]):
                continue
            lock = self._lock(tenant_id)
            if run_id not in _runs_named_by(lock):
                continue
            record = records[key]
            state = "does not exist"
            if record is not None:
                state = f"is {record.status} without it"
            relation = "held" if lock.get("holder") == run_id else "awaited"
            message = f"its lock is {relation} by run {run_id}, which {state}"
            yield Finding(
                Invariant.LOCK_WITHOUT_RUN,
                f"tenant {tenant_id}",
                message,
            )

    def _is_without_lock(self, record: RunRecord | None) -> bool:
        """Return True if a run does not exist, or has had no lock for a while."""
        if record is None:
            return True
        if record.lock_state is not LockState.NONE:
            return False
        return record.finished_at is None or record.finished_at < self._late

    # --- feeds -------------------------------------------------------------------------

    def feeds(self, tenant_ids: Sequence[str]) -> Iterator[Finding]:
        """Yield the findings on live feeds, on those kept for a rollback, and on holds."""
        unreadable: list[Finding] = []
        pointers = self._read(
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
        records = self._read(map(Kind.RUN.key, run_ids), to_record, unreadable)
        yield from unreadable
        for feed in feeds:
            if self._extent.is_cut_short():
                break
            for invariant, message in self._faults(feed, records):
                # If the pointer has changed since it was read, its files may be gone by right.
                if self._platform.runs.feed(feed.tenant_id) == feed:
                    yield Finding(
                        invariant,
                        f"tenant {feed.tenant_id}",
                        message,
                    )

    def _examined(self, feed: FeedPointer) -> list[Publication]:
        """Return the live publication, and those of this part that can be published again."""
        earlier = feed.publications[1 : self._platform.settings.keep_published]
        examined = [
            publication
            for publication in earlier
            if self._extent.has(publication.run_id)
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
        key = publication.key
        head = self._platform.objects.head(key)
        if head is None:
            yield Invariant.FEED_GONE, f"{key} of run {run_id} is gone"
            return
        sha256 = head.sha256
        if self._extent.reads_bytes and publication is feed.in_force:
            sha256 = self._hash_of(key, head.size)
        if sha256 not in (None, publication.sha256):
            yield (
                Invariant.OTHER_FEED,
                f"{key} has other bytes than were published",
            )

    def _hash_of(self, key: str, size: int) -> str | None:
        """Return the SHA-256 of an object's bytes, or None if the object has just gone."""
        digest = hashlib.sha256()
        try:
            for chunk in self._platform.objects.chunks(key, 0, size):
                digest.update(chunk)
        except MissingResourceError:
            return None
        return digest.hexdigest()

    # --- dead letters ------------------------------------------------------------------

    def dead_letters(self) -> Iterator[Finding]:
        """Yield the dead letters without a cause that no record names."""
        for letter in DeadLetters(self._platform).all():
            if (
                letter.message is None
                or letter.is_on_record
                or letter.has_cause
            ):
                continue
            if letter.since is not None and letter.since < self._late:
                run = f"run {letter.run_id or 'none'}"
                yield Finding(
                    Invariant.UNKNOWN_DEAD_LETTER,
                    f"message {letter.message.message_id}",
                    f"it is of {run}, whose record does not name it",
                )


def _runs_named_by(lock: Mapping[str, Any]) -> list[str]:
    """Return the runs that a lock's item names: its holder, then those that wait."""
    run_ids = [
        str(waiter).rpartition("#")[2] for waiter in lock.get("waiters", ())
    ]
    holder = lock.get("holder")
    return [holder, *run_ids] if holder else run_ids


def _finding(record: RunRecord, invariant: Invariant, message: str) -> Finding:
    return Finding(
        invariant,
        f"run {record.run_id} of {record.tenant_id}",
        message,
    )


def report_broken(occasion: Occasion, _: Memory | None = None) -> int:
    """Log each broken invariant, send the number of them, and return it.

    Only one part of the artifacts is looked for, and only until the deadline: a tick that takes
    too long is lost with all its duties.
    """
    platform = occasion.platform
    extent = Extent(part=occasion.now.hour % SLICES, deadline=occasion.deadline)
    findings = list(examine(platform, occasion.now, extent))
    if extent.is_cut_short():
        _log.warning("invariants_cut_short", found=len(findings))
    for finding in findings:
        _log.error(
            "invariant_broken",
            invariant=finding.invariant,
            subject=finding.subject,
        )
    platform.metrics.count(INVARIANTS_BROKEN, len(findings))
    return len(findings)
