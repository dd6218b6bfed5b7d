"""Who did what: each call that changes something leaves one entry, and no other call leaves any."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from relay_dagster.aws.job_queue import JobQueue
from relay_dagster.external_errors import UnreachableError
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import Action
from support.api_world import ADMIN, TENANT, ApiWorld, assert_problem, paths_of
from support.builders import config_document, vendor_document
from support.config_documents import DELIVERY
from support.fakes import embedded_platform
from support.page_visitor import signed_in

KEYS = f"/v1/tenants/{TENANT}/api-keys"
ADDRESS = "198.51.100.7"
LOCAL = {"type": "local"}
WEBHOOKS = f"/v1/tenants/{TENANT}/webhooks"
FEED_LINKS = f"/v1/tenants/{TENANT}/feed-links"
SUPPLIER_LINKS = f"/v1/tenants/{TENANT}/supplier-links"
OVERRIDES = f"/v1/tenants/{TENANT}/overrides"
CHANGES_NOTHING = {
    "POST /v1/tenants/{tenant_id}/config:check",
    "POST /v1/tenants/{tenant_id}/webhooks/{webhook_id}/test",
}


def audit(
    world: ApiWorld, client: TestClient | None = None, **query: Any
) -> list[dict[str, Any]]:
    response = (client or world.client).get("/v1/audit", params=query)
    assert response.status_code == 200, response.text
    entries: list[dict[str, Any]] = response.json()["audit"]
    return entries


def audit_ids(world: ApiWorld) -> set[str]:
    return {entry["audit_id"] for entry in audit(world, limit=100)}


def made_key(world: ApiWorld) -> str:
    return str(world.client.post(KEYS).json()["key_id"])


def reviewed(world: ApiWorld) -> tuple[str, dict[str, Any]]:
    held = world.hold_one()
    assert held.hold is not None
    sha256 = held.hold.sha256
    return held.run_id, {
        "sha256": sha256,
        "guards": ["skus_removed"],
        "reason": "seen",
    }


# --- every call that changes something ----------------------------------------------------------
# Each act prepares what it needs, and returns the call: its method, path, body, the action and the
# target that the entry must have.

Call = tuple[str, str, Any, Action, str | None]


def create_tenant(world: ApiWorld) -> Call:
    document = config_document(
        vendor_document("v", inbound=LOCAL), tenant_id="new"
    )
    return "POST", "/v1/tenants", document, Action.TENANT_CREATED, "new"


def put_config(world: ApiWorld) -> Call:
    document = config_document(default_currency="EUR")
    return (
        "PUT",
        f"/v1/tenants/{TENANT}/config",
        document,
        Action.CONFIG_PUT,
        TENANT,
    )


def create_key(world: ApiWorld) -> Call:
    return "POST", KEYS, {"name": "shop"}, Action.KEY_CREATED, None


def delete_key(world: ApiWorld) -> Call:
    key_id = made_key(world)
    return "DELETE", f"{KEYS}/{key_id}", None, Action.KEY_DELETED, key_id


def delete_session(world: ApiWorld) -> Call:
    signed_in(world)
    path = f"/v1/tenants/{TENANT}/sessions"
    session_id = world.client.get(path).json()["sessions"][-1]["session_id"]
    return (
        "DELETE",
        f"{path}/{session_id}",
        None,
        Action.SESSION_ENDED,
        session_id,
    )


def post_run(world: ApiWorld) -> Call:
    order = {"tenant_id": TENANT, "run_type": "inventory_sync"}
    return "POST", "/v1/runs", order, Action.RUN_POSTED, None


def cancel_run(world: ApiWorld) -> Call:
    run_id = world.post_run().json()["run_id"]
    return (
        "POST",
        f"/v1/runs/{run_id}/cancel",
        None,
        Action.RUN_CANCELLED,
        run_id,
    )


def release_run(world: ApiWorld) -> Call:
    run_id, order = reviewed(world)
    return (
        "POST",
        f"/v1/runs/{run_id}/release",
        order,
        Action.RUN_RELEASED,
        run_id,
    )


def roll_back(world: ApiWorld) -> Call:
    first = world.succeed(world.post_run().json()["run_id"]).run_id
    world.succeed(world.post_run().json()["run_id"])
    order = {"run_id": first, "reason": "seen"}
    path = f"/v1/tenants/{TENANT}/feed/rollback"
    return "POST", path, order, Action.FEED_ROLLED_BACK, first


def pause(world: ApiWorld) -> Call:
    order = {"tenant_id": TENANT, "reason": "backlog"}
    return "POST", "/v1/admin/pause", order, Action.RUNS_PAUSED, TENANT


def resume(world: ApiWorld) -> Call:
    world.client.post("/v1/admin/pause", json={"reason": "backlog"})
    return (
        "DELETE",
        "/v1/admin/pause",
        {"reason": "over"},
        Action.RUNS_RESUMED,
        None,
    )


def upload_link(world: ApiWorld) -> Call:
    order = {"vendor_id": "vendor_1", "file_name": "stock.csv"}
    key = f"tenants/{TENANT}/inbound/vendor_1/stock.csv"
    return (
        "POST",
        f"/v1/tenants/{TENANT}/uploads",
        order,
        Action.UPLOAD_LINK_CREATED,
        key,
    )


def delete_tenant(world: ApiWorld) -> Call:
    path = f"/v1/tenants/{TENANT}?confirm={TENANT}"
    return "DELETE", path, None, Action.TENANT_DELETION_ASKED, TENANT


def restore_tenant(world: ApiWorld) -> Call:
    world.platform.closing.ask(TENANT)
    return (
        "POST",
        f"/v1/tenants/{TENANT}/restore",
        None,
        Action.TENANT_RESTORED,
        TENANT,
    )


def create_webhook(world: ApiWorld) -> Call:
    order = {"url": "https://shop.example.com/hooks", "events": ["run.failed"]}
    return "POST", WEBHOOKS, order, Action.WEBHOOK_CREATED, None


def made_webhook(world: ApiWorld) -> str:
    for webhook in world.client.get(WEBHOOKS).json()["webhooks"]:
        world.client.delete(f"{WEBHOOKS}/{webhook['webhook_id']}")
    method, path, order, _, _ = create_webhook(world)
    return str(
        world.client.request(method, path, json=order).json()["webhook_id"]
    )


def update_webhook(world: ApiWorld) -> Call:
    webhook = made_webhook(world)
    return (
        "PATCH",
        f"{WEBHOOKS}/{webhook}",
        {"enabled": False},
        Action.WEBHOOK_CHANGED,
        webhook,
    )


def rotate_secret(world: ApiWorld) -> Call:
    webhook = made_webhook(world)
    return (
        "POST",
        f"{WEBHOOKS}/{webhook}/secret:rotate",
        None,
        Action.WEBHOOK_CHANGED,
        webhook,
    )


def delete_webhook(world: ApiWorld) -> Call:
    webhook = made_webhook(world)
    return (
        "DELETE",
        f"{WEBHOOKS}/{webhook}",
        None,
        Action.WEBHOOK_DELETED,
        webhook,
    )


def create_feed_link(world: ApiWorld) -> Call:
    return (
        "POST",
        FEED_LINKS,
        {"name": "Google"},
        Action.FEED_LINK_CREATED,
        None,
    )


def delete_feed_link(world: ApiWorld) -> Call:
    link_id = world.client.post(FEED_LINKS, json={"name": "Google"}).json()[
        "link_id"
    ]
    return (
        "DELETE",
        f"{FEED_LINKS}/{link_id}",
        None,
        Action.FEED_LINK_DELETED,
        link_id,
    )


def create_supplier_link(world: ApiWorld) -> Call:
    until = (utc_now() + timedelta(days=90)).isoformat()
    order = {"vendor_id": "vendor_1", "name": "Anna", "expires_at": until}
    return "POST", SUPPLIER_LINKS, order, Action.SUPPLIER_LINK_CREATED, None


def delete_supplier_link(world: ApiWorld) -> Call:
    _, _, order, _, _ = create_supplier_link(world)
    link_id = world.client.post(SUPPLIER_LINKS, json=order).json()["link_id"]
    return (
        "DELETE",
        f"{SUPPLIER_LINKS}/{link_id}",
        None,
        Action.SUPPLIER_LINK_DELETED,
        link_id,
    )


def put_secret(world: ApiWorld) -> Call:
    order = {"value": "s3cret", "host": "files.example.com"}
    return (
        "PUT",
        f"/v1/tenants/{TENANT}/secrets/granite",
        order,
        Action.SECRET_PUT,
        "granite",
    )


def delete_secret(world: ApiWorld) -> Call:
    _, path, order, _, target = put_secret(world)
    world.client.put(path, json=order)
    return "DELETE", path, None, Action.SECRET_DELETED, target


def ask_for_pull(world: ApiWorld) -> Call:
    inbound = {
        "type": "s3",
        "s3_prefix": f"tenants/{TENANT}/inbound/v/",
        "pull": {"url": "https://files.example.com/stock.csv"},
    }
    world.store_config(vendor_document("v", inbound=inbound), tenant_id=TENANT)
    path = f"/v1/tenants/{TENANT}/vendors/v/pull"
    return "POST", path, None, Action.PULL_ASKED, "v"


def ask_for_delivery(world: ApiWorld) -> Call:
    world.succeed(world.post_run().json()["run_id"])
    world.store_config(tenant_id=TENANT, deliveries=[DELIVERY])
    path = f"/v1/tenants/{TENANT}/deliveries/marketplace/send"
    return "POST", path, None, Action.DELIVERY_ASKED, "marketplace"


def put_overrides(world: ApiWorld) -> Call:
    # A price that differs from every earlier one, so that each call is an act.
    price = len(world.client.get("/v1/audit").json()["audit"]) + 1
    order = {"overrides": [{"sku": "A-1", "price": price}]}
    return "POST", f"{OVERRIDES}:put", order, Action.OVERRIDES_PUT, TENANT


def accept(world: ApiWorld) -> Call:
    run = world.succeed(world.post_run().json()["run_id"])
    world.platform.objects.put(
        run.keys.quarantine, b"sku,price_computed\nA-1,5.00\n"
    )
    path = f"/v1/runs/{run.run_id}/accept"
    return (
        "POST",
        path,
        {"all": True, "reason": "seen"},
        Action.SKUS_ACCEPTED,
        run.run_id,
    )


def remove_overrides(world: ApiWorld) -> Call:
    _, path, order, _, _ = put_overrides(world)
    world.client.post(path, json=order)
    return (
        "POST",
        f"{OVERRIDES}:remove",
        {"skus": ["A-1"]},
        Action.OVERRIDES_REMOVED,
        TENANT,
    )


ACTS: dict[str, Callable[[ApiWorld], Call]] = {
    "POST /v1/tenants": create_tenant,
    "DELETE /v1/tenants/{tenant_id}": delete_tenant,
    "POST /v1/tenants/{tenant_id}/restore": restore_tenant,
    "PUT /v1/tenants/{tenant_id}/config": put_config,
    "POST /v1/tenants/{tenant_id}/api-keys": create_key,
    "DELETE /v1/tenants/{tenant_id}/api-keys/{key_id}": delete_key,
    "DELETE /v1/tenants/{tenant_id}/sessions/{session_id}": delete_session,
    "POST /v1/tenants/{tenant_id}/uploads": upload_link,
    "POST /v1/tenants/{tenant_id}/webhooks": create_webhook,
    "PATCH /v1/tenants/{tenant_id}/webhooks/{webhook_id}": update_webhook,
    "DELETE /v1/tenants/{tenant_id}/webhooks/{webhook_id}": delete_webhook,
    "POST /v1/tenants/{tenant_id}/webhooks/{webhook_id}/secret:rotate": rotate_secret,
    "POST /v1/runs": post_run,
    "POST /v1/runs/{run_id}/cancel": cancel_run,
    "POST /v1/runs/{run_id}/release": release_run,
    "POST /v1/tenants/{tenant_id}/feed/rollback": roll_back,
    "POST /v1/tenants/{tenant_id}/feed-links": create_feed_link,
    "DELETE /v1/tenants/{tenant_id}/feed-links/{link_id}": delete_feed_link,
    "POST /v1/tenants/{tenant_id}/supplier-links": create_supplier_link,
    "DELETE /v1/tenants/{tenant_id}/supplier-links/{link_id}": delete_supplier_link,
    "POST /v1/tenants/{tenant_id}/vendors/{vendor_id}/pull": ask_for_pull,
    "POST /v1/tenants/{tenant_id}/deliveries/{delivery_id}/send": ask_for_delivery,
    "POST /v1/runs/{run_id}/accept": accept,
    "POST /v1/tenants/{tenant_id}/overrides:put": put_overrides,
    "POST /v1/tenants/{tenant_id}/overrides:remove": remove_overrides,
    "PUT /v1/tenants/{tenant_id}/secrets/{name}": put_secret,
    "DELETE /v1/tenants/{tenant_id}/secrets/{name}": delete_secret,
    "POST /v1/admin/pause": pause,
    "DELETE /v1/admin/pause": resume,
}


# What an act has made has its id in the answer.
TOLD_IN_THE_ANSWER = {
    Action.KEY_CREATED: "key_id",
    Action.FEED_LINK_CREATED: "link_id",
    Action.SUPPLIER_LINK_CREATED: "link_id",
    Action.RUN_POSTED: "run_id",
    Action.WEBHOOK_CREATED: "webhook_id",
}


@pytest.fixture(scope="module")
def world() -> Iterator[ApiWorld]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        with embedded_platform(
            api_keys=(f"ops:{ADMIN}",),
            trusted_proxies=("testclient",),
            public_url="https://relay.example.com",
        ) as platform:
            yield ApiWorld(platform)


@pytest.fixture(autouse=True)
def idle(world: ApiWorld) -> Iterator[None]:
    """Leave the tenant with a config, and without a run or a pause, to the next test."""
    world.store_config()
    yield
    world.platform.deletions.restore(TENANT)
    for scope in (None, TENANT):
        world.platform.pauses.end(scope)
    for run in world.client.get("/v1/runs").json()["runs"]:
        if run["status"] in ("QUEUED", "RUNNING"):
            world.platform.ledger.cancel(run["run_id"])


def test_every_call_that_is_no_get_has_an_act_here_or_changes_nothing(
    document: dict[str, Any],
) -> None:
    calls = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
        if method != "get"
    }
    assert calls == {*ACTS, *CHANGES_NOTHING}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_a_call_that_changes_something_leaves_one_entry(
    world: ApiWorld, act: Callable[[ApiWorld], Call]
) -> None:
    method, path, body, action, target = act(world)
    before = audit_ids(world)
    headers = {
        "X-Forwarded-For": f"1.1.1.1, {ADDRESS}",
        "X-Request-Id": "the-request",
    }
    response = world.client.request(method, path, json=body, headers=headers)
    assert response.is_success, response.text
    (entry,) = [new for new in audit(world) if new["audit_id"] not in before]
    assert entry["action"] == action
    assert entry["actor"] == {"kind": "admin_key", "id": "ops", "name": "ops"}
    assert (entry["request_id"], entry["address"]) == ("the-request", ADDRESS)
    if target is None and action in TOLD_IN_THE_ANSWER:
        target = response.json()[TOLD_IN_THE_ANSWER[action]]
    assert entry["target"] == target
    assert entry["tenant_id"] == {"new": "new", None: None}.get(target, TENANT)


def test_a_config_that_is_only_checked_leaves_none(world: ApiWorld) -> None:
    before = audit_ids(world)
    path = f"/v1/tenants/{TENANT}/config:check"
    assert world.client.post(path, json=config_document()).status_code == 200
    assert audit_ids(world) == before


def test_a_test_delivery_leaves_none(world: ApiWorld) -> None:
    webhook = made_webhook(world)
    before = audit_ids(world)
    assert world.client.post(f"{WEBHOOKS}/{webhook}/test").status_code == 202
    assert audit_ids(world) == before


# --- what is no act -----------------------------------------------------------------------------


def refusals(world: ApiWorld) -> Iterator[tuple[int, Response]]:
    client = world.client
    tenant = world.with_key(world.issue_key(TENANT))
    yield (
        403,
        tenant.post("/v1/tenants", json=config_document(tenant_id="mine")),
    )
    yield 403, tenant.post(KEYS)
    yield 409, client.post("/v1/tenants", json=config_document())
    yield (
        412,
        client.put(
            f"/v1/tenants/{TENANT}/config",
            json=config_document(),
            headers={"If-Match": '"999"'},
        ),
    )
    yield 404, client.delete(f"{KEYS}/0123456789abcdef")
    yield 404, client.delete(f"{WEBHOOKS}/wh_{'0' * 32}")
    yield (
        422,
        client.post(
            WEBHOOKS,
            json={"url": "http://a.example.com", "events": ["run.held"]},
        ),
    )
    run_id = world.post_run().json()["run_id"]
    yield 409, world.post_run()
    world.succeed(run_id)
    yield 409, client.post(f"/v1/runs/{run_id}/cancel")
    order = {"sha256": "ab", "guards": [], "reason": "seen"}
    yield 409, client.post(f"/v1/runs/{run_id}/release", json=order)
    order = {"run_id": run_id, "reason": "seen"}
    yield 200, client.post(f"/v1/tenants/{TENANT}/feed/rollback", json=order)
    yield 204, client.delete("/v1/admin/pause")


def test_what_is_refused_or_changes_nothing_leaves_none(
    world: ApiWorld,
) -> None:
    calls = refusals(world)
    expected = {Action.KEY_CREATED: 1, Action.RUN_POSTED: 1}
    before = audit_ids(world)
    for status, response in calls:
        assert response.status_code == status, response.text
    new = [
        entry["action"]
        for entry in audit(world)
        if entry["audit_id"] not in before
    ]
    assert {action: new.count(action) for action in new} == expected


def test_a_request_that_is_repeated_leaves_one(world: ApiWorld) -> None:
    run_id, order = reviewed(world)
    before = audit_ids(world)
    for _ in range(2):
        assert (
            world.client.post(
                f"/v1/runs/{run_id}/release", json=order
            ).status_code
            == 200
        )
    for _ in range(2):
        run = world.post_run({"Idempotency-Key": "monday"}).json()
    for _ in range(2):
        assert world.client.post(
            f"/v1/runs/{run['run_id']}/cancel"
        ).status_code in (
            202,
            409,
        )
    new = [
        entry["action"]
        for entry in audit(world)
        if entry["audit_id"] not in before
    ]
    assert new == ["run.cancelled", "run.posted", "run.released"]


class DeafQueue(JobQueue):
    """A queue that takes no message."""

    def __init__(self) -> None: ...

    def send(self, *_: object, **__: object) -> str:
        raise UnreachableError("sqs.SendMessage", "no answer")


def test_a_run_whose_message_cannot_be_sent_is_no_act(world: ApiWorld) -> None:
    before = audit_ids(world)
    deaf = ApiWorld(world.platform, queue=DeafQueue())
    assert_problem(deaf.post_run(), 503, "QUEUE_UNAVAILABLE")
    assert audit_ids(world) == before


# --- what is told -------------------------------------------------------------------------------


def test_a_put_tells_both_versions_and_what_has_changed(
    world: ApiWorld,
) -> None:
    put = world.store_config(default_currency="EUR").json()
    again = world.store_config(default_currency="CHF").json()
    (entry,) = audit(world, tenant_id=TENANT, action="config.put", limit=1)
    assert put["config_version"] + 1 == again["config_version"]
    assert entry["details"] == {
        "config_version_before": put["config_version"],
        "config_version_after": again["config_version"],
        "changed_count": 1,
        "changed_paths": ["default_currency"],
    }


def test_at_most_a_hundred_paths_are_told(world: ApiWorld) -> None:
    vendors = [vendor_document(f"v{n}", inbound=LOCAL) for n in range(150)]
    assert world.store_config(*vendors).status_code == 200
    (entry,) = audit(world, action="config.put", limit=1)
    assert entry["details"]["changed_count"] > 149
    assert len(entry["details"]["changed_paths"]) == 100


def test_no_key_stands_in_the_audit(world: ApiWorld) -> None:
    key = world.issue_key(TENANT)
    audit_text = json.dumps(audit(world))
    assert key not in audit_text
    assert key.split("_", 2)[2] not in audit_text
    assert ADMIN not in audit_text


# --- who is told --------------------------------------------------------------------------------


def test_a_tenant_s_key_sees_its_own_tenant_s_entries_alone(
    world: ApiWorld,
) -> None:
    new_key = world.client.post(KEYS, json={"name": "shop"}).json()
    client = world.with_key(new_key["api_key"])
    world.store_config(vendor_document("v", inbound=LOCAL), tenant_id="other")
    world.client.post("/v1/admin/pause", json={"reason": "all"})
    world.client.delete("/v1/admin/pause")
    world.post_run()
    run = client.get("/v1/runs", params={"limit": 1}).json()["runs"][0]
    client.post(f"/v1/runs/{run['run_id']}/cancel")
    entries = audit(world, client)
    assert {entry["tenant_id"] for entry in entries} == {TENANT}
    assert entries == audit(world, client, tenant_id=TENANT)
    assert entries[0]["action"] == "run.cancelled"
    actor = {"kind": "tenant_key", "id": new_key["key_id"], "name": "shop"}
    assert entries[0]["actor"] == actor
    assert_problem(
        client.get("/v1/audit?tenant_id=other"), 404, "TENANT_NOT_FOUND"
    )


def test_why_runs_are_paused_is_told_to_admins_alone(world: ApiWorld) -> None:
    client = world.with_key(world.issue_key(TENANT))
    order = {
        "tenant_id": TENANT,
        "reason": "globex owes us",
        "public_reason": "maintenance",
    }
    world.client.post("/v1/admin/pause", json=order)
    (entry,) = audit(world, action="runs.paused", limit=1)
    assert entry["details"] == {
        "reason": "globex owes us",
        "public_reason": "maintenance",
    }
    (entry,) = audit(world, client, action="runs.paused", limit=1)
    assert entry["details"] == {"public_reason": "maintenance"}


def test_a_list_goes_on_at_its_cursor(world: ApiWorld) -> None:
    for currency in ("EUR", "CHF", "USD"):
        world.store_config(default_currency=currency)
    query: dict[str, Any] = {"tenant_id": TENANT, "limit": 2}
    first = world.client.get("/v1/audit", params=query).json()
    second = world.client.get(
        "/v1/audit", params={**query, "cursor": first["next_cursor"]}
    ).json()
    assert first["audit"] + second["audit"] == audit(
        world, tenant_id=TENANT, limit=4
    )


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"action": "run.baked"}, "action"),
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"cursor": "yesterday"}, "cursor"),
        ({"tenant_id": "a/b"}, "tenant_id"),
    ],
)
def test_what_cannot_be_asked_for_is_told(
    world: ApiWorld, query: dict[str, Any], path: str
) -> None:
    response = world.client.get("/v1/audit", params=query)
    assert paths_of(assert_problem(response, 422, "INVALID_REQUEST")) == [path]


# --- the log ------------------------------------------------------------------------------------


def test_each_line_of_a_request_carries_caller_and_address(
    world: ApiWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    headers = {"X-Forwarded-For": ADDRESS}
    assert world.post_run(headers).status_code == 202
    world.with_key("guess").get("/v1/runs", headers=headers)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {line["event"] for line in lines} == {"run_requested", "request"}
    assert {line["address"] for line in lines} == {ADDRESS}
    assert [line["caller"] for line in lines] == [
        "admin:ops",
        "admin:ops",
        None,
    ]


def test_no_digest_of_an_admin_s_key_is_in_the_log(
    world: ApiWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    world.client.get("/v1/runs")
    assert not re.search(
        "[0-9a-f]{16}", capsys.readouterr().err.replace("-", " ")
    )
