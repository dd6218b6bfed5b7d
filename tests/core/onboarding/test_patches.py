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
from support.file_lists import ListRun, NamedFile, part, run_files
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
    assert {
        (cause.column, cause.shape): patched(cause) for cause in causes
    } == {
        ("sku", ""): {},
        ("quantity_available", "A"): {},
        ("cost", "9,9"): {"decimal_separator": ","},
        ("cost", "€ 9,9"): {
            "decimal_separator": ",",
            "currency_symbols": ["€"],
        },
    }
    words = {cause.shape: cause.what_to_do for cause in causes}
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


# --- parts ----------------------------------------------------------------------------


def run_with_prices(
    prices: bytes,
    gives: Any = ("cost",),
    base: bytes = feed(
        "A,1,1.50", "B,2,3.50", header="sku,quantity_available,msrp"
    ),
    **parser: Any,
) -> ListRun:
    """Take a run of a base and a part; both files have one name."""
    prices_part = part(
        "prices", gives=gives, parser={"format": "csv", **parser}
    )
    return run_files(
        [
            NamedFile("list.csv", base),
            NamedFile("west.csv", feed("C,1,2", header=WEST), "west"),
            NamedFile("list.csv", prices, "prices"),
        ],
        parts=[part("west", gives="rows"), prices_part],
    )


WEST = "sku,quantity_available,msrp"
PATCHED_PARSER = "/vendors/0/parts/1/parser/"


def patches_of(run: ListRun) -> list[tuple[str, Any]]:
    return [
        (step["path"], step["value"])
        for cause in run.findings.causes()
        for step in cause.patch
    ]


def test_a_cause_in_a_part_has_the_patch_of_the_part_s_parser() -> None:
    prices = feed('A,"12,50"', 'B,"3,20"', "C,4", header="sku,cost")
    run = run_with_prices(prices)
    (cause,) = run.findings.causes()
    assert patches_of(run) == [(f"{PATCHED_PARSER}decimal_separator", ",")]
    assert cause.what_to_do == (
        "in part 'prices', set parser.decimal_separator to \",\""
    )
    assert "part_id" not in cause.as_dict()
    steps = [PatchStep(**step) for step in cause.patch]
    (vendor,) = apply_patch(run.document, steps)["vendors"]
    mended = run_with_prices(prices, **vendor["parts"][1]["parser"])
    assert mended.findings.causes() == []


def test_a_cause_in_the_base_is_judged_by_the_parser_of_the_base() -> None:
    base = feed('A,1,"1,50"', header=WEST)
    prices = feed("A,12.50", "C,3.20", header="sku,cost")
    assert patches_of(run_with_prices(prices, base=base)) == [
        ("/vendors/0/parser/decimal_separator", ",")
    ]


def test_each_of_two_parts_has_the_patch_for_its_own_numbers() -> None:
    base = feed('A,1,"€ 1.50"', header=WEST)
    prices = feed('A,"12,50"', header="sku,cost")
    assert patches_of(run_with_prices(prices, base=base)) == [
        ("/vendors/0/parser/currency_symbols", ["€"]),
        (f"{PATCHED_PARSER}decimal_separator", ","),
    ]


def test_a_style_that_a_part_s_valid_numbers_refuse_is_not_proposed() -> None:
    valid = [f"{sku},{n}.50" for n, sku in enumerate("BCDEFGHIJK")]
    prices = feed('A,"12,50"', *valid, header="sku,cost")
    run = run_with_prices(prices)
    assert len(run.findings.causes()) == 1
    assert patches_of(run) == []


def test_rows_of_a_part_have_the_patch_of_the_part_s_parser() -> None:
    rows = feed('D,1,"1,50"', header=WEST)
    assert patches_of(run_with_prices(rows, gives="rows")) == [
        (f"{PATCHED_PARSER}decimal_separator", ",")
    ]
