"""What is told of a SKU over HTTP, and when nothing is; what is told is tested with the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay_core.config import load_config
from relay_dagster.http.engine_tasks import EngineTasks, TaskSlots
from relay_dagster.http.limits import DEFAULT_API_LIMITS
from relay_dagster.runs.model import RunRecord
from support.api_world import (
    NOBODY_S_RUN,
    SANDBOXES,
    ApiWorld,
    assert_problem,
    paths_of,
)
from support.builders import config_document, feed, vendor_document
from support.explaining import RunInMemory, run_in_memory

DOCUMENT = config_document(
    *map(vendor_document, ("north", "south")),
    error_policy={"max_invalid_rows": 10, "max_invalid_row_pct": "1"},
)
FEEDS = {
    "north": feed("A-1,5,10.00", "A-1,x,1"),
    "south": feed("A-1,3,12.00", "B é,1,1"),
}


def write_files(
    world: ApiWorld, record: RunRecord, run: RunInMemory | None = None
) -> None:
    """Leave what a run leaves."""
    run = run or run_in_memory(load_config(DOCUMENT), FEEDS, keys=record.keys)
    for key, data in run.files.items():
        world.platform.objects.put(key, data)


@pytest.fixture
def record(world: ApiWorld) -> RunRecord:
    """Return a run that has published its feed."""
    world.store_config()
    record = world.succeed(world.post_run().json()["run_id"])
    write_files(world, record)
    return record


def explain(world: ApiWorld, run_id: str, sku: str | None = "A-1") -> Any:
    params = {} if sku is None else {"sku": sku}
    return world.client.get(f"/v1/runs/{run_id}/explain", params=params)


def test_a_sku_of_a_published_run_is_explained(
    world: ApiWorld, record: RunRecord
) -> None:
    answer = explain(world, record.run_id, " A-1 ")
    assert answer.status_code == 200
    explained = run_in_memory(
        load_config(DOCUMENT), FEEDS, keys=record.keys
    ).explain("A-1")
    assert list(answer.json().items()) == list(
        {**explained, "run_id": record.run_id}.items()
    )
    assert [list(offer) for offer in answer.json()["offers"]] == [
        list(explained["offers"][0])
    ] * 2
    assert explain(world, record.run_id, "B é").json()["offers_count"] == 1


def test_its_own_key_reaches_it(world: ApiWorld, record: RunRecord) -> None:
    client = world.with_key(world.issue_key("acme"))
    assert (
        client.get(f"/v1/runs/{record.run_id}/explain?sku=A-1").status_code
        == 200
    )


def test_a_held_run_is_explained_also_when_it_is_held_no_more(
    world: ApiWorld,
) -> None:
    world.store_config()
    record = world.hold_one()
    write_files(world, record)
    assert explain(world, record.run_id).status_code == 200
    assert (
        world.client.post(f"/v1/runs/{record.run_id}/cancel").status_code == 202
    )
    assert explain(world, record.run_id).status_code == 200


def test_what_no_row_has_is_not_found(
    world: ApiWorld, record: RunRecord
) -> None:
    for sku in ("a-1", "", " ", "A-1\x00", "\U0001f600" * 3000):
        assert_problem(explain(world, record.run_id, sku), 404, "SKU_NOT_FOUND")
    assert_problem(explain(world, NOBODY_S_RUN), 404, "RUN_NOT_FOUND")


def test_a_sku_must_be_named(world: ApiWorld, record: RunRecord) -> None:
    problem = assert_problem(
        explain(world, record.run_id, None), 422, "INVALID_REQUEST"
    )
    assert paths_of(problem) == ["sku"]


def test_a_run_that_has_offered_no_feed_is_not_explained(
    world: ApiWorld,
) -> None:
    world.store_config()
    waiting = world.post_run().json()["run_id"]
    assert_problem(explain(world, waiting), 409, "RUN_NOT_MERGED")
    world.fail(waiting)
    problem = assert_problem(explain(world, waiting), 409, "RUN_NOT_MERGED")
    assert "FAILED" in problem["detail"]
    partial_run = world.succeed(
        world.post_run(vendors=["vendor_1"]).json()["run_id"]
    )
    assert_problem(explain(world, partial_run.run_id), 409, "RUN_NOT_MERGED")


def test_where_files_are_gone_it_says_so(
    world: ApiWorld, record: RunRecord
) -> None:
    world.platform.objects.delete(record.keys.work("south", "offers.arrow"))
    problem = assert_problem(
        explain(world, record.run_id), 410, "ARTIFACTS_EXPIRED"
    )
    assert "start a new run" in problem["detail"]
    world.platform.objects.delete(record.keys.config_snapshot)
    assert_problem(explain(world, record.run_id), 410, "ARTIFACTS_EXPIRED")


def test_while_a_tenant_s_config_is_checked_none_of_its_skus_is_explained(
    world: ApiWorld, record: RunRecord
) -> None:
    slots = world.app.state.parts.tasks.slots
    with slots.take(record.tenant_id):
        refused = explain(world, record.run_id)
    assert_problem(refused, 503, "EXPLANATIONS_BUSY")
    assert int(refused.headers["Retry-After"]) >= 1
    with slots.take("one"), slots.take("two"):
        assert_problem(explain(world, record.run_id), 503, "EXPLANATIONS_BUSY")
    with slots.take("one"):
        assert explain(world, record.run_id).status_code == 200


@pytest.mark.parametrize(
    "limit", [{"task_cpu_seconds": 0.001}, {"task_seconds": 0.01}]
)
def test_a_sku_with_too_many_rows_is_not_explained(
    world: ApiWorld, record: RunRecord, limit: dict[str, Any]
) -> None:
    feeds = {**FEEDS, "north": feed(*["A-1,5,10.00"] * 50_000)}
    write_files(
        world,
        record,
        run_in_memory(load_config(DOCUMENT), feeds, keys=record.keys),
    )
    limits = replace(DEFAULT_API_LIMITS, **limit)
    world.app.state.parts.tasks = EngineTasks(
        SANDBOXES, TaskSlots(limits), limits
    )
    problem = assert_problem(
        explain(world, record.run_id), 422, "EXPLAIN_TOO_SLOW"
    )
    assert paths_of(problem) == ["sku"]
