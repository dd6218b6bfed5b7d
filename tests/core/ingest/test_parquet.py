"""Parquet: which columns have a text, what is refused, and that no small file takes all memory."""

from __future__ import annotations

import contextlib
import io
import random
from datetime import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest.parquet import may_explode
from support.reading import read


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


GOOD = {"sku": ["A", None, "C"], "qty": [1, 2, None]}


def test_rows_count_from_1_over_all_row_groups() -> None:
    feed = read(parquet(GOOD, row_group_size=2), "parquet")
    assert feed.rows == {1: ["A", "1"], 2: ["", "2"], 3: ["C", ""]}
    assert feed.numbers == dict.fromkeys((1, 2, 3), ".n")
    assert (
        read(parquet({"sku": pa.array([], pa.string())}), "parquet").rows == {}
    )


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1]]),
        pa.array([{"a": 1}]),
        pa.array([b"\xff"]),
        pa.array([time(12)]),
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
    ],
    ids=str,
)
def test_a_column_without_a_text_is_empty_and_refused_where_it_is_read(
    column: pa.Array,
) -> None:
    data = parquet({"sku": ["A"], "other": column, "qty": [1]})
    assert read(data, "parquet").rows == {1: ["A", "", "1"]}
    with pytest.raises(FeedUnreadableError, match='"other" is') as caught:
        read(data, "parquet", column_map={"title": "other"})
    assert caught.value.error_code == "invalid_input"


def test_limits_hold() -> None:
    wide = parquet({f"c{place}": [1] for place in range(5)})
    with pytest.raises(
        FeedUnreadableError, match="5 columns, but the limit is 4"
    ):
        read(wide, "parquet", limits=Limits(columns=4))
    long = parquet({"sku": ["A", "x" * 101]})
    with pytest.raises(FeedUnreadableError, match="record 2, column 1"):
        read(long, "parquet", limits=Limits(cell_bytes=100))
    with pytest.raises(
        FeedUnreadableError, match="more than 100 bytes"
    ) as caught:
        read(long, "parquet", limits=Limits(feed_bytes=100))
    assert caught.value.error_code == "feed_too_large"


def test_a_text_that_stands_a_million_times_is_counted_and_not_held() -> None:
    column = pa.DictionaryArray.from_arrays(
        np.zeros(1_000_000, np.int32), pa.array(["x" * 500_000])
    )
    data = parquet({"sku": column}, store_schema=False)
    assert len(data) < 200_000
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(FeedUnreadableError) as caught:
        read(data, "parquet", limits=Limits(feed_bytes=64 << 20))
    assert caught.value.error_code == "feed_too_large"
    assert pa.default_memory_pool().max_memory() - before < 300 << 20


def test_texts_that_share_their_starts_are_read_apart() -> None:
    texts = [f"{'y' * 1000}{place}" for place in range(2000)]
    data = parquet(
        {"sku": texts},
        use_dictionary=False,
        column_encoding={"sku": "DELTA_BYTE_ARRAY"},
    )
    assert may_explode(data)
    assert not may_explode(parquet(GOOD))
    assert [row[0] for row in read(data, "parquet").rows.values()] == texts


def test_texts_that_unpack_to_more_memory_than_there_is_are_too_large() -> None:
    texts = [f"{'y' * 500_000}{place}" for place in range(2000)]
    data = parquet(
        {"sku": texts},
        use_dictionary=False,
        column_encoding={"sku": "DELTA_BYTE_ARRAY"},
    )
    assert len(data) < 1 << 20
    with pytest.raises(
        FeedUnreadableError, match="needs more memory"
    ) as caught:
        read(data, "parquet", limits=Limits(feed_bytes=8 << 20))
    assert caught.value.error_code == "feed_too_large"


def with_other_number_of_rows(data: bytes) -> bytes:
    """Return a file whose footer tells of 16 rows in place of 15."""
    place = data.rindex(b"PAR1") - 4 - int.from_bytes(data[-8:-4], "little")
    while (place := data.index(b"\x16\x1e", place + 1)) >= 0:
        damaged = data[: place + 1] + b"\x20" + data[place + 2 :]
        if pq.read_metadata(pa.BufferReader(damaged)).num_rows == 16:
            return damaged
    raise ValueError("the footer has no number of rows")


def test_a_header_that_lies_is_a_decode_error() -> None:
    data = with_other_number_of_rows(parquet({"sku": ["A"] * 15}))
    with pytest.raises(FeedUnreadableError) as caught:
        read(data, "parquet")
    assert caught.value.error_code == "DECODE_ERROR"


def test_texts_that_are_not_utf_8_are_a_decode_error() -> None:
    bad = pa.Array.from_buffers(
        pa.string(),
        1,
        [
            None,
            pa.py_buffer(np.array([0, 2], np.int32)),
            pa.py_buffer(b"\xff\xfe"),
        ],
    )
    with pytest.raises(FeedUnreadableError) as caught:
        read(parquet({"sku": bad}), "parquet")
    assert caught.value.error_code == "DECODE_ERROR"


def test_a_damaged_file_is_read_or_refused() -> None:
    numbers = np.arange(2000)
    whole = parquet(
        {"sku": numbers.astype(str), "qty": numbers, "cost": numbers / 7}
    )
    lucky = random.Random(7)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(3):
            data[lucky.randrange(len(data))] = lucky.randrange(256)
        with contextlib.suppress(FeedUnreadableError):
            read(bytes(data), "parquet", compression="none")


def test_a_column_that_stands_twice_makes_the_file_unusable() -> None:
    column = pa.array(["A"])
    table = pa.Table.from_arrays(
        [column, column, pa.array([1])], ["sku", "sku", "cost"]
    )
    written = io.BytesIO()
    pq.write_table(table, written)
    with pytest.raises(
        FeedUnreadableError, match='occur more than once: "sku"'
    ) as refused:
        read(written.getvalue(), "parquet")
    assert refused.value.error_code == "invalid_input"
