"""A vendor's rows to its offers: duplicates, then stock."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from relay_core.config import StockConfig
from relay_core.merge.best_offer import Merge
from relay_core.merge.vendor_offers import in_stock, units, without_duplicates
from support.builders import tenant_config, vendor_document

MOST = 2_147_483_647


def rows(*given: tuple[str, int]) -> pa.Table:
    skus, quantities = zip(*given, strict=True) if given else ((), ())
    return pa.table(
        {
            "sku": pa.array(skus, pa.string()),
            "quantity_available": pa.array(quantities, pa.int32()),
            "row_number": pa.array(range(2, 2 + len(given)), pa.int64()),
        }
    )


def made(policy: str, *given: tuple[str, int]) -> list[tuple[Any, ...]]:
    config = tenant_config(vendor_document("v", duplicate_skus=policy))
    kept_rows, set_aside = without_duplicates(config.vendors[0], rows(*given))
    assert len(kept_rows) + set_aside.sum() == len(given)
    return list(zip(*kept_rows.to_pydict().values(), strict=True))


ROWS = (("A", 1), ("A", 2), ("A", MOST), ("B", 4), ("C", 0), ("C", 3))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("first", [("A", 1, 2), ("B", 4, 5), ("C", 0, 6)]),
        ("last", [("A", MOST, 4), ("B", 4, 5), ("C", 3, 7)]),
        ("sum", [("A", MOST, 2), ("B", 4, 5), ("C", 3, 6)]),
    ],
)
def test_rows_of_one_sku_make_one_offer(
    policy: str, expected: list[tuple[Any, ...]]
) -> None:
    assert made(policy, *ROWS) == expected


@pytest.mark.parametrize("policy", ["first", "last", "sum"])
@pytest.mark.parametrize(
    "given", [(), (("A", 1),), (("A", 1), ("B", 1), ("a", 1))], ids=len
)
def test_rows_of_their_own_stay(policy: str, given: Any) -> None:
    assert [row[:2] for row in made(policy, *given)] == list(given)


@pytest.mark.parametrize("policy", ["compete", "refuse"])
def test_each_row_is_an_offer_where_nothing_else_is_said(policy: str) -> None:
    assert [row[:2] for row in made(policy, *ROWS)] == list(ROWS)


@pytest.mark.parametrize(
    ("stock", "expected"),
    [
        ({"hold_back": 2}, [0, 0, 0, 1, 8, MOST - 2]),
        ({"pct": 50}, [0, 0, 1, 1, 5, MOST // 2]),
        ({"pct": 0}, [0] * 6),
        ({"zero_below": 3}, [0, 0, 0, 3, 10, MOST]),
        ({"cap": 4}, [0, 1, 2, 3, 4, 4]),
        (
            {"hold_back": 1, "pct": 90, "zero_below": 2, "cap": 7},
            [0, 0, 0, 0, 7, 7],
        ),
        ({"zero_below": 5, "cap": 2}, [0, 0, 0, 0, 2, 2]),
        ({"hold_back": MOST, "zero_below": MOST, "cap": MOST}, [0] * 6),
    ],
    ids=str,
)
def test_stock_is_taken_in_its_order(
    stock: dict[str, int], expected: list[int]
) -> None:
    offers = rows(*(("A", quantity) for quantity in (0, 1, 2, 3, 10, MOST)))
    remaining = in_stock(StockConfig(**stock), offers)
    assert remaining["quantity_available"].to_pylist() == expected
    assert units(remaining) == sum(expected)
    assert remaining.schema == offers.schema


def test_without_stock_offers_are_as_they_are() -> None:
    offers = rows(("A", 1))
    assert in_stock(StockConfig(), offers) is offers
    assert units(rows()) == 0


def test_a_vendors_stock_stands_in_for_the_tenants_as_a_whole() -> None:
    vendors = (vendor_document("a", stock={"cap": 5}), vendor_document("b"))
    merge = Merge.of(tenant_config(*vendors, stock={"hold_back": 2}))
    ten = pa.table({"quantity_available": pa.array([10], pa.int32())})

    assert [units(merge.offers_of(name, ten)) for name in ("a", "b")] == [5, 8]
