"""The request of a local run: its command line, and the files that it names.

Everything is read and checked before anything is written. The engine is loaded only when
a check needs it, so that a usage error is reported fast.
"""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from relay_core.domain.input_names import name_of
from relay_core.publish.artifacts import LOCAL_FOLDERS
from relay_dagster.mapped_files import InputFile

if TYPE_CHECKING:
    from relay_core.config import Override, TenantConfig
    from relay_core.domain.limits import Limits
    from relay_core.domain.records import RunContext
    from relay_core.publish.state import Baseline
    from relay_dagster.settings import LimitSettings

_MAX_STATE_BYTES = 1 << 31
"""The maximum size of a state that is read from a pipe; the memory is allocated at once."""
_MAX_CONFIG_BYTES = 8_000_000
"""The maximum size of a config file, including white space and comments."""


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
class Request:
    """Everything that a run needs, read and checked.

    Attributes:
        document: The config as it was read.
        config: The loaded config, or None if its schema version is not supported.
        unsupported: The message about an unsupported schema version.
        context: The run's identity and time.
        feeds: The files of each input, in reading order, by its name.
        sku_maps: The SKU maps by vendor.
        baseline: The state of the feed to compare with, if there is one.
        limits: The limits of feeds and reports.
        memory_mb: The maximum memory of the run in MiB; 0 means no limit.
        explain: The SKUs to explain.
        overrides: The overrides that are in effect.
        assumed: The required options that the config lacks, and that a check assumed.
    """

    document: Mapping[str, Any]
    config: TenantConfig | None
    unsupported: str
    context: RunContext
    feeds: Mapping[str, Sequence[InputFile]]
    sku_maps: Mapping[str, InputFile]
    baseline: Baseline | None
    limits: Limits
    memory_mb: int
    explain: Sequence[str] = ()
    overrides: Sequence[Override] = ()
    assumed: Sequence[str] = ()


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    options = argparse.ArgumentParser(
        description="Run one tenant's feeds on this machine.",
        allow_abbrev=False,
    )
    _add_inputs(options)
    _add_actions(options)
    return options


def _add_inputs(options: argparse.ArgumentParser) -> None:
    source = options.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="config file of the tenant, YAML or JSON",
    )
    source.add_argument(
        "--tenant",
        metavar="NAME",
        help="bundled sample tenant, such as acme_parts",
    )
    options.add_argument(
        "--vendor-file",
        action="append",
        default=[],
        metavar="VENDOR=FILE",
        help="feed of a vendor, or of a part as VENDOR/PART=FILE; can be repeated",
    )
    options.add_argument(
        "--sku-map",
        action="append",
        default=[],
        metavar="VENDOR=FILE",
        help="SKU map of a vendor; can be repeated",
    )
    options.add_argument(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="published/state.parquet of the run to compare the feed with",
    )
    options.add_argument(
        "--overrides",
        type=Path,
        metavar="FILE",
        help="SKU overrides, in the form of reports/overrides.json",
    )


def _add_actions(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "--explain",
        action="append",
        default=[],
        metavar="SKU",
        help="explain the SKU's row of the feed as a JSON line; can be repeated",
    )
    options.add_argument(
        "--check",
        action="store_true",
        help="check the feeds without a run: print their problems and the config patch that "
        "fixes them, and write nothing",
    )
    options.add_argument(
        "--output-dir",
        type=Path,
        metavar="DIR",
        help="output folder of the run; required except with --check",
    )
    options.add_argument(
        "--run-id",
        default=None,
        metavar="ID",
        help="run ID; by default a new UUID",
    )
    options.add_argument(
        "--now",
        default=None,
        metavar="ISO",
        help="requested_at of the run; by default now",
    )


def read_request(
    arguments: argparse.Namespace,
    settings: LimitSettings,
) -> Request:
    """Read and check everything that the command line names.

    Raises:
        UsageError: The command line, the config or a file has errors.
    """
    from relay_core.domain.errors import UnsupportedSchemaVersionError
    from relay_core.domain.records import RunContext

    if arguments.output_dir is None and not arguments.check:
        raise UsageError("--output-dir: a run needs an output folder.")
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
        config = _config(document, limits)
    except UnsupportedSchemaVersionError as error:
        unsupported = str(error)
    else:
        vendor_ids = {vendor.vendor_id for vendor in config.vendors}
        tenant_id = config.tenant_id
    feeds, sku_maps = _input_files(arguments, config, vendor_ids, limits)
    run_id = arguments.run_id or str(uuid.uuid4())
    overrides = _overrides(arguments.overrides, vendor_ids or (), requested_at)
    baseline_path = arguments.baseline
    baseline = None if baseline_path is None else _state(baseline_path)
    return Request(
        document,
        config,
        unsupported,
        RunContext(run_id, tenant_id, requested_at),
        feeds,
        sku_maps,
        baseline,
        limits,
        settings.max_run_memory_mb,
        arguments.explain,
        overrides,
        assumed,
    )


def _input_files(
    arguments: argparse.Namespace,
    config: TenantConfig | None,
    vendor_ids: set[str] | None,
    limits: Limits,
) -> tuple[Mapping[str, Sequence[InputFile]], Mapping[str, InputFile]]:
    """Return the files by input, and the SKU maps by vendor."""
    feed_paths = _feed_paths(arguments.vendor_file, config)
    map_paths = _paths_by_vendor(arguments.sku_map, "--sku-map", vendor_ids)
    if not arguments.check:
        inputs = [
            *chain.from_iterable(feed_paths.values()),
            *map_paths.values(),
            arguments.config,
        ]
        _check_apart(arguments.output_dir, inputs)
    feeds, sku_maps = _samples(arguments.tenant)
    for name, paths in feed_paths.items():
        feeds[name] = [_read(path, limits.feed_bytes) for path in paths]
    named_maps = {
        vendor_id: _read(path, limits.sku_map_bytes)
        for vendor_id, path in map_paths.items()
    }
    if arguments.check and not feeds:
        raise UsageError("--check: name a feed with --vendor-file VENDOR=FILE.")
    sku_maps |= named_maps
    if config is not None and arguments.config is not None:
        folder = arguments.config.parent
        sku_maps = _configured_maps(config, folder, feeds, limits) | sku_maps
    return feeds, sku_maps


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
    from relay_core.domain.errors import ConfigError

    file_format: Literal["json", "yaml"] = "yaml"
    text: str | bytes
    if arguments.config is None:
        text = _sample_config(arguments.tenant)
    else:
        file = _read(arguments.config, _MAX_CONFIG_BYTES)
        # One byte more than the maximum shows that the file is too large.
        text = bytes(file.data[: _MAX_CONFIG_BYTES + 1])
        if arguments.config.suffix.lower() == ".json":
            file_format = "json"
    try:
        return parse_document(text, format=file_format, limits=limits)
    except ConfigError as error:
        raise UsageError(*map(str, error.faults)) from None


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


def _config(document: Mapping[str, Any], limits: Limits) -> TenantConfig:
    from relay_core.config import load_config
    from relay_core.domain.errors import ConfigError

    try:
        config = load_config(document, limits)
    except ConfigError as error:
        raise UsageError(*map(str, error.faults)) from None
    if not config.vendors:
        raise UsageError(
            "vendors: the config has no vendors, so there is nothing to run. Add a vendor.",
        )
    return config


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
    from relay_core.samples import sample_files, sample_sku_maps

    feeds = {
        name: [InputFile(*file) for file in files]
        for name, files in sample_files(tenant).items()
    }
    return feeds, _files(sample_sku_maps(tenant))


def _files(samples: Mapping[str, tuple[str, bytes]]) -> dict[str, InputFile]:
    return {
        vendor_id: InputFile(*sample) for vendor_id, sample in samples.items()
    }


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
    parts = None
    if config is not None:
        parts = {
            name_of(vendor.vendor_id, part.part_id): part
            for vendor in config.vendors_and_catalog
            for part in vendor.input_parts
        }
    paths: dict[str, list[Path]] = {}
    faults = []
    for pair in pairs:
        name, _, file_name = pair.partition("=")
        paths_of_input = paths.setdefault(name, [])
        paths_of_input.append(Path(file_name))
        fault = None
        if not name or not file_name:
            fault = f"{pair!r} does not have the form VENDOR=FILE or VENDOR/PART=FILE."
        elif parts is not None and name not in parts:
            fault = (
                f"the config has no vendor {name!r}. Its vendors are "
                f"{', '.join(sorted(parts))}."
            )
        elif len(paths_of_input) > 1 and (
            parts is None or parts[name].changes is None
        ):
            fault = f"{name} is named twice. It has one file."
        if fault is not None:
            faults.append(f"--vendor-file: {fault}")
    if faults:
        raise UsageError(*faults)
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
    try:
        return InputFile.at(path, limit)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None


def _overrides(
    path: Path | None,
    vendor_ids: Iterable[str],
    requested_at: datetime,
) -> Sequence[Override]:
    """Return the overrides of a file that are in effect for the run."""
    from relay_core.config import overrides_in_effect, parse_overrides
    from relay_core.domain.errors import ConfigError

    if path is None:
        return ()
    try:
        text = bytes(_read(path, _MAX_CONFIG_BYTES).data).decode("utf-8-sig")
        return overrides_in_effect(
            parse_overrides(text, vendor_ids),
            requested_at,
        )
    except UnicodeDecodeError as error:
        raise UsageError(
            f"--overrides: {path} is not UTF-8 at byte {error.start}.",
        ) from None
    except ConfigError as error:
        raise UsageError(*map(str, error.faults)) from None


def _state(path: Path) -> Baseline:
    from relay_core.domain.errors import StateUnreadableError
    from relay_core.publish.state import read_state

    try:
        return read_state(_read(path, _MAX_STATE_BYTES).data, keeps_rows=True)
    except StateUnreadableError as error:
        raise UsageError(f"--baseline: {path}: {error}") from None


def _configured_maps(
    config: TenantConfig,
    folder: Path,
    feeds: Mapping[str, Sequence[InputFile]],
    limits: Limits,
) -> dict[str, InputFile]:
    """Return the SKU maps that the config names as files, as far as they exist.

    Args:
        config: The tenant's config.
        folder: The folder of the config file.
        feeds: The files by input; maps of other vendors are not read.
        limits: The limits of SKU maps.
    """
    sku_maps = {}
    for vendor in config.vendors:
        sku_map = vendor.sku_map
        if (
            vendor.vendor_id in feeds
            and sku_map is not None
            and sku_map.local_path
        ):
            path = folder / sku_map.local_path
            if _exists(path):
                sku_maps[vendor.vendor_id] = _read(path, limits.sku_map_bytes)
    return sku_maps


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # No file system accepts the name.
        return False
