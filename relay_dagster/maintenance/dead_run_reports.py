"""Reports of a run that could not write its own: killed, poisoned by the reconciler, cancelled.

The record and the config are their only sources: the data that the run had read is lost.
"""

from contextlib import closing, suppress

from relay_core.domain.codes import RunStatus
from relay_core.domain.errors import RelayError
from relay_core.publish.findings import RunFindings
from relay_dagster.execution.concurrent_io import ConcurrentIO
from relay_dagster.execution.publication import withdraw
from relay_dagster.execution.reports import RunReports
from relay_dagster.runs.model import Outcome, RunRecord
from relay_dagster.wiring import Platform


def write_reports(platform: Platform, record: RunRecord) -> RunRecord:
    """Write an ended run's reports, and store that they are written.

    A run that succeeded, is held, or failed for its data wrote its own before its end.
    """
    outcome = Outcome()
    if record.status not in (RunStatus.SUCCEEDED, RunStatus.HELD):
        withdraw(platform.objects, record)
        # Files there may be of an attempt that was about to end otherwise.
        with closing(ConcurrentIO(threads=2)) as io:
            outcome = _write(platform, RunReports(platform.objects, record.context, io), record)
    artifacts = platform.objects.artifacts(record.run_id, record.tenant_id)
    return platform.ledger.note_reports(
        record.run_id,
        Outcome(
            artifacts=artifacts,
            errors_artifact_key=artifacts.get("errors"),
            counts=outcome.counts,
        ),
    )


def _write(platform: Platform, reports: RunReports, record: RunRecord) -> Outcome:
    reports.withdraw_merged()
    findings = _findings(platform, record)
    if record.status is RunStatus.FAILED:
        findings.fail(record.failure)
    finished = record.finished_at or record.requested_at
    started = record.started_at or record.requested_at
    return reports.write_last(
        findings,
        status=record.status,
        stage_times=record.stage_times(finished),
        duration_seconds=(finished - started).total_seconds(),
        now=finished,
    )


def _findings(platform: Platform, record: RunRecord) -> RunFindings:
    stored, config = None, None
    if record.config_version is not None:
        stored = platform.tenants.version(record.tenant_id, record.config_version)
    if stored is not None:
        with suppress(RelayError):
            config = platform.tenants.parsed(stored)
    if config is None:
        return RunFindings(vendor_ids=record.vendors or ())
    # A job from elsewhere may name vendors that the config does not have.
    chosen = [
        vendor.vendor_id
        for vendor in config.vendors
        if record.vendors is None or vendor.vendor_id in record.vendors
    ]
    return RunFindings(
        vendor_ids=chosen,
        vendor_count=len(config.vendors),
        of_all_vendors=record.vendors is None,
        limits=platform.settings.limits,
    )
