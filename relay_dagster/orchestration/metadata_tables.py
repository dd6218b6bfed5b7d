"""Tables for Dagster's pages: inputs, vendors, rows, errors, guards, and rules of a run."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import dagster as dg

from relay_core.domain.codes import MATCH_KEYS
from relay_core.domain.columns import REQUIRED_COLUMNS, Kind
from relay_core.domain.input_names import counts_by_input
from relay_core.domain.records import GuardResult
from relay_core.merge.result import MergedInventory
from relay_core.merge.row_counts import RowCounts
from relay_core.normalize.result import NormalizedVendor
from relay_core.publish.applied_rules import AppliedRule
from relay_core.publish.artifacts import CHANNEL
from relay_core.publish.channels import ChannelSummary
from relay_core.publish.findings import RunFindings
from relay_core.publish.quarantine import QUARANTINE_COLUMNS

_MAX_QUARANTINED = 100
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


def channel_tables(
    channels: Sequence[ChannelSummary],
) -> dict[str, dg.TableMetadataValue]:
    """Return the rows of each channel, and the first rows of each file, by label."""
    if not channels:
        return {}
    counts = [(channel.channel_id, channel.rows) for channel in channels]
    tables = {"channels": table(counts, {"channel": "string", "rows": "int"})}
    for channel in channels:
        label = CHANNEL.name_for(channel=channel.channel_id)
        tables[label] = text_table(channel.headers, channel.first_rows)
    return tables


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


def matched_table(
    matched_by: Mapping[str, Mapping[str, int]],
) -> dg.TableMetadataValue:
    """Return the number of each vendor's rows that each key matched."""
    columns = {"vendor_id": "string"}
    columns |= dict.fromkeys(MATCH_KEYS, "int")
    matched_rows = [
        (vendor_id, *counts.values())
        for vendor_id, counts in matched_by.items()
    ]
    return table(matched_rows, columns)


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


def warning_table(counts: Mapping[str, int]) -> dg.TableMetadataValue:
    """Return the number of entries of each warning."""
    rows = [(str(code), count) for code, count in sorted(counts.items())]
    return table(rows, {"warning": "string", "entries": "int"})


def rule_table(merged: MergedInventory) -> dg.TableMetadataValue:
    """Return the rules of the merged schema that rows break, with the number of rows."""
    rows = [
        (rule.column, rule.rule, len(rule.rows)) for rule in merged.broken_rules
    ]
    return table(rows, {"column": "string", "rule": "string", "rows": "int"})


def applied_rule_table(rules: Sequence[AppliedRule]) -> dg.TableMetadataValue:
    """Return the effects of the tenant's own rules."""
    rows = [
        (rule.path, rule.rule, rule.vendor_id or "", rule.did, rule.count)
        for rule in rules
    ]
    columns = dict.fromkeys(("path", "rule", "vendor_id", "did"), "string")
    columns["count"] = "int"
    return table(rows, columns)


def quarantine_table(findings: RunFindings) -> dg.TableMetadataValue:
    """Return the first SKUs that keep their published price, as quarantine.csv lists them."""
    suspects = findings.first_quarantined(_MAX_QUARANTINED)
    rows = (
        [suspect[name] for name in QUARANTINE_COLUMNS] for suspect in suspects
    )
    return table(rows, dict.fromkeys(QUARANTINE_COLUMNS, "string"))


def guard_table(results: Sequence[GuardResult]) -> dg.TableMetadataValue:
    """Return the results of the guards: the value against the limit, with examples."""
    columns = {
        "guard": "string",
        "about": "string",
        "tripped": "boolean",
        "value": "string",
        "limit": "string",
        "count": "int",
        "of": "int",
        "examples": "string",
    }
    rows = []
    for result in results:
        examples = [
            f"{example['sku']}: {example['before']} -> {example['after']}"
            for example in result.examples
        ]
        rows.append(
            (
                result.guard,
                result.vendor_id or result.side or "",
                result.tripped,
                result.value,
                result.limit,
                result.count,
                result.of,
                ", ".join(examples),
            ),
        )
    return table(rows, columns)
