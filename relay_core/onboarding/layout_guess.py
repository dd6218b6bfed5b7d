"""The guess of a file's layout: delimiter or sheet, and the position of the header."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from relay_core.config import ParserConfig
from relay_core.domain.errors import FeedUnreadableError
from relay_core.ingest.feed import TextBatch
from relay_core.ingest.formats import open_feed
from relay_core.ingest.workbooks import open_book
from relay_core.onboarding.container_guess import SAMPLE_LIMITS
from relay_core.onboarding.feed_sample import SampleRecord, sample_records
from relay_core.onboarding.header_names import count_known, known_names

_DELIMITERS = ",;\t|"
_MAX_RECORDS = 200
_MAX_SHEET_RECORDS = 100
_MAX_SHEET_COLUMNS = 200
_MAX_SHEETS = 5
_CERTAIN_NAMES = (
    2  # a sheet whose header has this many known names ends the search
)
_HEADER_RECORDS = 30  # the header is one of this many first records
_MIN_CONSISTENT_SHARE = 0.9
_MIN_FILLED_SHARE = 0.6
_MAX_RANKED_WIDTH = 16
# A number, an amount or a day, judged only by its characters.
_FIGURE = re.compile(r"[^\W\d]{0,3}\W*\d[\d\W_]*[^\W\d]{0,3}")


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
class _Header:
    """The header among the records of a file.

    Attributes:
        index: The index of the header among the records.
        record: The record of the header.
        known_names: The number of its cells that are known names.
        columns: Names for the fields, if the record is a row like the others.
    """

    index: int
    record: SampleRecord
    known_names: int
    columns: tuple[str, ...] | None


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


def guess_sheet(data: bytes, parser: ParserConfig) -> dict[str, Any]:
    """Return the parser options to change so that the parser reads the feed's sheet.

    Raises:
        FeedUnreadableError: The bytes are not a workbook of the parser's format.
    """
    sheets = open_book(data, parser.format, SAMPLE_LIMITS).sheets
    visible_sheets = [name for name, is_visible in sheets if is_visible]
    if not visible_sheets:
        return {}
    first_sheet = visible_sheets[0]
    best_sheet = first_sheet
    if parser.sheet is not None and parser.sheet in visible_sheets:
        best_sheet = parser.sheet
    header = _sheet_header(data, best_sheet, parser)
    other_sheets = [name for name in visible_sheets if name != best_sheet]
    for sheet in other_sheets[: _MAX_SHEETS - 1]:
        known_names = 0 if header is None else header.known_names
        if known_names >= _CERTAIN_NAMES:
            break
        other_header = _sheet_header(data, sheet, parser)
        # One known name alone may be a cell of a row.
        if other_header is not None and other_header.known_names > max(
            known_names, 1
        ):
            best_sheet = sheet
            header = other_header

    changes: dict[str, Any] = {}
    if best_sheet != (parser.sheet or first_sheet):
        changes["sheet"] = best_sheet
    if parser.columns is None and header is not None:
        rows_before = header.record.line - 1
        is_first = header.index == 0
        # The rows that the parser skips may already leave the header as the first.
        skips_too_few = not is_first and parser.skip_lines < rows_before
        if parser.skip_lines > rows_before or skips_too_few:
            changes["skip_lines"] = 0 if is_first else rows_before
        if header.columns is not None:
            changes["columns"] = [*header.columns]
    return changes


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
        if _filled_cells(record)
    ]
    if parser.columns is not None:
        layout = Layout(delimiter, skip, parser.columns)
        return _evidence_without_header(layout, len(parser.columns), records)
    names = known_names(parser)
    records = _without_blank_ends(records, names)
    header = _find_header(records, names)
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
    return sum(len(record.cells) == width for record in records) / len(records)


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


# --- headers --------------------------------------------------------------------------


def _find_header(
    records: Sequence[SampleRecord],
    names: frozenset[str],
) -> _Header | None:
    """Return the header: the first full record, or a record with more known names."""
    widths = Counter(
        len(record.cells) for record in records if len(record.cells) > 1
    )
    if not widths:
        return None
    width = max(widths, key=lambda width: (widths[width], width))
    indexes = [
        index
        for index, record in enumerate(records)
        if len(record.cells) == width
    ]
    first_indexes = [index for index in indexes if index < _HEADER_RECORDS]
    header_indexes = first_indexes or indexes
    filled = {index: _filled_cells(records[index]) for index in header_indexes}
    min_filled = _MIN_FILLED_SHARE * max(filled.values())
    first_full = next(
        index for index in header_indexes if filled[index] >= min_filled
    )
    known_counts = {
        index: count_known(records[index].cells, names)
        for index in header_indexes
    }
    best = max(known_counts, key=lambda index: (known_counts[index], -index))
    # One known name alone may be a cell of a row.
    index = (
        best
        if known_counts[best] > max(1, known_counts[first_full])
        else first_full
    )
    columns = _columns_without_header(records[index:], names)
    return _Header(index, records[index], known_counts[index], columns)


def _columns_without_header(
    records: Sequence[SampleRecord],
    names: frozenset[str],
) -> tuple[str, ...] | None:
    """Return column names if the first record is a row like the others, or None.

    Then no cell of the first record is a known name, and the cells above figures are
    figures.
    """
    first_cells = records[0].cells
    if count_known(first_cells, names):
        return None
    rows = [
        record.cells
        for record in records[1:]
        if len(record.cells) == len(first_cells)
    ]
    cells_above_figures = [
        first_cell.strip()
        for first_cell, cells in zip(
            first_cells, zip(*rows, strict=True), strict=False
        )
        if _are_figures(cells)
    ]
    if not _are_figures(cells_above_figures):
        return None
    return tuple(
        f"column {number}" for number in range(1, len(first_cells) + 1)
    )


def _are_figures(cells: Iterable[str]) -> bool:
    """Return whether there are figures among the cells and nothing else but blanks."""
    texts = [cell.strip() for cell in cells if cell.strip()]
    return bool(texts) and all(map(_FIGURE.fullmatch, texts))


def _filled_cells(record: SampleRecord) -> int:
    return sum(bool(cell.strip()) for cell in record.cells)


# --- workbooks ------------------------------------------------------------------------


def _sheet_header(
    data: bytes, sheet: str, parser: ParserConfig
) -> _Header | None:
    """Return the header among the first rows of a sheet, or None if it has none."""
    probe = ParserConfig.model_validate(
        {
            "format": parser.format,
            "sheet": sheet,
            "columns": [
                f"column {number}" for number in range(_MAX_SHEET_COLUMNS)
            ],
        }
    )
    records: list[SampleRecord] = []
    with suppress(FeedUnreadableError):
        for batch in open_feed(data, probe, SAMPLE_LIMITS).batches:
            if isinstance(batch, TextBatch):
                records.extend(_sheet_records(batch))
            if len(records) >= _MAX_SHEET_RECORDS:
                break
        return _find_header(records[:_MAX_SHEET_RECORDS], known_names(parser))
    return None


def _sheet_records(batch: TextBatch) -> Iterator[SampleRecord]:
    """Yield the first records of a batch, each up to its last cell that is not blank."""
    columns = [
        column.slice(0, _MAX_SHEET_RECORDS).to_pylist()
        for column in batch.columns
    ]
    rows = zip(*columns, strict=True)
    for row_number, cells in zip(
        batch.row_numbers.tolist(), rows, strict=False
    ):
        filled_numbers = [
            number for number, cell in enumerate(cells, 1) if cell.strip()
        ]
        if filled_numbers:
            yield SampleRecord(row_number, cells[: filled_numbers[-1]])
