"""A vendor's rows as the kernel packs them, and columns and lines made of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.arrays import (
    AllRows,
    Bytes,
    RowIndex,
    RowMask,
    ShortNumbers,
    WholeNumbers,
)
from relay_core.columnar.growing_columns import GrowingArray
from relay_core.columnar.text import (
    MAX_SHORT_BYTES,
    offsets_and_bytes,
    one_chunk,
)
from relay_core.domain.columns import (
    CONDITIONS,
)
from relay_core.kernel import compiled
from relay_core.kernel.feed_scan import text_places
from relay_core.kernel.row_columns import (
    ColumnSizes,
    gathered_columns,
    with_empty_texts,
)
from relay_core.kernel.text_parts import TextPart
from relay_core.kernel.written_lines import written_lines
from relay_core.normalize.typed_batch import TypedBatch, null_cells, typed
from relay_core.products.matched_rows import key_codes
from relay_core.products.matcher import ProductMatcher
from relay_core.validation.row_schemas import MATCHED_BY

Cells: TypeAlias = "pa.Array | pa.ChunkedArray"
"""The cells of a column of offers."""

if TYPE_CHECKING:  # the kernel may be missing
    from relay_core.kernel.scan import RowReader

_NO_CELL = np.zeros(0, np.uint8)
_LINE_BYTES = 256
"""The room for a line."""
_NULL = -1
_BUFFER_BITS = 40
"""The bits of a row's offset that are its offset in a buffer."""
_ROW_NUMBER = "row_number"


@dataclass(slots=True)
class GrowingRows:
    """Packed rows of a vendor, in any order."""

    extra_columns: Sequence[str]  # the tenant's extra columns
    _buffers: list[Bytes] = field(default_factory=list)
    _offsets: GrowingArray = field(
        default_factory=lambda: GrowingArray(np.int64),
    )
    _numbers: GrowingArray = field(
        default_factory=lambda: GrowingArray(np.uint32),
    )
    # The key that matched each row; empty without a catalog
    _codes: GrowingArray = field(
        default_factory=lambda: GrowingArray(np.uint8),
    )

    @property
    def count(self) -> int:
        """The number of rows."""
        return self._numbers.size

    def add_part(
        self,
        part: TextPart,
        records_before: int,
        matcher: ProductMatcher | None = None,
    ) -> None:
        """Take the rows of a part, matched with products if there is a matcher.

        ``records_before`` are before the part's first record.
        """
        numbers = (part.numbers + records_before).astype(np.uint32)
        if matcher is None or not len(numbers):
            self._add(part.rows, part.offsets, numbers)
            return
        extra_columns = tuple(self.extra_columns)
        packed = PackedRows((part.rows,), part.offsets, numbers, extra_columns)
        rows, offsets, codes = packed.matched(matcher)
        self._add(rows, offsets, numbers)
        self._codes.append(codes)

    def _add(
        self,
        rows: Bytes,
        offsets: WholeNumbers,
        numbers: ShortNumbers,
    ) -> None:
        if len(numbers):
            buffer_offset = len(self._buffers) << _BUFFER_BITS
            self._buffers.append(rows)
            self._offsets.append(offsets + buffer_offset)
            self._numbers.append(numbers)

    def add_batch(self, batch: TypedBatch) -> None:
        """Take rows that another reader has read, also those with faults."""
        columns = [
            batch.texts.get(name) for name in text_places(self.extra_columns)
        ]
        starts, lengths, data = _cells_to_pack(columns, batch.size)
        head_room = compiled.scan.head_room(len(columns))
        rows = np.empty((batch.size + 1) * head_room + len(data), np.uint8)
        offsets = np.empty(batch.size, np.int64)
        compiled.scan.pack_rows(
            _numbers_of(batch),
            starts,
            lengths,
            data,
            rows,
            offsets,
        )
        self._add(rows, offsets, batch.raw.row_numbers.astype(np.uint32))
        if batch.matched is not None:
            self._codes.append(batch.matched.codes)

    def ordered(self, accepted: RowMask) -> "PackedRows":
        """Return the accepted rows in the order of their records."""
        packed = self._packed(
            self._offsets.array(),
            self._numbers.array(),
            self._codes.array(),
        )
        if not accepted.all():
            packed = packed.take(np.flatnonzero(accepted))
        if (packed.numbers[1:] < packed.numbers[:-1]).any():
            packed = packed.take(np.argsort(packed.numbers, kind="stable"))
        return packed

    def last_sku(self) -> str | None:
        """Return the SKU of the last record; None if there are no rows."""
        if not self.count:
            return None
        last = np.array([self._numbers.array().argmax()])
        packed = self._packed(self._offsets.array(), self._numbers.array())
        sku: str = packed.take(last).texts(["sku"])["sku"][0].as_py()
        return sku

    def _packed(
        self,
        offsets: WholeNumbers,
        numbers: ShortNumbers,
        codes: Bytes = _NO_CELL,
    ) -> "PackedRows":
        buffers = tuple(self._buffers)
        extra_columns = tuple(self.extra_columns)
        return PackedRows(buffers, offsets, numbers, extra_columns, codes)


def _cells_to_pack(
    columns: Sequence[pa.StringArray | None],
    row_count: int,
) -> tuple[WholeNumbers, WholeNumbers, Bytes]:
    """Return the start and the length of each cell, a row a column, and all bytes.

    A column that is None has empty cells.
    """
    starts = np.zeros((len(columns), row_count), np.int64)
    lengths = np.zeros((len(columns), row_count), np.int64)
    data = [_NO_CELL]
    size = 0
    for index, text in enumerate(columns):
        if text is None:
            continue
        bounds, all_bytes = offsets_and_bytes(text)
        starts[index] = bounds[:-1] - bounds[0] + size
        lengths[index] = np.diff(bounds)
        data.append(all_bytes[bounds[0] : bounds[-1]])
        size += len(data[-1])
    return starts, lengths, np.concatenate(data)


def _numbers_of(batch: TypedBatch) -> WholeNumbers:
    """Return a batch's numbers as the kernel packs them."""
    names = compiled.scan.NUMBERS
    numbers = np.full((len(names), batch.size), _NULL, np.int64)
    for index, name in enumerate(names):
        if name == "condition":
            numbers[index] = _condition_codes(batch)
            continue
        column = batch.numbers.get(name)
        if column is not None:
            numbers[index] = np.where(column.nulls, _NULL, column.values)
    return numbers


def _condition_codes(batch: TypedBatch) -> WholeNumbers:
    conditions = batch.texts.get("condition")
    if conditions is None:
        return np.zeros(batch.size, np.int64)
    # A row with another word is rejected.
    index = pc.index_in(conditions, value_set=_condition_texts())
    return np.asarray(index.fill_null(0), np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class PackedRows:
    """Packed rows in the order of their records, or of their SKUs."""

    buffers: tuple[Bytes, ...]  # the rows, in any order
    # The offset of each row: its buffer's index, shifted, and its offset in there
    offsets: WholeNumbers
    # The number of each row's record; empty if they are not kept
    numbers: ShortNumbers
    extra_columns: tuple[str, ...]  # the tenant's extra columns
    # The key that matched each row, a `MatchedBy`; empty without a catalog
    codes: Bytes = field(default_factory=lambda: _NO_CELL)
    # The sizes of the columns of these rows, or of more; None if they are not measured
    sizes: ColumnSizes | None = None

    def take(self, rows: RowIndex) -> "PackedRows":
        """Return some rows."""
        return replace(
            self,
            offsets=self.offsets[rows],
            numbers=self.numbers[rows],
            codes=self.codes[rows] if len(self.codes) else self.codes,
        )

    def without_numbers(self) -> "PackedRows":
        """Return the same without the numbers of records, which take memory."""
        return replace(self, numbers=self.numbers[:0].copy())

    def matched(
        self,
        matcher: ProductMatcher,
    ) -> tuple[Bytes, WholeNumbers, Bytes]:
        """Return the rows packed again with the SKUs of their products.

        Return the rows, the offset of each, and the key that matched each.
        """
        names = dict.fromkeys(matcher.columns)
        matched = matcher.match(self.texts(names))
        if not matched.is_changed:
            (rows,) = self.buffers
            return rows, self.offsets, matched.codes
        rows, offsets = self._with_texts(matched.columns)
        return rows, offsets, matched.codes

    def _with_texts(
        self,
        texts: Mapping[str, pa.StringArray],
    ) -> tuple[Bytes, WholeNumbers]:
        """Return the rows packed again with other texts, and the offset of each."""
        places = text_places(self.extra_columns)
        columns = np.full(len(places), -1, np.int32)
        for index, name in enumerate(texts):
            columns[places[name]] = index
        row_count = len(self.offsets)
        starts, lengths, data = _cells_to_pack(list(texts.values()), row_count)
        head_room = compiled.scan.head_room(len(places))
        old_size = sum(len(buffer) for buffer in self.buffers)
        long_lengths = 4 * starts.size
        rows = np.empty(
            old_size + len(data) + long_lengths + 2 * head_room,
            np.uint8,
        )
        offsets = np.empty(row_count, np.int64)
        used = self.reader().replace_texts(
            self.offsets,
            columns,
            starts,
            lengths,
            data,
            rows,
            offsets,
        )
        return rows[: used + head_room].copy(), offsets

    def columns(
        self,
        fields: Sequence[pa.Field],
        rows: RowIndex,
    ) -> list[Cells]:
        """Return some rows' cells of columns of offers."""
        cells = self._gathered(fields, rows)
        for column in fields:
            if column.name == _ROW_NUMBER and len(self.numbers):
                numbers_of_rows = self.numbers[rows].astype(np.int64)
                cells[_ROW_NUMBER] = pa.array(numbers_of_rows)
            elif column.name == MATCHED_BY and len(self.codes):
                keys, nulls = key_codes(self.codes[rows])
                cells[MATCHED_BY] = typed(column.type, keys, nulls)
            elif column.name not in cells:
                cells[column.name] = null_cells(column.type, len(rows))
        return [cells[column.name] for column in fields]

    def _gathered(
        self,
        fields: Sequence[pa.Field],
        rows: RowIndex,
    ) -> dict[str, Cells]:
        """Return the columns that packed rows have, without empty ones."""
        reader = self.reader()
        places = self.offsets[rows]
        names = list(text_places(self.extra_columns))
        columns: dict[str, Cells] | None = None
        if self.sizes is not None:
            sizes = self.sizes.of_some(len(rows))
            if sizes.largest_text(fields) <= MAX_SHORT_BYTES:
                columns = gathered_columns(reader, places, fields, sizes, names)
        if columns is not None:
            return columns
        sizes = ColumnSizes.measured(reader, places, names)
        if sizes.largest_text(fields) <= MAX_SHORT_BYTES or len(rows) == 1:
            return gathered_columns(reader, places, fields, sizes, names) or {}
        halves = [
            self.columns(fields, half) for half in np.array_split(rows, 2)
        ]
        return {
            column.name: pa.chunked_array(
                _chunks_of(first) + _chunks_of(second)
            )
            for column, first, second in zip(fields, *halves, strict=True)
        }

    def measured(self) -> "PackedRows":
        """Return the same rows with the sizes of their columns."""
        names = list(text_places(self.extra_columns))
        sizes = ColumnSizes.measured(self.reader(), self.offsets, names)
        return replace(self, sizes=sizes)

    def texts(
        self,
        names: Collection[str],
    ) -> dict[str, pa.StringArray | pa.LargeStringArray]:
        """Return columns of texts of all rows, where a null is an empty text."""
        fields = [pa.field(name, pa.string()) for name in names]
        columns = self.columns(fields, np.arange(len(self.offsets)))
        return {
            name: with_empty_texts(one_chunk(cells))
            for name, cells in zip(names, columns, strict=True)
        }

    def reader(self) -> "RowReader":
        """Return the kernel's reader of the rows."""
        places = text_places(self.extra_columns)
        return compiled.scan.RowReader(self.buffers, len(places))

    def lines(self, vendor_id: str, rows: RowIndex) -> memoryview:
        """Return the lines of normalized.csv of some rows."""
        reader = self.reader()
        encoded_id = vendor_id.encode()
        places = self.offsets.take(rows)

        def write(row: int, out: Bytes) -> tuple[int, int]:
            count, size = reader.write_lines(places[row:], encoded_id, out)
            return row + count, size

        return written_lines(write, len(places), _LINE_BYTES)


@cache
def _condition_texts() -> pa.StringArray:
    """Return the texts of conditions; the first of them is null.

    An array that is made while a module is loaded would load pandas.
    """
    return pa.array([None, *CONDITIONS], pa.string())


def _chunks_of(cells: Cells) -> list[pa.Array]:
    return cells.chunks if isinstance(cells, pa.ChunkedArray) else [cells]


@dataclass(frozen=True, slots=True, eq=False)
class PackedColumns:
    """The columns of packed rows, which are valid."""

    packed: PackedRows

    @property
    def rows(self) -> AllRows:
        """The rows, in order."""
        return AllRows(len(self.packed.offsets))

    def cells(
        self,
        fields: Sequence[pa.Field],
        rows: RowIndex,
    ) -> list[Cells]:
        """Return some rows' cells of columns of offers."""
        rows = np.ascontiguousarray(rows, np.int64)
        return self.packed.columns(fields, rows)


@dataclass(frozen=True, slots=True, eq=False)
class PackedLines:
    """The lines of normalized.csv, written on request."""

    packed: PackedRows
    vendor_id: str

    def of_rows(self, rows: RowIndex) -> memoryview:
        """Return the lines of some rows."""
        return self.packed.lines(self.vendor_id, rows)
