"""What must always hold of runs, locks and feeds, examined over all that is stored.

Nothing is changed here. The runs table is scanned with few attributes; whatever looks wrong is read
again, consistently, and judged anew: what was only under way is no fault. A fault of minutes is no
finding either: processes that died are settled by the reconciler.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import instant_text
from relay_dagster.drain import Deadline
from relay_dagster.external_errors import UnreadableItemError
from relay_dagster.feeds.pointer import FeedPointer, Publication
from relay_dagster.intake.dead_letters import DeadLetters
from relay_dagster.logs import event_log
from relay_dagster.runs.model import DueQueue, LockState, RunRecord
from relay_dagster.wiring import Platform

PATIENCE = timedelta(hours=1)
"""So long a fault may last before it is one: everything is settled within minutes."""
SLICES = 24
"""In so many parts runs' artifacts and kept feeds are asked for, a part an hour."""
_AT_ONCE = 16
_CHECKED = (DueQueue.ATTEMPT, DueQueue.END)
"""The reconciler's queues: in the others runs may wait for a message or a slot."""
_ATTRIBUTES = (
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
    """Keys of what looked wrong in the scan, or can be judged by a second reading alone."""

    runs: list[str] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)
    feeds: list[str] = field(default_factory=list)


def examine(platform: Platform, now: datetime, extent: Extent) -> Iterator[Finding]:
    """Yield each broken invariant, as far as the extent goes.

    Raises:
        ExternalServiceError: AWS fails.
    """
    suspects = _scanned(platform, now, extent)
    kinds: tuple[tuple[Callable[[str], Iterable[Finding]], list[str]], ...] = (
        (lambda key: _of_run(platform, key, now), suspects.runs),
        (lambda key: _of_lock(platform, key, now), suspects.locks),
        (lambda key: _of_feed(platform, key, extent), suspects.feeds),
    )
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for judge, keys in kinds:
            for findings in pool.map(partial(_judged, judge, extent), keys):
                yield from findings
    if extent.part is None:
        yield from _of_dead_letters(platform, now)


def _judged(judge: Callable[[str], Iterable[Finding]], extent: Extent, key: str) -> list[Finding]:
    try:
        return [] if extent.is_cut_short() else list(judge(key))
    except UnreadableItemError as error:
        return [Finding(Invariant.UNREADABLE_ITEM, key, str(error))]


def _scanned(platform: Platform, now: datetime, extent: Extent) -> _Suspects:
    found, late = _Suspects(), instant_text(now - PATIENCE)
    oldest = instant_text(now - timedelta(days=platform.settings.retention_days) + PATIENCE)
    for row in platform.database.runs.scan(_ATTRIBUTES):
        if extent.is_cut_short():
            break
        kind, _, name = str(row[schema.KEY]).partition("#")
        if kind == "LOCK" and row.get("holder"):
            found.locks.append(name)
        elif kind == "FEED":
            found.feeds.append(name)
        elif kind == "RUN" and (
            _looks_wrong(row, late)
            or (extent.has(name) and oldest < str(row.get("finished_at", "")) < late)
        ):
            found.runs.append(name)
    return found


def _looks_wrong(row: Mapping[str, Any], late: str) -> bool:
    if row.get("acknowledged_at") is None:
        owns_lock = row.get("lock_state") == LockState.OWNER
        return row.get("due_at") is None or str(row["due_at"]) < late or owns_lock
    return bool(row.get("status") == RunStatus.HELD)


def _of_run(platform: Platform, run_id: str, now: datetime) -> Iterator[Finding]:
    record = platform.runs.get(run_id)
    if record is None:
        return
    if record.acknowledged_at is None:
        yield from _of_open_run(platform, record, now)
    elif record.status is RunStatus.HELD:
        if record.feed_key is None or not platform.objects.exists(record.feed_key):
            yield _of(record, Invariant.HELD_FEED_GONE, "its feed cannot be released any more")
    elif record.artifacts and not platform.objects.exists(_an_artifact(record)):
        days = platform.settings.retention_days
        message = f"{_an_artifact(record)} is gone before its {days} days are over"
        yield _of(record, Invariant.ARTIFACTS_GONE, message)


def _of_open_run(platform: Platform, record: RunRecord, now: datetime) -> Iterator[Finding]:
    if record.due_at is None:
        yield _of(record, Invariant.UNCHECKED_RUN, "it is not settled, and nothing will check it")
    elif record.due_at < now - PATIENCE and record.due_queue in _CHECKED:
        message = f"it was to be checked at {record.due_at:%Y-%m-%d %H:%M:%S}Z"
        yield _of(record, Invariant.OVERDUE_RUN, message)
    if record.lock_state is LockState.OWNER:
        holder = platform.runs.lock(record.tenant_id).holder
        if holder != record.run_id and platform.runs.get(record.run_id) == record:
            message = f"its tenant's lock is held by {holder or 'nobody'}"
            yield _of(record, Invariant.RUN_WITHOUT_LOCK, message)


def _an_artifact(record: RunRecord) -> str:
    artifacts = record.artifacts
    return artifacts.get("run_summary") or artifacts[min(artifacts)]


def _of_lock(platform: Platform, tenant_id: str, now: datetime) -> Iterator[Finding]:
    holder = platform.runs.lock(tenant_id).holder
    record = None if holder is None else platform.runs.get(holder)
    is_over = record is None or (
        record.lock_state is not LockState.OWNER
        and (record.finished_at is None or record.finished_at < now - PATIENCE)
    )
    if holder is not None and is_over and platform.runs.lock(tenant_id).holder == holder:
        state = "does not exist" if record is None else f"is {record.status} without it"
        message = f"its lock is held by run {holder}, which {state}"
        yield Finding(Invariant.LOCK_WITHOUT_RUN, f"tenant {tenant_id}", message)


def _of_feed(platform: Platform, tenant_id: str, extent: Extent) -> Iterator[Finding]:
    feed = platform.runs.feed(tenant_id)
    if feed is None:
        return
    older = (each for each in feed.publications[1:] if extent.has(each.run_id))
    for publication in (feed.in_force, *older):
        found = _fault_of(platform, feed, publication, extent.reads_bytes)
        # A feed that has moved on since it was read may have taken its files with it.
        if found is not None and platform.runs.feed(tenant_id) == feed:
            yield Finding(found[0], f"tenant {tenant_id}", found[1])
    if feed.held_run_id is not None:
        held = platform.runs.get(feed.held_run_id)
        is_held = held is not None and held.status is RunStatus.HELD
        if not is_held and platform.runs.feed(tenant_id) == feed:
            message = f"run {feed.held_run_id}, which is said to be held, is not"
            yield Finding(Invariant.HOLD_WITHOUT_RUN, f"tenant {tenant_id}", message)


def _fault_of(
    platform: Platform, feed: FeedPointer, publication: Publication, reads_bytes: bool
) -> tuple[Invariant, str] | None:
    record = platform.runs.get(publication.run_id)
    if record is not None and record.feed_sha256 not in (None, publication.sha256):
        told = f"run {publication.run_id} made a feed of another hash than the published one"
        return Invariant.OTHER_FEED, told
    head = platform.objects.head(publication.key)
    if head is None:
        return Invariant.FEED_GONE, f"{publication.key} of run {publication.run_id} is gone"
    sha256 = head.sha256
    if reads_bytes and publication is feed.in_force:
        data = platform.objects.read_or_none(publication.key)
        sha256 = None if data is None else hashlib.sha256(data).hexdigest()
    if sha256 not in (None, publication.sha256):
        return Invariant.OTHER_FEED, f"{publication.key} has other bytes than were published"
    return None


def _of_dead_letters(platform: Platform, now: datetime) -> Iterator[Finding]:
    """Yield the dead letters that have no cause and that no record names."""
    for letter in DeadLetters(platform).all():
        if letter.message is None or letter.is_on_record or letter.has_cause:
            continue
        if letter.since is not None and letter.since < now - PATIENCE:
            message = f"it is of run {letter.run_id or 'none'}, whose record does not name it"
            subject = f"message {letter.message.message_id}"
            yield Finding(Invariant.UNKNOWN_DEAD_LETTER, subject, message)


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
