"""Every row fault, final failure and warning, each from the bytes of a feed.

What a run says when it goes wrong has to be enough to mend the feed: where, what, why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from reference_runs import EngineRun, run_document
from relay_core.config import load_config
from relay_core.domain.codes import FailureCode, RowFault, WarningCode
from relay_core.domain.errors import UnsupportedSchemaVersionError
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.domain.records import ReportEntry
from support.builders import config_document, feed, vendor_document
from support.normalizing import entries_of

LENIENT = {"max_invalid_rows": 1000, "max_invalid_row_pct": "1.0"}
WARN_ONLY = {**LENIENT, "missing_required_vendor_policy": "warn_only"}
NO_COLUMNS_NEEDED = {**LENIENT, "fail_on_missing_required_columns": False}
WIDE = "sku,quantity_available,lead_time_days,cost,condition,updated_at"
GOOD = b"sku,quantity_available,cost\nA,1,2\n"
SKU_MAP = {"type": "file", "local_path": "map.csv"}


def run(
    feeds: Mapping[str, bytes | None],
    *vendors: Any,
    sku_maps: Mapping[str, bytes] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    **changes: Any,
) -> EngineRun:
    """Run feeds of `vendor_1`, or of the vendors given, under a policy that forgives rows."""
    document = config_document(*vendors, **{"error_policy": LENIENT, **changes})
    return run_document(document, feeds, sku_maps, limits=limits)


def one(entries: tuple[ReportEntry, ...], code: str) -> ReportEntry:
    (entry,) = [entry for entry in entries if entry.error_code == code]
    return entry


ROW_FAULTS = [
    (RowFault.COLUMN_COUNT, "A,1", None, None),
    (RowFault.COLUMN_COUNT, "A,1,2,3,new,,", None, None),
    (RowFault.MISSING_SKU, " ,1,2,3,new,", "sku", " "),
    (RowFault.MISSING_QUANTITY, "A,,2,3,new,", "quantity_available", ""),
    (
        RowFault.INVALID_QUANTITY,
        "A,12.5,2,3,new,",
        "quantity_available",
        "12.5",
    ),
    (
        RowFault.INVALID_QUANTITY,
        "A,2147483648,2,3,new,",
        "quantity_available",
        "2147483648",
    ),
    (
        RowFault.INVALID_QUANTITY,
        "A, few ,2,3,new,",
        "quantity_available",
        " few ",
    ),
    (RowFault.NEGATIVE_QUANTITY, "A,-1,2,3,new,", "quantity_available", "-1"),
    (RowFault.INVALID_DECIMAL, "A,1,2,12 EUR,new,", "cost", "12 EUR"),
    (RowFault.NEGATIVE_AMOUNT, "A,1,2,-0.01,new,", "cost", "-0.01"),
    (
        RowFault.AMOUNT_OUT_OF_RANGE,
        "A,1,2,1000000000,new,",
        "cost",
        "1000000000",
    ),
    (RowFault.INVALID_LEAD_TIME, "A,1,-2,3,new,", "lead_time_days", "-2"),
    (RowFault.INVALID_CONDITION, "A,1,2,3,mint,", "condition", "mint"),
    (
        RowFault.INVALID_TIMESTAMP,
        "A,1,2,3,new,01/02/2024",
        "updated_at",
        "01/02/2024",
    ),
]


@pytest.mark.parametrize(
    ("code", "record", "column", "value"),
    [pytest.param(*row, id=f"{row[0]}-{row[1]}") for row in ROW_FAULTS],
)
def test_a_row_fault_names_record_column_value_and_reason(
    code: str, record: str, column: str | None, value: str | None
) -> None:
    result = run(
        {"vendor_1": feed("B,1,2,3,new,", record, "C,1,2,3,new,", header=WIDE)}
    )
    (vendor,) = result.normalized
    (entry,) = entries_of(vendor)
    assert (entry.error_code, entry.vendor_id, entry.row_number) == (
        code,
        "vendor_1",
        3,
    )
    assert (entry.column, entry.value) == (column, value)
    assert len(entry.error_message) > len(code)
    cells = record.split(",")
    whole = (
        cells
        if column is None
        else dict(zip(WIDE.split(","), cells, strict=True))
    )
    assert entry.row_data == whole
    assert vendor.fault_counts == {code: 1}
    assert (vendor.total_rows, vendor.valid_rows, vendor.invalid_rows) == (
        3,
        2,
        1,
    )
    assert result.outcome.record_count == 2


def test_each_row_fault_is_tested() -> None:
    assert {row[0] for row in ROW_FAULTS} | {
        RowFault.INVALID_RECORD,
        RowFault.DUPLICATE_SKU,
        RowFault.INVALID_GTIN,
    } == set(RowFault)


def test_a_line_that_is_no_record_is_told_whole() -> None:
    lines = b'{"sku":"A","quantity_available":1,"cost":2}\n{"sku":"B", oops\n'
    result = run(
        {"vendor_1": lines}, vendor_document(parser={"format": "jsonl"})
    )
    (entry,) = entries_of(result.normalized[0])
    assert (
        entry.error_code,
        entry.vendor_id,
        entry.row_number,
        entry.value,
    ) == (
        "invalid_record",
        "vendor_1",
        2,
        '{"sku":"B", oops',
    )
    assert (entry.column, entry.row_data, entry.sku) == (None, None, None)
    assert result.normalized[0].fault_counts == {"invalid_record": 1}
    assert result.outcome.invalid_rows.decode() == (
        "vendor_id,row_number,error_codes,raw\n"
        'vendor_1,2,invalid_record,"""{""""sku"""":""""B"""", oops"""\n'
    )


def test_a_row_with_many_faults_is_invalid_once_and_each_fault_is_told() -> (
    None
):
    header = "sku,quantity_available,cost,price"
    result = run({"vendor_1": feed(",x,-1,-2", "A,1,2,3", header=header)})
    assert [entry.error_code for entry in result.outcome.entries] == [
        "missing_sku",
        "invalid_quantity",
        "negative_amount",
        "negative_amount",
    ]
    assert result.normalized[0].invalid_rows == 1
    assert result.outcome.invalid_rows.decode() == (
        "vendor_id,row_number,error_codes,raw\n"
        'vendor_1,2,invalid_quantity;missing_sku;negative_amount,",x,-1,-2"\n'
    )


def test_ten_thousand_row_entries_are_kept_and_all_are_counted() -> None:
    result = run({"vendor_1": feed(*["A,x,y"] * 6_000, "A,1,1")})
    (vendor,) = result.normalized
    assert len(vendor.entries) == 10_000
    assert vendor.fault_counts == {
        "invalid_quantity": 6_000,
        "invalid_decimal": 6_000,
    }
    assert result.outcome.invalid_rows.count(b"\n") == 6_001


def failed(result: EngineRun, code: str, stage: str) -> str:
    """Check how the run ended; return its message."""
    assert result.failure is not None
    assert (result.failure.error_code, str(result.failure.stage)) == (
        code,
        stage,
    )
    assert result.outcome.merged is None
    return result.failure.error_message


def test_required_vendor_missing_names_every_such_vendor_and_prefix() -> None:
    vendors = [vendor_document(name) for name in ("one", "two", "three")]
    message = failed(
        run({"two": GOOD}, *vendors), "REQUIRED_VENDOR_MISSING", "FETCH_INPUTS"
    )
    assert "required vendor inbound missing" in message.lower()
    assert all(
        name in message
        for name in ("one", "feeds of one/", "three", "feeds of three/")
    )
    assert "feeds of two/" not in message


def test_missing_sku_map_names_vendor_and_place() -> None:
    vendor = vendor_document(sku_map=SKU_MAP)
    message = failed(
        run({"vendor_1": GOOD}, vendor), "missing_sku_map", "FETCH_INPUTS"
    )
    assert "vendor_1" in message
    assert "map.csv" in message


MAPPED = {"vendor_1": b"vendor_sku,sku\n"}


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        (
            Limits(feed_bytes=len(GOOD) - 1),
            f"feed of vendor 'vendor_1' has {len(GOOD)} bytes, but the limit is "
            f"{len(GOOD) - 1}.",
        ),
        (
            Limits(sku_map_bytes=14),
            "SKU map of vendor 'vendor_1' has 15 bytes, but the limit is 14.",
        ),
    ],
    ids=["feed", "map"],
)
def test_a_file_that_is_too_large_fails_the_run_before_it_is_read(
    limits: Limits, what: str
) -> None:
    vendor = vendor_document(sku_map=SKU_MAP)
    well = Limits(feed_bytes=len(GOOD), sku_map_bytes=15)
    assert (
        run({"vendor_1": GOOD}, vendor, sku_maps=MAPPED, limits=well).failure
        is None
    )
    result = run({"vendor_1": GOOD}, vendor, sku_maps=MAPPED, limits=limits)
    message = failed(result, "feed_too_large", "FETCH_INPUTS")
    assert "vendor_1" in message
    assert what in message
    assert result.normalized == []


def test_too_large_a_feed_comes_after_a_missing_vendor_and_before_a_missing_sku_map() -> (
    None
):
    vendors = [
        vendor_document("a", sku_map=SKU_MAP),
        vendor_document("b", required=False),
    ]
    limits = Limits(feed_bytes=len(GOOD))
    large = {"a": GOOD, "b": GOOD + b"\n"}
    failed(
        run(large, *vendors, limits=limits), "feed_too_large", "FETCH_INPUTS"
    )
    vendors.append(vendor_document("c"))
    failed(
        run(large, *vendors, limits=limits),
        "REQUIRED_VENDOR_MISSING",
        "FETCH_INPUTS",
    )


def test_a_missing_vendor_comes_before_a_missing_sku_map() -> None:
    vendors = [vendor_document("a", sku_map=SKU_MAP), vendor_document("b")]
    failed(
        run({"a": GOOD}, *vendors), "REQUIRED_VENDOR_MISSING", "FETCH_INPUTS"
    )


def test_the_sku_map_of_a_vendor_without_a_feed_is_not_missed() -> None:
    vendors = [
        vendor_document("a", sku_map=SKU_MAP, required=False),
        vendor_document("b"),
    ]
    assert run({"b": GOOD}, *vendors).outcome.failure is None


def test_a_decode_error_names_vendor_file_and_offset() -> None:
    data = b"sku,quantity_available,title\nA,1,Gr\xf6\xdfe\n"
    message = failed(run({"vendor_1": data}), "DECODE_ERROR", "NORMALIZE")
    assert "decode error" in message.lower()
    assert all(
        part in message for part in ("vendor_1", "vendor_1.csv", "35", "cp1252")
    )


def test_an_unclosed_quote_names_the_line_it_opens_on() -> None:
    data = b'sku,quantity_available,title\nA,1,"fine\nhere"\nB,2,"open\nC,3,x\n'
    message = failed(run({"vendor_1": data}), "DECODE_ERROR", "NORMALIZE")
    assert "decode error" in message.lower()
    assert "line 4" in message
    assert "quote" in message


def test_missing_required_columns_name_what_is_missing_found_and_nearest() -> (
    None
):
    vendor = vendor_document(parser={"column_map": {"cost": "Unit Cost"}})
    data = b"SKU,quantity_available,Unit Costs\nA,1,2\n"
    message = failed(
        run({"vendor_1": data}, vendor), "missing_required_columns", "NORMALIZE"
    )
    assert "missing required columns" in message.lower()
    for part in (
        "vendor_1",
        "sku",
        "SKU",
        "Unit Cost",
        "Unit Costs",
        "quantity_available",
    ):
        assert part in message


def test_columns_are_judged_before_emptiness() -> None:
    failed(
        run({"vendor_1": b"name,stock\n"}),
        "missing_required_columns",
        "NORMALIZE",
    )


@pytest.mark.parametrize(
    ("data", "sku_map"),
    [
        pytest.param(
            b"sku,quantity_available,sku\nA,1,B\n", None, id="repeated_header"
        ),
        pytest.param(GOOD, b"from,to\nA,B\n", id="map_without_its_columns"),
        pytest.param(GOOD, b"", id="empty_map"),
        pytest.param(GOOD, b"vendor_sku,sku\nA,\xff\n", id="map_not_utf_8"),
        pytest.param(
            GOOD, b'vendor_sku,sku\nA,"B\n', id="map_with_an_unclosed_quote"
        ),
    ],
)
def test_other_unusable_files_are_invalid_input(
    data: bytes, sku_map: bytes | None
) -> None:
    options = {} if sku_map is None else {"sku_map": SKU_MAP}
    maps = {} if sku_map is None else {"vendor_1": sku_map}
    result = run({"vendor_1": data}, vendor_document(**options), sku_maps=maps)
    assert "vendor_1" in failed(result, "invalid_input", "NORMALIZE")


def test_the_first_faulty_vendor_gives_the_code_and_every_fault_is_told() -> (
    None
):
    vendors = [vendor_document(name) for name in ("fine", "cut", "bare")]
    feeds = {
        "bare": b"name\nA\n",
        "cut": b'sku,quantity_available\n"A,1\n',
        "fine": GOOD,
    }
    result = run(feeds, *vendors)
    failed(result, "DECODE_ERROR", "NORMALIZE")
    faults = [(fault.vendor_id, fault.error_code) for fault in result.faults]
    assert faults == [
        ("cut", "DECODE_ERROR"),
        ("bare", "missing_required_columns"),
    ]
    assert list(result.outcome.normalized) == ["fine"]


def test_a_run_without_vendors_says_so() -> None:
    result = run({}, vendors=[])
    message = failed(result, "no_rows_parsed", "MERGE_PRICE")
    assert message.endswith(
        "the config has no vendors. Add a vendor to the config."
    )


@pytest.mark.parametrize("data", [b"", b"\n\n", b"sku,quantity_available\n,\n"])
def test_no_rows_parsed_names_the_required_vendor(data: bytes) -> None:
    vendors = [vendor_document("full"), vendor_document("hollow")]
    result = run({"full": GOOD, "hollow": data}, *vendors)
    message = failed(result, "no_rows_parsed", "MERGE_PRICE")
    assert "no rows parsed" in message.lower()
    assert "hollow" in message


def test_no_row_in_any_feed_is_no_rows_parsed_even_where_all_are_optional() -> (
    None
):
    vendors = [
        vendor_document("a", required=False),
        vendor_document("b", required=False),
    ]
    failed(
        run({"a": b"", "b": None}, *vendors), "no_rows_parsed", "MERGE_PRICE"
    )


def test_no_valid_row_is_no_rows_parsed_after_the_thresholds() -> None:
    failed(run({"vendor_1": feed("A,x,1")}), "no_rows_parsed", "MERGE_PRICE")
    strict = run({"vendor_1": feed("A,x,1")}, error_policy={})
    failed(strict, "validation_errors", "MERGE_PRICE")


def test_a_feed_with_nothing_that_can_be_priced_is_empty_output() -> None:
    result = run({"vendor_1": feed("A,1,", "B,1,0")})
    failed(result, "empty_output", "MERGE_PRICE")
    assert result.outcome.warnings == {"UNPRICED_SKU": 2}


@pytest.mark.parametrize(
    ("policy", "part"),
    [
        pytest.param(
            {"max_invalid_rows": 1, "max_invalid_row_pct": "1.0"},
            "max_invalid_rows",
        ),
        pytest.param(
            {"max_invalid_rows": 9, "max_invalid_row_pct": "0.3999999"},
            "max_invalid_row_pct",
        ),
    ],
)
def test_validation_errors_say_which_limit_its_value_and_the_count(
    policy: dict[str, Any], part: str
) -> None:
    records = ["A,1,1", "B,1,1", "C,1,1", "D,x,1", "E,x,1"]
    result = run({"vendor_1": feed(*records)}, error_policy=policy)
    message = failed(result, "validation_errors", "MERGE_PRICE")
    assert "validation errors" in message.lower()
    assert part in message
    assert str(policy[part]) in message
    assert "2" in message


def test_invalid_rows_at_the_limits_exactly_are_within_them() -> None:
    records = ["A,1,1", "B,1,1", "C,1,1", "D,x,1", "E,x,1"]
    policy = {"max_invalid_rows": 2, "max_invalid_row_pct": "0.4"}
    result = run({"vendor_1": feed(*records)}, error_policy=policy)
    assert result.outcome.failure is None
    assert result.outcome.warnings == {"invalid_rows_within_threshold": 1}


def test_a_config_of_another_schema_version_is_not_read() -> None:
    with pytest.raises(UnsupportedSchemaVersionError) as caught:
        load_config({"schema_version": 2, "tenant_id": 7})
    assert caught.value.error_code == FailureCode.UNSUPPORTED_SCHEMA_VERSION


WARNINGS: list[
    tuple[WarningCode, dict[str, bytes | None], list[Any], dict[str, Any]]
] = [
    (
        WarningCode.OPTIONAL_VENDOR_MISSING,
        {"vendor_1": GOOD, "vendor_2": None},
        [vendor_document(), vendor_document("vendor_2", required=False)],
        LENIENT,
    ),
    (
        WarningCode.REQUIRED_VENDOR_MISSING,
        {"vendor_1": GOOD, "vendor_2": None},
        [vendor_document(), vendor_document("vendor_2")],
        WARN_ONLY,
    ),
    (
        WarningCode.MISSING_REQUIRED_COLUMNS,
        {"vendor_1": GOOD, "vendor_2": b"sku,stock\nB,1\n"},
        [vendor_document(), vendor_document("vendor_2")],
        NO_COLUMNS_NEEDED,
    ),
    (
        WarningCode.EMPTY_FEED,
        {"vendor_1": GOOD, "vendor_2": b"sku,quantity_available\n"},
        [vendor_document(), vendor_document("vendor_2", required=False)],
        LENIENT,
    ),
    (
        WarningCode.EMPTY_FEED,
        {"vendor_1": GOOD, "vendor_2": b""},
        [vendor_document(), vendor_document("vendor_2")],
        WARN_ONLY,
    ),
]


@pytest.mark.parametrize(
    ("code", "feeds", "vendors", "policy"),
    [
        pytest.param(*row, id=f"{number}-{row[0]}")
        for number, row in enumerate(WARNINGS)
    ],
)
def test_a_vendor_with_a_warning_is_named_and_the_run_succeeds(
    code: str,
    feeds: dict[str, bytes | None],
    vendors: list[Any],
    policy: dict[str, Any],
) -> None:
    result = run(feeds, *vendors, error_policy=policy)
    assert result.outcome.failure is None
    assert result.outcome.warnings == {code: 1}
    assert one(result.warnings, code).vendor_id == "vendor_2"
    assert [row["sku"] for row in result.merged] == ["A"]


def test_a_missing_optional_column_is_null_and_one_warning() -> None:
    vendor = vendor_document(
        parser={"column_map": {"brand": "Make", "title": "Name"}}
    )
    result = run({"vendor_1": GOOD}, vendor, error_policy=NO_COLUMNS_NEEDED)
    assert result.outcome.warnings == {"missing_required_columns": 1}
    message = one(result.warnings, "missing_required_columns").error_message
    assert "Make" in message
    assert "Name" in message
    assert result.outcome.record_count == 1


def test_a_warning_of_a_vendor_that_then_fails_is_kept() -> None:
    vendor = vendor_document(parser={"column_map": {"brand": "Make"}})
    twice = b"sku,quantity_available,cost,cost\nA,1,2,3\n"
    result = run({"vendor_1": twice}, vendor, error_policy=NO_COLUMNS_NEEDED)
    failed(result, "invalid_input", "NORMALIZE")
    assert result.outcome.warnings == {"missing_required_columns": 1}


def test_rows_of_one_sku_are_refused_where_the_config_says_so() -> None:
    sku_map = b"vendor_sku,sku\nTHEIRS,A\n"
    vendor = vendor_document(
        duplicate_skus="refuse", sku_map={"type": "file", "local_path": "m.csv"}
    )
    feeds = {
        "vendor_1": feed("A,1,2", "B,x,2", "", "B,3,4", "THEIRS,5,6", "C,7,8")
    }
    document = config_document(vendor, error_policy=LENIENT)
    result = run_document(document, feeds, {"vendor_1": sku_map})
    entries = [
        (e.row_number, e.error_code, e.column, e.value)
        for e in result.outcome.entries
    ]
    assert entries == [
        (2, "duplicate_sku", "sku", "A"),
        (3, "invalid_quantity", "quantity_available", "x"),
        (5, "duplicate_sku", "sku", "THEIRS"),
    ]
    assert [row["sku"] for row in result.normalized_rows()] == ["B", "C"]
    assert result.outcome.invalid_rows.splitlines()[1:] == [
        b'vendor_1,2,duplicate_sku,"A,1,2"',
        b'vendor_1,3,invalid_quantity,"B,x,2"',
        b'vendor_1,5,duplicate_sku,"THEIRS,5,6"',
    ]
    strict = run_document(
        {**document, "error_policy": {"max_invalid_rows": 2}},
        feeds,
        {"vendor_1": sku_map},
    )
    failed(strict, "validation_errors", "MERGE_PRICE")


def test_price_rules_that_leave_out_every_offer_make_no_feed() -> None:
    pricing = {"rules": [{"leave_out": True}]}
    result = run({"vendor_1": GOOD}, pricing=pricing)
    failed(result, "empty_output", "MERGE_PRICE")
    assert (
        "price rules or overrides leave out every offer"
        in result.failure.error_message
    )
    assert result.outcome.warnings == {}


def test_an_unpriced_sku_is_left_out_and_named() -> None:
    result = run({"vendor_1": feed("A,1,2", "B,1,", "C,1,0.004")})
    assert [row["sku"] for row in result.merged] == ["A"]
    assert result.outcome.warnings == {"UNPRICED_SKU": 2}
    assert [
        w.sku for w in result.warnings if w.error_code == "UNPRICED_SKU"
    ] == [
        "B",
        "C",
    ]


def test_refused_rows_within_the_thresholds_are_a_warning() -> None:
    result = run({"vendor_1": feed("A,1,2", "B,x,2")})
    assert result.outcome.warnings == {"invalid_rows_within_threshold": 1}
    assert (
        "1"
        in one(result.warnings, "invalid_rows_within_threshold").error_message
    )


def test_warnings_are_kept_in_a_run_that_then_fails() -> None:
    vendors = [
        vendor_document("gone", required=False),
        vendor_document("cut"),
        vendor_document("hollow", required=False),
    ]
    result = run({"gone": None, "cut": b'"', "hollow": b""}, *vendors)
    failed(result, "DECODE_ERROR", "NORMALIZE")
    warnings = [
        (warning.error_code, warning.vendor_id) for warning in result.warnings
    ]
    assert warnings == [
        ("OPTIONAL_VENDOR_MISSING", "gone"),
        ("EMPTY_FEED", "hollow"),
    ]
