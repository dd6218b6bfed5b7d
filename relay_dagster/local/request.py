"""The request that the command line of a local run makes.

Everything is read and checked before anything is written. The engine is loaded only when
a check needs it, so that a usage error is reported fast.
"""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay_core.publish.artifacts import LOCAL_FOLDERS

if TYPE_CHECKING:
    from relay_core.config import Override, TenantConfig
    from relay_core.domain.limits import Limits
    from relay_core.library.inputs import InputFiles
    from relay_core.library.requests import Request
    from relay_core.mapped_files import InputFile
    from relay_core.publish.state import Baseline
    from relay_dagster.settings import LimitSettings

_CHECKED_VENDOR: Mapping[str, Any] = {
    "inbound": {"type": "local"},
    "parser": {"format": "csv"},
}
"""The sections that a vendor needs for a run, but not for a check of its feed."""


class UsageError(Exception):
    """The command line or the config has errors.

    Attributes:
        faults: The errors, one a line.
    """

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


@dataclass(frozen=True)
class LocalRequest:
    """The request of a command line.

    Attributes:
        run: Everything that the run needs.
        memory_mb: The maximum memory of the run in MiB; 0 means no limit.
        explain: The SKUs to explain.
        assumed: The required options that the config lacks, and that a check assumed.
    """

    run: Request
    memory_mb: int
    explain: Sequence[str]
    assumed: Sequence[str]


def read_request(
    arguments: argparse.Namespace,
    settings: LimitSettings,
) -> LocalRequest:
    """Read and check everything that the command line names.

    Raises:
        UsageError: The command line, the config or a file has errors.
    """
    from relay_core.domain.errors import UnsupportedSchemaVersionError
    from relay_core.domain.records import RunContext
    from relay_core.library.configs import loaded
    from relay_core.library.requests import Request

    requested_at = _moment(arguments.now)
    limits = settings.limits
    document = _document(arguments, limits)
    assumed: Sequence[str] = ()
    if arguments.check:
        document, assumed = _completed(document, arguments.vendor_file)
    config = None
    unsupported = ""
    vendor_ids: set[str] | None = None
    tenant_id = str(document.get("tenant_id") or "")
    try:
        with _usage_errors():
            config = loaded(document, limits)
    except UnsupportedSchemaVersionError as error:
        unsupported = str(error)
    else:
        vendor_ids = {vendor.vendor_id for vendor in config.vendors}
        tenant_id = config.tenant_id
    run_id = arguments.run_id or str(uuid.uuid4())
    request = Request(
        document,
        config,
        RunContext(run_id, tenant_id, requested_at),
        _input_files(arguments, config, vendor_ids, limits),
        unsupported,
        _baseline(arguments.baseline),
        _overrides(arguments.overrides, vendor_ids or (), requested_at),
        limits,
    )
    return LocalRequest(
        request,
        settings.max_run_memory_mb,
        arguments.explain,
        assumed,
    )


def config_path(arguments: argparse.Namespace) -> Path | None:
    """Return the config file that the command line names, or None for a sample tenant."""
    path: Path | None = arguments.config or arguments.path
    return path


def _input_files(
    arguments: argparse.Namespace,
    config: TenantConfig | None,
    vendor_ids: set[str] | None,
    limits: Limits,
) -> InputFiles:
    """Return the run's files: those of the command line, and those of the config."""
    from relay_core.library import inputs

    feed_paths = _feed_paths(arguments.vendor_file, config)
    map_paths = _paths_by_vendor(arguments.sku_map, "--sku-map", vendor_ids)
    path = config_path(arguments)
    folder = Path() if path is None else path.parent
    if not arguments.check:
        read_paths = [
            *chain.from_iterable(feed_paths.values()),
            *map_paths.values(),
            path,
        ]
        if config is not None:
            read_paths += inputs.configured_paths(config, folder).values()
        _check_apart(arguments.output_dir, read_paths)
    feeds, sku_maps = _samples(arguments.tenant)
    with _usage_errors():
        for name, paths in feed_paths.items():
            feeds[name] = [_read(path, limits.feed_bytes) for path in paths]
        named_maps = {
            vendor_id: _read(path, limits.sku_map_bytes)
            for vendor_id, path in map_paths.items()
        }
        locations: Mapping[str, str] = {}
        if config is not None:
            locations = inputs.locations_of(
                config,
                folder,
                "--vendor-file {name}=FILE",
            )
        if config is not None and path is not None:
            feeds |= inputs.configured_feeds(config, folder, feeds, limits)
            sku_maps |= inputs.configured_maps(config, folder, feeds, limits)
    if arguments.check and not feeds:
        raise UsageError(
            "--check: name a file with --vendor-file VENDOR=FILE, or with inbound.path in "
            "the config.",
        )
    return inputs.InputFiles(feeds, sku_maps | named_maps, locations)


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--now: {text!r} is not an ISO date and time, such as 2026-03-01T12:00:00Z.",
        ) from None
    from relay_core.domain.cell_rules import YEARS

    if moment.year not in YEARS:
        raise UsageError(
            f"--now: {text!r} is not in the years {YEARS.start} to {YEARS.stop - 1}.",
        )
    return moment


def _document(
    arguments: argparse.Namespace,
    limits: Limits,
) -> Mapping[str, Any]:
    from relay_core.config import parse_document
    from relay_core.library.configs import read_document

    path = config_path(arguments)
    with _usage_errors(path):
        if path is not None:
            return read_document(path, limits)
        text = _sample_config(arguments.tenant)
        return parse_document(text, format="yaml", limits=limits)


@contextmanager
def _usage_errors(path: Path | None = None) -> Iterator[None]:
    """Report faults of configs, and files that cannot be read, as usage errors."""
    from relay_core.domain.errors import ConfigError

    try:
        yield
    except ConfigError as error:
        raise UsageError(*map(str, error.faults)) from None
    except OSError as error:
        name = error.filename or path
        raise UsageError(f"{name}: {error.strerror or error}") from None


def _completed(
    document: Mapping[str, Any],
    vendor_files: Sequence[str],
) -> tuple[Mapping[str, Any], Sequence[str]]:
    """Return a config with the options that a check of feeds does not need.

    So a config can be checked as soon as it names its vendors. If it has none, the
    vendors are those of the named files.

    Returns:
        The config, and the paths of the added options outside of its vendors.
    """
    from relay_core.samples.starter import starter_config

    # A file can be of a part of its vendor: VENDOR/PART=FILE.
    named_ids = dict.fromkeys(
        pair.partition("=")[0].partition("/")[0] for pair in vendor_files
    )
    vendors = document.get("vendors") or [
        {"vendor_id": vendor_id} for vendor_id in named_ids
    ]
    if isinstance(vendors, list):
        vendors = [
            {**_CHECKED_VENDOR, **vendor}
            if isinstance(vendor, dict)
            else vendor
            for vendor in vendors
        ]
    completed = {**document, "vendors": vendors}
    assumed = []
    for name, default in starter_config().items():
        if completed.get(name) is None:
            completed[name] = default
            assumed.append(name)
        elif isinstance(default, dict) and isinstance(document[name], dict):
            completed[name] = {**default, **document[name]}
            assumed += [
                f"{name}.{option}"
                for option in default
                if option not in document[name]
            ]
    return completed, assumed


def _sample_config(tenant: str) -> str:
    from relay_core.samples import SAMPLE_TENANTS, sample_config_text

    if tenant not in SAMPLE_TENANTS:
        raise UsageError(
            f"--tenant: there is no sample tenant {tenant!r}. The sample tenants are "
            f"{', '.join(SAMPLE_TENANTS)}.",
        )
    return sample_config_text(tenant)


def _samples(
    tenant: str | None,
) -> tuple[dict[str, list[InputFile]], dict[str, InputFile]]:
    """Return the files of a sample tenant by input, and its SKU maps by vendor."""
    if tenant is None:
        return {}, {}
    from relay_core.mapped_files import InputFile
    from relay_core.samples import sample_files, sample_sku_maps

    feeds = {
        name: [InputFile(*file) for file in files]
        for name, files in sample_files(tenant).items()
    }
    sku_maps = {
        vendor_id: InputFile(*sample)
        for vendor_id, sample in sample_sku_maps(tenant).items()
    }
    return feeds, sku_maps


def _feed_paths(
    pairs: Sequence[str],
    config: TenantConfig | None,
) -> dict[str, list[Path]]:
    """Return the paths of `--vendor-file VENDOR=FILE` and `VENDOR/PART=FILE`, by input.

    An input with ``changes`` may be named several times: its full file first, and then
    its files of changes, in order.

    Raises:
        UsageError: A pair is not valid, or its input is unknown or has too many files.
    """
    from relay_core.library.inputs import faults_of_names

    paths: dict[str, list[Path]] = {}
    faults = []
    for pair in pairs:
        name, _, file_name = pair.partition("=")
        if name and file_name:
            paths.setdefault(name, []).append(Path(file_name))
        else:
            faults.append(
                f"{pair!r} does not have the form VENDOR=FILE or VENDOR/PART=FILE.",
            )
    counts = {name: len(named_paths) for name, named_paths in paths.items()}
    if config is not None:
        faults += faults_of_names(counts, config)
    else:
        faults += [
            f"{name} is named twice. It has one file."
            for name, count in counts.items()
            if count > 1
        ]
    if faults:
        raise UsageError(*(f"--vendor-file: {fault}" for fault in faults))
    return paths


def _paths_by_vendor(
    pairs: Sequence[str],
    option: str,
    vendor_ids: set[str] | None,
) -> dict[str, Path]:
    """Return the paths of an option's `VENDOR=FILE` pairs, by vendor.

    Raises:
        UsageError: A pair is not valid, or its vendor is unknown or repeated.
    """
    paths: dict[str, Path] = {}
    faults = []
    for pair in pairs:
        vendor_id, _, name = pair.partition("=")
        if not vendor_id or not name:
            faults.append(
                f"{option}: {pair!r} does not have the form VENDOR=FILE.",
            )
        elif vendor_id in paths:
            faults.append(
                f"{option}: {vendor_id} is named twice. A vendor has one file.",
            )
        elif vendor_ids is not None and vendor_id not in vendor_ids:
            faults.append(
                f"{option}: the config has no vendor {vendor_id!r}. Its vendors are "
                f"{', '.join(sorted(vendor_ids))}.",
            )
        paths[vendor_id] = Path(name)
    if faults:
        raise UsageError(*faults)
    return paths


def _check_apart(output_dir: Path, inputs: Iterable[Path | None]) -> None:
    """Check that no input is in a folder that the run replaces.

    Raises:
        UsageError: An input is in one of these folders.
    """
    replaced_folders = [(output_dir / name).resolve() for name in LOCAL_FOLDERS]
    for path in filter(None, inputs):
        for folder in replaced_folders:
            if path.resolve().is_relative_to(folder):
                raise UsageError(
                    f"{path} is in a folder of --output-dir that this run replaces. Move the "
                    "file.",
                )


def _read(path: Path, limit: int) -> InputFile:
    from relay_core.mapped_files import InputFile

    with _usage_errors(path):
        return InputFile.at(path, limit)


def _overrides(
    path: Path | None,
    vendor_ids: Iterable[str],
    requested_at: datetime,
) -> Sequence[Override]:
    """Return the overrides of a file that are in effect for the run."""
    from relay_core.library.inputs import read_overrides

    if path is None:
        return ()
    try:
        with _usage_errors(path):
            return read_overrides(path, [*vendor_ids], requested_at)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"--overrides: {path} is not UTF-8 at byte {error.start}.",
        ) from None


def _baseline(path: Path | None) -> Baseline | None:
    from relay_core.domain.errors import StateUnreadableError
    from relay_core.library.inputs import read_baseline

    if path is None:
        return None
    try:
        with _usage_errors(path):
            return read_baseline(path)
    except StateUnreadableError as error:
        raise UsageError(f"--baseline: {path}: {error}") from None
