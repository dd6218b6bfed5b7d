"""Which header of a feed each canonical column is read from, and what is missing."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from relay_core.domain.codes import FailureCode
from relay_core.domain.columns import CANONICAL_COLUMNS, REQUIRED_COLUMNS
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.domain.run_faults import listed

if TYPE_CHECKING:  # a process that reads loads no pydantic
    from relay_core.config import ParserConfig

_MAX_LENGTH = 200  # so much of a header stands in a message
_MAX_COMPARED = 1_000


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """Where each column comes from, canonical or a tenant's extra one."""

    positions: Mapping[
        str, int
    ]  # of the columns that the file has, the first header of each
    missing: tuple[str, ...] = ()  # the headers that should be there and are not
    unusable: bool = False  # whether a required column cannot be had at all
    repeated: tuple[str, ...] = ()  # headers that are used and occur more than once
    # Of columns that an object of ``column_map`` makes, the places of all its headers
    parts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    skips: tuple[
        int | None, ...
    ] = ()  # the header of each entry of ``skip_rows``, None if missing

    @property
    def used(self) -> tuple[int, ...]:
        """The places of all headers that something is read from."""
        parts = (place for places in self.parts.values() for place in places.values())
        skips = (place for place in self.skips if place is not None)
        return tuple(dict.fromkeys((*self.positions.values(), *parts, *skips)))


def plan_columns(headers: Sequence[str], parser: "ParserConfig") -> ColumnPlan:
    """Match the columns of rows to a feed's headers, compared after trimming."""
    names = [header.strip() for header in headers]
    counts = Counter(names)
    wanted = wanted_headers(names, parser)
    lacking = {
        c: tuple(h for h in headers if h not in counts) for c, headers in wanted.items()
    }
    # With a default none of them need be there, but not some.
    absent = [
        c
        for c, h in lacking.items()
        if h and (c not in parser.defaults or h != wanted[c])
    ]
    unmapped = [
        c for c in REQUIRED_COLUMNS if c not in wanted and c not in parser.defaults
    ]
    skipped = parser.skip_headers
    missing = [*chain.from_iterable(lacking[c] for c in absent), *unmapped]
    missing += [header for header in skipped if header not in counts]
    there = {c: headers for c, headers in wanted.items() if not lacking[c]}
    objects = (
        c for c, source in parser.column_map.items() if not isinstance(source, str)
    )
    return ColumnPlan(
        positions={c: names.index(headers[0]) for c, headers in there.items()},
        parts={c: {h: names.index(h) for h in there[c]} for c in objects if c in there},
        skips=tuple(names.index(h) if h in counts else None for h in skipped),
        missing=tuple(dict.fromkeys(missing)),
        unusable=any(
            c in (*absent, *unmapped)
            for c in REQUIRED_COLUMNS
            if c not in parser.defaults
        ),
        repeated=tuple(
            sorted({h for h in (*chain(*wanted.values()), *skipped) if counts[h] > 1})
        ),
    )


def shown_cells(headers: Sequence[str], parser: "ParserConfig", limits: Limits) -> int:
    """Return how many cells of a malformed record are kept: as a report shows, or a skip needs."""
    names, skipped = list(map(str.strip, headers)), set(parser.skip_headers)
    last = max(
        (place for place, name in enumerate(names) if name in skipped), default=-1
    )
    return max(limits.row_data_columns, last + 1)


def missing_columns(
    missing: Sequence[str], headers: Sequence[str]
) -> FeedUnreadableError:
    """Return the fault of a feed that lacks headers: which were found, the nearest one to each."""
    names = [header.strip()[:_MAX_LENGTH] for header in headers]
    lacking = [header[:_MAX_LENGTH] for header in missing]
    nearest = ((header, nearest_header(header, names)) for header in lacking)
    shown = (
        f"{h!r} (nearest: {'none' if near is None else repr(near)})"
        for h, near in nearest
    )
    return FeedUnreadableError(
        FailureCode.MISSING_REQUIRED_COLUMNS,
        f"missing required columns: {listed(shown, ', ', len(missing))}; headers found: "
        f"{listed(map(repr, names), ', ', len(names))}; point parser.column_map at the vendor's "
        "headers, or give the column a default in parser.defaults",
    )


def wanted_headers(
    names: Sequence[str], parser: "ParserConfig"
) -> dict[str, tuple[str, ...]]:
    """Return each column's headers: the mapped ones, else its own name where that is free."""
    mapped = parser.mapped_headers
    free = set(names) - {
        h.strip() for h in parser.column_map.values() if isinstance(h, str)
    }
    columns = (*CANONICAL_COLUMNS, *parser.extra_columns)
    own = {column: (column,) for column in columns if column in free - {"vendor_id"}}
    wanted = own | mapped
    return {column: wanted[column] for column in columns if column in wanted}


def nearest_header(header: str, names: Sequence[str]) -> str | None:
    """Return the name that is most like a header, None where there are no names."""
    folded = {name.casefold(): name for name in reversed(names[:_MAX_COMPARED])}
    close = difflib.get_close_matches(header.casefold(), list(folded), n=1, cutoff=0.0)
    return folded[close[0]] if close else None
