"""Webhooks: made, changed, deleted; what is taken as a URL, and where secrets are shown."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import Response

from relay_dagster.webhooks.changes import disabled, edited, failing
from relay_dagster.webhooks.model import SUBSCRIBABLE, DisabledReason
from support.api_world import JSON, ApiWorld, assert_problem, paths_of
from support.builders import vendor_document
from support.fakes import embedded_platform

PLACE = "/v1/tenants/acme/webhooks"
URL = "https://shop.example.com/hooks/s3cr3t-path"
ORDER = {"url": URL, "events": ["run.failed", "feed.published"]}
NOBODY_S = f"wh_{'0' * 32}"


@pytest.fixture(autouse=True)
def config(world: ApiWorld) -> None:
    world.store_config()


def create(world: ApiWorld, **changes: Any) -> Response:
    return world.client.post(PLACE, json={**ORDER, **changes})


def made(world: ApiWorld, **changes: Any) -> dict[str, Any]:
    response = create(world, **changes)
    assert response.status_code == 201, response.text
    webhook: dict[str, Any] = response.json()
    return webhook


def listed(world: ApiWorld) -> list[dict[str, Any]]:
    webhooks: list[dict[str, Any]] = world.client.get(PLACE).json()["webhooks"]
    return webhooks


def place_of(webhook: dict[str, Any]) -> str:
    return f"{PLACE}/{webhook['webhook_id']}"


def patch(world: ApiWorld, webhook: dict[str, Any], **changes: Any) -> Response:
    return world.client.patch(place_of(webhook), json=changes)


# --- made and shown -----------------------------------------------------------------------------


def test_a_webhook_is_made_with_a_secret_that_is_shown_this_once(
    world: ApiWorld,
) -> None:
    response = create(world, description=" shop ")
    webhook = response.json()
    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Location"] == place_of(webhook)
    secret = webhook.pop("secret")
    assert (
        len(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
        == 32
    )
    created = datetime.fromisoformat(webhook["created_at"])
    assert timedelta(0) <= datetime.now(UTC) - created < timedelta(minutes=1)
    assert webhook == {
        "webhook_id": webhook["webhook_id"],
        "url": URL,
        "events": ["run.failed", "feed.published"],
        "description": "shop",
        "enabled": True,
        "created_at": webhook["created_at"],
        "created_by": "admin:admin-1",
        "failing_since": None,
        "disabled_reason": None,
    }
    assert world.client.get(place_of(webhook)).json() == webhook
    assert listed(world) == [webhook]


@pytest.mark.parametrize(
    ("url", "receiver"),
    [
        (URL, "https://shop.example.com"),
        (
            "https://shop.example.com:8443?key=s3cr3t",
            "https://shop.example.com:8443",
        ),
    ],
)
def test_a_key_that_only_reads_is_shown_no_path_and_query(
    world: ApiWorld, url: str, receiver: str
) -> None:
    webhook = made(world, url=url)
    for scopes, expected in ((["read"], receiver), (["read", "config"], url)):
        key = world.client.post(
            "/v1/tenants/acme/api-keys", json={"scopes": scopes}
        ).json()
        client = world.with_key(key["api_key"])
        (entry,) = client.get(PLACE).json()["webhooks"]
        assert (
            entry["url"]
            == client.get(place_of(webhook)).json()["url"]
            == expected
        )


def test_webhooks_are_listed_as_they_were_made(world: ApiWorld) -> None:
    ids = [made(world)["webhook_id"] for _ in range(3)]
    assert [entry["webhook_id"] for entry in listed(world)] == ids


def test_no_secret_and_no_path_of_a_url_is_in_the_audit_or_the_log(
    world: ApiWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    webhook = made(world)
    rotated = world.client.post(f"{place_of(webhook)}/secret:rotate").json()
    patch(world, webhook, url=f"{URL}/more")
    world.client.delete(place_of(webhook))
    audit = world.client.get("/v1/audit", params={"tenant_id": "acme"}).json()[
        "audit"
    ]
    written = json.dumps(audit) + capsys.readouterr().err
    for hidden in (
        webhook["secret"],
        rotated["secret"],
        "whsec_",
        "s3cr3t-path",
    ):
        assert hidden not in written
    details = {entry["action"]: entry["details"] for entry in reversed(audit)}
    receiver = "https://shop.example.com:443"
    assert details["webhook.created"] == {
        "receiver": receiver,
        "events": ORDER["events"],
    }
    assert details["webhook.changed"] == {
        "changed": ["url"],
        "receiver": receiver,
    }
    assert details["webhook.deleted"] == {"receiver": receiver}


def test_a_tenant_has_ten_at_the_most(world: ApiWorld) -> None:
    webhooks = [made(world) for _ in range(10)]
    problem = assert_problem(create(world), 409, "WEBHOOK_QUOTA_EXCEEDED")
    assert "10 webhooks" in problem["detail"]
    assert world.client.delete(place_of(webhooks[4])).status_code == 204
    assert create(world).status_code == 201
    assert len(listed(world)) == 10


def test_a_tenant_that_is_not_there_has_none(world: ApiWorld) -> None:
    place = "/v1/tenants/nobody/webhooks"
    assert_problem(
        world.client.post(place, json=ORDER), 404, "TENANT_NOT_FOUND"
    )
    assert_problem(world.client.get(place), 404, "TENANT_NOT_FOUND")


# --- what is taken ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example.com",
        "https://SHOP.example.com/a?b=c",
        "https://shop.example.com:443/",
        "https://shop.example.com:8443/hooks",
        "https://8.8.8.8/hooks",
        "https://[2606:4700::1111]/hooks",
        f"https://shop.example.com/{'a' * (2048 - 25)}",
    ],
)
def test_a_public_https_url_is_taken(world: ApiWorld, url: str) -> None:
    assert made(world, url=url)["url"] == url


REFUSED = (
    "",
    "shop",
    "ftp://shop.example.com/",
    "http://shop.example.com/",
    "https://",
    "https:///hooks",
    "https://shop.example.com:8080/",
    "https://shop.example.com:80/",
    "https://shop.example.com:0/",
    "https://shop.example.com:70000/",
    "https://user@shop.example.com/",
    "https://user:word@shop.example.com/",
    "https://shop.example.com/#part",
    "https://shop.example.com/ a",
    "https://shop.example.com/\n",
    "https://shöp.example.com/",
    f"https://shop.example.com/{'a' * 2048}",
    "https://localhost/",
    "http://localhost:8000/",
    "http://127.0.0.1:8000/",
    "https://127.0.0.1/",
    "https://127.1/",
    "http://2130706433",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://192.0.0.8/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::a9fe:a9fe]/",
    "https://[2002:7f00:1::]/",
    "https://[fe80::1]/",
    "https://[fd00::1]/",
    "https://[ff02::1]/",
    "https://[fe80::1%25eth0]/",
)


def test_any_other_url_is_refused_when_made_and_when_changed(
    world: ApiWorld,
) -> None:
    webhook = made(world)
    for url in REFUSED:
        for answer in (create(world, url=url), patch(world, webhook, url=url)):
            assert paths_of(assert_problem(answer, 422, "INVALID_REQUEST")) == [
                "url"
            ], url
    assert [entry["url"] for entry in listed(world)] == [URL]


def test_loopback_is_taken_only_where_an_operator_allows_it() -> None:
    with embedded_platform(webhook_allow_loopback=True) as platform:
        world = ApiWorld(platform)
        world.store_config()
        for url in (
            "http://127.0.0.1:8000/h",
            "http://localhost/",
            "https://[::1]:9/",
        ):
            assert made(world, url=url)["url"] == url
        for url in (
            "http://10.0.0.1/",
            "http://shop.example.com/",
            "https://192.168.1.1:9/",
        ):
            assert_problem(create(world, url=url), 422, "INVALID_REQUEST")


def test_one_that_leads_to_loopback_is_deleted_where_that_is_no_more_allowed(
    world: ApiWorld,
) -> None:
    settings = world.platform.settings
    lenient = settings.model_copy(update={"webhook_allow_loopback": True})
    webhook = made(
        ApiWorld(world.platform, settings=lenient), url="http://127.0.0.1:8000/"
    )
    assert world.client.delete(place_of(webhook)).status_code == 204


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"events": []}, "events"),
        ({"events": ["run.failed", "run.failed"]}, "events"),
        ({"events": ["run.baked"]}, "events.0"),
        ({"events": ["webhook.test"]}, "events.0"),
        ({"events": "run.failed"}, "events"),
        ({"events": None}, "events"),
        ({"url": None}, "url"),
        ({"url": 5}, "url"),
        ({"description": "a" * 201}, "description"),
        ({"description": " "}, "description"),
        ({"secret": "mine"}, "secret"),
        ({"webhook_id": NOBODY_S}, "webhook_id"),
    ],
)
def test_what_cannot_be_is_refused_with_its_path(
    world: ApiWorld, change: dict[str, Any], path: str
) -> None:
    assert paths_of(
        assert_problem(create(world, **change), 422, "INVALID_REQUEST")
    ) == [path]
    webhook = made(world)
    problem = assert_problem(
        patch(world, webhook, **change), 422, "INVALID_REQUEST"
    )
    assert paths_of(problem) == [path]


def test_an_event_that_is_none_is_refused_with_the_words_there_are(
    world: ApiWorld,
) -> None:
    refused = assert_problem(
        create(world, events=["run.baked"]), 422, "INVALID_REQUEST"
    )
    assert refused["errors"][0]["message"] == (
        "Input should be 'run.succeeded', 'run.failed', 'run.held', 'run.cancelled', "
        "'feed.published', 'vendor.pull_failed', 'feed.delivered' or "
        "'feed.delivery_failed'"
    )


@pytest.mark.parametrize(
    "body", ["", "[]", "null", '{"url": "https://a.example.com"}']
)
def test_an_order_names_url_and_events(world: ApiWorld, body: str) -> None:
    response = world.client.post(PLACE, content=body, headers=JSON)
    assert_problem(response, 422, "INVALID_REQUEST")


@pytest.mark.parametrize("enabled", [None, 1, "true"])
def test_enabled_is_true_or_false(world: ApiWorld, enabled: Any) -> None:
    problem = assert_problem(
        patch(world, made(world), enabled=enabled), 422, "INVALID_REQUEST"
    )
    assert paths_of(problem) == ["enabled"]


# --- changed ------------------------------------------------------------------------------------


def test_what_is_named_is_changed_and_nothing_else(world: ApiWorld) -> None:
    webhook = made(world, description="shop")
    del webhook["secret"]
    for changes in (
        {"url": "https://new.example.com/"},
        {"events": [str(event_type) for event_type in SUBSCRIBABLE]},
        {"enabled": False},
        {"description": None},
        {"enabled": True, "description": "again"},
        {},
    ):
        webhook |= changes
        response = patch(world, webhook, **changes)
        assert (response.status_code, response.json()) == (200, webhook)
        assert world.client.get(place_of(webhook)).json() == webhook


def test_whoever_enables_one_that_the_system_has_disabled_begins_anew(
    world: ApiWorld,
) -> None:
    webhook = made(world)
    since = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for rule in (failing(since), disabled(DisabledReason.FAILING)):
        world.platform.webhooks.change(
            "acme", edited("acme", webhook["webhook_id"], rule)
        )
    (entry,) = listed(world)
    state = (entry["enabled"], entry["failing_since"], entry["disabled_reason"])
    assert state == (False, "2026-03-01T12:00:00Z", "receiver_failing")
    enabled = patch(world, webhook, enabled=True).json()
    assert enabled == {
        **entry,
        "enabled": True,
        "failing_since": None,
        "disabled_reason": None,
    }


def test_a_rotated_secret_signs_beside_the_one_before_and_a_third_ends_the_first(
    world: ApiWorld,
) -> None:
    webhook = made(world)
    secrets = [webhook["secret"]]
    for _ in range(2):
        response = world.client.post(f"{place_of(webhook)}/secret:rotate")
        answer = response.json()
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        assert answer.keys() == {
            "webhook_id",
            "secret",
            "previous_secret_until",
        }
        secrets.append(answer["secret"])
        (stored,) = world.platform.webhooks.of_tenant("acme")
        now = datetime.now(UTC)
        assert stored.signing_secrets(now) == (secrets[-1], secrets[-2])
        until = datetime.fromisoformat(answer["previous_secret_until"])
        assert (
            timedelta(hours=23, minutes=59) < until - now <= timedelta(hours=24)
        )
        assert stored.signing_secrets(until) == (secrets[-1],)
    assert len(set(secrets)) == 3


def test_a_secret_is_in_no_other_answer(world: ApiWorld) -> None:
    webhook = made(world)
    place = place_of(webhook)
    answers = [
        world.client.get(PLACE),
        world.client.get(place),
        patch(world, webhook, enabled=False),
        patch(world, webhook, enabled=True),
        world.client.post(f"{place}/test"),
        world.client.get(f"{place}/deliveries"),
    ]
    assert {answer.is_success for answer in answers} == {True}
    assert all(
        "whsec_" not in answer.text and '"secret"' not in answer.text
        for answer in answers
    )


def test_a_deleted_webhook_is_gone(world: ApiWorld) -> None:
    webhook = made(world)
    other_webhook = made(world)
    assert world.client.delete(place_of(webhook)).status_code == 204
    assert [entry["webhook_id"] for entry in listed(world)] == [
        other_webhook["webhook_id"]
    ]
    assert_problem(
        world.client.delete(place_of(webhook)), 404, "WEBHOOK_NOT_FOUND"
    )


# --- whose --------------------------------------------------------------------------------------

CALLS = (
    ("GET", "", None),
    ("PATCH", "", {"enabled": False}),
    ("DELETE", "", None),
    ("POST", "/secret:rotate", None),
    ("POST", "/test", None),
    ("GET", "/deliveries", None),
)


@pytest.mark.parametrize(
    "webhook_id", [NOBODY_S, "wh_1", "x" * 3000, "%2e%2e", "é"]
)
def test_a_webhook_that_is_not_there_is_not_found(
    world: ApiWorld, webhook_id: str
) -> None:
    for method, call_arguments, body in CALLS:
        answer = world.client.request(
            method, f"{PLACE}/{webhook_id}{call_arguments}", json=body
        )
        assert_problem(answer, 404, "WEBHOOK_NOT_FOUND")


def test_another_tenant_s_webhook_is_not_there(world: ApiWorld) -> None:
    webhook = made(world)
    world.store_config(
        vendor_document("v", inbound={"type": "local"}), tenant_id="other"
    )
    foreign = world.with_key(world.issue_key("other"))
    for method, call_arguments, body in CALLS:
        mine = f"{place_of(webhook)}{call_arguments}"
        assert_problem(
            foreign.request(method, mine, json=body), 404, "TENANT_NOT_FOUND"
        )
        theirs = mine.replace("/acme/", "/other/")
        for client in (foreign, world.client):
            assert_problem(
                client.request(method, theirs, json=body),
                404,
                "WEBHOOK_NOT_FOUND",
            )
    assert [entry["enabled"] for entry in listed(world)] == [True]


def test_a_tenant_s_own_key_makes_and_lists(world: ApiWorld) -> None:
    client = world.with_key(world.issue_key("acme"))
    webhook = client.post(PLACE, json=ORDER).json()
    assert webhook["created_by"].startswith("key:")
    assert len(client.get(PLACE).json()["webhooks"]) == 1
