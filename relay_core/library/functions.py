"""The functions of the library: run, check, and propose, over files of this machine."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from relay_core.config import Override, load_overrides, overrides_in_effect
from relay_core.config.reading.json_patch import apply_patch
from relay_core.domain.cell_rules import YEARS
from relay_core.domain.errors import StateUnreadableError
from relay_core.domain.limits import DEFAULT_LIMITS
from relay_core.domain.records import RunContext
from relay_core.first_config.answers import likeliest_answers
from relay_core.first_config.config_text import drafts_of, first_config
from relay_core.library import inputs
from relay_core.library.checks import check_files
from relay_core.library.configs import Config, ConfigSource, load_config
from relay_core.library.requests import Request
from relay_core.library.results import Check, Result
from relay_core.library.runner import Means, RunClock
from relay_core.library.runner import run as run_request
from relay_core.library.sinks import MemorySink
from relay_core.mapped_files import InputFile
from relay_core.publish.state import Baseline, read_state

AnyPath: TypeAlias = str | os.PathLike[str]
File: TypeAlias = AnyPath | bytes
"""A file: its path, or its bytes."""
Files: TypeAlias = Mapping[str, File | Sequence[File]]
"""The files of a run by input: ``VENDOR``, ``VENDOR/PART``, or ``catalog``."""


def run(
    config: ConfigSource,
    files: Files | None = None,
    *,
    now: datetime | None = None,
    run_id: str | None = None,
    baseline: Result | AnyPath | None = None,
    overrides: AnyPath | Sequence[Mapping[str, Any]] | None = None,
) -> Result:
    """Run a config over files, and return the result; nothing is written.

    Args:
        config: A config, or what `load_config` loads one from.
        files: The files by vendor: ``{"vendor_1": path_or_bytes}``, with ``VENDOR/PART``
            for a part and ``catalog`` for the catalog. An input with ``changes`` takes a
            list: its full file, and then its files of changes. Vendors that are not
            named have the files of ``inbound.path``.
        now: The time of the run. The default is now.
        run_id: The ID of the run. The default is a new UUID.
        baseline: The run that the feed is compared with: a result that succeeded, or the
            path of its ``published/state.parquet``.
        overrides: SKU overrides: a file or a list, in the form of ``overrides.json``.

    Returns:
        The result. A run over wrong data is one with ``status`` ``failed``.

    Raises:
        ConfigError: The config or an override has faults.
        OSError: A named file cannot be read.
        TypeError: An argument has another type.
        ValueError: An argument names a vendor that the config lacks, or a baseline that
            is none.
    """
    loaded = load_config(config)
    request = _request(
        loaded,
        files,
        now,
        run_id,
        _baseline(baseline),
        overrides,
    )
    load_pandas()
    with MemorySink() as sink:
        # The work files are what explanations are made from.
        local_run = run_request(request, Means(sink, hands_over=True))
        contents = sink.contents
    return Result(request.context.run_id, loaded.tenant, local_run, contents)


def check(config: ConfigSource, files: Files | None = None) -> Check:
    """Check files against a config, and propose the changes to the config that they need.

    The arguments and the errors are those of `run`.
    """
    loaded = load_config(config)
    request = _request(loaded, files)
    load_pandas()
    result = check_files(request, loaded.tenant, RunClock())
    patch = result.patch(request)
    document = apply_patch(loaded.document, patch)
    proposed = load_config(document)
    return Check(
        "succeeds" if result.run.failure is None else "fails",
        f"{result.verdict[0].upper()}{result.verdict[1:]}",
        [doubt.as_dict() for doubt in result.doubts],
        [asdict(step) for step in patch],
        Config(proposed.tenant, document, loaded.folder),
    )


def propose(files: AnyPath | Iterable[AnyPath] | Mapping[str, bytes]) -> str:
    """Return a first config for vendors' files, as `relay new` writes it to this folder.

    Args:
        files: The paths of the files, one per vendor, or the bytes of each by file name.

    Returns:
        The config as YAML, with a comment above each line.

    Raises:
        OSError: A file cannot be read.
        ValueError: There are no files, or too many.
    """
    named_files = _named_files(files)
    limits = DEFAULT_LIMITS
    load_pandas()
    if not 0 < len(named_files) <= limits.vendors:
        raise ValueError(
            f"A config has 1 to {limits.vendors} vendors, one per file, not "
            f"{len(named_files)}.",
        )
    answers = likeliest_answers(drafts_of(named_files, limits))
    return first_config(answers, limits, datetime.now(UTC)).text


def _named_files(
    files: AnyPath | Iterable[AnyPath] | Mapping[str, bytes],
) -> list[tuple[InputFile, str | None]]:
    """Return the files, each with its path from this folder, or None without one."""
    if isinstance(files, Mapping):
        return [(InputFile(name, data), None) for name, data in files.items()]
    paths = [files] if isinstance(files, str | os.PathLike) else [*files]
    return [
        (
            InputFile.at(Path(path), DEFAULT_LIMITS.feed_bytes),
            os.path.relpath(path),
        )
        for path in paths
    ]


def load_pandas() -> None:
    """Let Arrow load pandas, as it does for its first array.

    A run makes arrays on several threads, and another one may load the contracts, which
    need pandas, too.
    """
    pa.array([0])


def _request(
    config: Config,
    files: Files | None,
    now: datetime | None = None,
    run_id: str | None = None,
    baseline: Baseline | None = None,
    overrides: AnyPath | Sequence[Mapping[str, Any]] | None = None,
) -> Request:
    requested_at = _moment(now)
    tenant = config.tenant
    return Request(
        config.document,
        tenant,
        RunContext(run_id or str(uuid.uuid4()), tenant.tenant_id, requested_at),
        _input_files(config, files or {}),
        baseline=baseline,
        overrides=_overrides(overrides, config, requested_at),
    )


def _moment(now: datetime | None) -> datetime:
    if now is None:
        return datetime.now(UTC)
    if not isinstance(now, datetime):
        raise TypeError(f"now is a datetime, not {type(now).__name__}.")
    moment = now.replace(tzinfo=UTC) if now.tzinfo is None else now
    moment = moment.astimezone(UTC)
    if moment.year not in YEARS:
        raise ValueError(
            f"now is not in the years {YEARS.start} to {YEARS.stop - 1}.",
        )
    return moment


def _input_files(config: Config, files: Files) -> inputs.InputFiles:
    """Return the named files, and those of the config."""
    tenant = config.tenant
    limits = DEFAULT_LIMITS
    listed = {name: _listed(name, value) for name, value in files.items()}
    counts = {name: len(named_files) for name, named_files in listed.items()}
    faults = [*inputs.faults_of_names(counts, tenant)]
    if faults:
        raise ValueError(" ".join(f"files: {fault}" for fault in faults))
    feeds = {
        name: [_read(name, file, limits.feed_bytes) for file in named_files]
        for name, named_files in listed.items()
    }
    feeds |= inputs.configured_feeds(tenant, config.folder, feeds, limits)
    sku_maps = inputs.configured_maps(tenant, config.folder, feeds, limits)
    locations = inputs.locations_of(tenant, config.folder, "files[{name!r}]")
    return inputs.InputFiles(feeds, sku_maps, locations)


def _listed(name: str, value: File | Sequence[File]) -> list[File]:
    """Return the files of an input, at least one."""
    if isinstance(value, bytes):
        return [value]
    if isinstance(value, str | os.PathLike):
        return [value]
    if not isinstance(value, Sequence):
        raise TypeError(
            f"files[{name!r}] is a path, bytes, or a list of them, not "
            f"{type(value).__name__}.",
        )
    if not value:
        raise ValueError(f"files[{name!r}] has no file.")
    named_files: list[File] = [*value]
    return named_files


def _read(name: str, file: File, limit: int) -> InputFile:
    if isinstance(file, bytes):
        return InputFile(name, file)
    if not isinstance(file, str | os.PathLike):
        raise TypeError(
            f"files[{name!r}] has a {type(file).__name__}. A file is a path or bytes.",
        )
    return InputFile.at(Path(file), limit)


def _baseline(baseline: Result | AnyPath | None) -> Baseline | None:
    """Return the state of the feed to compare with.

    Raises:
        ValueError: The result has no published feed, or the file is not a state.
    """
    if baseline is None:
        return None
    if isinstance(baseline, Result):
        if baseline.state is None:
            raise ValueError(
                f"Run {baseline.run_id} {baseline.status}, so it is no baseline.",
            )
        return read_state(baseline.state, keeps_rows=True)
    try:
        return inputs.read_baseline(Path(baseline))
    except StateUnreadableError as error:
        raise ValueError(f"{baseline}: {error}") from None


def _overrides(
    overrides: AnyPath | Sequence[Mapping[str, Any]] | None,
    config: Config,
    requested_at: datetime,
) -> Sequence[Override]:
    """Return the overrides that are in effect for the run."""
    if overrides is None:
        return ()
    if isinstance(overrides, str | os.PathLike):
        path = Path(overrides)
        return inputs.read_overrides(path, config.vendor_ids, requested_at)
    entries = load_overrides([*overrides], config.vendor_ids)
    return overrides_in_effect(entries, requested_at)
