"""The doctor names each damage, and has nothing to say of what is whole."""

import contextlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import boto3
import dagster as dg
import pytest
from botocore.config import Config

from relay_core.domain.codes import RunStatus
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.aws.dynamodb.run_writes import feed_item, to_item
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.metrics import (
    DOCTOR_CUT_SHORT,
    INVARIANTS_BROKEN,
    Metrics,
)
from relay_dagster.drain import Deadline
from relay_dagster.external_errors import MissingResourceError
from relay_dagster.maintenance import doctor
from relay_dagster.maintenance.doctor import (
    SLICES,
    ExaminationMemory,
    Extent,
    Invariant,
    examine,
    report_broken,
)
from relay_dagster.maintenance.housekeeping import Occasion
from relay_dagster.maintenance.reconciler import ReconcileTick
from relay_dagster.orchestration.dagster_instance import DagsterExecutions
from relay_dagster.runs.model import DueQueue, NewRun, RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform, connect
from support.builders import feed
from support.fakes import embedded_platform
from support.run_world import TENANT, World

FIRST, HELD, OPEN, NOBODY = (
    f"{n}c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11" for n in "1239"
)
ROWS = [f"S{number:02},5,10.00" for number in range(20)]
LATER = timedelta(hours=2)
PENDING = {
    "run_id": {"S": FIRST},
    "seq": {"N": "1"},
    "published_at": {"S": "2026-03-01T12:00:00.000000Z"},
}
"""A publication that is to be delivered, as it is stored."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A published feed, a held one, and a run that waits for its turn."""
    with (
        embedded_platform() as platform,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        world = World(platform, instance)
        file = {"columns": ["sku", "price"], "compression": "gzip"}
        world.store_config(channels=[{"channel_id": "shop", "output": file}])
        for run_id, rows in ((FIRST, ROWS), (HELD, ROWS[:2])):
            world.upload("vendor_1", feed(*rows), name=f"{run_id[0]}.csv")
            world.run(run_id)
        ReconcileTick(platform, DagsterExecutions(instance)).run()
        assert world.record(FIRST).acknowledged_at is not None
        assert world.record(HELD).status is RunStatus.HELD
        platform.ledger.reserve(NewRun(run_id=OPEN, tenant_id=TENANT))
        platform.ledger.messages.mark_sent(OPEN, str(uuid.uuid4()))
        yield world


def found(world: World, **extent: Any) -> list[tuple[Invariant, str]]:
    findings = examine(world.platform, utc_now() + LATER, Extent(**extent))
    return [(finding.invariant, finding.subject) for finding in findings]


class Counted(Metrics):
    """Keeps the numbers that are sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    def count(self, name: str, number: int = 1) -> None:
        self.sent.append((name, number))


@contextlib.contextmanager
def changed(world: World, key: str, **values: Any) -> Iterator[None]:
    """Set attributes of an item, or remove those that are None; put the item back in the end."""
    name = world.platform.settings.runs_table
    database = world.platform.clients.dynamodb
    before = database.get_item(TableName=name, Key={"pk": {"S": key}}).get(
        "Item"
    )
    item = {**(before or {"pk": {"S": key}}), **values}
    attributes = {
        attribute: value
        for attribute, value in item.items()
        if value is not None
    }
    database.put_item(TableName=name, Item=attributes)
    try:
        yield
    finally:
        if before is None:
            database.delete_item(TableName=name, Key={"pk": {"S": key}})
        else:
            database.put_item(TableName=name, Item=before)


@contextlib.contextmanager
def without(world: World, key: str) -> Iterator[None]:
    """Delete an object; put it back in the end, as it was copied there."""
    objects = world.platform.objects
    backup = f"before/{key}"
    objects.copy(key, backup)
    objects.delete(key)
    try:
        yield
    finally:
        objects.copy(backup, key)


def channel_copy(world: World, run_id: str) -> str:
    """Return the key of the published copy of a run's channel."""
    return f"published/{TENANT}/{run_id}.shop.csv.gz"


@contextlib.contextmanager
def with_other_bytes(world: World, key: str) -> Iterator[None]:
    """Put other bytes in an object's place; put the object back in the end."""
    with without(world, key):
        world.platform.objects.put(key, b"sku\n")
        yield


@contextlib.contextmanager
def stray(world: World) -> Iterator[None]:
    """Put a run's message among the dead letters, as nobody does who says why."""
    sqs = world.platform.clients.sqs
    queue = world.platform.queue
    sqs.send_message(
        QueueUrl=queue.dlq_url, MessageBody=world.record(FIRST).job.body()
    )
    try:
        yield
    finally:
        sqs.purge_queue(QueueUrl=queue.dlq_url)


def other_hash(world: World) -> dict[str, Any]:
    name = world.platform.settings.runs_table
    database = world.platform.clients.dynamodb
    item = database.get_item(
        TableName=name, Key={"pk": {"S": Kind.FEED.key(TENANT)}}
    )["Item"]
    publications = [
        {"M": {**publication["M"], "sha256": {"S": "0" * 64}}}
        for publication in item["publications"]["L"]
    ]
    return {"publications": {"L": publications}}


def of_a_kept_feed_that_is_gone(world: World) -> dict[str, Any]:
    name = world.platform.settings.runs_table
    database = world.platform.clients.dynamodb
    item = database.get_item(
        TableName=name, Key={"pk": {"S": Kind.FEED.key(TENANT)}}
    )["Item"]
    (newest,) = item["publications"]["L"]
    missing = {
        **newest["M"],
        "run_id": {"S": NOBODY},
        "key": {"S": "published/gone.csv"},
    }
    return {"publications": {"L": [newest, {"M": missing}]}}


DAMAGES: dict[str, tuple[Callable[[World], Any], Invariant]] = {
    "a run that has no time of its next check": (
        lambda world: changed(
            world, Kind.RUN.key(OPEN), due_at=None, due_shard=None
        ),
        Invariant.UNCHECKED_RUN,
    ),
    "a run whose check is long over": (
        lambda world: changed(
            world,
            Kind.RUN.key(OPEN),
            due_lane={"S": DueQueue.ATTEMPT},
            due_at={"S": "2020-01-01T00:00:00.000000Z"},
        ),
        Invariant.OVERDUE_RUN,
    ),
    "a record that this release cannot read": (
        lambda world: changed(
            world,
            Kind.RUN.key(OPEN),
            due_at={"S": "tomorrow"},
            stage={"S": "?"},
        ),
        Invariant.UNREADABLE_ITEM,
    ),
    "a lock of a run that is not there": (
        lambda world: changed(
            world, Kind.LOCK.key("other"), holder={"S": NOBODY}
        ),
        Invariant.LOCK_WITHOUT_RUN,
    ),
    "a lock of a run that has ended": (
        lambda world: changed(
            world, Kind.LOCK.key("other"), holder={"S": FIRST}
        ),
        Invariant.LOCK_WITHOUT_RUN,
    ),
    "a lock that a run waits for which is not there": (
        lambda world: changed(
            world,
            Kind.LOCK.key("other"),
            waiters={"SS": [f"2026-01-01T00:00:00.000000Z#{NOBODY}"]},
        ),
        Invariant.LOCK_WITHOUT_RUN,
    ),
    "a run that thinks it has the lock": (
        lambda world: changed(world, Kind.LOCK.key(TENANT), holder=None),
        Invariant.RUN_WITHOUT_LOCK,
    ),
    "a pointer to another hash": (
        lambda world: changed(
            world, Kind.FEED.key(TENANT), **other_hash(world)
        ),
        Invariant.OTHER_FEED,
    ),
    "a pointer whose feed is gone": (
        lambda world: without(
            world, world.platform.runs.feed(TENANT).in_force.key
        ),
        Invariant.FEED_GONE,
    ),
    "a pointer whose channel is gone": (
        lambda world: without(world, channel_copy(world, FIRST)),
        Invariant.FEED_GONE,
    ),
    "a pointer to another hash of a channel": (
        lambda world: with_other_bytes(world, channel_copy(world, FIRST)),
        Invariant.OTHER_FEED,
    ),
    "a held feed whose channel is gone": (
        lambda world: without(world, channel_copy(world, HELD)),
        Invariant.HELD_FEED_GONE,
    ),
    "a held feed that is gone": (
        lambda world: without(world, world.record(HELD).feed_key),
        Invariant.HELD_FEED_GONE,
    ),
    "a hold of a run that is not held": (
        lambda world: changed(
            world, Kind.FEED.key(TENANT), held_run_id={"S": FIRST}
        ),
        Invariant.HOLD_WITHOUT_RUN,
    ),
    "artifacts that are gone": (
        lambda world: without(
            world, world.record(FIRST).artifacts["run_summary"]
        ),
        Invariant.ARTIFACTS_GONE,
    ),
    "one of many artifacts that is gone": (
        lambda world: without(
            world, world.record(FIRST).artifacts["config_snapshot"]
        ),
        Invariant.ARTIFACTS_GONE,
    ),
    "an artifact of a held run that is gone": (
        lambda world: without(world, world.record(HELD).artifacts["report"]),
        Invariant.ARTIFACTS_GONE,
    ),
    "a delivery that nothing makes due": (
        lambda world: changed(
            world,
            Kind.DELIVERY.key(TENANT, "bazaar"),
            tenant_id={"S": TENANT},
            delivery_id={"S": "bazaar"},
            pending={"M": PENDING},
        ),
        Invariant.UNSENT_DELIVERY,
    ),
    "a dead letter that nobody knows": (stray, Invariant.UNKNOWN_DEAD_LETTER),
}


def test_what_is_whole_has_no_finding(world: World) -> None:
    assert found(world, reads_bytes=True) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_named(world: World, damage: str) -> None:
    do, invariant = DAMAGES[damage]
    with do(world):
        assert {name for name, _ in found(world)} == {invariant}


def test_every_artifact_that_a_record_names_is_asked_for(world: World) -> None:
    artifacts = world.record(FIRST).artifacts
    gone = ("config_snapshot", "input_manifest")
    with contextlib.ExitStack() as stack:
        for name in gone:
            stack.enter_context(without(world, artifacts[name]))
        (finding,) = examine(world.platform, utc_now() + LATER, Extent())
    assert finding.message.endswith(
        f": {', '.join(artifacts[name] for name in gone)}"
    )


@pytest.mark.parametrize(
    ("name", "invariant"),
    [
        ("report", Invariant.ARTIFACTS_GONE),
        ("merged_inventory", Invariant.ARTIFACTS_GONE),
    ],
)
def test_files_that_are_gone_are_named_at_once(
    world: World, name: str, invariant: Invariant
) -> None:
    with without(world, world.record(FIRST).artifacts[name]):
        findings = list(examine(world.platform, utc_now(), Extent()))
    assert [finding.invariant for finding in findings] == [invariant]


def test_files_that_are_over_with_their_days_are_no_fault(world: World) -> None:
    days = timedelta(days=world.platform.settings.retention_days)
    with without(world, world.record(FIRST).artifacts["run_summary"]):
        assert list(examine(world.platform, utc_now() + days, Extent())) == []


def test_a_feed_beyond_those_that_are_kept_now_may_be_gone(
    world: World,
) -> None:
    fewer = connect(
        world.platform.settings.model_copy(update={"keep_published": 1})
    )
    with changed(
        world, Kind.FEED.key(TENANT), **of_a_kept_feed_that_is_gone(world)
    ):
        assert list(examine(fewer, utc_now() + LATER, Extent())) == []


def test_a_tenant_that_is_being_deleted_is_left_alone(world: World) -> None:
    with without(world, world.record(FIRST).artifacts["report"]):
        world.platform.deletions.ask(TENANT, timedelta(days=7))
        assert found(world) == []
        world.platform.deletions.restore(TENANT)
        assert found(world) != []


@contextlib.contextmanager
def counted(client: Any) -> Iterator[Counter[str]]:
    """Count the calls that a client makes, by their names."""
    calls: Counter[str] = Counter()
    client.meta.events.register(
        "before-call", count := lambda model, **_: calls.update([model.name])
    )
    try:
        yield calls
    finally:
        client.meta.events.unregister("before-call", count)


@contextlib.contextmanager
def stored(world: World, items: list[Any]) -> Iterator[None]:
    """Store items; delete them in the end."""
    table = world.platform.database.runs
    table.write_all({"PutRequest": {"Item": item}} for item in items)
    try:
        yield
    finally:
        table.write_all(
            {"DeleteRequest": {"Key": {"pk": item["pk"]}}} for item in items
        )


def ended_runs(world: World, count: int) -> list[RunRecord]:
    """Return so many runs that have ended, of ids of all parts of a day, with no artifacts."""
    ids = (
        f"{number * 2**32 // count:08x}-{NOBODY[9:]}" for number in range(count)
    )
    return [
        replace(world.record(FIRST), run_id=run_id, artifacts={})
        for run_id in ids
    ]


def test_items_are_read_a_hundred_at_once(world: World) -> None:
    """Of a hundred tenants more, DynamoDB is asked for few more calls."""
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    items = [
        feed_item(replace(pointer, tenant_id=f"t{number}"))
        for number in range(100)
    ]
    with (
        stored(world, items),
        counted(world.platform.clients.dynamodb) as calls,
    ):
        assert found(world, part=0) == []
    assert calls.total() - calls["BatchWriteItem"] < 60, calls


def test_a_listing_has_the_files_of_many_runs(world: World) -> None:
    """Of a hundred runs more, S3 is asked for no more than a listing of each batch."""
    runs = ended_runs(world, 100)
    wants = replace(
        runs[50],
        artifacts={"report": ArtifactKeys(runs[50].run_id, TENANT).report},
    )
    runs[50] = wants
    with (
        stored(world, [*map(to_item, runs)]),
        counted(world.platform.clients.s3) as calls,
    ):
        assert found(world) == [
            (Invariant.ARTIFACTS_GONE, f"run {wants.run_id} of {TENANT}")
        ]
        world.platform.objects.put(wants.artifacts["report"], b"")
        assert found(world) == []
    assert calls["ListObjectsV2"] <= 2 * 16, calls


def test_runs_that_are_whole_and_of_another_part_never_leave_the_table(
    world: World,
) -> None:
    runs = ended_runs(world, 2 * SLICES)
    reads = Counter[str]()
    events = world.platform.clients.dynamodb.meta.events

    def count(parsed: Any, **_: Any) -> None:
        reads.update(item["pk"]["S"] for item in parsed["Items"])

    with stored(world, [*map(to_item, runs)]):
        events.register("after-call.dynamodb.Scan", count)
        try:
            assert [found(world, part=part) for part in range(SLICES)] == [
                []
            ] * SLICES
        finally:
            events.unregister("after-call.dynamodb.Scan", count)
    assert {reads[Kind.RUN.key(run.run_id)] for run in runs} == {1}


def test_a_table_that_is_not_there_is_told_and_no_defect(world: World) -> None:
    elsewhere = connect(
        world.platform.settings.model_copy(update={"runs_table": "gone"})
    )
    with pytest.raises(MissingResourceError, match="ResourceNotFoundException"):
        list(examine(elsewhere, utc_now(), Extent()))


def put_with(
    world: World, key: str, content: bytes = b"sku\n", **options: Any
) -> None:
    """Store bytes under a key, as somebody else's client does."""
    config = Config(
        request_checksum_calculation="when_required", region_name="us-east-1"
    )
    client = boto3.client("s3", config=config)
    client.put_object(
        Bucket=world.platform.objects.bucket, Key=key, Body=content, **options
    )


@pytest.mark.parametrize("algorithm", ["SHA256", "CRC32"])
def test_a_feed_of_other_bytes_is_found_by_its_checksum(
    world: World, algorithm: str
) -> None:
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    with without(world, pointer.in_force.key):
        put_with(world, pointer.in_force.key, ChecksumAlgorithm=algorithm)
        assert found(world) == [(Invariant.OTHER_FEED, f"tenant {TENANT}")]


def test_a_feed_of_other_bytes_is_found_without_a_checksum_where_feeds_are_read(
    world: World,
) -> None:
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    with without(world, pointer.in_force.key):
        put_with(world, pointer.in_force.key)
        assert found(world) == []
        assert found(world, reads_bytes=True) == [
            (Invariant.OTHER_FEED, f"tenant {TENANT}")
        ]


@pytest.mark.parametrize(
    "run_id",
    [
        "",
        "00000000",
        "0aaaaaaa~",
        "0aaaaaab",
        "7fffffff",
        "FFFF",
        "ffffffff-1",
        "run-1",
    ],
)
def test_whatever_its_id_a_run_is_of_one_part_of_a_day(run_id: str) -> None:
    assert sum(Extent(part=part).has(run_id) for part in range(SLICES)) == 1
    assert Extent().has(run_id)


def test_the_artifacts_of_each_run_are_asked_for_in_one_part_of_a_day(
    world: World,
) -> None:
    parts = [part for part in range(SLICES) if Extent(part=part).has(FIRST)]
    assert len(parts) == 1
    with without(world, world.record(FIRST).artifacts["run_summary"]):
        assert found(world, part=parts[0]) != []
        assert found(world, part=(parts[0] + 1) % SLICES) == []


def test_a_kept_feed_is_looked_for_in_one_part_of_a_day_and_the_one_in_force_in_each(
    world: World,
) -> None:
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    (own_part,) = (
        part for part in range(SLICES) if Extent(part=part).has(NOBODY)
    )
    other_part = (own_part + 1) % SLICES
    with changed(
        world, Kind.FEED.key(TENANT), **of_a_kept_feed_that_is_gone(world)
    ):
        assert found(world, part=other_part) == []
        assert found(world, part=own_part) == [
            (Invariant.FEED_GONE, f"tenant {TENANT}")
        ]
    with without(world, pointer.in_force.key):
        assert found(world, part=other_part) != []


def test_the_hourly_look_says_how_many_are_broken(world: World) -> None:
    with changed(world, Kind.LOCK.key("other"), holder={"S": NOBODY}):
        assert (
            report_broken(
                Occasion(world.platform, utc_now(), Deadline.after(60))
            )
            == 1
        )
    assert (
        report_broken(Occasion(world.platform, utc_now(), Deadline.after(60)))
        == 0
    )


def test_files_that_are_gone_are_found_without_patience(world: World) -> None:
    """They do not come back, so nothing is to be waited for."""
    with without(world, world.record(FIRST).artifacts["report"]):
        findings = examine(world.platform, utc_now(), Extent())
        assert [finding.invariant for finding in findings] == [
            Invariant.ARTIFACTS_GONE
        ]


@contextlib.contextmanager
def counted_scans(platform: Platform) -> Iterator[list[str]]:
    """Yield a list that has an entry for each page of a scan."""
    events = platform.clients.dynamodb.meta.events
    pages: list[str] = []

    def note_page(params: Any, **_: Any) -> None:
        start = params.get("ExclusiveStartKey", {"pk": {"S": ""}})
        pages.append(start["pk"]["S"])

    events.register("provide-client-params.dynamodb.Scan", note_page)
    try:
        yield pages
    finally:
        events.unregister("provide-client-params.dynamodb.Scan", note_page)


def test_a_look_that_is_cut_short_goes_on_where_it_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of the scan has about three of these locks, of runs that do not exist."""
    monkeypatch.setattr(doctor, "_MAX_SUSPECTS", 1)
    locks = [
        {
            "pk": {"S": Kind.LOCK.key(f"t{number}")},
            "holder": {"S": NOBODY},
            "padding": {"S": "x" * 300_000},
        }
        for number in range(9)
    ]
    metrics = Counted()
    platform = replace(world.platform, metrics=metrics)
    memory = ExaminationMemory()
    parts = []
    broken = []
    with stored(world, locks), counted_scans(platform) as pages:

        def second_page_asked_for(first: int) -> float:
            return 100.0 if len(pages) > first else 0.0

        for _ in range(8):
            # The time is up when a second page is asked for.
            seconds = partial(second_page_asked_for, len(pages) + 1)
            deadline = Deadline.after(60, seconds)
            occasion = Occasion(platform, utc_now(), deadline)
            broken.append(report_broken(occasion, memory))
            parts.append(memory.part)
            if memory.is_complete:
                break
    assert memory.is_complete
    assert len(set(parts)) == 1
    assert sum(broken) == 9
    cut_short = len(broken) - 1
    assert cut_short >= 2
    assert metrics.sent.count((DOCTOR_CUT_SHORT, 1)) == cut_short
    assert (INVARIANTS_BROKEN, 0) not in metrics.sent[:-1]


def test_the_next_look_is_at_the_next_part(world: World) -> None:
    memory = ExaminationMemory()
    parts = []
    for _ in range(SLICES + 1):
        occasion = Occasion(world.platform, utc_now(), Deadline.after(60))
        report_broken(occasion, memory)
        parts.append(memory.part)
    assert set(parts) == set(range(SLICES))
    assert parts[0] == parts[-1]


def test_the_hourly_look_ends_with_its_time(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = Counted()
    with changed(world, Kind.LOCK.key("other"), holder={"S": NOBODY}):
        assert (
            report_broken(
                Occasion(
                    replace(world.platform, metrics=metrics),
                    utc_now(),
                    Deadline.after(-1),
                )
            )
            == 0
        )
    assert metrics.sent == [(DOCTOR_CUT_SHORT, 1)]
    assert "invariants_cut_short" in capsys.readouterr().err


def test_a_feed_whose_copy_has_another_checksum_is_read_and_never_broken(
    world: World,
) -> None:
    """Early releases published copies that have a CRC32 alone."""
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    key = pointer.in_force.key
    content = world.platform.objects.read(key)
    with without(world, key):
        put_with(world, key, content, ChecksumAlgorithm="CRC32")
        assert found(world) == []
        assert found(world, reads_bytes=True) == []
        deadline = Deadline.after(60)
        assert found(world, part=0, deadline=deadline) == []
        put_with(world, key, ChecksumAlgorithm="CRC32")
        assert found(world) == [(Invariant.OTHER_FEED, f"tenant {TENANT}")]
        # An hourly look has no time to read it, and says nothing against it.
        assert found(world, part=0, deadline=deadline) == []


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_once_its_time_is_up_in_the_scan_no_file_is_asked_for(
    world: World, rows: int
) -> None:
    # One reading at the beginning, and one at each of these rows.
    readings = iter([0.0] * (1 + rows))
    deadline = Deadline.after(60, lambda: next(readings, 100.0))
    with counted(world.platform.clients.s3) as calls:
        assert found(world, deadline=deadline) == []
    assert not calls
