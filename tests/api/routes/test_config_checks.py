"""The dry run of a config: what it says of the config and of the latest uploads."""

from __future__ import annotations

import copy
import json
import random
import re
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from httpx import Response

from relay_core.samples.starter import starter_config
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.aws.stored_objects import ObjectInfo
from relay_dagster.external_errors import UnreachableError
from relay_dagster.http.engine_tasks import EngineTasks, TaskSlots
from relay_dagster.http.limits import DEFAULT_API_LIMITS
from relay_dagster.services.config_checks import MAX_FILES
from relay_dagster.services.upload_checks import HEAD_BYTES, WHOLE_BYTES
from support.api_world import (
    JSON,
    SANDBOXES,
    TENANT,
    ApiWorld,
    assert_problem,
    paths_of,
)
from support.builders import config_document, vendor_document
from support.published_documents import (
    FOLDER,
    PURCHASE_ORDER,
    STORE_PRODUCTS,
)
from support.workbooks import text_row, workbook

PLACE = "/v1/tenants/acme/config:check"
INBOUND = "tenants/acme/inbound/"
EUROPEAN = (
    "Artikelnummer;Bestand;Preis\nÄ-1;5;4,20 €\nA-2;7;1.250,00 €\n".encode(
        "cp1252"
    )
)
MAPPED = {
    "column_map": {
        "sku": "Artikelnummer",
        "quantity_available": "Bestand",
        "cost": "Preis",
    }
}
PRICED = {"pricing": {"min_price": "1"}}


def check(world: ApiWorld, document: dict[str, Any]) -> dict[str, Any]:
    response = world.client.post(PLACE, json=document)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def patched(
    document: dict[str, Any], patch: list[dict[str, Any]]
) -> dict[str, Any]:
    """Apply a JSON Patch, as a client would."""
    changed = copy.deepcopy(document)
    for step in patch:
        *parents, last = [
            part.replace("~1", "/").replace("~0", "~")
            for part in step["path"].split("/")[1:]
        ]
        place: Any = changed
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        assert (last in place) == (step["op"] == "replace")
        place[last] = step["value"]
    return changed


def upload(
    world: ApiWorld,
    data: bytes,
    vendor_id: str = "vendor_1",
    name: str = "a.csv",
) -> str:
    key = f"{INBOUND}{vendor_id}/{name}"
    world.platform.objects.put(key, data)
    return key


def test_a_sound_config_is_valid_and_nothing_is_stored(world: ApiWorld) -> None:
    result = check(world, config_document(**PRICED))
    assert (result["tenant_id"], result["valid"]) == (TENANT, True)
    assert (result["faults"], result["doubts"], result["patch"]) == ([], [], [])
    assert [vendor["status"] for vendor in result["vendors"]] == ["missing"]
    assert world.platform.tenants.latest_version(TENANT) is None


def test_faults_are_those_that_storing_it_would_give(world: ApiWorld) -> None:
    document = config_document(
        vendor_document(parser={"delimiter": ";;"}), timezone="Mars"
    )
    result = check(world, document)
    refused = world.client.put(
        f"/v1/tenants/{TENANT}/config", json=document
    ).json()
    assert result["valid"] is False
    assert result["faults"] == refused["errors"]
    assert [fault["path"] for fault in result["faults"]] == [
        "timezone",
        "vendors.0.parser.delimiter",
    ]
    assert [(v["vendor_id"], v["status"]) for v in result["vendors"]] == [
        ("vendor_1", "not_looked_at")
    ]


def test_another_schema_version_is_a_fault(world: ApiWorld) -> None:
    result = check(world, config_document(schema_version=2))
    assert [fault["path"] for fault in result["faults"]] == ["schema_version"]


def test_the_patch_makes_an_upload_readable_that_was_not(
    world: ApiWorld,
) -> None:
    key = upload(world, EUROPEAN)
    document = config_document(
        vendor_document("v0"), vendor_document(parser=MAPPED), **PRICED
    )
    result = check(world, document)
    vendor = result["vendors"][1]
    assert (vendor["status"], vendor["s3_key"], vendor["size"]) == (
        "read",
        key,
        len(EUROPEAN),
    )
    assert vendor["headers"] == ["Artikelnummer", "Bestand", "Preis"]
    assert vendor["guesses"] == {
        "format": "csv",
        "compression": "auto",
        "sheet": None,
        "encoding": "cp1252",
        "delimiter": ";",
        "skip_lines": 0,
        "decimal_separator": ",",
        "thousands_separator": ".",
        "currency_symbols": ["€"],
    }
    assert vendor["as_sent"]["error_code"] == "DECODE_ERROR"
    assert (
        vendor["with_patch"]["usable"],
        vendor["with_patch"]["refused_rows"],
    ) == (
        True,
        0,
    )
    assert {step["path"] for step in result["patch"]} == {
        f"/vendors/1/parser/{option}"
        for option in vendor["guesses"].keys()
        - {"format", "compression", "sheet", "skip_lines"}
    }
    again = check(world, patched(document, result["patch"]))
    assert (again["vendors"][1]["as_sent"], again["patch"]) == (
        vendor["with_patch"],
        [],
    )


def test_a_new_tenant_s_config_is_right_as_it_is(world: ApiWorld) -> None:
    checked = check(world, starter_config("acme"))
    assert checked == {
        "tenant_id": "acme",
        "valid": True,
        "faults": [],
        "doubts": [],
        "vendors": [],
        "patch": [],
    }


@pytest.mark.parametrize(
    ("name", "changes", "headers", "samples"),
    [
        (
            "xml_schema_purchase_order.xml",
            PURCHASE_ORDER,
            [
                "@partNum",
                "productName",
                "quantity",
                "USPrice",
                "comment",
                "shipDate",
            ],
            {("cost", "USPrice"): ["148.95", "39.98"]},
        ),
        (
            "retail_store_products.json",
            STORE_PRODUCTS,
            ["id", "name", "description", "price", "tags"],
            {},
        ),
    ],
)
def test_a_document_gets_its_format_its_record_and_its_columns(
    world: ApiWorld,
    name: str,
    changes: dict[str, Any],
    headers: list[str],
    samples: dict[tuple[str, str], list[str]],
) -> None:
    upload(world, (FOLDER / name).read_bytes(), name=name)
    document = config_document(**PRICED)
    result = check(world, document)
    (vendor,) = result["vendors"]
    assert (vendor["headers"], vendor["whole"]) == (headers, True)
    assert vendor["guesses"]["format"] == changes["format"]
    assert vendor["as_sent"]["error_code"] == "DECODE_ERROR"
    assert {
        (candidate["column"], candidate["header"]): candidate["samples"]
        for candidate in vendor["candidates"]
    } == samples
    parser = patched(document, result["patch"])["vendors"][0]["parser"]
    assert parser == changes
    again = check(world, patched(document, result["patch"]))
    assert (again["vendors"][0]["as_sent"], again["patch"]) == (
        vendor["with_patch"],
        [],
    )
    assert again["vendors"][0]["as_sent"]["refused_rows"] == 0


def test_a_record_that_is_not_there_is_told_with_the_paths_that_are(
    world: ApiWorld,
) -> None:
    data = (FOLDER / "shopify_variants.json").read_bytes()
    upload(world, data, name="variants.json")
    parser = {"format": "json", "record": "/products"}
    document = config_document(vendor_document(parser=parser), **PRICED)
    result = check(world, document)
    (vendor,) = result["vendors"]
    assert vendor["as_sent"]["error_code"] == "invalid_input"
    assert "/products" in vendor["as_sent"]["error_message"]
    assert "/variants (4)" in vendor["as_sent"]["error_message"]
    assert result["patch"][0] == {
        "op": "replace",
        "path": "/vendors/0/parser/record",
        "value": "/variants",
    }


def test_a_patch_adds_to_a_column_map_and_escapes_nothing_away(
    world: ApiWorld,
) -> None:
    upload(world, b"Part #,Stock,Dealer Cost\nA-1,5,1.50\n")
    document = config_document(
        vendor_document(parser={"column_map": {"sku": "part"}}), **PRICED
    )
    result = check(world, document)
    parser = patched(document, result["patch"])["vendors"][0]["parser"]
    assert parser["column_map"] == {
        "sku": "Part #",
        "quantity_available": "Stock",
        "cost": "Dealer Cost",
    }
    assert result["vendors"][0]["missing_headers"] == [
        {"column": "sku", "header": "part", "nearest": "Part #"},
        {"column": "quantity_available", "header": None, "nearest": None},
    ]


def test_refused_cells_are_counted_by_code_with_the_first_of_them(
    world: ApiWorld,
) -> None:
    upload(
        world,
        b"sku,quantity_available,cost,color\nA,1,1.5\nB,x,soon,red\nC,2,soon,red\n",
    )
    (vendor,) = check(world, config_document(**PRICED))["vendors"]
    assert vendor["unused_headers"] == ["color"]
    assert vendor["as_sent"]["refused_rows"] == 3
    assert vendor["as_sent"]["refusals"][0] == {
        "error_code": "invalid_decimal",
        "column": "cost",
        "count": 2,
        "row_number": 3,
        "line": None,
        "sheet_row": None,
        "value": "soon",
    }
    assert {
        refusal["error_code"] for refusal in vendor["as_sent"]["refusals"]
    } == {
        "invalid_decimal",
        "invalid_quantity",
        "column_count",
    }
    assert (
        'invalid_decimal in cost (2 rows), for example "soon"'
        in vendor["message"]
    )


def test_the_latest_upload_is_read_whole_a_piece_at_a_time(
    world: ApiWorld,
) -> None:
    ranges: list[tuple[str, int]] = []

    class Watched(ObjectStore):
        def read(self, key: str) -> bytes:
            raise AssertionError("the whole upload was read")

        def read_range(self, key: str, start: int, stop: int) -> bytes | None:
            ranges.append((key, stop))
            return super().read_range(key, start, stop)

    row = "Ü-1,5,1.50,\U0001f600\n".encode()
    upload(world, b"x", name="a.csv")
    key = upload(
        world,
        b"sku,quantity_available,cost,title\n" + row * 90_000,
        name="b.csv",
    )
    objects = Watched(world.platform.clients, world.platform.objects.bucket)
    (vendor,) = check(
        ApiWorld(world.platform, objects=objects), config_document(**PRICED)
    )["vendors"]
    assert ranges == [(key, HEAD_BYTES), (key, vendor["size"])]
    assert (vendor["as_sent"]["rows"], vendor["as_sent"]["refused_rows"]) == (
        90_000,
        0,
    )
    assert (vendor["rows_looked_at"], vendor["whole"]) == (90_000, True)


def test_an_upload_that_needs_too_much_memory_is_read_in_part(
    world: ApiWorld,
) -> None:
    """The next check, in a process of the same pool, has its memory for itself."""
    rows = (f"S{number:07},5,1.50\n".encode() for number in range(3_000_000))
    upload(
        world, b"sku,quantity_available,cost\n" + b"".join(rows), name="a.csv"
    )
    (vendor,) = check(world, config_document(**PRICED))["vendors"]
    assert (vendor["status"], vendor["whole"]) == ("read", False)
    assert vendor["rows_looked_at"] == 5_000
    small = b"sku,quantity_available,cost\n" + b"A,1,1.50\n" * 5
    upload(world, small, name="b.csv")
    (vendor,) = check(world, config_document(**PRICED))["vendors"]
    assert (vendor["rows_looked_at"], vendor["whole"]) == (5, True)


def test_an_upload_that_vanished_is_missing(world: ApiWorld) -> None:
    class Stale(ObjectStore):
        def latest_object(
            self, prefix: str, on_page: object = None, fits: object = None
        ) -> ObjectInfo:
            return ObjectInfo(
                f"{prefix}gone.csv", 9, "e", datetime(2026, 3, 1, tzinfo=UTC)
            )

    objects = Stale(world.platform.clients, world.platform.objects.bucket)
    result = check(ApiWorld(world.platform, objects=objects), config_document())
    assert [vendor["status"] for vendor in result["vendors"]] == ["missing"]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"PK\x03\x04rest", "Excel"),
        (b"\x1f\x8brest", "gzip"),
        (b'sku,quantity_available\n"A-1","5"\n"B-1,5\n', "quote"),
    ],
    ids=["workbook", "gzip", "unclosed quote"],
)
def test_what_is_no_feed_is_unreadable_and_said_why(
    world: ApiWorld, data: bytes, word: str
) -> None:
    upload(world, data)
    (vendor,) = check(world, config_document())["vendors"]
    assert vendor["status"] == "unreadable"
    assert word in vendor["message"]


def test_an_empty_upload_has_no_rows(world: ApiWorld) -> None:
    upload(world, b"")
    (vendor,) = check(world, config_document())["vendors"]
    assert (vendor["status"], vendor["message"]) == (
        "read",
        "The file has no rows.",
    )


def test_a_vendor_without_a_place_in_s3_is_not_looked_at(
    world: ApiWorld,
) -> None:
    result = check(
        world,
        config_document(vendor_document(inbound={"type": "local"}), **PRICED),
    )
    assert [vendor["status"] for vendor in result["vendors"]] == [
        "not_looked_at"
    ]
    assert [doubt["path"] for doubt in result["doubts"]] == [
        "vendors.0.inbound.type"
    ]


def test_no_more_than_some_vendors_are_looked_at(world: ApiWorld) -> None:
    vendors = [vendor_document(f"v{number}") for number in range(MAX_FILES + 1)]
    statuses = [
        vendor["status"]
        for vendor in check(world, config_document(*vendors))["vendors"]
    ]
    assert statuses == ["missing"] * MAX_FILES + ["not_looked_at"]


def test_headers_without_end_are_cut(world: ApiWorld) -> None:
    wide_header = ",".join(
        ["sku", "quantity_available", *(f"column {n}" for n in range(900))]
    )
    upload(world, f"{wide_header},{'x' * 5000}\n".encode())
    response = world.client.post(PLACE, json=config_document())
    (vendor,) = response.json()["vendors"]
    assert len(vendor["headers"]) == len(vendor["unused_headers"]) == 200
    assert len(response.content) < 20_000


def test_doubts_of_the_config_and_of_its_uploads_are_told(
    world: ApiWorld,
) -> None:
    upload(world, b"sku,quantity_available,price\nA-1,5,9.99 EUR\n")
    result = check(
        world, config_document(pricing={"base_margin_pct": 20, "min_price": 1})
    )
    assert {
        doubt["path"]: re.split("[;.] ", doubt["message"])[0]
        for doubt in result["doubts"]
    } == {
        "pricing.base_margin_pct": "20 is a margin of 2,000 %",
        "vendors.0.parser.column_map": "The file has a price but no cost, so the vendor's price "
        "is published without margin and shipping",
        "vendors.0.parser.currency_symbols": "The amounts are in EUR, but default_currency is USD, "
        "and they are not converted",
    }


def test_another_tenant_s_id_in_the_body_is_refused(
    unplugged: ApiWorld,
) -> None:
    response = unplugged.client.post(
        PLACE, json=config_document(tenant_id="other")
    )
    assert paths_of(assert_problem(response, 422, "INVALID_REQUEST")) == [
        "tenant_id"
    ]


def test_another_tenant_s_prefix_is_a_fault_and_is_not_listed(
    unplugged: ApiWorld,
) -> None:
    inbound = {"type": "s3", "s3_prefix": "tenants/other/inbound/"}
    result = check(unplugged, config_document(vendor_document(inbound=inbound)))
    assert [fault["path"] for fault in result["faults"]] == [
        "vendors.0.inbound.s3_prefix"
    ]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"7", b"{", b'{"a": 1, "a": 2}', b"\xff"]
)
def test_a_body_that_is_no_object_is_a_problem(
    unplugged: ApiWorld, body: bytes
) -> None:
    response = unplugged.client.post(PLACE, content=body, headers=JSON)
    assert_problem(response, 422, "invalid_config")


def test_bodies_of_another_kind_or_size_are_problems(
    unplugged: ApiWorld,
) -> None:
    sent = {"content": b"a: 1", "headers": {"Content-Type": "application/yaml"}}
    assert_problem(
        unplugged.client.post(PLACE, **sent), 415, "UNSUPPORTED_MEDIA_TYPE"
    )  # type: ignore[arg-type]
    large = json.dumps({"x": "x" * (1 << 20)}).encode()
    response = unplugged.client.post(PLACE, content=large, headers=JSON)
    assert_problem(response, 413, "PAYLOAD_TOO_LARGE")


def test_a_path_that_is_no_id_is_not_found(unplugged: ApiWorld) -> None:
    response = unplugged.client.post(
        "/v1/tenants/-a/config:check", json={"tenant_id": "-a"}
    )
    assert_problem(response, 404, "TENANT_NOT_FOUND")


def test_without_s3_it_is_unavailable(unplugged: ApiWorld) -> None:
    response: Response = unplugged.client.post(PLACE, json=config_document())
    assert_problem(response, 503, "DEPENDENCY_UNAVAILABLE")


def test_a_fault_of_one_vendor_s_upload_tells_nothing_of_the_bucket(
    world: ApiWorld,
) -> None:
    class Failing(ObjectStore):
        def read_range(self, key: str, start: int, stop: int) -> bytes | None:
            raise UnreachableError(
                "s3.GetObject", f"{self.bucket} did not answer"
            )

    upload(world, b"sku\n")
    objects = Failing(world.platform.clients, world.platform.objects.bucket)
    response = ApiWorld(world.platform, objects=objects).client.post(
        PLACE, json=config_document()
    )
    assert_problem(response, 503, "DEPENDENCY_UNAVAILABLE")
    assert objects.bucket not in response.text


def test_a_tenant_checks_its_own_config_with_its_own_key(
    world: ApiWorld,
) -> None:
    world.store_config()
    client = world.with_key(world.issue_key(TENANT))
    assert client.post(PLACE, json=config_document()).status_code == 200
    assert world.platform.tenants.latest_version(TENANT) == 1
    response = client.post(
        "/v1/tenants/other/config:check", json=config_document()
    )
    assert_problem(response, 404, "TENANT_NOT_FOUND")


# --- how much it may cost -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "busy", [[TENANT], ["one", "two"]], ids=["its own", "two others"]
)
def test_one_config_of_a_tenant_is_checked_at_once_and_two_in_all(
    world: ApiWorld, busy: list[str]
) -> None:
    slots = world.app.state.parts.tasks.slots
    with ExitStack() as held:
        for tenant_id in busy:
            held.enter_context(slots.take(tenant_id))
        refused = world.client.post(PLACE, json=config_document())
    assert_problem(refused, 503, "CHECKS_BUSY")
    assert int(refused.headers["Retry-After"]) >= 1
    check(world, config_document())


def test_where_one_other_is_checked_there_is_room(world: ApiWorld) -> None:
    with world.app.state.parts.tasks.slots.take("other"):
        check(world, config_document())


@pytest.mark.parametrize(
    "limit", [{"task_cpu_seconds": 0.001}, {"task_seconds": 0.001}]
)
def test_a_check_that_takes_too_long_is_told_so(
    world: ApiWorld, limit: dict[str, Any]
) -> None:
    upload(world, b"sku,quantity_available\n" + b"A-1,5\n" * 5000)
    limits = replace(DEFAULT_API_LIMITS, **limit)
    world.app.state.parts.tasks = EngineTasks(
        SANDBOXES, TaskSlots(limits), limits
    )
    problem = assert_problem(
        world.client.post(PLACE, json=config_document()), 422, "CHECK_TOO_SLOW"
    )
    assert paths_of(problem) == ["vendors"]


def test_an_answer_has_room_for_some_vendors_details_and_says_of_the_others(
    world: ApiWorld,
) -> None:
    names = [f"vendor_{number}" for number in range(MAX_FILES)]
    wide = ("\N{GRINNING FACE}" * 190 + f"{column:03}" for column in range(75))
    feed = (
        f"sku;quantity_available;{';'.join(wide)}\nA-1;5{';x' * 75}\n".encode()[
            :HEAD_BYTES
        ]
    )
    for name in names:
        upload(world, feed, name)
    document = config_document(*(vendor_document(name) for name in names))
    response = world.client.post(PLACE, json=document)
    assert len(response.content) < DEFAULT_API_LIMITS.answer_bytes
    vendors = response.json()["vendors"]
    detailed = [bool(vendor["headers"]) for vendor in vendors]
    assert detailed == sorted(detailed, reverse=True)
    assert 1 < sum(detailed) < MAX_FILES
    assert vendors[-1]["message"].endswith("check fewer vendors at once")
    assert vendors[-1]["size"] == len(feed)
    # What is proposed is what is shown: nobody's changes come without their reasons.
    changed = {
        int(step["path"].split("/")[2]) for step in response.json()["patch"]
    }
    assert changed == set(range(sum(detailed)))


def test_a_workbook_is_looked_at_whole_where_there_is_room(
    world: ApiWorld,
) -> None:
    # So much that it is not in the head.
    noise = [
        random.Random(seed).randbytes(HEAD_BYTES // 3).hex()
        for seed in range(3)
    ]
    notes = ["Note 1", "Note 2", "Note 3"]
    rows = text_row(1, "SKU", "Qty", "Cost", *notes) + text_row(
        2, "A-1", "1", "2.5", *noise
    )
    upload(world, workbook(rows), name="a.xlsx")
    (vendor,) = check(world, config_document(**PRICED))["vendors"]
    assert (vendor["status"], vendor["headers"]) == (
        "read",
        ["SKU", "Qty", "Cost", *notes],
    )
    assert vendor["guesses"]["format"] == "xlsx"
    assert vendor["with_patch"]["usable"]


def test_a_workbook_too_large_to_be_looked_at_is_said_to_be(
    world: ApiWorld,
) -> None:
    upload(world, b"PK\x03\x04" + bytes(WHOLE_BYTES), name="a.xlsx")
    (vendor,) = check(world, config_document(**PRICED))["vendors"]
    assert vendor["status"] == "unreadable"
    assert "too large to be checked" in vendor["message"]
