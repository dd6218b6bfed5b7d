"""The merchant's own products: which product each row is, and what a run writes of them."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from relay_core.config import TenantConfig
from relay_core.domain.codes import FailureClass
from relay_core.domain.limits import DEFAULT_LIMITS
from relay_core.merge.best_offer import columns_to_merge
from relay_core.normalize.catalog_file import read_catalog
from relay_core.normalize.vendor_feed import FeedReader, VendorFeed
from relay_core.run_stages import columns_to_read
from support.builders import REQUESTED_AT, tenant_config, vendor_document
from support.explaining import RunInMemory, run_in_memory
from support.reported_runs import errors_of, summary_of

LENIENT = {"max_invalid_rows": 99, "max_invalid_row_pct": "1.0"}
HEADER = "sku,quantity_available,cost,brand,title,ean,part"
CATALOG_HEADER = "sku,brand,title,ean,part"
DRILL = "4006381333931"
HOSE = "73513537"
SHOP = "2000000000015"
UNMATCHED = "vendor_id,row_number,sku,gtin,brand,mpn,title,quantity_available,cost,reason"
PRODUCTS = (
    f"S1,Bosch,Drill,{DRILL},AB-12",
    "S2,Bosch,Saw,,X 9",
    "S3,Makita,Hammer,,",
)


def config(*vendors: dict[str, Any], **options: Any) -> TenantConfig:
    catalog = {
        "inbound": {"type": "s3", "s3_prefix": "tenants/acme/inbound/catalog/"},
        "parser": {"format": "csv"},
        **options.pop("catalog", {}),
    }
    return tenant_config(
        *(vendors or (vendor_document("v1"),)),
        extra_columns=["ean", "part", "color"],
        gtin_column="ean",
        mpn_column="part",
        catalog=catalog,
        error_policy=options.pop("error_policy", LENIENT),
        **options,
    )


def table(header: str, *lines: str) -> bytes:
    return ("\n".join([header, *lines]) + "\n").encode()


def products(*lines: str, header: str = CATALOG_HEADER) -> bytes:
    return table(header, *lines)


def rows_of(*lines: str, header: str = HEADER) -> bytes:
    return table(header, *lines)


def run(
    feeds: dict[str, bytes],
    *vendors: dict[str, Any],
    sku_maps: dict[str, bytes] | None = None,
    **options: Any,
) -> RunInMemory:
    return run_in_memory(config(*vendors, **options), feeds, sku_maps=sku_maps)


def cells(run: RunInMemory, key: str) -> list[dict[str, str]]:
    text = run.files[key].decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def normalized(run: RunInMemory, vendor_id: str = "v1") -> dict[str, str]:
    """Return the SKU of each row that was normalized, by the vendor's own."""
    rows = cells(run, run.keys.normalized(vendor_id))
    return {row["vendor_sku"] or row["sku"]: row["sku"] for row in rows}


def catalog_of(run: RunInMemory) -> dict[str, Any]:
    document: dict[str, Any] = summary_of(run.findings)["catalog"]
    return document


@pytest.mark.usefixtures("either_reader")
def test_products_stay_in_the_order_of_the_file() -> None:
    tenant = config()
    reader = FeedReader(
        tenant,
        REQUESTED_AT,
        columns_to_read(tenant, columns_to_merge(tenant), hands_over=False),
        DEFAULT_LIMITS,
        DEFAULT_LIMITS.run_bytes,
    )
    file = products("Z,Bosch,Drill,,", "A,Bosch,Saw,,", "M,Bosch,Hammer,,")
    feed = VendorFeed.of_one(tenant.vendor("catalog"), file, "products.csv")
    catalog, _ = read_catalog(reader, feed)
    assert catalog.products is not None
    assert catalog.products.columns["sku"].to_pylist() == ["Z", "A", "M"]


# --- the keys, in order ---------------------------------------------------------------


@pytest.mark.usefixtures("either_reader")
def test_a_row_takes_its_sku_from_the_first_that_knows_it() -> None:
    feeds = {
        "catalog": products(*PRODUCTS),
        "v1": rows_of(
            f"m,1,1,Bosch,,{DRILL},",
            f"a,1,1,Bosch,,{DRILL},X9",
            "b,1,1, BOSCH ,,,x.9",
            "S3,1,1,,,,",
            "S2,1,1,Makita,,,zz",
            "c,1,1,,,,",
        ),
    }
    maps = {"v1": b"vendor_sku,sku\nm,S3\n"}
    vendor = vendor_document(
        "v1", sku_map={"type": "file", "local_path": "map.csv"}
    )
    result = run(feeds, vendor, sku_maps=maps)
    assert normalized(result) == {
        "m": "S3",
        "a": "S1",
        "b": "S2",
        "S3": "S3",
        "S2": "S2",
        "c": "c",
    }
    assert catalog_of(result) == {
        "rows": 3,
        "matched_by": {"v1": {"sku_map": 1, "gtin": 1, "mpn": 1, "sku": 2}},
        "unmatched": 1,
        "ambiguous": 0,
        "uncovered": 0,
    }


@pytest.mark.parametrize(
    ("match", "sku"),
    [(["gtin", "mpn", "sku"], "S1"), (["mpn", "gtin", "sku"], "S2")],
)
def test_keys_are_asked_in_the_order_of_match(
    match: list[str], sku: str
) -> None:
    feeds = {
        "catalog": products(*PRODUCTS),
        "v1": rows_of(f"a,1,1,Bosch,,{DRILL},X9"),
    }
    result = run(feeds, catalog={"match": match})
    assert normalized(result) == {"a": sku}


@pytest.mark.usefixtures("either_reader")
def test_a_key_that_match_lacks_is_not_asked() -> None:
    feeds = {
        "catalog": products(*PRODUCTS),
        "v1": rows_of(f"a,1,1,,,{DRILL},", "S3,1,1,,,,", "b,1,1,Bosch,,,X9"),
    }
    options = {"match": ["gtin"], "unmatched": "leave_out"}
    assert normalized(run(feeds, catalog=options)) == {"a": "S1"}
    assert normalized(run(feeds, catalog={"match": ["sku"]})) == {
        "a": "a",
        "S3": "S3",
        "b": "b",
    }


@pytest.mark.usefixtures("either_reader")
def test_vendor_sku_is_set_as_a_sku_map_sets_it() -> None:
    header = f"{HEADER},vendor_sku"
    feeds = {
        "catalog": products(*PRODUCTS),
        "v1": rows_of(
            f"a,1,1,,,{DRILL},,",
            f"b,1,1,,,{DRILL},,own",
            f"S1,1,1,,,{DRILL},,",
            "S3,1,1,,,,,",
            header=header,
        ),
    }
    result = run(feeds)
    rows = cells(result, result.keys.normalized("v1"))
    assert [(row["sku"], row["vendor_sku"]) for row in rows] == [
        ("S1", "a"),
        ("S1", "own"),
        ("S1", "S1"),
        ("S3", ""),
    ]


@pytest.mark.parametrize(
    ("brand", "mpn", "is_known"),
    [
        ("Bosch", "AB-12", True),
        ("bosch", "ab12", True),
        ("BOSCH", "a b/1.2", True),
        ("Bosch", "AB\u00a0\u200912", True),
        ("Bosch", "AB_12", False),
        ("Bosch", "", False),
        ("", "AB-12", False),
        ("Bo sch", "AB-12", False),
        ("Bosch", "-./", False),
    ],
)
@pytest.mark.usefixtures("either_reader")
def test_brand_and_mpn_are_compared_in_their_bare_form(
    brand: str, mpn: str, is_known: bool
) -> None:
    feeds = {
        "catalog": products(*PRODUCTS, "S9,Bosch,,,-", "S8,,,,AB-12"),
        "v1": rows_of(f"a,1,1,{brand},,,{mpn}", "S3,1,1,,,,"),
    }
    expected = "S1" if is_known else "a"
    assert normalized(run(feeds))["a"] == expected


@pytest.mark.usefixtures("either_reader")
def test_letters_of_any_script_are_compared_without_case() -> None:
    feeds = {
        "catalog": products("S1,STRASSE,,,ÄÖ-1"),
        "v1": rows_of("a,1,1,Straße,,,äö1"),
    }
    assert normalized(run(feeds)) == {"a": "S1"}


@pytest.mark.parametrize(
    "gtin",
    [
        SHOP,
        "0200000000004",
        "9800000000007",
        "9900000000004",
        "02345673",
        "20000004",
    ],
)
@pytest.mark.usefixtures("either_reader")
def test_a_shops_own_number_knows_nothing_and_is_not_ambiguous(
    gtin: str,
) -> None:
    feeds = {
        "catalog": products(f"S1,,,{gtin},", f"S2,,,{gtin},"),
        "v1": rows_of(f"a,1,1,,,{gtin},"),
    }
    result = run(feeds)
    assert normalized(result) == {"a": "a"}
    assert (
        catalog_of(result)["unmatched"],
        catalog_of(result)["ambiguous"],
    ) == (1, 0)


@pytest.mark.usefixtures("either_reader")
def test_a_key_of_several_skus_knows_nothing_and_the_next_is_asked() -> None:
    feeds = {
        "catalog": products(
            f"S1,Bosch,,{DRILL},A1",
            f"S2,Bosch,,{DRILL},A2",
            f"S3,,,{HOSE},",
            f"S3,,,0000{HOSE},",
        ),
        "v1": rows_of(
            f"a,1,1,Bosch,,{DRILL},A2",
            f"b,1,1,,,{DRILL},",
            f"S1,1,1,,,{DRILL},",
            f"c,1,1,,,{HOSE},",
        ),
    }
    result = run(feeds)
    assert normalized(result) == {"a": "S2", "b": "b", "S1": "S1", "c": "S3"}
    assert [
        (row["sku"], row["reason"])
        for row in cells(result, result.keys.unmatched)
    ] == [("b", "ambiguous")]
    assert catalog_of(result)["ambiguous"] == 1


@pytest.mark.usefixtures("either_reader")
def test_gtins_are_compared_as_14_digits() -> None:
    feeds = {
        "catalog": products("S1,,,0614141000036,"),
        "v1": rows_of("a,1,1,,,614141000036,", "b,1,1,,,00614141000036,"),
    }
    assert normalized(run(feeds)) == {"a": "S1", "b": "S1"}


# --- unmatched rows -------------------------------------------------------------------


@pytest.mark.usefixtures("either_reader")
def test_unmatched_rows_are_kept_or_taken_out() -> None:
    feeds = {
        "catalog": products(*PRODUCTS),
        "v1": rows_of("S3,1,1,,,,", 'y,4,13.5,Q,"a, b",4006381333948,z'),
    }
    lenient = run(feeds)
    assert normalized(lenient) == {"S3": "S3", "y": "y"}
    assert lenient.findings.rows["v1"].as_dict()["unmatched"] == 0
    result = run(feeds, catalog={"unmatched": "leave_out"})
    assert normalized(result) == {"S3": "S3"}
    assert summary_of(result.findings)["rows"]["v1"] == {
        "read": 2,
        "skipped": 0,
        "refused": 0,
        "unmatched": 1,
        "duplicates": 0,
        "left_out": 0,
        "same_sku": 0,
        "outbid": 0,
        "unpriced": 0,
        "won": 1,
    }
    assert summary_of(result.findings)["vendor_record_counts"] == {"v1": 1}
    for outcome in (lenient, result):
        assert outcome.files[outcome.keys.unmatched].decode() == (
            f'{UNMATCHED}\nv1,3,y,4006381333948,Q,z,"a, b",4,13.50,unknown\n'
        )


def test_the_list_is_by_vendor_then_row_and_only_where_there_is_one() -> None:
    vendors = (vendor_document("v2"), vendor_document("v1"))
    feeds = {
        "catalog": products(*PRODUCTS),
        "v1": rows_of("z,1,1,,,,", "b,1,1,,,,"),
        "v2": rows_of("S3,1,1,,,,", "a,1,,,,,"),
    }
    result = run(feeds, *vendors)
    assert [
        (row["vendor_id"], row["row_number"], row["sku"], row["cost"])
        for row in cells(result, result.keys.unmatched)
    ] == [
        ("v2", "3", "a", ""),
        ("v1", "2", "z", "1.00"),
        ("v1", "3", "b", "1.00"),
    ]
    clean = run({"catalog": feeds["catalog"], "v1": rows_of("S1,1,1,,,,")})
    assert clean.keys.unmatched not in clean.files


def test_lists_escape_formulas_where_the_output_does() -> None:
    output = {"columns": ["sku", "price"], "escape_formulas": True}
    feeds = {
        "catalog": products("S1,=B,+T,,-1", "S2,,,,"),
        "v1": rows_of("=x,1,1,@b,-t,,+1"),
    }
    result = run(feeds, output=output)
    (row,) = cells(result, result.keys.unmatched)
    assert (row["sku"], row["brand"], row["mpn"], row["title"]) == (
        "'=x",
        "'@b",
        "'+1",
        "'-t",
    )
    first, _ = cells(result, result.keys.uncovered)
    assert (first["brand"], first["mpn"], first["title"]) == (
        "'=B",
        "'-1",
        "'+T",
    )
    normalized_csv = result.files[result.keys.normalized("v1")].decode()
    assert "\n=x," in normalized_csv


@pytest.mark.parametrize("unmatched", ["keep", "leave_out"])
def test_a_row_without_sku_is_refused_before_it_is_matched(
    unmatched: str,
) -> None:
    feeds = {
        "catalog": products(*PRODUCTS),
        "v1": rows_of(f",1,1,Bosch,,{DRILL},AB12", "S3,1,1,,,,"),
    }
    result = run(feeds, catalog={"unmatched": unmatched})
    assert normalized(result) == {"S3": "S3"}
    assert [
        entry["error_code"]
        for entry in errors_of(result.findings)["entries"][-1:]
    ] == ["missing_sku"]


@pytest.mark.usefixtures("either_reader")
def test_duplicates_are_asked_after_the_catalog() -> None:
    vendor = vendor_document("v1", duplicate_skus="refuse")
    feeds = {
        "catalog": products(*PRODUCTS),
        "v1": rows_of(
            f"a,1,1,,,{DRILL},",
            f"b,1,1,,,{DRILL},",
            "S3,1,1,,,,",
            "y,1,1,,,,",
            "y,1,1,,,,",
            "w,1,1,,,,",
        ),
    }
    result = run(feeds, vendor)
    assert normalized(result) == {"S3": "S3", "w": "w"}
    assert result.findings.normalized[0].fault_counts == {"duplicate_sku": 4}
    assert [row["sku"] for row in cells(result, result.keys.unmatched)] == ["w"]
    assert catalog_of(result)["matched_by"]["v1"] == {
        "sku_map": 0,
        "gtin": 0,
        "mpn": 0,
        "sku": 1,
    }
    refused = result.explain("a")["refused"]
    assert [(row["row_number"], row["error_codes"]) for row in refused] == [
        (2, "duplicate_sku")
    ]
    taken_out = run(feeds, vendor, catalog={"unmatched": "leave_out"})
    assert normalized(taken_out) == {"S3": "S3"}
    assert taken_out.findings.normalized[0].fault_counts == {"duplicate_sku": 2}
    assert [
        row["sku"] for row in cells(taken_out, taken_out.keys.unmatched)
    ] == [
        "y",
        "y",
        "w",
    ]


def test_a_vendor_that_is_left_out_has_no_unmatched_rows_in_the_list() -> None:
    bad = vendor_document(
        "v1", on_trouble="leave_out", max_invalid_row_pct="0.1"
    )
    feeds = {
        "catalog": products(*PRODUCTS),
        "v1": rows_of("y,1,1,,,,", ",1,1,,,,"),
        "v2": rows_of("S3,1,1,,,,"),
    }
    result = run(
        feeds, bad, vendor_document("v2"), catalog={"unmatched": "leave_out"}
    )
    assert result.keys.unmatched not in result.files
    assert result.findings.rows["v1"].as_dict()["unmatched"] == 1
    assert [*catalog_of(result)["matched_by"]] == ["v2"]


# --- what the catalog gives -----------------------------------------------------------


@pytest.mark.usefixtures("either_reader")
def test_a_row_takes_what_the_catalog_gives_from_the_first_row_of_its_sku() -> (
    None
):
    header = f"{CATALOG_HEADER},color"
    feeds = {
        "catalog": products(
            f"S1,Bosch,Drill,{DRILL},,red",
            "S1,Other,Second,,,blue",
            "S3,,,,,",
            header=header,
        ),
        "v1": rows_of(
            f"a,1,1,mine,own,{DRILL},,pink",
            "S3,1,1,mine,own,,,pink",
            "m,1,1,mine,own,,,pink",
            "y,1,1,mine,own,,,pink",
            header=f"{HEADER},color",
        ),
    }
    vendor = vendor_document(
        "v1", sku_map={"type": "file", "local_path": "map.csv"}
    )
    result = run(
        feeds,
        vendor,
        sku_maps={"v1": b"vendor_sku,sku\nm,S1\n"},
        catalog={"gives": ["title", "color"]},
    )
    rows = cells(result, result.keys.normalized("v1"))
    assert {
        row["vendor_sku"] or row["sku"]: (
            row["brand"],
            row["title"],
            row["color"],
        )
        for row in rows
    } == {
        "a": ("mine", "Drill", "red"),
        "m": ("mine", "Drill", "red"),
        "S3": ("mine", "", ""),
        "y": ("mine", "own", "pink"),
    }


def test_nothing_else_of_the_catalog_is_read() -> None:
    feeds = {
        "catalog": products(
            f"S1,Bosch,Drill,{DRILL},,nonsense,red",
            header=f"{CATALOG_HEADER},quantity_available,color",
        ),
        "v1": rows_of(f"a,1,1,,,{DRILL},"),
    }
    result = run(feeds)
    assert normalized(result) == {"a": "S1"}
    assert catalog_of(result)["rows"] == 1


# --- products without an offer --------------------------------------------------------


def test_products_without_a_competing_offer_are_listed_once_by_sku() -> None:
    pricing = {
        "base_margin_pct": 0,
        "min_price": 0,
        "shipping_handling_flat": 0,
        "rules": [{"when": {"brands": ["Makita"]}, "leave_out": True}],
    }
    feeds = {
        "catalog": products(
            "S5,Q,five,,", *PRODUCTS, "S4,B,first,0000000073513537"[:20] + ",p"
        ),
        "v1": rows_of("S1,1,1,,,,", "S3,1,1,Makita,,,", "S2,1,,,,,"),
    }
    feeds["catalog"] = products(
        "S5,Q,five,,",
        *PRODUCTS,
        f"S4,B,first,000000{HOSE},p",
        "S4,C,second,,",
    )
    result = run(feeds, pricing=pricing)
    assert result.files[result.keys.uncovered].decode() == (
        "sku,gtin,brand,mpn,title\n"
        "S3,,Makita,,Hammer\n"
        f"S4,{HOSE},B,p,first\n"
        "S5,,Q,,five\n"
    )
    assert catalog_of(result)["uncovered"] == 3


def test_a_run_that_covers_all_products_has_an_empty_list() -> None:
    feeds = {"catalog": products("S1,,,,"), "v1": rows_of("S1,1,1,,,,")}
    result = run(feeds)
    assert result.files[result.keys.uncovered] == b"sku,gtin,brand,mpn,title\n"
    assert catalog_of(result)["uncovered"] == 0


# --- failures of the catalog ----------------------------------------------------------


def failed(feeds: dict[str, bytes], **options: Any) -> RunInMemory:
    result = run(feeds, **options)
    failure = result.findings.failure
    assert failure is not None
    assert result.keys.uncovered not in result.files
    return result


def failure_of(result: RunInMemory) -> tuple[str, str, str]:
    failure = result.findings.failure
    assert failure is not None
    return failure.error_code, str(failure.stage), str(failure.failure_class)


def test_a_run_without_a_catalog_fails_behind_its_vendors() -> None:
    result = failed({"v1": rows_of("S1,1,1,,,,")})
    assert failure_of(result) == (
        "missing_catalog",
        "FETCH_INPUTS",
        FailureClass.TENANT_CONFIG,
    )
    assert "the catalog has no file" in result.findings.failure.error_message
    assert summary_of(result.findings)["catalog"] is None
    both_failures = failed({})
    assert failure_of(both_failures)[0] == "REQUIRED_VENDOR_MISSING"
    assert [fault.error_code for fault in both_failures.findings.faults] == [
        "REQUIRED_VENDOR_MISSING",
        "missing_catalog",
    ]


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"\xff\xfe\xfd", "DECODE_ERROR", "the catalog, file 'catalog.csv'"),
        (b"name,brand\nx,y\n", "missing_required_columns", "the catalog"),
        (b"sku,sku\nx,y\n", "invalid_input", "the catalog"),
    ],
)
def test_a_catalog_that_cannot_be_read_fails_the_run_behind_its_vendors(
    data: bytes, code: str, words: str
) -> None:
    policy = {**LENIENT, "fail_on_missing_required_columns": False}
    feeds = {"catalog": data, "v1": rows_of("y,1,1,,,,")}
    options = {"unmatched": "leave_out"}
    result = failed(feeds, error_policy=policy, catalog=options)
    assert failure_of(result) == (code, "NORMALIZE", "tenant_config")
    assert words in result.findings.failure.error_message
    assert normalized(result) == {"y": "y"}
    assert summary_of(result.findings)["catalog"] is None
    assert result.keys.unmatched not in result.files
    both_failures = failed({**feeds, "v1": b"\xff\xfe\xfd"})
    assert failure_of(both_failures) == (
        "DECODE_ERROR",
        "NORMALIZE",
        "vendor_data",
    )
    assert [fault.error_code for fault in both_failures.findings.faults] == [
        "DECODE_ERROR",
        code,
    ]


def test_no_row_is_taken_out_beside_a_faulty_catalog_or_of_an_empty_feed() -> (
    None
):
    rows = rows_of("A,1,2,,,,")
    faulty = run({"v1": rows, "catalog": b"sku\n\xff\n"})
    assert summary_of(faulty.findings)["rows"]["v1"]["unmatched"] == 0
    vendors = (vendor_document("v1"), vendor_document("v2", required=False))
    feeds = {"v1": rows, "v2": rows_of(), "catalog": products(*PRODUCTS)}
    counts = summary_of(run(feeds, *vendors).findings)["rows"]
    assert [counts[name]["unmatched"] for name in ("v1", "v2")] == [0, 0]


def test_a_header_that_the_catalog_maps_must_be_there() -> None:
    parser = {"format": "csv", "column_map": {"ean": "Barcode"}}
    feeds = {"catalog": products("S1,,,,"), "v1": rows_of("S1,1,1,,,,")}
    policy = {**LENIENT, "fail_on_missing_required_columns": False}
    result = failed(feeds, catalog={"parser": parser}, error_policy=policy)
    assert failure_of(result)[0] == "missing_required_columns"


@pytest.mark.parametrize(
    "data",
    [b"", b"sku,brand\n", products("S1,,,123,")],
    ids=["empty", "header", "refused"],
)
def test_a_catalog_without_a_valid_row_fails_behind_the_last_verdict(
    data: bytes,
) -> None:
    feeds = {"catalog": data, "v1": rows_of("y,1,1,,,,")}
    options = {"unmatched": "leave_out"}
    result = failed(feeds, catalog=options)
    assert failure_of(result) == (
        "no_rows_parsed",
        "MERGE_PRICE",
        "tenant_config",
    )
    assert "the catalog" in result.findings.failure.error_message
    assert normalized(result) == {"y": "y"}
    assert catalog_of(result) == {
        "rows": 0,
        "matched_by": {},
        "unmatched": 0,
        "ambiguous": 0,
        "uncovered": None,
    }
    bad = failed({**feeds, "v1": rows_of(",1,1,,,,")})
    assert failure_of(bad)[2] == "vendor_data"
    unpriced = failed({**feeds, "v1": rows_of("y,1,,,,,")})
    assert failure_of(unpriced)[0] == "no_rows_parsed"


def test_with_nothing_left_the_run_ends_in_empty_output() -> None:
    feeds = {"catalog": products("S1,,,,"), "v1": rows_of("y,1,1,,,,")}
    result = failed(feeds, catalog={"unmatched": "leave_out"})
    assert failure_of(result)[:2] == ("empty_output", "MERGE_PRICE")
    assert catalog_of(result)["unmatched"] == 1
    assert catalog_of(result)["uncovered"] is None
    assert result.keys.unmatched in result.files


def test_refused_rows_of_the_catalog_are_told_behind_vendors_and_count_nowhere() -> (
    None
):
    strict = {"max_invalid_rows": 1, "max_invalid_row_pct": "1.0"}
    feeds = {
        "catalog": products("S1,,,,", ",B,,,", "S2,,,12,"),
        "v1": rows_of("S1,1,1,,,,", "b,,1,,,,"),
    }
    result = run(feeds, error_policy=strict)
    assert result.findings.failure is None
    document = errors_of(result.findings)
    assert [
        (entry.get("vendor_id"), entry["error_code"])
        for entry in document["entries"]
        if "row_number" in entry
    ] == [
        ("v1", "missing_quantity"),
        ("catalog", "missing_sku"),
        ("catalog", "invalid_gtin"),
    ]
    assert document["counts"] == {
        "invalid_gtin": 1,
        "invalid_rows_within_threshold": 1,
        "missing_quantity": 1,
        "missing_sku": 1,
    }
    assert [
        (row["vendor_id"], row["row_number"])
        for row in cells(result, result.keys.invalid_rows)
    ] == [("v1", "3"), ("catalog", "3"), ("catalog", "4")]
    summary = summary_of(result.findings)
    assert (summary["total_rows"], summary["invalid_rows"]) == (
        2,
        1,
    )
    assert [*summary["rows"]] == ["v1"]


# --- explanations ---------------------------------------------------------------------


def test_an_explanation_says_what_matched_each_offer() -> None:
    feeds = {
        "catalog": products(*PRODUCTS),
        "v1": rows_of(
            f"a,1,1,,,{DRILL},",
            "m,1,2,,,,",
            "b,1,3,Bosch,,,AB12",
            "S1,1,4,,,,",
        ),
        "v2": rows_of("y,1,1,,,,"),
    }
    mapped = vendor_document(
        "v1", sku_map={"type": "file", "local_path": "map.csv"}
    )
    result = run(
        feeds,
        mapped,
        vendor_document("v2"),
        sku_maps={"v1": b"vendor_sku,sku\nm,S1\n"},
    )
    offers = result.explain("S1")["offers"]
    assert [(offer["cost"], offer["matched_by"]) for offer in offers] == [
        ("1.00", "gtin"),
        ("2.00", "sku_map"),
        ("3.00", "mpn"),
        ("4.00", "sku"),
    ]
    keys = [*offers[0]]
    assert keys.index("matched_by") == keys.index("vendor_sku") + 1
    (offer,) = result.explain("y")["offers"]
    assert offer["matched_by"] is None


def test_a_config_without_a_catalog_has_none_of_this() -> None:
    plain = tenant_config(vendor_document("v1"))
    result = run_in_memory(plain, {"v1": rows_of("S1,1,1,,,,")})
    summary = summary_of(result.findings)
    assert "catalog" not in summary
    assert "unmatched" not in summary["rows"]["v1"]
    assert "matched_by" not in result.explain("S1")["offers"][0]
    assert result.keys.uncovered not in result.files


# --- doubts ---------------------------------------------------------------------------


@pytest.mark.usefixtures("either_reader")
def test_a_map_wins_and_a_gtin_that_contradicts_it_is_a_doubt() -> None:
    feeds = {
        "catalog": products(*PRODUCTS),
        "v1": rows_of(
            f"m,1,1,,,{DRILL},", f"n,1,1,,,{DRILL},", "o,1,1,,,,", "S2,1,1,,,,"
        ),
    }
    maps = {"v1": b"vendor_sku,sku\nm,S3\nn,S1\no,S2\n"}
    vendor = vendor_document(
        "v1", sku_map={"type": "file", "local_path": "map.csv"}
    )
    result = run(feeds, vendor, sku_maps=maps)
    assert normalized(result) == {"m": "S3", "n": "S1", "o": "S2", "S2": "S2"}
    assert catalog_of(result)["matched_by"]["v1"]["sku_map"] == 3
    (doubt,) = [
        doubt
        for doubt in result.findings.doubts
        if doubt.code == "map_against_gtin"
    ]
    assert (doubt.path, doubt.vendor_id) == ("vendors.0.sku_map", "v1")
    assert (doubt.count, doubt.samples) == (1, ("m",))
    (offer,) = result.explain("S3")["offers"]
    assert offer["matched_by"] == "sku_map"
