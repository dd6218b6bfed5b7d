"""Keys: a walk over every route there is, with every kind of key."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from relay_dagster.aws.dynamodb.api_key_store import Scope
from relay_dagster.aws.dynamodb.deletion_store import DeletionStore
from relay_dagster.aws.metrics import Metrics
from relay_dagster.http.limits import DEFAULT_API_LIMITS
from relay_dagster.runs.ports import utc_now
from support.api_world import (
    ADMIN,
    NOBODY_S_RUN,
    TENANT,
    ApiWorld,
    assert_problem,
)
from support.builders import config_document, vendor_document
from support.fakes import embedded_platform

LOCAL = {"type": "local"}
WEBHOOK = "/v1/tenants/{tenant_id}/webhooks/{webhook_id}"
# Method, path, whether it is open to everybody, and what an admin, the tenant itself and another
# tenant get, where the tenant has a config and nothing else.
ROUTES = (
    ("GET", "/", True, (303, 303, 303)),
    ("GET", "/openapi.json", True, (200, 200, 200)),
    ("GET", "/docs", True, (200, 200, 200)),
    ("GET", "/swagger/swagger-ui-bundle.js", True, (200, 200, 200)),
    ("GET", "/swagger/swagger-ui.css", True, (200, 200, 200)),
    ("GET", "/swagger/favicon-32x32.png", True, (200, 200, 200)),
    ("GET", "/v1/config.schema.json", True, (200, 200, 200)),
    ("GET", "/v1/health", True, (200, 200, 200)),
    ("GET", "/v1/ready", True, (200, 200, 200)),
    ("GET", "/f/{token}", True, (404, 404, 404)),
    ("GET", "/v1/tenants", False, (200, 403, 403)),
    ("POST", "/v1/tenants", False, (409, 403, 403)),
    ("GET", "/v1/tenants/{tenant_id}", False, (200, 200, 404)),
    ("DELETE", "/v1/tenants/{tenant_id}", False, (422, 403, 404)),
    ("GET", "/v1/tenants/{tenant_id}/deletion", False, (404, 403, 404)),
    ("POST", "/v1/tenants/{tenant_id}/restore", False, (200, 403, 404)),
    ("GET", "/v1/tenants/{tenant_id}/versions", False, (200, 200, 404)),
    ("GET", "/v1/tenants/{tenant_id}/status", False, (200, 200, 404)),
    ("POST", "/v1/tenants/{tenant_id}/uploads", False, (201, 201, 404)),
    (
        "POST",
        "/v1/tenants/{tenant_id}/vendors/{vendor_id}/pull",
        False,
        (409, 409, 404),
    ),
    ("PUT", "/v1/tenants/{tenant_id}/config", False, (200, 200, 404)),
    ("POST", "/v1/tenants/{tenant_id}/config:check", False, (200, 200, 404)),
    ("GET", "/v1/tenants/{tenant_id}/feed", False, (302, 302, 404)),
    ("GET", "/v1/tenants/{tenant_id}/publications", False, (200, 200, 404)),
    ("GET", "/v1/tenants/{tenant_id}/feed-links", False, (200, 200, 404)),
    ("POST", "/v1/tenants/{tenant_id}/feed-links", False, (409, 409, 404)),
    (
        "DELETE",
        "/v1/tenants/{tenant_id}/feed-links/{link_id}",
        False,
        (404, 404, 404),
    ),
    ("GET", "/v1/tenants/{tenant_id}/deliveries", False, (200, 200, 404)),
    (
        "POST",
        "/v1/tenants/{tenant_id}/deliveries/{delivery_id}/send",
        False,
        (404, 404, 404),
    ),
    ("GET", "/s/{token}", True, (404, 404, 404)),
    ("GET", "/s/{token}/check", True, (404, 404, 404)),
    ("GET", "/s/{token}/check/{part_id}", True, (404, 404, 404)),
    ("GET", "/v1/tenants/{tenant_id}/supplier-links", False, (200, 200, 404)),
    ("POST", "/v1/tenants/{tenant_id}/supplier-links", False, (409, 409, 404)),
    (
        "DELETE",
        "/v1/tenants/{tenant_id}/supplier-links/{link_id}",
        False,
        (404, 404, 404),
    ),
    ("GET", "/v1/tenants/{tenant_id}/overrides", False, (200, 200, 404)),
    ("POST", "/v1/tenants/{tenant_id}/overrides:put", False, (200, 200, 404)),
    (
        "POST",
        "/v1/tenants/{tenant_id}/overrides:remove",
        False,
        (200, 200, 404),
    ),
    ("GET", "/v1/tenants/{tenant_id}/secrets", False, (200, 200, 404)),
    ("PUT", "/v1/tenants/{tenant_id}/secrets/{name}", False, (204, 204, 404)),
    (
        "DELETE",
        "/v1/tenants/{tenant_id}/secrets/{name}",
        False,
        (204, 204, 404),
    ),
    ("GET", "/v1/tenants/{tenant_id}/api-keys", False, (200, 200, 404)),
    ("POST", "/v1/tenants/{tenant_id}/api-keys", False, (201, 403, 404)),
    (
        "DELETE",
        "/v1/tenants/{tenant_id}/api-keys/{key_id}",
        False,
        (404, 403, 404),
    ),
    ("GET", "/v1/tenants/{tenant_id}/sessions", False, (200, 403, 404)),
    (
        "DELETE",
        "/v1/tenants/{tenant_id}/sessions/{session_id}",
        False,
        (404, 403, 404),
    ),
    ("GET", "/v1/tenants/{tenant_id}/webhooks", False, (200, 200, 404)),
    ("POST", "/v1/tenants/{tenant_id}/webhooks", False, (201, 201, 404)),
    ("GET", WEBHOOK, False, (404, 404, 404)),
    ("PATCH", WEBHOOK, False, (404, 404, 404)),
    ("DELETE", WEBHOOK, False, (404, 404, 404)),
    ("POST", f"{WEBHOOK}/secret:rotate", False, (404, 404, 404)),
    ("POST", f"{WEBHOOK}/test", False, (404, 404, 404)),
    ("GET", f"{WEBHOOK}/deliveries", False, (404, 404, 404)),
    ("POST", "/v1/runs", False, (202, 202, 404)),
    ("GET", "/v1/audit", False, (200, 200, 200)),
    ("GET", "/v1/runs", False, (200, 200, 200)),
    ("GET", "/v1/runs/{run_id}", False, (200, 200, 404)),
    ("GET", "/v1/runs/{run_id}/artifacts", False, (200, 200, 404)),
    ("GET", "/v1/runs/{run_id}/explain", False, (410, 410, 404)),
    ("POST", "/v1/runs/{run_id}/cancel", False, (409, 409, 404)),
    ("POST", "/v1/runs/{run_id}/release", False, (409, 409, 404)),
    ("POST", "/v1/runs/{run_id}/accept", False, (410, 410, 404)),
    ("POST", "/v1/tenants/{tenant_id}/feed/rollback", False, (409, 409, 404)),
    ("GET", "/v1/admin/pause", False, (200, 403, 403)),
    ("POST", "/v1/admin/pause", False, (200, 403, 403)),
    ("DELETE", "/v1/admin/pause", False, (204, 403, 403)),
)
BODIES = {
    "/v1/runs": {"tenant_id": "acme", "run_type": "inventory_sync"},
    "/v1/admin/pause": {"reason": "maintenance"},
    "/v1/tenants/{tenant_id}/feed-links": {"name": "Google"},
    "/v1/tenants/{tenant_id}/supplier-links": {
        "vendor_id": "vendor_1",
        "name": "Anna",
        "expires_at": (utc_now() + timedelta(days=90)).isoformat(),
    },
    "/v1/tenants/{tenant_id}/overrides:put": {
        "overrides": [{"sku": "A-1", "price": "9.99"}]
    },
    "/v1/tenants/{tenant_id}/overrides:remove": {"skus": ["A-1"]},
    "/v1/tenants/{tenant_id}/secrets/{name}": {
        "value": "s3cret",
        "host": "files.example.com",
    },
    "/v1/tenants/{tenant_id}/uploads": {
        "vendor_id": "vendor_1",
        "file_name": "feed.csv",
    },
    "/v1/tenants/{tenant_id}/webhooks": {
        "url": "https://shop.example.com/hooks",
        "events": ["run.failed"],
    },
    WEBHOOK: {"enabled": True},
    "/v1/runs/{run_id}/accept": {"all": True, "reason": "seen"},
    "/v1/runs/{run_id}/release": {
        "sha256": "ab12",
        "guards": [],
        "reason": "seen",
    },
    "/v1/tenants/{tenant_id}/feed/rollback": {
        "run_id": NOBODY_S_RUN,
        "reason": "seen",
    },
}
QUERIES = {"/v1/runs/{run_id}/explain": {"sku": "A-1"}}


def call(
    world: ApiWorld,
    key: str | None,
    method: str,
    path: str,
    run_id: str = NOBODY_S_RUN,
):
    ids = {
        "run_id": run_id,
        "key_id": "0123456789abcdef",
        "webhook_id": f"wh_{'0' * 32}",
        "delivery_id": "bazaar",
    }
    ids |= {
        "link_id": "fl_0",
        "session_id": "0123456789abcdef",
        "name": "granite",
        "token": "x" * 43,
        "vendor_id": "vendor_1",
        "part_id": "prices",
    }
    place = path.format(tenant_id="acme", **ids)
    body = (
        BODIES.get(path, config_document())
        if method in ("POST", "PUT", "PATCH")
        else None
    )
    body = None if path.endswith("/api-keys") else body
    query = QUERIES.get(path)
    client = world.with_key(key)
    return client.request(
        method, place, params=query, json=body, follow_redirects=False
    )


class Counted(Metrics):
    """Counts requests without a right."""

    def __init__(self) -> None:
        self.denied = 0

    def access_denied(self) -> None:
        self.denied += 1


def test_requests_without_a_right_are_counted(world: ApiWorld) -> None:
    metrics = Counted()
    world = ApiWorld(world.platform, metrics=metrics)
    world.store_config()
    order = {"name": "shop", "scopes": ["read"]}
    keys = f"/v1/tenants/{TENANT}/api-keys"
    key = world.client.post(keys, json=order).json()["api_key"]
    reader = world.with_key(key)
    assert reader.get(f"/v1/tenants/{TENANT}").status_code == 200
    assert metrics.denied == 0
    assert world.with_key(None).get("/v1/runs").status_code == 401
    assert world.with_key("rk_wrong").get("/v1/runs").status_code == 401
    body = {"tenant_id": TENANT, "run_type": "manual"}
    assert reader.post("/v1/runs", json=body).status_code == 403
    assert world.with_key(None).get("/v1/nothing").status_code == 404
    assert metrics.denied == 3


def test_the_table_lists_every_route_there_is(
    unplugged: ApiWorld, document: dict[str, Any]
) -> None:
    described = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    # Routes that the document does not show have a path of their own in the app; the pages' are
    # walked over where pages are tested.
    hidden = {
        (method, route.path)
        for route in unplugged.app.routes
        for method in getattr(route, "methods", None) or ()
        if method != "HEAD" and not route.path.startswith("/app")
    }
    assert described | hidden == {
        (method, path) for method, path, _, _ in ROUTES
    }


@pytest.mark.parametrize(
    "key", [None, "", "wrong", ADMIN + "x", ADMIN[:-1], "é"]
)
def test_without_a_good_key_only_open_routes_answer(
    unplugged: ApiWorld, key: str | None
) -> None:
    header: Any = key.encode("latin-1") if key else key
    patient = replace(DEFAULT_API_LIMITS, wrong_keys_per_minute=len(ROUTES))
    world = ApiWorld(unplugged.platform, limits=patient)
    for method, path, is_open, _ in ROUTES:
        response = call(world, header, method, path)
        if is_open:
            assert response.status_code != 401, (method, path)
            continue
        assert_problem(response, 401, "UNAUTHENTICATED")
        assert response.headers["WWW-Authenticate"], (method, path)


@pytest.mark.parametrize(
    ("index", "tenant_id"),
    [(0, None), (1, "acme"), (2, "other")],
    ids=["admin", "own", "another"],
)
def test_every_route_answers_each_caller_as_the_table_says(
    world: ApiWorld, index: int, tenant_id: str | None
) -> None:
    world.store_config()
    world.store_config(vendor_document("v", inbound=LOCAL), tenant_id="other")
    run_id = world.succeed(world.post_run().json()["run_id"]).run_id
    key = ADMIN if tenant_id is None else world.issue_key(tenant_id)
    answers = {
        (method, path): call(world, key, method, path, run_id).status_code
        for method, path, _, _ in ROUTES
    }
    assert answers == {
        (method, path): statuses[index] for method, path, _, statuses in ROUTES
    }


def test_a_tenant_lists_its_own_runs_alone(world: ApiWorld) -> None:
    world.store_config()
    own_run = world.post_run().json()["run_id"]
    world.post_run(tenant_id="other")
    client = world.with_key(world.issue_key("acme"))
    assert [run["run_id"] for run in client.get("/v1/runs").json()["runs"]] == [
        own_run
    ]
    assert_problem(
        client.get("/v1/runs?tenant_id=other"), 404, "TENANT_NOT_FOUND"
    )


def test_what_belongs_to_others_answers_like_what_is_not_there(
    world: ApiWorld,
) -> None:
    world.store_config()
    client = world.with_key(world.issue_key("acme"))
    run_id = world.post_run(tenant_id="other").json()["run_id"]
    problems = []
    for requested_id in (run_id, NOBODY_S_RUN):
        problem = client.get(f"/v1/runs/{requested_id}").json()
        problems.append(
            {
                **problem,
                "request_id": "",
                "detail": problem["detail"].replace(requested_id, ""),
            }
        )
    assert problems[0] == problems[1]


# --- scopes -------------------------------------------------------------------------------------

SCOPES = {
    "GET": "read",
    "PUT /v1/tenants/{tenant_id}/config": "config",
    "POST /v1/tenants/{tenant_id}/config:check": "config",
    "POST /v1/tenants/{tenant_id}/api-keys": "keys",
    "DELETE /v1/tenants/{tenant_id}/api-keys/{key_id}": "keys",
    "GET /v1/tenants/{tenant_id}/sessions": "keys",
    "DELETE /v1/tenants/{tenant_id}/sessions/{session_id}": "keys",
    "POST /v1/tenants/{tenant_id}/uploads": "upload",
    "POST /v1/tenants/{tenant_id}/vendors/{vendor_id}/pull": "run",
    "POST /v1/tenants/{tenant_id}/supplier-links": "upload",
    "DELETE /v1/tenants/{tenant_id}/supplier-links/{link_id}": "upload",
    "POST /v1/tenants/{tenant_id}/webhooks": "config",
    f"PATCH {WEBHOOK}": "config",
    f"DELETE {WEBHOOK}": "config",
    f"POST {WEBHOOK}/secret:rotate": "config",
    f"POST {WEBHOOK}/test": "config",
    "POST /v1/tenants/{tenant_id}/feed-links": "config",
    "DELETE /v1/tenants/{tenant_id}/feed-links/{link_id}": "config",
    "POST /v1/tenants/{tenant_id}/deliveries/{delivery_id}/send": "release",
    "POST /v1/tenants/{tenant_id}/overrides:put": "config",
    "POST /v1/tenants/{tenant_id}/overrides:remove": "config",
    "PUT /v1/tenants/{tenant_id}/secrets/{name}": "config",
    "DELETE /v1/tenants/{tenant_id}/secrets/{name}": "config",
    "GET /v1/tenants": "admin",
    "GET /v1/admin/pause": "admin",
    "POST /v1/runs": "run",
    "POST /v1/runs/{run_id}/cancel": "run",
    "POST /v1/runs/{run_id}/release": "release",
    "POST /v1/runs/{run_id}/accept": "release",
    "POST /v1/tenants/{tenant_id}/feed/rollback": "release",
    "POST /v1/tenants": "admin",
    "DELETE /v1/tenants/{tenant_id}": "admin",
    "GET /v1/tenants/{tenant_id}/deletion": "admin",
    "POST /v1/tenants/{tenant_id}/restore": "admin",
    "POST /v1/admin/pause": "admin",
    "DELETE /v1/admin/pause": "admin",
}
"""What a key must be good for, of all ``GET`` calls the same."""
CLOSED = [(method, path) for method, path, is_open, _ in ROUTES if not is_open]


def test_every_route_that_needs_a_key_says_what_for(
    document: dict[str, Any],
) -> None:
    paths = document["paths"]
    declared = {
        (method.upper(), path): [
            scopes for requirement in needed for scopes in requirement.values()
        ]
        for path, operations in paths.items()
        for method, operation in operations.items()
        if (needed := operation.get("security"))
    }
    expected = {
        (method, path): [[SCOPES.get(f"{method} {path}", SCOPES.get(method))]]
        for method, path in CLOSED
    }
    assert declared == expected


def test_a_key_does_what_its_scopes_say_and_nothing_else(
    world: ApiWorld,
) -> None:
    world = ApiWorld(
        world.platform, limits=replace(DEFAULT_API_LIMITS, burst=600)
    )
    world.store_config()
    for scope in Scope:
        new_key = world.client.post(
            "/v1/tenants/acme/api-keys", json={"scopes": [scope]}
        ).json()
        for method, path in CLOSED:
            needed = SCOPES.get(f"{method} {path}", SCOPES.get(method))
            response = call(world, new_key["api_key"], method, path)
            if needed == "admin":
                assert_problem(response, 403, "FORBIDDEN")
            elif needed == scope:
                # A key that has no other scope makes and deletes no ordinary one.
                code = (
                    response.json().get("error_code")
                    if response.status_code == 403
                    else None
                )
                assert code is None or "/api-keys" in path, path
            else:
                problem = assert_problem(response, 403, "SCOPE_MISSING")
                assert problem["scopes"] == [needed]
                assert str(needed) in problem["detail"]


def test_what_belongs_to_others_is_not_there_whatever_a_key_lacks(
    world: ApiWorld,
) -> None:
    world.store_config(vendor_document("v", inbound=LOCAL), tenant_id="other")
    new_key = world.client.post(
        "/v1/tenants/other/api-keys", json={"scopes": ["upload"]}
    ).json()
    answer = world.with_key(new_key["api_key"]).get("/v1/tenants/acme")
    assert_problem(answer, 404, "TENANT_NOT_FOUND")


# --- keys of admins and of nobody ---------------------------------------------------------------


def test_each_of_several_admin_keys_is_good() -> None:
    with embedded_platform() as platform:
        settings = platform.settings.model_copy(
            update={"api_keys": ("first", "second")}
        )
        world = ApiWorld(replace(platform, settings=settings))
        answers = [
            world.with_key(key).get("/v1/runs")
            for key in ("first", "second", "first,second")
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 401]


def test_an_admin_key_can_be_for_reading_alone() -> None:
    with embedded_platform() as platform:
        settings = platform.settings.model_copy(
            update={
                "api_keys": ("ops:first", "verify:second"),
                "read_only_admins": ("verify", "nobody"),
            }
        )
        world = ApiWorld(replace(platform, settings=settings))
        reader = world.with_key("second")
        assert reader.get("/v1/tenants").status_code == 200
        config = config_document()
        for send, path in (
            (reader.put, "/v1/tenants/acme/config"),
            (reader.post, "/v1/tenants"),
            (reader.post, "/v1/tenants/acme/config:check"),
        ):
            assert_problem(send(path, json=config), 403, "FORBIDDEN")
        assert_problem(reader.delete("/v1/tenants/acme"), 403, "FORBIDDEN")
        created = world.with_key("first").put(
            "/v1/tenants/acme/config", json=config
        )
        assert created.is_success


def test_toys_may_do_without_keys() -> None:
    with embedded_platform(allow_anonymous=True) as platform:
        assert (
            ApiWorld(platform).with_key(None).get("/v1/runs").status_code == 200
        )


NASTY = (
    *(
        "a%2Fb",
        "%2e%2e",
        "..%2f..%2fother",
        "a%00b",
        "a%0Ab",
        "a%7Fb",
        "%20",
        "x" * 300,
    ),
    *("%C3%A9", "%FF"),
)


def test_no_path_leads_out_of_a_tenant_s_place(world: ApiWorld) -> None:
    for method, path, _, _ in ROUTES:
        body = config_document() if method in ("POST", "PUT", "PATCH") else None
        # Wrong tokens are counted, so each path with a token has an API of its own.
        has_token = "{token}" in path
        client = ApiWorld(world.platform).client if has_token else world.client
        for segment in NASTY if "{" in path else ():
            place = re.sub(r"\{\w+\}", segment, path)
            response = client.request(
                method, place, json=body, follow_redirects=False
            )
            # A config's own tenant_id is not the path's; that is told before the tenant is looked
            # for.
            assert response.status_code in (404, 422), (path, segment)
            if not path.startswith("/s/"):  # its problems are pages
                code = response.json()["error_code"]
                assert code.endswith(("NOT_FOUND", "INVALID_REQUEST")), (
                    path,
                    segment,
                )
    assert not world.platform.tenants.all_tenant_ids()


# --- rates --------------------------------------------------------------------------------------


def statuses(
    client: TestClient, count: int, path: str = "/v1/runs", **headers: str
) -> set[int]:
    return {client.get(path, headers=headers).status_code for _ in range(count)}


def test_a_tenant_that_asks_too_often_waits_with_all_its_keys_and_others_do_not() -> (
    None
):
    with embedded_platform(rate_limit_per_minute=10) as platform:
        world = ApiWorld(platform)
        world.store_config()
        world.store_config(
            vendor_document("v", inbound=LOCAL), tenant_id="other"
        )
        busy, also, calm = map(
            world.with_key, map(world.issue_key, ("acme", "acme", "other"))
        )
        assert statuses(busy, 10) == {200}
        refused = busy.get("/v1/runs")
        assert_problem(refused, 429, "RATE_LIMITED")
        assert 1 <= int(refused.headers["Retry-After"]) <= 6
        assert statuses(also, 3) == {429}
        assert statuses(calm, 10) == {200}
        assert statuses(world.client, 80) == {200}
        assert {
            busy.get(f"/v1/{path}").status_code for path in ("health", "ready")
        } == {200}


@dataclass(frozen=True, slots=True)
class Waiting(DeletionStore):
    """Answers once it may, of one tenant."""

    inside: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(0)
    )
    go_on: threading.Event = field(default_factory=threading.Event)

    def under_way(self, tenant_id: str) -> None:
        self.inside.release()
        assert self.go_on.wait(30)


def test_a_tenant_has_four_requests_in_work_and_more_are_turned_away(
    world: ApiWorld,
) -> None:
    world.store_config()
    world.store_config(vendor_document("v", inbound=LOCAL), tenant_id="other")
    busy, calm = map(world.with_key, map(world.issue_key, ("acme", "other")))
    assert statuses(busy, 1) == {200}
    slow = Waiting(world.platform.database)
    world.app.state.parts.platform = replace(world.platform, deletions=slow)
    with ThreadPoolExecutor(4) as four:
        answers = [four.submit(busy.get, "/v1/tenants/acme") for _ in range(4)]
        for _ in answers:
            assert slow.inside.acquire(timeout=30)
        refused = busy.get("/v1/runs")
        assert_problem(refused, 429, "RATE_LIMITED")
        assert refused.headers["Retry-After"] == "1"
        assert statuses(calm, 1) == {200}
        slow.go_on.set()
        assert {answer.result().status_code for answer in answers} == {200}
    assert statuses(busy, 5) == {200}


def test_an_admin_key_may_be_used_ten_times_as_often() -> None:
    with embedded_platform(rate_limit_per_minute=2) as platform:
        client = ApiWorld(platform).client
        assert statuses(client, 20) == {200}
        assert_problem(client.get("/v1/runs"), 429, "RATE_LIMITED")


def test_who_guesses_keys_has_to_wait_and_those_with_good_ones_do_not(
    world: ApiWorld,
) -> None:
    world.store_config()
    good = world.with_key(world.issue_key("acme"))
    guessing = world.with_key("guess")
    assert statuses(good, 1) == {200}
    assert statuses(guessing, 30) == {401}
    refused = guessing.get("/v1/runs")
    assert_problem(refused, 429, "RATE_LIMITED")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert statuses(good, 1) == statuses(world.client, 1) == {200}
    # Who shows no key at all guesses none.
    assert statuses(world.with_key(None), 1) == {401}


@pytest.mark.parametrize(
    ("trusted", "forwarded", "other_client"),
    [
        # No proxy is trusted: what a header says is nothing, the peer counts.
        ((), "198.51.100.1", "198.51.100.2"),
        # What a caller says of himself stands before what the proxy added.
        (("testclient",), "1.1.1.1, 198.51.100.1", "2.2.2.2, 198.51.100.1"),
        # Two proxies, one behind the other.
        (
            ("testclient", "10.0.0.0/8"),
            "1.1.1.1, 198.51.100.1, 10.1.2.3",
            "2.2.2.2, 198.51.100.1, 10.3.2.1",
        ),
    ],
    ids=["none", "one", "two"],
)
def test_an_address_is_the_last_one_that_no_trusted_proxy_has(
    trusted: tuple[str, ...], forwarded: str, other_client: str
) -> None:
    with embedded_platform(trusted_proxies=trusted) as platform:
        client = ApiWorld(platform).with_key("guess")
        assert statuses(client, 30, **{"X-Forwarded-For": forwarded}) == {401}
        assert statuses(client, 1, **{"X-Forwarded-For": other_client}) == {429}


def test_callers_behind_a_trusted_proxy_are_told_apart() -> None:
    with embedded_platform(trusted_proxies=("testclient",)) as platform:
        client = ApiWorld(platform).with_key("guess")
        assert statuses(client, 31, **{"X-Forwarded-For": "198.51.100.1"}) == {
            401,
            429,
        }
        assert statuses(client, 30, **{"X-Forwarded-For": "198.51.100.2"}) == {
            401
        }
