"""Config patches for rejected cells."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import tzinfo
from typing import Any

from relay_core.config import ParserConfig, TenantConfig, VendorConfig
from relay_core.config.parser_changes import changed_parser
from relay_core.config.reading.json_patch import Path, parser_steps
from relay_core.domain.cell_rules import read_cell
from relay_core.domain.columns import NUMBER_COLUMNS
from relay_core.domain.errors import CellError
from relay_core.domain.records import Cause
from relay_core.normalize.result import NormalizedVendor
from relay_core.onboarding.number_guess import guess_from_samples


def with_patches(
    config: TenantConfig, vendor: NormalizedVendor
) -> NormalizedVendor:
    """Return a vendor whose causes of rejection have a patch, if one is known to fix them.

    The patch changes the parser of the part that the rejected cells are of.
    """
    index = config.vendor_index(vendor.vendor_id)
    base = config.vendors[index]
    guesses = {
        part_id: _ParserGuess.of(vendor, base, index, part_id)
        for part_id in {cause.part_id for cause in vendor.causes}
    }
    causes = []
    for cause in vendor.causes:
        guess = guesses[cause.part_id]
        needed_changes = _needed_changes(
            cause,
            guess.parser,
            guess.changes,
            config.zone,
        )
        if needed_changes:
            cause = _with_patch(cause, guess.path, needed_changes)
        causes.append(cause)
    return replace(vendor, causes=tuple(causes))


@dataclass(frozen=True, slots=True)
class _ParserGuess:
    """The parser of one part of a vendor, and a guess of the changes that it needs."""

    path: Path  # the steps from the config to the section of the part
    parser: ParserConfig
    changes: Mapping[str, Any]  # the changed options; empty if none are known

    @classmethod
    def of(
        cls,
        vendor: NormalizedVendor,
        base: VendorConfig,
        index: int,
        part_id: str | None,
    ) -> "_ParserGuess":
        """Return the guess for a part of a vendor.

        The changes are guessed from the samples of the part's causes together with
        valid numbers of the part, so that they do not break the reading of those.

        Args:
            vendor: The vendor's rows.
            base: The vendor's options.
            index: The index of the vendor in the config.
            part_id: The part; None for the base.
        """
        path: Path = ("vendors", index)
        parser = base.parser
        for part_index, part in enumerate(base.parts):
            if part.part_id == part_id:
                path = ("vendors", index, "parts", part_index)
                parser = part.parser
        cells: dict[str, list[str]] = defaultdict(list)
        for cause in vendor.causes:
            if cause.part_id == part_id and cause.column in NUMBER_COLUMNS:
                texts = [sample.value.strip() for sample in cause.samples]
                cells[cause.column] += filter(None, texts)
        if not cells:
            # No number is rejected.
            return cls(path, parser, {})
        for samples in vendor.valid_samples.get(part_id, ()):
            for name, valid_texts in samples.items():
                cells[name] += valid_texts
        return cls(path, parser, guess_from_samples(cells, parser).changes)


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
    cause: Cause,
    path: Path,
    changes: Mapping[str, Any],
) -> Cause:
    # The patch adds members, and adding replaces members that exist. So it fits a config
    # with these options and one without.
    section: Any = {"parser": {}}
    for key in reversed(path):
        section = (
            [section] * (key + 1) if isinstance(key, int) else {key: section}
        )
    steps = parser_steps(section, path, changes)
    settings = [
        f"parser.{option} to {json.dumps(value, ensure_ascii=False)}"
        for option, value in changes.items()
    ]
    what_to_do = f"set {' and '.join(settings)}"
    if cause.part_id is not None:
        what_to_do = f"in part {cause.part_id!r}, {what_to_do}"
    return replace(
        cause,
        what_to_do=what_to_do,
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
