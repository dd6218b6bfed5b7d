"""What merging says of SKUs without a price, and of a feed that is not what it must be."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.domain.errors import ContractBrokenError
from relay_core.merge import result
from relay_core.merge.best_offer import Winners
from relay_core.merge.deferred_columns import DeferredColumns
from relay_core.merge.result import (
    merge_vendors,
    rules_broken_by,
    unpriced_warnings,
)
from relay_core.merge.row_counts import RuleEffects
from relay_core.validation.row_schemas import OFFER_SCHEMA
from support.builders import feed, tenant_config, vendor_document
from support.normalizing import normalize_vendor

SKUS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)


@given(st.lists(st.tuples(SKUS, st.booleans()), max_size=5))
def test_a_sku_without_a_price_has_the_line_that_the_encoder_writes(
    skus: list[tuple[str, bool]],
) -> None:
    columns = {
        "sku": pa.array([sku for sku, _ in skus], pa.string()),
        "is_free": pa.array([free for _, free in skus], pa.bool_()),
    }
    winners = Winners(
        OFFER_SCHEMA.empty_table(),
        pa.table(columns),
        DeferredColumns((), {}),
        RuleEffects(),
    )

    reason = {
        True: "has a price of 0.00, so it is left out of the feed. Set pricing.min_price.",
        False: "has no offer with a cost or a price, so it is left out of the feed. Ask the "
        "vendor for its cost.",
    }
    assert [entry.as_json() for entry in unpriced_warnings(winners, 3)] == [
        json.dumps(
            {
                "error_code": "UNPRICED_SKU",
                "error_message": f"SKU {sku!r} {reason[free]}",
                "sku": sku,
            },
            ensure_ascii=False,
        )
        for sku, free in skus[:3]
    ]


@pytest.mark.parametrize(
    ("rows", "remedy"),
    [
        (["A,1,0.00"], "never published. Set pricing.min_price."),
        (["A,1,"], "never published. Map a cost or a price column."),
        (
            ["A,1,", "B,1,0"],
            "Map a cost or a price column, or set pricing.min_price.",
        ),
    ],
    ids=["all come to nothing", "none has an amount", "both"],
)
def test_an_empty_output_says_what_helps(rows: list[str], remedy: str) -> None:
    config = tenant_config(vendor_document("v"))
    vendor = normalize_vendor(config, config.vendors[0], feed(*rows))

    merged = merge_vendors(config, [vendor])

    assert merged.failure is not None
    assert merged.failure.error_message.endswith(remedy)


def priced_feed(*skus: str) -> pa.Table:
    config = tenant_config(vendor_document("v"))
    vendor = normalize_vendor(
        config, config.vendors[0], feed(*(f"{sku},1,2" for sku in skus))
    )
    merged_feed = merge_vendors(config, [vendor]).feed
    assert merged_feed is not None
    return merged_feed


@pytest.mark.parametrize("gate_rows", [2, 1000])
def test_a_sku_that_stands_twice_breaks_the_contract_wherever_it_stands(
    gate_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result, "VALIDATED_ROWS", gate_rows)
    rows = priced_feed("A", "B", "C", "D")
    twice = pa.concat_tables([rows.slice(0, 2), rows.slice(1)])

    (broken,) = rules_broken_by(twice)

    assert rules_broken_by(rows) == ()
    assert (broken.column, broken.rule) == ("sku", "field_uniqueness")
    assert set(broken.rows) == {1, 2}


def test_a_feed_without_its_columns_is_a_defect() -> None:
    with pytest.raises((ContractBrokenError, KeyError)):
        rules_broken_by(priced_feed("A").drop_columns("price"))
