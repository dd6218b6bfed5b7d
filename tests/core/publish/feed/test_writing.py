"""The merged feed in each format: what its usual reader reads back, and byte for byte."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference_runs import run_document
from relay_core.config import load_config
from relay_core.domain.columns import CANONICAL_COLUMNS, DERIVED_COLUMNS
from relay_core.merge import best_offer
from relay_core.merge.result import MergedInventory
from relay_core.publish.feed import feed_chunks
from relay_core.publish.files import parquet, writer
from relay_core.publish.files.fields import SOURCES
from support.builders import config_document, feed, vendor_document
from support.normalizing import whole

COLUMNS = [
    *CANONICAL_COLUMNS,
    {"column": "price", "as": "Price, net"},
    {"column": "quantity_available", "as": "Qty"},
    "availability",
    "currency",
    "price_with_currency",
    {"constant": " as is ", "as": 'The "same"'},
    {"constant": "", "as": "nothing"},
]
HEADER = (
    "sku,vendor_sku,quantity_available,lead_time_days,cost,map_price,msrp,condition,brand,title,"
    "updated_at"
)
ROWS = (
    'A,own-a,5,3,10.12345,1.005,,new,"Größe & Co","a ""quoted"", title",2024-03-10 02:30:00.75',
    'B,,0,,7,,99.9999,,"tab\there","two\nlines",1999-12-31T23:59:59Z',
    "C,,12,0,0.01,0.0101,5,used,,=SUM(A1),",
    "D,=1+1,1,,3.333,,,refurb,\u2028,\\back\x01slash\x7f,2100-01-01",
)
FEED = feed(*ROWS, header=HEADER)
SAME_ROWS = [f"S{number:03},{number % 3},{number}.005" for number in range(200)]


def written(
    format: str, columns: Any = COLUMNS, data: bytes = FEED, **output: Any
) -> bytes:
    """Return the feed of one vendor's upload in a format."""
    settings = {"format": format, "columns": columns, **output}
    document = config_document(vendor_document("v"), output=settings)
    merged = run_document(document, {"v": data}).outcome.merged
    assert merged is not None
    return merged


def cells_of(delimiter: str, data: bytes) -> list[dict[str, str | None]]:
    """Read a feed as other programs do; to a CSV null and the empty text are one."""
    text = io.StringIO(data.decode(), newline="")
    return [dict(row) for row in csv.DictReader(text, delimiter=delimiter)]


def objects_of(data: bytes) -> list[dict[str, str | None]]:
    rows = [json.loads(line) for line in data.decode().split("\n")[:-1]]
    return [
        {k: "" if v is None else str(v) for k, v in row.items()} for row in rows
    ]


def records_of(data: bytes) -> list[dict[str, str | None]]:
    rows = pq.read_table(pa.BufferReader(data)).to_pylist()
    return [
        {header: _cell(value) for header, value in row.items()} for row in rows
    ]


def _cell(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value.quantize(Decimal("0.01"), ROUND_HALF_UP))
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return "" if value is None else str(value)


READERS: dict[str, Callable[[bytes], list[dict[str, str | None]]]] = {
    "csv": lambda data: cells_of(",", data),
    "tsv": lambda data: cells_of("\t", data),
    "jsonl": objects_of,
    "parquet": records_of,
}


@pytest.mark.parametrize("format", READERS)
def test_a_feed_of_each_format_has_the_same_rows_to_its_usual_reader(
    format: str,
) -> None:
    expected = READERS["csv"](written("csv"))
    assert [row["sku"] for row in expected] == ["A", "B", "C", "D"]
    assert list(expected[0]) == [
        column if isinstance(column, str) else column["as"]
        for column in COLUMNS
    ]
    assert READERS[format](written(format)) == expected


@pytest.mark.parametrize("format", READERS)
def test_a_feed_that_is_written_in_many_pieces_is_the_same(
    format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_one = written(format, data=feed(*SAME_ROWS))
    monkeypatch.setattr(best_offer, "RANGE_ROWS", 7)
    monkeypatch.setattr(writer, "SLICE_ROWS", 3)
    assert written(format, data=feed(*SAME_ROWS)) == in_one
    assert len(READERS[format](in_one)) == 200


def test_derived_columns_and_constants_stand_under_their_headers() -> None:
    rows = cells_of(",", written("csv"))
    first = rows[0]
    names = (
        "availability",
        "currency",
        "price_with_currency",
        'The "same"',
        "Qty",
        "Price, net",
    )
    assert [first[name] for name in names] == [
        *("in_stock", "USD", "10.12 USD", " as is ", "5", "10.12")
    ]
    stock = [(row["quantity_available"], row["availability"]) for row in rows]
    assert stock == [
        ("5", "in_stock"),
        ("0", "out_of_stock"),
        ("12", "in_stock"),
        ("1", "in_stock"),
    ]


def test_the_bytes_of_a_csv_are_those_of_plain_names_where_nothing_else_is_asked_for() -> (
    None
):
    columns = ["sku", "quantity_available", "price", "title"]
    assert written("csv", columns).split(b"\n", 2)[:2] == [
        b"sku,quantity_available,price,title",
        b'A,5,10.12,"a ""quoted"", title"',
    ]


def test_a_tsv_is_the_csv_with_tabs_where_a_tab_is_quoted_and_a_comma_is_not() -> (
    None
):
    columns = ["sku", "brand", "title", {"constant": "a,b", "as": "x,\ty"}]
    lines = written("tsv", columns).split(b"\n")
    assert lines[:3] == [
        b'sku\tbrand\ttitle\t"x,\ty"',
        'A\tGröße & Co\t"a ""quoted"", title"\ta,b'.encode(),
        b'B\t"tab\there"\t"two',
    ]


@pytest.mark.parametrize("format", ["csv", "tsv"])
def test_a_null_alone_in_its_record_is_a_record(format: str) -> None:
    assert (
        written(format, ["vendor_sku"]) == b'vendor_sku\nown-a\n""\n""\n=1+1\n'
    )
    assert (
        written(format, [{"constant": "", "as": "x"}]) == b'x\n""\n""\n""\n""\n'
    )


def test_json_lines_are_what_the_encoder_writes() -> None:
    data = written("jsonl").decode()
    lines = data.split("\n")
    assert lines.pop() == ""
    for line in lines:
        row = json.loads(line)
        assert (
            json.dumps(row, ensure_ascii=False, separators=(",", ":")) == line
        )
        assert isinstance(row["quantity_available"], int)
        assert isinstance(row["Qty"], int)
        assert isinstance(row["lead_time_days"], int)
    second = json.loads(lines[1])
    assert (second["vendor_sku"], second["map_price"], second["nothing"]) == (
        None,
        None,
        "",
    )
    assert second["cost"] == "7.00"


def test_parquet_is_typed_and_compressed() -> None:
    file = pq.ParquetFile(pa.BufferReader(written("parquet")))
    money = pa.decimal128(18, 4)
    text = pa.string()
    assert file.schema_arrow.remove_metadata().equals(
        pa.schema(
            [
                ("sku", text),
                ("vendor_sku", text),
                ("vendor_id", text),
                ("quantity_available", pa.int32()),
                ("lead_time_days", pa.int32()),
                ("cost", money),
                ("map_price", money),
                ("price", pa.decimal128(18, 2)),
                ("msrp", money),
                ("condition", text),
                ("brand", text),
                ("title", text),
                ("updated_at", pa.timestamp("ms", "UTC")),
                ("Price, net", pa.decimal128(18, 2)),
                ("Qty", pa.int32()),
                ("availability", text),
                ("currency", text),
                ("price_with_currency", text),
                ('The "same"', text),
                ("nothing", text),
            ]
        )
    )
    assert all(field.nullable for field in file.schema_arrow)
    group = file.metadata.row_group(0)
    assert {group.column(n).compression for n in range(group.num_columns)} == {
        "ZSTD"
    }
    row = file.read().to_pylist()[0]
    assert row["cost"] == Decimal("10.1235")  # 4 places, of which a CSV has 2
    assert row["updated_at"] == datetime(2024, 3, 10, 2, 30, tzinfo=UTC)
    assert (file.read()["vendor_sku"].null_count, row["nothing"]) == (2, "")


def test_parquet_has_groups_of_so_many_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert parquet.GROUP_ROWS == 1_000_000
    monkeypatch.setattr(parquet, "GROUP_ROWS", 64)
    file = pq.ParquetFile(
        pa.BufferReader(written("parquet", data=feed(*SAME_ROWS)))
    )
    sizes = [
        file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)
    ]
    assert sizes == [64, 64, 64, 8]


def test_what_a_spreadsheet_would_reckon_gets_a_mark_where_it_is_asked_for() -> (
    None
):
    columns = ["vendor_sku", "title", "price", {"constant": "-1", "as": "@x"}]
    assert (
        written("csv", columns).split(b"\n")[-2]
        == b"=1+1,\\back\x01slash\x7f,3.33,-1"
    )
    rows = cells_of(",", written("csv", columns, escape_formulas=True))
    assert list(rows[0]) == ["vendor_sku", "title", "price", "'@x"]
    assert rows[2]["title"] == "'=SUM(A1)"
    assert (rows[3]["vendor_sku"], rows[3]["price"], rows[3]["'@x"]) == (
        "'=1+1",
        "3.33",
        "'-1",
    )


def test_a_run_without_a_feed_writes_none() -> None:
    config = load_config(config_document(vendor_document("v")))
    with pytest.raises(ValueError, match="without a feed"):
        whole(feed_chunks(MergedInventory(config)))


def test_every_column_that_a_feed_can_have_has_a_source() -> None:
    assert set(SOURCES) == {*CANONICAL_COLUMNS, *DERIVED_COLUMNS}
