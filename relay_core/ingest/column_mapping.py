"""Which header of a feed each canonical column is read from, and which are missing."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

from relay_core.domain.codes import FailureCode
from relay_core.domain.columns import REQUIRED_COLUMNS
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.domain.run_faults import listed

if TYPE_CHECKING:  # a process that reads feeds loads no pydantic
    from relay_core.config import ParserConfig

_MAX_SHOWN_LENGTH = 200
"""The number of characters of a header that a message shows."""
_MAX_COMPARED = 1_000
_MIN_LIKENESS = 0.6
"""The likeness of two headers, from 0 to 1, from which one may be the other."""


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """The headers that columns are read from; columns are canonical or a tenant's own.

    A position is the index of a header in the file.
    """

    positions: Mapping[str, int]
    """The position of the first header of each column that the file has."""
    missing: tuple[str, ...] = ()
    """The headers that are expected and not in the file."""
    unusable: bool = False
    """True if a required column cannot be read at all."""
    repeated: tuple[str, ...] = ()
    """The headers that are read and occur more than once."""
    parts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The positions of all headers of each column that ``column_map`` combines."""
    skips: tuple[int | None, ...] = ()
    """The position of each header in ``skip_rows``; None if the header is missing."""
    deleted: int | None = None
    """The position of the header of ``changes.deleted``; None if it is missing."""

    def lacking(self, headers: Sequence[str]) -> "ColumnPlan":
        """Return the plan with more headers that are expected and not in the file."""
        return replace(self, missing=(*self.missing, *headers))

    @property
    def read_positions(self) -> tuple[int, ...]:
        """The positions of all headers that something is read from."""
        parts = chain.from_iterable(
            part.values() for part in self.parts.values()
        )
        skips = (position for position in self.skips if position is not None)
        deleted = () if self.deleted is None else (self.deleted,)
        positions = (*self.positions.values(), *parts, *skips, *deleted)
        return tuple(dict.fromkeys(positions))


def plan_columns(headers: Sequence[str], parser: "ParserConfig") -> ColumnPlan:
    """Match columns to the headers of a feed, which are compared after trimming."""
    names = [header.strip() for header in headers]
    counts = Counter(names)
    expected = expected_headers(names, parser)
    incomplete = _incomplete_columns(expected, counts, parser)
    unmapped = [
        column
        for column in REQUIRED_COLUMNS
        if column not in expected and column not in parser.defaults
    ]
    incomplete_headers = chain.from_iterable(
        expected[column] for column in incomplete
    )
    missing = [name for name in incomplete_headers if name not in counts]
    missing += unmapped
    missing += [name for name in parser.skip_headers if name not in counts]
    columns_in_file = {
        column: column_headers
        for column, column_headers in expected.items()
        if all(name in counts for name in column_headers)
    }
    headers_read = {
        *chain.from_iterable(expected.values()),
        *parser.skip_headers,
        *parser.deleted_headers,
    }
    required = [
        column for column in REQUIRED_COLUMNS if column not in parser.defaults
    ]
    return ColumnPlan(
        positions={
            column: names.index(column_headers[0])
            for column, column_headers in columns_in_file.items()
        },
        missing=tuple(dict.fromkeys(missing)),
        unusable=not {*incomplete, *unmapped}.isdisjoint(required),
        repeated=tuple(
            sorted(name for name in headers_read if counts[name] > 1),
        ),
        parts=_combined_parts(names, columns_in_file, parser),
        skips=tuple(
            names.index(name) if name in counts else None
            for name in parser.skip_headers
        ),
        deleted=_first_position(parser.deleted_headers, names),
    )


def _first_position(
    headers: Sequence[str],
    names: Sequence[str],
) -> int | None:
    """Return the position of the first of some headers in a file, or None."""
    positions = (names.index(header) for header in headers if header in names)
    return next(positions, None)


def _combined_parts(
    names: Sequence[str],
    columns_in_file: Mapping[str, Sequence[str]],
    parser: "ParserConfig",
) -> dict[str, dict[str, int]]:
    """Return the positions of the headers of each column that is combined of several.

    ``columns_in_file`` has the headers of each column that the file has.
    """
    parts = {}
    for column, source in parser.column_map.items():
        is_combined = not isinstance(source, str)
        if is_combined and column in columns_in_file:
            headers = columns_in_file[column]
            parts[column] = {name: names.index(name) for name in headers}
    return parts


def _incomplete_columns(
    expected: Mapping[str, Sequence[str]],
    header_counts: Mapping[str, int],
    parser: "ParserConfig",
) -> list[str]:
    """Return the columns that lack headers.

    The file may lack all headers of a column that has a default, but not some of them.
    """
    incomplete = []
    for column, headers in expected.items():
        missing_count = sum(header not in header_counts for header in headers)
        uses_default = column in parser.defaults and missing_count == len(
            headers,
        )
        if missing_count and not uses_default:
            incomplete.append(column)
    return incomplete


def expected_headers(
    names: Sequence[str],
    parser: "ParserConfig",
) -> dict[str, tuple[str, ...]]:
    """Return the headers of each column that is mapped or has a header of its name.

    ``names`` are the trimmed headers of the file. A header that is mapped to another
    column names no column.
    """
    sources = parser.column_map.values()
    mapped_names = {
        source.strip() for source in sources if isinstance(source, str)
    }
    free_names = set(names) - mapped_names - {"vendor_id"}
    mapped_headers = parser.mapped_headers
    headers: dict[str, tuple[str, ...]] = {}
    for column in parser.readable_columns:
        if column in mapped_headers:
            headers[column] = mapped_headers[column]
        elif column in free_names:
            headers[column] = (column,)
    return headers


def kept_cell_count(
    headers: Sequence[str],
    parser: "ParserConfig",
    limits: Limits,
) -> int:
    """Return how many cells of a malformed record reports and skips need."""
    count = limits.row_data_columns
    needed_headers = {*parser.skip_headers, *parser.deleted_headers}
    if parser.deleted_headers:
        # A malformed record that deletes rows names them by its SKU.
        needed_headers.update(parser.mapped_headers.get("sku", ("sku",)))
    for index, header in enumerate(headers):
        if header.strip() in needed_headers:
            count = max(count, index + 1)
    return count


def missing_columns_error(
    missing: Sequence[str],
    headers: Sequence[str],
) -> FeedUnreadableError:
    """Return the error of a feed that lacks headers; it names the nearest ones."""
    names = [header.strip()[:_MAX_SHOWN_LENGTH] for header in headers]
    missing_names = (_with_nearest(header, names) for header in missing)
    may_default = any(header != "sku" for header in missing)
    fix = "Map the vendor's headers in parser.column_map"
    if may_default:
        fix += ", or set a default in parser.defaults"
    return FeedUnreadableError(
        FailureCode.MISSING_REQUIRED_COLUMNS,
        f"missing required columns: {listed(missing_names, ', ', len(missing))}. "
        f"The headers found are {listed(map(repr, names), ', ', len(names)) or 'none'}. "
        f"{fix}.",
    )


def _with_nearest(header: str, names: Sequence[str]) -> str:
    name = header[:_MAX_SHOWN_LENGTH]
    nearest = nearest_header(name, names)
    return repr(name) if nearest is None else f"{name!r} (nearest: {nearest!r})"


def nearest_header(header: str, names: Sequence[str]) -> str | None:
    """Return the name that is most like a header, or None if no name is like it."""
    # Of names that differ only in case, the first one is returned.
    by_folded_name = {
        name.casefold(): name for name in reversed(names[:_MAX_COMPARED])
    }
    matches = difflib.get_close_matches(
        header.casefold(),
        list(by_folded_name),
        n=1,
        cutoff=_MIN_LIKENESS,
    )
    return by_folded_name[matches[0]] if matches else None
