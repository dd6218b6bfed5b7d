"""Each rule of the canonical and of the merged contract refuses the row that breaks it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pandera.pandas as pa_schema
import pyarrow as pa
import pytest

from relay_core.columnar.columns import UNREADABLE
from relay_core.domain.errors import ContractBrokenError
from relay_core.validation.gate import broken_rules, rows_that_break
from relay_core.validation.schemas import (
    CANONICAL_SCHEMA,
    FIRST_INSTANT,
    LAST_INSTANT,
    MERGED_SCHEMA,
    MONEY_LIMIT,
)

ROW: dict[str, Any] = {
    "sku": "A",
    "quantity_available": 1,
    "lead_time_days": 7,
    "cost": 10_000,
    "map_price": 0,
    "price": MONEY_LIMIT - 1,
    "msrp": 1,
    "condition": "used",
    "updated_at": 0,
}
NULLS = {"lead_time_days": None, "cost": None, "map_price": None, "price": None, "msrp": None}
BREAKING = [
    ("sku", ""),
    ("sku", None),
    ("condition", "broken"),
    ("condition", None),
    ("updated_at", None),
    ("updated_at", FIRST_INSTANT - 1),
    ("updated_at", LAST_INSTANT + 1),
    ("quantity_available", None),
    *((column, 2**31) for column in ("quantity_available", "lead_time_days")),
    *((column, MONEY_LIMIT) for column in ("cost", "map_price", "price", "msrp")),
    *((column, -1) for column in ROW if column not in ("sku", "condition", "updated_at")),
    *((column, int(UNREADABLE)) for column in ROW if column not in ("sku", "condition")),
]


def frame(schema: pa_schema.DataFrameSchema, *rows: dict[str, Any]) -> pd.DataFrame:
    columns = {
        name: pa.array(
            [row[name] for row in rows],
            pa.string() if name in ("sku", "condition") else pa.int64(),
        )
        for name in schema.columns
    }
    return pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)


@pytest.mark.parametrize(("column", "value"), BREAKING)
def test_the_canonical_schema_refuses(column: str, value: Any) -> None:
    made = frame(CANONICAL_SCHEMA, ROW, {**ROW, column: value}, ROW)

    assert rows_that_break(CANONICAL_SCHEMA, made).tolist() == [False, True, False]
    assert {rule.column for rule in broken_rules(CANONICAL_SCHEMA, made)} == {column}


def test_the_canonical_schema_lets_optional_cells_be_null() -> None:
    made = frame(CANONICAL_SCHEMA, {**ROW, **NULLS, "condition": ""})

    assert broken_rules(CANONICAL_SCHEMA, made) == []


@pytest.mark.parametrize("column", NULLS)
def test_a_null_beside_a_value_that_is_refused_holds(column: str) -> None:
    rows = [{**ROW, column: None}, {**ROW, column: -1}, ROW, {**ROW, column: None}]
    made = frame(CANONICAL_SCHEMA, *rows)

    assert rows_that_break(CANONICAL_SCHEMA, made).tolist() == [False, True, False, False]
    assert [(rule.column, rule.rows) for rule in broken_rules(CANONICAL_SCHEMA, made)] == [
        (column, [1])
    ]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("sku", ""),
        ("quantity_available", -1),
        ("quantity_available", 2**31),
        ("lead_time_days", None),
        ("lead_time_days", -1),
        ("lead_time_days", 2**31),
        ("price", 0),
        ("price", None),
        ("condition", "broken"),
        ("updated_at", FIRST_INSTANT - 1),
        ("updated_at", LAST_INSTANT + 1),
    ],
)
def test_the_merged_schema_refuses(column: str, value: Any) -> None:
    made = frame(MERGED_SCHEMA, ROW, {**ROW, column: value})

    assert rows_that_break(MERGED_SCHEMA, made).tolist() == [False, True]


def test_a_frame_of_another_shape_is_a_defect_and_not_a_bad_row() -> None:
    made = frame(CANONICAL_SCHEMA, ROW).drop(columns="cost")

    with pytest.raises(ContractBrokenError, match="cost"):
        broken_rules(CANONICAL_SCHEMA, made)
