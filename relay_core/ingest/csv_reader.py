"""Bytes of one feed to text columns with record numbers.

Arrow reads the records that fit the header; the scanner reads the header and the records that do
not fit. No cell is trimmed or judged here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from relay_core.config import ParserConfig
from relay_core.domain.cell_rules import strip
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.models import FailureCode
from relay_core.ingest.csv_records import RecordScanner, UnclosedQuoteError, line_number, skip_lines
from relay_core.ingest.decoding import Buffer, decode_feed

_BLOCK = 6 << 20
_MAX_BLOCK = (1 << 31) - 1
_END_MARK = b"\x1arelay:end-of-feed\x1a"
_STAND_INS = b"\x1f\x1e\x1d\x1c\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11"


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Some records of a feed: one text column a header, and each record's ``row_number``."""

    columns: list[pa.StringArray]
    row_numbers: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RaggedRecord:
    """A record with more or fewer fields than the header."""

    row_number: int
    cells: tuple[str, ...]


@dataclass(slots=True)
class ParsedFeed:
    """A feed's headers, as they stand in the file, and its records.

    ``headers`` is None where the file has no record at all. ``batches`` may be walked once;
    ``ragged`` is complete when it ends.
    """

    headers: tuple[str, ...] | None
    batches: Iterator[TextBatch] = field(default_factory=lambda: iter(()))
    ragged: list[RaggedRecord] = field(default_factory=list)


def parse_feed(data: Buffer, parser: ParserConfig) -> ParsedFeed:
    """Split a feed into its headers and batches of text columns.

    The header is record 1, so that the first data record is 2; a feed whose ``parser.columns``
    are given has no header and starts at 1. Empty lines take no number.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``, here or from ``batches``: the bytes are not in
            ``parser.encoding``, or a quote is never closed.
    """
    text = skip_lines(decode_feed(data, parser.encoding), parser.skip_lines)
    records = _Records(
        *_one_byte_delimiter(text, parser.delimiter), skipped_lines=parser.skip_lines
    )
    if parser.columns is not None:
        return records.parsed(tuple(parser.columns), 0, first_row=1)
    headers, position = records.header()
    return records.parsed(headers, position, first_row=2) if headers else ParsedFeed(None)


def _one_byte_delimiter(text: memoryview, delimiter: str) -> tuple[memoryview, bytes, str | None]:
    """Return text and a delimiter of one byte, and what stands for that byte in the cells."""
    wide = delimiter.encode("utf-8")
    if len(wide) == 1 and wide != b"\x00":  # Arrow takes no NUL
        return text, wide, None
    raw = bytes(text)
    free = next((mark for mark in _STAND_INS if mark not in raw), None)
    if free is None:
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            f"the feed holds every control character, so it cannot be split at {delimiter!r}; "
            "save it with an ASCII delimiter",
        )
    return memoryview(raw.replace(wide, bytes([free]))), bytes([free]), delimiter


class _Records:
    """The records of one decoded text."""

    def __init__(
        self, text: memoryview, delimiter: bytes, stands_for: str | None, *, skipped_lines: int
    ) -> None:
        self._text = text
        self._delimiter = delimiter
        self._stands_for = stands_for
        self._skipped_lines = skipped_lines
        self._scanner = RecordScanner(delimiter)
        self._end_mark = _END_MARK.replace(delimiter, b"")

    def header(self) -> tuple[tuple[str, ...] | None, int]:
        """Return the first record that is not blank and where the next one starts."""
        position = 0
        try:
            while position < len(self._text):
                fields, position = self._scanner.record(self._text, position)
                cells = self._cells(fields)
                if any(map(strip, cells)):
                    return cells, position
        except UnclosedQuoteError as error:
            raise self._unclosed(error.position) from error
        return None, position

    def parsed(self, headers: tuple[str, ...], position: int, *, first_row: int) -> ParsedFeed:
        feed = ParsedFeed(headers)
        feed.batches = self._batches(feed, self._text[position:], len(headers), first_row)
        return feed

    def _batches(
        self, feed: ParsedFeed, body: memoryview, width: int, first_row: int
    ) -> Iterator[TextBatch]:
        misfits: list[pa_csv.InvalidRow] = []
        accepted = 0
        for batch in self._arrow_batches(body, width, misfits):
            numbers = _record_numbers(misfits, accepted, batch.num_rows) + (first_row - 1)
            accepted += batch.num_rows
            yield TextBatch([self._restored(column) for column in batch.columns], numbers)
        for misfit in misfits:
            fields, _ = self._scanner.record(memoryview(misfit.text.encode("utf-8")), 0)
            cells = self._cells(fields)
            if any(map(strip, cells)):
                feed.ragged.append(RaggedRecord(misfit.number + first_row - 1, cells))

    def _arrow_batches(
        self, body: memoryview, width: int, misfits: list[pa_csv.InvalidRow]
    ) -> Iterator[pa.RecordBatch]:
        """Yield Arrow's batches without the mark that proves that the last quote was closed."""
        held: pa.RecordBatch | None = None
        for batch in self._opened(body, width, misfits):
            if held is not None:
                yield held
            held = batch
        if held is None or held.column(0)[held.num_rows - 1].as_py() != self._end_mark.decode():
            raise self._find_unclosed(len(self._text) - len(body))
        yield held.slice(0, held.num_rows - 1)

    def _opened(
        self, body: memoryview, width: int, misfits: list[pa_csv.InvalidRow]
    ) -> Iterator[pa.RecordBatch]:
        """Yield Arrow's batches; a record larger than a block is read with larger blocks."""
        size, done = _BLOCK, 0
        while True:
            misfits.clear()
            seen = 0
            try:
                for batch in self._open(body, width, misfits, size):
                    seen += batch.num_rows
                    if seen > done:
                        yield batch.slice(max(0, batch.num_rows - (seen - done)))
                        done = seen
            except pa.ArrowInvalid as error:
                if size > len(body) or size >= _MAX_BLOCK:
                    raise self._find_unclosed(len(self._text) - len(body)) from error
                size = min(size * 8, _MAX_BLOCK)
            else:
                return

    def _open(
        self, body: memoryview, width: int, misfits: list[pa_csv.InvalidRow], size: int
    ) -> pa_csv.CSVStreamingReader:
        def keep(row: pa_csv.InvalidRow) -> str:
            misfits.append(row)
            return "skip"

        names = [str(index) for index in range(width)]
        source = _Source(body, self._end_mark + self._delimiter * (width - 1))
        return pa_csv.open_csv(
            pa.PythonFile(source, mode="r"),
            pa_csv.ReadOptions(use_threads=False, block_size=size, column_names=names),
            pa_csv.ParseOptions(
                delimiter=self._delimiter.decode("ascii"),
                newlines_in_values=True,
                invalid_row_handler=keep,
            ),
            pa_csv.ConvertOptions(check_utf8=False, column_types=dict.fromkeys(names, pa.string())),
        )

    def _restored(self, column: pa.StringArray) -> pa.StringArray:
        if self._stands_for is None:
            return column
        mark = self._delimiter.decode("ascii")
        return pc.replace_substring(column, mark, self._stands_for)

    def _cells(self, fields: list[bytes]) -> tuple[str, ...]:
        cells = (cell.decode("utf-8") for cell in fields)
        if self._stands_for is None:
            return tuple(cells)
        mark = self._delimiter.decode("ascii")
        return tuple(cell.replace(mark, self._stands_for) for cell in cells)

    def _find_unclosed(self, position: int) -> FeedUnreadableError:
        try:
            for _ in self._scanner.records(self._text, position):
                pass
        except UnclosedQuoteError as error:
            return self._unclosed(error.position)
        return FeedUnreadableError(
            FailureCode.DECODE_ERROR,
            "the CSV's structure is broken: a record is larger than can be read; "
            "look for a quote that is never closed",
        )

    def _unclosed(self, position: int) -> FeedUnreadableError:
        line = self._skipped_lines + line_number(self._text, position)
        return FeedUnreadableError(
            FailureCode.DECODE_ERROR,
            f"the CSV's structure is broken: the quote that opens in line {line} is never closed; "
            'close it, or write it twice ("") where it belongs to a quoted text',
        )


def _record_numbers(
    misfits: list[pa_csv.InvalidRow], accepted: int, rows: int
) -> npt.NDArray[np.int64]:
    """Number the next ``rows`` fitting records (the first record is 1) around the misfits."""
    ordinals = np.arange(accepted, accepted + rows, dtype=np.int64)
    if not misfits:
        return ordinals + 1
    numbers = np.fromiter((row.number for row in misfits), np.int64, len(misfits))
    fitting_before = numbers - np.arange(1, len(numbers) + 1)
    return ordinals + 1 + np.searchsorted(fitting_before, ordinals, side="right")


class _Source:
    """The body between two line ends, then the end mark's record, as a stream for Arrow.

    The first line end keeps Arrow from taking a U+FEFF of the first record for a byte order mark.
    Only the first and the last block are copied; the others are views of the body.
    """

    closed = False

    def __init__(self, body: memoryview, end_mark: bytes) -> None:
        self._before, self._body, self._after = b"\n", body, b"\n" + end_mark + b"\n"

    def read(self, size: int) -> bytes | memoryview:
        """Return the next ``size`` bytes, or all that are left."""
        before, self._before = self._before, b""
        part = self._body[: max(0, size - len(before))]
        self._body = self._body[len(part) :]
        if before or len(part) < size:
            after = b"" if len(self._body) else self._after[: size - len(before) - len(part)]
            self._after = self._after[len(after) :]
            return before + bytes(part) + after
        return part

    def close(self) -> None:
        """Let Arrow close it."""
