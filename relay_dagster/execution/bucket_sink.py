"""A run's files in the bucket: the sink that the engine's stages write to.

The bytes of the files come from the engine. They are written beside the run's steps.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import PurePosixPath

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import RunContext
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.work_file import WORK_FILE, read_work_file
from relay_core.publish.artifacts import (
    CHANNEL,
    CONTENT_TYPES,
    FEED,
    artifact_named,
)
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.reports import errors_json, run_summary_json
from relay_core.report.contents import report_of
from relay_core.report.files import files_of
from relay_core.report.html import report_html
from relay_core.report.report import Report, report_json
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.execution.concurrent_io import ConcurrentIO
from relay_dagster.execution.published_copies import unpublish
from relay_dagster.runs.model import ChannelFile, Outcome, RunRecord


class BucketSink:
    """Writes the files of one run, from any thread."""

    def __init__(
        self,
        objects: ObjectStore,
        context: RunContext,
        io: ConcurrentIO,
    ) -> None:
        self.objects = objects
        self.io = io
        self.context = context
        self.keys = ArtifactKeys(context.run_id, context.tenant_id)
        # The keys of written artifacts, by name
        self.artifacts: dict[str, str] = {}
        # The report of the run, once the run has ended
        self.report: Report | None = None
        # The hashes of the feed and of its channels, by the artifacts' names
        self._sha256_by_name: dict[str, str] = {}

    @property
    def feed_format(self) -> str | None:
        """Return the format of the merged feed, or None if no feed is written."""
        key = self.artifacts.get(FEED.name)
        return None if key is None else PurePosixPath(key).suffix[1:]

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Begin to write a file; an artifact is listed once it is written."""
        self.io.start(self._put, key, chunks)

    def _put(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        name = self.keys.artifact_name(key)
        content_type = None
        if name:
            content_type = CONTENT_TYPES[PurePosixPath(key).suffix]
        written = self.objects.put_stream(
            key,
            chunks,
            content_type=content_type,
        )
        if name:
            self.artifacts[name] = key
        if artifact_named(name) in (FEED, CHANNEL):
            self._sha256_by_name[name] = written.sha256

    def channels(self, findings: RunFindings) -> tuple[ChannelFile, ...]:
        """Return the files of channels that are written, in the config's order."""
        channel_files = []
        for channel in findings.channels:
            name = CHANNEL.name_for(channel=channel.channel_id)
            file_name = PurePosixPath(self.artifacts[name]).name
            channel_files.append(
                ChannelFile(
                    channel_id=channel.channel_id,
                    suffix=file_name.removeprefix(f"{channel.channel_id}."),
                    sha256=self._sha256_by_name[name],
                    rows=channel.rows,
                ),
            )
        return tuple(channel_files)

    def wait(self) -> None:
        """Wait until all files are written; raise the first error."""
        self.io.wait()

    def read_vendor(self, vendor_id: str) -> NormalizedVendor:
        """Return a vendor's rows from its work file.

        Raises:
            FileNotFoundError: the run has no such file yet.
        """
        data = self.objects.read_or_none(self.keys.work(vendor_id, WORK_FILE))
        if data is None:
            raise FileNotFoundError(
                f"vendor {vendor_id!r} has no work file in this run; "
                "materialize normalized_inventory as well",
            )
        return read_work_file(data)

    def withdraw(self) -> None:
        """Delete the feed, its changes and its published copies.

        This is for a run that has not succeeded after all.
        """
        keys = [
            output.key
            for output in self.objects.list_objects(self.keys.outputs)
        ]
        keys.append(self.keys.changes)
        for key in keys:
            self.objects.delete(key)
            self.artifacts.pop(self.keys.artifact_name(key), None)
        unpublish(self.objects, self.keys)

    def _report_for_people(
        self,
        findings: RunFindings,
        status: RunStatus,
        other_reports: Iterable[str],
    ) -> dict[str, bytes]:
        """Return report.json and report.html by key; they list the run's files.

        ``other_reports`` are the keys of the files that are written with them.
        """
        keys = self.keys
        new_keys = (*other_reports, keys.report_data, keys.report)
        written = {keys.artifact_name(key): key for key in new_keys}
        paths = {
            name: key.removeprefix(keys.prefix)
            for name, key in {**self.artifacts, **written}.items()
        }
        report = report_of(self.context, findings, status, files_of(paths))
        self.report = report
        return {
            keys.report_data: report_json(report),
            keys.report: report_html(report),
        }

    def write_last(
        self,
        findings: RunFindings,
        record: RunRecord,
        status: RunStatus,
        now: datetime,
    ) -> Outcome:
        """Write the reports of a run that ends, and return its outcome.

        They are errors.json, if there are errors, run_summary.json, report.json and
        report.html.
        """
        started_at = record.started_at or record.requested_at
        errors = errors_json(self.context, findings)
        summary = run_summary_json(
            self.context,
            findings,
            status=status,
            stage_times=record.stage_times(now),
            duration_seconds=(now - started_at).total_seconds(),
            completed_at=now,
        )
        reports = {self.keys.run_summary: summary}
        if errors is not None:
            reports[self.keys.errors] = errors
        reports |= self._report_for_people(findings, status, reports)
        for key, content in reports.items():
            self.write(key, [content])
        self.io.wait()
        return Outcome(
            artifacts=dict(self.artifacts),
            errors_artifact_key=self.artifacts.get("errors"),
            counts=findings.counts(),
            vendor_results=findings.vendor_results(self.context.requested_at),
            changes=None
            if findings.changes is None
            else findings.changes.counts,
            feed_sha256=self._sha256_by_name.get(FEED.name),
        )
