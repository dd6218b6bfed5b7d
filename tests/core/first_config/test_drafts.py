"""Drafts of vendors: their IDs, and the headers that their SKUs may have."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.domain.limits import DEFAULT_LIMITS
from relay_core.first_config.drafts import (
    VendorDraft,
    draft_of,
    vendor_ids,
    with_sku,
)
from relay_core.mapped_files import InputFile


def draft(data: bytes, name: str = "list.csv") -> VendorDraft:
    file = InputFile(name, data)
    return draft_of("list", file, name, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["acme.csv"], ["acme"]),
        (["acme.2026-03.csv.gz"], ["acme"]),
        (["Price List (new).xlsx"], ["Price_List__new_"]),
        (["acme.csv", "acme.xlsx", "acme"], ["acme", "acme_2", "acme_3"]),
        (["a_2.csv", "a.csv", "a.xml"], ["a_2", "a", "a_3"]),
        (["Größe.csv", ".hidden", "-x.csv"], ["Gr__e", "vendor", "x"]),
        (["x" * 70, "x" * 80], ["x" * 64, "x" * 62 + "_2"]),
    ],
)
def test_a_vendor_is_named_after_its_file(
    names: list[str], ids: list[str]
) -> None:
    assert vendor_ids(names) == ids


@given(st.lists(st.text(max_size=80), max_size=6))
def test_ids_are_valid_and_differ(names: list[str]) -> None:
    ids = vendor_ids(names)
    assert len(set(ids)) == len(names)
    for vendor_id in ids:
        assert re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,63}", vendor_id)


def test_the_header_of_the_check_s_proposal_comes_first() -> None:
    vendor_draft = draft(b"Item No,EAN,Qty,Cost\nA1,11,5,2.50\nB2,22,7,3.10\n")
    assert vendor_draft.sku_header == "Item No"
    assert vendor_draft.sku_candidates[0].header == "Item No"
    assert vendor_draft.parser["column_map"]["sku"] == "Item No"


def test_a_header_named_sku_needs_no_map_and_is_the_likeliest() -> None:
    vendor_draft = draft(b"sku,quantity_available,cost\nA1,5,2.50\nB2,7,3.10\n")
    assert (vendor_draft.sku_header, vendor_draft.parser) == (
        "sku",
        {"format": "csv"},
    )
    assert [
        sku_candidate.header for sku_candidate in vendor_draft.sku_candidates
    ] == ["sku"]
    chosen = with_sku(vendor_draft, "cost")
    assert chosen.parser["column_map"] == {"sku": "cost"}
    assert chosen.is_chosen


@pytest.mark.parametrize(
    ("header", "cell", "currencies"),
    [
        ("Cost", "2.50", []),
        ("Cost", "2.50 EUR", ["EUR"]),
        ("Price (GBP)", "2.50", ["GBP"]),
        ("Cost €", "2.50", ["EUR"]),
        ("Cost EUR", "2.50 CHF", ["CHF"]),
        ("EUROCOST", "2.50", []),
    ],
)
def test_a_currency_is_seen_beside_amounts_and_else_in_their_header(
    header: str, cell: str, currencies: list[str]
) -> None:
    data = f"sku;qty;{header}\nA1;5;{cell}\nB2;7;{cell}\n"
    assert list(draft(data.encode()).currencies) == currencies


def test_a_file_over_the_limit_is_not_checked() -> None:
    limits = DEFAULT_LIMITS.__class__(feed_bytes=9)
    file = InputFile("list.csv", b"sku,quantity_available\n")
    large = draft_of("list", file, "list.csv", limits)
    assert large.is_refused
    assert "but the limit is 9" in str(large.result)
