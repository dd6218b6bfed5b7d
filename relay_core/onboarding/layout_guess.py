"""An upload's container, then its layout: delimiter or sheet, header's place, what is no row of it.

The container is compression and format. How records end belongs to the layout: quotes, blank fields
at the end.
"""

import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from relay_core.columnar.text import Bools, is_empty
from relay_core.config import ParserConfig, TenantConfig
from relay_core.config.cross_checks import FORMATS_WITH
from relay_core.config.parser import MAX_SKIP_ROWS
from relay_core.domain.codes import WORKBOOK_FORMATS, RowFault
from relay_core.domain.columns import MONEY_COLUMNS
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import DEFAULT_LIMITS
from relay_core.ingest import compression
from relay_core.ingest.charset import decode_head, likely_encodings
from relay_core.ingest.column_mapping import ColumnPlan, plan_columns
from relay_core.ingest.feed import TextBatch
from relay_core.ingest.formats import open_feed
from relay_core.ingest.jsonl import read_object
from relay_core.ingest.workbooks import open_book, workbook_format
from relay_core.onboarding.check_results import Reading
from relay_core.onboarding.doubts import is_totals
from relay_core.onboarding.dry_run import (
    cell_texts,
    changed_parser,
    read_rows,
    record_columns,
)
from relay_core.onboarding.feed_sample import (
    OLE2,
    PARQUET,
    ZIP,
    FeedSample,
    SampleRecord,
    sample_records,
    unreadable,
)
from relay_core.onboarding.header_guess import count_known, known_names

_UNPACKED = 1 << 20  # so much of a packed text is looked at
_SAMPLE_LIMITS = replace(
    DEFAULT_LIMITS, feed_bytes=256 << 20
)  # of a file that is unpacked whole
_DELIMITERS = ",;\t|"
_RECORDS = 200
_SHEET_RECORDS = 100
_MAX_SHEETS = 5
_SURE = 2  # a header with so many names that price lists have is looked for no further
_HEADER_WITHIN = 30
_RECORD_ENDS: tuple[dict[str, Any], ...] = (
    {"blank_extra_fields": "drop"},
    {"quoting": False},
    {"quoting": False, "blank_extra_fields": "drop"},
)
_SKIPPING = ("cost", "price", "quantity_available", "title", "sku")
"""The columns whose headers tell records that are no rows, the clearest first."""
_FEW = 3  # a record with at most one filled cell in so many says too little to be a product
_CONSISTENT = 0.9
_FILLED = 0.6
# A number, an amount or a day, by its characters alone.
_FIGURES = re.compile(r"[^\W\d]{0,3}\W*\d[\d\W_]*[^\W\d]{0,3}")


def unpacked(feed: FeedSample) -> FeedSample:
    """Return an upload without its layer of compression, as far as its first bytes tell.

    `FeedUnreadableError`: it is of no kind that can be read, too large to be looked at, damaged.
    """
    packed = compression.compression_of(feed.data)
    if packed == "zip" or feed.data.startswith((PARQUET, OLE2)):
        if not feed.is_whole:
            raise unreadable("the file is too large to be looked at; a run reads it")
        if packed != "zip" or workbook_format(feed.data) is not None:
            return feed
        try:
            compression.open_archive(feed.data).close()
        except compression.BROKEN as error:
            what = "a ZIP archive's or an Excel workbook's"
            raise unreadable(
                f"the file begins as {what} do, and is damaged: {error}"
            ) from error
        pieces = compression.pieces(feed.data, "zip")
        data, is_all = next(pieces, b""), next(pieces, None) is None
        if not is_all and data.startswith(PARQUET):
            data, is_all = (
                bytes(compression.unpack(feed.data, "zip", _SAMPLE_LIMITS)),
                True,
            )
        return replace(feed, data=data, is_whole=is_all)
    if packed != "gzip":
        return feed
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(feed.data, _UNPACKED)
    except zlib.error as error:
        raise unreadable(
            f"the file begins as gzip's do, and is damaged: {error}"
        ) from error
    is_all = feed.is_whole and unpacker.eof and not unpacker.unused_data
    return replace(feed, data=data, is_whole=is_all)


def container_changes(
    feed: FeedSample, inner: FeedSample, parser: ParserConfig
) -> Mapping[str, Any]:
    """Return what to change in a parser for an upload that `unpacked` has made ``inner`` of."""
    head, found = inner.data, "csv"
    if not head:
        found = parser.format
    elif head.startswith((ZIP, OLE2)):
        found = workbook_format(head) or parser.format
    elif head.startswith(PARQUET):
        found = "parquet"
    else:
        with suppress(UnicodeError):
            text = decode_head(head, likely_encodings(head)[0], is_whole=inner.is_whole)
            line = text.lstrip().split("\n", 1)[0]
            is_object = line.startswith("{") and read_object(line) is not None
            found = "jsonl" if is_object else "csv"
    changes: dict[str, Any] = {}
    if found != parser.format:
        changes["format"] = found
        for option, formats in FORMATS_WITH.items():
            default = ParserConfig.model_fields[option].default
            if found not in formats and getattr(parser, option) != default:
                changes[option] = default
    packed = compression.compression_of(feed.data)
    if found not in WORKBOOK_FORMATS and parser.compression not in ("auto", packed):
        changes["compression"] = "auto"
    return changes


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the fields of a text end, and how many lines stand before its header.

    ``columns`` are names for the fields of a text without one.
    """

    delimiter: str
    skip_lines: int
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Evidence:
    layout: Layout
    known: int
    share: float
    width: int

    @property
    def rank(self) -> tuple[int, float]:
        return self.known, self.share * min(self.width, 16)


def guess_layout(text: str, parser: ParserConfig, *, is_whole: bool) -> Layout:
    """Return how a text is laid out: as the config says unless the records speak against it.

    Each delimiter is tried with quotes respected: the right one gives records of one width, and a
    header with names that are known.
    """
    own = Layout(parser.delimiter, parser.skip_lines, parser.columns)
    found = [
        evidence
        for delimiter in dict.fromkeys([parser.delimiter, *_DELIMITERS])
        for skip in dict.fromkeys([parser.skip_lines, 0])
        if (evidence := _examined(text, delimiter, skip, parser, is_whole=is_whole))
    ]
    best = max(found, key=lambda each: each.rank, default=None)
    configured = next((each for each in found if each.layout == own), None)
    if best is None or configured is None:
        return own if best is None else best.layout
    is_consistent = configured.share >= _CONSISTENT and configured.known >= best.known
    return own if is_consistent or configured.rank >= best.rank else best.layout


def _examined(
    text: str, delimiter: str, skip: int, parser: ParserConfig, *, is_whole: bool
) -> _Evidence | None:
    """Return what a delimiter makes of a text, None where it splits nothing."""
    records = [
        record
        for record in islice(
            sample_records(
                text, delimiter, skip=skip, quoting=parser.quoting, is_whole=is_whole
            ),
            _RECORDS,
        )
        if any(map(str.strip, record.cells))
    ]
    if parser.columns is not None:
        width = len(parser.columns)
        fitting = (
            sum(len(record.cells) == width for record in records) if width > 1 else 0
        )
        layout = Layout(delimiter, skip, parser.columns)
        return _Evidence(layout, 0, fitting / len(records), width) if fitting else None
    names = known_names(parser)
    records = _without_blank_ends(records, names)
    header = _header_in(records, names)
    if header is None:
        return None
    after, width = records[header.place :], len(header.record.cells)
    share = sum(len(record.cells) == width for record in after) / len(after)
    # Blank lines before the header need no skipping.
    skip = header.record.line - 1 if header.place else skip
    return _Evidence(
        Layout(delimiter, skip, header.columns), header.known, share, width
    )


def _without_blank_ends(
    records: list[SampleRecord], names: frozenset[str]
) -> list[SampleRecord]:
    """Return the records cut to the width of what is surely the header, if no cell is lost."""
    known = [count_known(record.cells, names) for record in records[:_HEADER_WITHIN]]
    if max(known, default=0) <= 1:
        return records
    width = len(records[known.index(max(known))].cells)
    if any(cell.strip() for record in records for cell in record.cells[width:]):
        return records
    return [SampleRecord(record.line, record.cells[:width]) for record in records]


@dataclass(frozen=True, slots=True)
class _Header:
    place: int  # among the records, from 0
    record: SampleRecord
    known: int  # how many of its cells are names of headers
    columns: (
        tuple[str, ...] | None
    )  # names for the fields, where it is a row as the others are


def _header_in(
    records: Sequence[SampleRecord], names: frozenset[str]
) -> _Header | None:
    """Return the header: the first full record, or one with more known names."""
    widths = Counter(len(record.cells) for record in records if len(record.cells) > 1)
    if not widths:
        return None
    width = max(widths, key=lambda each: (widths[each], each))
    fitting = [
        (place, record)
        for place, record in enumerate(records[:_HEADER_WITHIN])
        if len(record.cells) == width
    ] or [
        (place, record)
        for place, record in enumerate(records)
        if len(record.cells) == width
    ]
    full = max(_filled(record) for _, record in fitting)
    first = next(
        place for place, record in fitting if _filled(record) >= _FILLED * full
    )
    known = {place: count_known(record.cells, names) for place, record in fitting}
    best = max(known, key=lambda place: (known[place], -place))
    # One name alone may be a cell of a row.
    place = best if known[best] > max(1, known[first]) else first
    columns = _columns_without_header(records[place:], names)
    return _Header(place, records[place], known[place], columns)


def _columns_without_header(
    records: Sequence[SampleRecord], names: frozenset[str]
) -> tuple[str, ...] | None:
    """Return names for the columns of records whose first is a row as the others are, else None.

    No cell of it is a known name then, and cells over figures are figures.
    """
    first, rows = records[0].cells, [each.cells for each in records[1:]]
    if count_known(first, names):
        return None
    below = zip(*(cells for cells in rows if len(cells) == len(first)), strict=True)
    figures = [
        own.strip()
        for own, column in zip(first, below, strict=False)
        if (texts := list(filter(None, map(str.strip, column))))
        and all(map(_FIGURES.fullmatch, texts))
    ]
    if not any(figures) or not all(map(_FIGURES.fullmatch, filter(None, figures))):
        return None
    return tuple(f"column {place}" for place in range(1, len(first) + 1))


def _filled(record: SampleRecord) -> int:
    return sum(bool(cell.strip()) for cell in record.cells)


# --- workbooks ----------------------------------------------------------------------------------


def guess_sheet(data: bytes, parser: ParserConfig) -> dict[str, Any]:
    """Return the changes by which a parser reads the sheet with the feed, from its header.

    `FeedUnreadableError`: it is no workbook.
    """
    sheets = open_book(data, parser.format, _SAMPLE_LIMITS).sheets
    shown = [name for name, is_visible in sheets if is_visible]
    own = parser.sheet if parser.sheet in shown else next(iter(shown), None)
    if own is None:
        return {}
    best, header = own, _sheet_header(data, own, parser)
    for other in [name for name in shown if name != own][: _MAX_SHEETS - 1]:
        known = 0 if header is None else header.known
        if known >= _SURE:
            break
        found = _sheet_header(data, other, parser)
        if found is not None and found.known > max(known, 1):
            best, header = other, found
    changes: dict[str, Any] = (
        {} if best == (parser.sheet or shown[0]) else {"sheet": best}
    )
    if parser.columns is None and header is not None:
        before, is_first = header.record.line - 1, not header.place
        # Rows that a parser skips may leave the header as the first already.
        if parser.skip_lines > before or (not is_first and parser.skip_lines < before):
            changes["skip_lines"] = 0 if is_first else before
        if header.columns is not None:
            changes["columns"] = [*header.columns]
    return changes


def _sheet_header(data: bytes, name: str, parser: ParserConfig) -> _Header | None:
    """Return the header among the first rows of a sheet; None where it has none to be read."""
    probe = ParserConfig.model_validate(
        {
            "format": parser.format,
            "sheet": name,
            "columns": [f"column {place}" for place in range(200)],
        }
    )
    records: list[SampleRecord] = []
    with suppress(FeedUnreadableError):
        for batch in open_feed(data, probe, _SAMPLE_LIMITS).batches:
            if isinstance(batch, TextBatch):
                columns = [
                    column.slice(0, _SHEET_RECORDS).to_pylist()
                    for column in batch.columns
                ]
                rows = zip(
                    batch.row_numbers.tolist(), zip(*columns, strict=True), strict=False
                )
                for row, cells in rows:  # each up to its last cell that is not blank
                    width = max(
                        (at for at, cell in enumerate(cells, 1) if cell.strip()),
                        default=0,
                    )
                    if width:
                        records.append(SampleRecord(row, cells[:width]))
            if len(records) >= _SHEET_RECORDS:
                break
        return _header_in(records[:_SHEET_RECORDS], known_names(parser))
    return None


# --- how records end, and those that are no rows --------------------------------------------------


def guess_record_ends(
    feed: FeedSample, parser: ParserConfig, config: TenantConfig
) -> Mapping[str, Any]:
    """Return what to change in a parser of CSV so that more records have the header's width.

    Quotes are made ordinary characters only where none encloses a cell: then they hide no rows.
    """
    if parser.format != "csv":
        return {}
    best = _records(read_rows(feed, parser, config))
    changes: dict[str, Any] = {}
    has_quotes = b'"' in feed.data and parser.quoting
    for each in _RECORD_ENDS if has_quotes or best[0] < 1 else ():
        changed = changed_parser(parser, each)
        if changed is None or (not has_quotes and "quoting" in each):
            continue
        reading = read_rows(feed, changed, config)
        found = _records(reading)
        if found > best and not changed.quoting:
            names = list(filter(None, dict.fromkeys(reading.headers)))
            cells = cell_texts(
                feed, changed, names, are_headers=True, with_numbers=True
            )
            texts = (text for texts in (names, *cells.values()) for text in texts)
            if any(len(text) > 1 and text[0] == text[-1] == '"' for text in texts):
                continue
        if found > best:
            best, changes = found, each
    return changes


def guess_skip_rows(feed: FeedSample, parser: ParserConfig) -> list[dict[str, Any]]:
    """Return the entries of ``skip_rows`` that leave out headings, images, footers and totals.

    A record without a quantity and without an amount is no product. A header tells such records
    where no other record lacks its cell. Totals are found by their words, where the SKU is empty.
    """
    headers, columns = record_columns(feed, parser)
    names = [header.strip() for header in headers[: len(columns)]]
    counts = Counter(names)
    plan = plan_columns(headers, parser)
    first = (plan.positions[name] for name in _SKIPPING if name in plan.positions)
    ordered = [at for at in first if at < len(columns)]
    ordered = [
        at
        for at in dict.fromkeys((*ordered, *range(len(names))))
        if counts[names[at]] == 1
    ]
    empty = {at: is_empty(column) for at, column in enumerate(columns)}
    no_product = _no_products(plan, empty)
    telling = [
        at for at in ordered if names[at] and not (empty[at] & ~no_product).any()
    ]
    left, rules = no_product & ~np.all(no_product), list[dict[str, Any]]()
    while left.any() and telling:
        best = max(telling, key=lambda at: int((empty[at] & left).sum()))
        if not (empty[best] & left).any():
            break
        rules.append({"column": names[best], "is": "empty"})
        left = left & ~empty[best]
    sku = plan.positions.get("sku", -1)
    unnamed = empty[sku] & ~no_product if sku in empty else no_product & False
    for at in ordered if unnamed.any() else ():
        texts = filter(
            is_totals, dict.fromkeys(columns[at].filter(pa.array(unnamed)).to_pylist())
        )
        if names[at] and (found := list(texts)):
            rules.append({"column": names[at], "is": found})
    return rules[: MAX_SKIP_ROWS - len(parser.skip_rows)]


def _records(reading: Reading) -> tuple[float, int]:
    """Return which share of the records has the header's width, and how many there are."""
    if not reading.rows:
        return 0.0, 0
    wrong = (c.count for c in reading.refusals if c.error_code == RowFault.COLUMN_COUNT)
    return 1 - sum(wrong) / reading.rows, reading.rows


def _no_products(plan: ColumnPlan, empty: Mapping[int, Bools]) -> Bools:
    """Return which records have neither a quantity nor an amount, nor much else where in doubt."""
    quantity = _places(plan, ["quantity_available"])
    amounts = _places(plan, MONEY_COLUMNS)
    known = [empty[at] for at in (*quantity, *amounts) if at in empty]
    cells = (
        np.stack([~each for each in empty.values()])
        if empty
        else np.zeros((0, 0), np.bool_)
    )
    if not known:
        return np.zeros(cells.shape[1], np.bool_)
    nothing = np.asarray(np.logical_and.reduce(known))
    if quantity and amounts:
        return nothing
    return np.asarray(nothing & (cells.sum(axis=0) * _FEW <= len(cells)))


def _places(plan: ColumnPlan, columns: Sequence[str]) -> list[int]:
    """Return the places of all headers of some columns."""
    parts = (place for name in columns for place in plan.parts.get(name, {}).values())
    return [
        *(plan.positions[name] for name in columns if name in plan.positions),
        *parts,
    ]
