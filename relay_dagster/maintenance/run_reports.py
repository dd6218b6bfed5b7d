"""Reports of runs that ended without writing them, because their process died."""

from contextlib import closing, suppress

from relay_core.config import TenantConfig
from relay_core.domain.codes import RunStatus
from relay_core.domain.errors import RelayError
from relay_core.publish.findings import RunFindings, RunScope
from relay_dagster.execution.bucket_sink import BucketSink
from relay_dagster.execution.concurrent_io import ConcurrentIO
from relay_dagster.runs.model import Outcome, RunRecord
from relay_dagster.wiring import Platform


def write_reports(platform: Platform, record: RunRecord) -> RunRecord:
    """Write an ended run's reports, and store that they are written.

    A run that succeeded, is held, or failed for its data wrote its own before its end.
    """
    outcome = Outcome()
    if record.status not in (RunStatus.SUCCEEDED, RunStatus.HELD):
        outcome = _write_missing(platform, record)
    artifacts = platform.objects.artifacts(record.run_id, record.tenant_id)
    written = Outcome(
        artifacts=artifacts,
        errors_artifact_key=artifacts.get("errors"),
        counts=outcome.counts,
    )
    return platform.ledger.messages.note_reports(record.run_id, written)


def _write_missing(platform: Platform, record: RunRecord) -> Outcome:
    """Write the reports of a run that failed or was cancelled; return their outcome."""
    with closing(ConcurrentIO(threads=2)) as io:
        sink = BucketSink(platform.objects, record.context, io)
        # An attempt that was about to end otherwise may have left files.
        sink.withdraw()
        findings = _findings(platform, record)
        if record.status is RunStatus.FAILED:
            findings = findings.failed(record.failure)
        finished_at = record.finished_at or record.requested_at
        return sink.write_last(findings, record, record.status, finished_at)


def _findings(platform: Platform, record: RunRecord) -> RunFindings:
    """Return the findings that are known from only the record and the config."""
    config = _config_of(platform, record)
    if config is None:
        return RunFindings(scope=RunScope(record.vendors or ()))
    vendor_ids = [vendor.vendor_id for vendor in config.vendors]
    selected = vendor_ids
    if record.vendors is not None:
        # A job from elsewhere may name vendors that the config does not have.
        selected = [name for name in vendor_ids if name in record.vendors]
    scope = RunScope(
        vendor_ids=selected,
        vendor_count=len(vendor_ids),
        of_all_vendors=record.vendors is None,
        has_quarantine=config.guards.quarantine is not None,
        timezone=config.timezone,
        limits=platform.settings.limits,
    )
    return RunFindings(scope=scope)


def _config_of(platform: Platform, record: RunRecord) -> TenantConfig | None:
    """Return the config that a run was pinned to, or None if it cannot be read."""
    if record.config_version is None:
        return None
    with suppress(RelayError):
        stored = platform.tenants.version(
            record.tenant_id,
            record.config_version,
        )
        if stored is not None:
            return platform.tenants.parsed(stored)
    return None
