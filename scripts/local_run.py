"""Run one tenant's feeds on this machine: no AWS, no Dagster; what to check a vendor's file with.

Writes ``normalized/``, ``outputs/`` and ``reports/`` under ``--output-dir``. Exit status 0: a feed
came out; 1: a failed run, whose reports say why; 2: bad usage or config, and nothing is written.
The rules are all in relay_core; here are the files, the clock and what people are told.
"""

from __future__ import annotations

import ctypes
import gc
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_request import FOLDERS, Input, Request, UsageError, parser, read_request

# Also works from a checkout that is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from relay_core.config import TenantConfig, VendorConfig
    from relay_core.domain.models import ReportEntry, RunFailure
    from relay_core.merge.result import MergedInventory
    from relay_core.normalize.result import NormalizedVendor

Files = dict[str, Iterable[Any]]

MANY_ROWS = 1 << 22
"""Lines of a vendor with more rows are written before anything else is made of them."""

# What glibc's mallopt is asked for, as malloc.h numbers it.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_MALLOC = {
    _M_TRIM_THRESHOLD: 1 << 30,
    _M_TOP_PAD: 64 << 20,
    _M_MMAP_THRESHOLD: 32 << 20,
    _M_ARENA_MAX: 2,
}
"""Blocks of up to 32 MB come from two heaps that all threads share; a GB may lie unused in each."""


@dataclass
class Outcome:
    """How the run went, as far as it got."""

    started: float = field(default_factory=time.perf_counter)
    manifest: bytes | None = None

    failure: RunFailure | None = None
    faults: Sequence[ReportEntry] = ()
    warnings: Sequence[ReportEntry] = ()
    warning_counts: Mapping[str, int] = field(default_factory=dict)
    normalized: list[NormalizedVendor] = field(default_factory=list)
    merged: MergedInventory | None = None
    stage_times: dict[str, float] = field(default_factory=dict)

    def counted_warnings(self) -> Mapping[str, int]:
        """Count the warnings by code, those that reports leave out too."""
        return self.warning_counts or Counter(warning.error_code for warning in self.warnings)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count what happens inside as time of the stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.stage_times[stage] = self.stage_times.get(stage, 0.0) + spent


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    arguments = parser().parse_args(argv)
    try:
        request = read_request(arguments)
        outcome = run(request, arguments.output_dir)
    except UsageError as error:
        print(*error.faults, sep="\n", file=sys.stderr)
        return 2
    return _tell(request, outcome, arguments.output_dir)


# --- the run --------------------------------------------------------------------------------------


def run(request: Request, output_dir: Path) -> Outcome:
    """Take a run through its stages and write what it leaves."""
    outcome = Outcome()
    try:
        with _fresh_tree(output_dir) as tree, Writer(tree) as beside:
            if request.config is None:
                _refuse_schema_version(request, outcome)
            else:
                _go_through_stages(request.config, request, outcome, beside)
            with outcome.timed("WRITE_OUTPUTS"):
                beside.write(_feed(outcome))
                _write(tree, _reports(request, outcome))
                beside.wait()
            _write(tree, _summary(request, outcome))
    except OSError as error:
        raise UsageError(f"{error.filename or output_dir}: {error.strerror or error}") from None
    return outcome


def _refuse_schema_version(request: Request, outcome: Outcome) -> None:
    from relay_core.domain.models import FailureCode, ReportEntry, RunFailure, Stage

    with outcome.timed(Stage.FETCH_INPUTS):
        code = FailureCode.UNSUPPORTED_SCHEMA_VERSION
        outcome.failure = RunFailure(code, request.unsupported, Stage.FETCH_INPUTS)
        outcome.faults = (ReportEntry(code, request.unsupported),)


def _go_through_stages(
    config: TenantConfig, request: Request, outcome: Outcome, writer: Writer
) -> None:
    from relay_core.publish.reports import input_manifest_json

    set_up_process()
    found_at = datetime.now(UTC)
    with ThreadPoolExecutor(1) as beside:
        hashes = beside.submit(_hashes, request.feeds)
        for stage in (_fetch_inputs, partial(_normalize, writer), _merge):
            stage(config, request, outcome)
            if outcome.failure is not None:
                break
        entries = {
            vendor.vendor_id: _manifest_entry(vendor, request.feeds, hashes.result())
            for vendor in config.vendors
        }
    outcome.manifest = input_manifest_json(request.context, entries, found_at)


def set_up_process() -> None:
    """Set this process up for the engine, which is about to be used."""
    import pyarrow as pa

    gc.freeze()  # the collector need not look again and again at what is loaded
    sys.setswitchinterval(0.0005)  # kernels wait for the lock that other threads' Python holds
    pa.set_memory_pool(pa.system_memory_pool())  # holds less that was let go than others do
    _reuse_memory()


def _reuse_memory() -> None:
    """Have glibc, where that is the allocator, use again what any thread has let go.

    By itself it gives large blocks back to the system, and gets others page by page.
    """
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        return
    for parameter, value in _MALLOC.items():
        libc.mallopt(parameter, value)


def _hashes(feeds: Mapping[str, Input]) -> dict[str, str]:
    return {vendor_id: feed.sha256() for vendor_id, feed in feeds.items()}


def _fetch_inputs(config: TenantConfig, request: Request, outcome: Outcome) -> None:
    from relay_core.pipeline import judge_inputs

    with outcome.timed("FETCH_INPUTS"):
        verdict = judge_inputs(
            config,
            config.vendors,
            missing={v.vendor_id for v in config.vendors} - set(request.feeds),
            locations={v.vendor_id: _location(v) for v in config.vendors},
            missing_maps=_missing_maps(config.vendors, request),
        )
    outcome.failure, outcome.faults = verdict.failure, verdict.faults
    outcome.warnings = verdict.warnings


def _manifest_entry(
    vendor: VendorConfig, feeds: Mapping[str, Input], hashes: Mapping[str, str]
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
        "sha256": hashes.get(vendor.vendor_id),
    }


def _location(vendor: VendorConfig) -> str:
    return vendor.inbound.s3_prefix or f"--vendor-file {vendor.vendor_id}=FILE"


def _missing_maps(vendors: Iterable[VendorConfig], request: Request) -> dict[str, str]:
    return {
        vendor.vendor_id: str(vendor.sku_map.s3_key or vendor.sku_map.local_path)
        for vendor in vendors
        if vendor.sku_map is not None
        and vendor.vendor_id in request.feeds
        and vendor.vendor_id not in request.sku_maps
    }


def _normalize(writer: Writer, config: TenantConfig, request: Request, outcome: Outcome) -> None:
    from relay_core.merge.result import columns_to_merge
    from relay_core.pipeline import VendorFeed, judge_normalized, normalize_vendors
    from relay_core.publish.reports import ArtifactKeys

    keys = ArtifactKeys("", "")

    def write(vendor: NormalizedVendor) -> None:
        if vendor.outcome == "parsed":
            writer.write({keys.normalized(vendor.vendor_id): vendor.csv_chunks()})
            if vendor.total_rows > MANY_ROWS:
                writer.wait()

    def feeds() -> Iterator[VendorFeed]:
        for vendor in config.vendors:
            if (feed := request.feeds.get(vendor.vendor_id)) is not None:
                sku_map = request.sku_maps.get(vendor.vendor_id)
                own_map = sku_map.data if sku_map else None
                yield VendorFeed(vendor, feed.data, feed.name, own_map, feed.let_go)
                feed.let_go()

    with outcome.timed("NORMALIZE"):
        outcome.normalized = normalize_vendors(
            config,
            feeds(),
            requested_at=request.context.requested_at,
            write=write,
            columns=columns_to_merge(config),
        )
        outcome.failure = judge_normalized(outcome.normalized)
    if outcome.failure is not None:
        outcome.faults = [one.fault for one in outcome.normalized if one.fault is not None]
        outcome.warnings = [
            *outcome.warnings,
            *(w for one in outcome.normalized for w in one.warnings),
        ]


def _merge(config: TenantConfig, request: Request, outcome: Outcome) -> None:
    from relay_core.normalize.row_reader import OFFER_SCHEMA
    from relay_core.pipeline import merge_vendors

    with outcome.timed("MERGE_PRICE"):
        merged = merge_vendors(config, outcome.normalized, warnings=outcome.warnings)
    outcome.failure, outcome.faults = merged.failure, merged.faults
    outcome.warnings, outcome.warning_counts = merged.warnings, merged.warning_counts
    outcome.merged = merged
    # no report needs the offers
    nothing = OFFER_SCHEMA.empty_table()
    outcome.normalized = [replace(vendor, offers=nothing) for vendor in outcome.normalized]


# --- the files ------------------------------------------------------------------------------------


def _feed(outcome: Outcome) -> Files:
    """Return the merged feed, if there is one, by its place under the output folder."""
    from relay_core.publish.reports import ArtifactKeys

    if outcome.merged is None or outcome.failure is not None:
        return {}
    return {ArtifactKeys("", "").merged_inventory: outcome.merged.csv_chunks()}


def _reports(request: Request, outcome: Outcome) -> Files:
    """Return the reports but the summary, by place under the output folder."""
    from relay_core.publish.reports import (
        ArtifactKeys,
        config_snapshot_json,
        errors_json,
        has_invalid_rows,
        invalid_rows_chunks,
    )

    keys, ctx, normalized = ArtifactKeys("", ""), request.context, outcome.normalized
    document = request.config.to_document() if request.config else request.document
    files: Files = {keys.config_snapshot: [config_snapshot_json(ctx, document)]}
    if outcome.manifest is not None:
        files[keys.input_manifest] = [outcome.manifest]
    errors = errors_json(
        ctx,
        outcome.failure,
        faults=outcome.faults,
        warnings=outcome.warnings,
        warning_counts=outcome.warning_counts,
        normalized=normalized,
    )
    if errors is not None:
        files[keys.errors] = [errors]
    if has_invalid_rows(normalized):
        files[keys.invalid_rows] = invalid_rows_chunks(normalized)
    return files


def _summary(request: Request, outcome: Outcome) -> Files:
    from relay_core.publish.reports import ArtifactKeys, run_summary_json

    vendors = _vendor_ids(request)
    merged, failure = outcome.merged, outcome.failure
    summary = run_summary_json(
        request.context,
        status="FAILED" if failure else "SUCCEEDED",
        error_code=failure.error_code if failure else None,
        vendors=vendors,
        vendor_count=len(vendors),
        normalized=outcome.normalized,
        record_count=merged.record_count if merged else 0,
        unpriced_skus=merged.unpriced_skus if merged else 0,
        warning_counts=outcome.counted_warnings(),
        stage_times=outcome.stage_times,
        duration_seconds=time.perf_counter() - outcome.started,
        completed_at=datetime.now(UTC),
    )
    return {ArtifactKeys("", "").run_summary: [summary]}


def _vendor_ids(request: Request) -> list[str]:
    if request.config is not None:
        return [vendor.vendor_id for vendor in request.config.vendors]
    listed = request.document.get("vendors")  # of a config that we cannot read: as far as it goes
    vendors = listed if isinstance(listed, list) else []
    return [str(v["vendor_id"]) for v in vendors if isinstance(v, Mapping) and "vendor_id" in v]


@contextmanager
def _fresh_tree(output_dir: Path) -> Iterator[Path]:
    """Lend an empty folder; when all is written, an earlier run's folders give way to it."""
    output_dir.mkdir(parents=True, exist_ok=True)
    tree = Path(tempfile.mkdtemp(prefix=".relay-", dir=output_dir))
    try:
        yield tree
        for name in FOLDERS:
            _remove(output_dir / name)
            if (tree / name).exists():
                (tree / name).rename(output_dir / name)
    finally:
        shutil.rmtree(tree, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Writer:
    """Writes files on another thread, one lot after another.

    Args:
        tree: the folder that they lie under.
    """

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._beside = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def __enter__(self) -> Writer:
        """Return the writer."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no thread behind."""
        self._beside.shutdown()

    def write(self, files: Files) -> None:
        """Begin to write files; the lot before is written then."""
        self.wait()
        self._last = self._beside.submit(_write, self._tree, files)

    def wait(self) -> None:
        """Return when all is written.

        Raises:
            OSError: it could not be.
        """
        if self._last is not None:
            self._last.result()


def _write(tree: Path, files: Files) -> None:
    for name, chunks in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(chunks)


# --- what people see ------------------------------------------------------------------------------


def _tell(request: Request, outcome: Outcome, output_dir: Path) -> int:
    """Say how it went, and where to look; return the exit status."""
    rows = sum(vendor.total_rows for vendor in outcome.normalized)
    refused = sum(vendor.invalid_rows for vendor in outcome.normalized)
    faults: Counter[str] = sum((Counter(v.fault_counts) for v in outcome.normalized), Counter())
    lines = [f"{rows:,} rows read, {refused:,} refused{_listed(faults)}"]
    if outcome.merged is not None and outcome.failure is None:
        lines.append(f"{outcome.merged.record_count:,} SKUs in the merged feed")
    if warnings := outcome.counted_warnings():
        lines.append(f"warnings{_listed(warnings)}")
    reports = output_dir / "reports"
    if outcome.failure is None:
        print(f"run {request.context.run_id} of {request.context.tenant_id}: SUCCEEDED")
        lines.append(f"feed: {output_dir / 'outputs' / 'merged_inventory.csv'}; reports: {reports}")
        print(*(f"  {line}" for line in lines), sep="\n")
        return 0
    stage = outcome.failure.stage
    print(f"run {request.context.run_id} failed in {stage}", file=sys.stderr)
    lines += [f"give it here with {hint}" for hint in _hints(outcome)]
    lines.append(f"what was wrong, and where: {reports / 'errors.json'}")
    print(*(f"  {line}" for line in lines), sep="\n", file=sys.stderr)
    message = " ".join(outcome.failure.error_message.splitlines())
    print(f"{outcome.failure.error_code}: {message}", file=sys.stderr)
    return 1


def _hints(outcome: Outcome) -> list[str]:
    """Say which options stand in for what the run did not find."""
    options = {"REQUIRED_VENDOR_MISSING": "--vendor-file", "missing_sku_map": "--sku-map"}
    return [
        f"{options[fault.error_code]} {fault.vendor_id}=FILE"
        for fault in outcome.faults
        if fault.error_code in options
    ]


def _listed(counts: Mapping[str, int]) -> str:
    named = ", ".join(f"{code} {count:,}" for code, count in sorted(counts.items()))
    return f": {named}" if named else ""


if __name__ == "__main__":
    sys.exit(main())
