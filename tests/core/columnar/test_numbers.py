"""The column kernels read exactly what the scalar rules read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.columnar.csv_text import money_text, whole_text
from relay_core.columnar.numbers import (
    FAULTS,
    ColumnValues,
    read_amounts,
    read_wholes,
)
from relay_core.domain.cell_rules import read_money, read_whole
from relay_core.domain.codes import RowFault
from relay_core.domain.columns import BY_NAME, RejectionCodes
from relay_core.domain.errors import CellError
from support.config_documents import parser_of

NUMBERS = st.one_of(
    st.from_regex(r"\A[+-]?[0-9]{0,12}[.,]?[0-9]{0,7}([eE][+-]?[0-9]{1,3})?\Z"),
    st.from_regex(
        r"\A[$€ ]{0,2}[0-9]{1,3}([.,' \u00a0][0-9]{2,3}){0,3}([.,][0-9]{0,5})?[ €]?\Z"
    ),
    st.text("0123456789+-.,eE' \u00a0\u2019$€x", max_size=12),
    st.from_regex(
        r"\A[+-]?0{0,20}[0-9]{0,20}[.]?0{0,20}[0-9]{0,20}([eE][+-]?0{0,20}[0-9]{1,20})?\Z"
    ),
)
OPTIONS = st.sampled_from(
    [
        {},
        {"thousands_separator": ","},
        {"decimal_separator": ",", "thousands_separator": "."},
        {"decimal_separator": ",", "thousands_separator": " "},
        {"decimal_separator": ","},
        {"thousands_separator": "'", "currency_symbols": ["$", "€", "$€"]},
    ]
)


def refusals_of(name: str) -> RejectionCodes:
    rejections = BY_NAME[name].rejections
    assert rejections is not None
    return rejections


def column(texts: list[str]) -> pa.StringArray:
    return pa.array([text.strip() for text in texts], pa.string())


def by_cell(
    texts: list[str], rule: Callable[[str], int]
) -> list[int | str | None]:
    """Read each cell with the scalar rule: a value, a fault's code, or None for a null."""

    def one(text: str) -> int | str | None:
        try:
            return rule(text) if text else None
        except CellError as error:
            return str(error.error_code)

    return [one(text.strip()) for text in texts]


def by_column(typed: ColumnValues) -> list[int | str | None]:
    """Read a typed column in the same terms."""
    rows = zip(typed.values.tolist(), typed.nulls, typed.faults, strict=True)
    return [
        None if n else str(FAULTS[f - 1]) if f else value
        for value, n, f in rows
    ]


@given(st.lists(NUMBERS, max_size=8), OPTIONS)
def test_a_column_of_money_reads_as_its_cells_do(
    texts: list[str], options: dict[str, Any]
) -> None:
    parser = parser_of(**options)

    def rule(text: str) -> int:
        return read_money(text, parser)

    refusals = refusals_of("cost")
    assert by_column(read_amounts(column(texts), parser, refusals)) == by_cell(
        texts, rule
    )


@given(
    st.lists(NUMBERS, max_size=8),
    OPTIONS,
    st.sampled_from(["quantity_available", "lead_time_days"]),
)
def test_a_column_of_whole_numbers_reads_as_its_cells_do(
    texts: list[str], options: dict[str, Any], name: str
) -> None:
    parser = parser_of(**options)

    def rule(text: str) -> int:
        return read_whole(BY_NAME[name], text, parser)

    assert by_column(
        read_wholes(column(texts), parser, refusals_of(name))
    ) == by_cell(texts, rule)


@given(
    st.lists(
        st.one_of(NUMBERS, st.sampled_from([" 1.50", "2 ", " ", "\u00a03"])),
        max_size=8,
    )
)
def test_plain_numbers_need_no_trimming_before(texts: list[str]) -> None:
    parser = parser_of()

    def rule(text: str) -> int:
        return read_money(text, parser)

    untrimmed = pa.array(texts, pa.string())
    assert by_column(
        read_amounts(untrimmed, parser, refusals_of("cost"))
    ) == by_cell(texts, rule)


@given(st.lists(NUMBERS, max_size=8))
def test_a_cell_that_counts_as_canonical_stands_as_its_value_is_written(
    texts: list[str],
) -> None:
    parser = parser_of()
    cells = column(texts)
    amounts = read_amounts(cells, parser, refusals_of("cost"))
    wholes = read_wholes(cells, parser, refusals_of("lead_time_days"))

    for numbers, write in ((amounts, money_text), (wholes, whole_text)):
        rows = np.flatnonzero(numbers.is_canonical & (numbers.faults == 0))
        written = write(numbers.values[rows], numbers.nulls[rows])
        assert (
            numbers.text.take(pa.array(rows)).to_pylist() == written.to_pylist()
        )


@pytest.mark.parametrize(
    "text",
    [
        "abc",
        "1.2.3",
        "1e",
        "e5",
        ".e5",
        ".",
        "+",
        "--1",
        "0x1F",
        "1_0",
        "\u0663",
        "1,5",
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    column = read_amounts(
        pa.array([text, "1"]), parser_of(), refusals_of("cost")
    )

    assert by_column(column) == [RowFault.INVALID_DECIMAL, 10_000]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        *(
            ("020.5", 205_000),
            ("+3", 30_000),
            ("4.", 40_000),
            (".5", 5_000),
            ("-0.00", 0),
        ),
        *(
            ("1.23456789", 12_346),
            ("99999999.99995", 10**12),
            ("0.00005", 1),
            ("0.0000499", 0),
        ),
        *(
            ("1.5E-2", 150),
            ("1e5", 10**9),
            (".5e+3", 5_000_000),
            ("1e-99999999999999999999", 0),
        ),
        *(
            ("0e99999999999999999999", 0),
            ("0" * 50 + "1." + "0" * 50 + "1", 10_000),
        ),
        *(
            ("12345678901234567890e-15", 123_456_789),
            ("999999999.99994", 10**13 - 1),
        ),
        *(
            ("999999999.99995", "amount_out_of_range"),
            ("1e9", "amount_out_of_range"),
        ),
        *(
            ("1e99999999999999999999", "amount_out_of_range"),
            ("9" * 50, "amount_out_of_range"),
        ),
        *(("-1e-99", "negative_amount"), ("-1e99", "negative_amount")),
    ],
)
def test_an_amount_of_any_length_is_read_exactly(
    text: str, amount: int | str
) -> None:
    assert by_column(
        read_amounts(pa.array([text]), parser_of(), refusals_of("cost"))
    ) == [amount]
    assert by_cell([text], lambda cell: read_money(cell, parser_of())) == [
        amount
    ]


def test_a_slice_of_a_column_is_read_from_where_it_starts() -> None:
    cells = pa.array(["x", "12.5", "7", "y"]).slice(1, 2)

    assert by_column(read_amounts(cells, parser_of(), refusals_of("cost"))) == [
        125_000,
        70_000,
    ]
