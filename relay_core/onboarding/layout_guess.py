"""The guess of a file's layout: delimiter or sheet, and the position of the header."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from relay_core.config import ParserConfig
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.formats import FORMATS
from relay_core.ingest.charset import decode_head, guess_encoding
from relay_core.ingest.workbook_cells import SheetRow
from relay_core.ingest.workbooks import Book, open_book
from relay_core.onboarding.container_guess import SAMPLE_LIMITS
from relay_core.onboarding.feed_sample import (
    FeedSample,
    SampleRecord,
    sample_records,
)
from relay_core.onboarding.header_names import count_known, known_names
from relay_core.onboarding.header_rows import (
    filled_cells,
    find_header,
    is_figure,
)

_DELIMITERS = ",;\t|"
_MAX_RECORDS = 400
_MAX_SHEETS = 20
_MAX_COUNTED_ROWS = 50_000
_MAX_COUNTED_CELLS = 1_000_000
_HEADER_RECORDS = 60  # the header is one of this many first records
_MIN_CONSISTENT_SHARE = 0.9
_MAX_RANKED_WIDTH = 16
_ALIGNED = re.compile(r"[\w.)] {2,}[\w$(]")
_MIN_ALIGNED_SHARE = 0.8
"""The share of the lines of a text with columns that are aligned, at least."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a delimited text.

    Attributes:
        delimiter: The delimiter between fields.
        skip_lines: The number of lines before the header.
        columns: Names for the fields of a text without a header, or None.
    """

    delimiter: str
    skip_lines: int
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The evidence for one layout.

    Attributes:
        layout: The layout.
        known_names: The number of known names in the header.
        share: The share of records that have the header's width.
        width: The number of fields.
    """

    layout: Layout
    known_names: int
    share: float
    width: int

    @property
    def rank(self) -> tuple[int, float]:
        return self.known_names, self.share * min(self.width, _MAX_RANKED_WIDTH)


@dataclass(frozen=True, slots=True)
class SheetGuess:
    """The sheet of a workbook that has the list.

    Attributes:
        changes: The parser options to change so that the parser reads the sheet.
        name: The name of the sheet.
        row_counts: The number of rows that look like a table, for each visible sheet.
            There are none if the workbook has one sheet.
    """

    changes: Mapping[str, Any]
    name: str = ""
    row_counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def rivals(self) -> list[str]:
        """The other sheets with at least half as many rows."""
        rows = self.row_counts.get(self.name, 0)
        return [
            name
            for name, count in self.row_counts.items()
            if name != self.name and count and count * 2 >= rows
        ]


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A sheet of a workbook: its first records, and its number of rows like a table."""

    records: Sequence[SampleRecord]
    row_count: int


def guess_layout(text: str, parser: ParserConfig, *, is_whole: bool) -> Layout:
    """Return the layout of a text: the config's, unless the records contradict it.

    Each delimiter is tried. The right one gives records of one width, and a header with
    known names.
    """
    configured_layout = Layout(
        parser.delimiter, parser.skip_lines, parser.columns
    )
    evidence = []
    for delimiter in dict.fromkeys([parser.delimiter, *_DELIMITERS]):
        for skip in dict.fromkeys([parser.skip_lines, 0]):
            layout = _evidence(text, delimiter, skip, parser, is_whole=is_whole)
            if layout is not None:
                evidence.append(layout)
    best = max(evidence, key=lambda layout: layout.rank, default=None)
    if best is None:
        return configured_layout
    configured = next(
        (e for e in evidence if e.layout == configured_layout), None
    )
    if configured is None:
        return best.layout
    is_consistent = configured.share >= _MIN_CONSISTENT_SHARE
    if is_consistent and configured.known_names >= best.known_names:
        return configured_layout
    return configured_layout if configured.rank >= best.rank else best.layout


def layout_changes(feed: FeedSample, parser: ParserConfig) -> dict[str, Any]:
    """Return the encoding and the layout to change so that a parser reads a text."""
    # An XML document says its encoding itself.
    has_encoding = "encoding" in FORMATS[parser.format].options
    if not has_encoding or parser.format == "xml":
        return {}
    encoding = guess_encoding(
        feed.data, parser.encoding, is_whole=feed.is_whole
    )
    if encoding is None:
        return {}
    options: dict[str, Any] = {"encoding": encoding}
    if parser.format == "csv":
        text = decode_head(feed.data, encoding, is_whole=feed.is_whole)
        layout = guess_layout(text, parser, is_whole=feed.is_whole)
        options |= asdict(layout)
    changes = {
        name: value
        for name, value in options.items()
        if value != getattr(parser, name)
    }
    if changes.get("columns"):
        changes["columns"] = [*changes["columns"]]
    return changes


def is_aligned(text: str) -> bool:
    """Return True if spaces align the columns of a text, and no delimiter separates them."""
    lines = [
        line for line in islice(text.splitlines(), _MAX_RECORDS) if line.strip()
    ]
    if not lines:
        return False
    aligned = sum(_ALIGNED.search(line) is not None for line in lines)
    if aligned < _MIN_ALIGNED_SHARE * len(lines):
        return False
    most_delimited = max(
        sum(delimiter in line for line in lines) for delimiter in _DELIMITERS
    )
    return most_delimited < _MIN_ALIGNED_SHARE * len(lines)


def guess_sheet(data: bytes, parser: ParserConfig) -> SheetGuess:
    """Return the sheet of a workbook that has the list, and how to read it.

    It is the visible sheet with the most rows that look like a table, or the one that the
    config names if it has such rows.

    Raises:
        FeedUnreadableError: The bytes are not a workbook of the parser's format.
    """
    book = open_book(data, parser.format, SAMPLE_LIMITS)
    visible = {
        name: index
        for index, (name, is_visible) in enumerate(book.sheets)
        if is_visible
    }
    if not visible:
        return SheetGuess({})
    max_rows = _MAX_COUNTED_ROWS if len(visible) > 1 else _MAX_RECORDS
    sheets = {
        name: _read_sheet(book, index, max_rows)
        for name, index in islice(visible.items(), _MAX_SHEETS)
    }
    first_name = next(iter(sheets))
    best_name = max(sheets, key=lambda name: sheets[name].row_count)
    if parser.sheet in sheets and sheets[parser.sheet].row_count > 1:
        best_name = parser.sheet
    header = find_header(sheets[best_name].records, known_names(parser))

    changes: dict[str, Any] = {}
    if best_name != (parser.sheet or first_name):
        changes["sheet"] = best_name
    if parser.columns is None and header is not None:
        rows_before = header.record.line - 1
        is_first = header.index == 0
        # The rows that the parser skips may already leave the header as the first.
        skips_too_few = not is_first and parser.skip_lines < rows_before
        if parser.skip_lines > rows_before or skips_too_few:
            changes["skip_lines"] = 0 if is_first else rows_before
        if header.columns is not None:
            changes["columns"] = [*header.columns]
    row_counts = {}
    if len(sheets) > 1:
        row_counts = {name: sheet.row_count for name, sheet in sheets.items()}
    return SheetGuess(changes, best_name, row_counts)


# --- texts ----------------------------------------------------------------------------


def _evidence(
    text: str,
    delimiter: str,
    skip: int,
    parser: ParserConfig,
    *,
    is_whole: bool,
) -> _Evidence | None:
    """Return the evidence for a delimiter, or None if it splits nothing."""
    all_records = sample_records(
        text,
        delimiter,
        skip=skip,
        quoting=parser.quoting,
        is_whole=is_whole,
    )
    records = [
        record
        for record in islice(all_records, _MAX_RECORDS)
        if filled_cells(record)
    ]
    if parser.columns is not None:
        layout = Layout(delimiter, skip, parser.columns)
        return _evidence_without_header(layout, len(parser.columns), records)
    names = known_names(parser)
    records = _without_blank_ends(records, names)
    header = find_header(records, names)
    if header is None:
        return None
    width = len(header.record.cells)
    # Empty lines before the header need no skipping.
    skip_lines = header.record.line - 1 if header.index else skip
    return _Evidence(
        Layout(delimiter, skip_lines, header.columns),
        known_names=header.known_names,
        share=_share_of_width(records[header.index :], width),
        width=width,
    )


def _evidence_without_header(
    layout: Layout,
    width: int,
    records: Sequence[SampleRecord],
) -> _Evidence | None:
    """Return the evidence for a layout whose columns the config names."""
    if width <= 1 or not records:
        return None
    share = _share_of_width(records, width)
    if not share:
        return None
    return _Evidence(layout, known_names=0, share=share, width=width)


def _share_of_width(records: Sequence[SampleRecord], width: int) -> float:
    """Return the share of records with a width, blank cells beyond it not counted."""
    fitting = sum(
        len(record.cells) == width
        or (
            len(record.cells) > width
            and not any(map(str.strip, record.cells[width:]))
        )
        for record in records
    )
    return fitting / len(records)


def _without_blank_ends(
    records: list[SampleRecord],
    names: frozenset[str],
) -> list[SampleRecord]:
    """Return the records cut to the header's width, if its width is certain.

    The records stay as they are if a cell with text would be lost.
    """
    known_counts = [
        count_known(record.cells, names) for record in records[:_HEADER_RECORDS]
    ]
    most_known = max(known_counts, default=0)
    if most_known <= 1:
        return records
    header = records[known_counts.index(most_known)]
    width = len(header.cells)
    for record in records:
        if any(cell.strip() for cell in record.cells[width:]):
            return records
    return [
        SampleRecord(record.line, record.cells[:width]) for record in records
    ]


# --- workbooks ------------------------------------------------------------------------


def _read_sheet(book: Book, sheet_index: int, max_rows: int) -> _Sheet:
    """Return the first records of a sheet, and the number of its rows like a table.

    A row of a table has at least two filled cells, and one of them is a figure.
    """
    records: list[SampleRecord] = []
    row_count = 0
    with suppress(FeedUnreadableError):
        remaining_cells = _MAX_COUNTED_CELLS
        for row in islice(book.rows(sheet_index), max_rows):
            row_count += _is_table_row(row)
            remaining_cells -= len(row[1])
            if remaining_cells < 0:
                break
            if len(records) < _MAX_RECORDS:
                records.extend(_records_of(row))
    return _Sheet(records, row_count)


def _is_table_row(row: SheetRow) -> bool:
    _, cells = row
    if len(cells) < 2:
        return False
    return any(is_number or is_figure(text) for _, text, is_number in cells)


def _records_of(row: SheetRow) -> Iterator[SampleRecord]:
    """Yield the record of a row up to its last cell that is not blank, if there is one."""
    number, cells = row
    texts = {column: text for column, text, _ in cells if text.strip()}
    if texts:
        width = max(texts) + 1
        yield SampleRecord(
            number, tuple(texts.get(column, "") for column in range(width))
        )
