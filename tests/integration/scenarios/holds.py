"""Feeds that are held back, while what holds or releases them dies, or two decide at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from integration import sample_tenant
from integration.fault_rules import Action, Rule
from integration.installation import (
    RUN_SECONDS,
    Installation,
    brief,
    side_by_side,
)
from integration.scenario import scenario
from integration.settled import Exceptions, everything_settled
from integration.waiting import wait_for
from relay_core.domain.codes import RunStatus
from relay_dagster.devstack.processes import API
from relay_dagster.feeds.pointer import FeedPointer
from relay_dagster.runs.model import RunRecord
from support import builders

FEW_ROWS = builders.feed(
    "SKU-0001,5,9.00,few,2026-02-01", header=sample_tenant.HEADER
)


@scenario("28", seconds=50)
def the_run_dies_before_it_is_held(relay: Installation) -> str:
    """Dies between copies and hold, then two release it at once: held once, released once."""
    tenant, before = published_tenant(relay, "holds")
    ending = moving(relay, tenant, RunStatus.HELD)
    run_id = relay.post(tenant)
    ending.wait_for_hits(1, RUN_SECONDS)
    relay.signal_run(run_id)
    ending.discard()
    record = held(relay, run_id)
    assert record.attempt == 2, brief(record)
    assert in_force(relay, tenant) == before
    answers = side_by_side(*[lambda: release(relay, record)] * 2)
    assert [answer.status_code for answer in answers] == [200, 200], answers
    assert released_once(relay, tenant) == run_id
    everything_settled(relay, Exceptions(few=[tenant]))
    return "HELD, attempt 2; two releases answered 200, the feed moved once"


@scenario("29", seconds=50)
def a_run_comes_in_while_a_hold_is_released(relay: Installation) -> str:
    """A run is posted before a release is written: 409, and the newer run gives the hold up."""
    tenant, before = published_tenant(relay, "late")
    record = held(relay, relay.post(tenant))
    writing = moving(relay, tenant, RunStatus.SUCCEEDED)
    with ThreadPoolExecutor(1) as pool:
        release_call = pool.submit(release, relay, record)
        writing.wait_for_hits(1)
        newer = relay.post(tenant)
        writing.release()
        answer = release_call.result(timeout=60)
    refusal = (answer.status_code, answer.json()["error_code"])
    assert refusal == (409, "TENANT_ALREADY_RUNNING"), answer.text
    held(relay, newer)
    given_up = relay.record(record.run_id)
    assert (given_up.status, given_up.error_code) == (
        "CANCELLED",
        "HOLD_SUPERSEDED",
    )
    assert release(relay, record).json()["error_code"] == "RUN_NOT_HELD"
    assert in_force(relay, tenant) == before
    everything_settled(relay, Exceptions(few=[tenant]))
    return "409; the newer run is HELD, the older CANCELLED, HOLD_SUPERSEDED"


@scenario("30", seconds=50)
def the_api_dies_while_it_releases(relay: Installation) -> str:
    """API SIGKILLed before a release is written, and after: asked again 200, released once."""
    tenant, before = published_tenant(relay, "gone")
    record = held(relay, relay.post(tenant))
    # That changes the record: a release beside it is tried again.
    wait_for(
        "the message is acknowledged",
        lambda: relay.record(record.run_id).acknowledged_at is not None,
        within=RUN_SECONDS,
    )
    for action, is_written in (
        (Action.HOLD, False),
        (Action.HOLD_ANSWER, True),
    ):
        writing = moving(relay, tenant, RunStatus.SUCCEEDED, action)
        with ThreadPoolExecutor(1) as pool:
            release_call = pool.submit(release, relay, record)
            writing.wait_for_hits(1)
            if is_written:  # the request is forwarded after it was struck
                wait_for(
                    "the release is written",
                    lambda: in_force(relay, tenant) == record.run_id,
                    within=30,
                )
            relay.kill(API)
            assert release_call.exception(timeout=30) is not None, (
                "it cannot have been answered"
            )
        writing.discard()
        relay.start(API)
        assert in_force(relay, tenant) == (
            record.run_id if is_written else before
        )
    assert release(relay, record).status_code == 200
    assert released_once(relay, tenant) == record.run_id
    everything_settled(relay, Exceptions(few=[tenant]))
    return "not released, then released; the same request again answered 200"


# --- a tenant whose next feed is held -------------------------------------------------------------


def published_tenant(relay: Installation, word: str) -> tuple[str, str]:
    """Return a tenant whose vendors have sent little since its feed, and the run of that feed."""
    tenant = relay.new_tenant(word)
    record = relay.wait_final(relay.post(tenant))
    assert record.status == "SUCCEEDED", brief(record)
    for vendor in sample_tenant.VENDORS:
        relay.upload(tenant, vendor, FEW_ROWS, "few.csv")
    return tenant, record.run_id


def moving(
    relay: Installation,
    tenant: str,
    status: RunStatus,
    action: Action = Action.HOLD,
) -> Rule:
    """Hold the transaction that ends a run of the tenant so."""
    return relay.proxy.add(
        action,
        "dynamodb",
        "TransactWriteItems",
        containing=(tenant, f'"{status}"'),
    )


def held(relay: Installation, run_id: str) -> RunRecord:
    """Return a run's record, once it is held."""
    record = relay.wait_final(run_id)
    assert record.status == "HELD", brief(record)
    return record


def release(relay: Installation, record: RunRecord) -> httpx.Response:
    """Release what is held, by its hash and guards."""
    assert record.hold is not None
    order: dict[str, Any] = {
        "sha256": record.hold.sha256,
        "guards": sorted(record.hold.guard_names),
        "reason": "both vendors have nearly sold out",
    }
    return relay.http.post(f"/v1/runs/{record.run_id}/release", json=order)


def feed(relay: Installation, tenant: str) -> FeedPointer:
    """Return the tenant's feed."""
    pointer = relay.aws.runs.feed(tenant)
    assert pointer is not None
    return pointer


def in_force(relay: Installation, tenant: str) -> str:
    """Return the run whose feed is in force."""
    return feed(relay, tenant).in_force.run_id


def released_once(relay: Installation, tenant: str) -> str:
    """Return the run whose feed is in force, which must be the tenant's second publication."""
    newest = feed(relay, tenant).in_force
    assert newest.seq == 2, newest
    return newest.run_id
