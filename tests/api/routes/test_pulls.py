"""Pulls of vendors' files over HTTP: how they stand, and one that is asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from relay_dagster.runs.ports import utc_now
from relay_dagster.transfers.pull_planner import PullPlanner
from relay_dagster.triggers import pulls as rules
from support.api_world import TENANT, ApiWorld, assert_problem
from support.builders import vendor_document
from support.pulls_world import take_pull

URL = "https://files.example.com/stock.csv?token=s3cr3t"
NOTHING = {
    "last_success_at": None,
    "last_unchanged_at": None,
    "last_error": None,
    "failures": 0,
    "next_at": None,
}


def store(world: ApiWorld) -> None:
    prefix = f"tenants/{TENANT}/inbound"
    pulled = {
        "type": "s3",
        "s3_prefix": f"{prefix}/pulled/",
        "pull": {"url": URL},
    }
    other_inbound = {"type": "s3", "s3_prefix": f"{prefix}/other/"}
    vendors = [
        vendor_document("pulled", inbound=pulled),
        vendor_document("other", inbound=other_inbound, required=False),
    ]
    assert world.store_config(*vendors, tenant_id=TENANT).is_success


def standing(world: ApiWorld) -> Any:
    (vendor,) = world.client.get(f"/v1/tenants/{TENANT}/status").json()[
        "vendors"
    ]
    return vendor


def due_pulls(world: ApiWorld) -> list[rules.PullState]:
    return [
        item.value for item in world.platform.pulls.queue.due(utc_now(), 10)
    ]


def ask(world: ApiWorld, vendor_id: str = "pulled") -> Any:
    return world.client.post(f"/v1/tenants/{TENANT}/vendors/{vendor_id}/pull")


def test_the_status_has_pulls_before_any_run(world: ApiWorld) -> None:
    store(world)
    vendor = standing(world)
    assert (vendor["vendor_id"], vendor["status"], vendor["rows"]) == (
        "pulled",
        None,
        None,
    )
    assert vendor["pull"] == NOTHING
    PullPlanner(world.platform).run()
    assert standing(world)["pull"]["next_at"] is not None


def test_a_pull_that_is_asked_for_is_due_now(world: ApiWorld) -> None:
    store(world)
    before = utc_now()
    answer = ask(world)
    assert answer.status_code == 202
    (state,) = due_pulls(world)
    assert state.due_at is not None
    assert before <= state.due_at <= utc_now()
    assert answer.json() == standing(world)["pull"]
    (entry, *_) = world.client.get(f"/v1/audit?tenant_id={TENANT}").json()[
        "audit"
    ]
    assert (entry["action"], entry["target"]) == ("pull.asked", "pulled")
    assert "s3cr3t" not in f"{answer.text}{entry}{standing(world)}"


def test_a_failure_is_shown_and_what_is_asked_for_does_not_wait_for_the_next_try(
    world: ApiWorld,
) -> None:
    store(world)
    ask(world)
    now = utc_now()
    leased = take_pull(world.platform.pulls, TENANT, "pulled", now)
    assert standing(world)["pull"]["next_at"] is None
    leased.finish(rules.failed("the server answered 500", now))
    pull = standing(world)["pull"]
    assert (pull["failures"], pull["last_error"]) == (
        1,
        "the server answered 500",
    )
    assert due_pulls(world) == []
    let_ask_again(world)
    assert ask(world).json()["failures"] == 1
    assert len(due_pulls(world)) == 1


def let_ask_again(world: ApiWorld) -> None:
    """Have the last request of the pull made five minutes earlier."""

    def earlier(state: rules.PullState) -> rules.PullState:
        assert state.last_asked_at is not None
        earlier_at = state.last_asked_at - rules.ASK_AGAIN_AFTER
        return replace(state, last_asked_at=earlier_at)

    world.platform.pulls.change(TENANT, "pulled", earlier)


def test_a_vendors_pull_is_asked_for_once_in_five_minutes(
    world: ApiWorld,
) -> None:
    store(world)
    assert ask(world).status_code == 202
    before = world.platform.pulls.of_names(TENANT, ["pulled"])
    refused = ask(world)
    problem = assert_problem(refused, 429, "RATE_LIMITED")
    assert "once in 5 minutes" in problem["detail"]
    assert 295 <= int(refused.headers["retry-after"]) <= 300
    assert world.platform.pulls.of_names(TENANT, ["pulled"]) == before
    audit = world.client.get(f"/v1/audit?tenant_id={TENANT}&action=pull.asked")
    assert len(audit.json()["audit"]) == 1
    let_ask_again(world)
    assert ask(world).status_code == 202
    assert timedelta(minutes=5) == rules.ASK_AGAIN_AFTER


@pytest.mark.parametrize("vendor_id", ["other", "nobody", "%20"])
def test_what_is_pulled_from_nowhere_cannot_be_asked_for(
    world: ApiWorld, vendor_id: str
) -> None:
    store(world)
    assert_problem(ask(world, vendor_id), 409, "NO_PULL")


def test_nothing_is_asked_for_of_a_tenant_that_is_being_deleted(
    world: ApiWorld,
) -> None:
    store(world)
    world.platform.closing.ask(TENANT)
    assert_problem(ask(world), 409, "TENANT_CLOSING")
    assert due_pulls(world) == []
