"""The options of a parser that make rows and cells of what stands in a supplier's file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reference_runs import EngineRun, run_document
from relay_core.ingest import csv_records
from support.builders import config_document, feed, vendor_document
from support.workbooks import text_row, workbook

POLICY = {"max_invalid_rows": 99, "max_invalid_row_pct": "1.0"}


def run(
    data: bytes, policy: dict[str, Any] | None = None, **parser: Any
) -> EngineRun:
    document = config_document(
        vendor_document(parser=parser),
        error_policy={**POLICY, **(policy or {})},
    )
    return run_document(document, {"vendor_1": data})


def cells(column: str, *records: str, header: str, **parser: Any) -> list[str]:
    """Return a column of normalized.csv, the code and value of a refused cell in its place."""
    numbered = [f"K{place},{record}" for place, record in enumerate(records)]
    parser.setdefault("defaults", {}).setdefault("quantity_available", "1")
    result = run(feed(*numbered, header=f"key,{header}"), **_with_sku(parser))
    values = {row["sku"]: row[column] for row in result.normalized_rows()}
    refused = {
        e.row_number: f"{e.error_code} {e.value}"
        for e in result.outcome.entries
    }
    return [
        values.get(f"K{at}", refused.get(at + 2, ""))
        for at in range(len(records))
    ]


def _with_sku(parser: dict[str, Any]) -> dict[str, Any]:
    return {
        **parser,
        "column_map": {"sku": "key", **parser.get("column_map", {})},
    }


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("10,3", "3.3333"),
        ("10,6", "1.6667"),
        ("0.00005,1", "0.0001"),
        ("0.00004,1", "0.00"),
        ("1e15,1000000", "amount_out_of_range 1e15"),
        ("999999999999999.9,1000000", "amount_out_of_range 999999999999999.9"),
        ("999999999999950,1000000", "amount_out_of_range 999999999999950"),
        ("999999999999949.99,1000000", "999999999.9999"),
        ("999999999949999.99,1000000", "999999999.95"),
        ("-1,0", "negative_amount -1"),
        ("x,0", "invalid_decimal x"),
        (",0", ""),
        ("5,", "invalid_decimal "),
        ("5,0", "invalid_decimal 0"),
        ("5,1000001", "invalid_decimal 1000001"),
        ("5,1.0", "invalid_decimal 1.0"),
        ("5, 02 ", "2.50"),
    ],
)
def test_an_amount_is_divided_exactly_and_rounded_once(
    written: str, read: str
) -> None:
    source = {"column": "Cost", "divided_by": "Pack"}
    assert cells(
        "cost", written, header="Cost,Pack", column_map={"cost": source}
    ) == [read]


def test_an_amount_is_multiplied_up_to_its_limit() -> None:
    source = {"column": "Cost", "times": 1_000_000}
    assert cells(
        "cost",
        "999.9999999",
        "999.99999999999",
        "1000",
        header="Cost",
        column_map={"cost": source},
    ) == [
        "999999999.90",
        "amount_out_of_range 999.99999999999",
        "amount_out_of_range 1000",
    ]


def test_a_quantity_times_a_factor_has_its_limit_and_is_rounded_down() -> None:
    packs = {"quantity_available": {"column": "Q", "times": "P"}}
    assert cells(
        "quantity_available",
        "5,12",
        "2147483647,2",
        "0,7",
        "5,x",
        header="Q,P",
        column_map=packs,
    ) == ["60", "invalid_quantity 2147483647", "0", "invalid_quantity x"]
    parts = {"quantity_available": {"column": "Q", "divided_by": 12}}
    assert cells(
        "quantity_available", "23", "24", header="Q", column_map=parts
    ) == [
        "1",
        "2",
    ]


def test_quantities_are_summed_part_by_part() -> None:
    source = {"quantity_available": {"sum": ["A", "B"]}}
    assert cells(
        "quantity_available",
        *("1,2", "4,", "-3,5", "n/a,n/a", "x,y", "2147483647,1"),
        header="A,B",
        column_map=source,
        null_values=["n/a"],
        negative_quantity="zero",
        defaults={"quantity_available": "9"},
    ) == [
        "3",
        "4",
        "5",
        "9",
        "invalid_quantity x",
        "invalid_quantity 2147483647",
    ]


def test_texts_are_joined_stripped_and_replaced() -> None:
    joined = {"title": {"join": ["A", "B"], "with": " - "}}
    assert cells("title", " a , b ", "a,", header="A,B", column_map=joined) == [
        "a - b",
        "",
    ]
    changed = {
        "title": {
            "column": "A",
            "strip_prefix": "X-",
            "strip_suffix": "!",
            "values": {"OLD": ""},
        }
    }
    assert cells(
        "title", "X- a !", "x-a", "X-X-a", "X-old", header="A", column_map=changed,
        defaults={"title": "X-none"},
    ) == ["a", "x-a", "X-a", "X-none"]  # fmt: skip


def test_the_first_cell_that_is_not_null_is_read_and_refused() -> None:
    source = {"cost": {"first": ["A", "B"]}}
    assert cells("cost", "-,2", "1,2", "x,2", ",q", header="A,B", column_map=source,
                 null_values={"cost": ["-"]}) == ["2.00", "1.00", "invalid_decimal x",
                                                  "invalid_decimal q"]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("5+", "5"),
        (">100", "100"),
        ("> 7 PCS", "7"),
        ("+5", "5"),
        ("+5+", "5"),
        ("pcs", "invalid_quantity pcs"),
        ("5++", "invalid_quantity 5++"),
        ("many", "50"),
    ],
)
def test_symbols_come_off_a_quantity(written: str, read: str) -> None:
    options = {
        "quantity_symbols": [">", "+", "pcs"],
        "quantity_words": {"many": 50},
    }
    header = "quantity_available"
    assert cells(header, written, header=header, **options) == [read]


def test_zeros_and_what_is_invalid_stay_null_whatever_the_default() -> None:
    assert cells(
        "cost", "0.00", "-0", "0e9", "0.00001", "", header="cost",
        zero_is_null=["cost"], defaults={"cost": "7"},
    ) == ["", "", "", "0.00", "7.00"]  # fmt: skip
    assert cells(
        "msrp",
        "x",
        "-1",
        "",
        header="msrp",
        invalid_as_null=["msrp"],
        defaults={"msrp": "7"},
    ) == ["", "", "7.00"]
    assert cells(
        "updated_at",
        "x",
        "2026-01-02",
        header="updated_at",
        invalid_as_null=["updated_at"],
    ) == ["2026-03-01T12:00:00Z", "2026-01-02T00:00:00Z"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("61", "1900-03-01T00:00:00Z"),
        ("60", "invalid_timestamp 60"),
        ("46350.5", "2026-11-24T12:00:00Z"),
        ("46350.999994213", "2026-11-25T00:00:00Z"),
        ("46350.9999942129", "2026-11-24T23:59:59Z"),
        ("109574.9", "2199-12-31T21:36:00Z"),
        ("109574.999999", "invalid_timestamp 109574.999999"),
        ("1234567", "invalid_timestamp 1234567"),
    ],
)
def test_a_serial_is_days_and_its_fraction_a_time(
    written: str, read: str
) -> None:
    values = cells(
        "updated_at", written, header="updated_at", timestamp_formats=["excel"]
    )
    assert values == [read]


def test_records_that_are_no_rows_are_skipped_before_they_are_judged() -> None:
    data = feed(
        "A,1,a", "Head", "total,9,x,y,z", "B,x,b", ",,", "C,1,", "D,1,d"
    )
    result = run(
        data.replace(b"cost", b"title"),
        skip_rows=[
            {"column": "title", "is": "empty"},
            {"column": "sku", "is": ["TOTAL"]},
        ],
        null_values={"title": ["d"]},
    )

    (vendor,) = result.normalized
    assert (vendor.skipped, vendor.total_rows, vendor.invalid_rows) == (3, 3, 1)
    assert [e.row_number for e in result.outcome.entries] == [5]
    assert [row["sku"] for row in result.normalized_rows()] == ["A", "D"]


def test_a_feed_whose_rows_are_all_skipped_has_no_row() -> None:
    result = run(feed("A,1,2"), skip_rows=[{"column": "sku", "is": ["a"]}])
    assert result.failure is not None
    assert result.failure.error_code == "no_rows_parsed"


@pytest.mark.parametrize(
    ("parser", "header", "strict", "lenient"),
    [
        (
            {"skip_rows": [{"column": "Kind", "is": "empty"}]},
            "",
            "missing_required_columns",
            None,
        ),
        (
            {"skip_rows": [{"column": "Kind", "is": "empty"}]},
            ",Kind,Kind",
            *["invalid_input"] * 2,
        ),
        (
            {"column_map": {"title": {"first": ["A", "B"]}}},
            ",A",
            "missing_required_columns",
            None,
        ),
        (
            {"column_map": {"title": {"first": ["A", "B"]}}},
            ",A,B,B",
            *["invalid_input"] * 2,
        ),
        (
            {
                "column_map": {"title": {"first": ["A", "B"]}},
                "defaults": {"title": "t"},
            },
            ",A",
            "missing_required_columns",
            None,
        ),
        (
            {
                "column_map": {"title": {"first": ["A", "B"]}},
                "defaults": {"title": "t"},
            },
            "",
            None,
            None,
        ),
        ({"column_map": {"title": {"first": ["sku", "cost"]}}}, "", None, None),
    ],
)
def test_headers_that_objects_and_skips_name_are_used_like_mapped_ones(
    parser: dict[str, Any], header: str, strict: str | None, lenient: str | None
) -> None:
    data = feed(
        "S,1,2" + ",x" * header.count(","),
        header=f"sku,quantity_available,cost{header}",
    )
    for fails, code in ((True, strict), (False, lenient)):
        result = run(
            data, {"fail_on_missing_required_columns": fails}, **parser
        )
        assert (result.failure and result.failure.error_code) == code
        assert code or [row["sku"] for row in result.merged] == ["S"]


def test_blank_fields_beyond_the_header_are_dropped_in_the_order_of_rows() -> (
    None
):
    rows = [f"S,{n},1" + (",, " if n % 3 else "") for n in range(1, 200)]
    result = run(feed(*rows, "S,1,1,,x"), blank_extra_fields="drop")

    assert [row["quantity_available"] for row in result.normalized_rows()] == [
        str(n) for n in range(1, 200)
    ]
    assert [(e.error_code, e.row_number) for e in result.outcome.entries] == [
        ("column_count", 201)
    ]


def test_a_quote_is_a_character_where_quoting_is_off() -> None:
    data = feed(
        'A,1,"5 in',
        'B,1,x"y,z"',
        'C,1,"q"',
        header="sku,quantity_available,title",
    )
    result = run(data, quoting=False)

    assert [row["title"] for row in result.normalized_rows()] == [
        '"5 in',
        '"q"',
    ]
    assert result.outcome.invalid_rows == (
        b'vendor_id,row_number,error_codes,raw\nvendor_1,3,column_count,"B,1,""x""""y"",""z"""""""\n'
    )


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("sku,quantity_available\nA,x\n", {}, [(2, None)]),
        ("list\n\nsku,quantity_available\nA,x\n", {"skip_lines": 2}, [(2, 4)]),
        (
            "\nsku,quantity_available\r\n\r\nA,x\rB,1\r\n\r\nC,y",
            {},
            [(2, 4), (4, 7)],
        ),
        (
            'sku,quantity_available\n"A\n\n",x\n\n"B",y\n',
            {},
            [(2, None), (3, 6)],
        ),
        (
            'sku,quantity_available\n\n"A,x\nB,y\n',
            {"quoting": False},
            [(2, 3), (3, 4)],
        ),
        (
            "A,x\n\nB\n",
            {"columns": ["sku", "quantity_available"]},
            [(1, None), (2, 3)],
        ),
    ],
)
def test_an_entry_has_the_line_of_its_record_where_that_is_another_number(
    text: str, options: dict[str, Any], expected: list[tuple[int, int | None]]
) -> None:
    entries = entries_of(text.encode(), **options)

    assert [
        (entry["row_number"], entry.get("line")) for entry in entries
    ] == expected
    keys = list(entries[-1])
    assert "line" not in keys or keys[keys.index("row_number") + 1] == "line"


def entries_of(data: bytes, **options: Any) -> list[dict[str, Any]]:
    (vendor,) = run(data, **options).normalized
    return [json.loads(entry) for entry in vendor.entries]


def test_samples_of_causes_have_the_place_of_their_records_beyond_the_entries_too() -> (
    None
):
    rows = [*("A,x" for _ in range(10_001)), "", "B,a lot"]
    (vendor,) = run(
        feed(*rows, header="sku,quantity_available"), skip_lines=0
    ).normalized
    assert [
        [(sample.row_number, sample.line) for sample in cause.samples]
        for cause in vendor.causes
    ] == [
        [(2, None)],
        [(10_003, 10_004)],
    ]
    sheet = (
        text_row(1, "List")
        + text_row(3, "sku", "quantity_available")
        + text_row(4, "A", "x")
    )
    (vendor,) = run(workbook(sheet), format="xlsx", skip_lines=1).normalized
    assert vendor.causes[0].as_dict()["samples"] == [
        {"row_number": 2, "value": "x", "sheet_row": 4}
    ]


def test_an_entry_of_a_workbook_has_the_row_of_its_sheet() -> None:
    rows = (
        text_row(1, "List")
        + text_row(3, "sku", "quantity_available")
        + text_row(4, "A", "x")
    )
    (entry,) = entries_of(workbook(rows), format="xlsx", skip_lines=1)
    assert (entry["row_number"], entry["sheet_row"]) == (2, 4)


def test_lines_are_found_beyond_the_first_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_records, "_WINDOW_BYTES", 16)
    rows = [
        f"K{n},{'x' if n % 7 == 0 else 1}" + "\n" * (n % 3)
        for n in range(1, 60)
    ]
    rows[30] = '"K\n31",1'

    text = "\n".join(["sku,quantity_available", *rows]).split("\n")
    assert [
        entry["line"]
        for entry in entries_of(feed(*rows, header="sku,quantity_available"))
    ] == [place for place, line in enumerate(text, 1) if line.endswith(",x")]
