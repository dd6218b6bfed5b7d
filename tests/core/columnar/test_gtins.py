"""Columns of GTINs against the rule of one cell, which is written a second time."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from relay_core.columnar.gtins import (
    are_gtins,
    are_own,
    keys_of,
    read_gtins,
)
from relay_core.domain.gtins import is_own, read_gtin
from relay_core.validation.contracts import PRODUCT_NUMBER_SCHEMA, rejected


def with_check_digit(digits: str) -> str:
    """Return digits with the check digit behind them, as GS1 describes it."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        total += int(digit) * (3 if place % 2 == 0 else 1)
    return f"{digits}{-total % 10}"


def cells_of(seed: int) -> tuple[list[str], list[bool]]:
    rng = random.Random(seed)
    cells = []
    numbers = []
    for _ in range(2000):
        length = rng.choice([6, 7, 8, 9, 10, 11, 12, 13, 14])
        digits = rng.choices("00000123456789", k=length)
        cell = with_check_digit("".join(digits))
        if rng.random() < 0.2:
            place = rng.randrange(len(cell))
            cell = f"{cell[:place]}{rng.choice(' -x٦')}{cell[place:]}".strip()
        if rng.random() < 0.1:
            cell = f"{cell[:-1]}{rng.randrange(10)}"
        if rng.random() < 0.05:
            cell = rng.choice(["", "-", "0" * 8, "0" * 13])
        cells.append(cell)
        numbers.append(rng.random() < 0.3)
    return cells, numbers


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("has_numbers", [False, True])
def test_a_column_is_read_as_each_of_its_cells(
    seed: int, has_numbers: bool
) -> None:
    cells, numbers = cells_of(seed)
    mask = np.array(numbers) if has_numbers else None
    column = read_gtins(pa.array(cells, pa.string()), mask)
    for row, cell in enumerate(cells):
        is_number = has_numbers and numbers[row]
        gtin = read_gtin(cell, is_number=is_number) if cell else ""
        assert bool(column.is_invalid[row]) is (gtin is None)
        assert column.text[row].as_py() == (cell if gtin is None else gtin)


@pytest.mark.parametrize("seed", range(3))
def test_the_contract_takes_what_is_written_as_a_gtin(seed: int) -> None:
    cells, _ = cells_of(seed)
    column = pa.array([cell or None for cell in cells], pa.string())
    mask = rejected(
        pa.chunked_array([column]),
        PRODUCT_NUMBER_SCHEMA.columns["gtin"],
    )
    is_gtin = are_gtins(pa.array(cells, pa.string()))
    is_null = np.array([not cell for cell in cells])
    assert (mask == ~(is_gtin | is_null)).all()
    assert is_gtin.tolist() == [read_gtin(cell) == cell for cell in cells]


@pytest.mark.parametrize("seed", range(3))
def test_keys_are_compared_as_numbers(seed: int) -> None:
    cells, _ = cells_of(seed)
    texts = [read_gtin(cell) or "" for cell in cells]
    keys = keys_of(pa.array(texts, pa.string()))
    assert keys.tolist() == [int(text) if text else -1 for text in texts]
    has_gtin = keys >= 0
    is_own_key = are_own(keys[has_gtin])
    assert is_own_key.tolist() == [is_own(text) for text in texts if text]


def test_keys_of_other_texts_are_of_none() -> None:
    column = pa.array(["4006381333931", "x1", "", "12"], pa.string())
    assert keys_of(column).tolist() == [4006381333931, -1, -1, -1]


@pytest.mark.parametrize(
    ("digits", "own"),
    [
        ("400638133393", False),
        ("200000000001", True),
        ("212345678901", True),
        ("020000000001", True),
        ("040000000001", True),
        ("050000000001", True),
        ("980000000001", True),
        ("990000000001", True),
        ("970000000001", False),
        ("030000000001", False),
        ("1020000000001", True),
        ("1200000000001", True),
        ("2400000000001", False),
        ("7351353", False),
        ("0123456", True),
        ("2123456", True),
        ("4123456", False),
    ],
)
def test_numbers_of_shops_and_coupons(digits: str, own: bool) -> None:
    gtin = read_gtin(with_check_digit(digits))
    assert gtin is not None
    assert is_own(gtin) is own
    assert are_own(np.array([int(gtin)])).tolist() == [own]
