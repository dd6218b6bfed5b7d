"""The values that a feed check returns.

This module loads nothing heavy, and its values can be sent between processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from relay_core.config import ParserConfig
from relay_core.domain.records import Doubt

MAX_ROWS = 5_000
"""The number of rows that guesses are made from, and that a huge file is judged by."""
_PRICE_SOURCES = frozenset(("cost", "price"))


@dataclass(frozen=True, slots=True)
class RejectedCells:
    """The cells of one column that are rejected for one reason, and the first of them.

    Attributes:
        column: The canonical column, or None if records have more or fewer cells than
            the header.
        count: The number of rejected cells.
        row_number: The row number of the first rejected cell.
        value: The text of the first rejected cell.
        line: The line of the first rejected cell, as in a `ReportEntry`.
        sheet_row: The sheet row of the first rejected cell, as in a `ReportEntry`.
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
    """A canonical column whose header is not in the file.

    Attributes:
        header: The header that the config maps, or None if it maps none.
        nearest: The header of the file with the most similar name.
    """

    column: str
    header: str | None
    nearest: str | None


class Certainty(StrEnum):
    """How certain a guess is, in words."""

    CERTAIN = "certain"
    LIKELY = "likely"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A header of the file that could be a certain column.

    Attributes:
        header: The header as the file has it.
        score: The similarity of the header to the column's names, from 0 to 1, rounded
            to two places.
        samples: The first distinct cells below the header.
        median: The median amount for a price column, empty for other columns.
    """

    header: str
    score: float
    samples: tuple[str, ...] = ()
    median: str = ""


@dataclass(frozen=True, slots=True)
class Guess:
    """A part of the proposal, with its certainty and the reason for it.

    Attributes:
        option: The option of the parser, such as `column_map.sku`.
        value: The proposed value as people read it, such as a header.
        certainty: How certain the guess is.
        reason: The reason, as a clause.
        samples: The first different cells that are read with it, at most five.
        alternatives: The next candidates, the likeliest first.
        candidates: The headers that a column may have, the proposed one first.
    """

    option: str
    value: str
    certainty: Certainty
    reason: str
    samples: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """The first rows of a feed as one parser reads them.

    Attributes:
        headers: The headers of the file, trimmed.
        columns: The canonical columns that the file provides.
        missing: The columns whose header is not in the file.
        unused: The headers that no column is read from.
        rows: The number of rows read.
        rejected_rows: The number of these rows that are rejected.
        rejected_cells: The rejected cells, grouped by code and column, the most
            frequent first.
        error_code: The code of the error that makes a run reject the file, or None.
        error_message: The message that belongs to `error_code`.
    """

    headers: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    missing: tuple[MissingHeader, ...] = ()
    unused: tuple[str, ...] = ()
    rows: int = 0
    rejected_rows: int = 0
    rejected_cells: tuple[RejectedCells, ...] = ()
    error_code: str | None = None
    error_message: str | None = None

    @property
    def is_usable(self) -> bool:
        """True if a run would use the file."""
        return self.error_code is None

    @property
    def rank(self) -> tuple[bool, bool, float, int]:
        """The sort key of readings: a better reading has a greater rank."""
        valid_share = 0.0
        if self.rows:
            valid_share = 1 - self.rejected_rows / self.rows
        has_price_source = not _PRICE_SOURCES.isdisjoint(self.columns)
        return self.is_usable, has_price_source, valid_share, len(self.columns)


@dataclass(frozen=True, slots=True)
class FeedCheck:
    """A feed as the config reads it, and as the config with `changes` reads it.

    Attributes:
        as_sent: The reading with the config as it was sent.
        parser: The parser that probably fits the feed, even if changing to it would not
            help.
        changes: The parser options to change. `column_map` holds entries to add.
        with_changes: The reading with `parser`, or None if there are no changes.
        missing: The columns whose header the config as sent does not find.
        unknown: Candidates for the columns that are missing even with the changes, the
            most similar name first.
        currencies: The currencies that the amounts name.
        guesses: The parts of the proposal that a file shows less than clearly, and the
            columns that a product cannot do without.
        notes: Other decisions that people have to make.
        faults: The reasons why nothing may be proposed for the file.
        is_whole: Whether `best` is a reading of the whole file.
        doubts: Valid rows that the vendor probably did not intend.
        has_amounts: Whether any cell under cost and price is an amount.
        samples: The first different cells under each header of the file; empty if
            nobody asked for them.
    """

    as_sent: Reading
    parser: ParserConfig
    changes: Mapping[str, Any] = field(default_factory=dict)
    with_changes: Reading | None = None
    missing: tuple[MissingHeader, ...] = ()
    unknown: Mapping[str, tuple[Candidate, ...]] = field(default_factory=dict)
    currencies: frozenset[str] = frozenset()
    guesses: tuple[Guess, ...] = ()
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    is_whole: bool = False
    doubts: tuple[Doubt, ...] = ()
    has_amounts: bool = True
    samples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def best(self) -> Reading:
        """The reading with the changes, or as sent if there are no changes."""
        return self.with_changes or self.as_sent
