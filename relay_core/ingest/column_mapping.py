"""Which header of a feed each canonical column is read from, and what is missing."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay_core.domain.cell_rules import strip
from relay_core.domain.columns import CANONICAL_COLUMNS, REQUIRED_COLUMNS
from relay_core.domain.run_faults import listed

if TYPE_CHECKING:  # a process that reads loads no pydantic
    from relay_core.config import ParserConfig

_MAX_LENGTH = 200
"""So much of a header stands in a message."""
_MAX_COMPARED = 1_000


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """Where each column comes from, canonical or a tenant's extra one.

    ``positions`` holds the columns that the file has. ``missing`` are the headers that should be
    there and are not; ``unusable`` tells that a required column cannot be had at all. ``repeated``
    are headers that are used and occur more than once.
    """

    positions: Mapping[str, int]
    missing: tuple[str, ...]
    unusable: bool
    repeated: tuple[str, ...]


def plan_columns(headers: Sequence[str], parser: ParserConfig) -> ColumnPlan:
    """Match the columns of rows to a feed's headers, compared after trimming."""
    names = [strip(header) for header in headers]
    counts = Counter(names)
    wanted = wanted_headers(names, parser)
    unmapped = [c for c in REQUIRED_COLUMNS if c not in wanted and c not in parser.defaults]
    absent = [c for c, h in wanted.items() if h not in counts and c not in parser.defaults]
    missing = [*(wanted[column] for column in absent), *unmapped]
    return ColumnPlan(
        positions={c: names.index(header) for c, header in wanted.items() if header in counts},
        missing=tuple(dict.fromkeys(missing)),
        unusable=any(column in (*absent, *unmapped) for column in REQUIRED_COLUMNS),
        repeated=tuple(sorted({h for h in wanted.values() if counts[h] > 1})),
    )


def describe_missing(missing: Sequence[str], headers: Sequence[str]) -> str:
    """Say which headers are missing, which were found, and the nearest one to each."""
    names = [strip(header)[:_MAX_LENGTH] for header in headers]
    nearest = (
        f"{h[:_MAX_LENGTH]!r} (nearest: {_shown_nearest(h[:_MAX_LENGTH], names)})" for h in missing
    )
    return (
        f"missing required columns: {listed(nearest, ', ', len(missing))}; headers found: "
        f"{listed(map(repr, names), ', ', len(names))}; point parser.column_map at the vendor's "
        "headers, or give the column a default in parser.defaults"
    )


def wanted_headers(names: Sequence[str], parser: ParserConfig) -> dict[str, str]:
    """Return each column's header: the mapped one, else its own name where that is free."""
    mapped = {column: strip(header) for column, header in parser.column_map.items()}
    free = set(names) - set(mapped.values())
    columns = (*CANONICAL_COLUMNS, *parser.extra_columns)
    own = {column: column for column in columns if column in free - {"vendor_id"}}
    wanted = own | mapped
    return {column: wanted[column] for column in columns if column in wanted}


def nearest_header(header: str, names: Sequence[str]) -> str | None:
    """Return the name that is most like a header, None where there are no names."""
    folded = {name.casefold(): name for name in reversed(names[:_MAX_COMPARED])}
    close = difflib.get_close_matches(header.casefold(), list(folded), n=1, cutoff=0.0)
    return folded[close[0]] if close else None


def _shown_nearest(header: str, names: Sequence[str]) -> str:
    found = nearest_header(header, names)
    return "none" if found is None else repr(found)
