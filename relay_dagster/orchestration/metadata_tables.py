"""Tables for Dagster's pages: inputs, vendors, rows, and errors of a run."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import dagster as dg

from relay_core.domain.columns import REQUIRED_COLUMNS, Kind
from relay_core.domain.input_names import counts_by_input
from relay_core.merge.result import MergedInventory
from relay_core.merge.row_counts import RowCounts
from relay_core.normalize.result import NormalizedVendor

_NEVER_NULL = (*REQUIRED_COLUMNS, "vendor_id", "updated_at")


def table(
    rows: Iterable[Sequence[Any]],
    columns: Mapping[str, str],
) -> dg.TableMetadataValue:
    """Return rows of cells as a table; ``columns`` gives the kind of each column by name."""
    schema = dg.TableSchema(
        [dg.TableColumn(name, kind) for name, kind in columns.items()],
    )
    records = [
        dg.TableRecord(dict(zip(columns, row, strict=True))) for row in rows
    ]
    return dg.MetadataValue.table(records, schema=schema)


def text_table(
    headers: Sequence[str],
    rows: Iterable[Mapping[str, str]],
) -> dg.TableMetadataValue:
    """Return the first rows of a file as a table of texts."""
    return table(
        [[row[header] for header in headers] for row in rows],
        dict.fromkeys(headers, "string"),
    )


def column_schema(
    columns: Iterable[tuple[str, Kind]],
) -> dict[str, dg.TableSchema]:
    """Return the metadata by which Dagster shows an asset's columns, given names and kinds."""
    nullable = dg.TableColumnConstraints(nullable=True)
    required = dg.TableColumnConstraints(nullable=False)
    table_columns = []
    for name, kind in columns:
        constraints = required if name in _NEVER_NULL else nullable
        table_columns.append(
            dg.TableColumn(name, str(kind), constraints=constraints),
        )
    return {"dagster/column_schema": dg.TableSchema(table_columns)}


def input_table(
    entries: Mapping[str, Mapping[str, Any]],
) -> dg.TableMetadataValue:
    """Return the manifest's entries by vendor: the file, or where it is expected."""
    rows = []
    for vendor_id, entry in entries.items():
        key = entry["s3_key"] or entry["expected_prefix"] or ""
        size = entry["size"] or 0
        modified = entry["last_modified"] or ""
        rows.append((vendor_id, entry["status"], key, size, modified))
    columns = {
        "vendor_id": "string",
        "status": "string",
        "s3_key": "string",
        "bytes": "int",
        "last_modified": "string",
    }
    return table(rows, columns)


def vendor_table(
    vendors: Sequence[NormalizedVendor],
    wins: Mapping[str, int] | None = None,
) -> dg.TableMetadataValue:
    """Return the row counts of each vendor, and the SKUs that it won if they are given."""
    columns = {
        "vendor_id": "string",
        "outcome": "string",
        "rows": "int",
        "valid": "int",
        "invalid": "int",
    }
    if wins is not None:
        columns["skus_won"] = "int"
    rows = []
    for vendor in vendors:
        row = [
            vendor.vendor_id,
            str(vendor.status),
            vendor.total_rows,
            vendor.valid_rows,
            vendor.invalid_rows,
        ]
        if wins is not None:
            row.append(wins.get(vendor.vendor_id, 0))
        rows.append(row)
    return table(rows, columns)


def row_table(counts: Mapping[str, RowCounts]) -> dg.TableMetadataValue:
    """Return the counts of the rows of each vendor and part, by outcome."""
    counts_by_name = counts_by_input(
        {
            vendor_id: row_counts.as_dict()
            for vendor_id, row_counts in counts.items()
        },
    )
    # The vendor with most counts has them in the order of all.
    names = max(counts_by_name.values(), key=len, default={})
    outcomes = list(dict.fromkeys(chain(names, *counts_by_name.values())))
    rows = [
        [name, *map(outcome_counts.get, outcomes)]
        for name, outcome_counts in counts_by_name.items()
    ]
    columns = {"vendor_id": "string", **dict.fromkeys(outcomes, "int")}
    return table(rows, columns)


def fault_table(vendors: Sequence[NormalizedVendor]) -> dg.TableMetadataValue:
    """Return the number of entries of each error code by vendor, the most frequent first."""
    rows: list[tuple[str, str, int]] = []
    for vendor in vendors:
        counts = {
            str(code): count for code, count in vendor.fault_counts.items()
        }
        if vendor.fault is not None:
            counts[vendor.fault.error_code] = 1
        by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        rows += [(vendor.vendor_id, code, count) for code, count in by_count]
    columns = {"vendor_id": "string", "error_code": "string", "entries": "int"}
    return table(rows, columns)


def winner_table(merged: MergedInventory) -> dg.TableMetadataValue:
    """Return the number of SKUs that each vendor of the config won."""
    return table(
        merged.skus_won().items(),
        {"vendor_id": "string", "skus_won": "int"},
    )


def rule_table(merged: MergedInventory) -> dg.TableMetadataValue:
    """Return the rules of the merged schema that rows break, with the number of rows."""
    rows = [
        (rule.column, rule.rule, len(rule.rows)) for rule in merged.broken_rules
    ]
    return table(rows, {"column": "string", "rule": "string", "rows": "int"})
