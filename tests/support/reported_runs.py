"""Runs through the engine, for what their reports say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from relay_core.config import load_config
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.reports import errors_json, run_summary_json
from relay_core.publish.state import Baseline, read_state
from relay_core.report.contents import report_of
from relay_core.report.html import report_html
from relay_core.report.report import Report
from relay_core.run_stages import RunStages
from relay_core.validation.vendor_failures import VendorInput
from support.builders import (
    REQUESTED_AT,
    config_document,
    feed,
    run_context,
    vendor_document,
)
from support.memory_sink import MemorySink

KEYS = ArtifactKeys("", "")
FORGIVING = {"max_invalid_rows": 1_000_000, "max_invalid_row_pct": "1.0"}


@dataclass
class ReportedRun(MemorySink):
    """A run's files, and what it has found out."""

    findings: RunFindings = field(default_factory=RunFindings)

    @property
    def baseline(self) -> Baseline:
        """The state of its feed."""
        return read_state(self.files[KEYS.state], keeps_rows=True)

    @property
    def report(self) -> Report:
        """Its report."""
        return report_of(run_context(), self.findings, self.findings.status)

    @property
    def html(self) -> bytes:
        """Its report as a page."""
        return report_html(self.report)


def compared_report(published: Sequence[str], records: Sequence[str]) -> Report:
    """Return the report of a feed of some records that follows a published one."""
    before = go_through({"north": feed(*published)})
    run = go_through({"north": feed(*records)}, baseline=before.baseline)
    return run.report


def summary_of(findings: RunFindings) -> dict[str, Any]:
    """Return the summary of a run that took no time."""
    body = run_summary_json(
        run_context(),
        findings,
        status=findings.status,
        stage_times={},
        duration_seconds=0,
        completed_at=REQUESTED_AT,
    )
    return dict(json.loads(body))


def errors_of(findings: RunFindings) -> dict[str, Any]:
    """Return the report of a run's errors, which it must have."""
    body = errors_json(run_context(), findings)
    assert body is not None
    return dict(json.loads(body))


def go_through(
    feeds: Mapping[str, bytes],
    *,
    vendors: Mapping[str, Mapping[str, Any]] | None = None,
    baseline: Baseline | None = None,
    uploaded_at: Mapping[str, datetime] | None = None,
    **changes: Any,
) -> ReportedRun:
    """Take a run through its stages.

    Args:
        feeds: by vendor.
        vendors: the config's, by id, with what is changed of each; those of the feeds by default.
        baseline: the published feed.
        uploaded_at: when uploads came.
        changes: of the config.
    """
    documents = [
        vendor_document(name, **options)
        for name, options in (vendors or {name: {} for name in feeds}).items()
    ]
    document = config_document(
        *documents, **{"error_policy": FORGIVING, **changes}
    )
    return go_through_document(
        document, feeds, baseline=baseline, uploaded_at=uploaded_at
    )


def go_through_document(
    document: Mapping[str, Any],
    feeds: Mapping[str, bytes],
    *,
    baseline: Baseline | None = None,
    uploaded_at: Mapping[str, datetime] | None = None,
) -> ReportedRun:
    """Take a run of a whole config through its stages, as `go_through` does."""
    config = load_config(document)
    run = ReportedRun()
    stages = RunStages(
        config, config.vendors, REQUESTED_AT, KEYS, run, baseline=baseline
    )
    came = uploaded_at or {}
    values = stages.go_through(
        {
            name: VendorInput.of_one(len(data), came.get(name))
            for name, data in feeds.items()
        },
        lambda inputs: (
            VendorFeed.of_one(config.vendor(name), feeds[name], "f.csv")
            for name in inputs.to_read()
        ),
    )
    run.findings = stages.findings(values)
    if values.merged is not None:
        assert values.compared is not None
        assert values.normalized is not None
        stages.write_state(
            KEYS.state, values.compared, values.normalized, run_context()
        )
    return run
