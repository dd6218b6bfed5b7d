from __future__ import annotations

from collections.abc import Mapping

import pytest

from benchmarks.goals import (
    DAGSTER,
    DUCKDB,
    ENGINE,
    FLOOR,
    POLARS,
    Size,
    changes_goals,
    format_goals,
    hostile_goals,
    list_goals,
    process_goals,
    single_feed_goal,
    size_goals,
    variant_goals,
)
from benchmarks.sitting import (
    DisagreementError,
    Measured,
    Process,
    Samples,
    check_agreement,
)


def samples(
    *seconds: float, peak_mib: float = 100.0, sha256: str | None = "same"
) -> Samples:
    return Samples(
        [
            Measured(0.1, work_s, work_s, work_s, peak_mib, sha256)
            for work_s in seconds
        ]
    )


def size(rows: int, megabytes: int, seconds: Mapping[str, float]) -> Size:
    return Size(
        f"{rows:,}",
        rows,
        megabytes * 2**20,
        {name: samples(s) for name, s in seconds.items()},
    )


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    busy = samples(1.0, 10.0, 1.0)
    assert busy.times(samples(2.0, 20.0, 2.0)) == 0.5


def test_goals_of_sizes_are_met_or_not() -> None:
    ten_vendors = size(
        1_000_000, 80, {ENGINE: 1.0, POLARS: 2.0, DUCKDB: 2.0, FLOOR: 0.5}
    )
    five = size(
        5_000_000, 40, {ENGINE: 6.0, POLARS: 8.0, DUCKDB: 16.0, FLOOR: 2.0}
    )
    reached = {
        goal.what: goal
        for goal in size_goals({ten_vendors.rows: ten_vendors, five.rows: five})
    }
    assert {
        name: goal.met for name, goal in reached.items() if "memory" in name
    } == {"peak memory against the input, 5m": False}
    assert reached["seconds a row, 5m against 1m"].measured == pytest.approx(
        1.2
    )
    assert [goal.met for name, goal in reached.items() if "Polars" in name] == [
        True,
        False,
    ]


def test_whole_processes_have_goals_of_their_own() -> None:
    def process(wall_s: float, first_step_s: float | None = None) -> Samples:
        return Samples([Process(9.0, wall_s, 100.0, "same", first_step_s)])

    of_peers = {
        ENGINE: process(1.0),
        POLARS: process(1.25),
        DUCKDB: process(2.6),
        FLOOR: process(0.4),
    }
    assert [
        (goal.limit, goal.met)
        for goal in process_goals(1_000_000, "1m", of_peers)
    ] == [
        (0.65, False),
        (0.4, True),
        (2.5, True),
    ]
    one_row = {ENGINE: process(0.46), DAGSTER: process(5.0, first_step_s=1.1)}
    assert [
        (goal.limit, goal.met) for goal in process_goals(1, "1", one_row)
    ] == [
        (0.45, False),
        (1.1, True),
    ]
    assert list(process_goals(7, "7", one_row)) == []


def test_goals_of_sizes_that_were_not_measured_are_left_out() -> None:
    assert list(size_goals({})) == []


def test_a_variant_is_held_against_the_clean_feed() -> None:
    (goal,) = variant_goals(
        {"clean": samples(1.0), "20 % bad rows": samples(1.9)}
    )
    assert (goal.measured, goal.met) == (1.9, True)


def test_a_baseline_may_cost_15_percent_of_a_run_without_one() -> None:
    measured = {
        "none": samples(2.0),
        "same": samples(2.3),
        "another": samples(2.4),
    }
    assert [goal.met for goal in changes_goals(measured, "none")] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("work_s", "peak_mib", "met"),
    [(7.0, 364.0, [True, True]), (7.1, 364.1, [False, False])],
)
def test_a_hostile_feed_may_take_three_times_a_clean_one_and_a_little_more(
    work_s: float, peak_mib: float, met: list[bool]
) -> None:
    name = "all rows refused"
    measured = {"clean": samples(2.0), name: samples(work_s, peak_mib=peak_mib)}
    assert [goal.met for goal in hostile_goals(measured)] == met


def test_the_memory_of_one_large_feed_is_in_gb() -> None:
    assert single_feed_goal(samples(1.0, peak_mib=1e9 / 2**20)).measured == 1.0


def test_feeds_that_differ_between_contenders_are_refused() -> None:
    with pytest.raises(DisagreementError, match="Polars"):
        check_agreement(
            {ENGINE: samples(1.0), POLARS: samples(1.0, sha256="other")}
        )


def test_a_contender_that_wrote_no_feed_is_refused() -> None:
    with pytest.raises(DisagreementError):
        check_agreement({ENGINE: samples(1.0, sha256=None)})


def test_documents_are_judged_by_the_cpu_time_of_the_whole_process() -> None:
    def measured(cpu_s: float, peak_mib: float) -> Samples:
        return Samples([Measured(0.1, 1.0, cpu_s, 1.0, peak_mib, "same")])

    formats = {
        "csv": measured(2.0, 100.0),
        "json": measured(6.2, 240.0),
        "xml": measured(7.9, 260.0),
    }
    goals = [*format_goals(formats, rows=100_000, cells_mib=50.0)]
    assert [
        (goal.what, goal.limit, goal.measured, goal.met) for goal in goals
    ] == [
        ("CPU of a CSV: json", 3.0, 3.1, False),
        ("memory of a CSV and its cells: json", 250.0, 240.0, True),
        ("CPU of a CSV: xml", 4.0, 3.95, True),
        ("memory of a CSV and its cells: xml", 250.0, 260.0, False),
    ]
    larger = format_goals(formats, rows=1_000_000, cells_mib=50.0)
    assert [goal.what for goal in larger] == [goals[1].what, goals[3].what]


def test_price_lists_have_a_goal_for_all_of_them_and_for_each() -> None:
    times = {"a": 0.7, "b": 0.9, "c": 0.8}
    results = {
        name: {ENGINE: samples(ratio), POLARS: samples(1.0)}
        for name, ratio in times.items()
    }
    goals = [(g.what, g.measured, g.met) for g in list_goals(results)]
    assert goals == [
        ("time of Polars, real price lists", 0.8, True),
        ("time of Polars: a", 0.7, True),
        ("time of Polars: b", 0.9, False),
        ("time of Polars: c", 0.8, True),
    ]
