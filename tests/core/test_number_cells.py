"""Cells that a file holds as numbers: they have a point, whatever the vendor's texts have."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference_runs import EngineRun, run_document
from support.builders import config_document, vendor_document
from support.workbooks import text_row, workbook

LENIENT = {"max_invalid_rows": 1000, "max_invalid_row_pct": "1.0"}
OPTIONS = {
    "column_map": {"quantity_available": "qty"},
    "decimal_separator": ",",
    "thousands_separator": ".",
    "null_values": ["0,5"],
}
A = "A,,v,12,,1234.50,,,,,,1234.5,NOW"
B = "B,,v,1234,,1.50,,,,,,1.234,NOW"
C = "C,,v,3,,,,,,,,0.5,NOW"


def run_feed(form: str, data: bytes) -> EngineRun:
    vendor = vendor_document("v", parser={"format": form, **OPTIONS})
    now = datetime(2024, 6, 1, 12, tzinfo=UTC)
    return run_document(
        config_document(vendor, error_policy=LENIENT), {"v": data}, {}, now
    )


def normalized(run: EngineRun) -> list[str]:
    text = run.outcome.normalized["v"].decode()
    return text.replace("2024-06-01T12:00:00Z", "NOW").splitlines()[1:]


def json_lines() -> bytes:
    return (
        b'{"sku":"A","qty":12.0,"cost":1234.5,"title":1234.5}\n'
        b'{"sku":"B","qty":"1.234","cost":"1,5","title":1.234}\n'
        b'{"sku":"C","qty":3,"cost":0.5,"title":0.5}\n'
        b'{"sku":"D","qty":3,"cost":"12.5","title":null}\n'
    )


def sheet() -> bytes:
    """Return the same rows as a workbook; a cell with a ``!`` before it is a number."""
    rows = [text_row(1, "sku", "qty", "cost", "title")]
    cells = (
        "A !12 !1234.5 !1234.5",
        "B 1.234 1,5 !1.234",
        "C !3 !0.5 !0.5",
        "D !3 12.5",
    )
    for number, row in enumerate(cells, 2):
        written = ""
        for letter, cell in zip("ABCD", row.split(), strict=False):
            kind = "" if cell.startswith("!") else ' t="str"'
            written += (
                f'<c r="{letter}{number}"{kind}><v>{cell.strip("!")}</v></c>'
            )
        rows.append(f'<row r="{number}">{written}</row>')
    return workbook("".join(rows))


@pytest.mark.parametrize(
    ("form", "made", "first"), [("jsonl", json_lines, 1), ("xlsx", sheet, 2)]
)
def test_a_text_that_looks_like_a_number_has_the_vendors_separators(
    form: str, made: object, first: int
) -> None:
    run = run_feed(form, made())  # type: ignore[operator]
    assert normalized(run) == [A, B, C]
    (entry,) = run.outcome.entries
    assert (entry.row_number, entry.error_code, entry.value) == (
        first + 3,
        "invalid_decimal",
        "12.5",
    )


def test_a_column_of_numbers_has_points() -> None:
    out = io.BytesIO()
    columns = {
        "sku": ["A", "C"],
        "qty": [12.0, 3.0],
        "cost": [1234.5, 0.5],
        "title": [1234.5, 0.5],
    }
    pq.write_table(pa.table(columns), out)
    run = run_feed("parquet", out.getvalue())
    assert normalized(run) == [A, C]
    assert run.outcome.entries == []


def test_a_refused_number_stands_in_reports_as_in_the_file() -> None:
    run = run_feed("jsonl", b'{"sku":"A","qty":1.5,"cost":1.5,"x":true}\n')
    (entry,) = run.outcome.entries
    assert (entry.column, entry.value) == ("quantity_available", "1.5")
    assert entry.row_data == {
        "sku": "A",
        "qty": "1.5",
        "cost": "1.5",
        "x": "true",
    }
    assert (
        run.outcome.invalid_rows.decode().splitlines()[1]
        == 'v,1,invalid_quantity,"A,1.5,1.5,true"'
    )
