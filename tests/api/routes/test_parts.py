"""A vendor of several files over HTTP: orders of uploads, pulls, checks, and the status."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from relay_core.domain.records import PartUpload, VendorResult
from relay_dagster.runs.ports import utc_now
from relay_dagster.transfers.pull_planner import PullPlanner
from relay_dagster.triggers import pulls as rules
from support.api_world import TENANT, ApiWorld, assert_problem
from support.builders import config_document, part_document, vendor_document

UPLOADS = f"/v1/tenants/{TENANT}/uploads"
BASE = "tenants/acme/inbound/vendor_1/"
PRICES = "tenants/acme/inbound/part_prices/"
CHANGES = {"full": "full-*.csv", "delta": "*-delta.csv"}
PULL = {"url": "https://files.example.com/prices.csv"}
AT = datetime(2026, 3, 1, 11, 58, tzinfo=UTC)


def vendor(**options: Any) -> dict[str, Any]:
    """Return a vendor with changes, and a part of prices that is pulled."""
    inbound = {"type": "s3", "s3_prefix": PRICES, "pull": PULL}
    return vendor_document(
        **{
            "changes": CHANGES,
            "duplicate_skus": "last",
            "parts": [part_document(inbound=inbound)],
            **options,
        }
    )


def store(world: ApiWorld, *vendors: dict[str, Any]) -> None:
    response = world.store_config(*(vendors or [vendor()]))
    assert response.is_success, response.text


# --- uploads --------------------------------------------------------------------------


def order(world: ApiWorld, **fields: Any) -> httpx.Response:
    body = {"vendor_id": "vendor_1", "file_name": "monday.csv", **fields}
    return world.client.post(UPLOADS, json=body)


def test_an_upload_of_a_part_goes_below_the_prefix_of_the_part(
    world: ApiWorld,
) -> None:
    store(world)
    response = order(world, part_id="prices")
    assert response.status_code == 201
    assert response.json()["key"] == f"{PRICES}monday.csv"
    entries = world.client.get("/v1/audit?action=upload_link.created")
    entry = entries.json()["audit"][0]
    assert entry["details"]["vendor_id"] == "vendor_1"
    assert entry["details"]["part_id"] == "prices"


@pytest.mark.parametrize("part_id", [None, "absent"])
def test_without_a_part_an_upload_is_the_vendor_s_own(
    world: ApiWorld, part_id: Any
) -> None:
    store(world)
    fields = {} if part_id == "absent" else {"part_id": part_id}
    response = order(world, file_name="full-1.csv", **fields)
    assert response.json()["key"] == f"{BASE}full-1.csv"


@pytest.mark.parametrize(
    "name", ["monday.csv", "full-1-delta.csv", "FULL-1.csv", "full-1.csv.gz"]
)
def test_a_name_that_is_no_input_gets_no_form(
    world: ApiWorld, name: str
) -> None:
    store(world)
    response = order(world, file_name=name)
    assert_problem(response, 422, "INVALID_REQUEST")
    (fault,) = response.json()["errors"]
    assert fault["path"] == "file_name"
    assert '"full-*.csv"' in fault["message"]
    assert '"*-delta.csv"' in fault["message"]


def test_a_part_that_is_unknown_or_local_gets_no_form(world: ApiWorld) -> None:
    local = part_document("local", ["brand"], inbound={"type": "local"})
    store(world, vendor(parts=[part_document(), local]))
    for part_id, words in (
        ("nothing", "has no part 'nothing'"),
        ("local", "has inbound.type local"),
    ):
        response = order(world, part_id=part_id)
        assert_problem(response, 422, "INVALID_REQUEST")
        (fault,) = response.json()["errors"]
        assert (fault["path"], words in fault["message"]) == ("part_id", True)
    assert_problem(
        order(world, vendor_id="nobody", part_id="prices"),
        422,
        "UNKNOWN_VENDOR",
    )


# --- pulls ----------------------------------------------------------------------------


def ask(world: ApiWorld, query: str = "") -> httpx.Response:
    path = f"/v1/tenants/{TENANT}/vendors/vendor_1/pull{query}"
    return world.client.post(path)


def test_a_pull_of_a_part_is_asked_for_by_its_id(world: ApiWorld) -> None:
    store(world)
    assert_problem(ask(world), 409, "NO_PULL")
    assert_problem(ask(world, "?part_id=nothing"), 409, "NO_PULL")
    assert_problem(ask(world, "?part_id=a/b"), 422, "INVALID_REQUEST")
    assert_problem(ask(world, "?part=prices"), 422, "INVALID_REQUEST")
    response = ask(world, "?part_id=prices")
    assert response.status_code == 202
    (state,) = [
        item.value for item in world.platform.pulls.queue.due(utc_now(), 10)
    ]
    assert (state.vendor_id, state.part_id) == ("vendor_1", "prices")
    assert ask(world, "?part_id=prices").status_code == 429
    world.platform.pulls.change(TENANT, "vendor_1/prices", lambda _: None)


def test_each_part_has_its_own_pull(world: ApiWorld) -> None:
    inbound = {"type": "s3", "s3_prefix": BASE, "pull": PULL}
    store(world, vendor(inbound=inbound, changes=None))
    PullPlanner(world.platform).run()
    assert ask(world).status_code == 202
    assert ask(world, "?part_id=prices").status_code == 202
    states = world.platform.pulls.of_tenant(TENANT)
    assert {(state.vendor_id, state.part_id) for state in states.values()} == {
        ("vendor_1", None),
        ("vendor_1", "prices"),
    }
    # A config without the part has no pull of it.
    store(world, vendor(inbound=inbound, changes=None, parts=[]))
    PullPlanner(world.platform).run()
    state = world.platform.pulls.of_names(TENANT, ["vendor_1/prices"])
    assert state["vendor_1/prices"].source == ""


def test_an_event_of_failures_names_the_part() -> None:
    state = rules.PullState(tenant_id=TENANT, vendor_id="vendor_1")
    part_state = rules.PullState(
        tenant_id=TENANT, vendor_id="vendor_1", part_id="prices"
    )

    def data_of(state: rules.PullState, *, names_part: bool) -> Any:
        fail = rules.failed("no answer", AT)
        last = fail(fail(state))
        event = rules.event_of(last, fail(last), AT, names_part=names_part)
        assert event is not None
        return event.data

    failures = {"failures": 3, "last_error": "no answer"}
    names = {"tenant_id": TENANT, "vendor_id": "vendor_1"}
    assert data_of(state, names_part=False) == {**names, **failures}
    assert data_of(state, names_part=True) == {
        **names,
        "part_id": None,
        **failures,
    }
    assert data_of(part_state, names_part=True) == {
        **names,
        "part_id": "prices",
        **failures,
    }


# --- the status -----------------------------------------------------------------------


def status_of(world: ApiWorld) -> list[dict[str, Any]]:
    response = world.client.get(f"/v1/tenants/{TENANT}/status")
    vendors: list[dict[str, Any]] = response.json()["vendors"]
    return vendors


def test_the_status_has_each_part_with_its_upload_and_its_pull(
    world: ApiWorld,
) -> None:
    store(world, vendor(), vendor_document("vendor_2"))
    (before,) = status_of(world)
    nothing = {"uploaded_at": None, "age_hours": None}
    no_pull = {
        "last_success_at": None,
        "last_unchanged_at": None,
        "last_error": None,
        "failures": 0,
        "next_at": None,
    }
    assert before["parts"] == [
        {"part_id": None, **nothing, "pull": None},
        {"part_id": "prices", **nothing, "pull": no_pull},
    ]
    result = VendorResult(
        "vendor_1",
        "found",
        AT,
        2,
        20,
        0,
        20,
        parts=(PartUpload(None, AT, 2), PartUpload("prices", None, None)),
    )
    other_result = VendorResult("vendor_2", "found", AT, 2, 20, 0, 0)
    world.succeed(world.post_run().json()["run_id"], result, other_result)
    several, single = status_of(world)
    assert list(several)[-2:] == ["pull", "parts"]
    assert several["parts"] == [
        {
            "part_id": None,
            "uploaded_at": "2026-03-01T11:58:00Z",
            "age_hours": 2,
            "pull": None,
        },
        {"part_id": "prices", **nothing, "pull": no_pull},
    ]
    assert "parts" not in single


# --- checks ---------------------------------------------------------------------------


def check(world: ApiWorld, *vendors: dict[str, Any]) -> dict[str, Any]:
    path = f"/v1/tenants/{TENANT}/config:check"
    document = config_document(*vendors, pricing={"min_price": "1"})
    response = world.client.post(path, json=document)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def put(world: ApiWorld, key: str, text: str) -> None:
    world.platform.objects.put(key, text.encode())


def test_the_newest_file_of_each_part_is_checked_by_itself(
    world: ApiWorld,
) -> None:
    put(world, f"{BASE}full-1.csv", "sku,quantity_available\nA-1,5\nA-2,x\n")
    put(world, f"{BASE}zzz.csv", "no input\n")
    put(world, f"{PRICES}monday.csv", "sku,cost\nA-1,4.20\n")
    result = check(world, vendor(), vendor_document("vendor_2"))
    base, prices, other_vendor = result["vendors"]
    assert list(base)[:2] == ["vendor_id", "part_id"]
    assert [
        (part["vendor_id"], part["part_id"]) for part in (base, prices)
    ] == [
        ("vendor_1", None),
        ("vendor_1", "prices"),
    ]
    assert "part_id" not in other_vendor
    assert base["s3_key"] == f"{BASE}full-1.csv"
    assert base["as_sent"]["usable"] is True
    assert (base["rows_looked_at"], base["as_sent"]["refused_rows"]) == (2, 1)
    assert prices["as_sent"]["usable"] is True
    assert (prices["as_sent"]["rows"], prices["missing_headers"]) == (1, [])
    # Neither file has all columns of an offer, and neither is told so.
    assert [doubt["code"] for doubt in result["doubts"]] == [
        "error_policy_zero"
    ]
    assert result["patch"] == []


def test_a_part_s_changes_are_proposed_at_its_own_parser(
    world: ApiWorld,
) -> None:
    put(world, f"{BASE}full-1.csv", "sku,quantity_available\nA-1,5\n")
    text = "Artikelnummer;Bestand;Preis\nA-1;5;4,20\nA-2;6;1.250,00\n"
    put(world, f"{PRICES}monday.csv", text)
    result = check(world, vendor())
    paths = {step["path"] for step in result["patch"]}
    assert paths
    assert all(path.startswith("/vendors/0/parts/0/parser/") for path in paths)
    columns = {
        step["path"].rpartition("/")[2]: step["value"]
        for step in result["patch"]
        if "column_map" in step["path"]
    }
    # The part gives no quantity, so that of its file is not mapped.
    assert "quantity_available" not in str(columns)
    assert "Artikelnummer" in str(columns)
    (_, prices) = result["vendors"]
    assert prices["with_patch"]["usable"] is True


def test_a_part_without_a_file_is_missing(world: ApiWorld) -> None:
    put(world, f"{BASE}full-1.csv", "sku,quantity_available\nA-1,5\n")
    result = check(world, vendor())
    assert [part["status"] for part in result["vendors"]] == ["read", "missing"]
    assert result["vendors"][1]["part_id"] == "prices"


def test_rows_of_a_part_are_in_doubt_at_its_own_path(world: ApiWorld) -> None:
    put(world, f"{BASE}full-1.csv", "sku,quantity_available,cost\nA-1,5,2\n")
    second = "tenants/acme/inbound/part_south/"
    put(world, f"{second}a.csv", "sku,quantity_available,cost\nA-1,5,0\n")
    result = check(world, vendor(parts=[part_document("south", "rows")]))
    doubts = {doubt["code"]: doubt["path"] for doubt in result["doubts"]}
    assert doubts["zero_cost"] == "vendors.0.parts.0.parser.zero_is_null"
