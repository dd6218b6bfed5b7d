"""A normalized vendor travels through its work file, and nothing of it is lost."""

from __future__ import annotations

from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.normalize.work_file import read_work_file
from relay_core.validation.row_schemas import OFFER_SCHEMA
from support.builders import REQUESTED_AT, feed, tenant_config, vendor_document
from support.normalizing import (
    Written,
    normalize_vendor,
    normalize_vendors,
    offers_of,
)

CONFIG = tenant_config(
    vendor_document("v"), output={"columns": ["sku", "price"]}
)
FEED = feed("B,1,2.5", "B,-1,x", "C,2", "A,0,", 'A,7,"1.2345"')


def work_file(data: bytes) -> bytes:
    written = Written()
    normalize_vendors(
        CONFIG,
        [VendorFeed.of_one(CONFIG.vendors[0], data, "f.csv")],
        requested_at=REQUESTED_AT,
        sink=written,
        hands_over=True,
    )
    return written.work_files["v"]


def test_all_columns_of_the_offers_come_back_those_too_that_the_merge_does_not_need() -> (
    None
):
    back = read_work_file(work_file(FEED))
    whole = normalize_vendor(CONFIG, CONFIG.vendors[0], FEED)

    assert offers_of(back).column_names == OFFER_SCHEMA.names
    assert offers_of(back).equals(offers_of(whole))
    assert offers_of(back)["row_number"].to_pylist() == [5, 6, 2]


def test_rejects_entries_and_counts_come_back() -> None:
    back = read_work_file(work_file(FEED))
    whole = normalize_vendor(CONFIG, CONFIG.vendors[0], FEED)

    assert back.rejected_rows.equals(whole.rejected_rows)
    assert back.entries == whole.entries
    assert (back.total_rows, back.valid_rows, back.fault_counts) == (
        5,
        3,
        whole.fault_counts,
    )
    assert back.causes == whole.causes
    assert back.causes


def test_a_vendor_of_many_batches_comes_back_in_order() -> None:
    rows = [f"S{number:06},1,{number}" for number in range(150_000)]
    back = read_work_file(work_file(feed(*reversed(rows))))

    assert offers_of(back)["sku"].to_pylist() == [
        row.partition(",")[0] for row in rows
    ]
    assert offers_of(back)["row_number"].to_pylist() == list(
        range(150_001, 1, -1)
    )


def test_a_vendor_without_a_valid_row_has_a_work_file_too() -> None:
    back = read_work_file(work_file(feed("A,x,1")))

    assert (len(back.offers), back.total_rows, back.invalid_rows) == (0, 1, 1)
