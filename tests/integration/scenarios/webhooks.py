"""Webhooks: processes that die between the end of a run and the answer of who is told of it."""

from __future__ import annotations

import threading

from standardwebhooks import Webhook

from integration.installation import RUN_SECONDS, Installation, brief
from integration.scenario import scenario
from integration.settled import everything_settled
from integration.waiting import wait_for
from relay_dagster.devstack.processes import API, CODE
from relay_dagster.work.item import LEASE
from support.receivers import answering, receiving, waiting


@scenario("34", seconds=120)
def api_and_sender_die_as_a_run_ends(relay: Installation) -> str:
    """API dead as a run ends, sender killed in its call: one webhook id arrives, twice, whole."""
    tenant = relay.new_tenant("told")
    over = threading.Event()
    with receiving(waiting(over)) as receiver:
        place = f"/v1/tenants/{tenant}/webhooks"
        order = {"url": receiver.url, "events": ["run.succeeded"]}
        webhook = relay.http.post(place, json=order).json()
        work = relay.hold_work(tenant)
        run_id = relay.post(tenant)
        work.wait_for_hits(1, RUN_SECONDS)
        relay.kill(API)
        work.release()
        record = relay.wait_final(run_id)
        assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(
            record
        )
        receiver.wait_for(1, RUN_SECONDS)
        relay.kill_alone(CODE)
        over.set()
        receiver.behave = answering(204)
        relay.start(CODE, API)
        # The dead sender's lease runs out first.
        requests = receiver.wait_for(2, RUN_SECONDS + LEASE.total_seconds())
        tries = wait_for(
            "the delivery is over",
            lambda: relay.http.get(
                f"{place}/{webhook['webhook_id']}/deliveries"
            ).json()["deliveries"],
            within=60,
        )
        everything_settled(relay)
    assert {request.headers["webhook-id"] for request in requests} == {
        tries[0]["delivery_id"]
    }
    assert [
        (delivery_try["attempt"], delivery_try["status_code"])
        for delivery_try in tries
    ] == [(1, 204)], tries
    for request in requests:
        payload = Webhook(webhook["secret"]).verify(
            request.body, request.headers
        )
        assert (payload["type"], payload["data"]["run_id"]) == (
            "run.succeeded",
            run_id,
        )
    assert len({request.body for request in requests}) == 1
    return f"{len(requests)} requests of one id, the same bytes; one try is noted, answered 204"
