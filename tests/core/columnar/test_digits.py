"""Short numbers read from words are those that Python reads."""

from __future__ import annotations

import re
from decimal import Decimal

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from relay_core.columnar.csv_text import money_text
from relay_core.columnar.digits import read_short_money, read_short_wholes

CELLS = st.lists(st.text("0123456789./:+- é", max_size=10), max_size=20)


@given(CELLS)
def test_one_to_eight_digits_are_read_and_nothing_else(cells: list[str]) -> None:
    values, done, written = read_short_wholes(pa.array(cells, pa.string()))

    plain = [bool(re.fullmatch("[0-9]{1,8}", cell)) for cell in cells]
    assert done.tolist() == plain
    assert values.tolist() == [int(c) if p else 0 for c, p in zip(cells, plain, strict=True)]
    expected = [p and str(int(c)) == c for c, p in zip(cells, plain, strict=True)]
    assert written.tolist() == expected


@given(CELLS)
def test_amounts_of_up_to_eight_characters_are_read_and_nothing_else(cells: list[str]) -> None:
    values, done, written = read_short_money(pa.array(cells, pa.string()))

    form = re.compile(r"[0-9]+(\.[0-9]{1,4})?")
    plain = [len(cell) <= 8 and bool(form.fullmatch(cell)) for cell in cells]
    assert done.tolist() == plain
    expected = [int(Decimal(c) * 10_000) if p else 0 for c, p in zip(cells, plain, strict=True)]
    assert values.tolist() == expected
    as_written = money_text(values).to_pylist()
    assert written.tolist() == [
        p and w == c for c, p, w in zip(cells, plain, as_written, strict=True)
    ]


def test_a_slice_of_a_column_is_read_from_where_it_starts() -> None:
    column = pa.array(["x", "12.5", "7", "y"]).slice(1, 2)

    assert read_short_money(column)[0].tolist() == [125_000, 70_000]
