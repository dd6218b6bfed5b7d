"""Files of changes: what a delta replaces, what it deletes, and what it leaves as it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from support.builders import REQUESTED_AT, feed
from support.file_lists import ListRun, NamedFile, part, run_files

HEADER = "sku,quantity_available,cost"
CHANGES: dict[str, Any] = {"full": "full*", "delta": "delta*"}
DELETING = {**CHANGES, "deleted": {"column": "act", "is": ["D", "gone"]}}


def full(*rows: str, header: str = HEADER, **options: Any) -> NamedFile:
    return NamedFile("full.csv", feed(*rows, header=header), **options)


def delta(
    number: int, *rows: str, header: str = HEADER, **options: Any
) -> NamedFile:
    data = feed(*rows, header=header)
    name = f"delta-{number}.csv"
    return NamedFile(
        name, data, options.pop("part_id", None), "delta", **options
    )


def changed(
    *files: NamedFile,
    changes: dict[str, Any] | None = None,
    duplicate_skus: str = "last",
    **options: Any,
) -> ListRun:
    return run_files(
        files,
        changes=changes or CHANGES,
        duplicate_skus=duplicate_skus,
        **options,
    )


def quantities(run: ListRun) -> dict[str, int]:
    return {row["sku"]: int(row["quantity_available"]) for row in run.rows}


def test_a_valid_row_of_a_delta_replaces_the_rows_of_its_sku_as_a_whole() -> (
    None
):
    run = changed(
        full("A,1,5", "B,2,6", "C,3,7"),
        delta(1, "B,20,", "D,4,8"),
        delta(2, "B,30,9", "E,5,1"),
    )
    assert [
        (row["sku"], row["quantity_available"], row["cost"]) for row in run.rows
    ] == [
        ("A", "1", "5.00"),
        ("B", "30", "9.00"),
        ("C", "3", "7.00"),
        ("D", "4", "8.00"),
        ("E", "5", "1.00"),
    ]
    assert run.counts == {
        "read": 7,
        "skipped": 0,
        "refused": 0,
        "replaced": 2,
        "duplicates": 0,
        "left_out": 0,
        "same_sku": 0,
        "outbid": 0,
        "unpriced": 0,
        "won": 5,
    }
    assert run.findings.counts()["total_rows"] == 7
    assert run.findings.valid_rows() == {"acme": 5}


def test_it_is_the_own_sku_before_the_map_that_counts() -> None:
    run = changed(
        full("A,1,5", "S,2,6"),
        delta(1, "A,7,8"),
        sku_map=b"vendor_sku,sku\nA,S\n",
    )
    assert [(row["sku"], row["quantity_available"]) for row in run.rows] == [
        ("S", "2"),
        ("S", "7"),
    ]


def test_a_later_delta_mends_a_rejected_row_which_is_in_no_report_then() -> (
    None
):
    run = changed(full("A,x,5", "B,y,5"), delta(1, "A,1,5"))
    assert run.rejected == [("full.csv", 3, "invalid_quantity")]
    assert run.counts["replaced"] == 1
    assert run.counts["refused"] == 1
    assert run.findings.counts() == {
        "record_count": 1,
        "total_rows": 3,
        "invalid_rows": 1,
        "unpriced_skus": 0,
    }


def test_a_record_of_another_width_is_not_replaced() -> None:
    run = changed(full("A,1,5,more", "B,1,5"), delta(1, "A,2,5"))
    assert run.rejected == [("full.csv", 2, "column_count")]
    assert quantities(run) == {"A": 2, "B": 1}
    assert run.counts["replaced"] == 0


def test_a_rejected_row_of_a_delta_changes_nothing() -> None:
    run = changed(full("A,1,5"), delta(1, "A,x,5"), delta(2, ",1,1"))
    assert quantities(run) == {"A": 1}
    assert run.rejected == [
        ("delta-1.csv", 2, "invalid_quantity"),
        ("delta-2.csv", 2, "missing_sku"),
    ]


def test_a_delta_without_a_row_is_no_trouble_and_a_full_is() -> None:
    nothing = NamedFile("delta-1.csv", b"", None, "delta")
    run = changed(full("A,1,5"), nothing, delta(2))
    assert quantities(run) == {"A": 1}
    assert run.warnings == {}
    run = changed(full(), delta(1, "A,1,5"))
    assert run.findings.failure is not None
    assert run.findings.failure.error_code == "no_rows_parsed"
    assert run.findings.rows == {}


def test_an_optional_vendor_whose_full_has_no_row_is_counted_with_zeros() -> (
    None
):
    run = changed(
        full(),
        delta(1, "A,1,5"),
        required=False,
        others={"other": feed("B,1,5", header=HEADER)},
    )
    assert run.findings.failure is None
    assert list(run.warnings) == ["EMPTY_FEED"]
    assert set(run.counts.values()) == {0}
    assert [row["sku"] for row in run.feed] == ["B"]


def test_a_named_record_deletes_the_rows_of_its_sku() -> None:
    header = f"{HEADER},act"
    run = changed(
        full("A,1,5", "B,2,6", "C,x,6", "D,4,1"),
        delta(
            *(1, "A,,,d", "C,,, gone ", ",,,D", "X,,,D", "D,7,7,"),
            header=header,
        ),
        delta(2, "A,9,9,", header=header),
        changes=DELETING,
    )
    assert quantities(run) == {"A": 9, "B": 2, "D": 7}
    assert run.rejected == []
    assert run.counts["skipped"] == 4
    assert run.counts["replaced"] == 3
    assert run.counts["read"] == 10


def test_a_valid_row_of_the_same_delta_stands_against_its_deletion() -> None:
    header = f"{HEADER},act"
    for rows in (("A,,,D", "A,9,9,"), ("A,9,9,", "A,,,D")):
        run = changed(
            full("A,1,5", "B,1,5"),
            delta(1, *rows, header=header),
            changes=DELETING,
        )
        assert quantities(run) == {"A": 9, "B": 1}


def test_rows_to_skip_are_judged_before_those_that_delete() -> None:
    header = f"{HEADER},act"
    parser = {"format": "csv", "skip_rows": [{"column": "act", "is": ["D"]}]}
    run = changed(
        full("A,1,5,", header=header),
        delta(1, "A,,,D", header=header),
        changes=DELETING,
        parser=parser,
    )
    assert quantities(run) == {"A": 1}
    assert run.counts["skipped"] == 1


def test_the_header_of_deleted_must_be_in_each_delta_not_in_a_full() -> None:
    run = changed(full("A,1,5"), delta(1, "A,2,5"), changes=DELETING)
    assert run.findings.failure is not None
    assert run.findings.failure.error_code == "missing_required_columns"
    assert "'act'" in run.findings.failure.error_message
    header = f"{HEADER},act"
    run = changed(full("A,1,5,D", "B,1,5,", header=header), changes=DELETING)
    assert quantities(run) == {"B": 1}
    assert run.counts["skipped"] == 1
    assert run.counts["replaced"] == 0


def test_missing_fields_of_a_deleting_record_are_empty() -> None:
    empty = {**CHANGES, "deleted": {"column": "act", "is": "empty"}}
    header = f"{HEADER},act"
    run = changed(
        full("A,1,5", "B,1,5"),
        delta(1, "A", "B,2,2,keep", header=header),
        changes=empty,
    )
    assert quantities(run) == {"B": 2}
    assert run.rejected == []
    assert run.counts["skipped"] == 1


@pytest.mark.parametrize(
    ("policy", "rows", "refused", "duplicates"),
    [
        ("first", [("A", 3), ("B", 2)], 0, 2),
        ("last", [("A", 5), ("B", 1)], 0, 2),
        ("sum", [("A", 8), ("B", 3)], 0, 2),
        ("refuse", [], 4, 0),
    ],
)
def test_duplicates_are_asked_within_each_file_after_replacing(
    policy: str, rows: list[tuple[str, int]], refused: int, duplicates: int
) -> None:
    run = changed(
        full("A,1,5", "A,2,5", "B,2,5", "B,1,5"),
        delta(1, "A,3,5", "A,5,5"),
        duplicate_skus=policy,
    )
    assert list(quantities(run).items()) == rows
    assert run.findings.counts()["invalid_rows"] == refused
    assert run.counts["replaced"] == 2
    if rows:
        assert run.counts["duplicates"] == duplicates
        assert run.counts["won"] == 2


def test_normalized_csv_has_the_sums_of_each_file() -> None:
    run = run_files(
        [
            full("A,1,5", "A,2,5"),
            NamedFile("w.csv", feed("A,4,5", "A,5,5", header=HEADER), "west"),
        ],
        parts=[part("west", gives="rows")],
        changes=CHANGES,
        duplicate_skus="sum",
    )
    assert [row["quantity_available"] for row in run.rows] == ["3", "4", "5"]
    assert [row["quantity_available"] for row in run.feed] == ["12"]
    assert run.counts["duplicates"] == 3


def test_a_part_has_changes_of_its_own() -> None:
    header = "sku,quantity_available"
    files = [
        NamedFile("prices.csv", feed("A,1", "B,2", "C,3", header="sku,cost")),
        full("A,1", "B,2", "X,9", header=header, part_id="stock"),
        delta(1, "B,20", "C,30", header=header, part_id="stock"),
        delta(2, "C,31", "C,32", header=header, part_id="stock"),
    ]
    run = run_files(files, parts=[part(changes=CHANGES, duplicate_skus="sum")])
    assert quantities(run) == {"A": 1, "B": 20, "C": 63}
    assert run.counts["parts"] == {
        "stock": {
            "read": 7,
            "skipped": 0,
            "refused": 0,
            "replaced": 2,
            "duplicates": 1,
            "used": 3,
            "unused": 1,
        }
    }
    assert "replaced" not in run.counts
    rows = run_files(
        [
            NamedFile("a.csv", feed("A,1,1", header=HEADER)),
            full("B,1,1", part_id="west"),
            delta(1, "B,2,2", part_id="west"),
        ],
        parts=[part("west", gives="rows", changes=CHANGES)],
        duplicate_skus="last",
    )
    assert rows.counts["parts"] == {
        "west": {"read": 2, "skipped": 0, "refused": 0, "replaced": 1}
    }
    assert rows.counts["replaced"] == 1


@pytest.mark.parametrize(
    ("policy", "quantities_of_rows"),
    [
        ("first", {"A": 1, "B": 1}),
        ("last", {"A": 1, "B": 2}),
        ("sum", {"A": 1, "B": 3}),
        ("refuse", {"A": 1}),
    ],
)
def test_the_vendor_s_policy_judges_equal_skus_of_a_part_that_gives_rows(
    policy: str, quantities_of_rows: dict[str, int]
) -> None:
    run = run_files(
        [
            NamedFile("a.csv", feed("A,1,1", header=HEADER)),
            full("B,1,1", " B ,2,2", part_id="west"),
        ],
        parts=[part("west", gives="rows", changes=CHANGES)],
        duplicate_skus=policy,
    )
    assert {
        row["sku"]: int(row["quantity_available"]) for row in run.feed
    } == quantities_of_rows
    refused_count = 2 if policy == "refuse" else 0
    assert run.findings.counts()["invalid_rows"] == refused_count


# --- ages ---------------------------------------------------------------------------------------


def at(hours: float) -> dict[str, Any]:
    return {"uploaded_at": REQUESTED_AT - timedelta(hours=hours)}


def failure_of(run: ListRun) -> tuple[str, str] | None:
    failure = run.findings.failure
    return failure and (failure.error_code, failure.error_message)


def test_more_deltas_than_there_may_be_are_a_stale_feed() -> None:
    files = [full("A,1,1"), *(delta(n, f"B,{n},1") for n in range(3))]
    changes = {**CHANGES, "max_deltas": 2}
    failure = failure_of(changed(*files, changes=changes))
    assert failure is not None
    assert failure[0] == "STALE_FEED"
    assert "3 files of changes" in failure[1]
    assert failure_of(changed(*files[:-1], changes=changes)) is None


def test_an_old_full_or_no_recent_file_is_a_stale_feed() -> None:
    files = [full("A,1,1", **at(10)), delta(1, "B,1,1", **at(3))]
    old_full = changed(*files, max_feed_age_hours=9)
    failure = failure_of(old_full)
    assert failure is not None
    assert failure[0] == "STALE_FEED"
    assert failure[1] == (
        "stale feed: the latest full file of vendor 'acme' is 10.0 hours old, but "
        "max_feed_age_hours is 9. Ask the vendor for a new full file."
    )
    changes = {**CHANGES, "max_delta_age_hours": 2}
    failure = failure_of(
        changed(*files, changes=changes, max_feed_age_hours=10)
    )
    assert failure is not None
    assert failure[0] == "STALE_FEED"
    assert "3.0 hours old, but max_delta_age_hours is 2" in failure[1]
    changes["max_delta_age_hours"] = 3
    run = changed(*files, changes=changes, max_feed_age_hours=10)
    assert failure_of(run) is None
    (result,) = run.findings.vendor_results(REQUESTED_AT)
    assert result.age_hours == 3


@pytest.mark.parametrize(
    ("hours_of_files", "told"),
    [
        ([2], None),
        ([2.05], "2.1 hours old, but max_delta_age_hours is 2"),
        ([9, 5, 2], None),
        ([9, 5, 3], "3.0 hours old, but max_delta_age_hours is 2"),
    ],
)
def test_the_newest_file_alone_has_the_age_of_changes(
    hours_of_files: list[float], told: str | None
) -> None:
    files = [full("A,1,1", **at(hours_of_files[0]))]
    for number, hours in enumerate(hours_of_files[1:], 1):
        files.append(delta(number, f"B,{number},1", **at(hours)))
    changes = {**CHANGES, "max_delta_age_hours": 2}
    failure = failure_of(changed(*files, changes=changes))
    if told is None:
        assert failure is None
    else:
        assert failure is not None
        assert failure[0] == "STALE_FEED"
        assert told in failure[1]


def run_with_part(
    column: str, base: NamedFile, *hours: float, delta_age: int, **options: Any
) -> ListRun:
    """Take a run of a new base, and of a full and a delta of a part of some ages."""
    header = f"sku,{column}"
    full_at, delta_at = map(at, hours)
    changes = {**CHANGES, "max_delta_age_hours": delta_age}
    return run_files(
        [
            base,
            full("A,1", header=header, part_id="stock", **full_at),
            delta(1, "A,2", header=header, part_id="stock", **delta_at),
        ],
        parts=[part(gives=[column], changes=changes, **options)],
    )


@pytest.mark.parametrize(
    ("feed_age", "delta_age", "told"),
    [
        (9, 2, None),
        (9, 1, "2.0 hours old, but max_delta_age_hours is 1"),
        (8, 2, "9.0 hours old, but max_feed_age_hours is 8"),
    ],
)
def test_the_changes_of_a_part_are_as_old_as_their_newest_file(
    feed_age: int, delta_age: int, told: str | None
) -> None:
    run = run_with_part(
        "quantity_available",
        NamedFile("base.csv", feed("A,5", header="sku,cost"), **at(0)),
        *(9, 2),
        delta_age=delta_age,
        max_feed_age_hours=feed_age,
    )
    failure = failure_of(run)
    if told is None:
        assert failure is None
        (result,) = run.findings.vendor_results(REQUESTED_AT)
        assert result.age_hours == 2
    else:
        assert failure is not None
        assert failure[0] == "STALE_FEED"
        assert "part 'stock' of vendor 'acme'" in failure[1]
        assert told in failure[1]


def test_an_optional_part_with_old_changes_is_left_out() -> None:
    options: dict[str, Any] = {"required": False, "unmatched": None}
    base = full("A,1,5", **at(0))
    run = run_with_part("lead_time_days", base, 9, 2, delta_age=1, **options)
    assert failure_of(run) is None
    assert list(run.warnings) == ["PART_LEFT_OUT"]
    assert "STALE_FEED" in run.warnings["PART_LEFT_OUT"]
    assert "max_delta_age_hours is 1" in run.warnings["PART_LEFT_OUT"]
    assert [row["lead_time_days"] for row in run.rows] == [""]
    assert run.counts["parts"] == {}
    result = run_with_part("lead_time_days", base, 9, 1, delta_age=1, **options)
    assert [row["lead_time_days"] for row in result.rows] == ["2"]
