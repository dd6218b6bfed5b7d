"""The patch of a cause: what config:check would propose, where it reads the cause's samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from relay_core.config import load_config
from relay_core.config.reading.json_patch import PatchStep, apply_patch
from relay_core.domain.records import Cause
from support.builders import (
    config_document,
    feed,
    tenant_config,
    vendor_document,
)
from support.normalizing import normalize_vendor


def causes_of(*rows: str, **parser: Any) -> Sequence[Cause]:
    config = tenant_config(
        vendor_document("first"), vendor_document("acme", parser=parser)
    )
    vendor = config.vendor("acme")
    return normalize_vendor(config, vendor, feed(*rows)).causes


def patched(cause: Cause) -> dict[str, Any]:
    return {
        step["path"].rpartition("/")[2]: step["value"] for step in cause.patch
    }


STYLES: list[tuple[Sequence[str], Mapping[str, Any], dict[str, Any]]] = [
    (["12;50", "99;90"], {}, {}),
    (["12,50", "99,9"], {}, {"decimal_separator": ","}),
    (
        ["1.234,50", "99.999,90"],
        {},
        {"decimal_separator": ",", "thousands_separator": "."},
    ),
    (["1,234.50"], {}, {"thousands_separator": ","}),
    (["€ 12.50", "€ 3"], {}, {"currency_symbols": ["€"]}),
    (
        ["12.50 kr"],
        {"currency_symbols": ["€"]},
        {"currency_symbols": ["€", "kr"]},
    ),
    (["12,50"], {"defaults": {"cost": "1.50"}}, {}),
    (["1,234"], {"defaults": {}}, {}),
]


@pytest.mark.parametrize(
    ("cells", "parser", "changes"), STYLES, ids=lambda each: repr(each)
)
def test_numbers_in_another_style_have_the_patch_that_reads_them(
    cells: Sequence[str], parser: Mapping[str, Any], changes: dict[str, Any]
) -> None:
    (cause,) = causes_of(
        *(f'A,1,"{cell}"' for cell in cells), "B,2,3", **parser
    )[:1]
    assert patched(cause) == changes
    assert cause.what_to_do.startswith(
        "set parser." if changes else "correct the cell, or set"
    )


def test_a_style_that_would_refuse_numbers_that_hold_is_not_proposed() -> None:
    (cause,) = causes_of('A,1,"12,50"', *(f"B,2,{n}.50" for n in range(20)))
    assert patched(cause) == {}


def test_each_cause_has_the_changes_that_it_needs() -> None:
    causes = causes_of('A,1,"12,50"', 'B,1,"€ 3,20"', "C,few,4", ",1,4")
    assert {(each.column, each.shape): patched(each) for each in causes} == {
        ("sku", ""): {},
        ("quantity_available", "A"): {},
        ("cost", "9,9"): {"decimal_separator": ","},
        ("cost", "€ 9,9"): {
            "decimal_separator": ",",
            "currency_symbols": ["€"],
        },
    }
    words = {each.shape: each.what_to_do for each in causes}
    assert (
        words["€ 9,9"]
        == 'set parser.decimal_separator to "," and parser.currency_symbols to ["€"]'
    )


@pytest.mark.parametrize("with_defaults", [True, False])
def test_a_patched_config_reads_what_was_refused(with_defaults: bool) -> None:
    document = config_document(
        vendor_document("first"), vendor_document("acme")
    )
    config = load_config(document)
    rows = feed('A,1,"12,50"', 'B,1,"3,20"')
    (cause,) = normalize_vendor(config, config.vendor("acme"), rows).causes
    steps = [PatchStep(**step) for step in cause.patch]
    mended = load_config(
        apply_patch(config.to_document() if with_defaults else document, steps)
    )
    assert normalize_vendor(mended, mended.vendor("acme"), rows).causes == ()
