"""Overrides over HTTP: put, listed by SKU, removed; what is refused, and who is told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from httpx import Response

from relay_core.publish.keys import ArtifactKeys
from relay_dagster.aws import overrides as stores
from relay_dagster.execution.published_copies import remove_superseded
from relay_dagster.wiring import Platform
from support.api_world import TENANT, ApiWorld, assert_problem
from support.fakes import embedded_platform, served_platform

OVERRIDES = f"/v1/tenants/{TENANT}/overrides"
PLACE = f"published/{TENANT}/overrides/"


@pytest.fixture(scope="module")
def platform() -> Any:
    with embedded_platform() as platform:
        yield platform


@pytest.fixture
def shop(platform: Platform) -> ApiWorld:
    """A tenant without overrides."""
    world = ApiWorld(platform)
    world.store_config()
    platform.overrides.remove(
        TENANT, platform.overrides.document(TENANT).overrides.keys()
    )
    return world


def put(world: ApiWorld, *overrides: Any) -> Response:
    return world.client.post(f"{OVERRIDES}:put", json={"overrides": overrides})


def remove(world: ApiWorld, skus: list[str]) -> Response:
    return world.client.post(f"{OVERRIDES}:remove", json={"skus": skus})


def listed(world: ApiWorld, **query: Any) -> dict[str, Any]:
    response = world.client.get(OVERRIDES, params={"limit": 1000, **query})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def audit(world: ApiWorld, action: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = world.client.get(
        "/v1/audit", params={"tenant_id": TENANT, "action": action}
    ).json()["audit"]
    return entries


THREE_OVERRIDES = [
    {
        "sku": " B-2 ",
        "price": 9.9,
        "max_quantity": 0,
        "vendor_id": "vendor_1",
        "note": "sale",
    },
    {
        "sku": "A-1",
        "leave_out": True,
        "expires_at": "2999-01-01T02:00:00+02:00",
    },
    {"sku": "C-3", "min_price": "5", "accept_price": None},
]


def test_what_is_put_is_listed_by_sku_as_overrides_json_has_it(
    shop: ApiWorld,
) -> None:
    before = listed(shop)["version"]
    answer = put(shop, *THREE_OVERRIDES)
    assert answer.json() == {"version": before + 1, "count": 3, "changed": 3}
    assert listed(shop) == {
        "version": before + 1,
        "count": 3,
        "unused": None,
        "overrides": [
            {
                "sku": "A-1",
                "leave_out": True,
                "expires_at": "2999-01-01T00:00:00Z",
            },
            {
                "sku": "B-2",
                "price": "9.90",
                "max_quantity": 0,
                "vendor_id": "vendor_1",
                "note": "sale",
            },
            {"sku": "C-3", "min_price": "5.00"},
        ],
        "next_cursor": None,
    }
    assert put(shop, *THREE_OVERRIDES).json() == {
        "version": before + 1,
        "count": 3,
        "changed": 0,
    }
    (entry, *_) = audit(shop, "overrides.put")
    assert entry["details"] == {
        "version": before + 1,
        "count": 3,
        "skus": ["A-1", "B-2", "C-3"],
    }
    assert remove(shop, ["B-2", "Z-9"]).json() == {
        "version": before + 2,
        "count": 2,
        "changed": 1,
    }
    assert remove(shop, ["B-2"]).json()["version"] == before + 2
    (entry, *_) = audit(shop, "overrides.removed")
    assert entry["details"]["version"] == before + 2
    assert len(shop.platform.objects.list_objects(PLACE)) == 1


def test_each_replaces_that_of_its_sku_as_a_whole_but_what_was_accepted(
    shop: ApiWorld,
) -> None:
    put(shop, {"sku": "A-1", "min_price": "5", "note": "old"})
    prices = {"A-1": Decimal("7.50"), "B-2": Decimal("3.00")}
    shop.platform.overrides.accept(TENANT, prices, "run", "seen")
    put(shop, {"sku": "A-1", "max_quantity": 3})
    first, second = listed(shop)["overrides"]
    until = first.pop("accept_until")
    assert first == {"sku": "A-1", "max_quantity": 3, "accept_price": "7.50"}
    assert second["accept_until"] == until
    remaining = datetime.fromisoformat(until) - datetime.now(UTC)
    assert timedelta(days=30, minutes=-1) < remaining <= timedelta(days=30)


def test_pages_go_on_behind_the_last_sku(shop: ApiWorld) -> None:
    put(shop, *({"sku": f"S-{n}", "price": "1"} for n in range(5)))
    skus = []
    cursor = None
    for _ in range(3):
        page = shop.client.get(
            OVERRIDES,
            params={"limit": 2, **({"cursor": cursor} if cursor else {})},
        )
        skus.append([override["sku"] for override in page.json()["overrides"]])
        cursor = page.json()["next_cursor"]
    assert (skus, cursor) == ([["S-0", "S-1"], ["S-2", "S-3"], ["S-4"]], None)


def test_a_page_ends_before_it_is_a_mebibyte(shop: ApiWorld) -> None:
    for number in range(3):
        notes = (
            {"sku": f"{number}{n:03}", "price": "1", "note": "\u00e4" * 500}
            for n in range(450)
        )
        assert put(shop, *notes).status_code == 200
    page = shop.client.get(OVERRIDES, params={"limit": 1000})
    assert len(page.content) < 1 << 20
    assert page.json()["next_cursor"] == page.json()["overrides"][-1]["sku"]
    assert page.json()["count"] == 1350


FAULTY: tuple[tuple[dict[str, Any], str], ...] = (
    ({"sku": "A-1"}, "overrides.1"),
    ({"sku": " ", "price": "1"}, "overrides.1.sku"),
    ({"sku": "x" * 1025, "price": "1"}, "overrides.1.sku"),
    ({"price": "1"}, "overrides.1.sku"),
    ({"sku": "A-1", "price": 0}, "overrides.1.price"),
    ({"sku": "A-1", "price": "1.001"}, "overrides.1.price"),
    ({"sku": "A-1", "min_price": "1000000000"}, "overrides.1.min_price"),
    ({"sku": "A-1", "max_quantity": -1}, "overrides.1.max_quantity"),
    ({"sku": "A-1", "leave_out": True, "price": "1"}, "overrides.1"),
    ({"sku": "A-1", "price": "2", "min_price": "1"}, "overrides.1"),
    ({"sku": "A-1", "vendor_id": "gone"}, "overrides.1.vendor_id"),
    ({"sku": "A-1", "price": "1", "note": "x" * 501}, "overrides.1.note"),
    ({"sku": "A-1", "price": "1", "colour": "red"}, "overrides.1.colour"),
    (
        {"sku": "A-1", "price": "1", "expires_at": "2020-01-01T00:00Z"},
        "overrides.1.expires_at",
    ),
    (
        {"sku": "A-1", "price": "1", "expires_at": "2999-01-01"},
        "overrides.1.expires_at",
    ),
    (
        {"sku": "A-1", "price": "1", "accept_price": "2"},
        "overrides.1.accept_price",
    ),
    (
        {"sku": "A-1", "price": "1", "accept_until": "2999-01-01T00:00:00Z"},
        "overrides.1.accept_until",
    ),
    ({"sku": "ok", "price": "1"}, "overrides.1"),
)


def test_one_fault_refuses_all_and_names_its_path(shop: ApiWorld) -> None:
    entry_count = len(audit(shop, "overrides.put"))
    for override, path in FAULTY:
        refused = put(shop, {"sku": "ok", "price": "1"}, override)
        body = assert_problem(refused, 422, "INVALID_REQUEST")
        assert path in [error["path"] for error in body["errors"]], override
    assert listed(shop)["overrides"] == []
    assert len(audit(shop, "overrides.put")) == entry_count


def test_a_call_takes_a_thousand(shop: ApiWorld) -> None:
    overrides = [{"sku": f"S-{n}", "price": "1"} for n in range(1001)]
    assert_problem(put(shop, *overrides), 422, "INVALID_REQUEST")
    assert_problem(put(shop), 422, "INVALID_REQUEST")
    assert put(shop, *overrides[1:]).json()["count"] == 1000
    assert_problem(
        remove(shop, [override["sku"] for override in overrides]),
        422,
        "INVALID_REQUEST",
    )


def test_a_tenant_has_ten_thousand_and_then_none_more(
    shop: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stores.MAX_OVERRIDES == 10_000
    monkeypatch.setattr(stores, "MAX_OVERRIDES", 3)
    assert (
        put(
            shop, *({"sku": f"S-{n}", "price": "1"} for n in range(3))
        ).status_code
        == 200
    )
    changed_twice = ({"sku": "S-0", "price": "2"}, {"sku": "S-3", "price": "2"})
    assert_problem(put(shop, *changed_twice), 409, "OVERRIDE_QUOTA_EXCEEDED")
    assert {override["price"] for override in listed(shop)["overrides"]} == {
        "1.00"
    }
    assert put(shop, changed_twice[0]).status_code == 200


def test_two_calls_at_once_lose_nothing() -> None:
    with served_platform() as platform:  # one that threads may share
        world = ApiWorld(platform)
        world.store_config()
        put_at_once(world)


def put_at_once(shop: ApiWorld) -> None:
    def one(n: int) -> int:
        return put(
            shop,
            {"sku": f"S-{n}", "price": "1"},
            {"sku": "both", "price": n + 1},
        ).status_code

    before = listed(shop)["version"]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(8))) == {200}
    page = listed(shop)
    assert (page["count"], page["version"]) == (9, before + 8)
    (last,) = (
        override for override in page["overrides"] if override["sku"] == "both"
    )
    (entry, *_) = audit(shop, "overrides.put")
    assert f"S-{int(float(last['price'])) - 1}" in entry["details"]["skus"]
    assert len(shop.platform.objects.list_objects(PLACE)) == 1


def test_what_is_over_is_as_if_absent(
    shop: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    put(shop, {"sku": "A-1", "price": "1", "expires_at": soon.isoformat()})
    put(
        shop,
        {"sku": "B-2", "price": "1", "expires_at": soon.isoformat()},
        {"sku": "C-3", "price": "1"},
    )
    shop.platform.overrides.accept(
        TENANT, {"B-2": Decimal("3.00")}, "run", "seen"
    )
    monkeypatch.setattr(
        "relay_dagster.services.overrides.utc_now", lambda: soon
    )
    overrides = listed(shop)["overrides"]
    assert [override["sku"] for override in overrides] == ["B-2", "C-3"]
    assert overrides[0].keys() == {"sku", "accept_price", "accept_until"}


def test_those_whose_sku_nobody_offers_are_counted(shop: ApiWorld) -> None:
    put(shop, {"sku": "A-1", "price": "1"}, {"sku": "B-2", "price": "1"})
    run = shop.succeed(shop.post_run().json()["run_id"])
    assert listed(shop)["unused"] is None
    key = ArtifactKeys(run.run_id, TENANT).unused_overrides
    shop.platform.objects.put(key, json.dumps(["B-2", "removed"]).encode())
    assert (listed(shop)["unused"], listed(shop)["count"]) == (1, 2)


def test_the_document_outlives_feeds_that_are_superseded(
    shop: ApiWorld,
) -> None:
    put(shop, {"sku": "A-1", "price": "1"})
    remove_superseded(
        shop.platform, TENANT, datetime.now(UTC) + timedelta(days=9)
    )
    assert listed(shop)["count"] == 1


def test_an_override_of_the_next_release_is_left_out_and_kept(
    shop: ApiWorld, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    put(shop, {"sku": "A", "price": "1.00"}, {"sku": "B", "price": "2.00"})
    (stored,) = platform.objects.list_objects(PLACE)
    of_tomorrow = b'{"sku": "B", "round_to": "0.05"}\n'
    lines = platform.objects.read(stored.key).splitlines(keepends=True)
    platform.objects.put(stored.key, lines[0] + of_tomorrow)
    assert [override["sku"] for override in listed(shop)["overrides"]] == ["A"]
    assert "item_unreadable" in caplog.messages
    put(shop, {"sku": "C", "leave_out": True})
    (stored,) = platform.objects.list_objects(PLACE)
    assert of_tomorrow in platform.objects.read(stored.key)
    assert remove(shop, ["B"]).json()["changed"] == 1
    (stored,) = platform.objects.list_objects(PLACE)
    assert of_tomorrow not in platform.objects.read(stored.key)


def test_a_reader_that_comes_late_reads_the_version_after(
    shop: ApiWorld, platform: Platform
) -> None:
    put(shop, {"sku": "A-1", "price": "1"})
    store = platform.overrides
    head = store._head(TENANT)
    put(shop, {"sku": "B-2", "price": "1"})
    assert [*store._read(head).overrides] == ["A-1", "B-2"]


@pytest.mark.parametrize(
    "call",
    [
        lambda shop: put(shop, {"sku": "A-1", "price": "1"}),
        lambda shop: remove(shop, ["A-1"]),
    ],
    ids=["put", "remove"],
)
def test_a_tenant_that_is_being_deleted_takes_none(
    shop: ApiWorld, call: Callable[[ApiWorld], Response]
) -> None:
    put(shop, {"sku": "A-1", "min_price": "1"})
    before = shop.platform.objects.list_objects(PLACE)
    shop.client.delete(f"/v1/tenants/{TENANT}", params={"confirm": TENANT})
    assert_problem(call(shop), 409, "TENANT_CLOSING")
    assert shop.platform.objects.list_objects(PLACE) == before
    shop.client.post(f"/v1/tenants/{TENANT}/restore")
    assert call(shop).status_code == 200


# --- accepted prices ----------------------------------------------------------------------------


def quarantined(world: ApiWorld, *rows: str) -> str:
    """Return a run that was published, and has kept the published prices of some SKUs."""
    run = world.succeed(world.post_run().json()["run_id"])
    columns = "sku,action,price_published,price_computed,vendor_id,row_number,suspect_since"
    text = "".join(f"{row}\n" for row in (columns, *rows))
    world.platform.objects.put(run.keys.quarantine, text.encode())
    return run.run_id


def accept(world: ApiWorld, run_id: str, **order: Any) -> Response:
    return world.client.post(
        f"/v1/runs/{run_id}/accept", json={"reason": " seen ", **order}
    )


ROWS = (
    "A-1,keep,131.99,13.19,vendor_1,2,2026-03-01T12:00:00Z",
    '"B,\n2",keep,131.99,13.20,vendor_1,3,2026-03-01T12:00:00Z',
    "C-3,keep,131.99,13.21,vendor_1,4,2026-03-01T12:00:00Z",
)


def test_prices_are_accepted_by_name_or_all_at_once(shop: ApiWorld) -> None:
    run_id = quarantined(shop, *ROWS)
    answer = accept(shop, run_id, skus=["A-1", " C-3 "])
    assert (answer.status_code, answer.json()) == (200, {"accepted": 2})
    prices = {
        override["sku"]: override["accept_price"]
        for override in listed(shop)["overrides"]
    }
    assert prices == {"A-1": "13.19", "C-3": "13.21"}
    (entry, *_) = audit(shop, "skus.accepted")
    assert entry["target"] == run_id
    assert {
        name: entry["details"][name] for name in ("count", "skus", "reason")
    } == {
        "count": 2,
        "skus": ["A-1", "C-3"],
        "reason": "seen",
    }
    listed_before = listed(shop)
    entries_before = len(audit(shop, "skus.accepted"))
    # Accepting the SKU again changes nothing.
    assert accept(shop, run_id, skus=["C-3"]).json() == {"accepted": 1}
    assert listed(shop) == listed_before
    assert len(audit(shop, "skus.accepted")) == entries_before
    assert accept(shop, run_id, all=True).json() == {"accepted": 3}
    assert [override["sku"] for override in listed(shop)["overrides"]] == [
        "A-1",
        "B,\n2",
        "C-3",
    ]


MANY = [
    f"S{number:07},keep,131.99,13.19,vendor_1,2," for number in range(10**6)
]


def seconds_to_accept(world: ApiWorld, run_id: str, **order: Any) -> float:
    """Return the processor time of an answer, with that of the bucket."""
    began = time.process_time()
    assert accept(world, run_id, **order).status_code in (200, 404, 409)
    return time.process_time() - began


@pytest.mark.parametrize("quoted", ["", '"T,1",keep,2.00,1.00,vendor_1,2,'])
def test_a_quarantine_of_a_million_skus_is_searched_within_a_second(
    shop: ApiWorld, quoted: str
) -> None:
    run_id = quarantined(shop, *filter(None, (quoted, *MANY)))
    skus = [f"S{number:07}" for number in range(0, 10**6, 100)]
    for order in (
        {"skus": ["Z-9"]},
        {"skus": [*skus[:-1], "Z-9"]},
        {"all": True},
    ):
        assert seconds_to_accept(shop, run_id, **order) < 1
    assert listed(shop)["overrides"] == []
    assert accept(shop, run_id, skus=["S0999999"]).json() == {"accepted": 1}


def test_a_sku_is_accepted_as_quarantine_csv_or_as_the_feed_writes_it(
    shop: ApiWorld,
) -> None:
    rows = ["'+B,keep,2.00,1.00,v,2,", "'-C,keep,2.00,1.50,v,2,"]
    plain_id = quarantined(shop, *rows)
    run_id = quarantined(shop, *rows)
    keys = ArtifactKeys(run_id, TENANT)
    snapshot = {"tenant_config": {"output": {"escape_formulas": True}}}
    shop.platform.objects.put(
        keys.config_snapshot, json.dumps(snapshot).encode()
    )
    skus = ["+B", "'-C"]
    assert accept(shop, run_id, skus=skus).json() == {"accepted": 2}
    prices = {
        row["sku"]: row["accept_price"] for row in listed(shop)["overrides"]
    }
    assert prices == {"+B": "1.00", "-C": "1.50"}
    assert accept(shop, run_id, all=True).json() == {"accepted": 2}
    assert len(listed(shop)["overrides"]) == 2
    # Where nothing is escaped, the mark is part of the SKU.
    assert_problem(
        accept(shop, plain_id, skus=["+B"]), 404, "SKU_NOT_QUARANTINED"
    )
    assert accept(shop, plain_id, skus=["'-C"]).json() == {"accepted": 1}


def test_one_sku_that_is_not_in_the_quarantine_accepts_none(
    shop: ApiWorld,
) -> None:
    refused = accept(shop, quarantined(shop, *ROWS), skus=["A-1", "Z-9"])
    assert_problem(refused, 404, "SKU_NOT_QUARANTINED")
    assert "Z-9" in refused.json()["detail"]
    assert listed(shop)["overrides"] == []


def test_all_of_none_is_none(shop: ApiWorld) -> None:
    run = shop.succeed(shop.post_run().json()["run_id"])
    shop.platform.objects.put(run.keys.run_summary, b"{}")
    for order in ({"all": True}, {"skus": ["A-1"]}):
        assert_problem(
            accept(shop, run.run_id, **order), 404, "SKU_NOT_QUARANTINED"
        )
    shop.platform.objects.delete(run.keys.run_summary)
    assert_problem(accept(shop, run.run_id, all=True), 410, "ARTIFACTS_EXPIRED")


def test_a_run_is_published_or_held(shop: ApiWorld) -> None:
    waiting = shop.post_run().json()["run_id"]
    assert_problem(accept(shop, waiting, all=True), 409, "RUN_NOT_MERGED")
    shop.client.post(f"/v1/runs/{waiting}/cancel")
    held = shop.hold_one()
    shop.platform.objects.put(
        held.keys.quarantine, f"sku,price_computed\n{'A-1,5.00'}\n".encode()
    )
    assert accept(shop, held.run_id, all=True).json() == {"accepted": 1}
    shop.client.post(f"/v1/runs/{held.run_id}/cancel")
    assert_problem(accept(shop, held.run_id, all=True), 409, "RUN_NOT_MERGED")


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"skus": ["A-1"], "all": True},
        {"skus": []},
        {"all": False},
        {"all": True, "reason": " "},
    ],
)
def test_some_or_all_are_named_and_why(
    shop: ApiWorld, order: dict[str, Any]
) -> None:
    assert_problem(
        accept(shop, quarantined(shop, *ROWS), **order), 422, "INVALID_REQUEST"
    )


def test_a_sku_that_no_override_can_name_is_not_accepted(
    shop: ApiWorld,
) -> None:
    long = f"{'x' * 200_000},keep,2.00,1.00,vendor_1,2,2026-03-01T12:00:00Z"
    run_id = quarantined(shop, long, ROWS[0])
    assert accept(shop, run_id, all=True).json() == {"accepted": 1}
    assert listed(shop)["count"] == 1
    assert_problem(
        accept(shop, quarantined(shop, long), all=True),
        404,
        "SKU_NOT_QUARANTINED",
    )


def test_more_than_a_tenant_may_have_are_not_accepted(
    shop: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "MAX_OVERRIDES", 3)
    put(shop, {"sku": "other", "price": "1"})
    refused = accept(shop, quarantined(shop, *ROWS), all=True)
    assert_problem(refused, 409, "OVERRIDE_QUOTA_EXCEEDED")
    assert listed(shop)["count"] == 1
