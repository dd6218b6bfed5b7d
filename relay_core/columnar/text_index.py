"""An index of distinct texts, looked up for a whole column of cells."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays
from relay_core.columnar import text as texts

_FACTORS = np.array([0x9E3779B97F4A7C15], np.uint64) ** np.arange(
    1,
    9,
    dtype=np.uint64,
)
"""Odd factors, one for each of a text's first words.

Texts that differ only behind these words have the same hash.
"""
_PREFIX_BITS = 18
"""The first bits of a hash tell most cells apart from an index of under 100,000 texts."""


class TextIndex(NamedTuple):
    """Distinct texts, and the rows in which cells are found among them."""

    keys: pa.StringArray
    """The texts, in the order of ``hashes``."""
    hashes: arrays.Words | None
    """The hash of each text, in order; None if two of them have the same hash."""
    has_prefix: arrays.RowMask
    """True if a hash starts with given bits, by these bits; most cells have others."""

    def find(
        self,
        text: pa.StringArray,
    ) -> tuple[arrays.RowIndex, arrays.RowIndex]:
        """Return the rows of a text that are among the keys, and their keys' rows."""
        if self.hashes is None:
            matches = pc.index_in(text, value_set=self.keys)
            rows = np.flatnonzero(texts.flags_of(matches.is_valid()))
            key_rows = texts.values_of(matches.take(pa.array(rows)))
            return rows, np.asarray(key_rows, np.int64)
        hashes = _hashes(text)
        rows = np.flatnonzero(self.has_prefix.take(_prefixes(hashes)))
        key_rows = np.searchsorted(self.hashes, hashes[rows])
        key_rows[key_rows == len(self.hashes)] = 0
        has_equal_hash = self.hashes.take(key_rows) == hashes[rows]
        rows = rows[has_equal_hash]
        key_rows = key_rows[has_equal_hash]
        is_equal = _are_equal(self.keys, key_rows, text, rows)
        return rows[is_equal], key_rows[is_equal]


def index_of(
    text: pa.StringArray,
) -> tuple[TextIndex, arrays.RowIndex]:
    """Return the index of a column's distinct texts, and the last row of each.

    Args:
        text: The column, with at least one row.
    """
    hashes = _hashes(text)
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    repeated = np.flatnonzero(hashes[1:] == hashes[:-1])
    is_same_text = _are_equal(text, order[repeated], text, order[repeated + 1])
    if not is_same_text.all():
        last_rows = {key: row for row, key in enumerate(text.to_pylist())}
        keys = pa.array(last_rows.keys(), pa.string())
        index = TextIndex(keys, None, np.zeros(0, np.bool_))
        return index, np.array([*last_rows.values()], np.int64)
    is_last = np.ones(len(order), np.bool_)
    is_last[repeated] = False
    rows = order[is_last]
    hashes = hashes[is_last]
    has_prefix = np.zeros(1 << _PREFIX_BITS, np.bool_)
    has_prefix[_prefixes(hashes)] = True
    return TextIndex(text.take(pa.array(rows)), hashes, has_prefix), rows


def _are_equal(
    left: pa.StringArray,
    left_rows: arrays.RowIndex,
    right: pa.StringArray,
    right_rows: arrays.RowIndex,
) -> arrays.RowMask:
    """Return whether the texts of two columns are equal, row by row."""
    left_texts = left.take(pa.array(left_rows))
    right_texts = right.take(pa.array(right_rows))
    return texts.flags_of(pc.equal(left_texts, right_texts))


def _prefixes(hashes: arrays.Words) -> arrays.WholeNumbers:
    return np.asarray((hashes >> np.uint64(64 - _PREFIX_BITS)).view(np.int64))


def _hashes(text: pa.StringArray) -> arrays.Words:
    """Return the hash of each text, which does not depend on the column."""
    words = texts.TextWords(text)
    hashes = words.lengths.astype(np.uint64)
    for index, factor in enumerate(_FACTORS):
        start = index * texts.WORD
        if start < words.longest:
            # A text that has ended adds zero.
            hashes += words.big_endian(start) * factor
    hashes ^= hashes >> np.uint64(32)
    return hashes
