"""A candidate: one run of the engine over a tenant's inputs, and the files that it leaves."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from local.request import Request, _configured_maps
from local.run import KEYS, run
from relay_core.domain.records import RunContext
from relay_core.publish.findings import RunFindings
from relay_core.publish.state import read_state
from relay_dagster.component.folders import FeedFolder
from relay_dagster.component.sources import SourceFiles
from relay_dagster.component.tables import reading_tables
from relay_dagster.component.tenants import Tenant
from relay_dagster.mapped_files import InputFile


@dataclass(frozen=True)
class CandidateRun:
    """The end of a run.

    Attributes:
        tenant: The tenant.
        findings: The findings of the run.
        folder: The folder, which has the reports of the run.
        sha256: The SHA-256 of the candidate's feed; empty if the run failed.
    """

    tenant: Tenant
    findings: RunFindings
    folder: FeedFolder
    sha256: str


def run_candidate(
    tenant: Tenant,
    values: Mapping[dg.AssetKey, Any],
    run_id: str,
    started_at: datetime,
) -> CandidateRun:
    """Run the engine over a tenant's inputs, and write the reports and the candidate.

    Args:
        tenant: The tenant.
        values: The values of the assets that inputs name, by key.
        run_id: The ID of the run.
        started_at: The time of the run, aware.

    Raises:
        InputUnusableError: An input gives something that is not a file.
        FolderUnusableError: The folder cannot be read or written.
    """
    folder = FeedFolder(tenant.folder)
    state = folder.state()
    baseline = None if state is None else read_state(state, keeps_rows=True)
    with tempfile.TemporaryDirectory(prefix="relay-") as scratch:
        copies = Path(scratch, "inputs")
        copies.mkdir()
        reader = SourceFiles(tenant.limits, copies, values)
        files = {
            name: [file]
            for name, source in tenant.inputs.items()
            if (file := reader.file_of(name, source)) is not None
        }
        tree = Path(scratch, "run")
        config = reading_tables(tenant.config, reader.tables)
        request = Request(
            {},
            config,
            "",
            RunContext(run_id, config.tenant_id, started_at),
            files,
            _configured_maps(
                config, tenant.config_folder, files, tenant.limits
            ),
            baseline,
            tenant.limits,
            0,
        )
        findings = run(request, tree).findings
        folder.report_run(tree)
        if findings.failure is not None:
            return CandidateRun(tenant, findings, folder, "")
        folder.keep_candidate(tree)
        feed = InputFile.at(tree / KEYS.merged_inventory(config.output.format))
        return CandidateRun(tenant, findings, folder, feed.sha256())
