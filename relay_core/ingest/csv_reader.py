"""CSV to text columns with record numbers.

Arrow reads the records: most of them at the width that most have, the others by their own widths
afterwards. The scanner reads the header, and finds the quote that is never closed.
"""

from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from operator import itemgetter
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from relay_core.columnar.csv_text import join_fields, joined_records, quoted
from relay_core.columnar.text import is_empty, one_chunk, trim
from relay_core.config import ParserConfig
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.ingest.column_mapping import shown_cells
from relay_core.ingest.csv_records import (
    LargeFieldError,
    RecordScanner,
    UnclosedQuoteError,
    line_number,
    one_byte_delimiter,
    physical_lines,
    skip_lines,
)
from relay_core.ingest.feed import (
    Buffer,
    MalformedRecords,
    ParsedFeed,
    RecordPlaces,
    TextBatch,
    decode_feed,
    large_cell,
    refuse_large_cells,
    refuse_large_header,
)

_BLOCK = 6 << 20
_MAX_BLOCK = (1 << 31) - 1
_SAMPLE = (
    50  # so many records tell which width most have, or fewer that have so many cells
)
_SAMPLE_CELLS = 10_000
_FIRST = 4 << 10
"""How much Arrow gets first where widths differ: it reads this on a thread of its own, where each
record that it hands over costs four times as much."""
_FEW = 32  # so many records of one width are worth columns of their own
_OTHERS_AT_ONCE = (
    8 << 20
)  # how many characters of records of other widths wait to be read together


def parse_feed(
    data: Buffer, parser: ParserConfig, limits: Limits = DEFAULT_LIMITS
) -> ParsedFeed:
    """Split a feed into its headers and batches of text columns.

    The header is record 1, so that the first data record is 2; a feed whose ``parser.columns``
    are given has no header and starts at 1. Empty lines take no number.

    `FeedUnreadableError`: ``DECODE_ERROR``, here or from ``batches``: the bytes are not in
    ``parser.encoding``, or a quote is never closed; ``invalid_input``: too many columns, or too
    large a cell, as a quote is that is left open for longer than one may be.
    """
    text = skip_lines(decode_feed(data, parser.encoding), parser.skip_lines)
    records = _Records(text, parser, limits)
    if parser.columns is not None:
        return records.parsed(tuple(parser.columns), 0, header_records=0)
    headers, position = records.header()
    if headers is None:
        return ParsedFeed(None)
    refuse_large_header(headers, limits)
    return records.parsed(headers, position, header_records=1)


class _Records:
    """The records of one decoded text: `header`, if it has one, then all others by `parsed`.

    In the text, ``_delimiter`` stands for ``parser.delimiter`` where Arrow does not take that one.
    Cells and raw records have the parser's again.
    """

    def __init__(self, text: memoryview, parser: ParserConfig, limits: Limits) -> None:
        self._text, delimiter = one_byte_delimiter(text, parser.delimiter)
        self._delimiter = delimiter.decode("ascii")
        self._parser, self._limits = parser, limits
        self._drops = parser.blank_extra_fields == "drop"
        self._scanner = RecordScanner(
            delimiter, limits.cell_bytes, quoting=parser.quoting
        )
        # Whoever knows it beforehand could pass off an unclosed quote: it is another one each time.
        self._end_mark = uuid4().hex.replace(self._delimiter, "")
        self._headers: tuple[str, ...] = ()
        self._header_records = (
            0  # which come before the first data record: 1 or, without any, 0
        )
        self._position = (
            0  # where the first data record, or an empty line before it, begins
        )
        self._data_records: int | None = None  # how many there are, once all are read

    def header(self) -> tuple[tuple[str, ...] | None, int]:
        """Return the first record that is not blank and where the next one starts."""
        position = 0
        try:
            while position < len(self._text):
                fields, position = self._scanner.record(self._text, position)
                cells = self._cells(fields)
                if any(map(str.strip, cells)):
                    return cells, position
        except UnclosedQuoteError as error:
            raise self._unclosed(error.position) from error
        except LargeFieldError as error:
            raise self._large(error, position) from error
        return None, position

    def parsed(
        self, headers: tuple[str, ...], position: int, *, header_records: int
    ) -> ParsedFeed:
        """Return the feed whose data records begin at ``position``, none of them read yet."""
        self._headers, self._position, self._header_records = (
            headers,
            position,
            header_records,
        )
        self._others = OtherRecords(header_records)
        # Of how many cells of a record Arrow makes columns, each of which takes memory.
        self._most_columns = max(len(headers), self._limits.columns)

        def lines(numbers: Sequence[int]) -> list[int]:
            ordinals, count = (
                [number - header_records for number in numbers],
                self._data_records,
            )
            found = physical_lines(self._text, self._scanner, position, ordinals, count)
            return [self._parser.skip_lines + line for line in found]

        return ParsedFeed(headers, self._batches(), places=RecordPlaces("line", lines))

    def _batches(self) -> Iterator[TextBatch | MalformedRecords]:
        """Yield all records."""
        body, others, accepted = self._text[self._position :], self._others, 0
        for batch in self._arrow_batches(body, self._usual_width(body)):
            numbers = others.numbers_around(accepted, batch.num_rows)
            accepted += batch.num_rows
            read = self._batch(batch.columns, numbers)
            if self._drops and others.size:
                last = int(numbers[-1]) if len(numbers) else 0
                yield from _in_order((*read, *self._read_others(last)))
                continue
            yield from read
            if others.size > _OTHERS_AT_ONCE:
                yield from self._read_others()
        rest = self._read_others()
        yield from _in_order(rest) if self._drops else rest
        self._data_records = accepted + len(others.numbers)

    def _usual_width(self, body: memoryview) -> int:
        """Return how many cells most records have, as the first tell; else the header's number."""
        sample, wanted = Counter[int](), len(self._headers)
        try:
            for width in islice(self._scanner.widths(body), _SAMPLE):
                sample[width] += 1
                if sample.total() * width > _SAMPLE_CELLS:
                    break
        except (UnclosedQuoteError, LargeFieldError):
            return wanted
        width, count = max(sample.items(), key=itemgetter(1), default=(wanted, 0))
        is_usual = 2 * count > sample.total() and width <= self._most_columns
        usual = width if is_usual else wanted
        self._others.expected = sample[usual] < sample.total()
        return usual

    def _arrow_batches(self, body: memoryview, width: int) -> Iterator[pa.RecordBatch]:
        """Yield Arrow's batches without the mark that proves that the last quote was closed.

        A record larger than a block is read with larger blocks.
        """
        held: pa.RecordBatch | None = None
        size, done = _BLOCK, 0
        while True:
            seen = 0
            try:
                for batch in self._open(body, width, size, self._others):
                    seen += batch.num_rows
                    if seen > done:
                        if held is not None:
                            yield held
                        held = batch.slice(max(0, batch.num_rows - (seen - done)))
                        done = seen
                break
            except pa.ArrowInvalid as error:
                if large := self._scanner.large_field(self._text, self._position):
                    raise self._large(large, self._position) from error
                if size > len(body) or size >= _MAX_BLOCK:
                    raise self._find_unclosed() from error
                size = min(size * 8, _MAX_BLOCK)
        if held is None or held.column(0)[held.num_rows - 1].as_py() != self._end_mark:
            raise self._find_unclosed()
        yield held.slice(0, held.num_rows - 1)

    def _open(
        self,
        body: memoryview,
        width: int,
        size: int,
        others: "OtherRecords | None" = None,
    ) -> pa_csv.CSVStreamingReader:
        names = [str(index) for index in range(width)]
        end_mark = (self._end_mark + self._delimiter * (width - 1)).encode()
        first = _FIRST if others is not None and others.expected else size
        source = BodySource(body, end_mark, first)
        return pa_csv.open_csv(
            pa.PythonFile(source, mode="r"),
            pa_csv.ReadOptions(use_threads=False, block_size=size, column_names=names),
            pa_csv.ParseOptions(
                delimiter=self._delimiter,
                quote_char='"' if self._parser.quoting else False,
                newlines_in_values=True,
                invalid_row_handler=None if others is None else others.keep,
            ),
            pa_csv.ConvertOptions(
                check_utf8=False, column_types=dict.fromkeys(names, pa.string())
            ),
        )

    def _batch(
        self, columns: Sequence[pa.StringArray], numbers: npt.NDArray[np.int64]
    ) -> Iterator[TextBatch | MalformedRecords]:
        """Yield records of one width, as columns: those that fit the header, then the others."""
        restored, wanted, delimiter = (
            list(columns),
            len(self._headers),
            self._parser.delimiter,
        )
        if self._delimiter != delimiter:
            restored = [
                pc.replace_substring(c, self._delimiter, delimiter) for c in columns
            ]
        refuse_large_cells(restored, numbers, self._headers, self._limits)
        if len(columns) == wanted:
            yield TextBatch(restored, numbers)
            return
        if self._drops and len(columns) > wanted:
            fits = np.ones(len(numbers), np.bool_)
            for column in restored[wanted:]:
                fits &= is_empty(trim(column))
            yield TextBatch(restored[:wanted], numbers).where(fits)
            if fits.all():
                return
            keep = pa.array(~fits)
            restored, numbers = (
                [column.filter(keep) for column in restored],
                numbers[~fits],
            )
        filled = np.zeros(len(numbers), np.bool_)
        for column in restored:
            filled |= ~is_empty(trim(column))
        raw = join_fields([quoted(column, delimiter) for column in restored], delimiter)
        keep, shown = (
            pa.array(filled),
            shown_cells(self._headers, self._parser, self._limits),
        )
        cells = [column.filter(keep) for column in restored[:shown]]
        widths = np.full(int(filled.sum()), len(columns))
        yield MalformedRecords(widths, numbers[filled], raw.filter(keep), cells)

    def _read_others(
        self, last: int | None = None
    ) -> Iterator[TextBatch | MalformedRecords]:
        """Yield the records of other widths that wait, those behind the ``last`` left out."""
        one_by_one, wanted = list[tuple[int, str, int]](), len(self._headers)
        for width, records in self._others.taken(last).items():
            is_rare = width > self._most_columns or len(records) < _FEW
            if is_rare and width != wanted:
                one_by_one += [(number, text, width) for number, text in records]
                continue
            numbers = np.array([number for number, _ in records], np.int64)
            texts = [text for _, text in records]
            text = memoryview("\n".join(texts).encode("utf-8"))
            found = pa.Table.from_batches(self._open(text, width, len(text) + _BLOCK))
            columns = [
                one_chunk(column) for column in found.slice(0, len(records)).columns
            ]
            yield from self._batch(columns, numbers)
        one_by_one.sort()
        if self._drops:
            fitting = dict[int, tuple[str, ...]]()
            for number, record, width in one_by_one:
                cells = self._scanned_cells(record, number) if width > wanted else ()
                if cells and not any(map(str.strip, cells[wanted:])):
                    fitting[number] = cells[:wanted]
            one_by_one = [each for each in one_by_one if each[0] not in fitting]
            if fitting:
                columns = [
                    pa.array(c, pa.string())
                    for c in zip(*fitting.values(), strict=True)
                ]
                yield TextBatch(columns, np.array([*fitting], np.int64))
        if one_by_one:
            yield self._malformed(one_by_one)

    def _malformed(self, records: Sequence[tuple[int, str, int]]) -> MalformedRecords:
        """Return records that Arrow should not make columns of: each its number, text and width."""
        most = shown_cells(self._headers, self._parser, self._limits)
        raw, filled, shown = (
            [text for _, text, _ in records],
            list[bool](),
            list[Sequence[str]](),
        )
        numbers = np.array([number for number, _, _ in records], np.int64)
        widths = np.array([width for _, _, width in records], np.int64)
        with_quotes: dict[int, tuple[str, ...]] = {}
        for place, (number, text, _) in enumerate(records):
            if '"' in text:
                cells = self._scanned_cells(text, number)
                filled.append(any(map(str.strip, cells)))
                shown.append(cells[:most])
                with_quotes[place] = cells
            else:  # as it stands, whatever it has of cells
                self._refuse_large_field(text, number)
                shown.append(text.split(self._delimiter, most)[:most])
                filled.append(bool(text.replace(self._delimiter, " ").strip()))
                raw[place] = text.replace(self._delimiter, self._parser.delimiter)
        lines = joined_records(with_quotes.values(), self._parser.delimiter).to_pylist()
        for place, line in zip(with_quotes, lines, strict=True):
            raw[place] = line
        keep = pa.array(filled)
        columns = [
            pa.array(cells, pa.string()).filter(keep) for cells in zip_longest(*shown)
        ]
        return MalformedRecords(
            widths[filled],
            numbers[filled],
            pa.array(raw, pa.string()).filter(keep),
            columns,
        )

    def _scanned_cells(self, text: str, number: int) -> tuple[str, ...]:
        """Return the cells of a data record, none of which is too large, by the scanner."""
        try:
            self._refuse_large_field(text, number)
            return self._cells(self._scanner.record(memoryview(text.encode()), 0)[0])
        except UnclosedQuoteError as error:  # it is the feed's last record
            raise self._find_unclosed() from error

    def _cells(self, fields: Iterable[bytes]) -> tuple[str, ...]:
        """Return fields of the text as cells, with the parser's delimiter again."""
        cells = (field.decode("utf-8") for field in fields)
        return tuple(
            cell.replace(self._delimiter, self._parser.delimiter) for cell in cells
        )

    def _refuse_large_field(self, text: str, number: int) -> None:
        if len(text) <= self._limits.cell_bytes // 4:
            return
        record = memoryview(text.encode())
        position = self._scanner.first_large(record)
        if position is not None:
            column = self._scanner.place_of(record, 0, position)[1]
            raise large_cell(number, column, self._headers, self._limits)

    def _find_unclosed(self) -> FeedUnreadableError:
        """Return the fault of records that do not come to their end, as the scanner finds it."""
        opening = self._scanner.unclosed_quote(self._text, self._position)
        if opening is None:
            return FeedUnreadableError(
                FailureCode.DECODE_ERROR,
                "the CSV's structure is broken: a record is larger than can be read; "
                "look for a quote that is never closed",
            )
        left_open = bytes(self._text[opening + 1 :])
        if len(left_open) - left_open.count(b'""') > self._limits.cell_bytes:
            return self._large(LargeFieldError(opening, is_open=True), self._position)
        return self._unclosed(opening)

    def _large(self, error: LargeFieldError, start: int) -> FeedUnreadableError:
        """Return what is wrong with a feed of a large field; its records begin at ``start``."""
        record, column = self._scanner.place_of(self._text, start, error.position)
        why = ""
        if error.is_open:
            line = self._line(error.position)
            why = f'close the quote that opens in line {line}, or write it twice ("")'
        return large_cell(
            self._header_records + record, column, self._headers, self._limits, why
        )

    def _unclosed(self, position: int) -> FeedUnreadableError:
        line = self._line(position)
        return FeedUnreadableError(
            FailureCode.DECODE_ERROR,
            f"the CSV's structure is broken: the quote that opens in line {line} is never closed; "
            'close it, or write it twice ("") where it belongs to a quoted text',
        )

    def _line(self, position: int) -> int:
        return self._parser.skip_lines + line_number(self._text, position)


# --- what Arrow is given and hands back ----------------------------------------------------------


class OtherRecords:
    """Records that are not as wide as most, as Arrow meets them."""

    def __init__(self, header_records: int) -> None:
        self._header_records = header_records  # which Arrow does not count
        self.expected = False  # whether the first records have some
        self.size = 0  # how many characters wait to be read
        self._waiting: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
        self.numbers = array("q")  # Arrow's, of all that have come
        self._passed = 0

    def keep(self, row: pa_csv.InvalidRow) -> str:
        """Take one from Arrow, unless it has come before."""
        if not self.numbers or row.number > self.numbers[-1]:
            self._waiting[row.actual_columns].append(
                (self._header_records + row.number, row.text)
            )
            self.numbers.append(row.number)
            self.size += len(row.text)
        return "skip"

    def taken(self, last: int | None = None) -> dict[int, list[tuple[int, str]]]:
        """Return the records that wait, by width; then none does but those behind the last."""
        waiting, self._waiting, self.size = self._waiting, defaultdict(list), 0
        if last is None:
            return dict(waiting)
        taken = {}
        for width, records in waiting.items():
            count = bisect_right(records, last, key=itemgetter(0))
            if count:
                taken[width] = records[:count]
            if count < len(records):
                self._waiting[width] = records[count:]
                self.size += sum(len(text) for _, text in records[count:])
        return taken

    def numbers_around(self, accepted: int, rows: int) -> npt.NDArray[np.int64]:
        """Return the record numbers of the next ``rows`` usual records, around these."""
        ordinals = np.arange(accepted, accepted + rows, dtype=np.int64)
        others = np.array(self.numbers[self._passed :], np.int64)
        usual_before = others - np.arange(
            self._passed + 1, self._passed + 1 + len(others)
        )
        numbers = ordinals + 1 + self._passed + self._header_records
        numbers += np.searchsorted(usual_before, ordinals, side="right")
        self._passed += int(
            np.searchsorted(usual_before, accepted + rows - 1, side="right")
        )
        return numbers


def _in_order(
    read: Iterable[TextBatch | MalformedRecords],
) -> Iterator[TextBatch | MalformedRecords]:
    """Yield records that fit the header as one batch, in the order of their numbers."""
    fitting = []
    for batch in read:
        if isinstance(batch, TextBatch):
            fitting.append(batch)
        else:
            yield batch
    if len(fitting) < 2:
        yield from fitting
        return
    numbers = np.concatenate([batch.row_numbers for batch in fitting])
    order = np.argsort(numbers, kind="stable")
    columns = zip(*(batch.columns for batch in fitting), strict=True)
    taken = [pa.concat_arrays(parts).take(pa.array(order)) for parts in columns]
    yield TextBatch(taken, numbers[order])


class BodySource:
    """The body between two line ends, then the end mark's record, as a stream for Arrow.

    The first line end keeps Arrow from taking a U+FEFF of the first record for a byte order mark.
    Only the first and the last block are copied; the others are views of the body.
    """

    closed = False

    def __init__(self, body: memoryview, end_mark: bytes, first: int) -> None:
        self._before, self._body, self._after = b"\n", body, b"\n" + end_mark + b"\n"
        self._first = first

    def read(self, size: int) -> bytes | memoryview:
        """Return the next ``size`` bytes, the ``first`` time fewer, or all that are left."""
        before, self._before = self._before, b""
        size = min(size, self._first) if before else size
        part = self._body[: max(0, size - len(before))]
        self._body = self._body[len(part) :]
        if before or len(part) < size:
            after = (
                b""
                if len(self._body)
                else self._after[: size - len(before) - len(part)]
            )
            self._after = self._after[len(after) :]
            return before + bytes(part) + after
        return part

    def close(self) -> None:
        """Let Arrow close it."""
