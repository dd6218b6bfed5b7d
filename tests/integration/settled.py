"""The one closing assertion of every scenario: whatever was broken, nothing is left over."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from integration.installation import Installation
from integration.sample_tenant import expected_csv
from integration.waiting import wait_for
from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb.run_writes import to_lock, to_record
from relay_dagster.execution.published_copies import feed_copy_key
from relay_dagster.maintenance.doctor import GRACE, Extent, Finding, examine
from relay_dagster.runs.model import RunRecord, Trigger
from relay_dagster.runs.ports import utc_now

SETTLE_SECONDS = 75


@dataclass(frozen=True, slots=True)
class Exceptions:
    """What a scenario has done on purpose and is no fault of the product.

    ``deleted`` are attempts whose Dagster run was deleted, ``doubled`` those for which a second
    Dagster run was started by hand, ``few`` tenants whose vendors have sent other feeds.
    """

    dead: Collection[str] = ()
    deleted: Collection[tuple[str, int]] = ()
    doubled: Collection[tuple[str, int]] = ()
    few: Collection[str] = ()


def everything_settled(
    relay: Installation, exceptions: Exceptions | None = None
) -> None:
    """Assert that the installation is at rest and that what it has done is whole.

    No record is open, no tenant locked, no message in the queue, seen or unseen; in the DLQ are
    the bodies of ``exceptions.dead`` alone; every attempt has had one Dagster run; every finished
    run's artifacts are whole, and every feed has the bytes of a run that nothing disturbed.
    The doctor finds nothing.
    A run that was found whole is looked at again when its record has changed.

    Raises:
        AssertionError: with everything that is wrong.
    """
    allowed = exceptions or Exceptions()
    wait_for(
        "nothing is open",
        lambda: not (left := list(_left_open(relay))) or _Falsy(left),
        within=SETTLE_SECONDS,
        every=0.5,
    )
    wrong = [*_dead_letters(relay, allowed.dead)]
    records = [
        record
        for record in _records(relay)
        if (record.run_id, record.revision) not in relay.seen
    ]
    for record in records:
        wrong += _dagster_runs(relay, record, allowed)
        if not record.hidden:
            wrong += _artifacts(relay, record, allowed.few)
    wrong += [
        f"{finding.invariant}: {finding.subject}: {finding.message}"
        for finding in _broken(relay)
    ]
    assert not wrong, "\n".join(wrong)
    relay.seen.update((record.run_id, record.revision) for record in records)


@dataclass(frozen=True, slots=True)
class _AllButLetters(Extent):
    """All artifacts; to read the dead letters would hide them from whoever counts them next."""

    reads_bytes: bool = True
    part: int | None = 0

    def has(self, run_id: str) -> bool:
        return bool(run_id)


def _broken(relay: Installation) -> Iterator[Finding]:
    """Yield what `relay server doctor` would find once its patience is over."""
    return examine(relay.aws, utc_now() + 2 * GRACE, _AllButLetters())


class _Falsy(list[str]):
    """What is wrong, for the message of a wait that goes on."""

    def __bool__(self) -> bool:
        return False


def _left_open(relay: Installation) -> Iterator[str]:
    for item in _items(relay, "RUN#"):
        record = to_record(item)
        if not record.has_ended or record.acknowledged_at is None:
            yield f"run {record.run_id} of {record.tenant_id} is {record.status}, open"
    for item in _items(relay, "LOCK#"):
        lock = to_lock(item["pk"]["S"].partition("#")[2], item)
        if lock.holder or lock.waiters:
            yield f"tenant {lock.tenant_id} is locked: {lock}"
    visible, in_flight = relay.queue_counts(relay.aws.queue.url)
    if visible or in_flight:
        yield f"the queue has {visible} visible messages and {in_flight} in flight"
    for run in relay.dagster.unfinished():
        yield f"Dagster run {run.run_id} is {run.status}"


def _dead_letters(
    relay: Installation, expected: Collection[str]
) -> Iterator[str]:
    letters = relay.dead_letters()
    bodies = Counter(str(letter["body"]) for letter in letters)
    if bodies != Counter(expected):
        yield f"the DLQ holds {letters}, expected {list(expected)}"
    for letter in letters:
        if not letter.get("cause"):
            yield f"a dead letter has no cause: {letter}"


def _dagster_runs(
    relay: Installation, record: RunRecord, allowed: Exceptions
) -> Iterator[str]:
    """Say for which attempt there is not exactly one Dagster run."""
    if record.trigger is Trigger.DAGSTER:
        if relay.dagster.run(record.run_id) is None:
            yield f"run {record.run_id} came from Dagster, which does not know it"
        return
    runs = relay.dagster.runs(record.run_id)
    counts = Counter(int(run.tags["relay/attempt"]) for run in runs)
    for attempt in range(1, max([record.attempt, *counts], default=0) + 1):
        expected_counts = {
            0 if (record.run_id, attempt) in allowed.deleted else 1
        }
        if (record.run_id, attempt) in allowed.doubled:
            expected_counts = {2}
        if record.status is RunStatus.CANCELLED and attempt == record.attempt:
            # Cancelled between the dispatch and Dagster's run.
            expected_counts.add(0)
        if attempt > record.attempt or counts[attempt] not in expected_counts:
            yield f"attempt {attempt} of run {record.run_id} has {counts[attempt]} Dagster runs"


def _artifacts(
    relay: Installation, record: RunRecord, few: Collection[str]
) -> Iterator[str]:
    run = f"run {record.run_id} ({record.status})"
    objects = relay.aws.objects
    artifacts = objects.artifacts(record.run_id, record.tenant_id)
    for name, key in record.artifacts.items():
        if artifacts.get(name) != key:
            yield f"{run} has no artifact {name}, which its record names"
    if record.status is RunStatus.CANCELLED and record.attempt == 0:
        if artifacts:
            yield f"{run} has artifacts, though nothing was dispatched: {sorted(artifacts)}"
    elif "run_summary" not in artifacts:
        yield f"{run} has no run summary"
    else:
        summary = json.loads(objects.read(artifacts["run_summary"]))
        summary_facts = (
            summary["status"],
            summary["attempt"],
            summary["error_code"],
        )
        expected_facts = (str(record.status), record.attempt, record.error_code)
        if record.hold is not None:
            # Whatever is decided later, the reports of a held run are never written again.
            summary_facts = summary_facts[:1]
            expected_facts = ("HELD",)
        elif record.status is RunStatus.CANCELLED:
            summary_facts = summary_facts[:1]
            expected_facts = expected_facts[:1]
        if summary_facts != expected_facts:
            yield f"{run} has a summary of {summary_facts}, not {expected_facts}"
    yield from _outcome(relay, record, artifacts, record.tenant_id in few)


def _outcome(
    relay: Installation,
    record: RunRecord,
    found: dict[str, str],
    has_others: bool,
) -> Iterator[str]:
    run = f"run {record.run_id} ({record.status})"
    yield from _published(relay, record, has_others)
    if record.status in (RunStatus.SUCCEEDED, RunStatus.HELD):
        if "merged_inventory" not in found:
            yield f"{run} has no merged feed"
        elif not has_others and relay.csv(record.run_id) != expected_csv():
            yield f"{run} has published other bytes than an undisturbed run"
        if not {"input_manifest", "config_snapshot"} <= found.keys():
            yield f"{run} lacks its manifest or its snapshot"
    else:
        if "merged_inventory" in found and record.hold is None:
            yield f"{run} has a merged feed, which it must not publish"
        if record.status is RunStatus.FAILED and "errors" not in found:
            yield f"{run} has no errors.json"


def _published(
    relay: Installation, record: RunRecord, has_others: bool
) -> Iterator[str]:
    """Say where the tenant's feed is not what the run's end has made of it."""
    run = f"run {record.run_id} ({record.status})"
    key = feed_copy_key(record, "csv")
    if record.status is RunStatus.HELD:
        if not relay.aws.objects.exists(key):
            yield f"{run} has no feed at {key} to be released"
        return
    if record.status is not RunStatus.SUCCEEDED or record.vendors is not None:
        if relay.aws.objects.exists(key):
            yield f"{run} has left a feed at {key}"
        return
    feed = relay.aws.runs.feed(record.tenant_id)
    if feed is None:
        yield f"{run} has not moved its tenant's feed"
    elif (
        not has_others
        and relay.aws.objects.read(feed.in_force.key) != expected_csv()
    ):
        yield f"the feed of {record.tenant_id} has other bytes than an undisturbed run's"


def _records(relay: Installation) -> list[RunRecord]:
    return [to_record(item) for item in _items(relay, "RUN#")]


def _items(relay: Installation, prefix: str) -> list[Any]:
    """Return every item of a kind, past all indexes."""
    pages = relay.aws.clients.dynamodb.get_paginator("scan").paginate(
        TableName=relay.aws.settings.runs_table,
        FilterExpression="begins_with(pk, :prefix)",
        ExpressionAttributeValues={":prefix": {"S": prefix}},
        ConsistentRead=True,
    )
    return [item for page in pages for item in page["Items"]]
