"""All feeds of a run unpack to no more than so many bytes: who passes it, fails for it alone."""

from __future__ import annotations

import gzip
import io
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relay_core.domain.limits import DEFAULT_LIMITS
from relay_core.normalize.vendor_feed import VendorFeed
from support.builders import feed, tenant_config, vendor_document
from support.normalizing import normalize_vendors
from support.workbooks import text_row, workbook

ROWS = feed(*[f"SKU-{number},5,10.00" for number in range(100)])
CELLS = [line.split(",") for line in ROWS.decode().split()]
TEXTS = sum(len(cell) for row in CELLS for cell in row)


def _parquet() -> bytes:
    header, *rows = CELLS
    sink = io.BytesIO()
    pq.write_table(
        pa.table(dict(zip(header, zip(*rows, strict=True), strict=True))), sink
    )
    return sink.getvalue()


def _failures(*feeds: tuple[str, bytes], most: int) -> list[str | None]:
    """Return the fault of each vendor where a run's feeds may unpack to so many bytes."""
    parsers = [{"format": kind} for kind, _ in feeds]
    vendors = [
        vendor_document(f"vendor_{n}", parser=p) for n, p in enumerate(parsers)
    ]
    config = tenant_config(*vendors)
    vendor_feeds = [
        VendorFeed.of_one(v, data, "f")
        for v, (_, data) in zip(config.vendors, feeds, strict=True)
    ]
    normalized = normalize_vendors(
        config, vendor_feeds, limits=replace(DEFAULT_LIMITS, run_bytes=most)
    )
    return [
        None if vendor.fault is None else vendor.fault.error_code
        for vendor in normalized
    ]


TOO_LARGE = "feed_too_large"


def test_the_vendor_that_passes_the_limit_fails_for_it_and_no_other_does() -> (
    None
):
    small = feed("A,5,10.00")
    size = len(ROWS)
    feeds = [("csv", ROWS), ("csv", ROWS), ("csv", small), ("csv", small)]
    limit = size + len(small)
    assert _failures(*feeds, most=limit) == [None, TOO_LARGE, None, TOO_LARGE]
    assert _failures(*feeds, most=2 * size + 2 * len(small)) == [None] * 4
    assert _failures(*feeds, most=size - 1) == [
        TOO_LARGE,
        TOO_LARGE,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("kind", "data", "size"),
    [
        ("csv", gzip.compress(ROWS), len(ROWS)),
        ("parquet", _parquet(), TEXTS - len("".join(CELLS[0]))),
    ],
)
def test_it_is_of_what_a_feed_unpacks_to(
    kind: str, data: bytes, size: int
) -> None:
    size = max(size, len(data))
    assert _failures((kind, data), (kind, data), most=2 * size) == [None, None]
    assert _failures((kind, data), (kind, data), most=2 * size - 1) == [
        None,
        TOO_LARGE,
    ]


def test_the_parts_of_a_workbook_are_within_it() -> None:
    rows = [text_row(number, *cells) for number, cells in enumerate(CELLS, 1)]
    data = workbook("".join(rows))
    assert _failures(("xlsx", data), most=64 << 10) == [None]
    assert _failures(("xlsx", data), most=2 * TEXTS) == [TOO_LARGE]


def test_a_feed_that_cannot_be_read_counts_as_far_as_it_was_unpacked() -> None:
    broken = ROWS + b'X,"1'
    feeds = [("csv", broken), ("csv", ROWS)]
    assert _failures(*feeds, most=len(broken) + len(ROWS)) == [
        "DECODE_ERROR",
        None,
    ]
    assert _failures(*feeds, most=len(broken) + len(ROWS) - 1) == [
        "DECODE_ERROR",
        TOO_LARGE,
    ]


def test_the_fault_names_the_limit() -> None:
    config = tenant_config()
    vendor_feeds = [VendorFeed.of_one(config.vendors[0], ROWS, "f.csv")]
    (vendor,) = normalize_vendors(
        config, vendor_feeds, limits=replace(DEFAULT_LIMITS, run_bytes=9)
    )
    assert vendor.fault is not None
    assert vendor.fault.error_message.startswith(
        "feed too large: vendor 'vendor_1', file 'f.csv': together with this file, the files of "
        "the run unpack to more than 9 bytes"
    )
