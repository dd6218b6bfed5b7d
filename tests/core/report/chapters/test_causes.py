"""What the report says of rejected rows."""

from __future__ import annotations

import pytest

from relay_core.domain.codes import RowFault
from relay_core.report.blocks import Heading, Items, plain
from relay_core.report.chapters.causes import fault_title
from relay_core.report.report import Report
from support.builders import feed
from support.report_reading import chapter_of
from support.reported_runs import go_through


def groups_of(report: Report) -> list[tuple[Heading, Items]]:
    """Return the groups of causes: their headings and their lists."""
    _, *blocks = chapter_of(report, "causes").blocks
    headings = [block for block in blocks if isinstance(block, Heading)]
    lists = [block for block in blocks if isinstance(block, Items)]
    return list(zip(headings, lists, strict=True))


def test_causes_are_grouped_by_code_and_column_with_samples_and_the_patch() -> (
    None
):
    amounts = [
        f"{sku},1,${cost}.00" for sku, cost in zip("ABCD", "1234", strict=True)
    ]
    north = feed(*amounts, "E,x,5.00", "F,1,6.00")
    report = go_through(
        {"north": north, "south": feed("A,1,1", "B,1,TBD")}
    ).report
    (heading, causes), (other_heading, _) = groups_of(report)
    assert heading == Heading(
        "cost: not a valid amount", "invalid_decimal", 5, "row"
    )
    first, second = causes.items
    assert plain(first.text) == (
        "4 rows of north, for example $1.00 in row 2, $2.00 in row 3, $3.00 in row 4."
    )
    assert "currency_symbols" in first.snippet
    assert second.snippet == ""
    assert second.fix.startswith("Correct the cell, or set parser.")
    assert other_heading.text == "quantity_available: not a whole number"


def test_a_record_that_does_not_fit_its_header_is_a_cause_of_its_own() -> None:
    report = go_through({"north": feed("A,1,1", "B,1,1,1")}).report
    ((heading, causes),) = groups_of(report)
    assert heading.text == "More or fewer cells than the header"
    assert plain(causes.items[0].text) == (
        "1 row of north, for example B,1,1,1 in row 3."
    )


def test_an_empty_cell_is_told_in_words() -> None:
    report = go_through({"north": feed("A,1,1", ",1,1")}).report
    ((_, causes),) = groups_of(report)
    assert "for example an empty cell in row 3" in plain(causes.items[0].text)


def test_a_fix_that_several_causes_share_is_told_once() -> None:
    bad = feed("A,1,1", "B,many,1")
    report = go_through({"north": bad, "south": bad}).report
    ((_, causes),) = groups_of(report)
    assert [bool(item.fix) for item in causes.items] == [False, True]


@pytest.mark.parametrize("fault", list(RowFault))
def test_every_fault_of_a_row_has_words(fault: RowFault) -> None:
    assert fault_title(fault, "cost").startswith("cost: ")
    assert "_" not in fault_title(fault, None)
