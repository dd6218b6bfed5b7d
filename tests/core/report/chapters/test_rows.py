"""Where the rows of vendors went, in the words of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from relay_core.report import display
from relay_core.report.blocks import Bars, Items, Omitted, plain
from relay_core.report.chapters.rows import chapter_of
from relay_core.report.report import Chapter
from support.builders import feed
from support.report_reading import bars_of, steps_of
from support.reported_runs import go_through

COUNTS = {
    "read": 10,
    "skipped": 1,
    "refused": 1,
    "replaced": 3,
    "unmatched": 2,
    "duplicates": 0,
    "left_out": 0,
    "same_sku": 0,
    "outbid": 0,
    "unpriced": 0,
    "won": 3,
}
PRICES = {
    "read": 8,
    "skipped": 0,
    "refused": 1,
    "replaced": 2,
    "duplicates": 1,
    "used": 3,
    "unused": 1,
}


def chapter_on(counts: Mapping[str, Any]) -> Chapter:
    chapter = chapter_of({"granite": counts})
    assert chapter is not None
    return chapter


def outcomes(chapter: Chapter) -> dict[str, int]:
    (bars,) = (block for block in chapter.blocks if isinstance(block, Bars))
    return {bar.label: bar.value for bar in bars.bars}


def test_the_bar_has_replaced_and_unmatched_rows_to_its_end() -> None:
    chapter = chapter_on({**COUNTS, "parts": {"prices": PRICES}})
    assert outcomes(chapter) == {
        "In the feed": 3,
        "Taken out, because no row of another file matches": 2,
        "Replaced by a later file of changes": 3,
        "Rejected": 1,
        "Skipped by your settings": 1,
    }


def test_a_part_says_how_many_of_its_rows_were_used() -> None:
    south = {"read": 1, "skipped": 0, "refused": 0}
    chapter = chapter_on(
        {**COUNTS, "parts": {"prices": PRICES, "south": south}}
    )
    items = chapter.blocks[-1]
    assert isinstance(items, Items)
    assert [plain(item.text) for item in items.items] == [
        "prices: 8 rows: 3 used; 1 not used, because the vendor's other files do not "
        "have their key; 1 not used, because another row has the same key; 2 replaced "
        "by a later file of changes; 1 rejected",
        "south: 1 row",
    ]


@pytest.mark.parametrize(
    "parts", [{}, {"south": {"read": 1, "skipped": 0, "refused": 0}}]
)
def test_rows_that_only_a_catalog_takes_out_match_no_product(
    parts: Mapping[str, Any],
) -> None:
    chapter = chapter_on({**COUNTS, "parts": parts})
    assert outcomes(chapter)["Taken out, because no product matches"] == 2


def test_rows_of_a_run_that_failed_before_the_merge_add_up() -> None:
    chapter = chapter_on({"read": 10, "skipped": 0, "refused": 4, "won": None})
    assert outcomes(chapter) == {
        "Rejected": 4,
        "Not merged, because the run failed": 6,
    }


def test_the_chapter_says_how_many_vendors_it_leaves_out() -> None:
    chapter = chapter_of({f"v{n}": COUNTS for n in range(20)})
    assert chapter is not None
    assert chapter.blocks[-1] == Omitted(8, "run_summary")
    assert chapter.facts["rows/won"] == 60


def test_many_rows_of_one_sku_are_the_first_thing_to_do() -> None:
    rows = [f"A,{n},1.00" for n in range(1_500)]
    report = go_through(
        {"south": feed("C,1,1"), "north": feed(*rows, "B,x,1")}
    ).report
    bars = bars_of(report, "rows", about="north")
    assert [(bar.label, display.number(bar.value)) for bar in bars.bars] == [
        ("In the feed", "1"),
        ("A better row has the same SKU", "1,499"),
        ("Rejected", "1"),
    ]
    chapter = report.chapter("rows")
    assert chapter is not None
    assert bars in chapter.blocks[:2]
    assert report.verdict.tone == "warn"
    assert steps_of(report)[0].endswith(
        "north identifies its products: 1,499 of 1,501 rows have the same SKU as a "
        "better row and are not in the feed."
    )
