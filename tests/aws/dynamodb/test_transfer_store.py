"""Pulls and their plans in the runs table: what is due, and what others do meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay_core.config.pulls import PullConfig
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.transfer_store import (
    PullStore,
)
from relay_dagster.triggers import pulls as rules
from relay_dagster.triggers.pulled_files import NO_MARK
from relay_dagster.wiring import Platform
from relay_dagster.work.item import LEASE, LeaseLostError
from relay_dagster.work.queue import LeasedItem
from support.fakes import NOW
from support.pulls_world import take_pull

PULL = PullConfig(url="https://files.example.com/stock.csv")
HOUR = timedelta(hours=1)
KEY = "PULL#acme#v1"


@pytest.fixture
def pulls(platform: Platform) -> PullStore:
    platform.pulls.change("acme", "v1", rules.noted(PULL, NOW))
    return platform.pulls


def shown(pulls: PullStore) -> rules.PullState:
    return pulls.of_names("acme", ["v1"])["v1"]


def test_a_pull_that_is_under_way_has_no_next_time(pulls: PullStore) -> None:
    assert shown(pulls).next_at == NOW
    leased = take_pull(pulls, "acme", "v1", NOW)
    assert shown(pulls).next_at is None
    leased.finish(rules.failed("no answer", NOW))
    assert shown(pulls).next_at == NOW + rules.FIRST_RETRY


def test_one_that_is_asked_for_while_it_is_under_way_is_due_behind_it(
    pulls: PullStore,
) -> None:
    leased = take_pull(pulls, "acme", "v1", NOW)
    state = pulls.change("acme", "v1", rules.asked(NOW))
    assert state is not None
    assert state.next_at is None
    assert pulls.queue.due(NOW, 9) == []
    leased.finish(rules.unchanged(PULL.digest, NO_MARK, NOW, HOUR))
    assert shown(pulls).next_at == NOW


def test_one_that_is_put_back_while_it_is_forgotten_stays(
    pulls: PullStore,
) -> None:
    leased = take_pull(pulls, "acme", "v1", NOW)
    another = PullConfig(url="https://files.example.com/other.csv")
    pulls.change("acme", "v1", rules.noted(another, NOW))
    leased.finish(rules.forgotten(NOW))
    assert (shown(pulls).source, shown(pulls).next_at) == (another.digest, NOW)
    take_pull(pulls, "acme", "v1", NOW).finish(rules.forgotten(NOW))
    assert pulls.of_names("acme", ["v1"]) == {}


def test_a_pull_that_an_earlier_commit_had_leased_is_due_again(
    pulls: PullStore, platform: Platform
) -> None:
    until = "2026-03-01T12:02:00.000000Z"
    client = platform.clients.dynamodb
    client.update_item(
        TableName=platform.settings.runs_table,
        Key={"pk": {"S": KEY}},
        UpdateExpression="SET #lease = :lease, leased_until = :until, due_at = :until",
        ExpressionAttributeNames={"#lease": "lease"},
        ExpressionAttributeValues={
            ":lease": {"S": "a-lease"},
            ":until": {"S": until},
        },
    )
    assert pulls.queue.due(NOW + LEASE, 9) == []
    (item,) = pulls.queue.due(NOW + timedelta(minutes=2), 9)
    assert (item.key, item.lease) == (KEY, None)


def test_a_config_that_is_stored_while_pulls_are_planned_has_them_planned_again(
    platform: Platform,
) -> None:
    platform.tenants.put("acme", "{}")
    plans = platform.pulls.plans
    item = plans.get(Kind.PULL_PLAN.key("acme"))
    assert item is not None
    assert item.due_at is not None
    now = item.due_at
    taken_item = plans.take(item, now)
    assert taken_item is not None
    platform.tenants.put("acme", '{"timezone": "UTC"}')
    with pytest.raises(LeaseLostError):
        LeasedItem(plans, taken_item, lambda: now).finish(lambda _: None)
    (again,) = plans.due(now + HOUR, 9)
    assert (again.value.tenant_id, again.lease) == ("acme", None)
    taken_item = plans.take(again, now)
    assert taken_item is not None
    LeasedItem(plans, taken_item, lambda: now).finish(lambda _: None)
    assert plans.due(now + HOUR, 9) == []
