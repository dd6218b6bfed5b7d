"""How people read numbers, shares, ages, and the cells of tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from relay_core.report import display
from relay_core.report.blocks import Bar, Bars, Cell, Kind
from relay_core.report.display import NOTHING


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        ("0.50", "50%"),
        ("1.00", "100%"),
        ("0.0025", "0.25%"),
        ("0", "0%"),
        ("30", "3,000%"),
    ],
)
def test_a_limit_is_in_percent_as_it_is_written(share: str, shown: str) -> None:
    assert display.percent(share) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        ("0.1249", "+12.5%"),
        ("-0.5000", "\N{MINUS SIGN}50.0%"),
        ("99.0000", "+9,900.0%"),
    ],
)
def test_a_move_has_a_sign_and_a_place(share: str, shown: str) -> None:
    assert display.signed_percent(share) == shown


@pytest.mark.parametrize(
    ("count", "of", "shown"),
    [
        (0, 0, "0%"),
        (0, 9, "0%"),
        (1, 3, "33.3%"),
        (1, 2, "50%"),
        (1, 9999, "<0.1%"),
    ],
)
def test_a_part_that_is_there_is_never_nothing(
    count: int, of: int, shown: str
) -> None:
    assert display.part(count, of) == shown


@pytest.mark.parametrize(
    ("hours", "shown"),
    [
        (-1, "less than 1 hour"),
        (0.9, "less than 1 hour"),
        (1, "1 hour"),
        (47, "47 hours"),
        (49, "2 days"),
    ],
)
def test_an_age_is_in_whole_hours_then_days(hours: float, shown: str) -> None:
    assert display.age(timedelta(hours=hours)) == shown


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        (UTC, "Mar 1, 2026, 12:05 PM (UTC)"),
        (ZoneInfo("Europe/Berlin"), "Mar 1, 2026, 1:05 PM (Europe/Berlin)"),
        (
            ZoneInfo("Pacific/Auckland"),
            "Mar 2, 2026, 1:05 AM (Pacific/Auckland)",
        ),
        (ZoneInfo("America/Chicago"), "Mar 1, 2026, 6:05 AM (America/Chicago)"),
    ],
)
def test_a_time_is_of_the_tenant_s_zone_and_names_it(
    zone: tzinfo, shown: str
) -> None:
    instant = datetime(2026, 3, 1, 12, 5, 59, tzinfo=UTC)
    assert display.moment(instant, zone) == shown


def test_midnight_is_twelve() -> None:
    instant = datetime(2026, 3, 1, 0, 0, tzinfo=UTC)
    assert display.moment(instant) == "Mar 1, 2026, 12:00 AM (UTC)"


@pytest.mark.parametrize(
    ("cell", "kind", "shown"),
    [
        (Cell(None), "count", NOTHING),
        (Cell(""), "text", NOTHING),
        (Cell(0), "count", "0"),
        (Cell(1234), "count", "1,234"),
        (Cell(1, share="1/4"), "count", "1 (25%)"),
        (Cell(17, of=2000), "count", "17 of 2,000"),
        (Cell("1234.50"), "money", "1,234.50"),
        (Cell("0.0025"), "share", "0.25%"),
        (Cell("1/3"), "share", "33.3%"),
        (Cell("-0.5"), "change", "\N{MINUS SIGN}50.0%"),
        (Cell(50), "hours", "2 days"),
        (Cell("2026-03-01T12:00:00Z"), "time", "Mar 1, 2026, 12:00 PM (UTC)"),
        (Cell("yesterday"), "time", "yesterday"),
        (Cell("2026-03-01T12:00:00"), "time", "2026-03-01T12:00:00"),
        (Cell("many"), "money", "many"),
        (Cell("many"), "count", "many"),
    ],
)
def test_a_cell_is_shown_by_the_kind_of_its_column(
    cell: Cell, kind: Kind, shown: str
) -> None:
    assert display.cell(cell, kind) == shown


def test_a_share_of_nothing_is_none() -> None:
    assert display.share(display.share_of(0, 0)) == "0%"


def test_bars_are_told_in_words() -> None:
    bars = Bars(
        "b", "B", (Bar("a", "A", 1, note="now"), Bar("c", "C", 2, share="1/2"))
    )
    assert display.bars_in_words(bars) == "A, now: 1; C: 2 (50%)"
