"""Dagster's own buttons, pressed in its UI while runs of ours work."""

from __future__ import annotations

from integration import sample_tenant
from integration.installation import RUN_SECONDS, Installation, brief
from integration.scenario import scenario
from integration.settled import Exceptions, everything_settled
from integration.waiting import wait_for

BACKFILL = 20
ASSETS = ("fetched_inventory", "normalized_inventory", "merged_inventory")


@scenario("17", seconds=40)
def a_run_is_terminated_in_the_ui(relay: Installation) -> str:
    """Terminate in Dagster's UI while the run works: CANCELLED, nothing published, tenant free."""
    tenant = relay.new_tenant("ended")
    work = relay.hold_work(tenant)
    run_id = relay.post(tenant)
    work.wait_for_hits(1, RUN_SECONDS)
    relay.dagster.terminate(str(relay.record(run_id).dagster_run_id))
    work.release()
    record = relay.wait_final(run_id)
    assert record.status == "CANCELLED", brief(record)
    assert not relay.has_csv(run_id)
    again = relay.wait_final(relay.post(tenant))
    assert again.status == "SUCCEEDED", brief(again)
    everything_settled(relay)
    return (
        f"CANCELLED in {record.failed_stage}; the tenant's next run SUCCEEDED"
    )


@scenario("17", seconds=60)
def a_run_is_deleted_in_the_ui(relay: Installation) -> str:
    """Delete in Dagster's UI while the run works: attempt 2 ends it, the first is fenced off."""
    tenant = relay.new_tenant("deleted")
    work = relay.hold_work(tenant)
    run_id = relay.post(tenant)
    work.wait_for_hits(1, RUN_SECONDS)
    relay.dagster.delete(str(relay.record(run_id).dagster_run_id))
    relay.wait_running(run_id, attempt=2)
    work.release()
    record = relay.wait_final(run_id)
    assert (record.status, record.attempt) == ("SUCCEEDED", 2), brief(record)
    everything_settled(relay, Exceptions(deleted={(run_id, 1)}))
    return "SUCCEEDED, attempt 2"


@scenario("17", seconds=60)
def runs_are_reexecuted_in_the_ui(relay: Installation) -> str:
    """Re-execute whole and from failure in the UI: each a new run of its own; no lock is left."""
    good = relay.new_tenant("again")
    bare = relay.new_tenant("bare")
    for vendor in sample_tenant.VENDORS:
        relay.aws.objects.delete(f"tenants/{bare}/inbound/{vendor}/feed.csv")
    whole_run_id = relay.post(good)
    failed = relay.post(bare)
    assert relay.wait_final(whole_run_id).status == "SUCCEEDED"
    assert relay.wait_final(failed).error_code == "REQUIRED_VENDOR_MISSING"
    for vendor, feed in sample_tenant.feeds().items():
        relay.upload(bare, vendor, feed)
    everything_settled(relay)
    whole = relay.dagster.reexecute(
        str(relay.record(whole_run_id).dagster_run_id), from_failure=False
    )
    failed_part = relay.dagster.reexecute(
        str(relay.record(failed).dagster_run_id), from_failure=True
    )
    for dagster_run_id in (whole, failed_part):
        record = relay.wait_final(dagster_run_id)
        outcome = (record.status, record.attempt, record.trigger)
        assert outcome == ("SUCCEEDED", 1, "dagster"), brief(record)
    assert (
        relay.record(whole_run_id).attempt == relay.record(failed).attempt == 1
    )
    everything_settled(relay)
    return "two new runs, each SUCCEEDED under its own run_id"


@scenario("17", seconds=60)
def a_busy_tenant_is_materialized_by_hand(relay: Installation) -> str:
    """A run started in the UI while its tenant works never writes beside it; no half record."""
    tenant = relay.new_tenant("hand")
    first = relay.wait_final(relay.post(tenant))
    work = relay.hold_work(tenant)
    run_id = relay.post(tenant)
    work.wait_for_hits(1, RUN_SECONDS)
    again = relay.dagster.reexecute(
        str(first.dagster_run_id), from_failure=False
    )
    wait_for(
        "Dagster holds the second run back",
        lambda: relay.dagster.status(again) == "QUEUED",
        within=30,
    )
    assert relay.aws.runs.get(again) is None
    work.release()
    assert relay.wait_final(run_id).status == "SUCCEEDED"
    wait_for(
        "the second run has ended",
        lambda: relay.dagster.status(again) in ("SUCCESS", "FAILURE"),
        within=RUN_SECONDS,
    )
    assert relay.dagster.status(again) == "SUCCESS"
    assert relay.record(again).status == "SUCCEEDED"
    everything_settled(relay)
    return "it waited in Dagster's queue, then SUCCEEDED as a run of its own"


@scenario("17", seconds=150, crowd=True)
def twenty_tenants_are_backfilled(relay: Installation) -> str:
    """A backfill over 20 tenants: 20 runs, each with its own record, SUCCEEDED; no lock left."""
    tenants = [relay.new_tenant("backfill") for _ in range(BACKFILL)]
    wait_for(
        "every tenant has a partition",
        lambda: set(tenants) <= relay.dagster.partitions(),
        within=60,
    )
    before = {run.run_id for run in relay.dagster.runs()}
    relay.dagster.backfill(tenants, ASSETS)

    def started() -> list[str]:
        return [
            run.run_id
            for run in relay.dagster.runs()
            if run.run_id not in before
        ]

    wait_for(
        "twenty Dagster runs", lambda: len(started()) == BACKFILL, within=120
    )
    records = [
        relay.wait_final(run, within=6 * RUN_SECONDS) for run in started()
    ]
    assert {record.tenant_id for record in records} == set(tenants)
    assert {(record.status, record.attempt) for record in records} == {
        ("SUCCEEDED", 1)
    }
    everything_settled(relay)
    return f"{BACKFILL} runs of their own, SUCCEEDED"
