"""What a reader makes of a feed, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from relay_core.config import ParserConfig
from relay_core.domain.formats import WORKBOOK_FORMATS
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.ingest.feed import MalformedRecords, ParsedFeed, TextBatch
from relay_core.ingest.formats import open_feed
from relay_core.ingest.workbooks import read_workbook


@dataclass
class ReadFeed:
    """All records of a feed, by their numbers."""

    headers: tuple[str, ...] | None
    rows: dict[int, list[str]] = field(default_factory=dict)
    # For each cell of a row "n" if the file has it as a number, else "."
    numbers: dict[int, str] = field(default_factory=dict)
    # The width, the raw record and its cells
    malformed: dict[int, tuple[int | None, str, list[str]]] = field(
        default_factory=dict
    )


def read(
    data: bytes, format: str, *, limits: Limits = DEFAULT_LIMITS, **options: Any
) -> ReadFeed:
    """Read a feed by the reader of its format."""
    parser = ParserConfig.model_validate({"format": format, **options})
    if format in WORKBOOK_FORMATS and data:
        # A run reads workbooks in another process; that would only be slower here.
        return gathered(read_workbook(data, parser, limits))
    return gathered(open_feed(data, parser, limits))


def gathered(parsed: ParsedFeed) -> ReadFeed:
    """Return all records of a parsed feed."""
    feed = ReadFeed(parsed.headers)
    for batch in parsed.batches:
        if isinstance(batch, MalformedRecords):
            _add_malformed(feed, batch)
        else:
            _add_rows(feed, batch)
    return feed


def _add_malformed(feed: ReadFeed, batch: MalformedRecords) -> None:
    numbers = batch.row_numbers.tolist()
    widths = (
        [None] * len(numbers) if batch.widths is None else batch.widths.tolist()
    )
    raw_records = batch.raw.to_pylist()
    all_cells = zip(
        *(column.to_pylist() for column in batch.cells), strict=True
    )
    records = zip(numbers, widths, raw_records, all_cells, strict=True)
    for number, width, raw, cells in records:
        present_cells = [cell for cell in cells if cell is not None]
        feed.malformed[number] = (width, raw, present_cells)


def _add_rows(feed: ReadFeed, batch: TextBatch) -> None:
    columns = [column.to_pylist() for column in batch.columns]
    masks = [batch.number_cells.get(index) for index in range(len(columns))]
    for row, number in enumerate(batch.row_numbers.tolist()):
        feed.rows[number] = [column[row] for column in columns]
        feed.numbers[number] = "".join(
            "n" if mask is not None and mask[row] else "." for mask in masks
        )
