"""Many at once: tenants, requests, jobs."""

from __future__ import annotations

import uuid
from collections import Counter

from integration.fault_rules import Action
from integration.installation import (
    MAX_ATTEMPTS,
    RUN_SECONDS,
    Installation,
    brief,
    side_by_side,
)
from integration.scenario import scenario
from integration.settled import Exceptions, everything_settled
from relay_dagster.runs.job_message import Job

REQUESTS = 50
TENANTS = 30
JOBS = 10


@scenario("22", seconds=20, smoke=True)
def one_tenant_is_posted_to_fifty_times_at_once(relay: Installation) -> str:
    """Fifty requests for one tenant at the same moment: one 202, 49 times 409 that name its run."""
    tenant = relay.new_tenant("popular")
    answers = side_by_side(*[lambda: relay.ask(tenant)] * REQUESTS)
    codes = Counter(answer.status_code for answer in answers)
    assert codes == {202: 1, 409: REQUESTS - 1}, codes
    accepted = next(
        answer.json() for answer in answers if answer.status_code == 202
    )
    named = {
        answer.json()["active_run_id"]
        for answer in answers
        if answer.status_code == 409
    }
    assert named == {accepted["run_id"]}, named
    record = relay.wait_final(accepted["run_id"])
    assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(record)
    everything_settled(relay)
    return "one 202, 49 times 409; one run, SUCCEEDED, attempt 1"


@scenario("22", seconds=180, crowd=True)
def thirty_tenants_at_once_one_poisoned(relay: Installation) -> str:
    """Thirty tenants at once, S3 refuses one for ever: 29 SUCCEEDED, one POISON_JOB in the DLQ."""
    tenants = [relay.new_tenant("crowd") for _ in range(TENANTS)]
    poisoned = tenants[TENANTS // 3]
    refusing = relay.proxy.add(
        Action.FAIL,
        "s3",
        "CopyObject",
        "PutObject",
        containing=f"tenants/{poisoned}/",
    )
    runs = side_by_side(
        *(lambda tenant=tenant: relay.post(tenant) for tenant in tenants)
    )
    ends = {}
    for tenant, run_id in zip(tenants, runs, strict=True):
        record = relay.wait_final(run_id, within=6 * RUN_SECONDS)
        ends[tenant] = (record.status, record.error_code, record.attempt)
    assert ends.pop(poisoned) == ("FAILED", "POISON_JOB", MAX_ATTEMPTS)
    assert set(ends.values()) == {("SUCCEEDED", None, 1)}, ends
    refusing.release()
    dead = relay.record(runs[TENANTS // 3]).job.body()
    everything_settled(relay, Exceptions(dead=[dead]))
    relay.empty_dead_letters()
    return f"{TENANTS - 1} SUCCEEDED, attempt 1; one POISON_JOB after {MAX_ATTEMPTS} attempts"


@scenario("21", seconds=200, crowd=True)
def ten_jobs_wait_for_one_busy_tenant(relay: Installation) -> str:
    """Ten jobs straight to the queue for one busy tenant: others run meanwhile; then each runs."""
    tenant = relay.new_tenant("narrow")
    other_tenants = [relay.new_tenant("wide") for _ in range(3)]
    work = relay.slow_work(tenant)
    first = relay.post(tenant)
    work.wait_for_hits(1, RUN_SECONDS)
    jobs = [Job(str(uuid.uuid4()), tenant, None, None) for _ in range(JOBS)]
    for job in jobs:
        relay.send(job)
    for other_run_id in [relay.post(tenant_id) for tenant_id in other_tenants]:
        assert relay.wait_final(other_run_id).status == "SUCCEEDED"
    records = [relay.aws.runs.get(job.run_id) for job in jobs]
    early = [
        brief(record)
        for record in records
        if record is not None and record.attempt
    ]
    assert not early, early
    assert not any(relay.dagster.runs(job.run_id) for job in jobs), (
        "they take capacity"
    )
    work.release()
    for run_id in (first, *(job.run_id for job in jobs)):
        record = relay.wait_final(run_id, within=6 * RUN_SECONDS)
        assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(
            record
        )
    everything_settled(relay)
    return (
        f"3 others SUCCEEDED meanwhile; then {JOBS} runs SUCCEEDED, attempt 1"
    )
