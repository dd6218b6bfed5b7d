"""The whole way: a webhook made by the API, a run that ends, a receiver, and the list of tries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from relay_dagster.runs.model import Release, RunRecord
from relay_dagster.transfers.webhook_calls import WebhookClient
from relay_dagster.transfers.webhook_sender import Sender
from relay_dagster.webhooks.model import SUBSCRIBABLE
from relay_dagster.wiring import Platform
from support.api_world import ApiWorld
from support.fakes import CHANGES, TRIPPED
from support.receivers import Receiver, answering, receiving

PLACE = "/v1/tenants/acme/webhooks"


@pytest.fixture
def world(served: Platform) -> Iterator[ApiWorld]:
    """The API over a tenant that no webhook is left of afterwards."""
    world = ApiWorld(served)
    world.store_config()
    yield world
    for webhook in world.client.get(PLACE).json()["webhooks"]:
        world.client.delete(f"{PLACE}/{webhook['webhook_id']}")


def made(world: ApiWorld, receiver: Receiver) -> dict[str, Any]:
    order = {
        "url": receiver.url,
        "events": [str(event_type) for event_type in SUBSCRIBABLE],
    }
    response = world.client.post(PLACE, json=order)
    assert response.status_code == 201, response.text
    webhook: dict[str, Any] = response.json()
    return webhook


def send_all(world: ApiWorld) -> None:
    Sender(world.platform, WebhookClient(seconds=5)).run()


def told(receiver: Receiver, secret: str) -> list[dict[str, Any]]:
    """Return what a receiver was sent, each verified, in the order of their instants."""
    verifier = Verifier(secret)
    bodies = [
        verifier.verify(request.body, request.headers)
        for request in receiver.requests
    ]
    return sorted(bodies, key=lambda body: (body["timestamp"], body["type"]))


class Ends(NamedTuple):
    """Runs that have come to their ends, one of each kind."""

    succeeded: RunRecord
    released: RunRecord
    failed: RunRecord
    cancelled_id: str


def end_runs(world: ApiWorld) -> Ends:
    """End a run in each way, release the one that is held, and roll its feed back."""
    succeeded = world.succeed(world.post_run().json()["run_id"])
    held = world.hold(world.post_run().json()["run_id"])
    assert held.hold is not None
    decision = Release(held.hold.sha256, held.hold.guard_names, "seen", "ops")
    world.platform.ledger.feeds.release(held.run_id, decision)
    failed = world.fail(world.post_run().json()["run_id"])
    cancelled_id = world.post_run().json()["run_id"]
    world.client.post(f"/v1/runs/{cancelled_id}/cancel")
    world.client.post(
        "/v1/tenants/acme/feed/rollback",
        json={"run_id": succeeded.run_id, "reason": "seen"},
    )
    return Ends(succeeded, held, failed, cancelled_id)


def test_each_end_and_each_publication_reaches_the_receiver(
    world: ApiWorld,
) -> None:
    with receiving() as receiver:
        webhook = made(world, receiver)
        ends = end_runs(world)
        send_all(world)
        bodies = told(receiver, webhook["secret"])
    assert [(body["type"], body["data"]["run_id"]) for body in bodies] == [
        ("feed.published", ends.succeeded.run_id),
        ("run.succeeded", ends.succeeded.run_id),
        ("run.held", ends.released.run_id),
        ("feed.published", ends.released.run_id),
        ("run.succeeded", ends.released.run_id),
        ("run.failed", ends.failed.run_id),
        ("run.cancelled", ends.cancelled_id),
        ("feed.published", ends.succeeded.run_id),
    ]
    assert_hold_is_told(bodies[2]["data"], ends.released)
    assert bodies[5]["data"]["error_code"] == "DECODE_ERROR"
    assert bodies[5]["data"]["failure_class"] == "vendor_data"
    tries = world.client.get(
        f"{PLACE}/{webhook['webhook_id']}/deliveries"
    ).json()["deliveries"]
    assert {
        (
            delivery_try["status_code"],
            delivery_try["attempt"],
            delivery_try["error"],
        )
        for delivery_try in tries
    } == {(204, 1, None)}
    sent = {request.headers["webhook-id"] for request in receiver.requests}
    assert {delivery_try["delivery_id"] for delivery_try in tries} == sent
    assert len(tries) == len(bodies)


def assert_hold_is_told(data: dict[str, Any], held: RunRecord) -> None:
    assert held.hold is not None
    guard = {
        name: value for name, value in TRIPPED.items() if name != "examples"
    }
    assert data == {
        "run_id": held.run_id,
        "tenant_id": "acme",
        "status": "HELD",
        "error_code": None,
        "failure_class": None,
        "counts": None,
        "changes": {"baseline_run_id": "baseline-run", **CHANGES},
        "hold": {
            "sha256": held.hold.sha256,
            "baseline_run_id": "baseline-run",
            "guards": [guard],
        },
    }


def test_a_rotated_secret_and_the_one_before_both_verify_a_test(
    world: ApiWorld,
) -> None:
    with receiving() as receiver:
        webhook = made(world, receiver)
        place = f"{PLACE}/{webhook['webhook_id']}"
        second = world.client.post(f"{place}/secret:rotate").json()["secret"]
        third = world.client.post(f"{place}/secret:rotate").json()["secret"]
        delivery_id = world.client.post(f"{place}/test").json()["delivery_id"]
        send_all(world)
        for secret in (second, third):
            (body,) = told(receiver, secret)
            assert (body["type"], body["data"]["tenant_id"]) == (
                "webhook.test",
                "acme",
            )
        with pytest.raises(WebhookVerificationError):
            told(receiver, webhook["secret"])
    assert receiver.requests[0].headers["webhook-id"] == delivery_id


def test_a_failure_is_listed_with_the_next_try_and_one_that_is_gone_is_disabled(
    world: ApiWorld,
) -> None:
    with receiving(answering(503)) as receiver:
        webhook = made(world, receiver)
        place = f"{PLACE}/{webhook['webhook_id']}"
        world.client.post(f"{place}/test")
        send_all(world)
        (delivery_try,) = world.client.get(f"{place}/deliveries").json()[
            "deliveries"
        ]
        assert (
            delivery_try["event"],
            delivery_try["attempt"],
            delivery_try["status_code"],
        ) == (
            "webhook.test",
            1,
            503,
        )
        assert delivery_try["next_attempt_at"] > delivery_try["at"]
        assert world.client.get(place).json()["failing_since"] is not None
        receiver.behave = answering(410)
        world.client.post(f"{place}/test")
        send_all(world)
    webhook_now = world.client.get(place).json()
    assert (webhook_now["enabled"], webhook_now["disabled_reason"]) == (
        False,
        "receiver_gone",
    )
    assert world.client.post(f"{place}/test").status_code == 409
