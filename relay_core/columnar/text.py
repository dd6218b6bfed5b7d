"""Whole columns of texts: empty cells, trimming, words, and the bytes of the texts.

A text column is a ``pa.StringArray``, or its large twin, without Arrow nulls: the empty
text is its null. `with_nulls` makes real nulls for code that expects them.
"""

import string
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays

WORD = 8
"""The number of bytes in a word."""
MAX_SHORT_BYTES = (1 << 31) - 1
"""The most bytes of text that an Arrow array with short offsets can have."""

_FIRST_BYTES = np.array(
    [(1 << 64) - (1 << 8 * (WORD - count)) for count in range(WORD + 1)],
    np.uint64,
)
"""Masks that keep the first bytes of a big-endian word, by the number of bytes kept."""
_ALL_ROWS = slice(None)
_FIRST_VISIBLE = ord("!")
"""The first character of ASCII that is neither white space nor a control character."""
_FIRST_WIDE = 0x80
"""Bytes from here on are parts of characters that have several bytes."""
_FIRST_WIDE_START = 0xC2
"""The least byte that a character of several bytes can start with."""
_TRIM_ALL_SHARE = 4
"""Trim all rows if more than one in four needs it: that takes less time."""


def offsets_and_bytes(
    text: pa.StringArray,
) -> tuple[npt.NDArray[Any], arrays.Bytes]:
    """Return views of a text column's ``n + 1`` offsets and of its bytes.

    The bytes are those of the whole buffer; the first offset need not be 0.
    """
    offset_type = np.int64 if pa.types.is_large_string(text.type) else np.int32
    _, offsets, data = text.buffers()
    all_bounds = np.frombuffer(offsets, offset_type)
    bounds = all_bounds[text.offset : text.offset + len(text) + 1]
    return bounds, np.frombuffer(data or b"", np.uint8)


def byte_array_of(text: pa.StringArray) -> arrays.Bytes:
    """Return a view of the bytes of all texts, one after another."""
    bounds, data = offsets_and_bytes(text)
    return data[bounds[0] : bounds[-1]]


def bytes_of(text: pa.StringArray) -> memoryview:
    """Return a view of the bytes of all texts, one after another."""
    return memoryview(byte_array_of(text).data)


def lengths_of(text: pa.StringArray) -> arrays.WholeNumbers:
    """Return the number of bytes of each text."""
    bounds, _ = offsets_and_bytes(text)
    return np.diff(bounds)


def is_empty(text: pa.StringArray) -> arrays.RowMask:
    """Return which cells are empty."""
    bounds, _ = offsets_and_bytes(text)
    return np.asarray(bounds[1:] == bounds[:-1])


def with_nulls(
    text: pa.StringArray,
    nulls: arrays.RowMask | None = None,
) -> pa.StringArray:
    """Return ``text`` with real nulls in the rows of ``nulls``; no text is copied.

    By default the empty cells become null.
    """
    if nulls is None:
        nulls = is_empty(text)
    if not nulls.any():
        return text
    validity = pa.py_buffer(np.packbits(~nulls, bitorder="little"))
    bounds, _ = offsets_and_bytes(text)
    data = text.buffers()[2] or pa.py_buffer(b"")
    buffers = [validity, pa.py_buffer(bounds), data]
    return pa.Array.from_buffers(text.type, len(text), buffers)


def without_nulls(text: pa.StringArray) -> pa.StringArray:
    """Return ``text`` with the empty text instead of nulls."""
    return pc.fill_null(text, "") if text.null_count else text


def empty_texts(size: int) -> pa.StringArray:
    """Return a column of ``size`` empty texts, which takes no memory of its own."""
    zeros = zero_bytes(8 * size + 8)
    return pa.Array.from_buffers(pa.string(), size, [None, zeros, zeros])


def zero_bytes(size: int) -> pa.Buffer:
    """Return at least ``size`` zero bytes in a shared buffer.

    The buffer takes memory only for the pages that somebody writes to.
    """
    return _zero_pages(size.bit_length())


@lru_cache(maxsize=2)
def _zero_pages(bits: int) -> pa.Buffer:
    return pa.py_buffer(np.zeros(1 << bits, np.uint8))


def trim(text: pa.StringArray) -> pa.StringArray:
    """Trim each cell as Python's ``str.strip`` does."""
    bounds, data = offsets_and_bytes(text)
    if not len(data):
        return text
    starts = bounds[:-1]
    ends = bounds[1:]
    # An empty cell has the bytes of its neighbors.
    first_bytes = data[np.minimum(starts, len(data) - 1)]
    last_bytes = data[np.maximum(ends, 1) - 1]
    # White space outside ASCII has wide bytes at both ends.
    is_trimmed = _is_visible_ascii(first_bytes) & _is_visible_ascii(last_bytes)
    rows = np.flatnonzero(~is_trimmed & (ends > starts))
    if len(rows) > len(text) // _TRIM_ALL_SHARE:
        return pc.utf8_trim_whitespace(text)
    return change_rows(text, rows, pc.utf8_trim_whitespace)


def _is_visible_ascii(data: arrays.Bytes) -> arrays.ByteMask:
    return np.asarray((data >= _FIRST_VISIBLE) & (data < _FIRST_WIDE))


def possibly_blank_rows(text: pa.StringArray) -> arrays.RowIndex:
    """Return rows among which are all cells that are empty when trimmed.

    The rows may also have cells that start with white space, or with a wide character.
    """
    bounds, data = offsets_and_bytes(text)
    if not len(data):
        return np.arange(len(text))
    starts = bounds[:-1]
    ends = bounds[1:]
    first_bytes = data[np.minimum(starts, len(data) - 1)]
    is_visible = (first_bytes >= _FIRST_VISIBLE) & (
        first_bytes < _FIRST_WIDE_START
    )
    return np.flatnonzero((starts == ends) | ~is_visible)


def change_rows(
    text: pa.StringArray,
    rows: arrays.RowIndex,
    change: Callable[[pa.StringArray], pa.Array],
) -> pa.StringArray:
    """Return ``text`` with ``change`` applied only to the given rows."""
    if not len(rows):
        return text
    if len(rows) == len(text):
        return change(text)
    changed = change(text.take(pa.array(rows)))
    all_texts = pa.concat_arrays([text, changed])
    sources = np.arange(len(text))
    sources[rows] = np.arange(len(text), len(all_texts))
    # One take from both arrays needs half the time of Arrow's replace_with_mask.
    return all_texts.take(pa.array(sources))


def fill(
    text: pa.StringArray,
    mask: arrays.RowMask | None,
    value: str,
) -> pa.StringArray:
    """Return ``text`` with ``value`` in the rows of a mask; None selects no row."""
    if mask is None or not mask.any():
        return text
    return pc.if_else(pa.array(mask), value, text)


def lower_ascii(text: pa.StringArray) -> pa.StringArray:
    """Return texts with the capital letters of ASCII as small letters.

    Arrow's kernel misreads an array whose first text begins behind other bytes of the
    buffer, as it does in a slice that was cast. The function copies these arrays first.
    """
    bounds, _ = offsets_and_bytes(text)
    if not text.offset and bounds[0]:
        text = text.take(pa.array(np.arange(len(text))))
    return pc.ascii_lower(text)


def word_index(
    text: pa.StringArray,
    words: Iterable[str],
    fold: Callable[[str], str] = str.casefold,
) -> arrays.WholeNumbers:
    """Return the index in ``words`` of each cell, compared in any case; -1 for no word.

    The first of equal words wins.
    """
    index_by_word: dict[str, int] = {}
    for index, word in enumerate(words):
        index_by_word.setdefault(fold(word), index)
    indices = np.full(len(text), -1, np.int64)
    # A cell of ASCII can only be a word of as many bytes.
    ascii_lengths = [len(word) for word in index_by_word if word.isascii()]
    rows = np.flatnonzero(np.isin(lengths_of(text), ascii_lengths))
    if len(rows):
        candidates = text
        if len(rows) < len(text):
            candidates = text.take(pa.array(rows))
        folded_words = pa.array(list(index_by_word), text.type)
        matches = pc.index_in(lower_ascii(candidates), value_set=folded_words)
        indices_or_none = np.array([*index_by_word.values(), -1], np.int64)
        no_match = len(index_by_word)
        indices[rows] = indices_or_none[
            values_of(pc.fill_null(matches, no_match))
        ]
    rows_in_python = wide_rows(text)
    if len(rows_in_python):
        encoded = text.take(pa.array(rows_in_python)).dictionary_encode()
        distinct_cells = encoded.dictionary.to_pylist()
        distinct_indices = np.array(
            [index_by_word.get(fold(cell), -1) for cell in distinct_cells],
            np.int64,
        )
        indices[rows_in_python] = distinct_indices[values_of(encoded.indices)]
    return np.asarray(indices)


def rows_containing(
    text: pa.StringArray,
    matches: Callable[[arrays.Bytes], arrays.ByteMask],
) -> arrays.RowIndex:
    """Return the rows whose text has at least one byte that ``matches``."""
    data = byte_array_of(text)
    if not len(data):
        return np.empty(0, np.int64)
    bounds, _ = offsets_and_bytes(text)
    offsets = np.flatnonzero(matches(data)) + int(bounds[0])
    rows = np.searchsorted(bounds, offsets, side="right") - 1
    is_new_row = np.diff(rows, prepend=-1) > 0
    return np.asarray(rows[is_new_row])


def wide_rows(text: pa.StringArray) -> arrays.RowIndex:
    """Return the rows whose text is not ASCII."""
    return rows_containing(text, _is_wide)


def _is_wide(data: arrays.Bytes) -> arrays.ByteMask:
    return np.asarray(data >= _FIRST_WIDE)


def one_chunk(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as one array, without a copy if it is one already."""
    if isinstance(column, pa.Array):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    combined = column.combine_chunks()
    if isinstance(combined, pa.Array):
        return combined
    # The column has more text than short offsets can reach.
    return column.cast(pa.large_string()).combine_chunks()


def with_cells(
    table: pa.Table,
    name: str,
    cells: pa.ChunkedArray | pa.Array,
) -> pa.Table:
    """Return a table with other cells in one of its columns, which keeps its field."""
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(index), cells)


def take_short(
    text: pa.StringArray | pa.LargeStringArray,
    rows: arrays.RowIndex,
    max_bytes: int = MAX_SHORT_BYTES,
) -> pa.Array | pa.ChunkedArray:
    """Return rows of a column with short offsets.

    The result is one array, or as many chunks of at most ``max_bytes`` as are needed.
    No single text may be longer than that.
    """
    if pa.types.is_string(text.type):
        return text.take(pa.array(rows))
    bounds, _ = offsets_and_bytes(text)
    lengths = bounds[rows + 1] - bounds[rows]
    if int(lengths.sum()) <= max_bytes or len(rows) < 2:
        return text.take(pa.array(rows)).cast(pa.string())
    chunks: list[pa.Array] = []
    for half in np.array_split(rows, 2):
        part = take_short(text, half, max_bytes)
        chunks += part.chunks if isinstance(part, pa.ChunkedArray) else [part]
    return pa.chunked_array(chunks, pa.string())


def integers_in(column: pa.Array) -> pa.Array:
    """Return decimals or timestamps as the whole numbers that store them.

    Columns of other types are returned unchanged.
    """
    if pa.types.is_decimal(column.type) or pa.types.is_timestamp(column.type):
        return column.view(pa.int64())
    return column


def integers_of(
    column: pa.ChunkedArray | pa.Array,
) -> tuple[arrays.WholeNumbers, arrays.RowMask]:
    """Return a column's whole numbers, 0 for a null, and which cells are null."""
    integers = integers_in(one_chunk(column))
    size = len(integers)
    if not integers.null_count:
        values = np.asarray(values_of(integers), np.int64)
        return values, np.zeros(size, np.bool_)
    if integers.null_count == size:
        return np.zeros(size, np.int64), np.ones(size, np.bool_)
    validity, data = integers.buffers()
    start = integers.offset
    nulls = _bits(validity, start, size) == 0
    without_validity = [None, data]
    integers = pa.Array.from_buffers(
        integers.type,
        size,
        without_validity,
        offset=start,
    )
    values = values_of(integers).astype(np.int64)
    return np.where(nulls, 0, values), nulls


def values_of(array: pa.Array) -> npt.NDArray[Any]:
    """Return the values of an array without nulls."""
    return np.asarray(array.to_numpy(zero_copy_only=False))


def flags_of(array: pa.ChunkedArray | pa.BooleanArray) -> arrays.RowMask:
    """Return the flags of a column of booleans; a null is False."""
    flags = one_chunk(array)
    if flags.null_count:
        flags = flags.fill_null(False)
    if not len(flags):
        return np.zeros(0, np.bool_)
    # Arrow's own conversion takes ten times as long.
    return _bits(flags.buffers()[1], flags.offset, len(flags)).view(np.bool_)


def _bits(buffer: pa.Buffer, start: int, size: int) -> arrays.Bytes:
    """Return bits of a buffer, one a byte."""
    first_byte, first_bit = divmod(start, 8)
    octets = np.frombuffer(buffer, np.uint8, offset=first_byte)
    bits = np.unpackbits(
        octets,
        count=first_bit + size,
        bitorder="little",
    )
    return bits[first_bit:]


class TextWords:
    """The bytes of each text, read eight at a time straight from the column.

    Attributes:
        lengths: The length of each text in bytes.
        longest: The length of the longest text in bytes.
        data: The bytes of all texts, one after another.
    """

    def __init__(self, text: pa.StringArray) -> None:
        bounds, data = offsets_and_bytes(text)
        start = int(bounds[0])
        stop = int(bounds[-1])
        self.lengths = lengths_of(text)
        self.longest = int(self.lengths.max(initial=0))
        self._shortest = int(self.lengths.min(initial=self.longest))
        self._starts = bounds[:-1]
        if len(data) < stop + WORD:
            # The last word of the last text would reach beyond the buffer.
            spare_bytes = np.zeros(WORD, np.uint8)
            data = np.concatenate([data[start:stop], spare_bytes])
            self._starts = self._starts - start
            stop -= start
            start = 0
        self.data = data[start:stop]
        # A word starts at each byte; the last one starts behind the last byte.
        self._words = np.lib.stride_tricks.as_strided(
            data[:WORD].view(np.uint64),
            shape=(stop + 1,),
            strides=(1,),
        )

    def big_endian(
        self,
        start: int,
        rows: arrays.RowIndex | slice = _ALL_ROWS,
    ) -> arrays.Words:
        """Return the eight bytes from ``start`` on of each of the given texts.

        Bytes behind the end of a text are zero.
        """
        offsets = self._starts[rows].astype(np.int64) + start
        if self._shortest < start:
            np.minimum(offsets, len(self._words) - 1, out=offsets)
        words = self._words[offsets].byteswap(inplace=True)
        if self._shortest < start + WORD:
            byte_counts = np.clip(self.lengths[rows] - start, 0, WORD)
            words &= _FIRST_BYTES.take(byte_counts)
        return np.asarray(words)


def _shape_marks() -> arrays.Bytes:
    """Return the mark that each byte has in a shape."""
    marks = np.arange(256, dtype=np.uint8)
    marks[list(string.digits.encode())] = ord("9")
    marks[list(string.ascii_letters.encode())] = ord("A")
    marks[list(string.whitespace.encode())] = ord(" ")
    return marks


_SHAPE_MARKS = _shape_marks()


def shapes_of(text: pa.StringArray) -> pa.StringArray:
    """Return the shape of each text: ``9`` for digits, ``A`` for letters of any script.

    All other characters stay. A run of characters with the same mark becomes one mark.
    """
    text = change_rows(
        text,
        rows_containing(text, _is_wide),
        _with_marked_letters,
    )
    data = byte_array_of(text)
    if not len(data):
        return text
    bounds, _ = offsets_and_bytes(text)
    bounds = bounds - bounds[0]
    starts = bounds[:-1]
    marks = _SHAPE_MARKS.take(data)
    # A mark is in the shape if it starts a run or a text, or is part of a wide character.
    is_in_shape = np.ones(len(marks), np.bool_)
    np.not_equal(marks[1:], marks[:-1], out=is_in_shape[1:])
    is_in_shape |= marks >= _FIRST_WIDE
    is_in_shape[starts[~is_empty(text)]] = True
    marks_before = np.zeros(len(marks) + 1, bounds.dtype)
    np.cumsum(is_in_shape, out=marks_before[1:])
    shape_bounds = pa.py_buffer(marks_before.take(bounds))
    shape_bytes = pa.py_buffer(marks[is_in_shape])
    buffers = [None, shape_bounds, shape_bytes]
    return pa.Array.from_buffers(text.type, len(text), buffers)


def _with_marked_letters(text: pa.StringArray) -> pa.StringArray:
    return pc.replace_substring_regex(text, r"[\pL\pM]+", "A")
