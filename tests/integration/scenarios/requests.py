"""Requests that come in while something breaks: the API, and its way to the queue."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from integration import sample_tenant
from integration.fault_rules import Action
from integration.installation import RUN_SECONDS, Installation, brief
from integration.scenario import scenario
from integration.settled import everything_settled
from integration.waiting import wait_for
from relay_dagster.devstack.processes import API


@scenario("0", seconds=15, smoke=True)
def nothing_breaks(relay: Installation) -> str:
    """Nothing breaks: a posted run succeeds at its first attempt, with the engine's own bytes."""
    run_id = relay.post(relay.new_tenant())
    record = relay.wait_final(run_id)
    assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(record)
    assert relay.csv(run_id) == sample_tenant.expected_csv()
    everything_settled(relay)
    took = (record.finished_at - record.requested_at).total_seconds()
    return f"SUCCEEDED, attempt 1, {took:.1f} s after the request"


@scenario("1", seconds=100)
def the_api_dies_between_record_and_send(relay: Installation) -> str:
    """API SIGKILLed after the record, before the send: the run starts, late, once."""
    tenant = relay.new_tenant("unsent")
    sending = relay.proxy.add(
        Action.HOLD, "sqs", "SendMessage", containing=tenant
    )
    with ThreadPoolExecutor(1) as pool:
        request = pool.submit(relay.ask, tenant)
        sending.wait_for_hits(1)
        relay.kill(API)
        assert request.exception(timeout=30) is not None, (
            "the request cannot have been answered"
        )
    sending.discard()
    relay.start(API)
    refused = relay.ask(tenant)
    assert (refused.status_code, refused.json()["error_code"]) == (
        409,
        "TENANT_ALREADY_RUNNING",
    )
    run_id = refused.json()["active_run_id"]
    record = relay.wait_final(run_id, within=60 + RUN_SECONDS)
    assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(record)
    everything_settled(relay)
    late = (record.started_at - record.requested_at).total_seconds()
    return f"SUCCEEDED, attempt 1, started {late:.0f} s after the request"


@scenario("1", seconds=30)
def the_api_dies_between_send_and_note(relay: Installation) -> str:
    """API SIGKILLed after the send, before it notes the message: one run, attempt 1."""
    tenant = relay.new_tenant("unnoted")
    noting = relay.proxy.add(
        Action.HOLD,
        "dynamodb",
        "TransactWriteItems",
        containing=(tenant, '"message_id"'),
    )
    with ThreadPoolExecutor(1) as pool:
        request = pool.submit(relay.ask, tenant)
        noting.wait_for_hits(1)
        relay.kill(API)
        assert request.exception(timeout=30) is not None, (
            "the request cannot have been answered"
        )
    noting.discard()
    relay.start(API)
    run_id = relay.ask(tenant).json()["active_run_id"]
    record = relay.wait_final(run_id)
    assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(record)
    everything_settled(relay)
    return "SUCCEEDED, attempt 1"


@scenario("2", seconds=20, smoke=True)
def the_queue_is_unreachable_at_a_request(relay: Installation) -> str:
    """SQS drops the connection at POST: 503, no run to be seen, the tenant free for the next."""
    tenant = relay.new_tenant("refused")
    broken = relay.proxy.add(
        Action.DROP_BEFORE, "sqs", "SendMessage", containing=tenant
    )
    _assert_refused(relay, tenant)
    broken.release()
    run_id = relay.post(tenant)
    record = relay.wait_final(run_id)
    assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(record)
    everything_settled(relay)
    return "503, nothing left; the next request SUCCEEDED, attempt 1"


@scenario("2", seconds=50)
def a_message_comes_late_after_a_refusal(relay: Installation) -> str:
    """SQS hangs at POST, the message arrives later: 503, no run; the message starts nothing."""
    tenant = relay.new_tenant("late")
    hanging = relay.proxy.add(
        Action.HANG, "sqs", "SendMessage", containing=tenant
    )
    _assert_refused(relay, tenant)
    hanging.release()
    sent = relay.proxy.seen("sqs", "SendMessage", tenant)[-1].request
    body = json.loads(json.loads(sent.body)["MessageBody"])
    hidden = relay.record(body["run_id"])
    assert hidden.hidden, brief(hidden)
    relay.send(hidden.job)
    wait_for(
        "the late message is gone",
        lambda: relay.queue_counts(relay.aws.queue.url) == (0, 0),
        within=60,
    )
    assert relay.dagster.runs(hidden.run_id) == []
    everything_settled(relay)
    return "503, nothing to be seen; the late message was deleted and started nothing"


@scenario("2", seconds=50)
def the_answer_to_a_send_is_lost(relay: Installation) -> str:
    """SQS takes the message and never answers, three times: one run, or none and 503; never two."""
    tenant = relay.new_tenant("unheard")
    swallowing = relay.proxy.add(
        Action.SWALLOW, "sqs", "SendMessage", containing=tenant
    )
    answer = relay.ask(tenant)
    swallowing.release()
    assert answer.status_code in (202, 503), answer.text
    if answer.status_code == 503:
        assert _listed(relay, tenant) == []
        everything_settled(relay)
        return (
            f"503 after {swallowing.hits} sends; the messages started nothing"
        )
    record = relay.wait_final(answer.json()["run_id"])
    assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(record)
    everything_settled(relay)
    return f"202 after {swallowing.hits} sends: one run, SUCCEEDED, attempt 1"


@scenario("18", seconds=35)
def cancel_before_dispatch_while_running_and_at_the_end(
    relay: Installation,
) -> str:
    """Cancel before dispatch, while it publishes, at the end: CANCELLED; CANCELLED; 409."""
    early = relay.new_tenant("early")
    busy = relay.new_tenant("busy")
    received = relay.proxy.add(
        Action.HOLD_ANSWER,
        "sqs",
        "ReceiveMessage",
        containing="relay-inventory-jobs",
        answer_containing=early,
    )
    waiting = relay.post(early)
    received.wait_for_hits(1)
    answer = _cancel(relay, waiting)
    assert (answer[0], answer[1]["status"]) == (202, "CANCELLED"), answer
    received.release()

    publishing = relay.proxy.add(
        Action.HOLD, "s3", "PutObject", containing=f"/tenants/{busy}/outputs/"
    )
    running = relay.post(busy)
    publishing.wait_for_hits(1, RUN_SECONDS)
    code, refusal = _cancel(relay, running)
    assert code == 202, refusal
    assert refusal["cancel_requested_at"], refusal
    publishing.release()
    record = relay.wait_final(running)
    assert record.status == "CANCELLED", brief(record)
    wait_for(
        "the feed is taken away", lambda: not relay.has_csv(running), within=60
    )

    code, problem = _cancel(relay, running)
    assert (code, problem["error_code"]) == (409, "RUN_ALREADY_FINISHED"), (
        problem
    )
    everything_settled(relay)
    return f"CANCELLED at once; CANCELLED in {record.failed_stage}, nothing published; 409"


def _assert_refused(relay: Installation, tenant: str) -> None:
    answer = relay.ask(tenant)
    assert answer.status_code == 503, answer.text
    assert _listed(relay, tenant) == [], "a run is left behind"
    assert relay.aws.runs.lock(tenant).active_run_id is None


def _listed(relay: Installation, tenant: str) -> list[object]:
    return list(
        relay.http.get("/v1/runs", params={"tenant_id": tenant}).json()["runs"]
    )


def _cancel(relay: Installation, run_id: str) -> tuple[int, dict[str, object]]:
    answer = relay.http.post(f"/v1/runs/{run_id}/cancel")
    return answer.status_code, answer.json()
