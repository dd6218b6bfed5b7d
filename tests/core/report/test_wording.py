"""How the report writes numbers, shares, ages and verdicts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from relay_core.domain.codes import RowFault, RunStatus, Stage
from relay_core.domain.records import GuardResult, RunFailure
from relay_core.publish.findings import RunFindings
from relay_core.publish.report import wording


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
    assert wording.percent(share) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        ("0.1249", "+12.5%"),
        ("-0.5000", "\N{MINUS SIGN}50.0%"),
        ("99.0000", "+9,900.0%"),
    ],
)
def test_a_move_has_a_sign_and_a_place(share: str, shown: str) -> None:
    assert wording.signed_percent(share) == shown


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
    assert wording.part(count, of) == shown


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
    assert wording.age(timedelta(hours=hours)) == shown


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
    assert wording.moment(instant, zone) == shown


def test_midnight_is_twelve() -> None:
    instant = datetime(2026, 3, 1, 0, 0, tzinfo=UTC)
    assert wording.moment(instant) == "Mar 1, 2026, 12:00 AM (UTC)"


@pytest.mark.parametrize(
    ("tripped", "count", "shown"),
    [
        (True, 60, "Tripped"),
        (False, 50, "Passed"),
        (False, 51, "Passed (too few SKUs)"),
    ],
)
def test_a_guard_that_passes_over_its_limit_says_why(
    tripped: bool, count: int, shown: str
) -> None:
    result = GuardResult("price_drop", None, None, tripped, "0.5", count, 100)
    assert wording.guard_verdict(result) == shown


def test_a_bar_is_as_long_as_its_part_of_the_longest() -> None:
    assert [wording.length(n, 3) for n in (0, 1, 3)] == ["0.0", "33.3", "100.0"]
    assert wording.length(0, 0) == "0.0"


def test_every_guard_has_words() -> None:
    sides = {"price_level": ("low", "high")}
    names = (
        "skus_removed",
        "out_of_stock",
        "price_drop",
        "price_rise",
        "price_level",
        "quarantined",
    )
    results = [
        GuardResult(name, None, side, True, "0.5", 1, 1)
        for name in names
        for side in sides.get(name, (None,))
    ]
    results.append(GuardResult("vendor_rows", "north", None, True, "0.5", 1, 1))
    told = dict(map(wording.guard_words, results))
    assert len(told) == len(set(told.values())) == len(results)
    assert (
        told["Vendor rows of north"] == "Rows that the vendor no longer sends"
    )
    assert "" not in told.values()


def test_a_guard_of_a_later_release_is_shown_by_its_name() -> None:
    later = GuardResult("titles_changed", None, None, True, "0.5", 1, 1)
    assert wording.guard_words(later) == ("titles_changed", "")


@pytest.mark.parametrize("stage", list(Stage))
def test_a_failure_says_when_it_was_and_what_the_shop_has(stage: Stage) -> None:
    findings = RunFindings().failed(RunFailure("invalid_input", "…", stage))
    said = wording.verdict(RunStatus.FAILED, findings, [], "Mend it.")
    assert said.sentence.startswith("The run failed ")
    assert "your shop keeps its live feed" in said.sentence
    assert said.next_actions == ("Mend it.",)


def test_a_run_that_is_as_it_should_be_asks_for_nothing() -> None:
    said = wording.verdict(
        RunStatus.SUCCEEDED, RunFindings(record_count=1), [], ""
    )
    assert (said.tone, said.headline, said.next_actions) == (
        "good",
        "The new feed has 1 SKU",
        (),
    )


def test_a_run_of_some_vendors_says_that_it_publishes_nothing() -> None:
    findings = RunFindings(record_count=2, of_all_vendors=False)
    assert (
        "not published"
        in wording.verdict(RunStatus.SUCCEEDED, findings, [], "").sentence
    )


def test_a_vendor_in_trouble_is_named_to_be_asked() -> None:
    said = wording.verdict(
        RunStatus.SUCCEEDED, RunFindings(), ["north", "south"], ""
    )
    assert said.tone == "warn"
    assert said.next_actions == (
        "Get a file that can be used from north, south.",
    )


@pytest.mark.parametrize("fault", list(RowFault))
def test_every_fault_of_a_row_has_words(fault: RowFault) -> None:
    assert wording.fault_title(fault, "cost").startswith("cost: ")
    assert "_" not in wording.fault_title(fault, None)
