"""A local run: the engine's stages over files of this machine."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from local.output import FolderSink, fresh_tree
from local.progress import progress
from local.request import Request, UsageError
from relay_core.columnar.threads import tune_process
from relay_core.config import TenantConfig, VendorConfig
from relay_core.config.lint import config_doubts
from relay_core.domain.codes import FailureCode, RunStatus, Stage
from relay_core.domain.records import Doubt, RunFailure
from relay_core.domain.run_faults import too_little_memory
from relay_core.ingest.formats import may_read_apart
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.report.content import load_templates, report_html
from relay_core.publish.reports import (
    config_snapshot_json,
    errors_json,
    input_manifest_json,
    manifest_entry,
    overrides_pins,
    run_summary_json,
    timestamp,
)
from relay_core.run import RunStages, RunValues
from relay_core.validation.vendor_failures import InputVerdict, VendorInput
from relay_dagster.execution.memory_limit import MemoryLimit
from relay_dagster.mapped_files import InputFile

KEYS = ArtifactKeys("", "")


class LocalRun(NamedTuple):
    """The findings of a run, and the explanations of the SKUs that were asked for.

    ``feed_path`` is where its feed lies under the folder, if it has one; None without a config.
    ``doubts`` are what of the config and of the rows is probably not meant.
    """

    findings: RunFindings
    feed_path: str | None
    explanations: list[dict[str, Any]]
    doubts: Sequence[Doubt]


def run(request: Request, output_dir: Path) -> LocalRun:
    """Take a run through its stages, and write what it leaves.

    Raises:
        UsageError: a file cannot be read or written.
    """
    clock, doubts = _Clock(), list[Doubt]()
    try:
        with (
            fresh_tree(output_dir) as tree,
            FolderSink(tree.path) as sink,
            progress(clock),
        ):
            if request.config is None:
                findings = _refused(request, clock)
            else:
                is_published = request.baseline is not None
                doubts += config_doubts(
                    request.config, is_published=is_published, is_local=True
                )
                findings = _run(request.config, request, sink, clock)
                doubts += [
                    doubt for doubt in findings.doubts if doubt.vendor_id is not None
                ]
            _write_reports(request, findings, sink, clock)
            explained = []
            if request.explain:
                from local.explain import explain  # loads what no other run needs

                explained = explain(
                    request.explain, findings, request.context.run_id, KEYS, tree.path
                )
            tree.kept = _KEPT.get(findings.status, ())
    except OSError as error:
        raise UsageError(
            f"{error.filename or output_dir}: {error.strerror or error}"
        ) from None
    output = None if request.config is None else request.config.output
    feed_path = None if output is None else KEYS.merged_inventory(output.format)
    return LocalRun(findings, feed_path, explained, doubts)


_KEPT = {RunStatus.FAILED: ("outputs", "published"), RunStatus.HELD: ("published",)}
"""The folders of an earlier run that one which ends so leaves as they are."""


class _Clock:
    """How long the run and each stage took."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self.now = Stage.FETCH_INPUTS
        self._started = time.perf_counter()

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """Count what happens inside as time of the stage."""
        start, self.now = time.perf_counter(), name
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.stages[name] = self.stages.get(name, 0.0) + spent

    def elapsed(self) -> float:
        """Return the seconds since the run began."""
        return time.perf_counter() - self._started


def _refused(request: Request, clock: _Clock) -> RunFindings:
    """Return the findings of a run whose config is of another schema version than ours."""
    listed = request.document.get("vendors")  # as far as that config goes
    vendors = listed if isinstance(listed, list) else []
    ids = [
        str(v["vendor_id"])
        for v in vendors
        if isinstance(v, Mapping) and "vendor_id" in v
    ]
    with clock.stage(Stage.FETCH_INPUTS):
        findings = RunFindings(vendor_ids=ids, vendor_count=len(ids))
        code = FailureCode.UNSUPPORTED_SCHEMA_VERSION
        failure = RunFailure(code, request.unsupported, Stage.FETCH_INPUTS)
    return findings.failed(failure)


def _run(
    config: TenantConfig,
    request: Request,
    sink: FolderSink,
    clock: _Clock,
) -> RunFindings:
    """Take the run through its stages; return its findings."""
    tune_process()
    stages = RunStages(
        config,
        config.vendors,
        request.context.requested_at,
        KEYS,
        sink,
        hands_over=bool(request.explain),
        baseline=request.baseline,
        overrides=request.overrides,
        limits=request.limits,
    )
    found_at = timestamp(datetime.now(UTC))
    with ThreadPoolExecutor(1) as beside:
        hashes = beside.submit(_hashes, request.feeds)
        beside.submit(load_templates)
        apart = any(
            may_read_apart(config.vendor(name).parser) for name in request.feeds
        )
        memory = MemoryLimit(request.memory_mb)
        memory.hold(beside=request.limits.reader_bytes if apart else 0)
        findings = _findings(stages, request, memory, sink, clock)
        entries = {
            vendor.vendor_id: manifest_entry(
                _pins(vendor, request.feeds, hashes),
                findings.states.get(vendor.vendor_id),
            )
            for vendor in config.vendors
        }
    pins = overrides_pins(None, request.overrides)
    manifest = input_manifest_json(request.context, entries, found_at, pins)
    sink.write(KEYS.input_manifest, [manifest])
    return findings


def _findings(
    stages: RunStages,
    request: Request,
    memory: MemoryLimit,
    sink: FolderSink,
    clock: _Clock,
) -> RunFindings:
    """Take the run through its stages; it fails if it needs more memory than it may have.

    A run that fails has the findings of the stages before.
    """
    latest = deque([RunValues()], maxlen=1)
    try:
        latest.extend(steps(stages, request, clock.stage))
        _write_state(stages, latest[0], request, clock)
        sink.wait()
    except Exception as error:
        memory.lift()
        if not memory.is_reached(error):
            raise
        sink.drain()
        failure = too_little_memory(memory.megabytes, clock.now)
        return stages.findings(latest[0]).failed(failure)
    finally:
        memory.lift()
    return stages.findings(latest[0])


def steps(
    stages: RunStages,
    request: Request,
    within: Callable[[Stage], AbstractContextManager[object]] = nullcontext,
) -> Iterator[RunValues]:
    """Take a run of files to its end, as `RunStages.steps` does."""
    config = stages.config

    def feeds(inputs: InputVerdict) -> Iterator[VendorFeed]:
        return _feeds(config, inputs.to_read(), request)

    return stages.steps(
        {vendor_id: _found(vendor_id, request) for vendor_id in request.feeds},
        feeds,
        {vendor.vendor_id: _location(vendor) for vendor in config.vendors},
        within=within,
    )


def _write_state(
    stages: RunStages, values: RunValues, request: Request, clock: _Clock
) -> None:
    """Write the state of the feed, unless the run has none or holds it back."""
    compared = values.compared
    normalized = values.normalized
    if compared is None or normalized is None or values.failure is not None:
        return
    if not compared.is_held:
        with clock.stage(Stage.WRITE_OUTPUTS):
            key = "published/state.parquet"
            stages.write_state(key, compared, normalized, request.context)


def _feeds(
    config: TenantConfig, vendor_ids: Sequence[str], request: Request
) -> Iterator[VendorFeed]:
    for vendor_id in vendor_ids:
        feed, sku_map = request.feeds[vendor_id], request.sku_maps.get(vendor_id)
        own_map = sku_map.data if sku_map else None
        vendor = config.vendor(vendor_id)
        yield VendorFeed(vendor, feed.data, feed.name, own_map)


def _found(vendor_id: str, request: Request) -> VendorInput:
    """Return a vendor's input; a local file has no age."""
    sku_map = request.sku_maps.get(vendor_id)
    size = len(request.feeds[vendor_id].data)
    return VendorInput(
        size, sku_map_size=None if sku_map is None else len(sku_map.data)
    )


def _hashes(feeds: Mapping[str, InputFile]) -> dict[str, str]:
    return {vendor_id: feed.sha256() for vendor_id, feed in feeds.items()}


def _pins(
    vendor: VendorConfig, feeds: Mapping[str, InputFile], hashes: Future[dict[str, str]]
) -> dict[str, Any]:
    feed = feeds.get(vendor.vendor_id)
    return {
        "status": "missing" if feed is None else "found",
        "required": vendor.required,
        "expected_prefix": vendor.inbound.s3_prefix or None,
        "s3_key": None,
        "etag": None,
        "size": None if feed is None else len(feed.data),
        "last_modified": None,
        "selection": None if feed is None else "local_file",
        "run_copy_key": None,
        "sha256": hashes.result().get(vendor.vendor_id),
    }


def _location(vendor: VendorConfig) -> str:
    return vendor.inbound.s3_prefix or f"--vendor-file {vendor.vendor_id}=FILE"


def _write_reports(
    request: Request, findings: RunFindings, sink: FolderSink, clock: _Clock
) -> None:
    ctx = request.context
    with clock.stage(Stage.WRITE_OUTPUTS):
        document = request.config.to_document() if request.config else request.document
        snapshot = config_snapshot_json(ctx, document)
        errors = errors_json(ctx, findings)
        sink.write(KEYS.config_snapshot, [snapshot])
        if errors is not None:
            sink.write(KEYS.errors, [errors])
        sink.wait()
    summary = run_summary_json(
        ctx,
        findings,
        status=findings.status,
        stage_times=clock.stages,
        duration_seconds=clock.elapsed(),
        completed_at=datetime.now(UTC),
    )
    sink.write(KEYS.run_summary, [summary])
    sink.write(KEYS.report, [report_html(ctx, findings, findings.status)])
    sink.wait()
