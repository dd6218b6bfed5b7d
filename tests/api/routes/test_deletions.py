"""Tenants deleted and restored through the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from httpx import Response

from relay_core.domain.codes import RunStatus
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import Action
from support.api_world import ADMIN, TENANT, ApiWorld, assert_problem, paths_of
from support.builders import vendor_document
from support.deletions import due_deletions
from support.fakes import embedded_platform

PATH = f"/v1/tenants/{TENANT}"


@pytest.fixture
def closed(world: ApiWorld) -> ApiWorld:
    """A world whose tenant is being deleted."""
    world.store_config()
    assert delete(world).status_code == 202
    return world


def delete(world: ApiWorld, **query: str) -> Response:
    return world.client.delete(PATH, params={"confirm": TENANT, **query})


def actions(world: ApiWorld) -> list[str]:
    """Return what the audit tells of deletions, the oldest first."""
    entries = world.platform.audit.list_entries(TENANT).items
    kinds = (
        Action.TENANT_DELETION_ASKED,
        Action.TENANT_RESTORED,
        Action.TENANT_DELETED,
    )
    return [
        str(entry.action)
        for entry in reversed(entries)
        if entry.action in kinds
    ]


# --- asked for ------------------------------------------------------------------------------------


def test_a_tenant_is_closed_and_can_be_restored_for_a_week(
    world: ApiWorld,
) -> None:
    world.store_config()
    before = utc_now()
    answer = delete(world)
    deletion = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"{PATH}/deletion"
    assert (deletion["tenant_id"], deletion["state"], deletion["asked_by"]) == (
        TENANT,
        "CLOSING",
        "admin-1",
    )
    tenant = world.client.get(PATH).json()
    assert tenant["state"] == "CLOSING"
    assert tenant["delete_after"] == deletion["delete_after"]
    assert world.client.get(f"{PATH}/status").json()["state"] == "CLOSING"
    assert world.client.get(f"{PATH}/deletion").json() == deletion
    (stored,) = due_deletions(world.platform.deletions, utc_now())
    assert stored.delete_after - before >= timedelta(hours=168)
    assert stored.delete_after - stored.asked_at == timedelta(hours=168)


def test_asking_again_changes_nothing_and_is_not_told_again(
    closed: ApiWorld,
) -> None:
    first = closed.client.get(f"{PATH}/deletion").json()
    assert delete(closed).json() == first
    assert actions(closed) == ["tenant.deletion_asked"]


@pytest.mark.parametrize("confirm", ["", "acme2", "ACME", " acme"])
def test_the_id_must_be_confirmed(world: ApiWorld, confirm: str) -> None:
    world.store_config()
    problem = assert_problem(
        delete(world, confirm=confirm), 422, "INVALID_REQUEST"
    )
    assert paths_of(problem) == ["confirm"]
    assert paths_of(
        assert_problem(world.client.delete(PATH), 422, "INVALID_REQUEST")
    )
    assert world.client.get(PATH).json()["state"] == "ACTIVE"


def test_what_is_not_there_is_not_deleted(world: ApiWorld) -> None:
    assert_problem(delete(world), 404, "TENANT_NOT_FOUND")
    assert_problem(
        world.client.post(f"{PATH}/restore"), 404, "TENANT_NOT_FOUND"
    )
    assert_problem(
        world.client.get(f"{PATH}/deletion"), 404, "DELETION_NOT_FOUND"
    )


def test_only_admins_delete_restore_and_look(world: ApiWorld) -> None:
    world.store_config()
    client = world.with_key(world.issue_key(TENANT))
    refused = [
        client.delete(PATH, params={"confirm": TENANT}),
        client.post(f"{PATH}/restore"),
        client.get(f"{PATH}/deletion"),
    ]
    for answer in refused:
        assert_problem(answer, 403, "FORBIDDEN")


# --- what stops -----------------------------------------------------------------------------------


def test_nothing_is_started_or_stored_for_it(closed: ApiWorld) -> None:
    client = closed.client
    refused = [
        closed.post_run(),
        closed.store_config(default_currency="EUR"),
        client.post(
            "/v1/tenants", json=client.get(PATH).json()["tenant_config"]
        ),
        client.post(f"{PATH}/api-keys"),
        client.post(
            f"{PATH}/uploads",
            json={"vendor_id": "vendor_1", "file_name": "a.csv"},
        ),
        client.post(
            "/v1/admin/pause", json={"tenant_id": TENANT, "reason": "backlog"}
        ),
    ]
    for answer in refused:
        assert_problem(answer, 409, "TENANT_CLOSING")
    actions = {
        str(entry.action)
        for entry in closed.platform.audit.list_entries(TENANT).items
    }
    assert actions == {"tenant.created", "tenant.deletion_asked"}


def test_neither_a_release_nor_a_rollback_publishes_a_feed(
    world: ApiWorld,
) -> None:
    world.store_config()
    first = world.post_run().json()["run_id"]
    world.succeed(first)
    world.succeed(world.post_run().json()["run_id"])
    assert delete(world).status_code == 202
    order = {"run_id": first, "reason": "the prices were right"}
    answer = world.client.post(f"{PATH}/feed/rollback", json=order)
    assert_problem(answer, 409, "TENANT_CLOSING")


def test_its_keys_stop_and_those_of_others_do_not(world: ApiWorld) -> None:
    world.store_config()
    inbound = {"type": "s3", "s3_prefix": "tenants/other/inbound/"}
    world.store_config(vendor_document(inbound=inbound), tenant_id="other")
    ours, client_of_other = (
        world.with_key(world.issue_key(tenant)) for tenant in (TENANT, "other")
    )
    assert ours.get(PATH).status_code == 200
    delete(world)
    assert_problem(ours.get(PATH), 401, "UNAUTHENTICATED")
    assert client_of_other.get("/v1/tenants/other").status_code == 200
    world.client.post(f"{PATH}/restore")
    assert ours.get(PATH).status_code == 200


def test_a_queued_run_is_cancelled_at_once_by_who_asked(
    world: ApiWorld,
) -> None:
    world.store_config()
    posted = world.post_run()
    delete(world)
    assert world.run_of(posted).status is RunStatus.CANCELLED
    (entry,) = world.platform.audit.list_entries(
        TENANT, Action.RUN_CANCELLED
    ).items
    assert entry.actor.name == "admin-1"


def test_a_run_under_way_is_to_end(world: ApiWorld) -> None:
    world.store_config()
    posted = world.post_run()
    world.claim(posted.json()["run_id"])
    delete(world)
    assert world.run_of(posted).cancel_requested_at is not None
    assert_problem(world.post_run(), 409, "TENANT_CLOSING")


def test_a_held_feed_is_given_up(world: ApiWorld) -> None:
    world.store_config()
    held = world.hold_one()
    delete(world)
    record = world.platform.runs.get(held.run_id)
    assert record is not None
    assert record.status is RunStatus.CANCELLED


# --- restored -------------------------------------------------------------------------------------


def test_a_restored_tenant_is_as_it_was(closed: ApiWorld) -> None:
    answer = closed.client.post(f"{PATH}/restore")
    assert (answer.status_code, answer.json()) == (
        200,
        {"tenant_id": TENANT, "state": "ACTIVE"},
    )
    assert closed.client.get(PATH).json()["state"] == "ACTIVE"
    assert closed.client.get(f"{PATH}/deletion").status_code == 404
    assert closed.post_run().status_code == 202
    assert closed.platform.deletions.listed() == set()
    assert closed.client.post(f"{PATH}/restore").status_code == 200
    assert actions(closed) == ["tenant.deletion_asked", "tenant.restored"]


@pytest.fixture
def hasty() -> Iterator[ApiWorld]:
    with embedded_platform(deletion_grace_hours=0) as platform:
        yield ApiWorld(platform)


def test_a_tenant_whose_time_is_over_is_not_restored(hasty: ApiWorld) -> None:
    hasty.store_config()
    deletion: dict[str, Any] = delete(hasty).json()
    assert deletion["delete_after"] == deletion["asked_at"]
    assert_problem(
        hasty.client.post(f"{PATH}/restore"), 409, "RESTORE_TOO_LATE"
    )
    assert actions(hasty) == ["tenant.deletion_asked"]
    assert (
        hasty.client.get(PATH, headers={"X-API-Key": ADMIN}).json()["state"]
        == "CLOSING"
    )
