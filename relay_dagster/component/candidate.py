"""A candidate: one run of the engine over a tenant's inputs, and the files that it leaves."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from relay_core.config.inputs.tenant_inputs import inputs_of
from relay_core.domain.records import RunContext
from relay_core.library.functions import load_pandas
from relay_core.library.inputs import (
    InputFiles,
    configured_feeds,
    configured_maps,
    locations_of,
)
from relay_core.library.requests import Request
from relay_core.library.runner import KEYS, LocalRun, Means, run
from relay_core.library.sinks import FolderSink
from relay_core.mapped_files import InputFile
from relay_core.publish.findings import RunFindings
from relay_core.publish.state import Baseline, read_state
from relay_core.run_stages import RunStages
from relay_dagster.component.folders import FeedFolder
from relay_dagster.component.sources import SourceFiles
from relay_dagster.component.tables import reading_tables
from relay_dagster.component.tenants import Tenant

_NO_INPUT = "the input {name}, which the component does not have"


@dataclass(frozen=True)
class CandidateRun:
    """The end of a run.

    Attributes:
        tenant: The tenant.
        run_id: The ID of the run.
        local_run: The findings, the report, and the values of the run.
        headers: The columns of each input that was a table, by its name.
        folder: The folder, which has the reports of the run.
        sha256: The SHA-256 of the candidate's feed; empty if the run failed.
    """

    tenant: Tenant
    run_id: str
    local_run: LocalRun
    headers: Mapping[str, Sequence[str]]
    folder: FeedFolder
    sha256: str

    @property
    def findings(self) -> RunFindings:
        """The findings of the run."""
        return self.local_run.findings


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
        ContractBrokenError: The feed breaks its contract.
    """
    load_pandas()
    folder = FeedFolder(tenant.folder)
    with tempfile.TemporaryDirectory(prefix="relay-") as scratch:
        copies = Path(scratch, "inputs")
        copies.mkdir()
        reader = SourceFiles(tenant.limits, copies, values)
        request = _request(tenant, reader, folder, run_id, started_at)
        tree = Path(scratch, "run")
        local_run = _run_into(tree, request)
        folder.report_run(tree)
        sha256 = ""
        if local_run.findings.failure is None:
            folder.keep_candidate(tree)
            feed_path = KEYS.merged_inventory(tenant.config.output.format)
            sha256 = InputFile.at(tree / feed_path).sha256()
    return CandidateRun(
        tenant,
        run_id,
        local_run,
        reader.headers,
        folder,
        sha256,
    )


def _request(
    tenant: Tenant,
    reader: SourceFiles,
    folder: FeedFolder,
    run_id: str,
    started_at: datetime,
) -> Request:
    """Return the request of a run, with the files of the inputs and the live feed's state."""
    baseline = _baseline(folder)
    files = _input_files(tenant, reader)
    return Request(
        {},
        reading_tables(tenant.config, reader.headers),
        RunContext(run_id, tenant.config.tenant_id, started_at),
        files,
        baseline=baseline,
        limits=tenant.limits,
    )


def _baseline(folder: FeedFolder) -> Baseline | None:
    """Return the state of the live feed, or None if there is none."""
    state = folder.state()
    return None if state is None else read_state(state, keeps_rows=True)


def _input_files(tenant: Tenant, reader: SourceFiles) -> InputFiles:
    """Return the files of the inputs; those without a source are the config's own."""
    config = tenant.config
    config_folder = tenant.config_folder
    feeds = configured_feeds(
        config,
        config_folder,
        tenant.inputs.keys(),
        tenant.limits,
    )
    inputs = inputs_of(config)
    for name, source in tenant.inputs.items():
        file = reader.file_of(name, source)
        if file is None:
            continue
        if inputs[name].part.max_feed_age_hours is None:
            # Without a limit of its age, an object is as any file of this machine.
            file = replace(file, uploaded_at=None)
        feeds[name] = [file]
    return InputFiles(
        feeds,
        configured_maps(config, config_folder, feeds, tenant.limits),
        {
            **locations_of(config, config_folder, _NO_INPUT),
            **{name: str(source) for name, source in tenant.inputs.items()},
        },
    )


def _run_into(tree: Path, request: Request) -> LocalRun:
    """Run the engine, and write its files below a folder.

    A feed on hold has its state there, too: it is needed as soon as the feed is released.
    """
    with FolderSink(tree) as sink:
        local_run = run(request, Means(sink))
        values = local_run.values
        config = request.config
        if (
            config is None
            or values.compared is None
            or values.normalized is None
        ):
            return local_run
        if local_run.findings.is_held:
            stages = RunStages(
                config,
                config.vendors,
                request.context.requested_at,
                KEYS,
                sink,
                limits=request.limits,
            )
            stages.write_state(
                KEYS.published_state,
                values.compared,
                values.normalized,
                request.context,
            )
            sink.wait()
    return local_run
