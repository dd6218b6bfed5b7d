"""The files of a run on this machine: those that a caller names, and those of the config."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

# Before the modules that use Arrow's functions: it loads them without descriptions.
from relay_core.columnar import arrow_start as arrow_start
from relay_core.config import Override, TenantConfig, VendorConfig
from relay_core.config.inputs.parts import InputPart
from relay_core.config.inputs.uploads import FileKind
from relay_core.config.overrides import overrides_in_effect, parse_overrides
from relay_core.domain.input_names import name_of
from relay_core.domain.limits import Limits
from relay_core.library.configs import MAX_CONFIG_BYTES
from relay_core.mapped_files import InputFile
from relay_core.publish.state import Baseline, read_state

MAX_STATE_BYTES = 1 << 31
"""The maximum size of a state that is read from a pipe; the memory is allocated at once."""
_WILDCARDS = re.compile(r"[*?]")


@dataclass(frozen=True)
class InputFiles:
    """The files of a run.

    Attributes:
        feeds: The files of each input, in reading order, by its name.
        sku_maps: The SKU maps by vendor.
        locations: The place where a file of each input is looked for, for messages.
    """

    feeds: Mapping[str, Sequence[InputFile]]
    sku_maps: Mapping[str, InputFile]
    locations: Mapping[str, str]

    @property
    def size(self) -> int:
        """The bytes of all feeds."""
        return sum(
            len(file.data) for files in self.feeds.values() for file in files
        )

    def of_vendor(
        self,
        vendor: VendorConfig,
    ) -> list[tuple[str | None, FileKind, InputFile]]:
        """Return the part, the kind and the data of each file of a vendor.

        The first file of a part is full, and the others are files of changes, whatever
        their names are.
        """
        files: list[tuple[str | None, FileKind, InputFile]] = []
        for part in vendor.input_parts:
            name = name_of(vendor.vendor_id, part.part_id)
            for index, file in enumerate(self.feeds.get(name, ())):
                files.append((part.part_id, "delta" if index else "full", file))
        return files


def faults_of_names(
    counts: Mapping[str, int],
    config: TenantConfig,
) -> Iterator[str]:
    """Yield the faults of the inputs that a caller names, as sentences.

    Args:
        counts: The number of files that the caller names for each input.
        config: The tenant's config.
    """
    parts = _parts(config)
    for name, count in counts.items():
        if name not in parts:
            yield (
                f"the config has no vendor {name!r}. Its vendors are "
                f"{', '.join(sorted(parts))}."
            )
        elif count > 1 and parts[name].changes is None:
            yield f"{name} is named twice. It has one file."


def configured_feeds(
    config: TenantConfig,
    folder: Path,
    named: Collection[str],
    limits: Limits,
) -> dict[str, list[InputFile]]:
    """Return the files that the config names with ``inbound.path``, as far as they exist.

    Args:
        config: The tenant's config.
        folder: The folder that paths are relative to.
        named: The inputs whose files the caller names; their paths are not read.
        limits: The limits of feeds.

    Raises:
        OSError: A file exists and cannot be read.
    """
    feeds = {}
    for name, path in configured_paths(config, folder).items():
        if name not in named:
            feeds[name] = [InputFile.at(path, limits.feed_bytes)]
    return feeds


def configured_paths(config: TenantConfig, folder: Path) -> dict[str, Path]:
    """Return the files that the config names with ``inbound.path``, by input.

    Inputs without a file are left out.
    """
    paths = {}
    for name, part in _parts(config).items():
        if part.inbound.path is not None:
            path = newest_file(folder / part.inbound.path)
            if path is not None:
                paths[name] = path
    return paths


def configured_maps(
    config: TenantConfig,
    folder: Path,
    vendors_with_feed: Collection[str],
    limits: Limits,
) -> dict[str, InputFile]:
    """Return the SKU maps that the config names as files, as far as they exist.

    Args:
        config: The tenant's config.
        folder: The folder that paths are relative to.
        vendors_with_feed: The vendors with a file; maps of other vendors are not read.
        limits: The limits of SKU maps.

    Raises:
        OSError: A map exists and cannot be read.
    """
    sku_maps = {}
    for vendor in config.vendors:
        sku_map = vendor.sku_map
        has_feed = vendor.vendor_id in vendors_with_feed
        if has_feed and sku_map is not None and sku_map.local_path:
            path = folder / sku_map.local_path
            if _is_file(path):
                file = InputFile.at(path, limits.sku_map_bytes)
                sku_maps[vendor.vendor_id] = file
    return sku_maps


def locations_of(
    config: TenantConfig,
    folder: Path,
    option: str,
) -> dict[str, str]:
    """Return the place where a file of each input is looked for, for messages.

    Args:
        config: The tenant's config.
        folder: The folder that paths are relative to.
        option: What names a file, with the placeholder ``name`` for the input.
    """
    locations = {}
    for name, part in _parts(config).items():
        inbound = part.inbound
        if inbound.path is not None:
            locations[name] = str(folder / inbound.path)
        else:
            locations[name] = inbound.s3_prefix or option.format(name=name)
    return locations


def read_overrides(
    path: Path,
    vendor_ids: Collection[str],
    requested_at: datetime,
) -> Sequence[Override]:
    """Return the overrides of a file that are in effect for a run.

    Raises:
        ConfigError: The file has faults.
        OSError: The file cannot be read.
        UnicodeDecodeError: The file is not UTF-8.
    """
    file = InputFile.at(path, MAX_CONFIG_BYTES)
    text = bytes(file.data).decode("utf-8-sig")
    overrides = parse_overrides(text, vendor_ids)
    return overrides_in_effect(overrides, requested_at)


def read_baseline(path: Path) -> Baseline:
    """Return the state of the feed that a run is compared with.

    Raises:
        OSError: The file cannot be read.
        StateUnreadableError: The file is not a state.
    """
    return read_state(InputFile.at(path, MAX_STATE_BYTES).data, keeps_rows=True)


def _parts(config: TenantConfig) -> dict[str, InputPart]:
    """Return the parts of all vendors and of the catalog, by the name of the input."""
    return {
        name_of(vendor.vendor_id, part.part_id): part
        for vendor in config.vendors_and_catalog
        for part in vendor.input_parts
    }


def newest_file(path: Path) -> Path | None:
    """Return the newest file of a pattern, or None if there is none.

    Among equally new files, it is the last one by name. Only the last part of the path is a
    pattern, with ``*`` and ``?``.
    """
    if not _WILDCARDS.search(path.name):
        return path if _is_file(path) else None
    matches = re.compile(_as_regex(path.name), re.DOTALL).fullmatch
    newest: tuple[int, str] | None = None
    try:
        files = [file for file in path.parent.iterdir() if matches(file.name)]
    except OSError:
        return None
    for file in files:
        if _is_file(file):
            age = (file.stat().st_mtime_ns, file.name)
            newest = age if newest is None else max(newest, age)
    return None if newest is None else path.parent / newest[1]


def _as_regex(pattern: str) -> str:
    """Return the regular expression of a pattern with ``*`` and ``?``."""
    parts = {"*": ".*", "?": "."}
    return "".join(parts.get(char, re.escape(char)) for char in pattern)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # No file system accepts the name.
        return False
