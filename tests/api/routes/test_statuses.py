"""How a tenant stands: told from what is recorded, whatever runs of some vendors came since."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay_core.domain.records import VendorResult
from relay_dagster.aws.dynamodb.codec import ROWS
from relay_dagster.aws.dynamodb.expressions import Update
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.runs.model import Outcome, RunRecord
from relay_dagster.runs.ports import utc_now
from support.api_world import TENANT, ApiWorld, assert_problem

PATH = f"/v1/tenants/{TENANT}/status"
AT = datetime(2026, 3, 1, 11, 58, tzinfo=UTC)
FOUND = VendorResult("vendor_1", "found", AT, 2, 2000, 12, 1370)
MISSING = VendorResult("vendor_2", "missing", None, None, None, None, 0)
SHOWN = {
    "vendor_id": "vendor_1",
    "status": "found",
    "uploaded_at": "2026-03-01T11:58:00Z",
    "age_hours": 2,
    "rows": 2000,
    "invalid_rows": 12,
    "skus_won": 1370,
    "pull": None,
}


def status_of(world: ApiWorld) -> dict[str, Any]:
    response = world.client.get(PATH)
    assert response.status_code == 200, response.text
    status: dict[str, Any] = response.json()
    return status


def succeed(world: ApiWorld, *results: VendorResult, **order: Any) -> RunRecord:
    """Let a run succeed that has come to these results."""
    return world.succeed(world.post_run(**order).json()["run_id"], *results)


def test_a_tenant_that_has_never_run_has_nothing_to_show(
    world: ApiWorld,
) -> None:
    world.store_config()
    assert status_of(world) == {
        "state": "ACTIVE",
        "delete_after": None,
        "published_run_id": None,
        "published_at": None,
        "feed_age_seconds": None,
        "held_run_id": None,
        "active_run_id": None,
        "last_run": None,
        "next_run_at": None,
        "vendors": [],
    }


def test_a_feed_shows_its_run_its_age_and_each_vendors_result(
    world: ApiWorld,
) -> None:
    world.store_config(triggers={"schedule": {"cron": "0 * * * *"}})
    run = succeed(world, FOUND, MISSING)
    status = status_of(world)
    assert status["published_run_id"] == run.run_id
    published_at = datetime.fromisoformat(status["published_at"])
    assert published_at == run.published_at
    age = (utc_now() - published_at).total_seconds()
    assert age - 5 <= status["feed_age_seconds"] <= age
    assert (
        timedelta()
        < datetime.fromisoformat(status["next_run_at"]) - utc_now()
        <= timedelta(hours=1)
    )
    first, second = status["vendors"]
    assert first == SHOWN
    assert list(first) == list(SHOWN)
    assert second == {
        **dict.fromkeys(SHOWN),
        "vendor_id": "vendor_2",
        "status": "missing",
        "skus_won": 0,
        "pull": None,
    }


def test_what_is_held_and_what_is_under_way_is_named(world: ApiWorld) -> None:
    world.store_config()
    held = world.hold_one()
    active = world.post_run().json()["run_id"]
    status = status_of(world)
    assert (status["held_run_id"], status["active_run_id"]) == (
        held.run_id,
        active,
    )
    assert status["published_run_id"] not in (held.run_id, active)


def test_the_vendors_are_of_the_last_ended_run_of_all_of_them(
    world: ApiWorld,
) -> None:
    world.store_config()
    succeed(world, FOUND)
    partial_run = succeed(world, MISSING, vendors=["vendor_1"])
    under_way = world.post_run().json()["run_id"]
    status = status_of(world)
    assert status["active_run_id"] == under_way
    assert status["last_run"]["run_id"] == partial_run.run_id
    assert status["vendors"] == [SHOWN]


def test_the_last_run_that_ended_is_told_with_what_it_found_also_where_it_failed(
    world: ApiWorld,
) -> None:
    world.store_config()
    succeed(world, FOUND)
    failed = world.fail(world.post_run().json()["run_id"])
    assert failed.finished_at is not None
    last = status_of(world)["last_run"]
    assert (last["run_id"], last["status"]) == (failed.run_id, "FAILED")
    assert last["error_code"] == failed.error_code
    assert datetime.fromisoformat(last["finished_at"]) == failed.finished_at
    assert status_of(world)["vendors"] == []


def test_no_more_than_two_runs_are_read_for_it_however_many_there_are(
    world: ApiWorld,
) -> None:
    requests: list[list[str]] = []

    class TwoRuns(RunStore):
        def get_many(self, run_ids: Iterable[str]) -> dict[str, RunRecord]:
            requests.append([*run_ids])
            return super().get_many(requests[-1])

        def get(self, run_id: str) -> RunRecord | None:
            raise AssertionError

    world.store_config()
    ended_ids = [succeed(world, FOUND).run_id for _ in range(3)]
    own_world = ApiWorld(world.platform, runs=TwoRuns(world.platform.database))
    assert status_of(own_world)["vendors"] == [SHOWN]
    assert requests == [ended_ids[:0:-1]]


def test_reports_that_come_late_hide_no_later_run_s_results(
    world: ApiWorld,
) -> None:
    world.store_config()
    first = world.fail(world.post_run().json()["run_id"])
    succeed(world, FOUND)
    late = Outcome(vendor_results=(MISSING,))
    world.platform.ledger.messages.note_reports(first.run_id, late)
    assert status_of(world)["vendors"] == [SHOWN]


def test_results_that_an_earlier_release_has_stored_in_the_record_are_shown(
    world: ApiWorld,
) -> None:
    world.store_config()
    record = succeed(world)
    runs = world.platform.database.runs
    stored = Update(sets={"vendor_results": ROWS.write((FOUND,))})
    write = runs.update("record", Kind.RUN.key(record.run_id), stored)
    assert runs.carry_out(write)
    assert status_of(world)["vendors"] == [SHOWN]


@pytest.mark.parametrize("tenant_id", ["nobody", "no tenant", "%00"])
def test_a_tenant_that_is_unknown_has_no_status(
    world: ApiWorld, tenant_id: str
) -> None:
    assert_problem(
        world.client.get(f"/v1/tenants/{tenant_id}/status"),
        404,
        "TENANT_NOT_FOUND",
    )
