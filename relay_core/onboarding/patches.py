"""Config patches for rejected cells."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import tzinfo
from typing import Any

from relay_core.config import ParserConfig, TenantConfig
from relay_core.config.reading.json_patch import parser_steps
from relay_core.domain.cell_rules import read_cell
from relay_core.domain.columns import NUMBER_COLUMNS
from relay_core.domain.errors import CellError
from relay_core.domain.records import Cause
from relay_core.normalize.result import NormalizedVendor
from relay_core.onboarding.dry_run import changed_parser
from relay_core.onboarding.number_guess import guess_from_samples


def with_patches(
    config: TenantConfig, vendor: NormalizedVendor
) -> NormalizedVendor:
    """Return a vendor whose causes of rejection have a patch, if one is known to fix them.

    The patch is guessed from the causes' samples together with valid numbers, so that it
    does not break the reading of the valid ones.
    """
    cells: dict[str, list[str]] = defaultdict(list)
    for cause in vendor.causes:
        if cause.column in NUMBER_COLUMNS:
            texts = [sample.value.strip() for sample in cause.samples]
            cells[cause.column] += filter(None, texts)
    if not cells:
        # No number is rejected.
        return vendor
    for name, valid_texts in vendor.valid_samples.items():
        cells[name] += valid_texts
    index = config.vendor_index(vendor.vendor_id)
    parser = config.vendors[index].parser
    changes = guess_from_samples(cells, parser).changes
    causes = []
    for cause in vendor.causes:
        needed_changes = _needed_changes(cause, parser, changes, config.zone)
        if needed_changes:
            cause = _with_patch(cause, index, needed_changes)
        causes.append(cause)
    return replace(vendor, causes=tuple(causes))


def _needed_changes(
    cause: Cause,
    parser: ParserConfig,
    changes: Mapping[str, Any],
    zone: tzinfo,
) -> Mapping[str, Any]:
    """Return the fewest changes with which all samples of a cause are read, or none."""
    if not changes or not _reads_samples(cause, parser, changes, zone):
        return {}
    needed_changes = dict(changes)
    for name in changes:
        fewer_changes = {
            option: value
            for option, value in needed_changes.items()
            if option != name
        }
        if _reads_samples(cause, parser, fewer_changes, zone):
            needed_changes = fewer_changes
    return needed_changes


def _with_patch(
    cause: Cause, vendor_index: int, changes: Mapping[str, Any]
) -> Cause:
    # The patch adds members, and adding replaces members that exist. So it fits a config
    # with these options and one without.
    bare_document: dict[str, Any] = {
        "vendors": [{"parser": {}}] * (vendor_index + 1)
    }
    steps = parser_steps(bare_document, ("vendors", vendor_index), changes)
    settings = [
        f"parser.{option} to {json.dumps(value, ensure_ascii=False)}"
        for option, value in changes.items()
    ]
    return replace(
        cause,
        what_to_do=f"set {' and '.join(settings)}",
        patch=tuple(asdict(step) for step in steps),
    )


def _reads_samples(
    cause: Cause,
    parser: ParserConfig,
    changes: Mapping[str, Any],
    zone: tzinfo,
) -> bool:
    """Return whether all samples of a cause are read with some changes of the parser."""
    new_parser = changed_parser(parser, changes)
    if new_parser is None or cause.column not in NUMBER_COLUMNS:
        return False
    try:
        for sample in cause.samples:
            read_cell(cause.column, sample.value, new_parser, zone)
    except CellError:
        return False
    return True
