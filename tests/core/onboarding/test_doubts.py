"""Doubts: what is valid and probably not meant, each told with its numbers."""

from __future__ import annotations

from typing import Any

import pytest

from relay_core.config.lint import config_doubts
from relay_core.domain.records import Doubt
from relay_core.merge import best_offer
from relay_core.onboarding.doubts import DoubtFinder
from relay_core.onboarding.feed_check import check_feed, with_rows
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.onboarding.findings import (
    NO_AMOUNTS,
    describe_check,
    policy_doubts_of,
    sentences_of,
    upload_doubts,
)
from support.builders import feed, tenant_config, vendor_document
from support.normalizing import normalize_vendor
from support.reported_runs import go_through
from support.workbooks import text_row, workbook


def doubts(
    data: bytes, *, own: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Doubt]:
    config = tenant_config(vendor_document(**(own or {})), **changes)
    vendor = config.vendors[0]
    upload = FeedSample(data, is_whole=True)
    check = with_rows(
        check_feed(upload, vendor.parser, config), upload, vendor, config
    )
    assert check.is_whole
    return {
        doubt.code: doubt
        for doubt in [*check.doubts, *policy_doubts_of(config, [check])]
    }


def test_a_list_without_an_amount_is_told_of_that_first() -> None:
    rows = "".join(
        f'<row r="{n}"><c r="A{n}" t="inlineStr"><is><t>A-{n}</t></is></c><c r="B{n}"><v>5</v></c>'
        f'<c r="C{n}"><f>D{n}*0.8</f></c></row>'
        for n in range(2, 5)
    )
    workbooks = workbook(
        text_row(1, "sku", "quantity_available", "cost") + rows
    )
    lists = {"xlsx": workbooks, "csv": feed("A,1,", "B,1,")}
    rule = {"when": {"vendors": ["vendor_1"]}, "fixed_price": "9.00"}
    for kind, data in lists.items():
        config = tenant_config(vendor_document(parser={"format": kind}))
        vendor = config.vendors[0]
        upload = FeedSample(data, is_whole=True)
        check = with_rows(
            check_feed(upload, vendor.parser, config), upload, vendor, config
        )
        (first, *_) = sentences_of(check)
        assert (first.startswith(NO_AMOUNTS), "formulas" in first) == (
            True,
            kind == "xlsx",
        )
        assert (
            f"No errors in {len(check.best.rejected_cells) or check.best.rows} rows."
            in describe_check(check)
        )
        (doubt,) = upload_doubts("vendors.0", check, config)
        assert (doubt.code, doubt.path, doubt.message) == (
            "config", "vendors.0.parser.column_map", first
        )  # fmt: skip
        pricing = {"min_price": 1, "shipping_handling_flat": 0, "rules": [rule]}
        config = tenant_config(
            vendor_document(parser={"format": kind}), pricing=pricing
        )
        check = with_rows(
            check_feed(upload, vendor.parser, config), upload, vendor, config
        )
        assert not describe_check(check).startswith(NO_AMOUNTS)


def told(doubt: Doubt) -> tuple[int | None, tuple[str, ...] | None]:
    return doubt.count, doubt.samples


def test_good_rows_are_in_no_doubt() -> None:
    assert doubts(feed("A,1,1.00", "B,1,2.00", "B,1,2.00")) == {}


def test_a_margin_over_one_is_told_both_ways_and_one_of_one_is_not() -> None:
    doubts = config_doubts(tenant_config(pricing={"base_margin_pct": 20}))
    (doubt,) = (doubt for doubt in doubts if doubt.code == "margin_over_one")
    assert (doubt.path, doubt.message) == (
        "pricing.base_margin_pct",
        "20 is a margin of 2,000 %. For 20 %, write 0.20.",
    )
    assert (doubt.vendor_id, doubt.count, doubt.samples) == (None, None, None)
    at_most = config_doubts(tenant_config(pricing={"base_margin_pct": "1.0"}))
    assert {doubt.code for doubt in at_most} <= {"config"}


def test_rows_that_share_an_sku_and_differ_are_counted_over_a_share_of_them() -> (
    None
):
    rows = [f"A{n},1,1.00" for n in range(197)]
    assert doubts(feed(*rows, "A1,1,1.00")) == {}
    # A share of 1 % is not over the limit.
    assert doubts(feed(*rows, "A1,2,1.00", "A2,1,1.00", "A3,1,1.00")) == {}
    assert told(doubts(feed(*rows, "A1,2,1.00", "A2,1,1.00"))["same_sku"]) == (
        2,
        ("A1",),
    )
    compete = {"duplicate_skus": "last"}
    assert "same_sku" not in doubts(feed("A,1,1", "A,1,2"), own=compete)


def test_a_few_rows_of_many_may_share_an_sku() -> None:
    rows = [f"A{n},1,1.00" for n in range(300)]
    assert "same_sku" not in doubts(feed(*rows, "A1,2,1.00"))
    pairs = [f"B{n},{q},1.00" for n in range(51) for q in (1, 2)]
    distinct_rows = [f"A{n},1,1.00" for n in range(20_000)]
    assert doubts(feed(*distinct_rows, *pairs))["same_sku"].count == 102
    assert "same_sku" not in doubts(feed(*distinct_rows, *pairs[2:]))


@pytest.mark.parametrize(
    ("sku", "is_doubtful"),
    [
        ("4.00123E+12", True),
        ("4e12", True),
        ("4E-12", False),
        ("A4E12", False),
        ("44E1", False),
        ("4E", False),
        ("4.E1", False),
        ("4", False),
    ],
)
def test_skus_that_a_spreadsheet_has_rounded(
    sku: str, is_doubtful: bool
) -> None:
    assert (
        "sku_exponent" in doubts(feed(f"{sku},1,1.00", "B,1,1.00"))
    ) == is_doubtful


@pytest.mark.parametrize(
    ("last", "is_doubtful"),
    [
        ("Total", True),
        ("GRAND TOTAL:", True),
        ("Summe", True),
        ("Totally", False),
    ],
)
def test_a_last_line_of_totals(last: str, is_doubtful: bool) -> None:
    data = feed("A,1,1.00", f"{last},1900,8437.00")
    assert ("totals_line" in doubts(data)) == is_doubtful
    assert "totals_line" not in doubts(feed("Total,1,1.00", "A,1,1.00"))


def test_a_cost_of_0_is_doubtful_where_a_price_is_made_of_it() -> None:
    data = feed("A,1,0.00", "B,1,0", "C,1,1.00", "D,1,")
    assert told(doubts(data)["zero_cost"]) == (2, ("A", "B"))
    pricing = {
        "base_margin_pct": "0.2",
        "min_price": 1,
        "shipping_handling_flat": 0,
        "rules": [{"when": {"cost_below": "0.01"}, "leave_out": True}],
    }
    assert "zero_cost" not in doubts(data, pricing=pricing)


def test_refused_rows_and_limits_of_0_say_what_to_set() -> None:
    data = feed("A,1,1.00", "B,x,1.00", "C,1,1.00")
    doubt = doubts(data)["error_policy_zero"]
    assert (told(doubt), doubt.path, doubt.vendor_id) == (
        (1, ("x",)),
        "error_policy",
        None,
    )
    assert (
        "set max_invalid_rows to 1 or more and max_invalid_row_pct to 0.3334 or more"
        in (doubt.message)
    )
    lenient = {"max_invalid_rows": 1, "max_invalid_row_pct": "0.3334"}
    assert "error_policy_zero" not in doubts(data, error_policy=lenient)


@pytest.mark.parametrize("range_rows", [7, 1_000_000])
def test_a_run_finds_the_doubts_of_all_ranges_of_skus(
    range_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    zero_costs = [f"{number}Z,1,0.00" for number in range(40)]
    exponents = [f"{number}e9,1,1.00" for number in range(8)]
    pairs = [f"P{number},{n},1.00" for number in range(60) for n in (1, 2)]
    data = feed(*pairs, *exponents, *zero_costs, "Total,1,1.00")
    whole = doubts(data)
    monkeypatch.setattr(best_offer, "RANGE_ROWS", range_rows)

    findings = go_through({"vendor_1": data}).findings

    assert {doubt.code: doubt for doubt in findings.doubts} == whole
    assert {code: doubt.count for code, doubt in whole.items()} == {
        "zero_cost": 40,
        "sku_exponent": 8,
        "same_sku": 120,
        "totals_line": 1,
    }


def test_a_failed_run_finds_the_doubts_of_its_rows() -> None:
    data = feed("4e12,1,1.00", "A,many,1.00")

    findings = go_through(
        {"vendor_1": data}, error_policy={"max_invalid_row_pct": 0}
    ).findings

    assert findings.failure is not None
    assert [told(doubt) for doubt in findings.doubts] == [(1, ("4e12",))]


def test_a_range_without_rows_of_a_vendor_hides_no_doubt_of_the_next_one() -> (
    None
):
    config = tenant_config(vendor_document())
    data = feed("A,1,0", "B,1,0")
    vendor = normalize_vendor(config, config.vendors[0], data)
    columns = best_offer.columns_to_merge(config)
    finder = DoubtFinder(config)
    # Threads may take the ranges in any order.
    for rows in (slice(0, 2), slice(0, 0)):
        finder.look(vendor, vendor.offers.table(columns, rows), rows.start)

    (doubt,) = finder.doubts(vendor)

    assert (doubt.code, doubt.count) == ("zero_cost", 2)
