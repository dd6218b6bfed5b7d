"""A normalized vendor travels through its work files, and nothing of it is lost."""

from __future__ import annotations

from builders import REQUESTED_AT, feed, tenant_config, vendor_document
from relay_core.normalize.result import NormalizedVendor
from relay_core.pipeline import normalize_vendor


def normalized(data: bytes, **changes: object) -> NormalizedVendor:
    config = tenant_config(vendor_document("v", **changes))
    return normalize_vendor(
        config, config.vendors[0], data, file_name="f.csv", requested_at=REQUESTED_AT
    )


def carried(vendor: NormalizedVendor) -> NormalizedVendor:
    files = {name: b"".join(chunks) for name, chunks in vendor.work_files().items()}
    return NormalizedVendor.from_work_files(files)


def test_offers_rejects_and_entries_come_back_from_work_files() -> None:
    vendor = normalized(feed("A,1,2.5", "B,-1,x", "C,2", "D,0,"))
    back = carried(vendor)

    assert back.offers.equals(vendor.offers)
    assert back.rejects.equals(vendor.rejects)
    assert [entry.as_dict() for entry in back.entries] == [
        {**entry.as_dict(), "row_data": list(entry.row_data)}
        if isinstance(entry.row_data, tuple)
        else entry.as_dict()
        for entry in vendor.entries
    ]
    assert (back.total_rows, back.valid_rows, back.fault_counts) == (4, 2, vendor.fault_counts)
    assert b"".join(back.csv_chunks()) == b"".join(vendor.csv_chunks())


def test_a_fault_and_a_warning_come_back_from_work_files() -> None:
    failed = normalized(b"\xff")
    empty = normalized(b"", required=False)

    assert carried(failed).fault == failed.fault
    assert carried(failed).outcome == "failed"
    assert carried(empty).warnings == empty.warnings
    assert [warning.error_code for warning in empty.warnings] == ["EMPTY_FEED"]
