"""Tenants that are deleted while they work, and while what deletes them dies."""

from __future__ import annotations

import uuid

from integration.fault_rules import Action
from integration.installation import Installation
from integration.scenario import scenario
from integration.settled import everything_settled
from integration.waiting import wait_for
from relay_core.domain.codes import RunStatus
from relay_dagster.devstack.processes import CODE, DAEMON
from relay_dagster.runs.job_message import Job
from relay_dagster.tenants.deletion import TenantState
from relay_dagster.work.item import LEASE
from support.tenant_leftovers import kept_by_aws, kept_by_dagster, naming

# The lease of a process that died runs out first.
REMOVED_WITHIN = 120 + LEASE.total_seconds()


@scenario("35", seconds=70)
def a_tenant_is_deleted_while_its_run_works(relay: Installation) -> str:
    """Its run ends CANCELLED, its jobs go to the DLQ, and then nothing of it is left."""
    tenant = relay.new_tenant("goes")
    other_tenant = relay.new_tenant("stays")
    relay.wait_final(relay.post(tenant))
    other_run_id = relay.post(other_tenant)
    relay.wait_final(other_run_id)
    work = relay.hold_work(tenant)
    run_id = relay.post(tenant)
    dagster_run_id = str(relay.wait_running(run_id).dagster_run_id)
    work.wait_for_hits(1, 60)
    delete(relay, tenant)
    refused = relay.ask(tenant)
    assert (refused.status_code, refused.json()["error_code"]) == (
        409,
        "TENANT_CLOSING",
    )
    job = Job(str(uuid.uuid4()), tenant)
    relay.send(job)
    wait_for("its job is a dead letter", lambda: is_dead(relay, job), within=60)
    work.release()
    assert relay.wait_final(run_id).status is RunStatus.CANCELLED
    removed(relay, tenant, {run_id, dagster_run_id})
    everything_settled(relay)
    assert relay.shown(other_run_id)["status"] == RunStatus.SUCCEEDED
    return "the run CANCELLED, the job a dead letter until the end; nothing is left"


@scenario("36", seconds=140)
def what_deletes_a_tenant_dies_in_between(relay: Installation) -> str:
    """The code server dies while it deletes objects: the next goes on, and the id is used anew."""
    tenant = relay.new_tenant("dies")
    run_id = relay.post(tenant)
    dagster_run_id = str(relay.wait_final(run_id).dagster_run_id)
    deleting = relay.proxy.add(Action.HOLD, "s3", "DeleteObjects")
    delete(relay, tenant)
    deleting.wait_for_hits(1, 60)
    relay.kill(DAEMON, CODE)
    deleting.discard()
    state = relay.aws.deletions.get(tenant)
    assert state is not None
    assert state.state is TenantState.DELETING
    relay.start(CODE, DAEMON)
    removed(relay, tenant, {run_id, dagster_run_id})
    again = relay.http.put(
        f"/v1/tenants/{tenant}/config", json=relay.config_of(tenant)
    )
    assert (again.status_code, again.json()["config_version"]) == (201, 1), (
        again.text
    )
    everything_settled(relay)
    return "DELETED by the next; made anew it begins at version 1"


def delete(relay: Installation, tenant: str) -> None:
    answer = relay.http.delete(
        f"/v1/tenants/{tenant}", params={"confirm": tenant}
    )
    assert answer.status_code == 202, answer.text


def is_dead(relay: Installation, job: Job) -> bool:
    return any(job.run_id in letter["body"] for letter in relay.dead_letters())


def removed(relay: Installation, tenant: str, run_ids: set[str]) -> None:
    """Wait until a tenant is deleted; assert that nothing but tombstone and audit names it."""
    wait_for(
        f"tenant {tenant} is deleted",
        lambda: (
            relay.http.get(f"/v1/tenants/{tenant}").json().get("state")
            == TenantState.DELETED
        ),
        within=REMOVED_WITHIN,
    )
    settings = relay.aws.settings
    allowed = (
        f"{settings.audit_table}/",
        f"{settings.tenants_table}/DELETION#{tenant}",
    )

    def left() -> list[str]:
        contents = {
            **kept_by_aws(relay.aws),
            **kept_by_dagster(relay.stack.dagster_home),
        }
        return [
            place
            for place in naming(contents, {tenant, *run_ids})
            if not place.startswith(allowed)
        ]

    # A message that was in flight goes when it is received, a sensor's state with its next tick.
    wait_for(
        f"nothing is left of {tenant}",
        lambda: not (places := left()) or _Left(places),
        within=60,
    )


class _Left(list[str]):
    """What is left, for the message of a wait that goes on."""

    def __bool__(self) -> bool:
        return False
