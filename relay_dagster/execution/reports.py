"""What a run leaves in the bucket beside its inputs: CSVs, work files and the JSON reports.

The bytes come from the engine; here is only which of them a run writes, and under which name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from relay_core.domain.models import ReportEntry, RunContext, RunFailure, RunStatus
from relay_core.merge.result import MergedInventory
from relay_core.normalize.result import WORK_FILE, NormalizedVendor
from relay_core.publish.reports import (
    ArtifactKeys,
    config_snapshot_json,
    errors_json,
    has_invalid_rows,
    invalid_rows_chunks,
    run_summary_json,
)
from relay_dagster.aws.s3.object_store import ObjectStore
from relay_dagster.execution.concurrent_io import ConcurrentIO
from relay_dagster.runs.model import Outcome

CSV = "text/csv; charset=utf-8"
JSON = "application/json"


@dataclass
class Findings:
    """What a run has found out so far: all that its reports are made of."""

    vendor_ids: Sequence[str] = ()
    vendor_count: int = 0
    faults: Sequence[ReportEntry] = ()
    warnings: Sequence[ReportEntry] = ()
    warning_counts: Mapping[str, int] = field(default_factory=dict)
    normalized: Sequence[NormalizedVendor] = ()
    record_count: int = 0
    unpriced_skus: int = 0
    feed_sha256: str | None = None

    def take(self, merged: MergedInventory) -> None:
        """Add what merging has found."""
        self.faults, self.warnings = merged.faults, merged.warnings
        self.warning_counts = merged.warning_counts
        self.unpriced_skus, self.record_count = merged.unpriced_skus, merged.record_count

    def take_failed(self, normalized: Sequence[NormalizedVendor]) -> None:
        """Add what the vendors of a run that cannot be merged have found."""
        self.faults = [vendor.fault for vendor in normalized if vendor.fault is not None]
        more = [entry for vendor in normalized for entry in vendor.warnings]
        self.warnings = [*self.warnings, *more]

    def counts(self) -> dict[str, int]:
        """Return the numbers that the record shows."""
        return {
            "record_count": self.record_count,
            "total_rows": sum(vendor.total_rows for vendor in self.normalized),
            "invalid_rows": sum(vendor.invalid_rows for vendor in self.normalized),
            "unpriced_skus": self.unpriced_skus,
        }


class RunReports:
    """Writes one run's files, from any thread, and remembers which of them are artifacts.

    Args:
        objects: the bucket.
        ctx: the run.
    """

    def __init__(self, objects: ObjectStore, ctx: RunContext) -> None:
        self._objects = objects
        self.ctx = ctx
        self.keys = ArtifactKeys(ctx.run_id, ctx.tenant_id)
        self.artifacts: dict[str, str] = {}

    def uri(self, key: str) -> str:
        """Return the ``s3://`` address of a key."""
        return self._objects.uri(key)

    def write_snapshot(self, document: Mapping[str, Any]) -> None:
        """Write the config as it took effect."""
        body = config_snapshot_json(self.ctx, document)
        self._write("config_snapshot", self.keys.config_snapshot, [body], JSON)

    def write_vendor(self, vendor: NormalizedVendor) -> None:
        """Write what the next step needs of a vendor, and its normalized.csv if it has one."""
        for name, chunks in vendor.work_files().items():
            self._objects.put_stream(self.keys.work(vendor.vendor_id, name), chunks)
        if vendor.outcome == "parsed":
            key = self.keys.normalized(vendor.vendor_id)
            self._write(f"normalized_{vendor.vendor_id}", key, vendor.csv_chunks(), CSV)

    def read_vendor(self, vendor_id: str) -> NormalizedVendor:
        """Read a vendor back from its work file.

        Raises:
            FileNotFoundError: it has none; normalizing has not come so far.
        """
        data = self._objects.read_or_none(self.keys.work(vendor_id, WORK_FILE))
        if data is None:
            raise FileNotFoundError(
                f"vendor {vendor_id!r} has no work file in this run; "
                "materialize normalized_inventory as well"
            )
        return NormalizedVendor.from_work_files({WORK_FILE: data})

    def write_invalid_rows(self, normalized: Sequence[NormalizedVendor]) -> None:
        """Write every refused record, where there is one."""
        if has_invalid_rows(normalized):
            chunks = invalid_rows_chunks(normalized)
            self._write("invalid_rows", self.keys.invalid_rows, chunks, CSV)

    def write_merged(self, merged: MergedInventory) -> str:
        """Write the merged feed; return its sha256."""
        key = self.keys.merged_inventory
        return self._write("merged_inventory", key, merged.csv_chunks(), CSV)

    def withdraw_merged(self) -> None:
        """Take the merged feed of a run away that has not succeeded after all."""
        self._objects.delete(self.keys.merged_inventory)
        self.artifacts.pop("merged_inventory", None)

    def write_json(
        self,
        findings: Findings,
        *,
        status: RunStatus,
        failure: RunFailure | None,
        stage_times: Mapping[str, float],
        duration_seconds: float,
        now: datetime,
        io: ConcurrentIO | None = None,
    ) -> Outcome:
        """Write errors.json, if there is something to tell, and run_summary.json.

        With ``io`` they are written at once.

        Returns:
            What the run's record is to keep.
        """
        errors = errors_json(
            self.ctx,
            failure,
            faults=findings.faults,
            warnings=findings.warnings,
            warning_counts=findings.warning_counts,
            normalized=findings.normalized,
        )
        summary = run_summary_json(
            self.ctx,
            status=status,
            error_code=failure.error_code if failure else None,
            vendors=findings.vendor_ids,
            vendor_count=findings.vendor_count,
            normalized=findings.normalized,
            record_count=findings.record_count,
            unpriced_skus=findings.unpriced_skus,
            warning_counts=findings.warning_counts or _counted(findings.warnings),
            stage_times=stage_times,
            duration_seconds=duration_seconds,
            completed_at=now,
        )
        bodies = [] if errors is None else [("errors", self.keys.errors, errors)]
        bodies.append(("run_summary", self.keys.run_summary, summary))

        def write(body: tuple[str, str, bytes]) -> None:
            name, key, data = body
            self._write(name, key, [data], JSON)

        if io is None:
            for body in bodies:
                write(body)
        else:
            io.map(write, bodies)
        return Outcome(
            artifacts=dict(self.artifacts),
            errors_artifact_key=self.artifacts.get("errors"),
            counts=findings.counts(),
            feed_sha256=findings.feed_sha256,
        )

    def _write(
        self, name: str, key: str, chunks: Iterable[bytes | memoryview], content_type: str
    ) -> str:
        written = self._objects.put_stream(key, chunks, content_type=content_type)
        self.artifacts[name] = key
        return written.sha256


def _counted(warnings: Sequence[ReportEntry]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in warnings:
        counts[entry.error_code] = counts.get(entry.error_code, 0) + 1
    return counts
