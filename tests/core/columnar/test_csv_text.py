"""What the writers put on a line, any CSV reader reads back."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.columnar.csv_text import instant_text, lines, money_text, quoted

CELLS = st.text('ab,;"\r\n é', max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
def test_quoted_fields_read_back_as_they_were(
    rows: list[tuple[str, str]],
) -> None:
    columns = [
        quoted(pa.array(list(column), pa.string()))
        for column in zip(*rows, strict=True)
    ]

    text = bytes(lines(columns)).decode()

    assert [
        tuple(row) for row in csv.reader(io.StringIO(text, newline=""))
    ] == rows


def test_a_field_is_quoted_only_where_it_must_be() -> None:
    cells = pa.array(['5" pipe', "a b", "a;b", "a\nb", "", "'"])

    assert quoted(cells).to_pylist() == [
        '"5"" pipe"',
        "a b",
        "a;b",
        '"a\nb"',
        "",
        "'",
    ]
    assert quoted(cells, ";").to_pylist()[2] == '"a;b"'
    assert quoted(pa.array(["a§b", "a"]), "§").to_pylist() == ['"a§b"', "a"]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("mark", ["{delimiter}", '"', "\r", "\n"])
def test_one_field_among_plain_ones_is_quoted(
    delimiter: str, mark: str
) -> None:
    mark = mark.format(delimiter=delimiter)
    plain = ["A-1", "B2", "", "Z9"]
    special = f"C{mark}3"

    written = quoted(pa.array([*plain, special]), delimiter).to_pylist()

    assert written == [*plain, '"' + special.replace('"', '""') + '"']
    assert quoted(pa.array(plain), delimiter).to_pylist() == plain


def test_a_record_of_one_empty_field_is_still_a_record() -> None:
    assert bytes(lines([pa.array(["", "x"])])) == b'""\nx\n'


@given(st.lists(st.integers(0, 10**13 - 1), max_size=6))
def test_money_keeps_two_places_and_more_only_where_needed(
    amounts: list[int],
) -> None:
    written = money_text(np.array(amounts, np.int64)).to_pylist()

    for amount, text in zip(amounts, written, strict=True):
        assert Decimal(text) * 10_000 == amount
        places = len(text.partition(".")[2])
        assert places == 2 or (places in (3, 4) and not text.endswith("0"))


def test_an_instant_drops_its_fraction_also_before_the_epoch() -> None:
    written = instant_text(np.array([1_999_999, -1, -2_208_988_800_000_000]))

    assert written.to_pylist() == [
        "1970-01-01T00:00:01Z",
        "1969-12-31T23:59:59Z",
        "1900-01-01T00:00:00Z",
    ]
