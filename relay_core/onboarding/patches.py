"""Config patches that have rejected cells read, where the guesses know one."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import tzinfo
from typing import Any

from relay_core.config import ParserConfig, TenantConfig
from relay_core.config.json_patch import parser_steps
from relay_core.domain.cell_rules import read_cell, strip
from relay_core.domain.columns import NUMBER_COLUMNS
from relay_core.domain.errors import CellError
from relay_core.domain.records import Cause
from relay_core.normalize.result import NormalizedVendor
from relay_core.onboarding.cell_guess import guess_numbers
from relay_core.onboarding.dry_run import changed_parser


def with_patches(config: TenantConfig, vendor: NormalizedVendor) -> NormalizedVendor:
    """Return a vendor whose causes of refusal have a patch, where one is known to mend them.

    It is guessed from the samples and from numbers that hold: no other style reads more of them.
    """
    cells: Mapping[str, list[str]] = defaultdict(list)
    for cause in vendor.causes:
        if cause.column in NUMBER_COLUMNS:
            cells[cause.column] += filter(None, (strip(each.value) for each in cause.samples))
    if not cells:
        return vendor
    for name, held in vendor.held.items():
        cells[name] += held
    place = config.place_of(vendor.vendor_id)
    parser = config.vendors[place].parser
    changes = guess_numbers(cells, parser).changes
    # Added members stand in for those that are there: it does for a config with and without.
    bare: dict[str, Any] = {"vendors": [{"parser": {}}] * (place + 1)}
    causes: list[Cause] = []
    for cause in vendor.causes:
        needed = dict(changes) if changes and _reads(cause, parser, changes, config.zone) else {}
        for name in [*needed]:
            fewer = {each: value for each, value in needed.items() if each != name}
            needed = fewer if _reads(cause, parser, fewer, config.zone) else needed
        if needed:
            settings = (
                f"parser.{k} to {json.dumps(needed[k], ensure_ascii=False)}" for k in needed
            )
            steps = tuple(asdict(step) for step in parser_steps(bare, place, needed))
            cause = replace(cause, what_to_do=f"set {' and '.join(settings)}", patch=steps)
        causes.append(cause)
    return replace(vendor, causes=tuple(causes))


def _reads(cause: Cause, parser: ParserConfig, changes: Mapping[str, Any], zone: tzinfo) -> bool:
    """Return whether all samples of a cause are read with some changes of the parser."""
    changed = changed_parser(parser, changes)
    if changed is None or cause.column not in NUMBER_COLUMNS:
        return False
    try:
        for sample in cause.samples:
            read_cell(cause.column, sample.value, changed, zone)
    except CellError:
        return False
    return True
