"""CSV to text columns with record numbers.

Arrow reads the records: those of the usual width at once, and those of other widths
later, a width at a time. The scanner reads the header, and finds a quote that is never
closed.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from operator import itemgetter
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import csv_text
from relay_core.columnar import text as texts
from relay_core.columnar.arrays import RecordNumbers
from relay_core.config import ParserConfig
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.ingest import csv_records, csv_stream, feed
from relay_core.ingest.column_mapping import kept_cell_count
from relay_core.ingest.decoded_csv import DecodedCsv

_BLOCK_BYTES = 6 << 20
_MAX_BLOCK_BYTES = (1 << 31) - 1
_SAMPLE_RECORDS = 50
"""The number of records that tell the usual width, or fewer if they have many cells."""
_SAMPLE_CELLS = 10_000
_MIN_COLUMN_RECORDS = 32
"""Fewer records of one width are not worth columns of their own."""
_MAX_WAITING_CHARACTERS = 8 << 20
"""The size at which waiting records of unusual widths are read."""


def parse_feed(
    data: feed.Buffer,
    parser: ParserConfig,
    limits: Limits = DEFAULT_LIMITS,
) -> feed.ParsedFeed:
    """Split a feed into its headers and batches of text columns.

    The header is record 1, so the first data record is 2. A feed whose
    ``parser.columns`` are set has no header, and its first record is 1. Empty lines are
    no records.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR`` if the bytes are not in
            ``parser.encoding`` or a quote is never closed. ``invalid_input`` for too
            many columns, too large a cell, or a quote that stays open for longer than a
            cell may be. ``batches`` raises it too.
    """
    decoded = feed.decode_feed(data, parser.encoding)
    lines = csv_records.skip_lines(decoded, parser.skip_lines)
    body, delimiter = csv_records.one_byte_delimiter(lines, parser.delimiter)
    text = DecodedCsv(body, delimiter, parser, limits)
    if parser.columns is not None:
        return _Records(
            text,
            tuple(parser.columns),
            0,
            header_records=0,
        ).parsed()
    headers, position = text.header()
    if headers is None:
        return feed.ParsedFeed(None)
    feed.check_header(headers, limits)
    return _Records(text, headers, position, header_records=1).parsed()


class _RareRecord(NamedTuple):
    """A record of a width that only few records have."""

    number: int
    text: str
    width: int


class _Records:
    """The data records of a text; they can be read once."""

    def __init__(
        self,
        text: DecodedCsv,
        headers: tuple[str, ...],
        position: int,
        *,
        header_records: int,
    ) -> None:
        self._text = text
        self._scanner = text.scanner
        self._delimiter = text.parser.delimiter
        self._limits = text.limits
        self._headers = headers
        # Where the first data record, or an empty line before it, starts.
        self._position = position
        self._header_records = header_records
        self._drops_extra_fields = text.parser.blank_extra_fields == "drop"
        self._kept_cells = kept_cell_count(headers, text.parser, text.limits)
        # Arrow makes no columns of wider records: each column takes memory.
        self._max_columns = max(len(headers), text.limits.columns)
        # A mark that the vendor knew beforehand could pass off an unclosed quote.
        end_mark = uuid4().hex.replace(text.delimiter, "")
        self._dialect = csv_stream.CsvDialect(
            text.delimiter,
            text.parser.quoting,
            end_mark,
        )
        self._unusual = csv_stream.UnusualRecords(header_records)
        # The usual width if it is known before records are read.
        self._usual: int | None = None
        self._record_count: int | None = None  # known once all records are read

    def parsed(self) -> feed.ParsedFeed:
        """Return the feed; its records are read with its batches."""
        locator = feed.RecordLocator("line", self._lines_of)
        csv = None
        if self._text.delimiter == self._delimiter:
            csv = feed.CsvText(
                self._text.body[self._position :],
                self._delimiter.encode(),
                self._header_records,
                self._fits_header,
                self._lines_before,
                self._read_records,
            )
        return feed.ParsedFeed(
            self._headers,
            self._batches(),
            locator=locator,
            csv=csv,
        )

    def _fits_header(self) -> bool:
        body = self._text.body[self._position :]
        return self._usual_width(body) == len(self._headers)

    def _lines_before(self) -> int:
        return self._text.line(self._position) - 1

    def _read_records(self, records: bytes, is_ragged: bool) -> feed.Batches:
        """Read some of the text's records; if ragged, most may be of other widths."""
        text = DecodedCsv(
            memoryview(records),
            self._delimiter.encode(),
            self._text.parser,
            self._limits,
        )
        reader = _Records(text, self._headers, 0, header_records=0)
        reader._usual = len(self._headers)
        reader._unusual.are_expected = is_ragged
        return reader._batches()

    def _lines_of(self, record_numbers: Sequence[int]) -> list[int]:
        """Return the lines of the file at which records start."""
        lines = csv_records.physical_lines(
            self._text.body,
            self._scanner,
            self._position,
            [number - self._header_records for number in record_numbers],
            self._record_count,
        )
        return [self._text.parser.skip_lines + line for line in lines]

    def _batches(self) -> Iterator[feed.TextBatch | feed.MalformedRecords]:
        body = self._text.body[self._position :]
        unusual = self._unusual
        usual_count = 0
        for batch in self._arrow_batches(body, self._usual_width(body)):
            numbers = unusual.numbers_around(usual_count, batch.num_rows)
            usual_count += batch.num_rows
            records = self._records_of(batch.columns, numbers)
            if self._drops_extra_fields and unusual.size:
                # Unusual records may fit: yield them in order with the usual ones.
                last = int(numbers[-1]) if len(numbers) else 0
                yield from csv_stream.in_order(
                    (*records, *self._read_unusual(last)),
                )
                continue
            yield from records
            if unusual.size > _MAX_WAITING_CHARACTERS:
                yield from self._read_unusual()
        remaining = self._read_unusual()
        yield from (
            csv_stream.in_order(remaining)
            if self._drops_extra_fields
            else remaining
        )
        self._record_count = usual_count + len(unusual.ordinals)

    # --- records of the usual width ---

    def _usual_width(self, body: memoryview) -> int:
        """Return the width of most of the first records, else that of the header."""
        if self._usual is not None:
            return self._usual
        header_width = len(self._headers)
        counts = Counter[int]()
        try:
            for width in islice(self._scanner.widths(body), _SAMPLE_RECORDS):
                counts[width] += 1
                if counts.total() * width > _SAMPLE_CELLS:
                    break
        except (csv_records.UnclosedQuoteError, csv_records.LargeFieldError):
            return header_width
        by_count = itemgetter(1)
        width, count = max(
            counts.items(),
            key=by_count,
            default=(header_width, 0),
        )
        is_usual = 2 * count > counts.total() and width <= self._max_columns
        usual_width = width if is_usual else header_width
        self._unusual.are_expected = counts[usual_width] < counts.total()
        return usual_width

    def _arrow_batches(
        self,
        body: memoryview,
        width: int,
    ) -> Iterator[pa.RecordBatch]:
        """Yield Arrow's batches of records of a width, without the end mark's record.

        If a record is larger than a block, all records are read again with larger
        blocks, and those that were yielded before are left out.
        """
        pending: pa.RecordBatch | None = None
        block_bytes = _BLOCK_BYTES
        passed_rows = 0
        while True:
            rows = 0
            try:
                for batch in self._dialect.open(
                    body,
                    width,
                    block_bytes,
                    self._unusual,
                ):
                    rows += batch.num_rows
                    if rows > passed_rows:
                        if pending is not None:
                            yield pending
                        new_rows = rows - passed_rows
                        pending = batch.slice(max(0, batch.num_rows - new_rows))
                        passed_rows = rows
                break
            except pa.ArrowInvalid as error:
                large_field = self._scanner.large_field(
                    self._text.body,
                    self._position,
                )
                if large_field is not None:
                    raise self._large_field_error(large_field) from error
                if block_bytes > len(body) or block_bytes >= _MAX_BLOCK_BYTES:
                    raise self._unfinished_error() from error
                block_bytes = min(block_bytes * 8, _MAX_BLOCK_BYTES)
        if pending is None:
            raise self._unfinished_error()
        last_row = pending.num_rows - 1
        if pending.column(0)[last_row].as_py() != self._dialect.end_mark:
            raise self._unfinished_error()
        yield pending.slice(0, last_row)

    # --- records of any width, as columns ---

    def _records_of(
        self,
        columns: Sequence[pa.StringArray],
        numbers: RecordNumbers,
    ) -> Iterator[feed.TextBatch | feed.MalformedRecords]:
        """Yield records of one width: those that fit the header, then the others."""
        if self._text.delimiter != self._delimiter:
            columns = [
                pc.replace_substring(
                    column,
                    self._text.delimiter,
                    self._delimiter,
                )
                for column in columns
            ]
        feed.check_cell_sizes(columns, numbers, self._headers, self._limits)
        width = len(self._headers)
        if len(columns) == width:
            yield feed.TextBatch(columns, numbers)
            return
        if self._drops_extra_fields and len(columns) > width:
            fits = np.ones(len(numbers), np.bool_)
            for column in columns[width:]:
                fits &= texts.is_empty(texts.trim(column))
            yield feed.TextBatch(columns[:width], numbers).where(fits)
            if fits.all():
                return
            mask = pa.array(~fits)
            columns = [column.filter(mask) for column in columns]
            numbers = numbers[~fits]
        yield self._malformed_columns(columns, numbers)

    def _malformed_columns(
        self,
        columns: Sequence[pa.StringArray],
        numbers: RecordNumbers,
    ) -> feed.MalformedRecords:
        """Return records of one width, without the blank ones, as malformed."""
        is_filled = np.zeros(len(numbers), np.bool_)
        for column in columns:
            is_filled |= ~texts.is_empty(texts.trim(column))
        fields = [
            csv_text.quoted(column, self._delimiter) for column in columns
        ]
        raw = csv_text.join_fields(fields, self._delimiter)
        mask = pa.array(is_filled)
        filled_numbers = numbers[is_filled]
        return feed.MalformedRecords(
            np.full(len(filled_numbers), len(columns)),
            filled_numbers,
            raw.filter(mask),
            [column.filter(mask) for column in columns[: self._kept_cells]],
        )

    # --- records of unusual widths ---

    def _read_unusual(
        self,
        last: int | None = None,
    ) -> Iterator[feed.TextBatch | feed.MalformedRecords]:
        """Yield the unusual records that wait, up to the number ``last``."""
        rare_records: list[_RareRecord] = []
        for width, records in self._unusual.take(last).items():
            is_rare = (
                width > self._max_columns or len(records) < _MIN_COLUMN_RECORDS
            )
            if is_rare and width != len(self._headers):
                for number, text in records:
                    rare_records.append(_RareRecord(number, text, width))
                continue
            numbers = np.array([number for number, _ in records], np.int64)
            yield from self._records_of(
                self._columns_of(records, width),
                numbers,
            )
        rare_records.sort()
        if self._drops_extra_fields:
            fitting, rare_records = self._part_fitting(rare_records)
            if fitting:
                columns = [
                    pa.array(column, pa.string())
                    for column in zip(*fitting.values(), strict=True)
                ]
                yield feed.TextBatch(columns, np.array([*fitting], np.int64))
        if rare_records:
            yield self._malformed_records(rare_records)

    def _columns_of(
        self,
        records: Sequence[csv_stream.NumberedText],
        width: int,
    ) -> list[pa.StringArray]:
        """Return the columns of records of one width."""
        lines = "\n".join(text for _, text in records)
        body = memoryview(lines.encode("utf-8"))
        block_bytes = len(body) + _BLOCK_BYTES
        table = pa.Table.from_batches(
            self._dialect.open(body, width, block_bytes),
        )
        without_end_mark = table.slice(0, len(records))
        return [texts.one_chunk(column) for column in without_end_mark.columns]

    def _part_fitting(
        self,
        records: Sequence[_RareRecord],
    ) -> tuple[dict[int, tuple[str, ...]], list[_RareRecord]]:
        """Return the cells of the records that fit, by number, and all other records.

        A record fits if all its cells beyond the header are blank.
        """
        width = len(self._headers)
        fitting: dict[int, tuple[str, ...]] = {}
        malformed = []
        for record in records:
            if record.width > width:
                cells = self._scanned_cells(record)
                if not any(map(str.strip, cells[width:])):
                    fitting[record.number] = cells[:width]
                    continue
            malformed.append(record)
        return fitting, malformed

    def _malformed_records(
        self,
        records: Sequence[_RareRecord],
    ) -> feed.MalformedRecords:
        """Return records that Arrow should not make columns of, without blank ones."""
        raw: list[str] = []
        is_filled: list[bool] = []
        kept_cells: list[Sequence[str]] = []
        quoted_records: dict[int, tuple[str, ...]] = {}
        for index, record in enumerate(records):
            if '"' in record.text:
                cells = self._scanned_cells(record)
                is_filled.append(any(map(str.strip, cells)))
                kept_cells.append(cells[: self._kept_cells])
                quoted_records[index] = cells
                raw.append("")  # written below, all at once
                continue
            # Without a quote, the text is split and written at once, however wide it
            # is.
            self._check_field_sizes(record)
            delimiter = self._text.delimiter
            fields = record.text.split(delimiter, self._kept_cells)
            kept_cells.append(fields[: self._kept_cells])
            is_filled.append(bool(record.text.replace(delimiter, " ").strip()))
            raw.append(record.text.replace(delimiter, self._delimiter))
        quoted_raw = csv_text.joined_records(
            quoted_records.values(),
            self._delimiter,
        )
        for index, line in zip(
            quoted_records,
            quoted_raw.to_pylist(),
            strict=True,
        ):
            raw[index] = line
        mask = pa.array(is_filled)
        numbers = np.array([record.number for record in records], np.int64)
        widths = np.array([record.width for record in records], np.int64)
        return feed.MalformedRecords(
            widths[is_filled],
            numbers[is_filled],
            pa.array(raw, pa.string()).filter(mask),
            [
                pa.array(column, pa.string()).filter(mask)
                for column in zip_longest(*kept_cells)
            ],
        )

    def _scanned_cells(self, record: _RareRecord) -> tuple[str, ...]:
        """Return the cells of a record by the scanner."""
        try:
            self._check_field_sizes(record)
            fields, _ = self._scanner.record(
                memoryview(record.text.encode()),
                0,
            )
        except (
            csv_records.UnclosedQuoteError
        ) as error:  # in the last record of the feed
            raise self._unfinished_error() from error
        return self._text.cells(fields)

    def _check_field_sizes(self, record: _RareRecord) -> None:
        if len(record.text) <= self._limits.cell_bytes // 4:
            return  # a character has four bytes at most
        data = memoryview(record.text.encode())
        position = self._scanner.first_large(data)
        if position is not None:
            _, column_number = self._scanner.numbers_at(data, 0, position)
            raise feed.large_cell_error(
                record.number,
                column_number,
                self._headers,
                self._limits,
            )

    # --- errors ---

    def _unfinished_error(self) -> FeedUnreadableError:
        """Return the error of records without an end, as the scanner finds it."""
        body = self._text.body
        quote = self._scanner.unclosed_quote(body, self._position)
        if quote is None:
            return FeedUnreadableError(
                FailureCode.DECODE_ERROR,
                "the CSV's structure is broken: a record is too large to be read. "
                "Look for a quote that is never closed.",
            )
        open_field = bytes(body[quote + 1 :])
        field_bytes = len(open_field) - open_field.count(b'""')
        if field_bytes > self._limits.cell_bytes:
            error = csv_records.LargeFieldError(quote, is_open=True)
            return self._large_field_error(error)
        return self._text.unclosed_quote_error(quote)

    def _large_field_error(
        self,
        error: csv_records.LargeFieldError,
    ) -> FeedUnreadableError:
        return self._text.large_field_error(
            error,
            self._position,
            self._headers,
            self._header_records,
        )
