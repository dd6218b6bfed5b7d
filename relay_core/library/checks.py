"""The check of files: their problems, the doubts about them, and the patch that fixes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from relay_core.config import TenantConfig, VendorConfig
from relay_core.config.inputs.tenant_inputs import Input, inputs_of
from relay_core.config.lint import config_doubts
from relay_core.config.reading.json_patch import (
    ParserChanges,
    PatchStep,
    Path,
    parser_patch,
)
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.records import Doubt
from relay_core.domain.run_faults import counted, too_large
from relay_core.ingest.sku_map import read_sku_map
from relay_core.library.requests import Request
from relay_core.library.runner import KEYS, RunClock, steps
from relay_core.mapped_files import InputFile
from relay_core.onboarding import findings
from relay_core.onboarding.check_results import FeedCheck
from relay_core.onboarding.feed_check import check_file
from relay_core.publish.findings import RunFindings
from relay_core.run_stages import RunStages
from relay_core.vendor_pass import NullSink


@dataclass(frozen=True)
class FileCheck:
    """The check of the newest file of one input.

    Attributes:
        name: The name of the input.
        config: The config with the file as the only one of its vendor.
        vendor: The vendor, with the file as the only one.
        file_name: The name of the file.
        result: The check, or the message that says why the file cannot be checked.
    """

    name: str
    config: TenantConfig
    vendor: VendorConfig
    file_name: str
    result: FeedCheck | str

    @property
    def feed_check(self) -> FeedCheck | None:
        """The check, or None if the file cannot be checked."""
        return None if isinstance(self.result, str) else self.result


@dataclass(frozen=True)
class FilesCheck:
    """The check of all files of a config.

    Attributes:
        files: The check of each file, by the path of its input in the config.
        run: The findings of a run with the files, without guards and without output.
        inputs_without_file: The names of the inputs that have no file.
        doubts: Doubts about the config and the files.
    """

    files: Mapping[Path, FileCheck]
    run: RunFindings
    inputs_without_file: Sequence[str]
    doubts: Sequence[Doubt]

    @property
    def changes(self) -> dict[Path, ParserChanges]:
        """The proposed options of the parsers, by the path of the input."""
        return {
            path: file.feed_check.changes
            for path, file in self.files.items()
            if file.feed_check is not None
        }

    @property
    def verdict(self) -> str:
        """The result of a run with the files, as a clause."""
        failure = self.run.failure
        if failure is not None:
            return f"a run would fail: {failure.error_code}: {failure.error_message}"
        skus = counted(self.run.record_count, "SKU")
        return f"a run would succeed, with {skus} in the feed"

    def patch(self, request: Request) -> list[PatchStep]:
        """Return the JSON patch of the config's document that takes all proposals."""
        return parser_patch(request.document, self.changes)


def check_files(
    request: Request,
    config: TenantConfig,
    clock: RunClock,
) -> FilesCheck:
    """Check the files of a request, and try a run over them.

    Args:
        request: The files, and what a run would need.
        config: The loaded config of the request.
        clock: The clock of the run that is tried.
    """
    inputs = inputs_of(config)
    checks = {
        tenant_input.path: _checked(
            tenant_input,
            request.files.feeds[name][-1],
            request,
            config,
        )
        for name, tenant_input in inputs.items()
        if name in request.files.feeds
    }
    run = _run_findings(config, request, clock)
    names = [name for name in inputs if name not in request.files.feeds]
    return FilesCheck(
        checks,
        run,
        names,
        list(_doubts(config, request, checks)),
    )


def _checked(
    tenant_input: Input,
    feed: InputFile,
    request: Request,
    config: TenantConfig,
) -> FileCheck:
    """Return the check of the newest file of an input."""
    name = tenant_input.name
    config = tenant_input.alone(config)
    vendor = config.vendor(tenant_input.vendor_id)
    of_file = partial(FileCheck, name, config, vendor, feed.name)
    limit = request.limits.feed_bytes
    size = len(feed.data)
    if size > limit:
        error = too_large(vendor.vendor_id, "feed", size, limit)
        return of_file(error.error_message)
    try:
        sku_map = None
        map_file = request.files.sku_maps.get(vendor.vendor_id)
        # The SKUs of a part that gives columns are keys, which no map changes.
        if map_file is not None and tenant_input.part.columns is None:
            sku_map = read_sku_map(map_file.data, request.limits)
        result = check_file(feed.data, vendor, config, sku_map)
    except FeedUnreadableError as error:
        return of_file(str(error))
    return of_file(result)


def _run_findings(
    config: TenantConfig,
    request: Request,
    clock: RunClock,
) -> RunFindings:
    """Return the findings of a run with these files, without guards and without output."""
    stages = RunStages(
        config,
        config.vendors,
        request.context.requested_at,
        KEYS,
        NullSink(),
        overrides=request.overrides,
        limits=request.limits,
    )
    (last_values,) = deque(steps(stages, request, clock), maxlen=1)
    return stages.findings(last_values)


def _doubts(
    config: TenantConfig,
    request: Request,
    checks: Mapping[Path, FileCheck],
) -> Iterator[Doubt]:
    is_published = request.baseline is not None
    yield from config_doubts(config, is_published=is_published, is_local=True)
    results = []
    for path, vendor_check in checks.items():
        if vendor_check.feed_check is not None:
            results.append(vendor_check.feed_check)
            yield from findings.upload_doubts(
                ".".join(map(str, path)),
                vendor_check.feed_check,
                config,
            )
    yield from findings.policy_doubts_of(config, results)
