"""What starts runs by itself: uploads that are noted, and due times that several look at."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from integration.installation import RUN_SECONDS, Installation, brief
from integration.sample_tenant import feeds
from integration.scenario import scenario
from integration.settled import everything_settled
from integration.waiting import stays, wait_for
from relay_dagster.devstack.processes import CODE, DAEMON
from relay_dagster.runs.model import RunRecord, Trigger
from relay_dagster.runs.ports import utc_now
from relay_dagster.triggers.rules import TriggerState

CLOCK = Path(__file__).parents[1] / "rival_clock.py"
QUIET_SECONDS = 15
TENANTS = 5


@scenario("31", seconds=80)
def the_daemon_dies_within_the_debounce(relay: Installation) -> str:
    """The daemon dies while uploads are quiet: what was noted starts one run once it is back."""
    tenant = relay.new_tenant("quiet", triggers=_on_upload(QUIET_SECONDS))
    wait_for(
        "the uploads are noted", lambda: _noted(relay, tenant) == 2, within=30
    )
    relay.kill(DAEMON, CODE)
    assert _runs(relay, tenant) == []
    relay.start(CODE, DAEMON)
    (run,) = wait_for(
        "a run starts", lambda: _runs(relay, tenant), within=RUN_SECONDS
    )
    last = relay.aws.triggers.get(tenant).upload_run_at
    record = relay.wait_final(run.run_id)
    assert (record.status, record.trigger) == ("SUCCEEDED", Trigger.UPLOAD), (
        brief(record)
    )
    assert last is not None
    everything_settled(relay)
    assert len(_runs(relay, tenant)) == 1
    return "one run, SUCCEEDED, trigger upload"


@scenario("32", seconds=60)
def two_daemons_look_at_one_schedule(relay: Installation) -> str:
    """Two more processes look at the schedules of five tenants: one run for each due time."""
    cron = (utc_now() + timedelta(hours=12)).strftime("%M %H * * *")
    schedule = {"schedule": {"cron": cron}}
    tenants = [
        relay.new_tenant("clock", triggers=schedule) for _ in range(TENANTS)
    ]
    with _clock(relay), _clock(relay):
        for tenant in tenants:
            _fall_due(relay, tenant)
        started = [
            wait_for(
                "a run starts",
                lambda name=tenant: _runs(relay, name),
                within=20,
            )
            for tenant in tenants
        ]
        records = [relay.wait_final(run.run_id) for (run,) in started]
    assert [(record.status, record.trigger) for record in records] == [
        ("SUCCEEDED", Trigger.SCHEDULE)
    ] * TENANTS
    everything_settled(relay)
    assert [len(_runs(relay, tenant)) for tenant in tenants] == [1] * TENANTS
    return f"{TENANTS} due times, {TENANTS} runs, all SUCCEEDED"


@scenario("33", seconds=90)
def vendors_upload_while_the_tenant_is_busy(relay: Installation) -> str:
    """Ten uploads while a run is at work: one follow-up, when that has ended."""
    tenant = relay.new_tenant("busy", triggers=_on_upload(0))
    (first,) = wait_for(
        "a run starts", lambda: _runs(relay, tenant), within=RUN_SECONDS
    )
    relay.wait_final(first.run_id)
    work = relay.hold_work(tenant)
    posted = relay.post(tenant)
    work.wait_for_hits(1, RUN_SECONDS)
    for vendor, feed in [*feeds().items()] * 5:
        relay.upload(tenant, vendor, feed)
    wait_for(
        "a follow-up is noted",
        lambda: relay.aws.triggers.get(tenant).wanted is Trigger.UPLOAD,
        within=90,
    )
    stays(
        "nothing starts beside it",
        lambda: len(_runs(relay, tenant)) == 2,
        seconds=8,
    )
    work.release()
    relay.wait_final(posted)
    runs = wait_for(
        "the follow-up starts",
        lambda: found if len(found := _runs(relay, tenant)) == 3 else None,
        within=RUN_SECONDS,
    )
    record = relay.wait_final(runs[-1].run_id)
    assert (record.status, record.trigger) == ("SUCCEEDED", Trigger.UPLOAD), (
        brief(record)
    )
    everything_settled(relay)
    assert len(_runs(relay, tenant)) == 3
    return "one follow-up, SUCCEEDED, once the run had ended"


def _on_upload(quiet_seconds: int) -> dict[str, object]:
    return {"on_upload": {"quiet_seconds": quiet_seconds}}


def _noted(relay: Installation, tenant: str) -> int:
    return len(relay.aws.triggers.get(tenant).uploads)


def _runs(relay: Installation, tenant: str) -> list[RunRecord]:
    return [*relay.aws.runs.list_runs(tenant).items[::-1]]


def _fall_due(relay: Installation, tenant: str) -> None:
    """Bring a tenant's due time forward to now, once it has been reckoned."""

    def due_now(state: TriggerState) -> TriggerState | None:
        if state.next_run_at is None:
            return None
        now = utc_now()
        return replace(state, next_run_at=now, due_at=now)

    wait_for(
        "the schedule is reckoned",
        lambda: relay.aws.triggers.update(tenant, due_now),
        within=30,
    )


@contextlib.contextmanager
def _clock(relay: Installation) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, str(CLOCK)],
        env=relay.stack.process_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.kill()
