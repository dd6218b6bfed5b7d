"""A local run: the stages of the engine over files of this machine."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from local.output import FolderSink, fresh_tree
from local.progress import progress
from local.request import Request, UsageError
from relay_core.columnar.threads import tune_process
from relay_core.config import TenantConfig, VendorConfig
from relay_core.config.inputs.uploads import FileKind
from relay_core.config.lint import config_doubts
from relay_core.domain.codes import FailureCode, RunStatus, Stage
from relay_core.domain.input_names import name_of
from relay_core.domain.records import Doubt, RunFailure
from relay_core.domain.run_faults import too_little_memory
from relay_core.ingest.formats import may_read_apart
from relay_core.normalize.vendor_feed import FeedFile, VendorFeed
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
from relay_core.validation import vendor_failures
from relay_core.validation.vendor_failures import InputVerdict, VendorInput
from relay_dagster.execution.memory_limit import MemoryLimit
from relay_dagster.mapped_files import InputFile

KEYS = ArtifactKeys("", "")
"""The keys of a local run's files: paths below the output folder."""


_PRESERVED_FOLDERS = {
    RunStatus.FAILED: ("outputs", "published"),
    RunStatus.HELD: ("published",),
}
"""The folders of an earlier run that a run does not replace, by its status."""


class LocalRun(NamedTuple):
    """The result of a local run.

    Attributes:
        findings: The findings of the run.
        feed_path: The path of the feed below the output folder, or None without a config.
        explanations: The explanations of the requested SKUs.
        doubts: Doubts about the config and the rows.
    """

    findings: RunFindings
    feed_path: str | None
    explanations: list[dict[str, Any]]
    doubts: Sequence[Doubt]


class _Clock:
    """The time of the run and of each of its stages.

    Attributes:
        stages: The seconds spent in each stage.
        now: The current stage.
    """

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self.now = Stage.FETCH_INPUTS
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


def run(request: Request, output_dir: Path) -> LocalRun:
    """Run the engine over the requested files, and write its output.

    Raises:
        UsageError: A file cannot be read or written.
    """
    clock = _Clock()
    config = request.config
    doubts: list[Doubt] = []
    explanations: list[dict[str, Any]] = []
    try:
        with (
            fresh_tree(output_dir) as tree,
            FolderSink(tree.path) as sink,
            progress(clock),
        ):
            if config is None:
                findings = _rejected(request, clock)
            else:
                is_published = request.baseline is not None
                doubts.extend(
                    config_doubts(
                        config,
                        is_published=is_published,
                        is_local=True,
                    ),
                )
                findings = _run(config, request, sink, clock)
                doubts.extend(
                    doubt
                    for doubt in findings.doubts
                    if doubt.vendor_id is not None
                )
            _write_reports(request, findings, sink, clock)
            if request.explain:
                # Only this option needs the module.
                from local.explain import explain

                explanations = explain(
                    request.explain,
                    findings,
                    request.context.run_id,
                    KEYS,
                    tree.path,
                )
            tree.preserved_folders = _PRESERVED_FOLDERS.get(findings.status, ())
    except OSError as error:
        raise UsageError(
            f"{error.filename or output_dir}: {error.strerror or error}",
        ) from None
    feed_path = None
    if config is not None:
        feed_path = KEYS.merged_inventory(config.output.format)
    return LocalRun(findings, feed_path, explanations, doubts)


def _rejected(request: Request, clock: _Clock) -> RunFindings:
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
        findings = RunFindings(
            vendor_ids=vendor_ids,
            vendor_count=len(vendor_ids),
        )
        failure = RunFailure(
            FailureCode.UNSUPPORTED_SCHEMA_VERSION,
            request.unsupported,
            Stage.FETCH_INPUTS,
        )
    return findings.failed(failure)


def _run(
    config: TenantConfig,
    request: Request,
    sink: FolderSink,
    clock: _Clock,
) -> RunFindings:
    """Run the engine, write the input manifest, and return the findings."""
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
    read_at = timestamp(datetime.now(UTC))
    with ThreadPoolExecutor(1) as executor:
        hashes = executor.submit(_hashes, request.feeds)
        executor.submit(load_templates)
        needs_reader = any(
            may_read_apart(part.parser)
            for vendor in config.vendors_and_catalog
            for part in vendor.input_parts
            if name_of(vendor.vendor_id, part.part_id) in request.feeds
        )
        memory = MemoryLimit(request.memory_mb)
        memory.hold(beside=request.limits.reader_bytes if needs_reader else 0)
        findings = _findings(stages, request, memory, sink, clock)
        entries = {
            vendor.vendor_id: manifest_entry(
                _pins(vendor, request, hashes.result()),
                findings.states.get(vendor.vendor_id),
            )
            for vendor in config.vendors
        }
        catalog = None
        catalog_input = config.catalog_input
        if catalog_input is not None:
            catalog = manifest_entry(
                _pins(catalog_input, request, hashes.result()),
                findings.catalog_state,
            )
    pins = overrides_pins(None, request.overrides)
    manifest = input_manifest_json(
        request.context,
        entries,
        read_at,
        pins,
        catalog,
    )
    sink.write(KEYS.input_manifest, [manifest])
    return findings


def _findings(
    stages: RunStages,
    request: Request,
    memory: MemoryLimit,
    sink: FolderSink,
    clock: _Clock,
) -> RunFindings:
    """Return the findings of all stages.

    If a stage needs more memory than the run may use, the run fails, with the findings of
    the stages before.
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
    """Yield the values of each step of a run over files, as `RunStages.steps` does."""
    config = stages.config

    def feeds(inputs: InputVerdict) -> Iterator[VendorFeed]:
        return _feeds(config, inputs, request)

    return stages.steps(
        dict(_found_inputs(config, request)),
        feeds,
        dict(_locations(config)),
        within=within,
    )


def _write_state(
    stages: RunStages,
    values: RunValues,
    request: Request,
    clock: _Clock,
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
) -> Iterator[VendorFeed]:
    for vendor_id in inputs.to_read():
        vendor = config.vendor(vendor_id)
        left_out = inputs.parts_left_out.get(vendor_id, {})
        files = [
            FeedFile(file.data, file.name, part_id, kind)
            for part_id, kind, file in _files_of(vendor, request)
            if part_id not in left_out
        ]
        sku_map = request.sku_maps.get(vendor_id)
        yield VendorFeed(
            vendor,
            files,
            None if sku_map is None else sku_map.data,
        )


def _files_of(
    vendor: VendorConfig,
    request: Request,
) -> list[tuple[str | None, FileKind, InputFile]]:
    """Return the part, the kind and the data of each file of a vendor.

    The first file of a part is full, and the others are files of changes, whatever
    their names are.
    """
    files: list[tuple[str | None, FileKind, InputFile]] = []
    for part in vendor.input_parts:
        name = name_of(vendor.vendor_id, part.part_id)
        for index, file in enumerate(request.feeds.get(name, ())):
            files.append((part.part_id, "delta" if index else "full", file))
    return files


def _found_inputs(
    config: TenantConfig,
    request: Request,
) -> Iterator[tuple[str, VendorInput]]:
    """Yield the input of each vendor that has a file.

    A local file has no upload time, so it has no age.
    """
    for vendor in config.vendors_and_catalog:
        files = [
            vendor_failures.InputFile(len(file.data), None, part_id, kind)
            for part_id, kind, file in _files_of(vendor, request)
        ]
        sku_map = request.sku_maps.get(vendor.vendor_id)
        map_size = None if sku_map is None else len(sku_map.data)
        if files:
            yield vendor.vendor_id, VendorInput(files, map_size)


def _hashes(
    feeds: Mapping[str, Sequence[InputFile]],
) -> dict[str, list[str]]:
    """Return the hash of each file, by input."""
    return {
        name: [file.sha256() for file in files] for name, files in feeds.items()
    }


def _pins(
    vendor: VendorConfig,
    request: Request,
    hashes: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return the manifest's pins of a vendor."""
    hashes_in_order = chain.from_iterable(
        hashes.get(name_of(vendor.vendor_id, part.part_id), ())
        for part in vendor.input_parts
    )
    pinned_files = [
        {
            "part_id": part_id,
            "kind": kind,
            "s3_key": None,
            "etag": None,
            "size": len(file.data),
            "last_modified": None,
            "run_copy_key": None,
            "sha256": sha256,
        }
        for (part_id, kind, file), sha256 in zip(
            _files_of(vendor, request),
            hashes_in_order,
            strict=True,
        )
    ]
    base = None
    if pinned_files and pinned_files[0]["part_id"] is None:
        base = pinned_files[0]
    pins: dict[str, Any] = {
        "status": "missing" if base is None else "found",
        "required": vendor.required,
        "expected_prefix": vendor.inbound.s3_prefix or None,
        "s3_key": None,
        "etag": None,
        "size": None if base is None else base["size"],
        "last_modified": None,
        "selection": None if base is None else "local_file",
        "run_copy_key": None,
        "sha256": None if base is None else base["sha256"],
    }
    if vendor.has_file_list:
        pins["files"] = pinned_files
    return pins


def _locations(config: TenantConfig) -> Iterator[tuple[str, str]]:
    """Yield the name of each input and the location of its files for messages."""
    for vendor in config.vendors_and_catalog:
        for part in vendor.input_parts:
            name = name_of(vendor.vendor_id, part.part_id)
            yield name, part.inbound.s3_prefix or f"--vendor-file {name}=FILE"


def _write_reports(
    request: Request,
    findings: RunFindings,
    sink: FolderSink,
    clock: _Clock,
) -> None:
    context = request.context
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
    sink.write(KEYS.report, [report_html(context, findings, findings.status)])
    sink.wait()
