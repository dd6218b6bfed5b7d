"""Where a run's artifacts lie, and the bytes of every CSV and JSON that it writes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from relay_core.columnar.csv_text import header_line, lines, quoted, whole_text
from relay_core.columnar.json_lines import ReportEntries, joined_entries
from relay_core.domain.models import ReportEntry, RunContext, RunFailure, RunStatus
from relay_core.normalize.normalized_csv import SLICE
from relay_core.normalize.result import NormalizedVendor

INVALID_ROWS_COLUMNS = ("vendor_id", "row_number", "error_codes", "raw")


@dataclass(frozen=True, slots=True)
class ArtifactKeys:
    """The keys of one run's artifacts; with an empty ``run_id``, paths relative to a folder."""

    run_id: str
    tenant_id: str

    @property
    def prefix(self) -> str:
        """What every key of the run starts with."""
        return f"{self.run_id}/tenants/{self.tenant_id}/" if self.run_id else ""

    @property
    def config_snapshot(self) -> str:
        """The key of config_snapshot.json."""
        return f"{self.prefix}reports/config_snapshot.json"

    @property
    def input_manifest(self) -> str:
        """The key of input_manifest.json."""
        return f"{self.prefix}reports/input_manifest.json"

    @property
    def errors(self) -> str:
        """The key of errors.json."""
        return f"{self.prefix}reports/errors.json"

    @property
    def invalid_rows(self) -> str:
        """The key of invalid_rows.csv."""
        return f"{self.prefix}reports/invalid_rows.csv"

    @property
    def run_summary(self) -> str:
        """The key of run_summary.json."""
        return f"{self.prefix}reports/run_summary.json"

    @property
    def merged_inventory(self) -> str:
        """The key of merged_inventory.csv."""
        return f"{self.prefix}outputs/merged_inventory.csv"

    def inbound(self, vendor_id: str, file_name: str) -> str:
        """Return the key of the run's own copy of a vendor's feed."""
        return f"{self.prefix}inbound/{vendor_id}/{file_name}"

    def normalized(self, vendor_id: str) -> str:
        """Return the key of a vendor's normalized.csv."""
        return f"{self.prefix}normalized/{vendor_id}/normalized.csv"

    def work(self, vendor_id: str, name: str) -> str:
        """Return the key of a work file, which is no artifact."""
        return f"{self.prefix}work/{vendor_id}/{name}"


def config_snapshot_json(ctx: RunContext, document: Mapping[str, Any]) -> bytes:
    """Return config_snapshot.json: the config as it took effect."""
    return _document({**_identity(ctx), "tenant_config": document})


def input_manifest_json(
    ctx: RunContext, vendors: Mapping[str, Mapping[str, Any]], generated_at: datetime
) -> bytes:
    """Return input_manifest.json: which file each vendor's input is."""
    head = {**_identity(ctx), "generated_at": timestamp(generated_at)}
    return _document({**head, "vendors": vendors})


def errors_json(
    ctx: RunContext,
    failure: RunFailure | None,
    *,
    faults: Sequence[ReportEntry] = (),
    warnings: Sequence[ReportEntry] = (),
    warning_counts: Mapping[str, int] | None = None,
    normalized: Sequence[NormalizedVendor] = (),
    max_rows: int = 10_000,
) -> bytes | None:
    """Return errors.json, or None where a run has nothing to report.

    Args:
        ctx: the run.
        failure: how it failed, or None.
        faults: the run's own faults.
        warnings: its warnings, as far as they are kept.
        warning_counts: how many warnings of each code there are; counted here where None.
        normalized: its vendors, in the order of the config.
        max_rows: how many entries of rows are kept.
    """
    counts = Counter(entry.error_code for entry in faults)
    counts.update(warning_counts or Counter(entry.error_code for entry in warnings))
    rows = joined_entries(vendor.entries for vendor in normalized)[:max_rows]
    for vendor in normalized:
        counts.update(vendor.fault_counts)
    entries = joined_entries([faults, warnings, rows])
    if failure is None and not entries:
        return None
    head = {
        "run_id": ctx.run_id,
        "tenant_id": ctx.tenant_id,
        "error_code": failure.error_code if failure else None,
        "error_message": failure.error_message if failure else None,
        "counts": dict(sorted(counts.items())),
        "truncated": len(entries) < sum(counts.values()),
    }
    return _document_of_entries(head, entries)


def has_invalid_rows(normalized: Sequence[NormalizedVendor]) -> bool:
    """Return whether invalid_rows.csv is due."""
    return any(vendor.invalid_rows for vendor in normalized)


def invalid_rows_chunks(normalized: Sequence[NormalizedVendor]) -> Iterator[bytes | memoryview]:
    """Yield invalid_rows.csv piece by piece: every refused record, in the order of vendors."""
    yield header_line(INVALID_ROWS_COLUMNS)
    for vendor in normalized:
        for batch in vendor.rejects.to_batches(max_chunksize=SLICE):
            yield _reject_lines(vendor.vendor_id, batch)


def run_summary_json(
    ctx: RunContext,
    *,
    status: RunStatus | str,
    error_code: str | None,
    vendors: Sequence[str],
    vendor_count: int,
    normalized: Sequence[NormalizedVendor],
    record_count: int,
    unpriced_skus: int,
    warning_counts: Mapping[str, int],
    stage_times: Mapping[str, float],
    duration_seconds: float,
    completed_at: datetime,
) -> bytes:
    """Return run_summary.json.

    Args:
        ctx: the run.
        status: how it ended.
        error_code: why, where it failed.
        vendors: the vendors of the run, each of which gets a count of valid rows.
        vendor_count: how many vendors the config has.
        normalized: the vendors that were read.
        record_count: rows of the merged feed, 0 on failure.
        unpriced_skus: how many SKUs were left out for want of a price.
        warning_counts: how many warnings of each code there are.
        stage_times: seconds by stage.
        duration_seconds: seconds from start to end.
        completed_at: aware.
    """
    valid = {vendor.vendor_id: vendor.valid_rows for vendor in normalized}
    return _document(
        {
            **_identity(ctx),
            "status": str(status),
            "error_code": error_code,
            "attempt": ctx.attempt,
            "vendor_count": vendor_count,
            "vendor_record_counts": {vendor: valid.get(vendor, 0) for vendor in vendors},
            "record_count": record_count,
            "invalid_rows": sum(vendor.invalid_rows for vendor in normalized),
            "total_rows": sum(vendor.total_rows for vendor in normalized),
            "unpriced_skus": unpriced_skus,
            "warnings": dict(sorted(warning_counts.items())),
            "stage_times": {str(s): round(seconds, 3) for s, seconds in stage_times.items()},
            "duration_seconds": round(duration_seconds, 3),
            "completed_at": timestamp(completed_at),
        }
    )


def timestamp(moment: datetime) -> str:
    """Return an aware moment as ``YYYY-MM-DDTHH:MM:SS[.ffffff]Z`` in UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _identity(ctx: RunContext) -> dict[str, Any]:
    return {
        "run_id": ctx.run_id,
        "tenant_id": ctx.tenant_id,
        "config_version": ctx.config_version,
    }


def _document(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()


def _document_of_entries(head: Mapping[str, Any], entries: ReportEntries) -> bytes:
    """Write the head indented and each entry on one line: both people and programs read it."""
    top = json.dumps(head, ensure_ascii=False, indent=2).removesuffix("\n}")
    begin, end = (b"[\n    ", b"\n  ]") if entries else (b"[", b"]")
    rows = entries.joined(",\n    ")
    return b"".join([top.encode(), b',\n  "entries": ', begin, rows, end, b"\n}\n"])


def _reject_lines(vendor_id: str, batch: pa.RecordBatch) -> memoryview:
    numbers = whole_text(batch["row_number"].to_numpy())
    return lines([vendor_id, numbers, batch["error_codes"], quoted(batch["raw"])])
