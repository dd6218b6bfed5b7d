"""Amounts times a factor: exact, rounded once, against fractions."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.columnar.numbers import FAULTS, Scale, read_amounts
from relay_core.domain.columns import BY_NAME

OPTIONS: Any = SimpleNamespace(
    decimal_separator=".", thousands_separator=None, currency_symbols=()
)
REJECTIONS = BY_NAME["cost"].rejections


def read(cell: str, factor: Fraction) -> int | str | None:
    """Return the ten-thousandths of a cell, its fault, or None for null."""
    column = read_amounts(
        pa.array([cell]), OPTIONS, REJECTIONS, Scale(*factor.as_integer_ratio())
    )
    if column.faults[0]:
        assert column.values[0] < 0
        return str(FAULTS[column.faults[0] - 1])
    return None if column.nulls[0] else int(column.values[0])


def by_fraction(cell: str, factor: Fraction) -> int | str:
    amount = Fraction(cell)
    if amount < 0:
        return "negative_amount"
    if amount >= 10**15:
        return "amount_out_of_range"
    units = (amount * factor * 10_000 + Fraction(1, 2)).__floor__()
    return units if units < 10**13 else "amount_out_of_range"


RATES = st.one_of(
    st.sampled_from(
        [Fraction("1.0832"), Fraction("0.00000001"), Fraction(1_000_000)]
    ),
    st.integers(1, 10**14).map(lambda number: Fraction(number, 10**8)),
)
CELLS = st.one_of(
    st.decimals("0", "999999999.9999", places=4),
    st.decimals("-1", "9999999999999999", places=7),
    st.decimals("0", "100", places=30),
).map(lambda amount: f"{amount:f}")


@given(cell=CELLS, factor=RATES)
def test_an_amount_times_a_rate_is_rounded_once(
    cell: str, factor: Fraction
) -> None:
    assert read(cell, factor) == by_fraction(cell, factor)


@pytest.mark.parametrize(
    ("cell", "factor", "expected"),
    [
        ("1.00004", "2", 20001),  # 1.0000 x 2 would be 20000
        ("0.00005", "1", 1),
        ("0.000049", "1", 0),
        ("", "2", None),
        ("  ", "2", None),
        (" 1.5 ", "2", 30_000),
        ("1e2", "1.5", 1_500_000),
        ("1.5E+1", "2", 300_000),
        ("1.5E-1", "2", 3_000),
        ("x", "2", "invalid_decimal"),
        (".", "2", "invalid_decimal"),
        ("-1", "2", "negative_amount"),
        ("-0.00", "2", 0),
        ("1e99999999999999999999", "0.5", "amount_out_of_range"),
        ("1e-99999999999999999999", "1000000", 0),
        ("999999999999999", "0.000001", "amount_out_of_range"),
        ("999999999999999", "0.0000001", 10**12),
        ("1000000000000000", "0.00000001", "amount_out_of_range"),
        ("999999999.9999", "1.0000001", "amount_out_of_range"),
        ("1" + "0" * 5000, "1", "amount_out_of_range"),
        ("0." + "3" * 5000, "3", 10_000),
    ],
)
def test_the_edges_of_amounts_with_a_factor(
    cell: str, factor: str, expected: Any
) -> None:
    assert read(cell, Fraction(factor)) == expected
