"""The column kernels read exactly what the scalar rules read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from builders import tenant_config, vendor_document
from relay_core.columnar.columns import FAULTS, Typed, read_money, read_whole, trim, word_index
from relay_core.config import ParserConfig
from relay_core.domain import cell_rules as cells
from relay_core.domain.errors import CellError

NUMBERS = st.one_of(
    st.from_regex(r"\A[+-]?[0-9]{0,12}[.,]?[0-9]{0,7}([eE][+-]?[0-9]{1,3})?\Z"),
    st.from_regex(r"\A[$€ ]{0,2}[0-9]{1,3}([.,' \u00a0][0-9]{2,3}){0,3}([.,][0-9]{0,5})?[ €]?\Z"),
    st.text("0123456789+-.,eE' \u00a0\u2019$€x", max_size=12),
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


def parser(options: dict[str, Any]) -> ParserConfig:
    return tenant_config(vendor_document(parser=options)).vendors[0].parser


def column(texts: list[str]) -> pa.StringArray:
    return pa.array([text.strip() for text in texts], pa.string())


def by_cell(texts: list[str], rule: Callable[[str], int]) -> list[int | str | None]:
    """Read each cell with the scalar rule: a value, a fault's code, or None for a null."""

    def one(text: str) -> int | str | None:
        try:
            return rule(text) if text else None
        except CellError as error:
            return str(error.error_code)

    return [one(text.strip()) for text in texts]


def by_column(typed: Typed) -> list[int | str | None]:
    """Read a typed column in the same terms."""
    rows = zip(typed.values.tolist(), typed.nulls, typed.faults, strict=True)
    return [None if n else str(FAULTS[f - 1]) if f else value for value, n, f in rows]


@given(st.lists(NUMBERS, max_size=8), OPTIONS)
def test_a_column_of_money_reads_as_its_cells_do(texts: list[str], options: dict[str, Any]) -> None:
    made = parser(options)

    def rule(text: str) -> int:
        return cells.read_money(text, made)

    assert by_column(read_money(column(texts), made, rule)) == by_cell(texts, rule)


@given(st.lists(NUMBERS, max_size=8), OPTIONS)
def test_a_column_of_whole_numbers_reads_as_its_cells_do(
    texts: list[str], options: dict[str, Any]
) -> None:
    made = parser(options)

    def rule(text: str) -> int:
        return cells.read_quantity(text, made)

    assert by_column(read_whole(column(texts), made, rule)) == by_cell(texts, rule)


@given(st.lists(st.text("a\u00a0\u2003\u3000\u200b\x1c \t\n\x85é€", max_size=5), max_size=6))
def test_trimming_is_that_of_python(texts: list[str]) -> None:
    assert trim(pa.array(texts, pa.string())).to_pylist() == [text.strip() for text in texts]


def test_trimming_a_slice_leaves_the_rest_alone() -> None:
    sliced = pa.array(["  x", " a ", "b", " c"]).slice(1, 2)

    assert trim(sliced).to_pylist() == ["a", "b"]


def test_words_match_in_any_case_and_the_first_of_equal_ones_wins() -> None:
    found = word_index(pa.array(["N/A", "n/a", "STRASSE", "straße", "x"]), ["n/A", "Straße", "N/a"])

    assert found.tolist() == [0, 0, 1, 1, -1]


def test_a_whole_column_of_plain_digits_needs_no_scalar_rule() -> None:
    def never(text: str) -> int:
        raise AssertionError(text)

    typed = read_whole(pa.array(["1", "020", "+3", "4.0", ""]), parser({}), never)

    assert typed.values.tolist() == [1, 20, 3, 4, 0]
    assert typed.nulls.tolist() == [False, False, False, False, True]
    assert not np.any(typed.faults)
