"""The bytes of every report that a run writes, made of its findings."""

import hashlib
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate, chain, islice
from typing import Any

from relay_core.columnar.csv_text import header_line, lines, quoted, whole_text
from relay_core.columnar.text import offsets_and_bytes
from relay_core.config import Override
from relay_core.domain.codes import RunStatus
from relay_core.domain.limits import DEFAULT_LIMITS
from relay_core.domain.records import ENGINE_VERSION, Cause, RunContext, as_json
from relay_core.normalize.result import NormalizedVendor
from relay_core.publish.findings import RunFindings
from relay_core.validation.vendor_failures import VendorState

_BETWEEN = ",\n    "
_OPENING, _CLOSING = "[\n    ", "\n  ]"
_BRACKETS = len(_OPENING + _CLOSING) - len("[]")
_ROWS_AT_ONCE, _BYTES_AT_ONCE = 1 << 16, 4 << 20
INVALID_ROWS_COLUMNS = ("vendor_id", "row_number", "error_codes", "raw")


def config_snapshot_json(ctx: RunContext, document: Mapping[str, Any]) -> bytes:
    """Return config_snapshot.json: the config as it took effect."""
    return _document({**_identity(ctx), "tenant_config": document})


def input_manifest_json(
    ctx: RunContext,
    vendors: Mapping[str, Mapping[str, Any]],
    generated_at: str,
    overrides: Mapping[str, Any] | None = None,
) -> bytes:
    """Return input_manifest.json: each vendor's file, what is used of it, the overrides' pins."""
    head = {**_identity(ctx), "generated_at": generated_at, "overrides": overrides}
    return _document({**head, "vendors": vendors})


def manifest_entry(
    pins: Mapping[str, Any], state: VendorState | None = None
) -> dict[str, Any]:
    """Return a vendor's entry of the manifest: its pins, and what is used of it, once known."""
    failure = None if state is None else state.failure
    return {
        **pins,
        "status": pins["status"] if state is None else str(state.status),
        "trouble": failure
        and {"error_code": failure.error_code, "error_message": failure.error_message},
        "last_good_run_id": None if state is None else state.last_good_run_id,
        "age_hours": None if state is None else state.age_hours,
    }


def errors_json(ctx: RunContext, findings: RunFindings) -> bytes | None:
    """Return errors.json within the limits of entries and bytes; None with nothing to report."""
    failure, warnings, limits = findings.failure, findings.warnings, findings.limits
    counts = Counter(entry.error_code for entry in findings.faults)
    counts.update(findings.counted_warnings())
    for vendor in findings.uploads:
        counts.update(vendor.fault_counts)
    rows = chain.from_iterable(vendor.entries for vendor in findings.uploads)
    entries = [entry.as_json() for entry in (*findings.faults, *warnings)]
    entries += islice(rows, limits.report_entries)
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
    room = limits.report_bytes - len(_errors_document(head, causes, [])) - _BRACKETS
    sizes = accumulate(len(entry.encode()) + len(_BETWEEN) for entry in entries)
    entries = entries[: bisect_right(list(sizes), room + len(_BETWEEN))]
    head["truncated"] = len(entries) < sum(counts.values())
    return _errors_document(head, causes, entries)


def invalid_rows_chunks(
    normalized: Sequence[NormalizedVendor],
) -> Iterator[bytes | memoryview]:
    """Yield invalid_rows.csv piece by piece: every rejected record, in the order of vendors."""
    yield header_line(INVALID_ROWS_COLUMNS)
    for vendor in normalized:
        for batch in vendor.rejected_rows.to_batches(max_chunksize=_ROWS_AT_ONCE):
            # Not too much text at once: what is written takes many times it.
            bounds, _ = offsets_and_bytes(batch["raw"])
            rows = -(
                -batch.num_rows // (1 + int(bounds[-1] - bounds[0]) // _BYTES_AT_ONCE)
            )
            for start in range(0, batch.num_rows, rows):
                piece = batch.slice(start, rows)
                numbers = whole_text(piece["row_number"].to_numpy())
                texts = [numbers, piece["error_codes"], quoted(piece["raw"])]
                yield lines([vendor.vendor_id, *texts])


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
    counts, limits = findings.counts(), findings.limits.of_feeds()
    valid, guards, changes = findings.valid_rows(), findings.guards, findings.changes
    return _document(
        {
            "engine_version": ENGINE_VERSION,
            **_identity(ctx),
            "status": str(status),
            "error_code": findings.failure.error_code if findings.failure else None,
            "attempt": ctx.attempt,
            "vendor_count": findings.vendor_count,
            "vendor_record_counts": {
                one: valid.get(one, 0) for one in findings.vendor_ids
            },
            "record_count": counts["record_count"],
            "invalid_rows": counts["invalid_rows"],
            "total_rows": counts["total_rows"],
            "unpriced_skus": counts["unpriced_skus"],
            "warnings": dict(sorted(findings.counted_warnings().items())),
            "guards": None
            if guards is None
            else [result.as_dict() for result in guards],
            "changes": None if changes is None else changes.as_dict(),
            "stage_times": {
                str(s): round(seconds, 3) for s, seconds in stage_times.items()
            },
            "duration_seconds": round(duration_seconds, 3),
            "completed_at": timestamp(completed_at),
            **(
                {"rules": [rule.as_dict() for rule in findings.rules]}
                if findings.rules
                else {}
            ),
            **({} if limits == DEFAULT_LIMITS.of_feeds() else {"limits": limits}),
            "rows": {name: rows.as_dict() for name, rows in findings.rows.items()},
            "quarantined": findings.quarantined,
        }
    )


def overrides_json(overrides: Sequence[Override]) -> bytes:
    """Return overrides.json: what a run uses of a tenant's overrides, by SKU."""
    return (as_json([one.as_dict() for one in overrides]) + "\n").encode()


def overrides_pins(
    version: int | None, overrides: Sequence[Override]
) -> dict[str, Any] | None:
    """Return what a manifest says of the overrides that a run uses; None for none."""
    if not overrides:
        return None
    digest = hashlib.sha256(overrides_json(overrides)).hexdigest()
    return {"version": version, "count": len(overrides), "sha256": digest}


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


def _errors_document(
    head: Mapping[str, Any], causes: Sequence[Cause], entries: Sequence[str]
) -> bytes:
    """Write the head indented, each cause and each entry on a line: people and programs read it."""
    top = json.dumps(head, ensure_ascii=False, indent=2).removesuffix("\n}")
    listed_causes = _array([as_json(cause.as_dict()) for cause in causes])
    return f'{top},\n  "causes": {listed_causes},\n  "entries": {_array(entries)}\n}}\n'.encode()


def _array(lines: Sequence[str]) -> str:
    return f"{_OPENING}{_BETWEEN.join(lines)}{_CLOSING}" if lines else "[]"
