"""Lines of a file are the same with the kernel and without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.columnar.csv_text import Column
from relay_core.domain.columns import Kind
from relay_core.kernel import compiled, csv_lines
from relay_core.validation.row_schemas import CENTS, INSTANT
from support.kernel import needs_kernel

SECOND = 1_000_000
WHOLE = st.integers(-(2**31), 2**31 - 1)
AMOUNTS = st.integers(-(10**17), 10**17)
ROWS = st.tuples(
    st.text('a,"\r\n\t é€', max_size=20) | st.none(),
    st.sampled_from(["vendor", "a,b"]),
    WHOLE | st.none(),
    AMOUNTS | st.none(),
    st.integers(0, 10**17) | st.none(),
    st.integers(-(10**15), 10**15),
)
KINDS = (
    (Kind.TEXT, pa.string()),
    (Kind.CONDITION, pa.large_string()),
    (Kind.WHOLE, pa.int32()),
    (Kind.MONEY, CENTS),
    (Kind.MONEY, pa.decimal64(18, 4)),
    (Kind.INSTANT, INSTANT),
)


def columns_of(rows: Sequence[Sequence[object]], skipped: int) -> list[Column]:
    columns = []
    for index, (kind, stored_type) in enumerate(KINDS):
        values = [row[index] for row in rows]
        if kind is Kind.MONEY:
            cells = pa.array(values, pa.int64()).view(stored_type)
        else:
            cells = pa.array(values, stored_type)
        columns.append(Column(kind, cells.slice(skipped)))
    return columns


def lines(
    columns: Sequence[Column],
    delimiter: str,
    *,
    with_kernel: bool,
) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "is_enabled", with_kernel)
        patch.setattr(csv_lines, "_LINE_BYTES", 40)
        return bytes(csv_lines.lines_of(columns, delimiter))


def assert_same(columns: Sequence[Column], delimiter: str = ",") -> None:
    expected = lines(columns, delimiter, with_kernel=False)
    assert lines(columns, delimiter, with_kernel=True) == expected


@needs_kernel
@given(
    st.lists(ROWS, min_size=1, max_size=8),
    st.integers(0, 3),
    st.sampled_from([",", "\t", "|"]),
    st.sampled_from(range(len(KINDS))),
)
def test_lines_are_those_of_the_engine_without_the_kernel(
    rows: list[tuple[object, ...]], skipped: int, delimiter: str, alone: int
) -> None:
    columns = columns_of(rows, skipped)

    assert_same(columns, delimiter)
    assert_same([columns[alone]], delimiter)


@needs_kernel
def test_every_day_of_rows_is_written_alike() -> None:
    days = np.arange(-(366 * 70), 366 * 230, dtype=np.int64)
    instants = days * 86_400 * SECOND + days % 86_400 * 7 * SECOND - 1
    assert_same([Column(Kind.INSTANT, pa.array(instants).view(INSTANT))])


@needs_kernel
def test_numbers_of_every_length_are_written_alike() -> None:
    powers = [10**exponent for exponent in range(18)]
    numbers = [*powers, *(power - 1 for power in powers)]
    values = pa.array([*numbers, *(-number for number in numbers)])
    assert_same([Column(Kind.WHOLE, values)])
    assert_same([Column(Kind.MONEY, values.view(CENTS))])


@needs_kernel
@pytest.mark.parametrize("length", range(20))
def test_a_text_is_quoted_wherever_its_mark_stands(length: int) -> None:
    texts = ["-" * length]
    for mark in ',"\r\n-é ':
        for place in range(length):
            texts.append("x" * place + mark + "x" * (length - place - 1))
    assert_same([Column(Kind.TEXT, pa.array(texts))])


@needs_kernel
def test_a_column_with_fewer_rows_is_an_error() -> None:
    numbers = np.zeros(2, np.int64)
    out = np.empty(100, np.uint8)
    for column in (
        (compiled.scan.WHOLE_FIELD, numbers, None),
        (compiled.scan.WHOLE_FIELD, np.zeros(3, np.int64), out[:2]),
        (compiled.scan.TEXT_FIELD, np.zeros(3, np.int64), out),
        (compiled.scan.TEXT_FIELD, np.array([0, 1, 2, 101]), out),
        (compiled.scan.TEXT_FIELD, np.array([0, 2, 1, 2]), out),
    ):
        with pytest.raises(IndexError):
            compiled.scan.write_fields([column], 0, 3, 44, out)
