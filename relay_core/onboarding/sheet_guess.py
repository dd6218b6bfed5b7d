"""The sheet of a workbook that probably holds the feed, and the rows before its header."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from relay_core.config import ParserConfig
from relay_core.domain.cell_rules import strip
from relay_core.domain.errors import FeedUnreadableError
from relay_core.ingest.feed import TextBatch
from relay_core.ingest.formats import open_feed
from relay_core.ingest.workbooks import open_book
from relay_core.onboarding.container_guess import SAMPLE_LIMITS
from relay_core.onboarding.feed_sample import SampleRecord
from relay_core.onboarding.header_guess import count_known, known_names
from relay_core.onboarding.layout_guess import columns_without_header, header_place

_RECORDS = 100
_MAX_SHEETS = 5
_SURE = 2
"""A header with so many names that price lists have is looked for no further."""
_COLUMNS = [f"column {place}" for place in range(200)]


@dataclass(frozen=True, slots=True)
class _Sheet:
    name: str
    header: SampleRecord | None = None
    first: SampleRecord | None = None
    known: int = 0
    columns: tuple[str, ...] | None = None


def guess_sheet(data: bytes, parser: ParserConfig) -> dict[str, Any]:
    """Return what to change in a parser so that it reads the sheet with the feed, from its header.

    Raises:
        FeedUnreadableError: it is no workbook.
    """
    sheets = open_book(data, parser.format, SAMPLE_LIMITS).sheets
    shown = [name for name, is_visible in sheets if is_visible]
    own = parser.sheet if parser.sheet in shown else next(iter(shown), None)
    if own is None:
        return {}
    best = _examined(data, own, parser)
    for other in [name for name in shown if name != own][: _MAX_SHEETS - 1]:
        if best.known >= _SURE:
            break
        found = _examined(data, other, parser)
        best = found if found.known > max(best.known, 1) else best
    changes: dict[str, Any] = {}
    if best.name != (parser.sheet or shown[0]):
        changes["sheet"] = best.name
    if parser.columns is None and best.header is not None and not _leads_to(parser, best):
        changes["skip_lines"] = 0 if best.header is best.first else best.header.line - 1
    if parser.columns is None and best.columns is not None:
        changes["columns"] = [*best.columns]
    return changes


def _leads_to(parser: ParserConfig, sheet: _Sheet) -> bool:
    """Tell whether the rows that a parser skips leave the header as the first."""
    if sheet.header is None or sheet.first is None or parser.skip_lines >= sheet.header.line:
        return False
    return sheet.header is sheet.first or parser.skip_lines == sheet.header.line - 1


def _examined(data: bytes, name: str, parser: ParserConfig) -> _Sheet:
    """Return what the first rows of a sheet look like."""
    probe = ParserConfig.model_validate(
        {"format": parser.format, "sheet": name, "columns": _COLUMNS}
    )
    try:
        records = _records(data, probe)
    except FeedUnreadableError:
        return _Sheet(name)
    widths = Counter(len(record.cells) for record in records if len(record.cells) > 1)
    if not widths:
        return _Sheet(name)
    names = known_names(parser)
    width = max(widths, key=lambda each: (widths[each], each))
    place = header_place(records, width, names)
    header, columns = records[place], columns_without_header(records[place:], names)
    return _Sheet(name, header, records[0], count_known(header.cells, names), columns)


def _records(data: bytes, probe: ParserConfig) -> list[SampleRecord]:
    """Return the first rows that are not blank, each up to its last cell that is not."""
    records: list[SampleRecord] = []
    for batch in open_feed(data, probe, SAMPLE_LIMITS).batches:
        if not isinstance(batch, TextBatch):
            continue
        columns = [column.slice(0, _RECORDS).to_pylist() for column in batch.columns]
        for row, cells in zip(batch.row_numbers.tolist(), zip(*columns, strict=True), strict=False):
            width = max((at for at, cell in enumerate(cells, 1) if strip(cell)), default=0)
            if width:
                records.append(SampleRecord(row, cells[:width]))
        if len(records) >= _RECORDS:
            break
    return records[:_RECORDS]
