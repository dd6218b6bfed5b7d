"""Currencies, rates, extra columns and endings of a config: what they take, every fault by path."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from relay_core.config import load_config
from support.builders import config_document, tenant_config, vendor_document
from support.config_documents import faults_of


def config_of_many_faults() -> dict[str, Any]:
    """Return a config with faults in rates, currencies, and extra columns."""
    return config_document(
        vendor_document("v1", currency="GBP", shipping_handling_flat="1.00001"),
        vendor_document(
            "v2", currency="EUR", shipping_handling_flat="999999999"
        ),
        vendor_document("v3", currency="CHF"),
        vendor_document("v4", currency="eur"),
        vendor_document("v5", parser={"column_map": {"colour": "Farbe"}}),
        exchange_rates={
            "EUR": "1.0832",
            "USD": 1,
            "CHF": 0,
            "SEK": "0.123456789",
            "NOK": 1000001,
            "XX": 1,
        },
        extra_columns=[
            "colour_",
            "Shelf",
            "title",
            "availability",
            "suspect_since",
            "colour_",
            "a" * 41,
        ],
        pricing={"ending": 10},
        output={
            "columns": ["colour_", "shelf", {"column": "nothing", "as": "x"}]
        },
    )


def test_every_fault_of_them_is_named_at_once() -> None:
    faults = faults_of(config_of_many_faults())
    assert list(faults) == [
        "exchange_rates.USD",
        "exchange_rates.CHF",
        "exchange_rates.SEK",
        "exchange_rates.NOK",
        "exchange_rates.XX",
        "extra_columns.1",
        "extra_columns.2",
        "extra_columns.3",
        "extra_columns.4",
        "extra_columns.5",
        "extra_columns.6",
        "vendors.0.currency",
        "vendors.0.shipping_handling_flat",
        "vendors.1.shipping_handling_flat",
        "vendors.3.currency",
        "vendors.4.parser.column_map.colour",
        "pricing.ending",
        "output.columns.1",
        "output.columns.2.column",
    ]
    assert "exchange_rates.GBP" in faults["vendors.0.currency"]


@pytest.mark.parametrize("ending", ["-0.01", "9.991", "10", "x", True])
def test_an_ending_is_0_to_9_99_with_2_places(ending: Any) -> None:
    assert list(faults_of(config_document(pricing={"ending": ending}))) == [
        "pricing.ending"
    ]


def test_more_than_30_extra_columns_are_a_fault() -> None:
    names = [f"c{number}" for number in range(31)]
    assert list(faults_of(config_document(extra_columns=names))) == [
        "extra_columns"
    ]
    assert tenant_config(extra_columns=names[:30]).extra_columns == tuple(
        names[:30]
    )


def test_a_rate_that_nobody_uses_and_a_vendor_in_the_tenants_own_currency_are_no_faults() -> (
    None
):
    config = tenant_config(
        vendor_document(currency="USD"), exchange_rates={"EUR": "1.0832"}
    )
    assert config.rate_of(config.vendors[0]) is None


def test_a_snapshot_of_them_loads_as_the_same_config() -> None:
    config = tenant_config(
        vendor_document(
            currency="EUR",
            shipping_handling_flat="4.5",
            parser={
                "column_map": {"shelf": "Regal"},
                "defaults": {"shelf": "0"},
            },
        ),
        exchange_rates={"EUR": "1.0832"},
        extra_columns=["shelf"],
        pricing={"ending": "0.99"},
        output={"columns": ["shelf", {"column": "shelf", "as": "Shelf"}]},
    )
    assert load_config(config.to_document()) == config
    assert config.shipping_of(config.vendors[0]) == Decimal("4.8744")
