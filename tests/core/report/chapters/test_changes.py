"""What the report says of the changes since the previous feed."""

from __future__ import annotations

from relay_core.report.chapters import changes
from support.builders import feed
from support.report_reading import (
    bars_of,
    sentences_of,
    shown_bars,
    shown_rows,
    table_of,
)
from support.reported_runs import compared_report, go_through

MANY = [f"SKU-{n:02},5,{n}.00" for n in range(1, 21)]
TITLED = "sku,quantity_available,cost,title"


def test_a_run_that_is_compared_with_nothing_has_neither_changes_nor_guards() -> (
    None
):
    report = go_through({"north": feed("A,1,1")}).report
    assert report.chapter("changes") is None
    assert report.chapter("guards") is None
    assert (
        report.verdict.sentence
        == "There is no previous feed to compare it with."
    )


def test_changes_are_counted_by_kind() -> None:
    moved = [
        "SKU-01,0,1.00",
        "SKU-02,5,3.00",
        "SKU-03,5,1.50",
        "SKU-04,5,8.00",
        *MANY[4:18],
    ]
    report = compared_report(MANY, [*moved, "NEW,1,1.00"])
    assert shown_bars(bars_of(report, "changes")) == [
        ("New in the feed", "1"),
        ("Removed from the feed", "2"),
        ("Back in stock", "0"),
        ("Out of stock", "1"),
        ("Price increased", "2"),
        ("Price decreased", "1"),
        ("Vendor changed", "0"),
    ]
    assert sentences_of(report, "changes") == [
        "Of the 20 SKUs in the previous feed, 14 did not change, 4 changed, and 2 left the "
        "feed. New in the feed: 1 SKU."
    ]
    assert report.facts["changes/removed"] == 2


def test_the_greatest_price_moves_come_first_and_are_ten_each() -> None:
    rises = [f"SKU-{n:02},5,{n + 1}.00" for n in range(1, 13)]
    report = compared_report(MANY, [*rises, "SKU-13,5,6.50", *MANY[13:]])
    assert len(shown_rows(report, "rises")) == 10
    assert shown_rows(report, "rises")[0] == {
        "sku": "SKU-01",
        "price_before": "1.00",
        "price_after": "2.00",
        "share": "+100.0%",
    }
    assert [tuple(row.values()) for row in shown_rows(report, "falls")] == [
        ("SKU-13", "13.00", "6.50", "\N{MINUS SIGN}50.0%")
    ]
    assert report.currency == "USD"


def test_moves_have_titles_and_thousands() -> None:
    def feed_at(cost: str) -> bytes:
        rows = (f"S{n},1,{cost},Bolt {n}" for n in range(12))
        return feed(*rows, header=TITLED)

    before = go_through({"north": feed_at("1000.00")})
    after = go_through({"north": feed_at("1200.50")}, baseline=before.baseline)
    assert tuple(shown_rows(after.report, "rises")[0].values()) == (
        "S0",
        "1,000.00",
        "1,200.50",
        "+20.1%",
    )
    assert table_of(after.report, "rises").rows[0][0].note == "Bolt 0"


def test_a_feed_without_titles_has_none_in_its_report() -> None:
    assert not go_through({"north": feed("A,1,1")}).findings.titles


def test_the_counts_of_a_summary_alone_make_the_chapter() -> None:
    names = ("added", "removed", "changed", "unchanged", "price_up")
    names += ("price_down", "came_in_stock", "went_out_of_stock")
    counts = dict.fromkeys((*names, "vendor_changed"), 1)
    assert changes.chapter_of(counts).name == "changes"
