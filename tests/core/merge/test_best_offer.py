"""One winner a SKU: criterion by criterion, then vendor and record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasty_tenants import SORT_RULES
from relay_core.config import TenantConfig
from relay_core.domain.codes import VendorStatus
from relay_core.merge import best_offer
from relay_core.merge.best_offer import merge_offers
from relay_core.merge.criteria import criteria_of
from relay_core.normalize.result import NormalizedVendor, OfferTable
from relay_core.validation.row_schemas import OFFER_SCHEMA
from support.builders import tenant_config, vendor_document


class Offer(NamedTuple):
    """A vendor's row; an amount is in ten-thousandths."""

    vendor_id: str
    row_number: int
    sku: str
    quantity: int
    lead_time: int | None
    cost: int | None
    price: int | None
    updated_at: int


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
VENDORS = ("zeta", "alpha", "Mid")
AMOUNTS = st.sampled_from([None, 0, 1, 10_000, 10_001, 10**13 - 1])
ROWS = st.tuples(
    st.sampled_from(VENDORS),
    st.sampled_from(
        ["A", "a", "A\x00", "AB", "\u00e9", "\uffff", "\U0001f600"]
    ),
    st.sampled_from([0, 1, 2, 2**31 - 1]),
    st.sampled_from([None, 0, 3, 4]),
    AMOUNTS,
    AMOUNTS,
    st.sampled_from([0, 1, -1, 4 * 10**15]),
)


@given(
    rows=st.lists(ROWS, min_size=1, max_size=30),
    rules=st.lists(st.sampled_from(SORT_RULES), unique=True),
    vendors=st.permutations(VENDORS),
    range_rows=st.integers(1, 40),
)
def test_every_winner_is_that_of_the_rules_written_down(
    rows: list[tuple[Any, ...]],
    rules: list[str],
    vendors: list[str],
    range_rows: int,
) -> None:
    offers = [
        Offer(vendor, number, *fields)
        for number, (vendor, *fields) in enumerate(rows, 2)
    ]
    config = tenant_config(
        *map(vendor_document, vendors),
        merge={
            "strategy": "best_offer",
            "best_offer": {"sort_by": rules, "fallback_lead_time_days": 3},
        },
        pricing={"min_price": "1"},
        output={"columns": ["sku", "title", "price"]},
    )

    with mock.patch.object(best_offer, "RANGE_ROWS", range_rows):
        winners = merge_offers(
            config, [as_normalized(vendor, offers) for vendor in vendors]
        )

    expected = by_hand(config, offers)
    priced = {offer.sku: title(offer) for offer in expected if has_price(offer)}
    feed = winners.priced.select(["sku", "title"]).to_pydict()
    pairs = zip(feed["sku"], feed["title"], strict=True)
    assert list(pairs) == list(priced.items())
    assert winners.unpriced["sku"].to_pylist() == [
        o.sku for o in expected if not has_price(o)
    ]
    assert not any(winners.unpriced["is_free"].to_pylist())


def by_hand(config: TenantConfig, offers: Sequence[Offer]) -> list[Offer]:
    """Return each SKU's winner, as a person would write the rules down."""
    order = [vendor.vendor_id for vendor in config.vendors]

    def rank(offer: Offer) -> tuple[Any, ...]:
        keys = {
            "in_stock_desc": offer.quantity == 0,
            "lowest_landed_cost": (offer.cost is None, offer.cost or 0),
            "vendor_priority": order.index(offer.vendor_id),
            "shortest_lead_time": 3
            if offer.lead_time is None
            else offer.lead_time,
            "most_recent": -offer.updated_at,
            "highest_quantity": -offer.quantity,
        }
        named = [keys[rule] for rule in config.merge.best_offer.sort_by]
        return (not has_price(offer), *named, offer.vendor_id, offer.row_number)

    skus = sorted({offer.sku for offer in offers})
    return [min((o for o in offers if o.sku == sku), key=rank) for sku in skus]


def has_price(offer: Offer) -> bool:
    return offer.cost is not None or offer.price is not None


def title(offer: Offer) -> str:
    return f"{offer.vendor_id} {offer.row_number}"


def as_normalized(vendor_id: str, offers: Sequence[Offer]) -> NormalizedVendor:
    """Return a vendor's offers as they are after normalizing."""
    vendor_offers = [offer for offer in offers if offer.vendor_id == vendor_id]
    vendor_offers.sort(key=lambda offer: (offer.sku, offer.row_number))
    nothing = dict.fromkeys(OFFER_SCHEMA.names)
    rows = [
        nothing
        | {
            "sku": offer.sku,
            "title": title(offer),
            "quantity_available": offer.quantity,
            "lead_time_days": offer.lead_time,
            "cost": amount(offer.cost),
            "price": amount(offer.price),
            "updated_at": datetime(1970, 1, 1, tzinfo=UTC)
            + timedelta(microseconds=offer.updated_at),
            "row_number": offer.row_number,
        }
        for offer in vendor_offers
    ]
    table = pa.Table.from_pylist(rows, OFFER_SCHEMA)
    return NormalizedVendor(
        vendor_id,
        VendorStatus.FOUND,
        total_rows=len(vendor_offers),
        offers=OfferTable(table),
    )


def amount(ten_thousandths: int | None) -> Decimal | None:
    return (
        None if ten_thousandths is None else Decimal(ten_thousandths).scaleb(-4)
    )


def test_criteria_begin_with_who_is_left_out_and_end_where_no_two_offers_are_alike() -> (
    None
):
    names = [criterion.name for criterion in criteria_of(tenant_config())]

    assert names == [
        "override",
        "left_out",
        "duplicate_skus",
        "has_price",
        "in_stock_desc",
        "lowest_landed_cost",
        "vendor_id",
        "row_order",
    ]


@pytest.mark.parametrize(
    ("included", "expected"), [(True, [60_000, 50_000]), (False, [10_000, 0])]
)
def test_shipping_is_part_of_the_landed_cost_where_it_is_included(
    included: bool, expected: list[int]
) -> None:
    landed = {"include_shipping_handling": included}
    config = tenant_config(
        merge={"strategy": "best_offer", "best_offer": {"landed_cost": landed}},
        pricing={"shipping_handling_flat": "5"},
    )
    (criterion,) = (
        c for c in criteria_of(config) if c.name == "lowest_landed_cost"
    )
    offers = pa.table(
        {
            "cost": pa.array(
                [Decimal(1), Decimal(0)], OFFER_SCHEMA.field("cost").type
            )
        }
    )

    assert criterion.numbers(offers).tolist() == expected
