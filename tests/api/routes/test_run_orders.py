"""From an order to a run on the queue: together or not at all, and once for each key."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from api_world import TENANT, ApiWorld, assert_problem, paths_of
from builders import vendor_document
from fakes import embedded_platform
from relay_dagster.aws.sqs.job_queue import JobQueue
from relay_dagster.external_errors import UnreachableError
from relay_dagster.runs.job_message import Job


class DeafQueue(JobQueue):
    """Takes no message. With ``arrives``, takes it and says nothing."""

    def __init__(self, inner: JobQueue, *, arrives: bool = False) -> None:
        self._inner = inner
        self._arrives = arrives
        self.seen: list[Job] = []

    def send(self, job: Job, *, request_id: str | None = None) -> str:
        self.seen.append(job)
        if self._arrives:
            self._inner.send(job, request_id=request_id)
        raise UnreachableError("sqs.SendMessage", "https://sqs.test/123456789012/jobs timed out")


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
        assert_problem(call(f"/v1/runs/{job.run_id}{tail}"), 404, "RUN_NOT_FOUND")
    assert world.post_run().status_code == 202


def test_where_the_queue_was_unreachable_the_same_key_may_come_again(world: ApiWorld) -> None:
    deaf, _ = with_deaf_queue(world)
    key = {"Idempotency-Key": "monday"}
    assert_problem(deaf.post_run(headers=key), 503, "QUEUE_UNAVAILABLE")
    assert world.post_run(headers=key).status_code == 202


def test_a_run_whose_message_arrived_all_the_same_and_is_under_way_stays(world: ApiWorld) -> None:
    class Racing(DeafQueue):
        """The run starts before the sender hears that its message timed out."""

        def send(self, job: Job, *, request_id: str | None = None) -> str:
            world.claim(job.run_id)
            return super().send(job, request_id=request_id)

    response = ApiWorld(world.platform, queue=Racing(world.platform.queue)).post_run()
    assert (response.status_code, response.json()["status"]) == (202, "RUNNING")


def test_a_run_that_was_over_before_its_message_was_noted_is_shown_as_it_is(
    world: ApiWorld,
) -> None:
    class Quick(JobQueue):
        def __init__(self, inner: JobQueue) -> None:
            self._inner = inner

        def send(self, job: Job, *, request_id: str | None = None) -> str:
            world.succeed(job.run_id)
            return self._inner.send(job, request_id=request_id)

    response = ApiWorld(world.platform, queue=Quick(world.platform.queue)).post_run()
    assert (response.status_code, response.json()["status"]) == (202, "SUCCEEDED")


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


def test_the_same_key_leads_to_the_same_run_when_it_has_ended(world: ApiWorld) -> None:
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


def test_the_key_is_looked_at_before_the_vendors_and_the_lock(world: ApiWorld) -> None:
    world.store_config(vendor_document("vendor_1"))
    key = {"Idempotency-Key": "monday"}
    first = world.post_run(headers=key, vendors=["vendor_1"])
    world.store_config(vendor_document("vendor_2"))
    assert world.post_run(headers=key, vendors=["vendor_1"]).json() == first.json()


def test_naming_no_vendors_is_the_same_body_however_it_is_written(world: ApiWorld) -> None:
    key = {"Idempotency-Key": "monday"}
    first = world.post_run(headers=key).json()["run_id"]
    assert world.post_run(headers=key, vendors=[]).json()["run_id"] == first


def test_a_key_belongs_to_one_tenant_and_one_caller() -> None:
    with embedded_platform() as platform:
        settings = replace(platform.settings, api_keys=("admin-key", "other-key"))
        world = ApiWorld(replace(platform, settings=settings))
        key = {"Idempotency-Key": "monday"}
        mine = world.post_run(headers=key)
        elsewhere = world.post_run(headers=key, tenant_id="other")
        world.succeed(mine.json()["run_id"])
        theirs = world.post_run(headers={**key, "X-API-Key": "other-key"})
    runs = {each.json()["run_id"] for each in (mine, elsewhere, theirs)}
    assert [each.status_code for each in (mine, elsewhere, theirs)] == [202, 202, 202]
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
    accepted = [each for each in answers if each.status_code == 202]
    refused = [each for each in answers if each.status_code == 409]
    assert (len(accepted), len(refused)) == (1, 19)
    run_id = accepted[0].json()["run_id"]
    assert {each.json()["active_run_id"] for each in refused} == {run_id}
    assert served_world.platform.runs.lock(TENANT).holder == run_id
    assert len(served_world.messages()) == 1


def test_of_requests_at_once_with_one_key_all_get_the_same_run(served_world: ApiWorld) -> None:
    key = {"Idempotency-Key": "monday"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: served_world.post_run(headers=key), range(8)))
    assert {each.status_code for each in answers} == {202}
    assert len({each.json()["run_id"] for each in answers}) == 1
    assert len(served_world.messages()) == 1
