"""Sessions of the pages, as the API lists and ends them, and as the audit tells of them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from relay_dagster.http.security.sessions import Sessions
from relay_dagster.runs.ports import utc_now
from support.api_world import TENANT, ApiWorld, assert_problem
from support.builders import vendor_document
from support.page_visitor import HOME, Visitor, browser, signed_in

SESSIONS = f"/v1/tenants/{TENANT}/sessions"


@pytest.fixture
def shop(world: ApiWorld) -> ApiWorld:
    world.store_config()
    return world


class Later:
    """The time of a world, which a test moves on."""

    def __init__(self, world: ApiWorld) -> None:
        self._ahead = timedelta()
        platform = world.platform
        database = replace(platform.database, clock=self)
        store = replace(platform.sessions, database=database)
        parts = world.app.state.parts
        parts.sessions = Sessions(
            store, platform.api_keys, parts.sessions.wrong_tokens, now=self
        )

    def __call__(self) -> datetime:
        return utc_now() + self._ahead

    def advance(self, **amount: float) -> None:
        self._ahead += timedelta(**amount)


def listed(world: ApiWorld, query: str = "") -> list[dict[str, Any]]:
    response = world.client.get(f"{SESSIONS}{query}")
    assert response.status_code == 200, response.text
    sessions: list[dict[str, Any]] = response.json()["sessions"]
    return sessions


def entries(world: ApiWorld) -> list[dict[str, Any]]:
    """Return the audit's entries of sessions, the oldest first."""
    audit = world.client.get(f"/v1/audit?tenant_id={TENANT}").json()["audit"]
    return [entry for entry in reversed(audit) if "session." in entry["action"]]


def ends(world: ApiWorld) -> list[str]:
    return [
        entry["details"]["reason"]
        for entry in entries(world)
        if entry["action"] == "session.ended"
    ]


def test_a_session_is_listed_and_ended(shop: ApiWorld) -> None:
    visitor = signed_in(shop)
    other_session = signed_in(shop)
    first, second = listed(shop)
    assert list(first) == [
        "session_id",
        "key_id",
        "created_at",
        "last_used_at",
        "expires_at",
    ]
    assert re.fullmatch("[0-9a-f]{16}", first["session_id"])
    assert first["key_id"] == visitor.key.split("_")[1]
    created_at, last_used_at, expires_at = (
        datetime.fromisoformat(first[name])
        for name in ("created_at", "last_used_at", "expires_at")
    )
    assert (last_used_at, expires_at) == (
        created_at,
        created_at + timedelta(hours=12),
    )
    place = f"{SESSIONS}/{first['session_id']}"
    assert shop.client.delete(place).status_code == 204
    assert_problem(shop.client.delete(place), 404, "SESSION_NOT_FOUND")
    assert visitor.client.get(HOME).status_code == 401
    assert other_session.client.get(HOME).status_code == 200
    assert listed(shop) == [second]
    assert ends(shop) == ["deleted"]


def test_a_list_goes_on_at_its_cursor(shop: ApiWorld) -> None:
    for _ in range(3):
        signed_in(shop)
    page = shop.client.get(f"{SESSIONS}?limit=2").json()
    next_page = shop.client.get(
        f"{SESSIONS}?cursor={page['next_cursor']}"
    ).json()
    assert [*page["sessions"], *next_page["sessions"]] == listed(shop)
    assert next_page["next_cursor"] is None
    bad = shop.client.get(f"{SESSIONS}?cursor=none")
    assert_problem(bad, 422, "INVALID_REQUEST")


def test_sessions_need_the_scope_keys_and_are_their_tenant_s(
    shop: ApiWorld,
) -> None:
    inbound = {"type": "s3", "s3_prefix": "tenants/other/inbound/vendor_1/"}
    shop.store_config(vendor_document(inbound=inbound), tenant_id="other")
    signed_in(shop)
    (session,) = listed(shop)
    place = f"/sessions/{session['session_id']}"
    elsewhere = shop.client.delete(f"/v1/tenants/other{place}")
    assert_problem(elsewhere, 404, "SESSION_NOT_FOUND")
    assert shop.client.get("/v1/tenants/other/sessions").json() == {
        "sessions": [],
        "next_cursor": None,
    }
    plain = shop.with_key(shop.issue_key(TENANT))
    assert_problem(plain.get(SESSIONS), 403, "SCOPE_MISSING")
    denied = plain.delete(f"/v1/tenants/{TENANT}{place}")
    assert_problem(denied, 403, "SCOPE_MISSING")
    order = {"scopes": ["keys"]}
    created = shop.client.post(f"/v1/tenants/{TENANT}/api-keys", json=order)
    keeper = shop.with_key(created.json()["api_key"])
    assert keeper.get(SESSIONS).json()["sessions"] == [session]
    response = keeper.delete(f"/v1/tenants/{TENANT}{place}")
    assert response.status_code == 204
    unknown = shop.client.get("/v1/tenants/nobody/sessions")
    assert_problem(unknown, 404, "TENANT_NOT_FOUND")


def sign_in_by(world: ApiWorld, key: str) -> Visitor:
    visitor = browser(world)
    assert visitor.sign_in(key).status_code == 303
    return visitor


def test_a_key_has_twenty_sessions_and_the_oldest_ends(
    shop: ApiWorld,
) -> None:
    newest = signed_in(shop)
    key = shop.issue_key(TENANT)
    visitors = [sign_in_by(shop, key) for _ in range(22)]
    key_id = key.split("_")[1]
    sessions = [
        session for session in listed(shop) if session["key_id"] == key_id
    ]
    assert len(sessions) == 20
    statuses = [
        visitor.client.get(HOME).status_code
        for visitor in (*visitors[:3], visitors[-1], newest)
    ]
    assert statuses == [401, 401, 200, 200, 200]
    assert ends(shop) == ["replaced", "replaced"]


def test_a_session_ends_after_two_idle_hours(shop: ApiWorld) -> None:
    later = Later(shop)
    visitor = signed_in(shop)
    for _ in range(4):
        later.advance(hours=1, minutes=59)
        assert visitor.client.get(HOME).status_code == 200
    later.advance(minutes=1)
    assert visitor.client.get(HOME).status_code == 200
    later.advance(hours=2)
    assert visitor.client.get(HOME).status_code == 401
    assert (listed(shop), ends(shop)) == ([], ["idle"])
    (entry,) = entries(shop)[1:]
    assert entry["actor"]["kind"] == "system"


def test_a_session_in_use_ends_after_twelve_hours(shop: ApiWorld) -> None:
    later = Later(shop)
    visitor = signed_in(shop)
    for _ in range(11):
        later.advance(hours=1)
        assert visitor.client.get(HOME).status_code == 200
    later.advance(hours=1)
    assert visitor.client.get(HOME).status_code == 401
    assert ends(shop) == ["expired"]


def test_the_audit_tells_of_each_start_and_end(shop: ApiWorld) -> None:
    visitor = signed_in(shop)
    key_id = visitor.key.split("_")[1]
    (session,) = listed(shop)
    visitor.fill(visitor.open(HOME), "/app/sign-out")
    started, end = entries(shop)
    assert (started["action"], started["target"]) == (
        "session.started",
        session["session_id"],
    )
    assert started["actor"] == {
        "kind": "tenant_key",
        "id": key_id,
        "name": key_id,
    }
    assert started["details"]["key_id"] == key_id
    assert started["address"] == "testclient"
    assert (end["action"], end["target"]) == (
        "session.ended",
        session["session_id"],
    )
    assert end["actor"]["kind"] == "session"
    assert end["details"] == {"key_id": key_id, "reason": "signed_out"}


def test_who_signs_in_again_ends_the_session_of_this_browser(
    shop: ApiWorld,
) -> None:
    visitor = signed_in(shop)
    visitor.sign_in(visitor.key)
    assert len(listed(shop)) == 1
    assert ends(shop) == ["replaced"]
    shop.client.delete(
        f"/v1/tenants/{TENANT}/api-keys/{visitor.key.split('_')[1]}"
    )
    assert visitor.client.get(HOME).status_code == 401
    assert ends(shop) == ["replaced", "key_ended"]
