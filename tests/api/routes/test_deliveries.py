"""Deliveries over HTTP: their state, and one that is asked for."""

from __future__ import annotations

from typing import Any

from relay_core.config import load_config
from relay_dagster.deliveries import sending
from relay_dagster.deliveries.model import (
    DeliveryState,
    PublicationMark,
    SentFile,
)
from relay_dagster.runs.ports import utc_now
from support.api_world import TENANT, ApiWorld, assert_problem
from support.builders import config_document
from support.config_documents import DELIVERY

PATH = f"/v1/tenants/{TENANT}/deliveries"
NOTHING = {
    "last_run_id": None,
    "last_delivered_at": None,
    "what": None,
    "rows": None,
    "pending_run_id": None,
    "failures": 0,
    "last_error": None,
    "next_at": None,
}


def entries(**changes: Any) -> list[dict[str, Any]]:
    return [{**DELIVERY, **changes, "delivery_id": name} for name in ("b", "a")]


def store(world: ApiWorld, **changes: Any) -> None:
    answer = world.store_config(tenant_id=TENANT, deliveries=entries(**changes))
    assert answer.is_success


def ask(world: ApiWorld, delivery_id: str = "b") -> Any:
    return world.client.post(f"{PATH}/{delivery_id}/send")


def standings(world: ApiWorld) -> list[dict[str, Any]]:
    return world.client.get(PATH).json()["deliveries"]


def publish(world: ApiWorld) -> str:
    run_id = str(world.post_run().json()["run_id"])
    world.succeed(run_id)
    return run_id


def test_deliveries_are_listed_in_the_configs_order(world: ApiWorld) -> None:
    store(world)
    assert standings(world) == [
        {"delivery_id": "b", **NOTHING},
        {"delivery_id": "a", **NOTHING},
    ]


def test_one_that_is_asked_for_is_due_now(world: ApiWorld) -> None:
    store(world)
    run_id = publish(world)
    answer = ask(world)
    assert answer.status_code == 202
    (first, second) = standings(world)
    assert answer.json() == first
    assert first["pending_run_id"] == run_id
    assert first["next_at"] is not None
    assert second == {"delivery_id": "a", **NOTHING}
    (item,) = world.platform.deliveries.queue.due(utc_now(), 10)
    assert item.value.delivery_id == "b"
    assert item.value.asked_at is not None
    (entry, *_) = world.client.get(f"/v1/audit?tenant_id={TENANT}").json()[
        "audit"
    ]
    assert (entry["action"], entry["target"]) == ("delivery.asked", "b")


def test_nothing_can_be_sent_before_the_first_feed(world: ApiWorld) -> None:
    store(world)
    assert_problem(ask(world), 404, "FEED_NOT_FOUND")


def test_an_unknown_delivery_cannot_be_sent(world: ApiWorld) -> None:
    store(world)
    publish(world)
    assert_problem(ask(world, "c"), 404, "DELIVERY_NOT_FOUND")


def test_a_tenant_that_is_being_deleted_gets_nothing_sent(
    world: ApiWorld,
) -> None:
    store(world)
    publish(world)
    world.platform.closing.ask(TENANT)
    assert_problem(ask(world), 409, "TENANT_CLOSING")
    assert world.platform.deliveries.queue.due(utc_now(), 10) == []


def test_the_last_file_and_the_last_error_are_shown(world: ApiWorld) -> None:
    store(world)
    run_id = publish(world)
    ask(world)
    now = utc_now()
    document = config_document(tenant_id=TENANT, deliveries=entries())
    (entry, _) = load_config(document).deliveries
    publication = PublicationMark(run_id, 1, now)
    sent = SentFile(publication, entry.digest, "key", "changes", 3)

    def delivered_then_failed(state: DeliveryState) -> DeliveryState:
        delivered = sending.delivered(sent, now)(state)
        rule = sending.failed(delivered, "no", now, is_doubtful=False)
        return rule(delivered)

    world.platform.deliveries.change(TENANT, "b", delivered_then_failed)
    (first, _) = standings(world)
    assert first["last_run_id"] == run_id
    assert first["last_delivered_at"] is not None
    assert (first["what"], first["rows"]) == ("changes", 3)
    assert (first["failures"], first["last_error"]) == (1, "no")


def test_a_changed_entry_waits(world: ApiWorld) -> None:
    store(world)
    publish(world)
    ask(world)
    store(world, file_name="other.csv")
    assert standings(world)[0] == {"delivery_id": "b", **NOTHING}
