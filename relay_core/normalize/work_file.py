"""A vendor's work file: what the next step needs of a vendor, where another process takes it.

Its offers, sorted by SKU, so that those of one SKU are read without the rest; behind them the
rejected records and one of their entries. `rejected_rows_chunks` keeps the rejected rows of all
vendors by SKU.
"""

import json
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.sorted_file import read_sorted_file, sorted_file_chunks
from relay_core.columnar.sorting import order_by_text
from relay_core.columnar.text import one_chunk
from relay_core.domain.codes import VendorStatus
from relay_core.domain.records import Cause, ReportEntry
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.vendor import SortedVendor
from relay_core.validation.contracts import frame_of, offer_schema, table_of

WORK_FILE = "offers.arrow"
REJECTED_BY_SKU = pa.schema(
    [
        ("sku", pa.large_string()),
        ("vendor_id", pa.string()),
        ("row_number", pa.int64()),
        ("error_codes", pa.string()),
    ]
)
"""One rejected row that has a SKU."""

_REPORT = b"report"
_PLAIN = (
    *("vendor_id", "status", "is_read", "skipped", "total_rows", "invalid_rows", "duplicates"),
    *("last_sku", "fault_counts"),
)
_ROWS_AT_ONCE = 1 << 16


def work_file_chunks(
    ordered: SortedVendor, vendor: NormalizedVendor, extra_columns: Sequence[str] = ()
) -> Iterator[memoryview]:
    """Yield the work file of a vendor with offers; ``ordered`` has its columns that they lack."""
    schema = offer_schema(extra_columns)
    report = {
        **{name: getattr(vendor, name) for name in _PLAIN},
        "fault": None if vendor.fault is None else vendor.fault.as_dict(),
        "warnings": [entry.as_dict() for entry in vendor.warnings],
        "causes": [cause.as_dict() for cause in vendor.causes],
    }

    def offers() -> Iterator[pa.Table]:
        made = table_of(vendor.offers)
        for start in range(0, len(made), _ROWS_AT_ONCE):
            rows = ordered.kept.rows[start : start + _ROWS_AT_ONCE]
            part = made.slice(start, len(rows))
            columns = (
                part[each.name]
                if each.name in made.column_names
                else ordered.kept.cells(each, rows)
                for each in schema
            )
            yield pa.table(list(columns), schema=schema).combine_chunks()

    return sorted_file_chunks(
        schema.with_metadata({_REPORT: json.dumps(report, ensure_ascii=False).encode()}),
        "sku",
        offers(),
        [vendor.rejected_rows, pa.table({"entry": pa.array(vendor.entries, pa.large_string())})],
    )


def read_work_file(data: bytes | memoryview) -> NormalizedVendor:
    """Return the vendor that a work file holds."""
    offers, rejected_rows, entries = read_sorted_file(data)
    report = json.loads(offers.schema.metadata[_REPORT])
    fault = report.pop("fault")
    return NormalizedVendor(
        **{
            **report,
            "status": VendorStatus(report["status"]),
            "fault": None if fault is None else ReportEntry(**fault),
            "warnings": tuple(ReportEntry(**entry) for entry in report["warnings"]),
            "causes": tuple(map(Cause.of, report["causes"])),
        },
        entries=tuple(entries["entry"].to_pylist()),
        offers=frame_of(offers.replace_schema_metadata(None)),
        rejected_rows=rejected_rows,
    )


def rejected_rows_chunks(vendors: Sequence[NormalizedVendor]) -> Iterator[memoryview]:
    """Yield the rejected rows that have a SKU, by SKU, then vendor and row."""
    parts = [REJECTED_BY_SKU.empty_table()]
    for vendor in sorted(vendors, key=lambda each: each.vendor_id):
        known = vendor.rejected_rows.filter(pc.is_valid(vendor.rejected_rows["sku"]))
        whose = pa.repeat(vendor.vendor_id, len(known))
        columns = (known["sku"], whose, known["row_number"], known["error_codes"])
        parts.append(pa.table(list(columns), schema=REJECTED_BY_SKU))
    rejected = pa.concat_tables(parts)
    order = order_by_text(one_chunk(rejected["sku"])).rows
    starts = range(0, len(order), _ROWS_AT_ONCE)
    rows = (rejected.take(pa.array(order[start : start + _ROWS_AT_ONCE])) for start in starts)
    yield from sorted_file_chunks(REJECTED_BY_SKU, "sku", rows)
