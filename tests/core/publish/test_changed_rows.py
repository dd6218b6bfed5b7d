"""What has changed between two published files: exact bytes in each format."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Sequence
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest

from reference_changed_rows import changed_file
from relay_core.config import TenantConfig, load_config
from relay_core.config.models import FileConfig
from relay_core.publish.changed_rows import changed_rows
from relay_core.publish.files.fields import headers_of
from support.builders import config_document, feed, vendor_document
from support.reported_runs import go_through

SEEDS = range(int(os.environ.get("RELAY_FUZZ_EXAMPLES", "8")))
COLUMNS = ["sku", "quantity_available", "price", "title", "availability"]
HEADER = "sku,quantity_available,cost,title,brand"
OLDER = ("A,5,1.00,a,x", 'B,3,2.00,"b, ""c""",x', "C,1,3.00,c,x", "D,9,4.00,,x")
NEWER = ("A,5,1.00,a,x", 'B,4,2.00,"b, ""c""",x', "D,9,4.00,,x", "E,2,5.00,e,x")


def file_of(**output: Any) -> FileConfig:
    return config_of(output).channels[0].output


def config_of(output: dict[str, Any]) -> TenantConfig:
    channel = {"channel_id": "shop", "output": output}
    document = config_document(vendor_document("v"), channels=[channel])
    return load_config(document)


def written(records: Sequence[str], **output: Any) -> bytes:
    channel = {"channel_id": "shop", "output": output}
    run = go_through({"v": feed(*records, header=HEADER)}, channels=[channel])
    (key,) = [key for key in run.files if key.startswith("outputs/channels/")]
    return run.files[key]


def changes(
    older: Sequence[str] = OLDER,
    newer: Sequence[str] = NEWER,
    **output: Any,
) -> tuple[bytes, int]:
    """Return the file of changes of two feeds in one form, and its rows."""
    output = {"columns": COLUMNS, **output}
    difference = changed_rows(
        written(older, **output),
        written(newer, **output),
        file_of(**output),
        file_of(**output),
    )
    assert difference is not None
    return b"".join(map(bytes, difference.chunks)), difference.count


def test_changed_and_new_rows_come_first_and_then_those_that_are_gone() -> None:
    data, count = changes()
    assert data.decode().splitlines() == [
        "sku,quantity_available,price,title,availability",
        'B,4,2.00,"b, ""c""",in_stock',
        "E,2,5.00,e,in_stock",
        "C,0,3.00,c,out_of_stock",
    ]
    assert count == 3


def test_a_file_in_tsv_has_tabs() -> None:
    data, _ = changes(format="tsv", columns=["sku", "quantity_available"])
    assert data == b"sku\tquantity_available\nB\t4\nE\t2\nC\t0\n"


def test_json_lines_keep_numbers_and_nulls() -> None:
    gone = (*OLDER, "Z,7,9.00,,x")
    data, count = changes(gone, format="jsonl")
    assert data.decode().splitlines()[2:] == [
        '{"sku":"C","quantity_available":0,"price":"3.00","title":"c",'
        '"availability":"out_of_stock"}',
        '{"sku":"Z","quantity_available":0,"price":"9.00","title":null,'
        '"availability":"out_of_stock"}',
    ]
    assert count == 4


def test_gzip_packs_the_changes_as_the_files() -> None:
    plain, _ = changes()
    packed, _ = changes(compression="gzip")
    assert gzip.decompress(packed) == plain
    assert packed[:9] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00"


def test_parquet_has_the_same_schema_and_the_rows_by_value() -> None:
    columns = [*COLUMNS, "msrp", "updated_at", {"column": "price", "as": "p"}]
    data, count = changes(format="parquet", columns=columns)
    newer = pq.read_table(
        io.BytesIO(written(NEWER, format="parquet", columns=columns))
    )
    table = pq.read_table(io.BytesIO(data))
    assert table.schema == newer.schema
    rows = table.select(["sku", "quantity_available", "availability"])
    assert rows.to_pylist() == [
        {"sku": "B", "quantity_available": 4, "availability": "in_stock"},
        {"sku": "E", "quantity_available": 2, "availability": "in_stock"},
        {"sku": "C", "quantity_available": 0, "availability": "out_of_stock"},
    ]
    assert count == 3
    assert table["p"].to_pylist() == table["price"].to_pylist()


@pytest.mark.parametrize(
    ("column", "gone"),
    [("quantity_available", "C,0"), ("availability", "C,out_of_stock")],
)
def test_either_column_says_that_a_sku_is_gone(column: str, gone: str) -> None:
    data, _ = changes(columns=["sku", column])
    assert data.decode().splitlines()[-1] == gone


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_without_either_a_sku_that_is_gone_is_not_told(format: str) -> None:
    columns = ["sku", "price"]
    data, count = changes(format=format, columns=columns)
    assert count == 1
    if format == "csv":
        assert data == b"sku,price\nE,5.00\n"


@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl", "parquet"])
def test_equal_files_have_no_changed_row(format: str) -> None:
    data, count = changes(OLDER, OLDER, format=format)
    assert count == 0
    if format == "parquet":
        assert len(pq.read_table(io.BytesIO(data))) == 0
    else:
        lines = {"csv": 1, "tsv": 1, "jsonl": 0}
        assert data.count(b"\n") == lines[format]


def judged(older: dict[str, Any], newer: dict[str, Any]) -> bool:
    """Return whether there are changes between files of two forms."""
    older = {"columns": COLUMNS, **older}
    newer = {"columns": COLUMNS, **newer}
    difference = changed_rows(
        written(OLDER, **older),
        written(NEWER, **newer),
        file_of(**older),
        file_of(**newer),
    )
    return difference is not None


@pytest.mark.parametrize(
    ("older", "newer", "has_changes"),
    [
        ({}, {}, True),
        ({}, {"format": "tsv"}, False),
        ({}, {"compression": "gzip"}, False),
        ({}, {"columns": ["sku", "price"]}, False),
        ({}, {"columns": COLUMNS[::-1]}, False),
        ({"columns": ["title"]}, {"columns": ["title"]}, False),
        # Under the same header, the older file has no SKU.
        (
            {"columns": [{"column": "title", "as": "id"}, "price"]},
            {"columns": [{"column": "sku", "as": "id"}, "price"]},
            False,
        ),
        (
            {"columns": [{"column": "sku", "as": "=id"}]},
            {
                "columns": [{"column": "sku", "as": "=id"}],
                "escape_formulas": True,
            },
            False,
        ),
        ({}, {"columns": COLUMNS, "escape_formulas": True}, True),
    ],
)
def test_only_files_of_one_header_format_and_compression_have_changes(
    older: dict[str, Any],
    newer: dict[str, Any],
    has_changes: bool,
) -> None:
    assert judged(older, newer) is has_changes


# --- over seeds -----------------------------------------------------------------------


def records_of(luck: Random) -> list[str]:
    titles = ("", "plain", '"a, b"', '"say ""hi"""', '"two\nlines"', "t\tab")
    records = []
    for number in range(200):
        if luck.random() < 0.2:
            continue
        quantity = luck.choice((0, 1, 1, 1, 5))
        price = luck.choice(("1.00", "1.00", "1.00", "2.50"))
        title = luck.choice(titles[:2]) if luck.random() < 0.8 else ""
        if luck.random() < 0.2:
            title = luck.choice(titles)
        sku = f'"S""{number:03}"' if number % 17 == 0 else f"S{number:03}"
        records.append(f"{sku},{quantity},{price},{title},=x")
    return records


@pytest.mark.parametrize("seed", SEEDS)
def test_changes_are_as_a_plain_reading_says(seed: int) -> None:
    luck = Random(seed)
    names = luck.sample([*COLUMNS[1:], "brand", "lead_time_days"], 4)
    columns: list[Any] = ["sku", *names, {"column": "sku", "as": "again"}]
    luck.shuffle(columns)
    if columns.index("sku") > columns.index({"column": "sku", "as": "again"}):
        columns.remove({"column": "sku", "as": "again"})
    output: dict[str, Any] = {"columns": columns}
    output["format"] = luck.choice(("csv", "tsv", "jsonl"))
    if output["format"] != "jsonl":
        output["escape_formulas"] = luck.choice((True, False))
    older = records_of(luck)
    newer = records_of(luck)
    file = file_of(**output)
    expected = changed_file(
        written(older, **output),
        written(newer, **output),
        file,
        headers_of(file),
    )
    assert changes(older, newer, **output) == expected
