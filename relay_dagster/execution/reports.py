"""A run's files in the bucket: they are written beside its steps, and its artifacts are listed.

The bytes come from the engine; `RunReports` is the sink that its stages write to.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import PurePosixPath

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import RunContext
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.vendor import WORK_FILE, read_work_file
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import MERGED_INVENTORY, ArtifactKeys
from relay_core.publish.report.content import report_html
from relay_core.publish.reports import errors_json, run_summary_json
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.execution.concurrent_io import ConcurrentIO
from relay_dagster.runs.model import Outcome

JSON = "application/json"
_CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "json": JSON,
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "tsv": "text/tab-separated-values; charset=utf-8",
}


class RunReports:
    """Writes one run's files, from any thread."""

    def __init__(self, objects: ObjectStore, ctx: RunContext, io: ConcurrentIO) -> None:
        self.objects = objects
        self.io = io
        self.ctx = ctx
        self.keys = ArtifactKeys(ctx.run_id, ctx.tenant_id)
        self.artifacts: dict[str, str] = {}
        self._feed_sha256: str | None = None

    def uri(self, key: str) -> str:
        """Return the ``s3://`` address of a key."""
        return self.objects.uri(key)

    @property
    def feed_format(self) -> str | None:
        """The format of the merged feed that is written; None if none is."""
        key = self.artifacts.get(MERGED_INVENTORY)
        return None if key is None else PurePosixPath(key).suffix[1:]

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Begin to write a file; an artifact is listed once it is written."""

        def put() -> None:
            name = self.keys.artifact_name(key)
            content_type = _CONTENT_TYPES[PurePosixPath(key).suffix[1:]] if name else None
            written = self.objects.put_stream(key, chunks, content_type=content_type)
            if name:
                self.artifacts[name] = key
            if name == MERGED_INVENTORY:
                self._feed_sha256 = written.sha256

        self.io.start(put)

    def wait(self) -> None:
        """Wait until all begun files are written."""
        self.io.wait()

    def read_vendor(self, vendor_id: str) -> NormalizedVendor:
        """Read a vendor back from its work file; `FileNotFoundError` where there is none yet."""
        data = self.objects.read_or_none(self.keys.work(vendor_id, WORK_FILE))
        if data is None:
            raise FileNotFoundError(
                f"vendor {vendor_id!r} has no work file in this run; "
                "materialize normalized_inventory as well"
            )
        return read_work_file(data)

    def withdraw_merged(self) -> None:
        """Delete the feed of a run that has not succeeded after all, and its file of changes."""
        feeds = [each.key for each in self.objects.list_objects(self.keys.outputs)]
        for key in (*feeds, self.keys.changes):
            self.objects.delete(key)
            self.artifacts.pop(self.keys.artifact_name(key), None)

    def write_last(
        self,
        findings: RunFindings,
        *,
        status: RunStatus,
        stage_times: Mapping[str, float],
        duration_seconds: float,
        now: datetime,
    ) -> Outcome:
        """Write errors.json (if any), run_summary.json, report.html; return the run's outcome."""
        errors = errors_json(self.ctx, findings)
        summary = run_summary_json(
            self.ctx,
            findings,
            status=status,
            stage_times=stage_times,
            duration_seconds=duration_seconds,
            completed_at=now,
        )
        if errors is not None:
            self.write(self.keys.errors, [errors])
        self.write(self.keys.run_summary, [summary])
        self.write(self.keys.report, [report_html(self.ctx, findings, status)])
        self.wait()
        return Outcome(
            artifacts=dict(self.artifacts),
            errors_artifact_key=self.artifacts.get("errors"),
            counts=findings.counts(),
            vendor_results=findings.vendor_results(self.ctx.requested_at),
            changes=None if findings.changes is None else findings.changes.counts,
            feed_sha256=self._feed_sha256,
        )
