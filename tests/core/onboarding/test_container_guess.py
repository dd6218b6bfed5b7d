"""What an upload is, found from its bytes: compression, format, sheet, header."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from relay_core.domain.errors import FeedUnreadableError
from relay_core.onboarding.container_guess import unpacked
from relay_core.onboarding.feed_check import FeedCheck, check_feed
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.onboarding.findings import describe_check
from support.builders import tenant_config, vendor_document
from support.workbooks import ods, ods_table, ods_texts, text_row, workbook, xls

FEEDS = Path(__file__).parents[2] / "data" / "feeds" / "formats"
CSV = b"sku,quantity_available,cost\nA,1,2.50\nB,2,3\n"
LINES = (
    b'{"sku":"A","quantity_available":1,"cost":2.5}\n'
    b'{"sku":"B","quantity_available":2,"cost":3}\n'
)
HEADER = text_row(1, "sku", "quantity_available", "cost")
SHEET = workbook(
    HEADER + text_row(2, "A", "1", "2.5") + text_row(3, "B", "2", "3")
)
OLD_SHEET = xls(
    {
        "S": [
            ["sku", "quantity_available", "cost"],
            ["A", "1", "2.5"],
            ["B", "2", "3"],
        ]
    }
)
OPEN_SHEET = ods(
    ods_table(
        *(
            ods_texts(*row)
            for row in (["sku", "quantity_available", "cost"], "A12", "B23")
        )
    )
)
PARQUET = (FEEDS / "duckdb.parquet").read_bytes()
MAPPED = {
    "column_map": {"quantity_available": "qty"},
    "negative_quantity": "zero",
}


def zipped(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("feed", data)
    return packed.getvalue()


def checked(data: bytes, *, is_whole: bool = True, **options: Any) -> FeedCheck:
    config = tenant_config(
        vendor_document(parser=options),
        output={"columns": ["sku", "quantity_available", "price"]},
    )
    return check_feed(
        FeedSample(data, is_whole), config.vendors[0].parser, config
    )


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (gzip.compress(CSV, mtime=0), {}),
        (zipped(CSV), {}),
        (LINES, {"format": "jsonl"}),
        (
            gzip.compress(LINES, mtime=0),
            {"format": "jsonl", "compression": "gzip"},
        ),
        (SHEET, {"format": "xlsx"}),
        (OLD_SHEET, {"format": "xls"}),
        (OPEN_SHEET, {"format": "ods"}),
        (PARQUET, {"format": "parquet", **MAPPED}),
        (zipped(PARQUET), {"format": "parquet", **MAPPED}),
    ],
)
def test_a_file_of_the_configured_kind_is_read_as_a_run_reads_it(
    data: bytes, options: dict[str, Any]
) -> None:
    check = checked(data, **options)
    assert (dict(check.changes), check.as_sent.error_message) == ({}, None)
    assert check.as_sent.rows >= 2


@pytest.mark.parametrize(
    ("data", "options", "changes"),
    [
        (LINES, {"delimiter": ";"}, {"format": "jsonl", "delimiter": ","}),
        (gzip.compress(LINES, mtime=0), {}, {"format": "jsonl"}),
        (
            SHEET,
            {"encoding": "cp1252"},
            {"format": "xlsx", "encoding": "utf-8"},
        ),
        (
            PARQUET,
            MAPPED | {"skip_lines": 2},
            {"format": "parquet", "skip_lines": 0},
        ),
        (
            CSV,
            {"format": "xlsx", "sheet": "Prices"},
            {"format": "csv", "sheet": None},
        ),
        (CSV, {"format": "jsonl"}, {"format": "csv"}),
        (CSV, {"compression": "gzip"}, {"compression": "auto"}),
        (
            gzip.compress(CSV, mtime=0),
            {"compression": "zip"},
            {"compression": "auto"},
        ),
        (zipped(CSV), {"compression": "none"}, {"compression": "auto"}),
        (
            SHEET,
            {"compression": "zip"},
            {"format": "xlsx", "compression": "auto"},
        ),
        (SHEET, {"format": "xls"}, {"format": "xlsx"}),
        (OLD_SHEET, {"format": "xlsx", "skip_lines": 0}, {"format": "xls"}),
        (OLD_SHEET, {"delimiter": ";"}, {"format": "xls", "delimiter": ","}),
        (
            OPEN_SHEET,
            {"encoding": "cp1252"},
            {"format": "ods", "encoding": "utf-8"},
        ),
    ],
)
def test_another_kind_is_proposed_and_reads(
    data: bytes, options: dict[str, Any], changes: dict[str, Any]
) -> None:
    check = checked(data, **options)
    assert dict(check.changes) == changes
    assert check.as_sent.error_code == "DECODE_ERROR"
    assert check.with_changes is not None
    assert (
        check.with_changes.error_message,
        check.with_changes.rejected_rows,
    ) == (
        None,
        0,
    )
    option = "format" if "format" in changes else "compression"
    described = describe_check(check)
    assert described.startswith("With the current config: The f")
    assert f"parser.{option} " in described


def test_the_sheet_and_the_rows_before_its_header_are_found() -> None:
    cover = text_row(1, "Prices of 2026") + text_row(3, "Valid from March")
    prices = (
        text_row(1, "ACME")
        + text_row(3, "SKU", "Qty", "Cost")
        + text_row(4, "A", "1", "2")
    )
    data = workbook(cover, prices, names=("Cover", "Prices"))
    check = checked(data, format="xlsx")
    assert dict(check.changes) == {
        "sheet": "Prices",
        "skip_lines": 2,
        "column_map": {
            "sku": "SKU",
            "quantity_available": "Qty",
            "cost": "Cost",
        },
    }
    assert check.with_changes is not None
    assert (check.with_changes.rows, check.with_changes.rejected_rows) == (1, 0)
    assert checked(data, format="xlsx", sheet="Price").changes == check.changes


def test_rows_that_are_skipped_already_are_not_proposed() -> None:
    data = workbook(
        text_row(1, "ACME") + text_row(4, "sku", "quantity_available", "cost")
    )
    for skip in (3, 2, 1):
        assert (
            "skip_lines"
            not in checked(data, format="xlsx", skip_lines=skip).changes
            or skip < 3
        )


def test_a_workbook_of_libreoffice_is_found_whole() -> None:
    check = checked((FEEDS / "libreoffice.xlsx").read_bytes(), format="csv")
    assert dict(check.changes) == {
        "format": "xlsx",
        "skip_lines": 2,
        "column_map": {
            "sku": "Artikel",
            "quantity_available": "Bestand",
            "cost": "Preis",
        },
    }


def test_a_cut_archive_is_not_looked_into_and_a_cut_gzip_is() -> None:
    with pytest.raises(FeedUnreadableError, match="too large to be checked"):
        checked(SHEET, is_whole=False, format="xlsx")
    packed = gzip.compress(CSV * 5000, mtime=0)
    check = checked(packed[: len(packed) // 2], is_whole=False)
    assert check.as_sent.rows == 5_000


def test_no_more_of_an_archive_is_unpacked_than_is_looked_at() -> None:
    text = unpacked(
        FeedSample(zipped(CSV + b"C,3,4\n" * 1_000_000), True, rows=7)
    )
    assert (len(text.data), text.is_whole, text.rows) == (1 << 20, False, 7)
    parquet = unpacked(FeedSample(zipped(PARQUET + bytes(2 << 20)), True))
    assert (len(parquet.data), parquet.is_whole) == (
        len(PARQUET) + (2 << 20),
        True,
    )


def test_lines_that_are_cut_are_left_out() -> None:
    check = checked(
        LINES + b'{"sku":"C","quanti', is_whole=False, format="jsonl"
    )
    assert (check.as_sent.rows, check.as_sent.rejected_rows) == (2, 0)


def test_a_workbook_with_a_password_says_so() -> None:
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode(
        "utf-16-le"
    )
    with pytest.raises(FeedUnreadableError, match="has a password"):
        checked(data, format="xlsx")
