"""What a reader makes of a feed, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from relay_core.config import ParserConfig
from relay_core.domain.codes import WORKBOOK_FORMATS
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.ingest.feed import MalformedRecords, ParsedFeed
from relay_core.ingest.formats import open_feed
from relay_core.ingest.workbooks import read_workbook


@dataclass
class Read:
    """The headers, the rows by number, which cells are numbers, and what fits no header."""

    headers: tuple[str, ...] | None
    rows: dict[int, list[str]] = field(default_factory=dict)
    numbers: dict[int, str] = field(default_factory=dict)
    malformed: dict[int, tuple[int | None, str, list[str]]] = field(
        default_factory=dict
    )


def read(
    data: bytes, format: str, *, limits: Limits = DEFAULT_LIMITS, **options: Any
) -> Read:
    """Read a feed by its format's reader."""
    parser = ParserConfig.model_validate({"format": format, **options})
    if (
        format in WORKBOOK_FORMATS and data
    ):  # without the process that a run reads it in
        return gathered(read_workbook(data, parser, limits))
    return gathered(open_feed(data, parser, limits))


def gathered(parsed: ParsedFeed) -> Read:
    """Return all records of a feed that is open."""
    found = Read(parsed.headers)
    for batch in parsed.batches:
        numbers = batch.row_numbers.tolist()
        if isinstance(batch, MalformedRecords):
            cells = zip(*(column.to_pylist() for column in batch.cells), strict=True)
            widths = (
                [None] * len(numbers) if batch.widths is None else batch.widths.tolist()
            )
            shown = ([cell for cell in record if cell is not None] for record in cells)
            told = zip(widths, batch.raw.to_pylist(), shown, strict=True)
            found.malformed |= dict(zip(numbers, told, strict=True))
            continue
        columns = [column.to_pylist() for column in batch.columns]
        for place, number in enumerate(numbers):
            found.rows[number] = [column[place] for column in columns]
            marks = (batch.number_cells.get(at) for at in range(len(columns)))
            found.numbers[number] = "".join(
                "n" if mark is not None and mark[place] else "." for mark in marks
            )
    return found
