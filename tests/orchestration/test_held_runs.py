"""Feeds that are held back, released and published again; and vendors' last good feeds."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import pytest

from relay_core.domain.codes import RunStatus
from relay_dagster.execution.published_copies import feed_copy_key, state_key
from relay_dagster.runs.errors import (
    FeedNotKeptError,
    HoldMismatchError,
    RunNotHeldError,
    TenantBusyError,
)
from relay_dagster.runs.model import Release, RunRecord
from support.builders import feed, vendor_document
from support.fakes import embedded_platform
from support.run_world import TENANT, World, failure_of, with_objects

FIRST, SECOND, THIRD = (
    f"{n}c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11" for n in "123"
)
WHOLE = [f"S{number:02},5,10.00" for number in range(20)]


def sync(
    world: World, run_id: str, *rows: str, vendor_id: str = "vendor_1"
) -> RunRecord:
    """Upload a feed and run."""
    world.upload(vendor_id, feed(*rows), name=f"{run_id[0]}.csv")
    world.run(run_id)
    return world.record(run_id)


def in_force(world: World) -> str:
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    return pointer.in_force.run_id


def held_run_id(world: World) -> str | None:
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    return pointer.held_run_id


def decision(record: RunRecord, **changes: Any) -> Release:
    assert record.hold is not None
    judged = {"sha256": record.hold.sha256, "guards": record.hold.guard_names}
    return Release(
        **{**judged, "reason": "a planned sale", "by": "ops", **changes}
    )


def held(world: World) -> RunRecord:
    """Publish a feed, then have a run whose feed lost nearly all of it."""
    world.store_config()
    sync(world, FIRST, *WHOLE)
    return sync(world, SECOND, *WHOLE[:2])


# --- held ---------------------------------------------------------------------------------------


def test_the_first_feed_of_a_tenant_is_compared_with_none(world: World) -> None:
    world.store_config()
    record = sync(world, FIRST, *WHOLE)
    assert (record.status, record.baseline_run_id) == (
        RunStatus.SUCCEEDED,
        None,
    )
    assert world.report("run_summary", FIRST)["guards"] is None


def test_a_feed_that_lost_most_of_the_published_one_is_held_and_the_shop_keeps_the_old(
    world: World,
) -> None:
    record = held(world)
    assert (record.status, record.stage, record.failed_stage) == (
        RunStatus.HELD,
        "WRITE_OUTPUTS",
        None,
    )
    assert record.hold is not None
    assert record.hold.baseline_run_id == record.baseline_run_id == FIRST
    assert record.hold.guard_names == {"skus_removed", "vendor_rows"}
    assert record.hold.guards[0] == {
        "guard": "skus_removed",
        "tripped": True,
        "value": "0.9000",
        "limit": "0.50",
        "count": 18,
        "of": 20,
        "examples": [
            {"sku": f"S{n:02}", "before": "10.00", "after": None}
            for n in range(2, 7)
        ],
    }
    assert (in_force(world), held_run_id(world)) == (FIRST, SECOND)
    assert world.platform.runs.lock(TENANT).active_run_id is None
    for copy in (feed_copy_key(record, "csv"), state_key(record)):
        assert world.platform.objects.exists(copy)
    assert {"merged_inventory", "baseline_state", "run_summary"} <= set(
        record.artifacts
    )
    assert world.report("run_summary", SECOND)["status"] == "HELD"


def test_a_run_tells_what_its_feed_changes_in_artifact_summary_record_and_dagster(
    world: World,
) -> None:
    world.store_config()
    sync(world, FIRST, *WHOLE)
    world.upload("vendor_1", feed(*WHOLE[:18], "S18,9,10.00"), name="later.csv")
    (materialization,) = world.run(SECOND).asset_materializations_for_node(
        "merged_inventory"
    )
    record = world.record(SECOND)
    assert world.artifact("changes", SECOND).decode().splitlines()[1:] == [
        "S18,changed,vendor_1,vendor_1,5,9,10.00,10.00",
        "S19,removed,vendor_1,,5,,10.00,",
    ]
    changes = world.report("run_summary", SECOND)["changes"]
    assert (
        changes["baseline_run_id"],
        changes["removed"],
        changes["unchanged"],
    ) == (
        FIRST,
        1,
        18,
    )
    assert {
        "baseline_run_id": record.baseline_run_id,
        **(record.changes or {}),
    } == changes
    assert materialization.metadata["changes/removed"].value == 1
    assert str(materialization.metadata["artifact/changes"].value).endswith(
        "/reports/changes.csv"
    )


def test_a_first_run_and_a_run_of_some_vendors_are_compared_with_nothing(
    world: World,
) -> None:
    world.store_config(
        vendor_document("vendor_1"), vendor_document("vendor_2", required=False)
    )
    sync(world, FIRST, *WHOLE)
    world.run(SECOND, vendors=("vendor_1",))
    for run_id in (FIRST, SECOND):
        assert world.record(run_id).status is RunStatus.SUCCEEDED
        assert world.record(run_id).changes is None
        assert world.report("run_summary", run_id)["changes"] is None
        assert "changes" not in world.names(run_id)


def test_the_record_tells_the_first_200_characters_of_a_sku(
    world: World,
) -> None:
    world.store_config()
    sync(
        world,
        FIRST,
        *(f"{number:02}{'S' * 300},5,10.00" for number in range(20)),
    )
    record = sync(world, SECOND, "A,5,10.00")
    assert record.hold is not None
    assert record.hold.guards[0]["examples"][0]["sku"] == "00" + "S" * 198
    sku = world.report("run_summary", SECOND)["guards"][0]["examples"][0]["sku"]
    assert sku == "00" + "S" * 300


def test_a_held_run_succeeds_in_dagster_and_its_check_fails(
    world: World,
) -> None:
    world.store_config()
    sync(world, FIRST, *WHOLE)
    world.upload("vendor_1", feed(*WHOLE[:2]), name="later.csv")
    result = world.run(SECOND)
    assert result.success
    (check,) = [
        evaluation
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.check_name == "feed_within_guards"
    ]
    assert (check.passed, check.severity) == (
        False,
        dg.AssetCheckSeverity.ERROR,
    )
    (materialization,) = result.asset_materializations_for_node(
        "merged_inventory"
    )
    assert (
        materialization.metadata["held_by"].value == "skus_removed, vendor_rows"
    )
    assert SECOND in str(materialization.metadata["to_release"].value)


def test_a_feed_that_is_only_warned_of_is_published(world: World) -> None:
    world.store_config(guards={"mode": "warn"})
    sync(world, FIRST, *WHOLE)
    record = sync(world, SECOND, *WHOLE[:2])
    assert (record.status, in_force(world)) == (RunStatus.SUCCEEDED, SECOND)
    assert world.report("run_summary", SECOND)["warnings"] == {
        "GUARD_TRIPPED": 2
    }


def test_a_run_that_was_posted_with_its_config_version_is_compared_too(
    world: World,
) -> None:
    world.store_config()
    sync(world, FIRST, *WHOLE)
    world.upload("vendor_1", feed(*WHOLE[:2]), name="later.csv")
    world.run(SECOND, config_version=1)
    record = world.record(SECOND)
    assert (record.status, record.baseline_run_id) == (RunStatus.HELD, FIRST)


def test_every_attempt_is_compared_with_the_feed_that_was_pinned(
    world: World,
) -> None:
    world.store_config()
    sync(world, FIRST, *WHOLE)
    world.upload("vendor_1", feed(*WHOLE[:2]), name="later.csv")
    world.request(SECOND)
    world.dispatch(run_id=SECOND)
    world.execute(
        run_id=SECOND, assets=["fetched_inventory", "normalized_inventory"]
    )
    assert world.record(SECOND).baseline_run_id == FIRST
    assert world.platform.objects.exists(
        world.record(SECOND).keys.baseline_state
    )


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_a_baseline_that_cannot_be_read_is_tried_again_and_never_passed_over(
    world: World, harm: str
) -> None:
    world.store_config()
    state = state_key(sync(world, FIRST, *WHOLE))
    if harm == "gone":
        world.platform.objects.delete(state)
    else:
        world.platform.objects.put(state, b"PAR1 and no more")
    record = sync(world, SECOND, *WHOLE)
    assert (record.status, record.error_code) == (
        RunStatus.QUEUED,
        "baseline_lost",
    )
    assert in_force(world) == FIRST


def test_a_run_of_some_vendors_is_not_compared(world: World) -> None:
    world.store_config(
        vendor_document("vendor_1"), vendor_document("vendor_2", required=False)
    )
    sync(world, FIRST, *WHOLE)
    world.upload("vendor_1", feed(*WHOLE[:2]), name="later.csv")
    world.run(SECOND, vendors=("vendor_1",))
    assert world.record(SECOND).status is RunStatus.SUCCEEDED
    assert in_force(world) == FIRST


def test_a_run_that_is_cancelled_after_all_tells_no_changes(
    world: World,
) -> None:
    class CancelsOnChanges:
        def __init__(self, objects: Any) -> None:
            self._objects = objects

        def __getattr__(self, name: str) -> Any:
            return getattr(self._objects, name)

        def put_stream(self, key: str, chunks: Any, **options: Any) -> Any:
            if key.endswith("/changes.csv"):
                world.platform.ledger.request_cancel(SECOND)
            return self._objects.put_stream(key, chunks, **options)

    world.store_config()
    sync(world, FIRST, *WHOLE)
    cancelling = with_objects(
        world.platform, CancelsOnChanges(world.platform.objects)
    )
    world.connect = lambda: cancelling
    record = sync(world, SECOND, *WHOLE[:18])
    assert (record.status, record.changes) == (RunStatus.CANCELLED, None)
    assert not {"changes", "merged_inventory"} & (
        world.names(SECOND) | set(record.artifacts)
    )
    assert world.report("run_summary", SECOND)["changes"] is None


# --- what becomes of it -------------------------------------------------------------------------


def test_a_release_publishes_what_was_held_and_the_next_run_is_compared_with_it(
    world: World,
) -> None:
    record = held(world)
    released = world.platform.ledger.feeds.release(
        SECOND, decision(record)
    ).record
    assert (released.status, released.released_by) == (
        RunStatus.SUCCEEDED,
        "ops",
    )
    assert (in_force(world), held_run_id(world)) == (SECOND, None)
    assert sync(world, THIRD, *WHOLE[:2]).baseline_run_id == SECOND
    assert world.record(THIRD).status is RunStatus.SUCCEEDED


def test_a_release_of_something_else_than_is_held_is_refused(
    world: World,
) -> None:
    record = held(world)
    with pytest.raises(HoldMismatchError, match=r"skus_removed, vendor_rows"):
        world.platform.ledger.feeds.release(
            SECOND, decision(record, sha256="0" * 64)
        )
    assert (world.record(SECOND).status, in_force(world)) == (
        RunStatus.HELD,
        FIRST,
    )


def test_nothing_is_released_or_rolled_back_while_the_tenant_has_a_run(
    world: World,
) -> None:
    record = held(world)
    world.request(THIRD)
    with pytest.raises(TenantBusyError):
        world.platform.ledger.feeds.release(SECOND, decision(record))
    world.platform.ledger.request_cancel(THIRD)
    world.platform.ledger.feeds.release(SECOND, decision(record))
    world.platform.ledger.adopt(record.job.__class__(RUN_STRAIGHT, TENANT))
    with pytest.raises(TenantBusyError):
        world.platform.ledger.feeds.roll_back(TENANT, FIRST)


RUN_STRAIGHT = "9c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11"


def test_a_cancel_discards_what_is_held(world: World) -> None:
    record = held(world)
    over = world.platform.ledger.request_cancel(SECOND)
    assert (over.status, over.failed_stage) == (
        RunStatus.CANCELLED,
        "WRITE_OUTPUTS",
    )
    assert (in_force(world), held_run_id(world)) == (FIRST, None)
    with pytest.raises(RunNotHeldError):
        world.platform.ledger.feeds.release(SECOND, decision(record))


@pytest.mark.parametrize(
    ("rows", "status"),
    [(WHOLE, RunStatus.SUCCEEDED), (WHOLE[:3], RunStatus.HELD)],
)
def test_the_next_feed_that_is_published_or_held_gives_the_held_one_up(
    world: World, rows: list[str], status: RunStatus
) -> None:
    record = held(world)
    assert sync(world, THIRD, *rows).status is status
    older = world.record(SECOND)
    assert (older.status, older.error_code) == (
        RunStatus.CANCELLED,
        "HOLD_SUPERSEDED",
    )
    with pytest.raises(RunNotHeldError):
        world.platform.ledger.feeds.release(SECOND, decision(record))
    assert held_run_id(world) == (THIRD if status is RunStatus.HELD else None)


def test_a_run_that_fails_leaves_what_is_held(world: World) -> None:
    held(world)
    assert sync(world, THIRD, "S00,many,1.00").status is RunStatus.FAILED
    assert (world.record(SECOND).status, held_run_id(world)) == (
        RunStatus.HELD,
        SECOND,
    )


def test_a_rollback_publishes_an_earlier_feed_again_and_gives_up_what_is_held(
    world: World,
) -> None:
    world.store_config()
    sync(world, FIRST, *WHOLE)
    sync(world, SECOND, *WHOLE[:15])
    sync(world, THIRD, *WHOLE[:1])
    assert world.record(THIRD).status is RunStatus.HELD
    feed_now = world.platform.ledger.feeds.roll_back(TENANT, FIRST).feed
    assert [
        (publication.run_id, publication.seq)
        for publication in feed_now.publications
    ] == [
        (FIRST, 3),
        (SECOND, 2),
        (FIRST, 1),
    ]
    assert world.record(THIRD).error_code == "HOLD_SUPERSEDED"
    assert world.platform.ledger.feeds.roll_back(TENANT, FIRST).feed == feed_now
    assert (world.record(FIRST).published_seq, world.record(FIRST).status) == (
        3,
        RunStatus.SUCCEEDED,
    )


def test_a_feed_that_is_not_kept_is_not_published_again() -> None:
    with (
        embedded_platform(keep_published=1) as platform,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        world = World(platform, instance)
        world.store_config()
        sync(world, FIRST, *WHOLE)
        sync(world, SECOND, *WHOLE)
        with pytest.raises(FeedNotKeptError):
            platform.ledger.feeds.roll_back(TENANT, FIRST)


# --- a vendor's trouble ---------------------------------------------------------------------------


def two_vendors(**changes: Any) -> list[dict[str, Any]]:
    return [vendor_document("vendor_1", **changes), vendor_document("vendor_2")]


def test_a_vendor_s_half_feed_is_replaced_by_its_last_good_one(
    world: World,
) -> None:
    good = {
        "on_trouble": "last_good",
        "last_good": {"max_age_hours": 24, "quantity_pct": 50},
    }
    world.store_config(*two_vendors(**good))
    world.upload(
        "vendor_2", feed(*(f"T{number:02},1,3.00" for number in range(20)))
    )
    sync(world, FIRST, *WHOLE)
    record = sync(world, SECOND, *WHOLE[:2])
    assert record.status is RunStatus.SUCCEEDED
    merged = world.artifact("merged_inventory", SECOND).decode().splitlines()
    assert len(merged) == 41
    assert "S19,vendor_1,2,10.00" in merged
    entry = world.report("input_manifest", SECOND)["vendors"]["vendor_1"]
    assert (entry["status"], entry["last_good_run_id"], entry["age_hours"]) == (
        "last_good",
        FIRST,
        0,
    )
    assert entry["trouble"]["error_code"] == "vendor_rows"
    assert entry["s3_key"].endswith("2.csv")
    assert world.report("run_summary", SECOND)["warnings"] == {
        "VENDOR_LAST_GOOD": 1
    }
    copy = record.artifacts["last_good_vendor_1"]
    assert world.platform.objects.read(copy) == feed(*WHOLE)


def test_a_last_good_feed_is_lent_on_from_run_to_run(world: World) -> None:
    world.store_config(*two_vendors(on_trouble="last_good"))
    world.upload(
        "vendor_2", feed(*(f"T{number:02},1,3.00" for number in range(20)))
    )
    sync(world, FIRST, *WHOLE)
    sync(world, SECOND, "S00,broken")
    assert in_force(world) == SECOND
    assert sync(world, THIRD, "S00,broken").status is RunStatus.SUCCEEDED
    entry = world.report("input_manifest", THIRD)["vendors"]["vendor_1"]
    assert (entry["status"], entry["last_good_run_id"]) == ("last_good", SECOND)
    assert b"S19,vendor_1,5,10.00" in world.artifact("merged_inventory", THIRD)


def test_a_vendor_without_a_last_good_feed_fails_the_run_where_it_is_required(
    world: World,
) -> None:
    world.store_config(*two_vendors(on_trouble="last_good"))
    world.upload("vendor_2", feed("T01,1,3.00"))
    world.upload("vendor_1", feed("S00,broken", header="a,b"))
    assert failure_of(world.run(FIRST)).startswith("missing_required_columns")


def test_a_vendor_in_trouble_is_left_out_and_the_manifest_says_why(
    world: World,
) -> None:
    world.store_config(*two_vendors(on_trouble="leave_out"))
    world.upload("vendor_2", feed("T01,1,3.00"))
    world.upload("vendor_1", feed("S00,5", header="a,b"))
    assert world.run(FIRST).success
    entry = world.report("input_manifest", FIRST)["vendors"]["vendor_1"]
    assert (entry["status"], entry["trouble"]["error_code"]) == (
        "left_out",
        "missing_required_columns",
    )
    assert world.report("run_summary", FIRST)["vendor_record_counts"] == {
        "vendor_1": 0,
        "vendor_2": 1,
    }
    assert "normalized_vendor_1" not in world.names(FIRST)


def test_the_manifest_s_pins_stay_when_it_is_completed(world: World) -> None:
    world.store_config()
    record = sync(world, FIRST, *WHOLE)
    entry = json.loads(world.platform.objects.read(record.keys.input_manifest))[
        "vendors"
    ]
    assert entry["vendor_1"]["status"] == "found"
    assert (
        entry["vendor_1"]["run_copy_key"]
        == record.artifacts["inbound_vendor_1"]
    )
