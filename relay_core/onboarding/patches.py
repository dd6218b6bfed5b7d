"""Config patches that have rejected cells read, where the guesses know one."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from relay_core.config import TenantConfig
from relay_core.config.json_patch import set_members
from relay_core.domain.cell_rules import read_cell, strip
from relay_core.domain.columns import NUMBER_COLUMNS
from relay_core.domain.errors import CellError
from relay_core.domain.records import Cause
from relay_core.normalize.result import NormalizedVendor
from relay_core.onboarding.dry_run import changed_parser
from relay_core.onboarding.number_guess import guess_numbers


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
    mend = _Mend(config, vendor.vendor_id)
    changes = guess_numbers(cells, mend.parser).changes
    return replace(vendor, causes=tuple(mend.patched(cause, changes) for cause in vendor.causes))


class _Mend:
    """A vendor's parser, and the changes of it that causes of rejection need."""

    def __init__(self, config: TenantConfig, vendor_id: str) -> None:
        self.parser = config.vendor(vendor_id).parser
        self._place = [vendor.vendor_id for vendor in config.vendors].index(vendor_id)
        self._zone = config.zone

    def patched(self, cause: Cause, changes: Mapping[str, Any]) -> Cause:
        """Return the cause with those of the changes that it needs, where they read its samples."""
        if not changes or not self._reads(cause, changes):
            return cause
        for name in changes:
            fewer = {each: value for each, value in changes.items() if each != name}
            changes = fewer if self._reads(cause, fewer) else changes
        # Added members stand in for those that are there: it does for a config with and without.
        bare: dict[str, Any] = {"vendors": [{"parser": {}}] * (self._place + 1)}
        steps = set_members(bare, ("vendors", self._place, "parser"), changes)
        settings = (
            f"parser.{name} to {json.dumps(value, ensure_ascii=False)}"
            for name, value in changes.items()
        )
        return replace(
            cause,
            what_to_do=f"set {' and '.join(settings)}",
            patch=tuple(asdict(step) for step in steps),
        )

    def _reads(self, cause: Cause, changes: Mapping[str, Any]) -> bool:
        """Return whether all samples of a cause are read with some changes of the parser."""
        parser = changed_parser(self.parser, changes)
        if parser is None or cause.column not in NUMBER_COLUMNS:
            return False
        try:
            for sample in cause.samples:
                read_cell(cause.column, sample.value, parser, self._zone)
        except CellError:
            return False
        return True
