"""The cells of the extra column that has GTINs, from files to normalized.csv."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reference_runs import EngineRun, run_document
from support.builders import config_document, feed, vendor_document
from support.workbooks import text_row, workbook

LENIENT = {"max_invalid_rows": 1000, "max_invalid_row_pct": "1.0"}
HEADER = "sku,quantity_available,cost,ean"
VALID = {
    "4006381333931": "4006381333931",
    "0614141000036": "614141000036",
    "614141000036": "614141000036",
    "00614141000036": "614141000036",
    "10614141000033": "10614141000033",
    "73513537": "73513537",
    "000073513537": "73513537",
    "0000073513537": "73513537",
    "4 006381-333931": "4006381333931",
    "0-614141-00003 6": "614141000036",
    "01234565": "01234565",
    "": "",
}
INVALID = [
    "4006381333932",
    "400638133393",
    "40063813339310",
    "614141000036x",
    "4.00638E+12",
    "00000000",
    "0000000000000",
    "1234567",
    "4\u00a0006381333931",
    "\u0664006381333931",
    "n.a.",
    "-",
]


def run_feed(data: bytes, **parser: Any) -> EngineRun:
    vendor = vendor_document("v", parser=parser)
    document = config_document(
        vendor,
        error_policy=LENIENT,
        extra_columns=["ean", "color"],
        gtin_column="ean",
    )
    return run_document(document, {"v": data})


def gtins(run: EngineRun) -> dict[str, str]:
    return {row["sku"]: row["ean"] for row in run.normalized_rows("v")}


def faults(run: EngineRun) -> list[tuple[str, str | None]]:
    return [(entry.error_code, entry.value) for entry in run.outcome.entries]


@pytest.mark.usefixtures("either_reader")
def test_a_gtin_is_written_as_the_shortest_that_only_loses_zeros() -> None:
    lines = [f"{row},1,2,{cell}" for row, cell in enumerate(VALID)]
    run = run_feed(feed(*lines, header=HEADER))
    assert gtins(run) == {
        str(row): written for row, written in enumerate(VALID.values())
    }
    assert run.outcome.entries == []


@pytest.mark.usefixtures("either_reader")
def test_any_other_cell_is_refused() -> None:
    lines = [f"{row},1,2,{cell}" for row, cell in enumerate(INVALID)]
    good = "A,1,2,4006381333931"
    run = run_feed(feed(*lines, good, header=HEADER))
    assert gtins(run) == {"A": "4006381333931"}
    assert faults(run) == [("invalid_gtin", cell) for cell in INVALID]


@pytest.mark.usefixtures("either_reader")
def test_an_entry_names_the_column_and_the_fix() -> None:
    line = "A,,2,4006381333932"
    run = run_feed(feed(line, "B,1,2,", header=HEADER))
    quantity, gtin = run.normalized[0].entries
    assert json.loads(quantity)["error_code"] == "missing_quantity"
    entry = json.loads(gtin)
    assert entry["column"] == "ean"
    assert entry["error_code"] == "invalid_gtin"
    assert entry["error_message"] == (
        '"4006381333932" is not a GTIN of 8, 12, 13, or 14 digits with a right check '
        "digit. Copy the number under the barcode, leave the cell empty, or add the "
        "column to parser.invalid_as_null."
    )
    (cause,) = [
        cause
        for cause in run.normalized[0].causes
        if cause.error_code == "invalid_gtin"
    ]
    assert (cause.column, cause.count) == ("ean", 1)
    assert run.normalized[0].fault_counts == {
        "missing_quantity": 1,
        "invalid_gtin": 1,
    }


@pytest.mark.usefixtures("either_reader")
def test_a_cell_that_is_no_gtin_can_be_null() -> None:
    lines = ["A,1,2,4006381333932", "B,1,2,0614141000036"]
    data = feed(*lines, header=HEADER)
    run = run_feed(data, invalid_as_null=["ean"])
    assert gtins(run) == {"A": "", "B": "614141000036"}
    assert run.outcome.entries == []


@pytest.mark.usefixtures("either_reader")
def test_a_default_is_written_as_a_gtin() -> None:
    lines = ["A,1,2,", "B,1,2,4006381333931"]
    data = feed(*lines, header=HEADER)
    run = run_feed(data, defaults={"ean": "0-614141-000036"})
    assert gtins(run) == {"A": "614141000036", "B": "4006381333931"}


@pytest.mark.usefixtures("either_reader")
def test_a_quote_in_a_gtin_is_refused() -> None:
    run = run_feed(feed('A,1,2,"4006381""333931"', "B,1,2,", header=HEADER))
    assert faults(run) == [("invalid_gtin", '4006381"333931')]


def test_a_number_cell_gets_its_zeros_back() -> None:
    lines = [
        '{"sku": "A", "quantity_available": 1, "cost": 1, "ean": 614141000036}',
        '{"sku": "B", "quantity_available": 1, "cost": 1, "ean": 1234565}',
        '{"sku": "C", "quantity_available": 1, "cost": 1, "ean": "1234565"}',
        '{"sku": "D", "quantity_available": 1, "cost": 1, "ean": 4.00638E+12}',
        '{"sku": "E", "quantity_available": 1, "cost": 1, "ean": 36000291452}',
        '{"sku": "F", "quantity_available": 1, "cost": 1, "ean": "36000291452"}',
    ]
    run = run_feed("\n".join(lines).encode(), format="jsonl")
    assert gtins(run) == {
        "A": "614141000036",
        "B": "01234565",
        "E": "036000291452",
    }
    assert faults(run) == [
        ("invalid_gtin", "1234565"),
        ("invalid_gtin", "4.00638E+12"),
        ("invalid_gtin", "36000291452"),
    ]


def test_a_number_cell_of_a_sheet_gets_its_zeros_back() -> None:
    rows = [text_row(1, "sku", "quantity_available", "cost", "ean")]
    rows += [
        '<c r="A2" t="str"><v>A</v></c><c r="B2"><v>1</v></c><c r="C2"><v>2</v></c>'
        '<c r="D2"><v>36000291452</v></c>',
        '<c r="A3" t="str"><v>B</v></c><c r="B3"><v>1</v></c><c r="C3"><v>2</v></c>'
        '<c r="D3" t="str"><v>36000291452</v></c>',
    ]
    numbered = [rows[0]] + [
        f'<row r="{number}">{cells}</row>'
        for number, cells in enumerate(rows[1:], 2)
    ]
    run = run_feed(workbook("".join(numbered)), format="xlsx")
    assert gtins(run) == {"A": "036000291452"}
    assert [code for code, _ in faults(run)] == ["invalid_gtin"]


@pytest.mark.parametrize(
    ("source", "is_read"),
    [
        ({"first": ["x", "n"]}, True),
        ({"column": "n", "values": {"none": "73513537"}}, True),
        ({"column": "n", "strip_prefix": "9"}, True),
        ({"column": "n", "strip_prefix": "3"}, False),
        ({"column": "n", "values": {"36000291452": "36000291452"}}, False),
        ({"join": ["n", "y"]}, False),
    ],
)
def test_a_number_cell_that_was_changed_is_text(
    source: dict[str, Any], is_read: bool
) -> None:
    line = {
        "sku": "A",
        "quantity_available": 1,
        "cost": 1,
        "n": 36000291452,
        "y": "",
        "x": None,
    }
    changes = {"join": {"y": "1"}, "strip_prefix": {"n": 336000291452}}
    for key, change in changes.items():
        if key in source and not (key == "strip_prefix" and is_read):
            line |= change
    good = {"sku": "B", "quantity_available": 1, "cost": 1}
    data = "\n".join(map(json.dumps, [line, good])).encode()
    run = run_feed(data, format="jsonl", column_map={"ean": source})
    expected = {"A": "036000291452"} if is_read else {}
    assert gtins(run) == {**expected, "B": ""}
    assert len(run.outcome.entries) == int(not is_read)
