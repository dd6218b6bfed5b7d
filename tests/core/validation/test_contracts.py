"""What is refused is what the contracts refuse: take a rule out, and a bad row gets through."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandera.pandas as pandera
import pyarrow as pa
import pytest
import yaml

from relay_core.columnar.numbers import AMOUNT
from relay_core.domain.columns import COLUMNS, Kind
from relay_core.domain.errors import ContractBrokenError
from relay_core.normalize.result import NormalizedVendor
from relay_core.validation import contracts
from relay_core.validation.contracts import CANONICAL_SCHEMA, MERGED_SCHEMA
from relay_core.validation.row_checks import (
    broken_rules,
    check_offers,
    rejected_cells,
)
from relay_core.validation.row_schemas import (
    CENTS,
    FEED_ROW_RULES,
    FIRST_INSTANT,
    INSTANT,
    LAST_INSTANT,
    OFFER_RULES,
    OFFER_SCHEMA,
    VENDOR,
    ColumnRule,
)
from support.builders import feed, tenant_config, vendor_document
from support.normalizing import normalize_vendor

HEADER = "sku,quantity_available,lead_time_days,cost,map_price,price,msrp,condition,updated_at"
GOOD = "A,1,2,3,4,5,6,new,2024-01-01"
BAD_CELLS = {
    "sku": " ",
    "quantity_available": "x",
    "lead_time_days": "-1",
    "cost": "x",
    "map_price": "1000000000",
    "price": "-0.01",
    "msrp": "1,5",
    "condition": "mint",
    "updated_at": "yesterday",
}
MISSING = {"sku": " ", "quantity_available": ""}
"""Cells that come to null where the contract admits none."""
LAX = {"max_invalid_rows": 9, "max_invalid_row_pct": "1"}
CONFIG = tenant_config(vendor_document("v"), error_policy=LAX)
ARROW_TYPES = {
    Kind.TEXT: pa.string(),
    Kind.CONDITION: pa.string(),
    Kind.WHOLE: pa.int32(),
    Kind.MONEY: AMOUNT,
    Kind.INSTANT: INSTANT,
}


def test_the_canonical_contract_has_the_columns_of_the_registry_in_their_types() -> (
    None
):
    expected = {c.name: ARROW_TYPES[c.kind] for c in COLUMNS if c.from_feed}

    assert dict(zip(OFFER_SCHEMA.names, OFFER_SCHEMA.types, strict=True)) == {
        **expected,
        "row_number": pa.int64(),
    }
    required = [c.name for c in COLUMNS if c.required]
    not_null = [
        name
        for name, column in CANONICAL_SCHEMA.columns.items()
        if not column.nullable
    ]
    assert not_null == [*required, "updated_at", "row_number"]


def test_the_contracts_say_all_of_themselves_in_yaml() -> None:
    canonical, merged = (
        yaml.safe_load(s.to_yaml()) for s in (CANONICAL_SCHEMA, MERGED_SCHEMA)
    )

    assert canonical["columns"]["cost"] == {
        "dtype": "decimal64(13, 4)[pyarrow]",
        "nullable": True,
        "greater_than_or_equal_to": 0,
    }
    assert canonical["columns"]["condition"]["isin"] == [
        "new",
        "used",
        "refurb",
    ]
    assert canonical["columns"]["updated_at"] == {
        "dtype": "timestamp[us, tz=UTC][pyarrow]",
        "greater_than_or_equal_to": FIRST_INSTANT,
        "less_than": LAST_INSTANT,
    }
    assert (canonical["strict"], canonical["ordered"]) == (True, True)
    assert merged["columns"]["sku"] == {"dtype": "arrow_string", "unique": True}
    assert merged["columns"]["price"]["greater_than"] == 0


def rules_of(schema: pandera.DataFrameSchema) -> list[ColumnRule]:
    """Return the rules of a contract as plain data."""
    rules = []
    for name, column in schema.columns.items():
        kind = column.dtype.type.pyarrow_dtype
        limits = {}
        for check in column.checks:
            if check.name == "isin":
                limits["words"] = tuple(check.statistics["allowed_values"])
                continue
            (limit,) = check.statistics.values()
            stored = whole(limit, kind)
            steps = {
                "greater_than": ("least", 1),
                "less_than": ("greatest", -1),
            }
            side, step = steps.get(check.name, ("least", 0))
            limits[side] = stored + step
        rules.append(
            ColumnRule(
                name, kind, column.nullable, bool(column.unique), **limits
            )
        )
    return rules


def whole(limit: Any, kind: pa.DataType) -> int:
    """Return a limit as a cell of a type stores it."""
    if pa.types.is_decimal(kind):
        return int(Decimal(limit).scaleb(kind.scale))
    if pa.types.is_timestamp(kind):
        return (limit - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
            microseconds=1
        )
    return int(limit)


def test_the_rules_as_plain_data_are_those_of_the_contracts() -> None:
    assert rules_of(CANONICAL_SCHEMA) == list(OFFER_RULES)
    assert rules_of(MERGED_SCHEMA) == list(FEED_ROW_RULES)


# --- mutations ----------------------------------------------------------------------------------


def bad_row(column: str) -> str:
    cells = dict(zip(HEADER.split(","), GOOD.split(","), strict=True)) | {
        column: BAD_CELLS[column]
    }
    return ",".join(
        f'"{cell}"' if "," in cell else cell for cell in cells.values()
    )


def normalized(
    *rows: str, requested_at: datetime | None = None
) -> NormalizedVendor:
    options = {} if requested_at is None else {"requested_at": requested_at}
    return normalize_vendor(
        CONFIG, CONFIG.vendors[0], feed(*rows, header=HEADER), **options
    )


def mutants(schema: pandera.DataFrameSchema) -> list[Any]:
    """Return the schema once without each of its rules."""
    cases = []
    for name, column in schema.columns.items():
        for place, check in enumerate(column.checks):
            mutant = deepcopy(schema)
            del mutant.columns[name].checks[place]
            cases.append(
                pytest.param(name, mutant, id=f"{name} without {check.name}")
            )
        if name in MISSING:
            mutant = deepcopy(schema)
            mutant.columns[name].properties["nullable"] = True
            mutant.columns[name].__dict__.update(nullable=True)
            cases.append(pytest.param(name, mutant, id=f"{name} nullable"))
    return cases


@pytest.mark.parametrize("column", BAD_CELLS)
def test_the_contract_refuses_each_bad_cell(column: str) -> None:
    vendor = normalized(GOOD, bad_row(column), GOOD)

    assert (vendor.total_rows, vendor.invalid_rows) == (3, 1)
    assert vendor.rejected_rows["row_number"].to_pylist() == [3]


@pytest.mark.parametrize(("column", "mutant"), mutants(CANONICAL_SCHEMA))
def test_without_a_rule_a_bad_row_gets_through(
    column: str,
    mutant: pandera.DataFrameSchema,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nullable = {name: c.nullable for name, c in mutant.columns.items()}
    lost_null = (
        nullable[column] and not CANONICAL_SCHEMA.columns[column].nullable
    )
    lost = {check.name for check in CANONICAL_SCHEMA.columns[column].checks} - {
        check.name for check in mutant.columns[column].checks
    }
    rows = [GOOD, bad_row(column)]
    requested_at = None
    if lost_null:
        cells = dict(zip(HEADER.split(","), GOOD.split(","), strict=True))
        rows = [GOOD, ",".join((cells | {column: MISSING[column]}).values())]
    if lost == {"less_than"}:
        requested_at = LAST_INSTANT
        rows = [GOOD, GOOD.replace("2024-01-01", "")]
    before = normalized(*rows, requested_at=requested_at).invalid_rows

    monkeypatch.setattr(contracts, "CANONICAL_SCHEMA", mutant)
    after = normalized(*rows, requested_at=requested_at)

    assert (before, after.invalid_rows, len(after.offers)) == (1, 0, 2)


# --- the merged contract ------------------------------------------------------------------------

FEED_ROW: dict[str, Any] = {
    "sku": "A",
    "vendor_id": "v",
    "quantity_available": 1,
    "lead_time_days": 7,
    "price": Decimal("0.01"),
    "condition": "used",
    "updated_at": datetime(2024, 1, 1, tzinfo=UTC),
}
FEED_TYPES = {
    "sku": pa.string(),
    "vendor_id": VENDOR,
    "quantity_available": pa.int32(),
    "lead_time_days": pa.int32(),
    "price": CENTS,
    "condition": pa.string(),
    "updated_at": INSTANT,
}
BREAKING = [
    ("sku", None),
    ("sku", "B"),
    ("vendor_id", None),
    ("quantity_available", None),
    ("quantity_available", -1),
    ("lead_time_days", None),
    ("lead_time_days", -1),
    ("price", Decimal("0.00")),
    ("price", None),
    ("condition", "broken"),
    ("updated_at", FIRST_INSTANT - timedelta(microseconds=1)),
    ("updated_at", LAST_INSTANT),
]


def feed_rows(*rows: Mapping[str, Any]) -> pa.Table:
    columns = {
        name: pa.array([row[name] for row in rows], FEED_TYPES[name])
        for name in FEED_ROW
    }
    return pa.table(columns)


@pytest.mark.parametrize(("column", "value"), BREAKING)
def test_the_merged_contract_refuses(column: str, value: Any) -> None:
    rows = feed_rows(
        FEED_ROW,
        {**FEED_ROW, "sku": "B"},
        {**FEED_ROW, "sku": "C", column: value},
    )

    broken = broken_rules(rows)

    assert {rule.column for rule in broken} == {column}
    assert 2 in {row for rule in broken for row in rule.rows}


def test_the_merged_contract_admits_what_it_should() -> None:
    rows = feed_rows(FEED_ROW, {**FEED_ROW, "sku": "B", "condition": None})

    assert broken_rules(rows) == []


# --- the gate itself ----------------------------------------------------------------------------


def offers(**columns: Any) -> pa.Table:
    size = len(next(iter(columns.values())))
    whole = {
        "sku": ["A"] * size,
        "quantity_available": [1] * size,
        "updated_at": [datetime(2024, 1, 1, tzinfo=UTC)] * size,
        "row_number": list(range(size)),
    } | columns
    arrays = [
        pa.array(whole.get(f.name, [None] * size), f.type) for f in OFFER_SCHEMA
    ]
    return pa.table(arrays, schema=OFFER_SCHEMA)


@pytest.mark.parametrize(
    "suspect", [[False] * 4, [True] * 4, [False, True, False, False]]
)
def test_what_is_refused_does_not_hang_on_what_was_doubted(
    suspect: list[bool],
) -> None:
    rows = offers(
        quantity_available=[0, -1, 5, None],
        cost=[Decimal(1), None, Decimal(-1), Decimal(0)],
        condition=[None, "new", "old", "used"],
    )

    rejected = rejected_cells(rows, np.array(suspect))

    assert {name: cells.tolist() for name, cells in rejected.items()} == {
        "quantity_available": [False, True, False, True],
        "cost": [False, False, True, False],
        "condition": [False, False, True, False],
    }


def test_rows_of_another_shape_are_a_defect_and_no_bad_rows() -> None:
    place = OFFER_SCHEMA.get_field_index("cost")

    with pytest.raises(ContractBrokenError, match="cost"):
        check_offers(OFFER_SCHEMA.remove(place))
    with pytest.raises(ContractBrokenError, match="cost"):
        check_offers(OFFER_SCHEMA.set(place, pa.field("cost", pa.float64())))


def test_rows_that_keep_all_rules_need_no_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def verdict(*_: object) -> None:
        raise AssertionError("the contract was asked")

    monkeypatch.setattr(contracts, "rejected", verdict)
    monkeypatch.setattr(contracts, "broken_rules", verdict)
    whole_rows = offers(condition=[None, "new"], cost=[Decimal(0), None])

    assert rejected_cells(whole_rows, np.array([False, True])) == {}
    assert broken_rules(feed_rows(FEED_ROW, {**FEED_ROW, "sku": "B"})) == []
