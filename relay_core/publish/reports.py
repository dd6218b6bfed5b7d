"""The bytes of every report that a run writes, made from its findings."""

import hashlib
import json
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import accumulate, islice
from typing import Any

import pyarrow as pa

from relay_core.columnar import csv_text
from relay_core.columnar.text import offsets_and_bytes
from relay_core.config import Override
from relay_core.domain.codes import RunStatus
from relay_core.domain.limits import DEFAULT_LIMITS
from relay_core.domain.records import ENGINE_VERSION, Cause, RunContext, as_json
from relay_core.normalize.result import NormalizedVendor
from relay_core.publish.findings import RunFindings
from relay_core.validation.row_schemas import FILE
from relay_core.validation.vendor_failures import VendorState

INVALID_ROWS_COLUMNS = ("vendor_id", "row_number", "error_codes", "raw")
# The marks around and between the lines of an array in errors.json
_OPENING = "[\n    "
_SEPARATOR = ",\n    "
_CLOSING = "\n  ]"
_MAX_BATCH_ROWS = 1 << 16
_MAX_BATCH_BYTES = 4 << 20


# --- the config and the inputs --------------------------------------------------------


def config_snapshot_json(ctx: RunContext, document: Mapping[str, Any]) -> bytes:
    """Return config_snapshot.json: the config as it took effect."""
    return _document({**_identity(ctx), "tenant_config": document})


def input_manifest_json(
    ctx: RunContext,
    vendors: Mapping[str, Mapping[str, Any]],
    generated_at: str,
    overrides: Mapping[str, Any] | None = None,
    catalog: Mapping[str, Any] | None = None,
) -> bytes:
    """Return input_manifest.json: one entry an input, and the pins of the overrides.

    Entries come from `manifest_entry`, the overrides' pins from `overrides_pins`.
    ``catalog`` is the catalog's entry; None for a tenant without one.
    """
    manifest = {
        **_identity(ctx),
        "generated_at": generated_at,
        "overrides": overrides,
        "vendors": vendors,
    }
    if catalog is not None:
        manifest["catalog"] = catalog
    return _document(manifest)


def manifest_entry(
    pins: Mapping[str, Any],
    state: VendorState | None = None,
) -> dict[str, Any]:
    """Return a vendor's entry of the manifest: its pins and, once known, its state.

    The pins of several files are the last ones.
    """
    pins = dict(pins)
    files = {"files": pins.pop("files")} if "files" in pins else {}
    if state is None:
        outcome = {
            "status": pins["status"],
            "trouble": None,
            "last_good_run_id": None,
            "age_hours": None,
        }
        return {**pins, **outcome, **files}
    trouble = None
    if state.failure is not None:
        trouble = {
            "error_code": state.failure.error_code,
            "error_message": state.failure.error_message,
        }
    return {
        **pins,
        "status": str(state.status),
        "trouble": trouble,
        "last_good_run_id": state.last_good_run_id,
        "age_hours": state.age_hours,
        **files,
    }


def overrides_json(overrides: Sequence[Override]) -> bytes:
    """Return overrides.json: the overrides in effect for a run, by SKU."""
    entries = [override.as_reported() for override in overrides]
    return (as_json(entries) + "\n").encode()


def overrides_pins(
    version: int | None,
    overrides: Sequence[Override],
) -> dict[str, Any] | None:
    """Return the manifest's pins of the overrides in effect, or None for none."""
    if not overrides:
        return None
    digest = hashlib.sha256(overrides_json(overrides))
    return {
        "version": version,
        "count": len(overrides),
        "sha256": digest.hexdigest(),
    }


# --- errors and rejected rows ---------------------------------------------------------


def errors_json(ctx: RunContext, findings: RunFindings) -> bytes | None:
    """Return errors.json, or None if there is nothing to report.

    The document is within the limits of entries and bytes. ``counts`` also counts the
    entries that it leaves out.
    """
    failure = findings.failure
    limits = findings.scope.limits
    counts = Counter(entry.error_code for entry in findings.faults)
    counts.update(findings.counted_warnings())
    row_entries: list[str] = []
    for vendor in findings.reported_files:
        counts.update(vendor.fault_counts)
        missing_count = limits.report_entries - len(row_entries)
        row_entries += islice(vendor.entries, missing_count)
    entries = [
        *(fault.as_json() for fault in findings.faults),
        *(warning.as_json() for warning in findings.warnings),
        *row_entries,
    ]
    if failure is None and not entries:
        return None
    head: dict[str, Any] = {
        "run_id": ctx.run_id,
        "tenant_id": ctx.tenant_id,
        "error_code": failure.error_code if failure else None,
        "error_message": failure.error_message if failure else None,
        "counts": dict(sorted(counts.items())),
        "truncated": False,
    }
    causes = findings.causes(limits.report_causes)
    size_without_entries = len(_errors_document(head, causes, []))
    fitting_count = _fitting(
        entries,
        limits.report_bytes - size_without_entries,
    )
    entries = entries[:fitting_count]
    head["truncated"] = len(entries) < sum(counts.values())
    return _errors_document(head, causes, entries)


def _fitting(entries: Sequence[str], max_bytes: int) -> int:
    """Return the number of entries that add at most ``max_bytes`` to an empty array."""
    array_size = len(_OPENING + _CLOSING) - len("[]")
    # The last entry has no separator behind it.
    available = max_bytes - array_size + len(_SEPARATOR)
    sizes = (len(entry.encode()) + len(_SEPARATOR) for entry in entries)
    return bisect_right(list(accumulate(sizes)), available)


def _errors_document(
    head: Mapping[str, Any],
    causes: Sequence[Cause],
    entries: Sequence[str],
) -> bytes:
    """Return errors.json with one cause or entry a line, for people and programs."""
    indented_head = json.dumps(head, ensure_ascii=False, indent=2)
    cause_lines = [as_json(cause.as_dict()) for cause in causes]
    parts = [
        indented_head.removesuffix("\n}"),
        f'  "causes": {_array(cause_lines)}',
        f'  "entries": {_array(entries)}\n}}\n',
    ]
    return ",\n".join(parts).encode()


def _array(lines: Sequence[str]) -> str:
    if not lines:
        return "[]"
    return f"{_OPENING}{_SEPARATOR.join(lines)}{_CLOSING}"


def invalid_rows_chunks(
    normalized: Sequence[NormalizedVendor],
    *,
    escape_formulas: bool = False,
    has_files: bool = False,
) -> Iterator[bytes | memoryview]:
    """Yield invalid_rows.csv piece by piece: every rejected record, by vendor.

    With ``escape_formulas``, no spreadsheet takes a record for a formula. With
    ``has_files``, it has the names of files, because the input of a vendor of the
    config may have several.
    """
    columns: tuple[str, ...] = INVALID_ROWS_COLUMNS
    if has_files:
        columns = (*columns, FILE.name)
    yield csv_text.header_line(columns)
    for vendor in normalized:
        batches = vendor.rejected_rows.to_batches(max_chunksize=_MAX_BATCH_ROWS)
        for batch in batches:
            for part in _parts_of(batch):
                raw = part["raw"]
                if escape_formulas:
                    raw = csv_text.without_formulas(raw)
                fields = [
                    vendor.vendor_id,
                    csv_text.whole_text(part["row_number"].to_numpy()),
                    part["error_codes"],
                    csv_text.quoted(raw),
                ]
                if has_files:
                    fields.append(csv_text.quoted(vendor.file_names(part)))
                yield csv_text.lines(fields)


def _parts_of(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield a batch of rejected records in parts of some megabytes of text.

    Writing takes many times the memory of the text.
    """
    bounds, _ = offsets_and_bytes(batch["raw"])
    text_bytes = int(bounds[-1] - bounds[0])
    part_count = 1 + text_bytes // _MAX_BATCH_BYTES
    part_rows = math.ceil(batch.num_rows / part_count)
    for start in range(0, batch.num_rows, part_rows):
        yield batch.slice(start, part_rows)


# --- the summary ----------------------------------------------------------------------


def run_summary_json(
    ctx: RunContext,
    findings: RunFindings,
    *,
    status: RunStatus,
    stage_times: Mapping[str, float],
    duration_seconds: float,
    completed_at: datetime,
) -> bytes:
    """Return run_summary.json; times are in seconds, ``completed_at`` is aware."""
    guards = findings.guards
    changes = findings.changes
    summary: dict[str, Any] = {
        "engine_version": ENGINE_VERSION,
        **_identity(ctx),
        "status": str(status),
        "error_code": findings.failure.error_code if findings.failure else None,
        "attempt": ctx.attempt,
        **_summary_counts(findings),
        "guards": None,
        "changes": None,
        "stage_times": {
            str(stage): round(seconds, 3)
            for stage, seconds in stage_times.items()
        },
        "duration_seconds": round(duration_seconds, 3),
        "completed_at": timestamp(completed_at),
    }
    if guards is not None:
        summary["guards"] = [result.as_dict() for result in guards]
    if changes is not None:
        summary["changes"] = changes.as_dict()
    if findings.rules:
        summary["rules"] = [rule.as_dict() for rule in findings.rules]
    feed_limits = findings.scope.limits.of_feeds()
    if feed_limits != DEFAULT_LIMITS.of_feeds():
        summary["limits"] = feed_limits
    summary["rows"] = _rows_by_vendor(findings)
    summary["quarantined"] = findings.quarantined
    if findings.scope.has_catalog:
        catalog = findings.catalog
        summary["catalog"] = None if catalog is None else catalog.as_dict()
    if findings.scope.has_channels:
        summary["channels"] = findings.channel_rows()
    return _document(summary)


def _rows_by_vendor(findings: RunFindings) -> dict[str, dict[str, Any]]:
    """Return the counts of each vendor's rows for run_summary.json."""
    counts = dict(findings.rows)
    if findings.scope.has_catalog:
        # No row of a vendor without rows, or beside a faulty catalog, is taken out.
        counts = {
            vendor_id: replace(rows, unmatched=rows.unmatched or 0)
            for vendor_id, rows in counts.items()
        }
    return {vendor_id: rows.as_dict() for vendor_id, rows in counts.items()}


def _summary_counts(findings: RunFindings) -> dict[str, Any]:
    """Return the counts of vendors, rows, SKUs and warnings for run_summary.json."""
    counts = findings.counts()
    valid_rows = findings.valid_rows()
    return {
        "vendor_count": findings.scope.vendor_count,
        "vendor_record_counts": {
            vendor_id: valid_rows.get(vendor_id, 0)
            for vendor_id in findings.scope.vendor_ids
        },
        "record_count": counts["record_count"],
        "invalid_rows": counts["invalid_rows"],
        "total_rows": counts["total_rows"],
        "unpriced_skus": counts["unpriced_skus"],
        "warnings": dict(sorted(findings.counted_warnings().items())),
    }


# --- JSON -----------------------------------------------------------------------------


def timestamp(moment: datetime) -> str:
    """Return an aware moment as ``YYYY-MM-DDTHH:MM:SS[.ffffff]Z`` in UTC."""
    utc = moment.astimezone(UTC)
    return utc.replace(tzinfo=None).isoformat() + "Z"


def _identity(ctx: RunContext) -> dict[str, Any]:
    return {
        "run_id": ctx.run_id,
        "tenant_id": ctx.tenant_id,
        "config_version": ctx.config_version,
    }


def _document(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()
