"""The invariants of runs, locks, feeds, and deliveries, examined over all that is stored.

Nothing is changed here. DynamoDB scans the runs table for suspicious items, which are read again,
consistently, and judged again: a change that was only in progress is not a finding. Neither is a
problem of minutes, because the reconciler settles what dead processes leave.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from relay_core.domain.codes import RunStatus
from relay_core.domain.run_faults import listed
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import instant_text, unmarshal
from relay_dagster.aws.dynamodb.run_writes import to_record
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.transfer_store import DELIVERIES
from relay_dagster.aws.metrics import DOCTOR_CUT_SHORT, INVARIANTS_BROKEN
from relay_dagster.feeds.pointer import files_of_run
from relay_dagster.intake.dead_letters import DeadLetters
from relay_dagster.logs import event_log
from relay_dagster.maintenance.feed_invariants import FeedExamination
from relay_dagster.maintenance.housekeeping import Memory, Occasion
from relay_dagster.maintenance.invariants import GRACE as GRACE
from relay_dagster.maintenance.invariants import SLICES as SLICES
from relay_dagster.maintenance.invariants import Extent as Extent
from relay_dagster.maintenance.invariants import Finding as Finding
from relay_dagster.maintenance.invariants import Invariant as Invariant
from relay_dagster.maintenance.invariants import Progress, read_items
from relay_dagster.runs.model import DueQueue, LockState, RunRecord
from relay_dagster.wiring import Platform

_READERS = 16
_MAX_ITEMS_PER_READ = 100
_MAX_SUSPECTS = 5_000
"""The suspects that are judged before more are looked for; a page may add some."""
_CHECKED_QUEUES = (DueQueue.ATTEMPT, DueQueue.END)
"""The reconciler's queues: in the others, runs may wait for a message or a slot."""
_SUSPECTS = (
    f"begins_with({schema.KEY}, :lock)"
    " AND (attribute_exists(holder) OR attribute_exists(waiters))"
    f" OR begins_with({schema.KEY}, :feed)"
    f" OR begins_with({schema.KEY}, :delivery) AND attribute_exists(pending)"
    " AND attribute_not_exists(due_at)"
    f" OR begins_with({schema.KEY}, :run) AND (attribute_not_exists(acknowledged_at)"
    " AND (attribute_not_exists(due_at) OR due_at < :late OR lock_state = :owner)"
    f" OR {schema.LISTED_STATUS} = :held OR {schema.KEY} BETWEEN :first AND :last"
    " AND requested_at > :oldest AND attribute_exists(finished_at))"
)
"""Locks, feeds, deliveries that nothing will send, suspicious or held runs, and the runs
whose artifacts are looked for."""

_log = event_log()


def examine(
    platform: Platform,
    now: datetime,
    extent: Extent,
    progress: Progress | None = None,
) -> Iterator[Finding]:
    """Yield each broken invariant within the extent.

    Tenants that are being deleted are left out. The examination begins at ``progress``,
    and updates it after each group of suspects.
    """
    progress = progress or Progress()
    examination = _Examination(platform, now, extent)
    judges = (
        (Kind.RUN, examination.runs),
        (Kind.LOCK, examination.locks),
        (Kind.FEED, FeedExamination(platform, extent).findings),
        (Kind.DELIVERY, examination.deliveries),
    )
    with ThreadPoolExecutor(_READERS) as pool:
        while not progress.is_complete:
            suspects, after = examination.suspects(progress.after)
            for kind, judge in judges:
                batches = _batches(sorted(suspects[kind]))
                unless_late = _UnlessLate(judge, extent)
                for findings in pool.map(unless_late, batches):
                    yield from findings
            if extent.is_cut_short():
                # Some of these suspects may not have been judged.
                return
            progress.after = after
            progress.is_complete = after is None
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

    def suspects(
        self,
        after: str | None,
    ) -> tuple[Mapping[str, Sequence[Any]], str | None]:
        """Return some thousands of suspects after a key, and the key of the last.

        They are sorted by kind: names, and for locks a pair with each run they name.
        The key is None if no suspects follow.
        """
        suspects: dict[str, list[Any]] = {
            Kind.RUN: [],
            Kind.LOCK: [],
            Kind.FEED: [],
            Kind.DELIVERY: [],
        }
        closed_tenants = self._platform.deletions.listed()
        attributes = ("tenant_id", "holder", "waiters")
        table = self._platform.database.runs
        values = self._values_of_suspects()
        while sum(map(len, suspects.values())) < _MAX_SUSPECTS:
            rows, after = table.scan(attributes, _SUSPECTS, values, after)
            for row in rows:
                if self._extent.is_cut_short():
                    return suspects, after
                kind, _, name = str(row[schema.KEY]).partition("#")
                if row.get("tenant_id", name) in closed_tenants:
                    continue
                names: list[Any] = [name]
                if kind == Kind.LOCK:
                    names = [(name, run_id) for run_id in _runs_named_by(row)]
                suspects[kind] += names
            if after is None:
                break
        return suspects, after

    def _values_of_suspects(self) -> Mapping[str, str]:
        """Return the values of the placeholders in the condition of suspects."""
        first_run_id, last_run_id = self._extent.bounds()
        return {
            "run": Kind.RUN.key(""),
            "lock": Kind.LOCK.key(""),
            "feed": Kind.FEED.key(""),
            "delivery": Kind.DELIVERY.key(""),
            "first": Kind.RUN.key(first_run_id),
            "last": Kind.RUN.key(last_run_id),
            "late": instant_text(self._late),
            "oldest": instant_text(self._oldest),
            "owner": LockState.OWNER,
            "held": RunStatus.HELD,
        }

    def _lock(self, tenant_id: str) -> Mapping[str, Any]:
        """Return a tenant's lock as stored, even if this release cannot read all of it."""
        item = self._platform.database.runs.item(Kind.LOCK.key(tenant_id))
        return unmarshal(item or {})

    # --- runs --------------------------------------------------------------------------

    def runs(self, run_ids: Sequence[str]) -> Iterator[Finding]:
        """Yield the findings on runs and on their files; the IDs are in order."""
        unreadable: list[Finding] = []
        records = read_items(
            self._platform.database.runs,
            map(Kind.RUN.key, run_ids),
            to_record,
            unreadable,
        )
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
            # A run that has not ended names no files.
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
        files = files_of_run(record)
        objects = self._platform.objects
        return bool(files) and all(objects.exists(file.key) for file in files)

    # --- locks -------------------------------------------------------------------------

    def locks(self, pairs: Sequence[tuple[str, str]]) -> Iterator[Finding]:
        """Yield the locks that name runs which do not hold or await them.

        ``pairs`` has a tenant and a run that the tenant's lock names.
        """
        unreadable: list[Finding] = []
        run_keys = [Kind.RUN.key(run_id) for _, run_id in pairs]
        table = self._platform.database.runs
        records = read_items(table, run_keys, to_record, unreadable)
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

    # --- deliveries --------------------------------------------------------------------

    def deliveries(self, names: Sequence[str]) -> Iterator[Finding]:
        """Yield the deliveries whose file is to be sent, but that nothing makes due.

        A name has a tenant and a delivery.
        """
        unreadable: list[Finding] = []
        states = read_items(
            self._platform.database.runs,
            map(Kind.DELIVERY.key, names),
            DELIVERIES.state_codec.read,
            unreadable,
        )
        yield from unreadable
        for state in states.values():
            if state is None or state.pending is None or state.due_at:
                continue
            run_id = state.pending.run_id
            yield Finding(
                Invariant.UNSENT_DELIVERY,
                f"delivery {state.delivery_id} of {state.tenant_id}",
                f"the feed of run {run_id} is to be sent, and nothing will send it",
            )

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


@dataclass
class ExaminationMemory(Memory):
    """The part that was examined last, and the key where its examination stopped."""

    part: int | None = None  # None before the first examination
    after: str | None = None
    is_complete: bool = True

    def next_part(self, hour: int) -> int:
        """Return the part to examine: the unfinished one, or the one after it."""
        if self.part is None:
            return hour % SLICES
        return (self.part + 1) % SLICES if self.is_complete else self.part


def report_broken(
    occasion: Occasion,
    memory: ExaminationMemory | None = None,
) -> int:
    """Log each broken invariant, send the number of them, and return it.

    Only one part of the artifacts is looked for, and only until the deadline: a tick that takes
    too long is lost with all its duties. The next examination goes on where this one stops.
    """
    platform = occasion.platform
    memory = memory or ExaminationMemory()
    part = memory.next_part(occasion.now.hour)
    progress = Progress(None if memory.is_complete else memory.after)
    extent = Extent(part=part, deadline=occasion.deadline)
    findings = list(examine(platform, occasion.now, extent, progress))
    memory.part = part
    memory.after = progress.after
    memory.is_complete = progress.is_complete
    for finding in findings:
        _log.error(
            "invariant_broken",
            invariant=finding.invariant,
            subject=finding.subject,
        )
    if not progress.is_complete:
        _log.warning("invariants_cut_short", found=len(findings))
        platform.metrics.count(DOCTOR_CUT_SHORT)
    if findings or progress.is_complete:
        platform.metrics.count(INVARIANTS_BROKEN, len(findings))
    return len(findings)
