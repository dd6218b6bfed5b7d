"""What a feed that the kernel has read keeps in memory."""

from __future__ import annotations

import mmap
import tracemalloc
from pathlib import Path

import pytest

from relay_core.domain.limits import DEFAULT_LIMITS, ReportRoom
from relay_core.kernel import compiled
from relay_core.normalize.scanned_feed import ScannedRows
from relay_core.normalize.vendor import VendorRows, sorted_rows
from relay_core.normalize.vendor_feed import FeedReader, VendorFeed
from relay_core.validation.row_schemas import OFFER_SCHEMA
from support.builders import REQUESTED_AT, tenant_config, vendor_document
from support.kernel import needs_kernel

pytestmark = needs_kernel
CONFIG = tenant_config(vendor_document("a"))
HEADER = b"sku,quantity_available,lead_time_days,cost,title,updated_at\n"
PLAIN_ROW = b"A%05d,5,2,1.25,a bolt,2026-01-01T00:00:00Z\n"
DOUBTFUL_ROW = b"B,many,2,1.25,a bolt,2026-01-01T00:00:00Z\n"


@pytest.fixture(autouse=True)
def _enabled_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn the kernel on, also in a session that reads feeds without it."""
    monkeypatch.setattr(compiled, "is_enabled", True)


def read(data: bytes | memoryview) -> VendorRows:
    """Read a feed; the kernel must have read it."""
    reader = FeedReader(
        CONFIG,
        REQUESTED_AT,
        OFFER_SCHEMA.names,
        DEFAULT_LIMITS,
        DEFAULT_LIMITS.run_bytes,
    )
    rows = reader.read(VendorFeed.of_one(CONFIG.vendors[0], data, "feed.csv"))
    assert isinstance(rows, ScannedRows)
    return rows


def mapped_bytes() -> int:
    """Return the bytes of mapped files that this process holds."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("RssFile:")[2].split()[0]) << 10


def test_the_pages_of_a_mapped_feed_with_doubtful_records_are_released(
    tmp_path: Path,
) -> None:
    path = tmp_path / "feed.csv"
    rows_of_block = [PLAIN_ROW % row for row in range(500)]
    block = b"".join([*rows_of_block, DOUBTFUL_ROW])
    path.write_bytes(HEADER + 800 * block)
    read(HEADER + block)  # loads the code, which is mapped too
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    before = mapped_bytes()

    rows = read(memoryview(mapped))

    assert mapped_bytes() - before < len(mapped) // 4
    del rows


def test_offers_take_no_memory_but_that_of_the_rows_that_are_requested() -> (
    None
):
    # Enough rows that what the rest of the process allocates does not matter
    row_count = 100_000
    rows = b"".join(PLAIN_ROW % row for row in range(row_count))
    ordered = sorted_rows(read(HEADER + rows), ReportRoom(10, 1 << 10))
    columns = ["quantity_available", "lead_time_days", "cost"]
    ordered.with_offers().offers.table(columns)  # loads the code
    tracemalloc.start()
    try:
        offers = ordered.with_offers().offers
        offer_bytes, _ = tracemalloc.get_traced_memory()
        table = offers.table(columns, slice(0, row_count // 2))
        table_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert offer_bytes < row_count
    # Two columns of 4 bytes and one of 8
    assert (table_bytes - offer_bytes) / len(table) < 17
    assert table.column_names == columns
