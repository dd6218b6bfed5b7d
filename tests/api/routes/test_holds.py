"""Release and rollback over HTTP; how they change records is tested with the ledger."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relay_dagster.execution.published_copies import unpublish
from relay_dagster.runs.model import Release, RunRecord
from support.api_world import NOBODY_S_RUN, ApiWorld, assert_problem
from support.fakes import CHANGES, TRIPPED


def order(record: RunRecord, **changes: Any) -> dict[str, Any]:
    assert record.hold is not None
    fields = {
        "sha256": record.hold.sha256,
        "guards": ["skus_removed"],
        "reason": "a clearance",
    }
    return {**fields, **changes}


def release(world: ApiWorld, record: RunRecord, **changes: Any) -> Any:
    return world.client.post(
        f"/v1/runs/{record.run_id}/release", json=order(record, **changes)
    )


def feed_run(world: ApiWorld) -> str:
    answer = world.client.get("/v1/tenants/acme/feed", follow_redirects=False)
    return str(answer.headers["X-Run-Id"])


def test_a_held_run_says_why(world: ApiWorld) -> None:
    record = world.hold_one()
    run = world.client.get(f"/v1/runs/{record.run_id}").json()
    assert (run["status"], run["stage"], run["finished_at"] is None) == (
        "HELD",
        "WRITE_OUTPUTS",
        False,
    )
    assert record.hold is not None
    assert run["hold"] == {
        "sha256": record.hold.sha256,
        "baseline_run_id": "baseline-run",
        "guards": [TRIPPED],
    }
    assert run["baseline_run_id"] == "baseline-run"
    assert run["changes"] == {"baseline_run_id": "baseline-run", **CHANGES}
    unset = (
        "released_at",
        "released_by",
        "release_reason",
        "failure_class",
        "next_action",
    )
    assert [run[name] for name in unset] == [None] * len(unset)
    (listed,) = world.client.get("/v1/runs?status=HELD").json()["runs"]
    assert listed["run_id"] == record.run_id


def test_a_release_publishes_the_feed_and_says_who_and_why(
    world: ApiWorld,
) -> None:
    record = world.hold_one()
    before = feed_run(world)
    answer = release(world, record)
    assert answer.status_code == 200
    run = answer.json()
    assert (run["status"], run["stage"], run["release_reason"]) == (
        "SUCCEEDED",
        "COMPLETE",
        "a clearance",
    )
    assert run["released_by"].startswith("admin")
    assert run["released_at"].endswith("Z")
    assert (
        run["hold"]["baseline_run_id"]
        == run["baseline_run_id"]
        == "baseline-run"
    )
    assert (before != record.run_id, feed_run(world)) == (True, record.run_id)


def test_the_same_release_again_changes_nothing(world: ApiWorld) -> None:
    record = world.hold_one()
    first = release(world, record).json()
    assert release(world, record, reason="once more").json() == first


def logged(capsys: pytest.CaptureFixture[str], event: str) -> int:
    lines = capsys.readouterr().err.splitlines()
    return sum(json.loads(line)["event"] == event for line in lines)


def test_of_equal_releases_at_once_one_counts(
    world: ApiWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    record = world.hold_one()
    client = world.platform.clients.dynamodb
    assert record.hold is not None
    decision = Release(
        record.hold.sha256, record.hold.guard_names, "a clearance", by="another"
    )

    def be_first(**_: object) -> None:
        client.meta.events.unregister(called, be_first)
        world.platform.ledger.feeds.release(record.run_id, decision)

    called = "before-call.dynamodb.TransactWriteItems"
    client.meta.events.register(called, be_first)
    answer = release(world, record)
    assert (answer.status_code, answer.json()["released_by"]) == (
        200,
        "another",
    )
    assert logged(capsys, "run_released") == 0


def test_a_release_and_a_rollback_are_logged_once(
    world: ApiWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    record = world.hold_one()
    before = feed_run(world)
    for _ in range(2):
        release(world, record)
    assert logged(capsys, "run_released") == 1
    for _ in range(2):
        back = {"run_id": before, "reason": "too soon"}
        answer = world.client.post("/v1/tenants/acme/feed/rollback", json=back)
        assert (answer.status_code, answer.json()["run_id"]) == (200, before)
    assert logged(capsys, "feed_rolled_back") == 1


def test_of_equal_rollbacks_at_once_one_counts(
    world: ApiWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    record = world.hold_one()
    client = world.platform.clients.dynamodb
    before = feed_run(world)
    release(world, record)

    def be_first(**_: object) -> None:
        client.meta.events.unregister(called, be_first)
        world.platform.ledger.feeds.roll_back("acme", before)

    called = "before-call.dynamodb.TransactWriteItems"
    client.meta.events.register(called, be_first)
    back = {"run_id": before, "reason": "too soon"}
    assert (
        world.client.post(
            "/v1/tenants/acme/feed/rollback", json=back
        ).status_code
        == 200
    )
    feed = world.platform.runs.feed("acme")
    assert feed is not None
    assert [publication.run_id for publication in feed.publications] == [
        before,
        record.run_id,
        before,
    ]
    assert logged(capsys, "feed_rolled_back") == 0


def test_a_release_names_the_hash_and_exactly_the_guards(
    world: ApiWorld,
) -> None:
    record = world.hold_one()
    for wrong in (
        {"sha256": "0" * 64},
        {"guards": []},
        {"guards": ["skus_removed", "price_drop"]},
    ):
        problem = assert_problem(
            release(world, record, **wrong), 412, "HOLD_MISMATCH"
        )
        assert "skus_removed" in problem["detail"]
    assert_problem(release(world, record, reason=" "), 422, "INVALID_REQUEST")
    assert (
        release(
            world, record, guards=["skus_removed", "skus_removed"]
        ).status_code
        == 200
    )


def test_only_what_is_held_is_released(world: ApiWorld) -> None:
    record = world.hold_one()
    response = world.client.post(f"/v1/runs/{record.run_id}/cancel")
    assert (response.status_code, response.json()["status"]) == (
        202,
        "CANCELLED",
    )
    assert_problem(release(world, record), 409, "RUN_NOT_HELD")
    path = f"/v1/runs/{NOBODY_S_RUN}/release"
    assert_problem(
        world.client.post(path, json=order(record)), 404, "RUN_NOT_FOUND"
    )


def test_nothing_is_released_while_the_tenant_has_a_run(
    world: ApiWorld,
) -> None:
    record = world.hold_one()
    active = world.post_run().json()["run_id"]
    problem = assert_problem(
        release(world, record), 409, "TENANT_ALREADY_RUNNING"
    )
    assert problem["active_run_id"] == active


def test_a_feed_whose_copy_is_gone_is_not_released(world: ApiWorld) -> None:
    record = world.hold_one()
    world.platform.objects.delete(str(record.feed_key))
    assert_problem(release(world, record), 409, "FEED_NOT_KEPT")


def test_once_the_copy_is_gone_a_release_is_answered_as_before(
    world: ApiWorld,
) -> None:
    superseded = world.hold_one()
    released = world.hold(world.post_run().json()["run_id"])
    first = release(world, released).json()
    for record in (superseded, released):
        unpublish(world.platform.objects, record)
    assert_problem(release(world, superseded), 409, "RUN_NOT_HELD")
    assert release(world, released).json() == first
    assert_problem(release(world, released, guards=[]), 409, "RUN_NOT_HELD")


def test_a_rollback_puts_an_earlier_feed_in_force(world: ApiWorld) -> None:
    first = world.succeed(world.post_run().json()["run_id"])
    world.succeed(world.post_run().json()["run_id"])
    path = "/v1/tenants/acme/feed/rollback"
    body = {"run_id": first.run_id, "reason": "wrong"}
    answer = world.client.post(path, json=body)
    assert (answer.status_code, answer.json()["run_id"]) == (200, first.run_id)
    assert feed_run(world) == first.run_id
    assert world.client.post(path, json=body).json() == answer.json()
    unknown = {"run_id": NOBODY_S_RUN, "reason": "wrong"}
    assert_problem(world.client.post(path, json=unknown), 409, "FEED_NOT_KEPT")
