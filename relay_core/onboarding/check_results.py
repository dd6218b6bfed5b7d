"""The results of a feed's check, as values: they load nothing, and pass between processes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from relay_core.config import ParserConfig
from relay_core.domain.records import Doubt

MAX_ROWS = 5_000
"""Guesses are made of so many rows; a file that is too large to be read whole is judged by them."""
_PRICED = frozenset(("cost", "price"))


@dataclass(frozen=True, slots=True)
class RejectedCells:
    """Cells of one column that are rejected for one reason: how many, and the first of them.

    ``column`` is None for records that have more or fewer cells than the header. `line` and
    `sheet_row` as in a `ReportEntry`.
    """

    error_code: str
    column: str | None
    count: int
    row_number: int
    value: str
    line: int | None = None
    sheet_row: int | None = None


@dataclass(frozen=True, slots=True)
class MissingHeader:
    """A canonical column whose header the file lacks; ``header`` is None where none is mapped."""

    column: str
    header: str | None
    nearest: str | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A header that could be a column."""

    header: str  # the file's
    score: float  # how like its name is to those of the column, 0 to 1, two places
    samples: tuple[str, ...] = ()  # the first cells under it that differ
    median: str = ""  # the middle one of its amounts, for a price; empty for others


@dataclass(frozen=True, slots=True)
class Reading:
    """The first rows of a feed as one parser reads them.

    ``columns`` are the canonical columns that the file gives. ``error_code`` and ``error_message``
    tell that a run would refuse the file or leave it out.
    """

    headers: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    missing: tuple[MissingHeader, ...] = ()
    unused: tuple[str, ...] = ()
    rows: int = 0
    refused_rows: int = 0
    refusals: tuple[RejectedCells, ...] = ()
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
        return (
            self.is_usable,
            not _PRICED.isdisjoint(self.columns),
            kept,
            len(self.columns),
        )


@dataclass(frozen=True, slots=True)
class FeedCheck:
    """A feed as the config reads it, and with ``changes`` to the parser, where they help."""

    as_sent: Reading  # the reading of the config as it stands
    # How the feed is probably written, also where a change of it would not help
    parser: ParserConfig
    # Options of the parser to change; ``column_map`` holds entries to add
    changes: Mapping[str, Any] = field(default_factory=dict)
    with_changes: Reading | None = (
        None  # the reading of ``parser``; None without changes
    )
    # The columns that the config as it stands does not find among the headers
    missing: tuple[MissingHeader, ...] = ()
    # The columns that are missing with the changes, too, with likely headers, nearest names first
    unknown: Mapping[str, tuple[Candidate, ...]] = field(default_factory=dict)
    currencies: frozenset[str] = frozenset()  # the currencies that amounts name
    notes: tuple[str, ...] = ()  # other decisions that are left to people
    whole: bool = False  # whether ``best`` is of the whole file
    doubts: tuple[Doubt, ...] = ()  # what of its rows is probably not meant
    has_amounts: bool = True  # whether any cell under its cost and price is an amount

    @property
    def best(self) -> Reading:
        """The reading with the changes, where there are any."""
        return self.with_changes or self.as_sent
