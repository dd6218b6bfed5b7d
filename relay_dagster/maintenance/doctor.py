"""What must always hold of runs, locks and feeds, examined over all that is stored.

Nothing is changed here. DynamoDB scans the runs table for what looks wrong; that is read again,
consistently, and judged anew: what was only under way is no fault. A fault of minutes is no finding
either: processes that died are settled by the reconciler.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain
from typing import Any, TypeVar

from relay_core.domain.codes import RunStatus
from relay_core.domain.run_faults import listed
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import instant_text, unmarshal
from relay_dagster.aws.dynamodb.run_writes import to_feed, to_record
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.metrics import INVARIANTS_BROKEN
from relay_dagster.drain import Deadline
from relay_dagster.external_errors import MissingResourceError, UnreadableItemError
from relay_dagster.feeds.pointer import FeedPointer, Publication
from relay_dagster.intake.dead_letters import DeadLetters
from relay_dagster.logs import event_log
from relay_dagster.maintenance.housekeeping import Memory, Occasion
from relay_dagster.runs.model import DueQueue, LockState, RunRecord
from relay_dagster.wiring import Platform

PATIENCE = timedelta(hours=1)
"""A fault is a finding once it has lasted so long: the reconciler settles others in minutes."""
SLICES = 24
"""Runs' artifacts and kept feeds are examined in so many parts, one an hour."""
_BOUNDS = ("", *(f"{part * 2**32 // SLICES:08x}" for part in range(1, SLICES)), "~")
"""The run ids between the parts: the files of a part stand in one listing of the bucket."""
_READERS, _TOGETHER = 16, 100
"""The number of readers, and of the items that each reads by one call at the most."""
_CHECKED = (DueQueue.ATTEMPT, DueQueue.END)
"""The reconciler's queues: in the others runs may wait for a message or a slot."""
_T = TypeVar("_T")
_SUSPECTS = (
    f"begins_with({schema.KEY}, :lock) AND (attribute_exists(holder) OR attribute_exists(waiters))"
    f" OR begins_with({schema.KEY}, :feed)"
    f" OR begins_with({schema.KEY}, :run) AND (attribute_not_exists(acknowledged_at)"
    " AND (attribute_not_exists(due_at) OR due_at < :late OR lock_state = :owner)"
    f" OR {schema.LISTED_STATUS} = :held OR {schema.KEY} BETWEEN :first AND :last"
    " AND requested_at > :oldest AND finished_at < :late)"
)
"""Locks, feeds, runs that look wrong or are held, and those whose artifacts are asked for."""

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
        """Return whether the files of a run are examined."""
        return (
            self.part is None or _BOUNDS[self.part] <= run_id < _BOUNDS[self.part + 1]
        )

    def is_cut_short(self) -> bool:
        """Return whether the time is up."""
        return self.deadline is not None and self.deadline.has_passed()


def examine(platform: Platform, now: datetime, extent: Extent) -> Iterator[Finding]:
    """Yield each broken invariant, as far as the extent goes; none of tenants being deleted."""
    check = _Examination(platform, now, extent)
    suspects = check.scanned()
    judges = {Kind.RUN: check.runs, Kind.LOCK: check.locks, Kind.FEED: check.feeds}
    with ThreadPoolExecutor(_READERS) as pool:
        for kind, judge in judges.items():
            those = sorted(suspects[kind])
            size = min(-(-len(those) // _READERS), _TOGETHER) or 1
            parts = [
                those[start : start + size] for start in range(0, len(those), size)
            ]
            yield from chain.from_iterable(
                pool.map(
                    lambda part, of=judge: [] if extent.is_cut_short() else [*of(part)],
                    parts,
                )
            )
    if extent.part is None:
        yield from check.dead_letters()


@dataclass(frozen=True, slots=True)
class _Examination:
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
        return (
            self.now - timedelta(days=self.platform.settings.retention_days) + PATIENCE
        )

    def scanned(self) -> Mapping[str, Sequence[Any]]:
        """Return the suspects by kind: names, and of locks a pair with each run that they name."""
        found: dict[str, list[Any]] = {Kind.RUN: [], Kind.LOCK: [], Kind.FEED: []}
        part = self.extent.part
        first, last = _BOUNDS[::SLICES] if part is None else _BOUNDS[part : part + 2]
        values = {
            **{
                kind.name.lower(): kind.key("")
                for kind in (Kind.RUN, Kind.LOCK, Kind.FEED)
            },
            "first": Kind.RUN.key(first),
            "last": Kind.RUN.key(last),
            "late": instant_text(self._late),
            "oldest": instant_text(self._oldest),
            "owner": LockState.OWNER,
            "held": RunStatus.HELD,
        }
        closed = self.platform.deletions.listed()
        attributes = ("tenant_id", "holder", "waiters")
        for row in self.platform.database.runs.scan(attributes, _SUSPECTS, values):
            if self.extent.is_cut_short():
                break
            kind, _, name = str(row[schema.KEY]).partition("#")
            if row.get("tenant_id", name) not in closed:
                runs = ((name, each) for each in _named_by(row))
                found[kind] += runs if kind == Kind.LOCK else [name]
        return found

    def _read(
        self,
        keys: Iterable[str],
        read: Callable[[Mapping[str, Any]], _T],
        broken: list[Finding],
    ) -> dict[str, _T | None]:
        """Return the values of items by key, None for none, a finding for an unreadable one."""
        table, said = self.platform.database.runs, dict[str, _T | None]()
        items = table.items_by_key(wanted := [*keys])
        for key in wanted:
            try:
                said[key] = table.parse(items[key], read) if key in items else None
            except UnreadableItemError as error:
                broken.append(Finding(Invariant.UNREADABLE_ITEM, key, str(error)))
        return said

    def _lock(self, tenant_id: str) -> Mapping[str, Any]:
        """Return a tenant's lock as it is stored, whatever of it this release cannot read."""
        return unmarshal(
            self.platform.database.runs.item(Kind.LOCK.key(tenant_id)) or {}
        )

    # --- runs -----------------------------------------------------------------------------------

    def runs(self, run_ids: Sequence[str]) -> Iterator[Finding]:
        """Yield what is broken of runs and of what they have left; their ids are in order."""
        unreadable: list[Finding] = []
        found = self._read(map(Kind.RUN.key, run_ids), to_record, unreadable)
        ids = [*filter(self.extent.has, run_ids)]
        there = (
            self.platform.objects.keys_between(ids[0], f"{ids[-1]}/~") if ids else set()
        )
        for record in filter(None, found.values()):
            if record.acknowledged_at is None:
                yield from self._open_run(record)
            else:
                yield from self._files(record, there)
        yield from unreadable

    def _open_run(self, record: RunRecord) -> Iterator[Finding]:
        if record.due_at is None:
            why = "it is not settled, and nothing will check it"
            yield _of(record, Invariant.UNCHECKED_RUN, why)
        elif record.due_at < self._late and record.due_queue in _CHECKED:
            message = f"it was to be checked at {record.due_at:%Y-%m-%d %H:%M:%S}Z"
            yield _of(record, Invariant.OVERDUE_RUN, message)
        if record.lock_state is LockState.OWNER:
            holder = self._lock(record.tenant_id).get("holder")
            if (
                holder != record.run_id
                and self.platform.runs.get(record.run_id) == record
            ):
                message = f"its tenant's lock is held by {holder or 'nobody'}"
                yield _of(record, Invariant.RUN_WITHOUT_LOCK, message)

    def _files(self, record: RunRecord, there: Set[str]) -> Iterator[Finding]:
        """Yield what is gone of the files that a record names; ``there`` are those of its part."""
        if record.status is RunStatus.HELD and (
            record.feed_key is None or not self.platform.objects.exists(record.feed_key)
        ):
            yield _of(
                record, Invariant.HELD_FEED_GONE, "its feed cannot be released any more"
            )
        gone = (
            {*record.artifacts.values()} - there
            if self.extent.has(record.run_id)
            else ()
        )
        if gone and record.requested_at > self._oldest:
            days = self.platform.settings.retention_days
            which = listed(sorted(gone), ", ", len(gone))
            message = f"gone before their {days} days are over: {which}"
            yield _of(record, Invariant.ARTIFACTS_GONE, message)

    # --- locks ----------------------------------------------------------------------------------

    def locks(self, named: Sequence[tuple[str, str]]) -> Iterator[Finding]:
        """Yield the locks that runs hold or wait for which do not."""
        unreadable: list[Finding] = []
        runs = self._read(
            (Kind.RUN.key(run_id) for _, run_id in named), to_record, unreadable
        )
        yield from unreadable
        for tenant_id, run_id in named:
            if (key := Kind.RUN.key(run_id)) not in runs:
                continue
            record = runs[key]
            is_over = record is None or (
                record.lock_state is LockState.NONE
                and (record.finished_at is None or record.finished_at < self._late)
            )
            if is_over and run_id in _named_by(lock := self._lock(tenant_id)):
                state = (
                    "does not exist"
                    if record is None
                    else f"is {record.status} without it"
                )
                how = "held" if lock.get("holder") == run_id else "awaited"
                message = f"{how} by run {run_id}, which {state}"
                subject = f"tenant {tenant_id}"
                yield Finding(
                    Invariant.LOCK_WITHOUT_RUN, subject, f"its lock is {message}"
                )

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
        earlier = feed.publications[1 : self.platform.settings.keep_published]
        kept = (each for each in earlier if self.extent.has(each.run_id))
        return [feed.in_force, *kept]

    def _faults(
        self, feed: FeedPointer, records: Mapping[str, RunRecord | None]
    ) -> Iterator[tuple[Invariant, str]]:
        for publication in self._asked_for(feed):
            record, key = records.get(Kind.RUN.key(publication.run_id)), publication.key
            if record is not None and record.feed_sha256 not in (
                None,
                publication.sha256,
            ):
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
        if (
            feed.held_run_id is not None
            and (key := Kind.RUN.key(feed.held_run_id)) in records
        ):
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


def _named_by(lock: Mapping[str, Any]) -> list[str]:
    """Return the runs that a lock's item names: the one that holds it, and those that wait."""
    waiters = (str(each).rpartition("#")[2] for each in lock.get("waiters", ()))
    return [*filter(None, [lock.get("holder")]), *waiters]


def _of(record: RunRecord, invariant: Invariant, message: str) -> Finding:
    return Finding(invariant, f"run {record.run_id} of {record.tenant_id}", message)


def report_broken(on: Occasion, _: Memory | None = None) -> int:
    """Log each broken invariant, send how many there are, and return it.

    A part of the artifacts is asked for, and what there is time for: a tick that outlives its time
    is lost with all its duties.
    """
    extent = Extent(part=on.now.hour % SLICES, deadline=on.deadline)
    findings = list(examine(on.platform, on.now, extent))
    if extent.is_cut_short():
        log.warning("invariants_cut_short", found=len(findings))
    for each in findings:
        log.error("invariant_broken", invariant=each.invariant, subject=each.subject)
    on.platform.metrics.count(INVARIANTS_BROKEN, len(findings))
    return len(findings)
