"""What the local runner is asked for: its command line, and the files that it names.

Reads and checks everything before anything is written; runs nothing.
"""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from relay_dagster.mapped_files import InputFile

if TYPE_CHECKING:
    from relay_core.config import Override, TenantConfig
    from relay_core.domain.limits import Limits
    from relay_core.domain.records import RunContext
    from relay_core.publish.state import Baseline
    from relay_dagster.settings import LimitSettings

FOLDERS = ("normalized", "outputs", "reports", "published")
"""What a run leaves under its output folder, and replaces there."""
_MAX_OF_STATE = 1 << 31
"""So much of a state is read from a pipe; room for it is asked for at once."""
_MAX_OF_CONFIG = 8_000_000
"""No config has more bytes, white space and comments included."""


class UsageError(Exception):
    """What must be put right in the command line or the config first; one fault a line."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


@dataclass(frozen=True)
class Request:
    """All that a run needs, read and checked; ``memory_mb`` MiB it may take, 0 is no limit.

    ``explain`` are the SKUs to tell of.
    """

    document: Mapping[str, Any]
    config: TenantConfig | None  # None: the document's schema_version is not ours
    unsupported: str
    context: RunContext
    feeds: Mapping[str, InputFile]
    sku_maps: Mapping[str, InputFile]
    baseline: Baseline | None
    limits: Limits
    memory_mb: int
    explain: Sequence[str] = ()
    overrides: Sequence[Override] = ()


def parser() -> argparse.ArgumentParser:
    """Return the reader of the command line."""
    options = argparse.ArgumentParser(
        description="Run one tenant's feeds on this machine.", allow_abbrev=False
    )
    source = options.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--config", type=Path, metavar="FILE", help="the tenant's config, YAML or JSON"
    )
    source.add_argument(
        "--tenant", metavar="NAME", help="a bundled sample tenant, such as acme_parts"
    )
    for option, what in (("--vendor-file", "a feed"), ("--sku-map", "a SKU map")):
        options.add_argument(
            option,
            action="append",
            default=[],
            metavar="VENDOR=FILE",
            help=f"{what}; can be repeated",
        )
    options.add_argument(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="published/state.parquet of the run whose feed this one is compared with",
    )
    options.add_argument(
        "--overrides",
        type=Path,
        metavar="FILE",
        help="the last word on single SKUs, as reports/overrides.json has it",
    )
    options.add_argument(
        "--explain",
        action="append",
        default=[],
        metavar="SKU",
        help="print why its row of the feed is what it is, as a JSON line; can be repeated",
    )
    options.add_argument(
        "--check",
        action="store_true",
        help="run nothing and write nothing: look at the feeds' heads, say what is wrong, and "
        "print the config patch that would mend it",
    )
    options.add_argument(
        "--output-dir",
        type=Path,
        metavar="DIR",
        help="where a run writes; needed but for --check",
    )
    options.add_argument(
        "--run-id", default=None, metavar="ID", help="default: a new UUID"
    )
    options.add_argument(
        "--now",
        default=None,
        metavar="ISO",
        help="the run's requested_at; default: now",
    )
    return options


def read_request(arguments: argparse.Namespace, settings: LimitSettings) -> Request:
    """Read and check everything that the command line names; raise UsageError with every fault."""
    from relay_core.domain.errors import UnsupportedSchemaVersionError
    from relay_core.domain.records import RunContext

    if arguments.output_dir is None and not arguments.check:
        raise UsageError("--output-dir: a run needs one; --check alone does without")
    requested_at, limits = _moment(arguments.now), settings.limits
    document = _document(arguments, limits)
    config, unsupported = None, ""
    try:
        config = _config(document, limits)
    except UnsupportedSchemaVersionError as error:
        unsupported = str(error)
    known = {vendor.vendor_id for vendor in config.vendors} if config else None
    feed_paths = _named(arguments.vendor_file, "--vendor-file", known)
    map_paths = _named(arguments.sku_map, "--sku-map", known)
    if not arguments.check:
        inputs = [*feed_paths.values(), *map_paths.values(), arguments.config]
        _check_apart(arguments.output_dir, inputs)
    feeds, sku_maps = _samples(arguments.tenant)
    feeds |= {name: _read(path, limits.feed_bytes) for name, path in feed_paths.items()}
    sku_maps |= {
        name: _read(path, limits.sku_map_bytes) for name, path in map_paths.items()
    }
    if arguments.check and not feeds:
        raise UsageError(
            "--check: looks at feeds; name one with --vendor-file VENDOR=FILE"
        )
    if config is not None and arguments.config is not None:
        sku_maps = (
            _configured_maps(config, arguments.config.parent, feeds, limits) | sku_maps
        )
    tenant_id = str(config.tenant_id if config else document.get("tenant_id") or "")
    context = RunContext(arguments.run_id or str(uuid.uuid4()), tenant_id, requested_at)
    overrides = _overrides(arguments.overrides, known or (), requested_at)
    baseline = None if arguments.baseline is None else _state(arguments.baseline)
    return Request(
        document,
        config,
        unsupported,
        context,
        feeds,
        sku_maps,
        baseline,
        limits,
        settings.max_run_memory_mb,
        arguments.explain,
        overrides,
    )


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(
            UTC
        )
    except (ValueError, OverflowError):
        raise UsageError(
            f"--now: {text!r} is no ISO date and time, such as 2026-03-01T12:00:00Z"
        ) from None
    from relay_core.domain.cell_rules import YEARS

    if moment.year not in YEARS:
        raise UsageError(
            f"--now: {text!r} is not of the years {YEARS.start} to {YEARS.stop - 1}"
        )
    return moment


def _document(arguments: argparse.Namespace, limits: Limits) -> Mapping[str, Any]:
    from relay_core.config import parse_document
    from relay_core.domain.errors import ConfigError

    written: Literal["json", "yaml"] = "yaml"
    if arguments.config is None:
        text: str | bytes = _sample_config(arguments.tenant)
    else:
        text = bytes(_read(arguments.config, _MAX_OF_CONFIG).data[: _MAX_OF_CONFIG + 1])
        written = "json" if arguments.config.suffix.lower() == ".json" else "yaml"
    try:
        return parse_document(text, format=written, limits=limits)
    except ConfigError as error:
        raise UsageError(*map(str, error.faults)) from None


def _config(document: Mapping[str, Any], limits: Limits) -> TenantConfig:
    from relay_core.config import load_config
    from relay_core.domain.errors import ConfigError

    try:
        return load_config(document, limits)
    except ConfigError as error:
        raise UsageError(*map(str, error.faults)) from None


def _sample_config(tenant: str) -> str:
    from relay_core.samples import SAMPLE_TENANTS, sample_config_text

    if tenant not in SAMPLE_TENANTS:
        raise UsageError(
            f"--tenant: no sample tenant {tenant!r}; there is {', '.join(SAMPLE_TENANTS)}"
        )
    return sample_config_text(tenant)


def _samples(tenant: str | None) -> tuple[dict[str, InputFile], dict[str, InputFile]]:
    if tenant is None:
        return {}, {}
    from relay_core.samples import sample_feeds, sample_sku_maps

    feeds, sku_maps = sample_feeds(tenant), sample_sku_maps(tenant)
    return _files(feeds), _files(sku_maps)


def _files(samples: Mapping[str, tuple[str, bytes]]) -> dict[str, InputFile]:
    return {vendor_id: InputFile(*made) for vendor_id, made in samples.items()}


def _named(
    pairs: Sequence[str], option: str, known: set[str] | None
) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    faults = []
    for pair in pairs:
        vendor_id, _, name = pair.partition("=")
        if not vendor_id or not name:
            faults.append(f"{option}: {pair!r} is not VENDOR=FILE")
        elif vendor_id in paths:
            faults.append(
                f"{option}: {vendor_id} is named twice; a vendor has one file"
            )
        elif known is not None and vendor_id not in known:
            faults.append(
                f"{option}: the config has no vendor {vendor_id!r}, only {sorted(known)}"
            )
        paths[vendor_id] = Path(name)
    if faults:
        raise UsageError(*faults)
    return paths


def _check_apart(output_dir: Path, inputs: Iterable[Path | None]) -> None:
    """Refuse inputs in the folders that the run replaces."""
    replaced = [(output_dir / name).resolve() for name in FOLDERS]
    for path in filter(None, inputs):
        if any(path.resolve().is_relative_to(folder) for folder in replaced):
            raise UsageError(
                f"{path}: lies in a folder of --output-dir that this run replaces; move it"
            )


def _read(path: Path, limit: int) -> InputFile:
    try:
        return InputFile.at(path, limit)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None


def _overrides(
    path: Path | None, vendor_ids: Iterable[str], requested_at: datetime
) -> Sequence[Override]:
    """Return what a run uses of the overrides in a file."""
    from relay_core.config import overrides_in_effect, parse_overrides
    from relay_core.domain.errors import ConfigError

    if path is None:
        return ()
    try:
        text = bytes(_read(path, _MAX_OF_CONFIG).data).decode("utf-8-sig")
        return overrides_in_effect(parse_overrides(text, vendor_ids), requested_at)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"--overrides: {path} is not UTF-8 at byte {error.start}"
        ) from None
    except ConfigError as error:
        raise UsageError(*map(str, error.faults)) from None


def _state(path: Path) -> Baseline:
    from relay_core.domain.errors import StateUnreadableError
    from relay_core.publish.state import read_state

    try:
        return read_state(_read(path, _MAX_OF_STATE).data, keeps_rows=True)
    except StateUnreadableError as error:
        raise UsageError(f"--baseline: {path}: {error}") from None


def _configured_maps(
    config: TenantConfig, folder: Path, feeds: Mapping[str, InputFile], limits: Limits
) -> dict[str, InputFile]:
    """Read the SKU maps that are there of those that the config names as files."""
    found = {}
    for vendor in config.vendors:
        sku_map = vendor.sku_map
        if vendor.vendor_id in feeds and sku_map is not None and sku_map.local_path:
            path = folder / sku_map.local_path
            if _is_there(path):
                found[vendor.vendor_id] = _read(path, limits.sku_map_bytes)
    return found


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that no file system takes
        return False
