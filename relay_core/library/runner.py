"""A run over files of this machine: the stages of the engine, and the run's reports.

`relay local` and `relay_core.run` both use `run`, each with a sink of its own.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from relay_core.config import TenantConfig
from relay_core.config.lint import config_doubts
from relay_core.domain.codes import FailureCode, Stage
from relay_core.domain.input_names import name_of
from relay_core.domain.records import Doubt, RunFailure
from relay_core.domain.run_faults import too_little_memory
from relay_core.ingest.formats import may_read_apart
from relay_core.library.manifest import hashes_of, manifest_of
from relay_core.library.requests import Request
from relay_core.library.sinks import LocalSink
from relay_core.normalize.vendor_feed import FeedFile, VendorFeed
from relay_core.publish.findings import RunFindings, RunScope
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.reports import (
    config_snapshot_json,
    errors_json,
    run_summary_json,
    timestamp,
)
from relay_core.report.contents import report_of
from relay_core.report.files import files_of
from relay_core.report.html import load_templates, report_html
from relay_core.report.report import Report, report_json
from relay_core.run_stages import RunStages, RunValues
from relay_core.validation import vendor_failures
from relay_core.validation.vendor_failures import InputVerdict, VendorInput

KEYS = ArtifactKeys("", "")
"""The keys of a local run's files: paths below the output folder."""


class LocalRun(NamedTuple):
    """The result of a local run.

    Attributes:
        findings: The findings of the run.
        report: The report of the run.
        values: The values of its steps.
        doubts: Doubts about the config and the rows.
    """

    findings: RunFindings
    report: Report
    values: RunValues
    doubts: Sequence[Doubt]


class Memory(Protocol):
    """The limit of a run's memory.

    Attributes:
        megabytes: The limit in MiB; 0 is no limit.
    """

    megabytes: int

    def hold(self, *, beside: int = 0) -> None:
        """Limit the process, and leave ``beside`` bytes to another one."""

    def lift(self) -> None:
        """Restore the limit that was in force before."""

    def is_reached(self, error: BaseException) -> bool:
        """Return True if an error shows that the limit is reached."""


class UnlimitedMemory:
    """A `Memory` without a limit."""

    megabytes = 0

    def hold(self, *, beside: int = 0) -> None:
        """Limit nothing."""

    def lift(self) -> None:
        """Lift nothing."""

    def is_reached(self, _: BaseException) -> bool:
        """Return False: there is no limit."""
        return False


class RunClock:
    """The time of the run and of each of its stages, and the bytes of feeds read so far.

    Attributes:
        stages: The seconds spent in each stage.
        now: The current stage.
        bytes_read: The bytes of the files of vendors that are read.
    """

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self.now = Stage.FETCH_INPUTS
        self.bytes_read = 0
        self._started = time.perf_counter()

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """Count the time inside the context as time of a stage."""
        start = time.perf_counter()
        self.now = name
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.stages[name] = self.stages.get(name, 0.0) + spent

    def elapsed(self) -> float:
        """Return the seconds since the run started."""
        return time.perf_counter() - self._started


@dataclass(frozen=True)
class Means:
    """The means of a run.

    Attributes:
        sink: The destination of its files.
        clock: The clock that counts its time.
        memory: The limit of its memory.
        hands_over: Whether it writes its work files, which explanations are made from.
    """

    sink: LocalSink
    clock: RunClock = field(default_factory=RunClock)
    memory: Memory = field(default_factory=UnlimitedMemory)
    hands_over: bool = False


def run(request: Request, means: Means) -> LocalRun:
    """Run the engine over the requested files, and write its output to the sink.

    Raises:
        OSError: A file cannot be read or written.
    """
    config = request.config
    doubts: list[Doubt] = []
    values = RunValues()
    if config is None:
        findings = _rejected(request, means.clock)
    else:
        is_published = request.baseline is not None
        doubts.extend(
            config_doubts(config, is_published=is_published, is_local=True),
        )
        findings, values = _run(config, request, means)
        doubts.extend(
            doubt for doubt in findings.doubts if doubt.vendor_id is not None
        )
    report = _write_reports(request, findings, means)
    return LocalRun(findings, report, values, doubts)


def _rejected(request: Request, clock: RunClock) -> RunFindings:
    """Return the findings of a run whose config has an unsupported schema version."""
    listed_vendors = request.document.get("vendors")
    vendor_ids = []
    if isinstance(listed_vendors, list):
        vendor_ids = [
            str(vendor["vendor_id"])
            for vendor in listed_vendors
            if isinstance(vendor, Mapping) and "vendor_id" in vendor
        ]
    with clock.stage(Stage.FETCH_INPUTS):
        scope = RunScope(vendor_ids, vendor_count=len(vendor_ids))
        failure = RunFailure(
            FailureCode.UNSUPPORTED_SCHEMA_VERSION,
            request.unsupported,
            Stage.FETCH_INPUTS,
        )
    return RunFindings(scope=scope).failed(failure)


def _run(
    config: TenantConfig,
    request: Request,
    means: Means,
) -> tuple[RunFindings, RunValues]:
    """Run the engine, write the input manifest, and return the findings and values."""
    stages = RunStages(
        config,
        config.vendors,
        request.context.requested_at,
        KEYS,
        means.sink,
        hands_over=means.hands_over,
        baseline=request.baseline,
        overrides=request.overrides,
        limits=request.limits,
    )
    read_at = timestamp(datetime.now(UTC))
    feeds = request.files.feeds
    with ThreadPoolExecutor(1) as executor:
        hashes = executor.submit(hashes_of, feeds)
        executor.submit(load_templates)
        needs_reader = any(
            may_read_apart(part.parser)
            for vendor in config.vendors_and_catalog
            for part in vendor.input_parts
            if name_of(vendor.vendor_id, part.part_id) in feeds
        )
        means.memory.hold(
            beside=request.limits.reader_bytes if needs_reader else 0,
        )
        findings, values = _findings(stages, request, means)
        manifest = manifest_of(
            request, config, findings, hashes.result(), read_at
        )
    means.sink.write(KEYS.input_manifest, [manifest])
    return findings, values


def _findings(
    stages: RunStages,
    request: Request,
    means: Means,
) -> tuple[RunFindings, RunValues]:
    """Return the findings and the values of all stages.

    If a stage needs more memory than the run may use, the run fails, with the findings of
    the stages before.
    """
    clock = means.clock
    memory = means.memory
    latest = deque([RunValues()], maxlen=1)
    try:
        latest.extend(steps(stages, request, clock))
        _write_state(stages, latest[0], request, clock)
        means.sink.wait()
    except Exception as error:
        memory.lift()
        if not memory.is_reached(error):
            raise
        means.sink.drain()
        failure = too_little_memory(memory.megabytes, clock.now)
        return stages.findings(latest[0]).failed(failure), latest[0]
    finally:
        memory.lift()
    return stages.findings(latest[0]), latest[0]


def steps(
    stages: RunStages,
    request: Request,
    clock: RunClock,
) -> Iterator[RunValues]:
    """Yield the values of each step of a run over files, as `RunStages.steps` does."""
    config = stages.config

    def feeds(inputs: InputVerdict) -> Iterator[VendorFeed]:
        return _feeds(config, inputs, request, clock)

    return stages.steps(
        dict(_found_inputs(config, request)),
        feeds,
        request.files.locations,
        within=clock.stage,
    )


def _write_state(
    stages: RunStages,
    values: RunValues,
    request: Request,
    clock: RunClock,
) -> None:
    """Write the state of the feed, unless the run has no feed or puts it on hold."""
    compared = values.compared
    normalized = values.normalized
    if compared is None or normalized is None or values.failure is not None:
        return
    if not compared.is_held:
        with clock.stage(Stage.WRITE_OUTPUTS):
            key = KEYS.published_state
            stages.write_state(key, compared, normalized, request.context)


def _feeds(
    config: TenantConfig,
    inputs: InputVerdict,
    request: Request,
    clock: RunClock,
) -> Iterator[VendorFeed]:
    for vendor_id in inputs.to_read():
        vendor = config.vendor(vendor_id)
        left_out = inputs.parts_left_out.get(vendor_id, {})
        files = [
            FeedFile(file.data, file.name, part_id, kind)
            for part_id, kind, file in request.files.of_vendor(vendor)
            if part_id not in left_out
        ]
        sku_map = request.files.sku_maps.get(vendor_id)
        yield VendorFeed(
            vendor,
            files,
            None if sku_map is None else sku_map.data,
        )
        # The next feed is requested when this one is read.
        clock.bytes_read += sum(len(file.data) for file in files)


def _found_inputs(
    config: TenantConfig,
    request: Request,
) -> Iterator[tuple[str, VendorInput]]:
    """Yield the input of each vendor that has a file."""
    for vendor in config.vendors_and_catalog:
        files = [
            vendor_failures.InputFile(
                len(file.data), file.uploaded_at, part_id, kind
            )
            for part_id, kind, file in request.files.of_vendor(vendor)
        ]
        sku_map = request.files.sku_maps.get(vendor.vendor_id)
        map_size = None if sku_map is None else len(sku_map.data)
        if files:
            yield vendor.vendor_id, VendorInput(files, map_size)


def _write_reports(
    request: Request,
    findings: RunFindings,
    means: Means,
) -> Report:
    """Write all reports of a run, and return the one for people."""
    context = request.context
    sink = means.sink
    clock = means.clock
    with clock.stage(Stage.WRITE_OUTPUTS):
        document = request.document
        if request.config is not None:
            document = request.config.to_document()
        snapshot = config_snapshot_json(context, document)
        errors = errors_json(context, findings)
        sink.write(KEYS.config_snapshot, [snapshot])
        if errors is not None:
            sink.write(KEYS.errors, [errors])
        sink.wait()
    summary = run_summary_json(
        context,
        findings,
        status=findings.status,
        stage_times=clock.stages,
        duration_seconds=clock.elapsed(),
        completed_at=datetime.now(UTC),
    )
    sink.write(KEYS.run_summary, [summary])
    new_paths = (*sink.paths, KEYS.report_data, KEYS.report)
    paths = {KEYS.artifact_name(path): path for path in new_paths}
    # Work files have no name.
    paths.pop("", None)
    report = report_of(context, findings, findings.status, files_of(paths))
    sink.write(KEYS.report_data, [report_json(report)])
    sink.write(KEYS.report, [report_html(report)])
    sink.wait()
    return report
