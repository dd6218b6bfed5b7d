"""A file of sorted rows: whole again, and the rows of one text from the parts of its index."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.columnar import sorted_file
from relay_core.columnar.sorted_file import (
    ByteRange,
    index_range,
    ranges_with,
    read_sorted_file,
    rows_with,
    sorted_file_chunks,
    tail_range,
)

SCHEMA = pa.schema(
    [("key", pa.string()), ("text", pa.large_string()), ("number", pa.int64())]
)
PREFIX = "p" * 100
"""Longer than what of a text is in the index."""
KEYS = st.text("abp\u00e9\u2028\U0001f600", max_size=4) | st.text(
    "ab", max_size=2
).map(PREFIX.__add__)


def rows(keys: list[str], text: str = "x") -> pa.Table:
    return pa.table(
        [keys, [text] * len(keys), list(range(len(keys)))], schema=SCHEMA
    )


def file_of(*tables: pa.Table, behind: tuple[pa.Table, ...] = ()) -> bytes:
    return b"".join(
        map(bytes, sorted_file_chunks(SCHEMA, "key", tables, behind))
    )


def index_of(data: bytes) -> list[tuple[str, int, int]]:
    """Return the index as a reader of parts finds it."""
    tail = data[slice(*tail_range(len(data)))]
    return json.loads(data[slice(*index_range(len(data), tail))])


def looked_up(data: bytes, key: str) -> list[int]:
    """Return the numbers of the rows of a key, read by parts."""
    numbers = []
    for part in ranges_with(key, index_of(data), 1 << 20):
        numbers += rows_with(key, data[slice(*part)], SCHEMA, "key")[
            "number"
        ].to_pylist()
    return numbers


def test_a_file_comes_back_with_the_tables_behind_it() -> None:
    whole = rows(["a", "b", "c"])
    behind = (
        pa.table({"n": [1, 2]}),
        pa.table({"t": pa.array([], pa.string())}),
    )
    again, *further_tables = read_sorted_file(
        file_of(whole.slice(0, 2), whole.slice(2), behind=behind)
    )
    assert again.equals(whole)
    assert [
        further_table.equals(table)
        for further_table, table in zip(further_tables, behind, strict=True)
    ] == [True] * 2


def test_a_file_without_a_row_is_a_file() -> None:
    data = file_of(rows([]))
    (again,) = read_sorted_file(data)
    assert (len(again), again.schema, index_of(data), looked_up(data, "a")) == (
        0,
        SCHEMA,
        [],
        [],
    )


@given(st.lists(KEYS), st.lists(KEYS, max_size=3), st.integers(20, 400))
def test_the_rows_of_any_text_are_in_the_parts_that_the_index_names(
    keys: list[str], absent_keys: list[str], batch_bytes: int
) -> None:
    ordered = sorted(keys, key=str.encode)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_file, "_BATCH_BYTES", batch_bytes)
        data = file_of(rows(ordered))
    for key in {*keys, *absent_keys}:
        assert looked_up(data, key) == [
            n for n, text in enumerate(ordered) if text == key
        ]


def test_batches_are_small_and_a_long_row_ends_its_own() -> None:
    keys = [f"k{number:05}" for number in range(20_000)]
    long = rows(["k10000"], "y" * 3_000_000)
    table = pa.concat_tables([rows(keys[:10_000]), long, rows(keys[10_001:])])
    data = file_of(table.combine_chunks())
    sizes = [stop - start for _, start, stop in index_of(data)]
    assert sorted(sizes)[-1] < 3_500_000
    assert sorted(sizes)[-2] < 1 << 19
    assert len(sizes) > 2
    assert (
        sum(
            part.stop - part.start
            for part in ranges_with("k19999", index_of(data), 0)
        )
        < 1 << 19
    )


def test_an_index_that_is_longer_than_what_is_read_first_is_found() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_file, "_TAIL_BYTES", 64)
        patch.setattr(sorted_file, "_BATCH_BYTES", 100)
        data = file_of(rows([f"k{number:03}" for number in range(500)]))
        assert tail_range(len(data)) == ByteRange(len(data) - 64, len(data))
        assert looked_up(data, "k321") == [321]
