"""Columns of packed rows: every cell, every null, and the room for texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from relay_core.columnar.arrays import RowIndex, WholeNumbers
from relay_core.kernel import compiled
from relay_core.kernel.row_columns import (
    ColumnSizes,
    gathered_columns,
    with_empty_texts,
)
from relay_core.validation.row_schemas import OFFER_SCHEMA
from support.kernel import needs_kernel

if TYPE_CHECKING:
    from relay_core.kernel.scan import RowReader

pytestmark = needs_kernel
TEXTS = ("sku", "vendor_sku", "brand", "title")
LONG = "a very long title " * 20
# The texts of each row, and its numbers in the order of `NUMBERS`
ROWS: Sequence[tuple[Sequence[str], Sequence[int]]] = (
    (("A", "", "Bolt", "x" * 16), (5, 2, 12_500, -1, -1, 1, 0, 1)),
    (("B", "", "", LONG), (0, -1, -1, 0, -1, -1, -1, 0)),
    (
        ("C" * 255, "", "é", ""),
        (2**31 - 1, 0, 10**13 - 1, -1, -1, 7, 10**15, 3),
    ),
    (("D", "", "Nut", "x" * 15), (7, 9, -1, -1, -1, -1, 1, 2)),
)
CELLS: Mapping[str, Sequence[Any]] = {
    "sku": ["A", "B", "C" * 255, "D"],
    "quantity_available": [5, 0, 2**31 - 1, 7],
    "lead_time_days": [2, None, 0, 9],
    "cost": [Decimal("1.25"), None, Decimal("999999999.9999"), None],
    "map_price": [None, Decimal(0), None, None],
    "msrp": [Decimal("0.0001"), None, Decimal("0.0007"), None],
    "condition": ["new", None, "refurb", "used"],
    "brand": ["Bolt", None, "é", "Nut"],
    "title": ["x" * 16, LONG, None, "x" * 15],
    "updated_at": [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC),
        datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    ],
}
"""The columns that have a cell: the prices and the vendor's SKUs are all null."""
NO_CELLS = [None] * len(ROWS)
FIELDS = [column for column in OFFER_SCHEMA if column.name != "row_number"]


def packed() -> tuple[RowReader, WholeNumbers]:
    """Return a reader of `ROWS`, and the place of each row."""
    numbers = np.array([row for _, row in ROWS], np.int64).T.copy()
    cells = [[row[place].encode() for row, _ in ROWS] for place in range(4)]
    lengths = np.array([[len(cell) for cell in column] for column in cells])
    starts = np.cumsum(lengths).reshape(lengths.shape) - lengths
    data = np.frombuffer(b"".join(map(b"".join, cells)), np.uint8)
    head_room = compiled.scan.head_room(len(TEXTS))
    rows = np.empty(len(data) + 5 * head_room, np.uint8)
    places = np.empty(len(ROWS), np.int64)
    compiled.scan.pack_rows(numbers, starts, lengths, data, rows, places)
    return compiled.scan.RowReader([rows], len(TEXTS)), places


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2, 1], [2], []])
def test_columns_have_every_cell_of_the_rows(order: list[int]) -> None:
    reader, places = packed()
    rows: RowIndex = np.array(order, np.int64)
    sizes = ColumnSizes.measured(reader, places[rows], TEXTS)

    columns = gathered_columns(reader, places[rows], FIELDS, sizes, TEXTS)

    assert columns is not None
    for column in FIELDS:
        cells = CELLS.get(column.name, NO_CELLS)
        expected = [cells[row] for row in order]
        if not any(cell is not None for cell in expected):
            assert column.name not in columns
            continue
        array = columns[column.name]
        array.validate(full=True)
        assert array.type == column.type
        assert array.to_pylist() == expected
        assert array.null_count == expected.count(None)


def test_a_null_can_be_read_as_an_empty_text() -> None:
    reader, places = packed()
    sizes = ColumnSizes.measured(reader, places, TEXTS)
    fields = [pa.field("brand", pa.string())]

    columns = gathered_columns(reader, places, fields, sizes, TEXTS)

    assert columns is not None
    texts = with_empty_texts(columns["brand"])
    assert texts.to_pylist() == ["Bolt", "", "é", "Nut"]


def test_sizes_are_bytes_of_texts_and_counts_of_numbers() -> None:
    reader, places = packed()

    sizes = ColumnSizes.measured(reader, places, TEXTS)

    assert sizes.by_name == {
        "quantity_available": 4,
        "lead_time_days": 3,
        "cost": 2,
        "map_price": 1,
        "price": 0,
        "msrp": 2,
        "updated_at": 4,
        "condition": len("newrefurbused"),
        "sku": 258,
        "vendor_sku": 0,
        "brand": len("BoltNut") + 2,
        "title": 31 + len(LONG),
    }
    assert sizes.largest_text(FIELDS) == 31 + len(LONG)


def test_rows_with_longer_texts_than_others_need_sizes_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("relay_core.kernel.row_columns.SPARE_ROOM", 0)
    reader, places = packed()
    sizes = ColumnSizes.measured(reader, places, TEXTS).of_some(1)
    titles = [pa.field("title", pa.string())]

    short_row = gathered_columns(reader, places[:1], titles, sizes, TEXTS)
    long_row = gathered_columns(reader, places[1:2], titles, sizes, TEXTS)

    assert short_row is not None
    assert short_row["title"].to_pylist() == ["x" * 16]
    assert long_row is None


def test_a_column_with_a_cell_is_never_taken_for_an_empty_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("relay_core.kernel.row_columns.SPARE_ROOM", 0)
    sizes = ColumnSizes(1_000, {"cost": 1, "msrp": 0})

    assert sizes.of_some(1).by_name == {"cost": 1, "msrp": 0}
    assert sizes.of_some(1_000) is sizes


def test_a_row_or_an_array_that_is_too_short_is_an_error() -> None:
    reader, places = packed()
    values = np.zeros(4, np.int32)
    bounds = np.zeros(5, np.int32)
    data = np.zeros(600, np.uint8)
    bits = np.zeros(1, np.uint8)

    with pytest.raises(IndexError):
        reader.gather(places + 100_000, [(0, values, bits)], [])
    with pytest.raises(IndexError):
        reader.gather(places, [(0, values[:3], bits)], [])
    with pytest.raises(IndexError):
        reader.gather(places, [(8, values, bits)], [])
    with pytest.raises(IndexError):
        reader.gather(places, [(0, values, bits[:0])], [])
    with pytest.raises(IndexError):
        reader.gather(places, [], [(0, bounds[:4], data, bits)])
    with pytest.raises(IndexError):
        reader.gather(places, [], [(5, bounds, data, bits)])
    with pytest.raises(IndexError):
        reader.gather(places, [], [(1, bounds, data, bits)] * 2)
