"""The guards of a feed: each one under and one over its limit, and against a plain reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.config.models import GuardsConfig
from relay_core.domain.records import GuardResult
from relay_core.validation.comparison import Comparison, FeedFigures
from relay_core.validation.guards import (
    falls_below,
    judge_guards,
    vendor_rows_share,
)
from support.builders import tenant_config


@dataclass(frozen=True)
class Row:
    """A SKU of a feed: its price in cents, its quantity and its vendor; if it is only kept at 0."""

    cents: int = 1000
    quantity: int = 5
    vendor: str = "v1"
    kept: bool = False


Feed = Mapping[str, Row]


def guards(**options: Any) -> GuardsConfig:
    return tenant_config(guards=options).guards


def figures(feed: Feed) -> FeedFigures:
    rows = [feed[sku] for sku in sorted(feed)]
    vendors = pa.array(
        [row.vendor for row in rows], pa.string()
    ).dictionary_encode()
    table = pa.table(
        {
            "sku": pa.array(sorted(feed), pa.string()),
            "vendor_id": vendors,
            "quantity_available": pa.array(
                [row.quantity for row in rows], pa.int32()
            ),
            "price": pa.array([row.cents for row in rows], pa.int64()),
            "kept_at_0": pa.array([row.kept for row in rows], pa.bool_()),
        }
    )
    return FeedFigures.of(table)


def compared(before: Feed, after: Feed) -> Comparison:
    return Comparison.of(figures(before), figures(after))


def judged(
    before: Feed, after: Feed, config: GuardsConfig | None = None
) -> list[GuardResult]:
    config = config or guards()
    return judge_guards(
        config, compared(before, after), exempt=(), vendor_rows=()
    )


def tripped(results: Sequence[GuardResult]) -> list[str]:
    return [result.guard for result in results if result.tripped]


def skus(count: int, row: Row = Row()) -> dict[str, Row]:
    return {f"S{number:03}": row for number in range(count)}


TWENTY = skus(20)


@pytest.mark.parametrize(("left", "trips"), [(10, []), (9, ["skus_removed"])])
def test_skus_may_go_up_to_the_limit(left: int, trips: list[str]) -> None:
    results = judged(TWENTY, dict(list(TWENTY.items())[:left]))
    assert tripped(results) == trips
    first = results[0]
    assert (first.count, first.of, first.limit) == (20 - left, 20, "0.50")
    assert first.examples[0] == {
        "sku": f"S{left:03}",
        "before": "10.00",
        "after": None,
    }
    assert len(first.examples) == 5


@pytest.mark.parametrize(("empty", "trips"), [(10, []), (11, ["out_of_stock"])])
def test_skus_may_run_out_up_to_the_limit(empty: int, trips: list[str]) -> None:
    after = {**TWENTY, **skus(empty, Row(quantity=0))}
    results = judged(TWENTY, after)
    assert tripped(results) == trips
    assert results[1].examples[0] == {"sku": "S000", "before": 5, "after": 0}


def test_fewer_than_ten_skus_in_stock_say_nothing_of_stock_and_level() -> None:
    nine = skus(9)
    results = judged(nine, skus(9, Row(cents=1, quantity=0)))
    assert [result.guard for result in results] == [
        "skus_removed",
        "price_drop",
        "price_rise",
    ]


def test_ten_skus_in_stock_are_judged_by_stock_level_and_quarantine() -> None:
    ten = skus(10, Row(quantity=1))
    results = judged(
        ten, skus(10, Row(cents=1, quantity=0)), guards(quarantine={})
    )
    assert [result.guard for result in results][1:] == [
        "out_of_stock",
        "price_drop",
        "price_rise",
        "price_level",
        "price_level",
        "quarantined",
    ]
    assert (results[1].count, results[1].of) == (10, 10)


def test_a_quarantine_counts_what_keeps_its_price_and_shows_the_new_one() -> (
    None
):
    suspect = replace(
        figures(TWENTY), suspect_cents=np.array([0, 7] + [-1] * 18)
    )
    (quarantined,) = (
        result
        for result in judge_guards(
            guards(quarantine={}),
            Comparison.of(figures(TWENTY), suspect),
            exempt=(),
            vendor_rows=(),
        )
        if result.guard == "quarantined"
    )
    assert (quarantined.count, quarantined.of) == (2, 20)
    assert [example["after"] for example in quarantined.examples] == [
        "0.00",
        "0.07",
    ]


@pytest.mark.parametrize(
    ("cents", "count", "trips"),
    [
        (500, 20, ["price_level"]),
        (499, 4, []),
        (499, 5, ["price_drop"]),
        (2000, 20, ["price_level"]),
        (2001, 4, []),
        (2001, 5, ["price_rise"]),
    ],
)
def test_some_prices_may_jump_and_any_may_reach_the_limit(
    cents: int, count: int, trips: list[str]
) -> None:
    after = {**TWENTY, **skus(count, Row(cents=cents))}
    assert tripped(judged(TWENTY, after)) == trips


def test_jumps_count_where_they_are_both_many_and_a_great_share() -> None:
    thousand = skus(1000)
    assert (
        tripped(judged(thousand, {**thousand, **skus(10, Row(cents=1))})) == []
    )
    assert tripped(
        judged(thousand, {**thousand, **skus(11, Row(cents=1))})
    ) == ["price_drop"]


@pytest.mark.parametrize(
    ("cents", "count", "side"),
    [
        (799, 11, "low"),
        (799, 10, None),
        (800, 20, None),
        (1251, 11, "high"),
        (1250, 20, None),
    ],
)
def test_more_than_half_of_the_prices_may_not_move_together(
    cents: int, count: int, side: str | None
) -> None:
    results = judged(TWENTY, {**TWENTY, **skus(count, Row(cents=cents))})
    assert [result.side for result in results if result.tripped] == (
        [side] if side else []
    )
    levels = [result for result in results if result.guard == "price_level"]
    assert [(level.side, level.limit) for level in levels] == [
        ("low", "0.5"),
        ("high", "0.5"),
    ]


@pytest.mark.parametrize(("now", "trips"), [(5, False), (4, True)])
def test_a_vendor_may_lose_rows_up_to_the_limit(now: int, trips: bool) -> None:
    result = vendor_rows_share(guards(), "v1", 10, now)
    assert result is not None
    assert (result.tripped, result.count, result.of) == (trips, 10 - now, 10)
    assert result.as_dict()["vendor_id"] == "v1"
    assert result.examples == ()


def test_a_vendor_of_few_rows_is_not_judged_and_one_that_grew_has_lost_none() -> (
    None
):
    assert vendor_rows_share(guards(), "v1", 9, 0) is None
    grown = vendor_rows_share(guards(), "v1", 10, 50)
    assert grown is not None
    assert (grown.count, grown.value) == (0, "0.0000")


def test_skus_of_an_exempt_vendor_count_neither_above_nor_below_the_line() -> (
    None
):
    before = {**skus(12), **{f"T{n:02}": Row(vendor="v2") for n in range(30)}}
    results = judge_guards(
        guards(), compared(before, skus(12)), exempt={"v2"}, vendor_rows=()
    )
    assert (results[0].count, results[0].of, tripped(results)) == (0, 12, [])


def test_a_guard_that_is_off_gives_no_result() -> None:
    off = guards(
        max_skus_removed_pct=None,
        max_out_of_stock_pct=None,
        price_drop_pct=None,
        price_rise_pct=None,
        price_level=None,
        max_vendor_rows_lost_pct=None,
    )
    rows = [("v1", 100, 0)]
    results = judge_guards(
        off, compared(TWENTY, skus(1)), exempt=(), vendor_rows=rows
    )
    assert results == []


def test_nothing_in_common_gives_a_share_of_nothing() -> None:
    results = judged(TWENTY, {"other": Row()})
    drop = next(result for result in results if result.guard == "price_drop")
    assert (drop.of, drop.value, drop.tripped) == (0, "0.0000", False)


def test_a_share_is_told_with_four_places_half_up() -> None:
    assert GuardResult("g", None, None, False, "0.5", 1, 8000).value == "0.0001"
    assert (
        GuardResult("g", None, None, False, "0.5", 1, 20000).value == "0.0001"
    )
    assert GuardResult("g", None, None, False, "0.5", 2, 3).value == "0.6667"


def test_prices_and_limits_of_many_digits_are_compared_exactly() -> None:
    share = "0." + "3" * 40
    before = skus(20, Row(cents=99_999_999_999))
    threshold = (1 - Decimal(share)) * 99_999_999_999
    after = {
        **before,
        **skus(5, Row(cents=int(threshold) + 1)),
        "S000": Row(cents=int(threshold)),
    }
    (drop,) = (
        r
        for r in judged(before, after, guards(price_drop_pct=share))
        if "drop" in r.guard
    )
    assert drop.count == 1


@pytest.mark.parametrize(
    "factor", [Fraction(2**21 - 1, 2**20), Fraction(10**6, 10**6 + 1)]
)
def test_products_are_compared_exactly_on_both_sides_of_what_64_bits_hold(
    factor: Fraction,
) -> None:
    above, below = factor.as_integer_ratio()
    edges = [
        2**power // above + offset
        for power in (61, 62, 63, 64)
        for offset in (-1, 0, 1)
    ]
    pairs = [
        (old, old * above // below + offset)
        for old in edges
        for offset in (-1, 0, 1)
    ]
    # One side alone may be what 64 bits do not hold.
    pairs += [(old, 1) for old in edges] + [
        (1, 2**power // below + 1) for power in (62, 63, 64)
    ]
    for batch in (pairs, *([pair] for pair in pairs)):
        old, new = (
            np.array(column, np.int64) for column in zip(*batch, strict=True)
        )
        expected = [
            Fraction(after) < Fraction(before) * factor
            for before, after in batch
        ]
        assert falls_below(old, new, factor).tolist() == expected


# --- a plain reference --------------------------------------------------------------------------

_ROWS = st.builds(
    Row,
    cents=st.integers(1, 400),
    quantity=st.integers(0, 3),
    vendor=st.sampled_from(["v1", "v2"]),
    kept=st.sampled_from([False] * 5 + [True]),
)
_FEEDS = st.dictionaries(
    st.sampled_from([f"S{n:02}" for n in range(24)]),
    _ROWS,
    min_size=1,
    max_size=24,
)


@given(_FEEDS, _FEEDS, st.sampled_from([(), ("v1",), ("v2",)]))
def test_the_guards_agree_with_a_plain_reading_of_their_rules(
    before: Feed, after: Feed, exempt: tuple[str, ...]
) -> None:
    results = judge_guards(
        guards(), compared(before, after), exempt=exempt, vendor_rows=()
    )
    assert [result.as_dict() for result in results] == list(
        expected(before, after, exempt)
    )


def expected(
    before: Feed, after: Feed, exempt: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the results by the contract's words, SKU by SKU."""
    before, after = (
        {sku: row for sku, row in feed.items() if not row.kept}
        for feed in (before, after)
    )
    counted = [
        sku for sku in sorted(before) if before[sku].vendor not in exempt
    ]
    common = [sku for sku in sorted(before) if sku in after]
    stocked = [sku for sku in common if before[sku].quantity > 0]
    gone = [
        {**price_of(before, sku), "after": None}
        for sku in counted
        if sku not in after
    ]
    out = [
        {"sku": sku, "before": before[sku].quantity, "after": 0}
        for sku in stocked
        if after[sku].quantity == 0
    ]
    results = [expected_result("skus_removed", gone, len(counted), "0.50")]
    if len(stocked) >= 10:
        results.append(
            expected_result("out_of_stock", out, len(stocked), "0.50")
        )
    # A price's guard, the share of it that is too low, too high, and its limit.
    moves = [
        ("price_drop", "0.5", None, "0.01", {"least": 5}),
        ("price_rise", None, "2", "0.01", {"least": 5}),
    ]
    if len(common) >= 10:
        moves += [
            ("price_level", "0.80", None, "0.5", {"side": "low"}),
            ("price_level", None, "1.25", "0.5", {"side": "high"}),
        ]
    for guard, low, high, limit, options in moves:
        hits = moved_prices(before, after, low, high)
        results.append(
            expected_result(guard, hits, len(common), limit, **options)
        )
    return results


def expected_result(
    guard: str,
    hits: list[dict[str, Any]],
    of: int,
    limit: str,
    *,
    least: int = 1,
    **details: str,
) -> dict[str, Any]:
    """Return the result of a guard that so many SKUs offend."""
    share = Decimal(len(hits)) / of if of else Decimal(0)
    value = share.quantize(Decimal("0.0001"), ROUND_HALF_UP)
    return {
        "guard": guard,
        **details,
        "tripped": len(hits) >= least
        and Decimal(len(hits)) > Decimal(limit) * of,
        "value": str(value),
        "limit": limit,
        "count": len(hits),
        "of": of,
        "examples": hits[:5],
    }


def moved_prices(
    before: Feed, after: Feed, low: str | None, high: str | None
) -> list[dict[str, Any]]:
    """Return the prices under a share of the published one, or over it."""
    moved = []
    for sku in sorted(before):
        if sku not in after:
            continue
        was = before[sku].cents
        now = after[sku].cents
        is_low = low is not None and now < was * Decimal(low)
        is_high = high is not None and now > was * Decimal(high)
        if is_low or is_high:
            prices = {"before": f"{was / 100:.2f}", "after": f"{now / 100:.2f}"}
            moved.append({"sku": sku, **prices})
    return moved


def price_of(feed: Feed, sku: str) -> dict[str, Any]:
    return {"sku": sku, "before": f"{feed[sku].cents / 100:.2f}"}
