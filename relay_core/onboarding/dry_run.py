"""What the first rows of a feed are by one parser: headers, refused cells, or why it is unusable.

The rules of the engine, one cell at a time, in plain Python; `normalize` reads whole feeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from relay_core.config import ParserConfig, TenantConfig
from relay_core.domain.cell_rules import read_cell, strip
from relay_core.domain.errors import CellError, FeedUnreadableError
from relay_core.domain.models import REQUIRED_COLUMNS, FailureCode, RowFault
from relay_core.ingest.column_mapping import (
    ColumnPlan,
    describe_missing,
    nearest_header,
    plan_columns,
    wanted_headers,
)
from relay_core.onboarding.head import FeedBytes, FeedHead, read_head

MOST_ROWS = 200
_PRICED = frozenset(("cost", "price"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Cells of one column that are refused for one reason: how many, and the first of them.

    ``column`` is None for records that have more or fewer cells than the header.
    """

    error_code: str
    column: str | None
    count: int
    row_number: int
    value: str


@dataclass(frozen=True, slots=True)
class MissingHeader:
    """A canonical column whose header the file lacks; ``header`` is None where none is mapped."""

    column: str
    header: str | None
    nearest: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the first rows of a feed are by one parser.

    ``columns`` are the canonical columns that the file gives. ``error_code`` and ``error_message``
    tell that a run would refuse the file or leave it out.
    """

    headers: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    missing: tuple[MissingHeader, ...] = ()
    unused: tuple[str, ...] = ()
    rows: int = 0
    refused_rows: int = 0
    refusals: tuple[Refusal, ...] = ()
    error_code: str | None = None
    error_message: str | None = None

    @property
    def is_usable(self) -> bool:
        """Whether a run would take the file."""
        return self.error_code is None

    @property
    def rank(self) -> tuple[bool, bool, float, int]:
        """Orders readings, the better one higher."""
        kept = 1 - self.refused_rows / self.rows if self.rows else 0.0
        return self.is_usable, not _PRICED.isdisjoint(self.columns), kept, len(self.columns)


def read_rows(feed: FeedBytes, parser: ParserConfig, config: TenantConfig) -> Reading:
    """Return what the first rows of a feed are to a run with this parser."""
    try:
        head = read_head(feed, parser, most_rows=MOST_ROWS)
    except FeedUnreadableError as error:
        return Reading(error_code=error.error_code, error_message=str(error))
    if head.headers is None:
        return Reading()
    plan = plan_columns(head.headers, parser)
    rows, refused, refusals = _refusals(head, plan, parser, config)
    code, message = _why_unusable(plan, head.headers, config)
    used = set(plan.positions.values())
    return Reading(
        headers=tuple(map(strip, head.headers)),
        columns=(*plan.positions, *(c for c in parser.defaults if c not in plan.positions)),
        missing=missing_headers(head.headers, parser),
        unused=tuple(strip(each) for place, each in enumerate(head.headers) if place not in used),
        rows=rows,
        refused_rows=refused,
        refusals=refusals,
        error_code=code,
        error_message=message,
    )


def missing_headers(headers: Sequence[str], parser: ParserConfig) -> tuple[MissingHeader, ...]:
    """Return the columns that a run needs, or the config maps, and whose header is not there."""
    names = [strip(header) for header in headers]
    wanted = wanted_headers(names, parser)
    columns = [
        column
        for column in dict.fromkeys((*REQUIRED_COLUMNS, *wanted))
        if column not in parser.defaults and wanted.get(column) not in names
    ]
    mapped = {column: parser.column_map.get(column) for column in columns}
    near = names[:MOST_ROWS]
    return tuple(
        MissingHeader(column, header, nearest_header(header or column, near))
        for column, header in mapped.items()
    )


def column_cells(
    head: FeedHead, parser: ParserConfig, columns: Sequence[str]
) -> dict[str, list[str]]:
    """Return the cells of some canonical columns that the file has, trimmed; nulls left out."""
    plan = plan_columns(head.headers or (), parser)
    width, nulls = len(head.headers or ()), _null_words(parser)
    rows = [cells for _, cells in head.rows if len(cells) == width]
    return {
        column: [
            text
            for cells in rows
            if (text := strip(cells[plan.positions[column]])) and text.casefold() not in nulls
        ]
        for column in columns
        if column in plan.positions
    }


def _refusals(
    head: FeedHead, plan: ColumnPlan, parser: ParserConfig, config: TenantConfig
) -> tuple[int, int, tuple[Refusal, ...]]:
    """Return how many rows there are, how many are refused, and for what, most frequent first."""
    found: dict[tuple[str, str | None], Refusal] = {}
    rows_refused: set[int] = set()
    width = len(head.headers or ())
    for number, cells in head.rows:
        for code, column, value in _faults(cells, width, plan, parser, config):
            key = (code, column)
            count = found[key].count if key in found else 0
            first = found.get(key) or Refusal(code, column, 0, number, value)
            found[key] = Refusal(code, column, count + 1, first.row_number, first.value)
            rows_refused.add(number)
    ordered = sorted(found.values(), key=lambda each: -each.count)
    return len(head.rows), len(rows_refused), tuple(ordered)


def _faults(
    cells: Sequence[str],
    width: int,
    plan: ColumnPlan,
    parser: ParserConfig,
    config: TenantConfig,
) -> Iterator[tuple[str, str | None, str]]:
    if len(cells) != width:
        yield RowFault.COLUMN_COUNT, None, parser.delimiter.join(cells)
        return
    nulls, zone = _null_words(parser), config.zone
    for column in dict.fromkeys((*plan.positions, *REQUIRED_COLUMNS)):
        if column not in plan.positions and column not in parser.defaults:
            continue
        place = plan.positions.get(column)
        text = "" if place is None else strip(cells[place])
        if not text or text.casefold() in nulls:
            text = parser.defaults.get(column, "")
        try:
            read_cell(column, text, parser, zone)
        except CellError as error:
            yield error.error_code, column, text


def _null_words(parser: ParserConfig) -> frozenset[str]:
    return frozenset(word.casefold() for word in parser.null_values)


def _why_unusable(
    plan: ColumnPlan, headers: Sequence[str], config: TenantConfig
) -> tuple[str | None, str | None]:
    strict = config.error_policy.fail_on_missing_required_columns
    if plan.missing and (strict or plan.unusable):
        return FailureCode.MISSING_REQUIRED_COLUMNS, describe_missing(
            plan.missing, headers[:MOST_ROWS]
        )
    if plan.repeated:
        message = f"headers that are used occur more than once: {', '.join(plan.repeated)}"
        return FailureCode.INVALID_INPUT, message
    return None, None
