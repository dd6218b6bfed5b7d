"""A local run: the engine's stages over files of this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.output import FolderSink, fresh_tree
from local.request import Input, Request, UsageError
from relay_core.columnar.tuning import tune_process
from relay_core.config import TenantConfig, VendorConfig
from relay_core.domain.codes import FailureCode, RunStatus, Stage
from relay_core.domain.records import RunFailure
from relay_core.domain.run_faults import too_little_memory
from relay_core.normalize.inputs import FoundInputs
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.pipeline import RunStages
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.reports import (
    config_snapshot_json,
    errors_json,
    input_manifest_json,
    run_summary_json,
)
from relay_dagster.execution.memory_limit import MemoryLimit

KEYS = ArtifactKeys("", "")


def run(request: Request, output_dir: Path) -> RunFindings:
    """Take a run through its stages, write what it leaves, return what it has found out.

    Raises:
        UsageError: a file cannot be read or written.
    """
    clock = _Clock()
    try:
        with fresh_tree(output_dir) as tree, FolderSink(tree) as sink:
            if request.config is None:
                findings = _refused(request, clock)
            else:
                findings = _run(request.config, request, sink, clock)
            _write_reports(request, findings, sink, clock)
    except OSError as error:
        raise UsageError(f"{error.filename or output_dir}: {error.strerror or error}") from None
    return findings


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
    ids = [str(v["vendor_id"]) for v in vendors if isinstance(v, Mapping) and "vendor_id" in v]
    with clock.stage(Stage.FETCH_INPUTS):
        findings = RunFindings(vendor_ids=ids, vendor_count=len(ids))
        code = FailureCode.UNSUPPORTED_SCHEMA_VERSION
        findings.fail(RunFailure(code, request.unsupported, Stage.FETCH_INPUTS))
    return findings


def _run(config: TenantConfig, request: Request, sink: FolderSink, clock: _Clock) -> RunFindings:
    tune_process()
    ids = [vendor.vendor_id for vendor in config.vendors]
    findings = RunFindings(vendor_ids=ids, vendor_count=len(ids))
    stages = RunStages(
        config,
        config.vendors,
        request.context.requested_at,
        KEYS,
        sink,
        findings,
        limits=request.limits,
    )
    found_at = datetime.now(UTC)
    with ThreadPoolExecutor(1) as beside:
        hashes = beside.submit(_hashes, request.feeds)
        with _within_memory(request.memory_mb, findings, sink, clock):
            _go_through(stages, request, clock)
            sink.wait()
        entries = {
            vendor.vendor_id: _manifest_entry(vendor, request.feeds, hashes)
            for vendor in config.vendors
        }
    manifest = input_manifest_json(request.context, entries, found_at)
    sink.write(KEYS.input_manifest, [manifest])
    return findings


@contextmanager
def _within_memory(
    megabytes: int, findings: RunFindings, sink: FolderSink, clock: _Clock
) -> Iterator[None]:
    """Have the run fail where it needs more memory than it may have, as far as it can tell."""
    memory = MemoryLimit(megabytes)
    try:
        yield
    except Exception as error:
        memory.lift()
        if not memory.is_reached(error):
            raise
        sink.drain()
        findings.fail(too_little_memory(megabytes, clock.now))
    finally:
        memory.lift()


def _go_through(stages: RunStages, request: Request, clock: _Clock) -> None:
    config, findings = stages.config, stages.findings
    with clock.stage(Stage.FETCH_INPUTS):
        inputs = FoundInputs(
            feeds={vendor_id: len(feed.data) for vendor_id, feed in request.feeds.items()},
            locations={v.vendor_id: _location(v) for v in config.vendors},
            maps={vendor_id: len(each.data) for vendor_id, each in request.sku_maps.items()},
            missing_maps=_missing_maps(config, request),
        )
        stages.judge_inputs(inputs)
    if findings.failure is None:
        with clock.stage(Stage.NORMALIZE):
            stages.normalize(_feeds(config, request))
    if findings.failure is None:
        with clock.stage(Stage.MERGE_PRICE):
            merged = stages.merge()
        if merged.failure is None:
            with clock.stage(Stage.WRITE_OUTPUTS):
                stages.write_feed(merged)


def _feeds(config: TenantConfig, request: Request) -> Iterator[VendorFeed]:
    for vendor in config.vendors:
        feed = request.feeds.get(vendor.vendor_id)
        if feed is not None:
            sku_map = request.sku_maps.get(vendor.vendor_id)
            own_map = sku_map.data if sku_map else None
            yield VendorFeed(vendor, feed.data, feed.name, own_map, feed.release)
            feed.release()


def _hashes(feeds: Mapping[str, Input]) -> dict[str, str]:
    return {vendor_id: feed.sha256() for vendor_id, feed in feeds.items()}


def _manifest_entry(
    vendor: VendorConfig, feeds: Mapping[str, Input], hashes: Future[dict[str, str]]
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


def _missing_maps(config: TenantConfig, request: Request) -> dict[str, str]:
    return {
        vendor.vendor_id: str(vendor.sku_map.s3_key or vendor.sku_map.local_path)
        for vendor in config.vendors
        if vendor.sku_map is not None
        and vendor.vendor_id in request.feeds
        and vendor.vendor_id not in request.sku_maps
    }


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
        status=RunStatus.SUCCEEDED if findings.failure is None else RunStatus.FAILED,
        stage_times=clock.stages,
        duration_seconds=clock.elapsed(),
        completed_at=datetime.now(UTC),
    )
    sink.write(KEYS.run_summary, [summary])
    sink.wait()
