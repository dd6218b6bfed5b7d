"""Work files: a vendor's valid rows, with their types, from one process to another."""

import json
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.sorted_file import read_sorted_file, sorted_file_chunks
from relay_core.columnar.sorting import order_by_text
from relay_core.columnar.text import one_chunk
from relay_core.config import TenantConfig
from relay_core.domain.codes import VendorStatus
from relay_core.domain.records import Cause, ReportEntry
from relay_core.normalize.file_lists.figures import ListFigures
from relay_core.normalize.result import NormalizedVendor, OfferTable
from relay_core.normalize.vendor import SortedVendor
from relay_core.products.matched_rows import MatchedRows
from relay_core.validation.row_schemas import FILE, offer_schema

WORK_FILE = "offers.arrow"
"""The name of a vendor's work file."""
REJECTED_BY_SKU = pa.schema(
    [
        ("sku", pa.large_string()),
        ("vendor_id", pa.string()),
        ("row_number", pa.int64()),
        ("error_codes", pa.string()),
    ],
)
"""One rejected row that has a SKU."""

_REPORT = b"report"
_PLAIN_FIELDS = (
    "vendor_id",
    "status",
    "is_read",
    "skipped",
    "total_rows",
    "invalid_rows",
    "duplicates",
    "last_sku",
    "file_name",
    "fault_counts",
)
"""The fields of a vendor that JSON has as they are."""
_ROWS_AT_ONCE = 1 << 16


def rejected_schema(*, has_files: bool) -> pa.Schema:
    """Return the columns of rejected rows by SKU.

    ``has_files`` says whether the input of a vendor may have several files.
    """
    return REJECTED_BY_SKU.append(FILE) if has_files else REJECTED_BY_SKU


def work_file_chunks(
    ordered: SortedVendor,
    vendor: NormalizedVendor,
    config: TenantConfig,
) -> Iterator[memoryview]:
    """Yield the work file of a vendor.

    Args:
        ordered: The vendor's rows.
        vendor: The vendor.
        config: The tenant's config.
    """
    schema = offer_schema_of(config)
    if vendor.figures is not None:
        schema = schema.append(FILE)
    report = {name: getattr(vendor, name) for name in _PLAIN_FIELDS}
    if vendor.figures is not None:
        report["figures"] = vendor.figures.as_dict()
    if vendor.trouble is not None:
        report["trouble"] = vendor.trouble.as_dict()
    report["fault"] = None if vendor.fault is None else vendor.fault.as_dict()
    report["warnings"] = [entry.as_dict() for entry in vendor.warnings]
    report["causes"] = [cause.as_dict() for cause in vendor.causes]
    if vendor.matched is not None:
        report["matched"] = vendor.matched.as_dict()
    metadata = {_REPORT: json.dumps(report, ensure_ascii=False).encode()}
    entries = pa.table({"entry": pa.array(vendor.entries, pa.large_string())})
    tables = [vendor.rejected_rows, entries]
    if vendor.matched is not None:
        tables.append(vendor.matched.unmatched)
    return sorted_file_chunks(
        schema.with_metadata(metadata),
        "sku",
        _all_columns(ordered, schema),
        tables,
    )


def _all_columns(
    ordered: SortedVendor,
    schema: pa.Schema,
) -> Iterator[pa.Table]:
    """Yield the offers with all columns of the schema, some rows at a time."""
    for start in range(0, len(ordered.kept.rows), _ROWS_AT_ONCE):
        rows = ordered.kept.rows[start : start + _ROWS_AT_ONCE]
        cells = ordered.kept.cells(list(schema), rows)
        yield pa.table(cells, schema=schema).combine_chunks()


def offer_schema_of(config: TenantConfig) -> pa.Schema:
    """Return the columns of a tenant's offers in work files."""
    has_catalog = config.catalog is not None
    return offer_schema(config.extra_columns, has_catalog=has_catalog)


def read_work_file(data: bytes | memoryview) -> NormalizedVendor:
    """Return the vendor of a work file."""
    offers, rejected_rows, entries, *unmatched = read_sorted_file(data)
    report = json.loads(offers.schema.metadata[_REPORT])
    fault = report["fault"]
    plain_fields = {
        name: report[name] for name in _PLAIN_FIELDS if name in report
    }
    plain_fields["status"] = VendorStatus(report["status"])
    matched = None
    if unmatched:
        matched = MatchedRows(unmatched=unmatched[0], **report["matched"])
    figures = report.get("figures")
    trouble = report.get("trouble")
    return NormalizedVendor(
        **plain_fields,
        matched=matched,
        fault=None if fault is None else ReportEntry(**fault),
        warnings=tuple(ReportEntry(**entry) for entry in report["warnings"]),
        causes=tuple(map(Cause.of, report["causes"])),
        entries=tuple(entries["entry"].to_pylist()),
        offers=OfferTable(offers.replace_schema_metadata(None)),
        rejected_rows=rejected_rows,
        figures=None if figures is None else ListFigures.of(figures),
        trouble=None if trouble is None else ReportEntry(**trouble),
    )


def rejected_rows_chunks(
    vendors: Sequence[NormalizedVendor],
    *,
    has_files: bool = False,
) -> Iterator[memoryview]:
    """Yield the work file of rejected rows with a SKU, by SKU, vendor and row.

    With ``has_files``, it has the names of files of vendors that may have several.
    """
    schema = rejected_schema(has_files=has_files)
    parts = [schema.empty_table()]
    for vendor in sorted(vendors, key=lambda vendor: vendor.vendor_id):
        has_sku = pc.is_valid(vendor.rejected_rows["sku"])
        rows = vendor.rejected_rows.filter(has_sku)
        columns = [
            rows["sku"],
            pa.repeat(vendor.vendor_id, len(rows)),
            rows["row_number"],
            rows["error_codes"],
        ]
        if FILE.name in rows.column_names:
            columns.append(rows[FILE.name])
        elif has_files:
            columns.append(pa.nulls(len(rows), FILE.type))
        parts.append(pa.table(columns, schema=schema))
    rejected = pa.concat_tables(parts)
    order = order_by_text(one_chunk(rejected["sku"])).rows
    starts = range(0, len(order), _ROWS_AT_ONCE)
    rows_in_order = (
        rejected.take(pa.array(order[start : start + _ROWS_AT_ONCE]))
        for start in starts
    )
    yield from sorted_file_chunks(schema, "sku", rows_in_order)
