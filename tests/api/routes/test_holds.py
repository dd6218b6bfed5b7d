"""Release and rollback over HTTP; how they change records is tested with the ledger."""

from __future__ import annotations

from typing import Any

from relay_dagster.runs.model import RunRecord
from support.api_world import NOBODY_S_RUN, ApiWorld, assert_problem
from support.fakes import CHANGES, TRIPPED


def order(record: RunRecord, **changes: Any) -> dict[str, Any]:
    assert record.hold is not None
    known = {"sha256": record.hold.sha256, "guards": ["skus_removed"], "reason": "a clearance"}
    return {**known, **changes}


def release(world: ApiWorld, record: RunRecord, **changes: Any) -> Any:
    return world.client.post(f"/v1/runs/{record.run_id}/release", json=order(record, **changes))


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
    unset = ("released_at", "released_by", "release_reason", "failure_class", "next_action")
    assert [run[name] for name in unset] == [None] * len(unset)
    (listed,) = world.client.get("/v1/runs?status=HELD").json()["runs"]
    assert listed["run_id"] == record.run_id


def test_a_release_publishes_the_feed_and_says_who_and_why(world: ApiWorld) -> None:
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
    assert run["hold"]["baseline_run_id"] == run["baseline_run_id"] == "baseline-run"
    assert (before != record.run_id, feed_run(world)) == (True, record.run_id)


def test_the_same_release_again_changes_nothing(world: ApiWorld) -> None:
    record = world.hold_one()
    first = release(world, record).json()
    assert release(world, record, reason="once more").json() == first


def test_a_release_names_the_hash_and_exactly_the_guards(world: ApiWorld) -> None:
    record = world.hold_one()
    for wrong in ({"sha256": "0" * 64}, {"guards": []}, {"guards": ["skus_removed", "price_drop"]}):
        problem = assert_problem(release(world, record, **wrong), 412, "HOLD_MISMATCH")
        assert "skus_removed" in problem["detail"]
    assert_problem(release(world, record, reason=" "), 422, "INVALID_REQUEST")
    assert release(world, record, guards=["skus_removed", "skus_removed"]).status_code == 200


def test_only_what_is_held_is_released(world: ApiWorld) -> None:
    record = world.hold_one()
    done = world.client.post(f"/v1/runs/{record.run_id}/cancel")
    assert (done.status_code, done.json()["status"]) == (202, "CANCELLED")
    assert_problem(release(world, record), 409, "RUN_NOT_HELD")
    path = f"/v1/runs/{NOBODY_S_RUN}/release"
    assert_problem(world.client.post(path, json=order(record)), 404, "RUN_NOT_FOUND")


def test_nothing_is_released_while_the_tenant_has_a_run(world: ApiWorld) -> None:
    record = world.hold_one()
    active = world.post_run().json()["run_id"]
    problem = assert_problem(release(world, record), 409, "TENANT_ALREADY_RUNNING")
    assert problem["active_run_id"] == active


def test_a_feed_whose_copy_is_gone_is_not_released(world: ApiWorld) -> None:
    record = world.hold_one()
    world.platform.objects.delete(str(record.feed_key))
    assert_problem(release(world, record), 409, "FEED_NOT_KEPT")


def test_a_rollback_puts_an_earlier_feed_in_force(world: ApiWorld) -> None:
    first = world.succeed(world.post_run().json()["run_id"])
    world.succeed(world.post_run().json()["run_id"])
    path, wanted = "/v1/tenants/acme/feed/rollback", {"run_id": first.run_id, "reason": "wrong"}
    answer = world.client.post(path, json=wanted)
    assert (answer.status_code, answer.json()["run_id"]) == (200, first.run_id)
    assert feed_run(world) == first.run_id
    assert world.client.post(path, json=wanted).json() == answer.json()
    unknown = {"run_id": NOBODY_S_RUN, "reason": "wrong"}
    assert_problem(world.client.post(path, json=unknown), 409, "FEED_NOT_KEPT")
