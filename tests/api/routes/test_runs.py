"""Runs through the API: asked for, looked at, cancelled."""

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from relay_dagster.aws.dynamodb.run_writes import RecordChange
from relay_dagster.aws.job_queue import JobQueue
from relay_dagster.external_errors import UnreachableError
from relay_dagster.http.limits import DEFAULT_API_LIMITS
from relay_dagster.http.security.api_keys import Caller
from relay_dagster.http.security.auth import Call
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.services.runs import run_response
from relay_dagster.tenants.audit import SYSTEM
from support.api_world import (
    JSON,
    NOBODY_S_RUN,
    TENANT,
    ApiWorld,
    assert_problem,
    paths_of,
)
from support.builders import vendor_document
from support.fakes import NOW, CallCounter, FakeClock, embedded_platform

FIELDS_OF_A_RUN = {
    *(
        "run_id",
        "tenant_id",
        "config_version",
        "status",
        "stage",
        "attempt",
        "requested_at",
    ),
    *(
        "started_at",
        "finished_at",
        "failed_stage",
        "error_code",
        "error_message",
    ),
    *("errors_artifact_key", "artifacts", "dagster_run_id", "dagster_url"),
}


def get(world: ApiWorld, run_id: str):
    return world.client.get(f"/v1/runs/{run_id}")


def cancel(world: ApiWorld, run_id: str):
    return world.client.post(f"/v1/runs/{run_id}/cancel")


def test_a_run_that_is_asked_for_is_queued_with_its_message(
    world: ApiWorld,
) -> None:
    world.store_config()
    response = world.post_run()
    run = response.json()
    assert response.status_code == 202
    assert response.headers["Location"] == f"/v1/runs/{run['run_id']}"
    assert (run["status"], run["stage"], run["attempt"]) == (
        "QUEUED",
        "QUEUE",
        0,
    )
    assert run["config_version"] == 1
    (message,) = world.messages()
    assert message.body == world.run_of(response).job.body()
    assert world.run_of(response).message_id == message.message_id


def test_a_run_is_asked_for_in_few_calls(world: ApiWorld) -> None:
    world.store_config()
    calls = CallCounter(world.platform)
    world.post_run()
    assert dict(calls) == {
        # Whether runs are paused; the latest config version, and its vendors.
        "dynamodb.BatchGetItem": 1,
        "dynamodb.GetItem": 2,
        # The run and the tenant's lock; then the message that stands for it.
        "dynamodb.TransactWriteItems": 2,
        "sqs.SendMessage": 1,
    }


def test_the_request_s_id_travels_with_the_message(world: ApiWorld) -> None:
    world.post_run(headers={"X-Request-Id": "order-7"})
    assert [message.request_id for message in world.messages()] == ["order-7"]


def test_a_run_is_pinned_to_the_config_of_the_moment_that_it_is_asked_for(
    world: ApiWorld,
) -> None:
    world.store_config()
    run_id = world.post_run().json()["run_id"]
    world.store_config(timezone="Europe/Berlin")
    assert get(world, run_id).json()["config_version"] == 1


def test_a_tenant_without_a_config_is_accepted(world: ApiWorld) -> None:
    run = world.post_run(tenant_id="nobody", vendors=["vendor_1"])
    assert (run.status_code, run.json()["config_version"]) == (202, None)


def test_a_tenant_whose_stored_config_does_not_hold_is_accepted(
    world: ApiWorld,
) -> None:
    world.platform.tenants.create(TENANT, '{"schema_version": 2}')
    run = world.post_run(vendors=["vendor_1"])
    assert (run.status_code, run.json()["config_version"]) == (202, 1)


@pytest.mark.parametrize(
    ("vendors", "stored"),
    [(["vendor_2"], ["vendor_2"]), ([], None), (None, None)],
)
def test_no_vendors_named_are_all(
    world: ApiWorld, vendors: object, stored: object
) -> None:
    world.store_config(vendor_document("vendor_1"), vendor_document("vendor_2"))
    assert world.post_run(vendors=vendors).json()["vendors"] == stored


def test_a_vendor_that_the_config_lacks_is_refused_and_no_run_is_left(
    world: ApiWorld,
) -> None:
    world.store_config()
    problem = assert_problem(
        world.post_run(vendors=["vendor_1", "vendor_x"]), 422, "UNKNOWN_VENDOR"
    )
    assert paths_of(problem) == ["vendors.1"]
    assert world.platform.runs.list_runs().items == ()


def test_a_tenant_without_vendors_has_no_runs(world: ApiWorld) -> None:
    world.store_config(vendors=[])
    assert_problem(world.post_run(), 409, "NO_VENDORS")
    assert world.platform.runs.list_runs().items == ()


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        pytest.param({"tenant_id": "../other"}, "tenant_id", id="no id"),
        pytest.param({"tenant_id": "acme\n"}, "tenant_id", id="line feed"),
        pytest.param({"tenant_id": 7}, "tenant_id", id="number"),
        pytest.param({"run_type": "backup"}, "run_type", id="run_type"),
        pytest.param({"vendors": "vendor_1"}, "vendors", id="no list"),
        pytest.param({"vendors": ["vendor 1"]}, "vendors.0", id="no vendor id"),
        pytest.param({"vendors": ["a", "a"]}, "vendors", id="twice"),
        pytest.param(
            {"vendors": [f"v{n}" for n in range(201)]}, "vendors", id="too many"
        ),
        pytest.param({"priority": 1}, "priority", id="unknown key"),
    ],
)
def test_an_order_says_what_it_must_and_nothing_else(
    unplugged: ApiWorld, changes: dict[str, object], path: str
) -> None:
    assert paths_of(
        assert_problem(unplugged.post_run(**changes), 422, "INVALID_REQUEST")
    ) == [path]


def test_all_faults_of_an_order_come_at_once(unplugged: ApiWorld) -> None:
    response = unplugged.client.post("/v1/runs", json={"vendors": [1]})
    paths = paths_of(assert_problem(response, 422, "INVALID_REQUEST"))
    assert paths == ["tenant_id", "vendors.0"]


def test_an_order_that_names_no_type_of_run_is_one_that_names_the_only_one(
    world: ApiWorld,
) -> None:
    key = {"Idempotency-Key": "monday"}
    first = world.client.post(
        "/v1/runs", json={"tenant_id": TENANT}, headers=key
    )
    again = world.post_run(headers=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["run_id"] == again.json()["run_id"]


def test_an_order_that_says_a_thing_twice_is_refused(
    unplugged: ApiWorld,
) -> None:
    body = '{"tenant_id": "acme", "tenant_id": "other", "run_type": "inventory_sync"}'
    response = unplugged.client.post("/v1/runs", content=body, headers=JSON)
    assert paths_of(assert_problem(response, 422, "INVALID_REQUEST")) == [
        "tenant_id"
    ]


def test_a_second_run_of_a_tenant_waits_for_the_first(world: ApiWorld) -> None:
    first = world.post_run().json()["run_id"]
    problem = assert_problem(world.post_run(), 409, "TENANT_ALREADY_RUNNING")
    assert problem["active_run_id"] == first
    assert world.post_run(tenant_id="other").status_code == 202


def test_a_tenant_is_free_when_its_run_has_ended(world: ApiWorld) -> None:
    world.succeed(world.post_run().json()["run_id"])
    assert world.post_run().status_code == 202


# --- together with its message, or not at all ---------------------------------------------------


class DeafQueue(JobQueue):
    """Takes no message. With ``arrives``, takes it and says nothing."""

    def __init__(self, inner: JobQueue, *, arrives: bool = False) -> None:
        self._inner = inner
        self._arrives = arrives
        self.seen: list[Job] = []

    def send(self, job: Job, request_id: str | None = None) -> str:
        self.seen.append(job)
        if self._arrives:
            self._inner.send(job, request_id=request_id)
        raise UnreachableError(
            "sqs.SendMessage", "https://sqs.test/123456789012/jobs timed out"
        )


def with_deaf_queue(world: ApiWorld) -> tuple[ApiWorld, DeafQueue]:
    queue = DeafQueue(world.platform.queue)
    return ApiWorld(world.platform, queue=queue), queue


def test_where_the_queue_is_unreachable_no_run_is_left_and_the_tenant_is_free(
    world: ApiWorld,
) -> None:
    deaf, queue = with_deaf_queue(world)
    response = deaf.post_run()
    problem = assert_problem(response, 503, "QUEUE_UNAVAILABLE")
    assert int(response.headers["Retry-After"]) > 0
    assert "123456789012" not in str(problem)
    assert world.client.get("/v1/runs").json()["runs"] == []
    (job,) = queue.seen
    for call in (world.client.get, world.client.post):
        tail = "/cancel" if call == world.client.post else ""
        assert_problem(
            call(f"/v1/runs/{job.run_id}{tail}"), 404, "RUN_NOT_FOUND"
        )
    assert world.post_run().status_code == 202


def test_where_the_queue_was_unreachable_the_same_key_may_come_again(
    world: ApiWorld,
) -> None:
    deaf, _ = with_deaf_queue(world)
    key = {"Idempotency-Key": "monday"}
    assert_problem(deaf.post_run(headers=key), 503, "QUEUE_UNAVAILABLE")
    assert world.post_run(headers=key).status_code == 202


def test_a_run_whose_message_arrived_all_the_same_and_is_under_way_stays(
    world: ApiWorld,
) -> None:
    class Racing(DeafQueue):
        """The run starts before the sender hears that its message timed out."""

        def send(self, job: Job, request_id: str | None = None) -> str:
            world.claim(job.run_id)
            return super().send(job, request_id=request_id)

    response = ApiWorld(
        world.platform, queue=Racing(world.platform.queue)
    ).post_run()
    assert (response.status_code, response.json()["status"]) == (202, "RUNNING")


def test_a_run_that_was_over_before_its_message_was_noted_is_shown_as_it_is(
    world: ApiWorld,
) -> None:
    class Quick(JobQueue):
        def __init__(self, inner: JobQueue) -> None:
            self._inner = inner

        def send(self, job: Job, request_id: str | None = None) -> str:
            world.succeed(job.run_id)
            return self._inner.send(job, request_id=request_id)

    response = ApiWorld(
        world.platform, queue=Quick(world.platform.queue)
    ).post_run()
    assert (response.status_code, response.json()["status"]) == (
        202,
        "SUCCEEDED",
    )


# --- Idempotency-Key ----------------------------------------------------------------------------


def test_the_same_key_and_body_lead_to_the_same_run_also_while_it_is_active(
    world: ApiWorld,
) -> None:
    key = {"Idempotency-Key": "monday"}
    first = world.post_run(headers=key)
    again = world.post_run(headers=key)
    assert again.status_code == 202
    assert again.json()["run_id"] == first.json()["run_id"]
    assert again.headers["Location"] == first.headers["Location"]
    assert len(world.messages()) == 1


def test_the_same_key_leads_to_the_same_run_when_it_has_ended(
    world: ApiWorld,
) -> None:
    key = {"Idempotency-Key": "monday"}
    run_id = world.post_run(headers=key).json()["run_id"]
    world.succeed(run_id)
    again = world.post_run(headers=key).json()
    assert (again["run_id"], again["status"]) == (run_id, "SUCCEEDED")


def test_the_same_key_with_another_body_is_refused(world: ApiWorld) -> None:
    world.store_config(vendor_document("vendor_1"), vendor_document("vendor_2"))
    key = {"Idempotency-Key": "monday"}
    world.post_run(headers=key)
    response = world.post_run(headers=key, vendors=["vendor_2"])
    problem = assert_problem(response, 422, "IDEMPOTENCY_KEY_REUSED")
    assert paths_of(problem) == ["Idempotency-Key"]


def test_the_key_is_looked_at_before_the_vendors_and_the_lock(
    world: ApiWorld,
) -> None:
    world.store_config(vendor_document("vendor_1"))
    key = {"Idempotency-Key": "monday"}
    first = world.post_run(headers=key, vendors=["vendor_1"])
    world.store_config(vendor_document("vendor_2"))
    assert (
        world.post_run(headers=key, vendors=["vendor_1"]).json() == first.json()
    )


def test_naming_no_vendors_is_the_same_body_however_it_is_written(
    world: ApiWorld,
) -> None:
    key = {"Idempotency-Key": "monday"}
    first = world.post_run(headers=key).json()["run_id"]
    assert world.post_run(headers=key, vendors=[]).json()["run_id"] == first


def test_a_key_belongs_to_one_tenant_and_one_caller() -> None:
    with embedded_platform() as platform:
        settings = platform.settings.model_copy(
            update={"api_keys": ("admin-key", "other-key")}
        )
        world = ApiWorld(replace(platform, settings=settings))
        key = {"Idempotency-Key": "monday"}
        mine = world.post_run(headers=key)
        elsewhere = world.post_run(headers=key, tenant_id="other")
        world.succeed(mine.json()["run_id"])
        theirs = world.post_run(headers={**key, "X-API-Key": "other-key"})
    runs = {run.json()["run_id"] for run in (mine, elsewhere, theirs)}
    assert [run.status_code for run in (mine, elsewhere, theirs)] == [
        202,
        202,
        202,
    ]
    assert len(runs) == 3


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a\tb"])
def test_a_key_is_short_and_printable(unplugged: ApiWorld, key: str) -> None:
    response = unplugged.post_run(headers={"Idempotency-Key": key})
    problem = assert_problem(response, 422, "INVALID_REQUEST")
    assert paths_of(problem) == ["Idempotency-Key"]


# --- at once ------------------------------------------------------------------------------------


def test_of_twenty_requests_at_once_one_gets_the_run_and_the_others_its_id(
    served_world: ApiWorld,
) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: served_world.post_run(), range(20)))
    accepted = [answer for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code == 409]
    assert (len(accepted), len(refused)) == (1, 19)
    run_id = accepted[0].json()["run_id"]
    assert {answer.json()["active_run_id"] for answer in refused} == {run_id}
    assert served_world.platform.runs.lock(TENANT).holder == run_id
    assert len(served_world.messages()) == 1


def test_of_requests_at_once_with_one_key_all_get_the_same_run(
    served_world: ApiWorld,
) -> None:
    key = {"Idempotency-Key": "monday"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: served_world.post_run(headers=key), range(8))
        )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    assert len(served_world.messages()) == 1


# --- looked at ----------------------------------------------------------------------------------


def test_a_run_shows_all_of_its_fields(world: ApiWorld) -> None:
    run_id = world.post_run().json()["run_id"]
    assert get(world, run_id).json().keys() >= FIELDS_OF_A_RUN


def test_a_run_that_succeeded(world: ApiWorld) -> None:
    record = world.succeed(world.post_run().json()["run_id"])
    run = get(world, record.run_id).json()
    assert (run["status"], run["stage"], run["attempt"]) == (
        "SUCCEEDED",
        "COMPLETE",
        1,
    )
    assert (run["failed_stage"], run["error_code"]) == (None, None)
    assert (run["failure_class"], run["next_action"]) == (None, None)
    assert run["artifacts"] == dict(record.artifacts)
    assert run["dagster_run_id"] == "dagster-1"
    assert run["dagster_url"] == "http://dagster.test/runs/dagster-1"


def test_a_run_that_dagster_has_deleted_has_no_page_there(
    world: ApiWorld,
) -> None:
    record = world.succeed(world.post_run().json()["run_id"])
    days = timedelta(days=world.platform.settings.dagster_retention_days)
    admin = Caller("admin")
    urls = []
    for age in (days - timedelta(minutes=1), days):
        old = replace(record, finished_at=utc_now() - age)
        urls.append(
            run_response(
                old, Call(admin, SYSTEM, world.app.state.parts)
            ).dagster_url
        )
    assert urls == ["http://dagster.test/runs/dagster-1", None]


def test_a_tenant_s_key_is_not_told_where_a_run_executes(
    world: ApiWorld,
) -> None:
    world.store_config()
    held = world.hold_one()
    client = world.with_key(world.issue_key("acme"))
    (order,) = [held.hold] if held.hold else []
    body = {
        "sha256": order.sha256,
        "guards": ["skus_removed"],
        "reason": "seen",
    }
    runs = [
        client.get(f"/v1/runs/{held.run_id}").json(),
        client.post(f"/v1/runs/{held.run_id}/release", json=body).json(),
        *client.get("/v1/runs").json()["runs"],
    ]
    assert held.dagster_run_id == "dagster-1"
    assert {(run["dagster_run_id"], run["dagster_url"]) for run in runs} == {
        (None, None)
    }
    assert "dagster-1" not in str(runs)


def test_a_run_that_failed(world: ApiWorld) -> None:
    record = world.fail(world.post_run().json()["run_id"])
    run = get(world, record.run_id).json()
    assert (run["status"], run["stage"], run["failed_stage"]) == (
        "FAILED",
        "NORMALIZE",
        "NORMALIZE",
    )
    assert (run["error_code"], run["error_message"]) == (
        "DECODE_ERROR",
        "decode error: vendor_1",
    )
    assert run["errors_artifact_key"].endswith("/reports/errors.json")
    assert run["failure_class"] == "vendor_data"
    assert run["next_action"].startswith("Set parser.encoding of the vendors")


def test_instants_are_utc_and_say_so(world: ApiWorld) -> None:
    run = get(world, world.post_run().json()["run_id"]).json()
    assert run["requested_at"].endswith("Z")
    age = datetime.now(UTC) - datetime.fromisoformat(run["requested_at"])
    assert 0 <= age.total_seconds() < 60


def test_a_run_between_two_attempts_tells_what_happened_and_when_it_goes_on(
    world: ApiWorld,
) -> None:
    record = world.claim(world.post_run().json()["run_id"])
    world.platform.ledger.retry_later(record.fence, "throttled", "S3 is busy")
    run = get(world, record.run_id).json()
    assert (run["status"], run["stage"], run["attempt"]) == (
        "QUEUED",
        "QUEUE",
        1,
    )
    assert (run["error_code"], run["error_message"]) == (
        "throttled",
        "S3 is busy",
    )
    assert (run["failure_class"], run["next_action"]) == (None, None)
    assert run["next_attempt_at"]


def test_a_run_that_is_not_final_says_when_to_ask_again(
    world: ApiWorld,
) -> None:
    run_id = world.post_run().json()["run_id"]
    assert int(get(world, run_id).headers["Retry-After"]) > 0
    world.succeed(run_id)
    assert "Retry-After" not in get(world, run_id).headers


@pytest.mark.parametrize("call", ["GET ", "GET /artifacts", "POST /cancel"])
def test_a_run_that_is_not_there_is_not_found(
    world: ApiWorld, call: str
) -> None:
    method, _, tail = call.partition(" ")
    for run_id in (NOBODY_S_RUN, "7", "a%0Ab", "x" * 300):
        response = world.client.request(method, f"/v1/runs/{run_id}{tail}")
        assert_problem(response, 404, "RUN_NOT_FOUND")
    for run_id in ("..", "a%2Fb"):
        response = world.client.request(method, f"/v1/runs/{run_id}{tail}")
        assert response.status_code == 404


# --- artifacts ----------------------------------------------------------------------------------


def test_there_is_a_signed_link_for_each_artifact_that_exists(
    world: ApiWorld,
) -> None:
    record = world.succeed(world.post_run().json()["run_id"])
    prefix = f"{record.run_id}/tenants/{TENANT}/"
    for key in (
        "reports/run_summary.json",
        "inbound/vendor_1/feed.csv",
        "work/vendor_1/x.arrow",
    ):
        world.platform.objects.put(prefix + key, b"x")
    links = world.client.get(f"/v1/runs/{record.run_id}/artifacts").json()
    assert list(links) == [
        "merged_inventory",
        "run_summary",
        "inbound_vendor_1",
    ]
    link = urlsplit(links["merged_inventory"])
    signature = parse_qs(link.query)
    assert link.path.endswith(f"{prefix}outputs/merged_inventory.csv")
    assert signature["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert int(signature["X-Amz-Expires"][0]) <= 7 * 24 * 3600


def test_a_browser_shows_the_report_and_saves_a_page_that_a_vendor_has_uploaded(
    world: ApiWorld,
) -> None:
    record = world.succeed(world.post_run().json()["run_id"])
    prefix = f"{record.run_id}/tenants/{TENANT}/"
    for key in ("reports/report.html", "inbound/vendor_1/report.html"):
        world.platform.objects.put(prefix + key, b"x")
    links = world.client.get(f"/v1/runs/{record.run_id}/artifacts").json()
    dispositions = {
        name: parse_qs(urlsplit(link).query)["response-content-disposition"]
        for name, link in links.items()
    }
    assert dispositions["report"] == ["inline"]
    assert (
        dispositions["inbound_vendor_1"]
        == dispositions["merged_inventory"]
        == ["attachment"]
    )


def test_links_come_by_the_two_hundred_the_run_s_own_first(
    world: ApiWorld,
) -> None:
    record = world.succeed(world.post_run().json()["run_id"])
    vendors = [f"v{number:03}" for number in range(100)]
    for vendor in vendors:
        for key in (
            f"inbound/{vendor}/a.csv",
            f"normalized/{vendor}/normalized.csv",
        ):
            world.platform.objects.put(f"{record.keys.prefix}{key}", b"x")
    world.platform.objects.put(record.keys.errors, b"{}")
    place = f"/v1/runs/{record.run_id}/artifacts"
    pages = []
    answer = world.client.get(place)
    while True:
        pages.append(list(answer.json()))
        assert len(answer.content) < DEFAULT_API_LIMITS.answer_bytes
        if "Link" not in answer.headers:
            break
        assert re.fullmatch(
            rf'<{place}\?cursor=[^>&]+>; rel="next"', answer.headers["Link"]
        )
        answer = world.client.get(answer.links["next"]["url"])
    own_names = ["errors", "merged_inventory"]
    kinds = ("inbound", "normalized")
    of_vendors = [f"{kind}_{vendor}" for kind in kinds for vendor in vendors]
    assert list(map(len, pages)) == [200, 2]
    assert [name for page in pages for name in page] == own_names + of_vendors
    named = {
        "name": [of_vendors[7], "merged_inventory", "nothing", of_vendors[7]]
    }
    answer = world.client.get(place, params=named)
    assert list(answer.json()) == ["merged_inventory", of_vendors[7]]
    assert "Link" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"name": ["x"] * 201}, "name"),
        ({"cursor": "a b"}, "cursor"),
        ({"cursor": ""}, "cursor"),
    ],
)
def test_more_names_than_a_page_has_and_what_is_no_cursor_are_refused(
    unplugged: ApiWorld, query: dict[str, Any], path: str
) -> None:
    answer = unplugged.client.get(
        f"/v1/runs/{NOBODY_S_RUN}/artifacts", params=query
    )
    assert paths_of(assert_problem(answer, 422, "INVALID_REQUEST")) == [path]


def test_a_run_that_wrote_nothing_has_no_links(world: ApiWorld) -> None:
    run_id = world.post_run().json()["run_id"]
    assert world.client.get(f"/v1/runs/{run_id}/artifacts").json() == {}


# --- cancelled ----------------------------------------------------------------------------------


def test_a_run_with_nothing_under_way_is_cancelled_at_once(
    world: ApiWorld,
) -> None:
    run_id = world.post_run().json()["run_id"]
    response = cancel(world, run_id)
    assert (response.status_code, response.json()["status"]) == (
        202,
        "CANCELLED",
    )
    assert world.post_run().status_code == 202


def test_a_run_under_way_is_asked_to_stop(world: ApiWorld) -> None:
    run_id = world.claim(world.post_run().json()["run_id"]).run_id
    response = cancel(world, run_id)
    assert (response.status_code, response.json()["status"]) == (202, "RUNNING")
    assert response.json()["cancel_requested_at"]
    assert cancel(world, run_id).json() == response.json()


def test_a_run_that_has_ended_is_not_cancelled(world: ApiWorld) -> None:
    run_id = world.succeed(world.post_run().json()["run_id"]).run_id
    assert_problem(cancel(world, run_id), 409, "RUN_ALREADY_FINISHED")
    assert get(world, run_id).json()["status"] == "SUCCEEDED"


# --- listed -------------------------------------------------------------------------------------


def listed(world: ApiWorld, query: str = "") -> list[str]:
    return [
        run["run_id"]
        for run in world.client.get(f"/v1/runs{query}").json()["runs"]
    ]


def test_runs_are_listed_newest_first_by_tenant_and_status(
    world: ApiWorld,
) -> None:
    first = world.succeed(world.post_run().json()["run_id"]).run_id
    other_run = world.post_run(tenant_id="other").json()["run_id"]
    second = world.post_run().json()["run_id"]
    assert listed(world) == [second, other_run, first]
    assert listed(world, "?tenant_id=acme") == [second, first]
    assert listed(world, "?tenant_id=acme&status=SUCCEEDED") == [first]
    assert listed(world, "?tenant_id=nobody") == []


def test_a_listing_goes_on_where_its_page_ended(world: ApiWorld) -> None:
    runs = [
        world.post_run(tenant_id=f"t{n}").json()["run_id"] for n in range(5)
    ]
    ids = []
    cursor = ""
    while cursor is not None:
        page = world.client.get(
            f"/v1/runs?limit=2{cursor and f'&cursor={cursor}'}"
        ).json()
        assert len(page["runs"]) <= 2
        ids += [run["run_id"] for run in page["runs"]]
        cursor = page["next_cursor"]
    assert ids == runs[::-1]


@pytest.mark.parametrize(
    ("count", "size"), [(4, 350_000), (60, 40_000)], ids=["large", "many"]
)
def test_a_page_ends_before_its_answer_is_too_long(
    world: ApiWorld, count: int, size: int
) -> None:
    records = [
        RunRecord(
            run_id=str(uuid.uuid4()),
            tenant_id=TENANT,
            requested_at=NOW + timedelta(seconds=n),
            artifacts={"merged_inventory": "k" * size},
        )
        for n in range(count)
    ]
    for record in records:
        world.platform.runs.commit(RecordChange(None, record))
    ids = []
    pages = 0
    cursor = ""
    while cursor is not None:
        answer = world.client.get(
            f"/v1/runs?limit=100{cursor and f'&cursor={cursor}'}"
        )
        assert len(answer.content) <= DEFAULT_API_LIMITS.answer_bytes
        ids += [run["run_id"] for run in answer.json()["runs"]]
        pages = pages + 1
        cursor = answer.json()["next_cursor"]
    assert ids == [record.run_id for record in reversed(records)]
    assert pages > 1


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("cursor=xyz", "cursor"),
        ("cursor=%00", "cursor"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("status=DONE", "status"),
        ("tenant_id=a/b", "tenant_id"),
    ],
)
def test_a_listing_refuses_what_it_cannot_read(
    unplugged: ApiWorld, query: str, path: str
) -> None:
    response = unplugged.client.get(f"/v1/runs?{query}")
    assert paths_of(assert_problem(response, 422, "INVALID_REQUEST")) == [path]


def test_a_tenant_has_so_many_runs_in_an_hour_whichever_process_it_asks() -> (
    None
):
    with embedded_platform(FakeClock(), max_runs_per_hour=2) as platform:
        first = ApiWorld(platform)
        second = ApiWorld(platform)
        for world in (first, second):
            assert (
                cancel(world, world.post_run().json()["run_id"]).status_code
                == 202
            )
        refused = first.post_run()
        assert_problem(refused, 429, "RUN_QUOTA_EXCEEDED")
        assert refused.headers["Retry-After"] == "3600"
        assert second.post_run(tenant_id="other").status_code == 202
