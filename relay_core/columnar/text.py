"""A column of texts as whole: which cells are empty, trimming, words, the bytes behind them.

A text column is a ``pa.StringArray`` (or its large twin) without Arrow nulls: the empty text is its
null. `with_nulls` makes real ones where other programs look at the column.
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

# The names that modules outside this folder still import; `arrays` has the new ones.
Bools = arrays.RowMask
Ints = arrays.WholeNumbers
Rows = arrays.RowIndex
Words = arrays.Words

WORD = 8  # how many bytes a word has
_FIRST_BYTES = np.array(
    [(1 << 64) - (1 << 8 * (WORD - held)) & (1 << 64) - 1 for held in range(WORD + 1)],
    np.uint64,
)
"""The mask of so many first bytes of a big-endian word."""
_ALL = slice(None)
_FEW = 4  # where more than one row in so many is changed, changing all of them takes less time
MAX_SHORT_BYTES = (
    1 << 31
) - 1  # how many bytes of text an Arrow array with short offsets holds
_KINDS = np.arange(256, dtype=np.uint8)
for _marks, _kind in (
    (string.digits, "9"),
    (string.ascii_letters, "A"),
    (string.whitespace, " "),
):
    _KINDS[np.frombuffer(_marks.encode(), np.uint8)] = ord(_kind)
_FIRST_WIDE = (
    0x80  # bytes from here on are parts of characters: none of them stands for itself
)


def offsets_and_bytes(
    text: pa.StringArray,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """Return views of a text column's ``n + 1`` offsets and of the bytes that they point into."""
    kind = np.int64 if pa.types.is_large_string(text.type) else np.int32
    _, offsets, data = text.buffers()
    bounds = np.frombuffer(offsets, kind)[text.offset : text.offset + len(text) + 1]
    return bounds, np.frombuffer(data or b"", np.uint8)


def bytes_of(text: pa.StringArray) -> memoryview:
    """Return the bytes of all texts, one after another."""
    bounds, data = offsets_and_bytes(text)
    return memoryview(data[bounds[0] : bounds[-1]].data)


def is_empty(text: pa.StringArray) -> Bools:
    """Return which cells are empty."""
    bounds, _ = offsets_and_bytes(text)
    return np.asarray(bounds[1:] == bounds[:-1])


def with_nulls(text: pa.StringArray, nulls: Bools | None = None) -> pa.StringArray:
    """Return ``text`` with real nulls, by default in its empty cells; no text is copied."""
    nulls = is_empty(text) if nulls is None else nulls
    if not nulls.any():
        return text
    valid = np.packbits(~nulls, bitorder="little")
    bounds, _ = offsets_and_bytes(text)
    buffers = [
        pa.py_buffer(valid),
        pa.py_buffer(bounds),
        text.buffers()[2] or pa.py_buffer(b""),
    ]
    return pa.Array.from_buffers(text.type, len(text), buffers)


def without_nulls(text: pa.StringArray) -> pa.StringArray:
    """Return ``text`` with the empty text in place of nulls."""
    return pc.fill_null(text, "") if text.null_count else text


def empty_texts(size: int) -> pa.StringArray:
    """Return so many empty texts; they take no memory of their own."""
    zeros = zero_bytes(8 * size + 8)
    return pa.Array.from_buffers(pa.string(), size, [None, zeros, zeros])


@lru_cache(maxsize=2)
def _zero_pages(bits: int) -> pa.Buffer:
    return pa.py_buffer(np.zeros(1 << bits, np.uint8))


def zero_bytes(size: int) -> pa.Buffer:
    """Return at least so many zero bytes, which are shared and take memory only when written."""
    return _zero_pages(size.bit_length())


def trim(text: pa.StringArray) -> pa.StringArray:
    """Trim each cell as Python's ``str.strip`` does."""
    bounds, data = offsets_and_bytes(text)
    if not len(data):
        return text
    ends = (
        data[np.minimum(bounds[:-1], len(data) - 1)],
        data[np.maximum(bounds[1:], 1) - 1],
    )
    # White space of ASCII comes before the first mark; that of other scripts is of wide bytes.
    is_mark = np.logical_and.reduce([(end >= ord("!")) & (end < 0x80) for end in ends])
    rows = np.flatnonzero(~is_mark & (bounds[1:] > bounds[:-1]))
    if len(rows) > len(text) // _FEW:
        return pc.utf8_trim_whitespace(text)
    return change_rows(text, rows, pc.utf8_trim_whitespace)


def may_be_blank(text: pa.StringArray) -> npt.NDArray[np.intp]:
    """Return rows of which each that is empty when trimmed is one."""
    bounds, data = offsets_and_bytes(text)
    if not len(data):
        return np.arange(len(text))
    first = data[np.minimum(bounds[:-1], len(data) - 1)]
    # White space and controls come before the first mark; that of other scripts from 0xC2 on.
    is_mark = (first >= ord("!")) & (first < 0xC2)
    return np.flatnonzero((bounds[:-1] == bounds[1:]) | ~is_mark)


def change_rows(
    text: pa.StringArray,
    rows: npt.NDArray[Any],
    change: Callable[[pa.StringArray], pa.Array],
) -> pa.StringArray:
    """Return ``text`` with ``change`` applied to the given rows alone."""
    if not len(rows):
        return text
    if len(rows) == len(text):
        return change(text)
    changed = change(text.take(pa.array(rows)))
    places = np.arange(len(text))
    places[rows] = np.arange(len(text), len(text) + len(rows))
    # one take of both takes half as long as Arrow's replace_with_mask
    return pa.concat_arrays([text, changed]).take(pa.array(places))


def fill(text: pa.StringArray, where: Bools | None, value: str) -> pa.StringArray:
    """Return ``text`` with ``value`` in the rows of ``where``; None: in none."""
    if where is None or not where.any():
        return text
    return pc.if_else(pa.array(where), value, text)


def small_letters(text: pa.StringArray) -> pa.StringArray:
    """Return texts with small letters of ASCII.

    Arrow's kernel misreads an array whose first text begins behind other bytes of the buffer, as it
    does in a slice that was cast.
    """
    bounds, _ = offsets_and_bytes(text)
    if not text.offset and bounds[0]:
        text = text.take(pa.array(np.arange(len(text))))
    return pc.ascii_lower(text)


def word_index(
    text: pa.StringArray,
    words: Iterable[str],
    fold: Callable[[str], str] = str.casefold,
) -> Ints:
    """Return which of ``words`` each cell is, in any case, or -1; the first of equal ones wins."""
    folded: dict[str, int] = {}
    for position, word in enumerate(words):
        folded.setdefault(fold(word), position)
    index = np.full(len(text), -1, np.int64)
    lengths = np.diff(offsets_and_bytes(text)[0])
    # Cells of ASCII are words of as many bytes.
    some = np.flatnonzero(
        np.isin(lengths, [len(word) for word in folded if word.isascii()])
    )
    if len(some):
        cells = small_letters(
            text if len(some) == len(text) else text.take(pa.array(some))
        )
        found = pc.index_in(cells, value_set=pa.array(list(folded), text.type))
        positions = np.array([*folded.values(), -1], np.int64)
        index[some] = positions[values_of(pc.fill_null(found, len(folded)))]
    wide = rows_that_hold(text, lambda data: data >= 0x80)
    if len(wide):
        encoded = text.take(pa.array(wide)).dictionary_encode()
        distinct = encoded.dictionary.to_pylist()
        read = np.array([folded.get(fold(cell), -1) for cell in distinct], np.int64)
        index[wide] = read[values_of(encoded.indices)]
    return np.asarray(index)


def rows_that_hold(
    text: pa.StringArray, marks: Callable[[npt.NDArray[np.uint8]], Bools]
) -> npt.NDArray[np.intp]:
    """Return the rows whose text holds a byte that ``marks`` marks."""
    bounds, data = offsets_and_bytes(text)
    low, high = int(bounds[0]), int(bounds[-1])
    if low == high:
        return np.empty(0, np.intp)
    hits = np.flatnonzero(marks(data[low:high])) + low
    rows = np.searchsorted(bounds, hits, side="right") - 1
    return np.asarray(rows[np.diff(rows, prepend=-1) > 0])


def one_chunk(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as one array, without a copy where it is one."""
    if isinstance(column, pa.Array):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    whole = column.combine_chunks()
    if isinstance(whole, pa.Array):
        return whole
    return column.cast(
        pa.large_string()
    ).combine_chunks()  # more text than short offsets reach


def take_short(
    text: pa.StringArray | pa.LargeStringArray,
    rows: Rows,
    max_bytes: int = MAX_SHORT_BYTES,
) -> pa.Array | pa.ChunkedArray:
    """Return rows with short offsets: one array, or as many chunks as needed; no row is longer."""
    if pa.types.is_string(text.type):
        return text.take(pa.array(rows))
    bounds, _ = offsets_and_bytes(text)
    if int((bounds[rows + 1] - bounds[rows]).sum()) <= max_bytes or len(rows) < 2:
        return text.take(pa.array(rows)).cast(pa.string())
    halves = (take_short(text, half, max_bytes) for half in np.array_split(rows, 2))
    chunks = (
        half.chunks if isinstance(half, pa.ChunkedArray) else [half] for half in halves
    )
    return pa.chunked_array([chunk for half in chunks for chunk in half], pa.string())


def integers_in(column: pa.Array) -> pa.Array:
    """Return a column as the whole numbers that it is stored as."""
    stored = pa.types.is_decimal(column.type) or pa.types.is_timestamp(column.type)
    return column.view(pa.int64()) if stored else column


def integers_of(column: pa.ChunkedArray | pa.Array) -> tuple[Ints, Bools]:
    """Return a column's whole numbers as numpy has them, 0 where null, and which are null."""
    integers = integers_in(one_chunk(column))
    filled = integers.fill_null(0) if integers.null_count else integers
    return np.asarray(values_of(filled), np.int64), flags_of(integers.is_null())


def values_of(array: pa.Array) -> npt.NDArray[Any]:
    """Return an array without nulls as numpy has it."""
    return np.asarray(array.to_numpy(zero_copy_only=False))


def flags_of(array: pa.ChunkedArray | pa.BooleanArray) -> Bools:
    """Return flags without nulls as numpy has them."""
    return np.asarray(array.to_numpy(zero_copy_only=False), np.bool_)


class TextWords:
    """The bytes of each text, eight at a time, without a copy of the column for each eight.

    ``held`` are those of all texts, one after another.
    """

    def __init__(self, text: pa.StringArray) -> None:
        bounds, data = offsets_and_bytes(text)
        low, high = int(bounds[0]), int(bounds[-1])
        self.lengths = np.diff(bounds)  # in bytes
        self.longest = int(self.lengths.max(initial=0))
        self._shortest = int(self.lengths.min(initial=self.longest))
        self._starts = bounds[:-1]
        if (
            len(data) < high + WORD
        ):  # the last text's last word would go beyond the bytes
            data = np.concatenate([data[low:high], np.zeros(WORD, np.uint8)])
            self._starts, low, high = self._starts - low, 0, high - low
        self.held = data[low:high]
        # One word a byte; the last starts behind the last byte.
        self._words = np.lib.stride_tricks.as_strided(
            data[:WORD].view(np.uint64), shape=(high + 1,), strides=(1,)
        )

    def big_endian(self, start: int, rows: npt.NDArray[Any] | slice = _ALL) -> Words:
        """Return the eight bytes from ``start`` on of the given texts, zero-padded at their end."""
        places = self._starts[rows].astype(np.int64) + start
        if self._shortest < start:
            np.minimum(places, len(self._words) - 1, out=places)
        words = self._words[places].byteswap(inplace=True)
        if self._shortest < start + WORD:
            words &= _FIRST_BYTES.take(np.clip(self.lengths[rows] - start, 0, WORD))
        return np.asarray(words)


def shapes_of(text: pa.StringArray) -> pa.StringArray:
    """Return the shape of each text: ``9`` for digits, ``A`` for letters, all else as it stands.

    A run of one kind is one mark. Letters are those of any script.
    """
    wide = rows_that_hold(text, lambda data: np.asarray(data >= _FIRST_WIDE))
    text = change_rows(
        text, wide, lambda some: pc.replace_substring_regex(some, r"[\pL\pM]+", "A")
    )
    bounds, data = offsets_and_bytes(text)
    low, high = int(bounds[0]), int(bounds[-1])
    if low == high:
        return text
    kinds, begins = _KINDS.take(data[low:high]), bounds - low
    kept = np.ones(len(kinds), np.bool_)
    np.not_equal(kinds[1:], kinds[:-1], out=kept[1:])
    kept |= kinds >= _FIRST_WIDE
    kept[begins[:-1][begins[1:] > begins[:-1]]] = True
    ends = np.zeros(len(kinds) + 1, begins.dtype)
    np.cumsum(kept, out=ends[1:])
    buffers = [None, pa.py_buffer(ends.take(begins)), pa.py_buffer(kinds[kept])]
    return pa.Array.from_buffers(text.type, len(text), buffers)
