"""The trial of a proposal's prices: no amount may lose digits on its way to a price.

An amount such as `1,024.00` that is not quoted becomes two fields in a file that is
delimited by commas. Its halves are told from fields of their own by the other records.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text
from relay_core.columnar.arrays import RowMask
from relay_core.config import ParserConfig
from relay_core.domain.cell_rules import shorten
from relay_core.ingest.column_mapping import plan_columns
from relay_core.ingest.feed import MalformedRecords, TextBatch
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.onboarding.header_rows import SYMBOL
from relay_core.onboarding.sample_reader import open_sample

_HEAD = rf"^(?:.*\s)?[(-]?\s*(?:{SYMBOL})?\s*[0-9]{{1,3}}$"
_HEAD_WITH_SYMBOL = rf"^[(-]?\s*{SYMBOL}\s*[0-9]{{1,3}}$"
_TAIL = r"^[0-9]{3}(?:\.[0-9]+)?\s*\)?$"
_TAIL_WITH_ZERO = r"^0[0-9]{2}\.[0-9]+\s*\)?$"
_TAIL_WITH_DECIMALS = r"^[0-9]{3}\.[0-9]+\s*\)?$"
_DECIMALS = r"\.[0-9]+\s*\)?$"
_SPLIT_RECORD = (
    rf"(?:^|,)\s*[(-]?\s*(?:{SYMBOL})?\s*[0-9]{{1,3}}(?:,[0-9]{{3}})+"
    r"(?:\.[0-9]+)?\s*\)?\s*(?:,|$)"
)
_MAX_ROW_NUMBERS = 3
_MAX_OTHERS_SHARE = 0.1
"""A neighbor of prices is a field of its own if more of the other records fill it."""
_MIN_BROKEN_SHARE = 0.1
"""The share of the records from which broken amounts mean that a file is broken."""


@dataclass(frozen=True, slots=True)
class BrokenAmounts:
    """The records of a file whose amounts are cut at a comma that is not quoted.

    Attributes:
        count: The number of these records.
        rows: The number of all records.
        row_numbers: The row numbers of the first of them.
        sample: The first of them as CSV.
        is_hidden: Whether some of them have the width of the header, so that a part of an
            amount would be read as the price.
    """

    count: int
    rows: int
    row_numbers: tuple[int, ...]
    sample: str
    is_hidden: bool

    @property
    def is_fatal(self) -> bool:
        """True if the file must not be read with any settings."""
        return self.is_hidden or self.count > _MIN_BROKEN_SHARE * self.rows

    def __str__(self) -> str:
        """Return the cause with its rows, and the next step."""
        row_numbers = ", ".join(map(str, self.row_numbers))
        more = ", ..." if self.count > len(self.row_numbers) else ""
        noun = "rows have" if self.count > 1 else "row has"
        return (
            f"{self.count:,} {noun} an amount with a comma that is not quoted, for "
            f"example {shorten(self.sample)} (row {row_numbers}{more}). The comma also "
            "delimits fields, so it splits these amounts. Ask the vendor to quote the "
            "amounts, or to use another delimiter, such as a semicolon."
        )


def broken_amounts(
    feed: FeedSample, parser: ParserConfig
) -> BrokenAmounts | None:
    """Return the amounts of a file that its delimiter cuts, or None without any."""
    if parser.format != "csv" or parser.delimiter != ",":
        return None
    parsed_feed, _ = open_sample(feed, parser)
    headers = [header.strip() for header in parsed_feed.headers or ()]
    positions = plan_columns(headers, parser).positions
    price_indexes = {
        positions[column] for column in ("cost", "price") if column in positions
    }
    rows = 0
    row_numbers: list[int] = []
    samples: list[str] = []
    counts = [0]
    hidden = _HiddenHalves(headers, price_indexes)
    for batch in parsed_feed.batches:
        rows += len(batch.row_numbers)
        if isinstance(batch, MalformedRecords):
            is_broken = _is_split_record(batch, len(headers))
            counts.append(int(is_broken.sum()))
            indexes = np.flatnonzero(is_broken)[:_MAX_ROW_NUMBERS]
            row_numbers.extend(batch.row_numbers[indexes].tolist())
            samples.extend(batch.raw.take(pa.array(indexes)).to_pylist())
        else:
            hidden.add(batch)
    hidden_rows = hidden.suspicious_rows()
    if hidden_rows:
        return BrokenAmounts(
            sum(counts) + len(hidden_rows),
            rows,
            tuple(hidden_rows[:_MAX_ROW_NUMBERS]),
            hidden.sample,
            is_hidden=True,
        )
    if not samples:
        return None
    return BrokenAmounts(
        sum(counts),
        rows,
        tuple(row_numbers[:_MAX_ROW_NUMBERS]),
        samples[0],
        is_hidden=False,
    )


def _is_split_record(records: MalformedRecords, width: int) -> RowMask:
    """Return a mask of the records with more fields than the header and a cut amount."""
    if records.widths is None:
        return np.zeros(len(records.row_numbers), np.bool_)
    has_split = text.flags_of(
        pc.match_substring_regex(records.raw, _SPLIT_RECORD)
    )
    is_wide: RowMask = np.asarray(records.widths) > width
    return has_split & is_wide


class _HiddenHalves:
    """Collects prices and the fields beside them, of records that fit the header."""

    def __init__(self, headers: Sequence[str], price_indexes: set[int]) -> None:
        self.sample = ""
        self._headers = headers
        self._pairs = [
            (index, index + 1)
            for index in range(len(headers) - 1)
            if not price_indexes.isdisjoint((index, index + 1))
        ]
        self._cells: dict[int, list[pa.StringArray]] = {}
        self._row_numbers: list[np.ndarray] = []

    def add(self, batch: TextBatch) -> None:
        """Add the cells of a batch."""
        if not self._pairs:
            return
        self._row_numbers.append(np.asarray(batch.row_numbers))
        for index in {index for pair in self._pairs for index in pair}:
            cells = text.trim(batch.columns[index])
            self._cells.setdefault(index, []).append(cells)

    def suspicious_rows(self) -> list[int]:
        """Return the row numbers of records whose price is half of an amount."""
        if not self._row_numbers:
            return []
        row_numbers = np.concatenate(self._row_numbers)
        for head_index, tail_index in self._pairs:
            heads = pa.concat_arrays(self._cells[head_index])
            tails = pa.concat_arrays(self._cells[tail_index])
            is_split = _matches(heads, _HEAD) & _matches(tails, _TAIL)
            if is_split.any() and self._are_halves(
                (head_index, heads), (tail_index, tails), is_split
            ):
                first = int(np.flatnonzero(is_split)[0])
                self.sample = f"{heads[first]},{tails[first]}"
                return [int(number) for number in row_numbers[is_split]]
        return []

    def _are_halves(
        self,
        head_column: tuple[int, pa.StringArray],
        tail_column: tuple[int, pa.StringArray],
        is_split: RowMask,
    ) -> bool:
        """Return True if two neighbors are the halves of amounts in some records."""
        left_index, heads = head_column
        right_index, tails = tail_column
        if not self._headers[left_index] or not self._headers[right_index]:
            return True
        if (_matches(tails, _TAIL_WITH_ZERO) & is_split).any():
            return True
        if (_matches(heads, _HEAD_WITH_SYMBOL) & is_split).any():
            return bool((_matches(tails, rf"^{SYMBOL}") & ~is_split).sum() == 0)
        is_whole = ~is_split & (~text.is_empty(heads) | ~text.is_empty(tails))
        count = int(is_whole.sum())
        if not count:
            return False
        for cells in (heads, tails):
            is_filled = ~text.is_empty(cells) & is_whole
            if is_filled.sum() <= _MAX_OTHERS_SHARE * count:
                return True
        # Amounts of the right column have decimals only where they are halves.
        has_tail = _matches(tails, _TAIL_WITH_DECIMALS)
        has_decimals = _matches(tails, _DECIMALS) & is_whole
        is_rare = has_decimals.sum() <= _MAX_OTHERS_SHARE * count
        return bool((has_tail & is_split).any() and is_rare)


def _matches(cells: pa.StringArray, pattern: str) -> RowMask:
    return text.flags_of(pc.match_substring_regex(cells, pattern))
