"""What Arrow's CSV reader gets and hands back: the text, and records of unusual widths.

Arrow makes columns of records of one width, the usual one. It hands over records of all
other widths as they occur, without their columns.
"""

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from relay_core.columnar.arrays import RecordNumbers
from relay_core.ingest.feed import MalformedRecords, TextBatch

_FIRST_BYTES = 4 << 10
"""The size of Arrow's first read if records of unusual widths are expected.

Arrow parses its first block on a thread of its own, where each record that it hands
over takes four times as long.
"""

NumberedText: TypeAlias = tuple[int, str]
"""The number of a record, and its text."""


class CsvDialect(NamedTuple):
    """How Arrow splits a text into records and fields."""

    delimiter: str
    """The delimiter: one character of ASCII."""
    quoting: bool
    """True if a quote opens a field."""
    end_mark: str
    """The first field of the record that is added at the end of each text.

    It proves that the text's last quote was closed.
    """

    def open(
        self,
        body: memoryview,
        width: int,
        block_bytes: int,
        unusual: "UnusualRecords | None" = None,
    ) -> pa_csv.CSVStreamingReader:
        """Return a reader of the records of a width, all columns as text.

        The last record is that of the end mark. Records of other widths go to
        ``unusual``.
        """
        names = [str(index) for index in range(width)]
        last_record = (self.end_mark + self.delimiter * (width - 1)).encode()
        expects_unusual = unusual is not None and unusual.are_expected
        first_read = _FIRST_BYTES if expects_unusual else block_bytes
        source = BodySource(body, last_record, first_read)
        return pa_csv.open_csv(
            pa.PythonFile(source, mode="r"),
            pa_csv.ReadOptions(
                use_threads=False,
                block_size=block_bytes,
                column_names=names,
            ),
            pa_csv.ParseOptions(
                delimiter=self.delimiter,
                quote_char='"' if self.quoting else False,
                newlines_in_values=True,
                invalid_row_handler=None if unusual is None else unusual.add,
            ),
            pa_csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(names, pa.string()),
            ),
        )


class UnusualRecords:
    """Records of unusual widths, which wait until they are taken.

    Attributes:
        are_expected: Whether the first records of the feed have some.
        size: The number of characters that wait.
        ordinals: Arrow's numbers of all records that were added, from 1.
    """

    def __init__(self, header_records: int) -> None:
        self._header_records = header_records  # Arrow does not count the header
        self.are_expected = False
        self.size = 0
        self.ordinals = array("q")
        self._waiting: defaultdict[int, list[NumberedText]] = defaultdict(list)
        self._numbered_count = 0

    def add(self, row: pa_csv.InvalidRow) -> str:
        """Add a record that Arrow hands over, unless it was added before."""
        if not self.ordinals or row.number > self.ordinals[-1]:
            record = (self._header_records + row.number, row.text)
            self._waiting[row.actual_columns].append(record)
            self.ordinals.append(row.number)
            self.size += len(row.text)
        return "skip"

    def take(self, last: int | None = None) -> dict[int, list[NumberedText]]:
        """Remove the records that wait and return them by width.

        Records with a number after ``last`` stay.
        """
        waiting = self._waiting
        self._waiting = defaultdict(list)
        self.size = 0
        if last is None:
            return dict(waiting)
        removed: dict[int, list[NumberedText]] = {}
        for width, records in waiting.items():
            count = bisect_right(records, last, key=itemgetter(0))
            if count:
                removed[width] = records[:count]
            if count < len(records):
                self._waiting[width] = records[count:]
                self.size += sum(len(text) for _, text in records[count:])
        return removed

    def numbers_around(self, usual_before: int, count: int) -> RecordNumbers:
        """Return the record numbers of the next ``count`` usual records.

        ``usual_before`` usual records come before them. The unusual records among them
        have been added already.
        """
        indices = np.arange(usual_before, usual_before + count, dtype=np.int64)
        new_ordinals = np.array(self.ordinals[self._numbered_count :], np.int64)
        unusual_before = np.arange(len(new_ordinals)) + self._numbered_count
        # How many usual records come before each of the unusual ones.
        usual_before_each = new_ordinals - 1 - unusual_before
        numbers = indices + 1 + self._numbered_count + self._header_records
        numbers += np.searchsorted(usual_before_each, indices, side="right")
        last_index = usual_before + count - 1
        passed = np.searchsorted(usual_before_each, last_index, side="right")
        self._numbered_count += int(passed)
        return numbers


def in_order(
    batches: Iterable[TextBatch | MalformedRecords],
) -> Iterator[TextBatch | MalformedRecords]:
    """Yield the records that fit the header as one batch, in order of their numbers.

    Malformed records come first.
    """
    fitting: list[TextBatch] = []
    for batch in batches:
        if isinstance(batch, TextBatch):
            fitting.append(batch)
        else:
            yield batch
    if len(fitting) < 2:
        yield from fitting
        return
    numbers = np.concatenate([batch.row_numbers for batch in fitting])
    order = np.argsort(numbers, kind="stable")
    columns = []
    for parts in zip(*(batch.columns for batch in fitting), strict=True):
        columns.append(pa.concat_arrays(parts).take(pa.array(order)))
    yield TextBatch(columns, numbers[order])


class BodySource:
    """A stream for Arrow: the body between two line ends, then the last record.

    The first line end keeps Arrow from taking a U+FEFF of the first record for a byte
    order mark. Only the first and the last block are copied; others are views of the
    body.
    """

    closed = False

    def __init__(
        self,
        body: memoryview,
        last_record: bytes,
        first_read: int,
    ) -> None:
        self._before = b"\n"
        self._body = body
        self._after = b"\n" + last_record + b"\n"
        self._first_read = first_read

    def read(self, size: int) -> bytes | memoryview:
        """Return the next ``size`` bytes, or all that remain; the first time fewer."""
        before = self._before
        self._before = b""
        if before:
            size = min(size, self._first_read)
        part = self._body[: max(0, size - len(before))]
        self._body = self._body[len(part) :]
        if not before and len(part) == size:
            return part
        after = b""
        if not len(self._body):
            after = self._after[: size - len(before) - len(part)]
            self._after = self._after[len(after) :]
        return before + bytes(part) + after

    def close(self) -> None:
        """Do nothing; Arrow calls it."""
