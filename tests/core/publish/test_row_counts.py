"""Where every row went: of each vendor the counts add up to what was read."""

from __future__ import annotations

from typing import Any

import pytest

from relay_core.domain.errors import ContractBrokenError
from relay_core.merge.row_counts import RowCounts
from support.builders import feed
from support.reported_runs import go_through

ORDER = tuple(RowCounts(0, 0, 0).as_dict())


def rows(
    feeds: dict[str, bytes], **asked: Any
) -> dict[str, dict[str, int | None]]:
    row_counts = go_through(feeds, **asked).findings.rows
    return {
        name: vendor_counts.as_dict()
        for name, vendor_counts in row_counts.items()
    }


def counts(*numbers: int | None) -> dict[str, int | None]:
    return dict(zip(ORDER, numbers, strict=True))


def test_the_counts_stand_in_their_order() -> None:
    assert " ".join(ORDER) == (
        "read skipped refused duplicates left_out same_sku outbid unpriced won"
    )


def test_each_row_of_a_vendor_is_counted_once() -> None:
    assert rows(
        {
            "north": feed("A,1,1", "A,1,2", "B,1,9", "C,x,1", "D,1,"),
            "south": feed("A,1,3", "B,1,2", "B,1,1", "D,1,", "E,1,0.5"),
        },
        pricing={
            "base_margin_pct": "0.2",
            "min_price": 0,
            "shipping_handling_flat": 0,
            "rules": [
                {
                    "when": {"cost_from": "0.5", "cost_below": "0.6"},
                    "leave_out": True,
                }
            ],
        },
    ) == {
        "north": counts(5, 0, 1, 0, 0, 1, 1, 1, 1),
        "south": counts(5, 0, 0, 0, 1, 1, 2, 0, 1),
    }


@pytest.mark.parametrize("duplicate_skus", ["first", "last", "sum"])
def test_rows_for_which_another_stands_are_duplicates_of_a_vendor_that_is_left_out_too(
    duplicate_skus: str,
) -> None:
    options: dict[str, Any] = {"duplicate_skus": duplicate_skus}
    twice = feed("A,1,1", "A,1,2", "B,x,1")
    assert rows({"north": twice}, vendors={"north": options}) == {
        "north": counts(3, 0, 1, 1, 0, 0, 0, 0, 1)
    }
    left_out = {
        **options,
        "on_trouble": "leave_out",
        "max_invalid_row_pct": "0.1",
    }
    counted = rows(
        {"north": twice, "south": feed("A,1,1")},
        vendors={"north": left_out, "south": {}},
    )
    assert counted["north"] == counts(3, 0, 1, 1, 1, 0, 0, 0, 0)


def test_an_empty_feed_has_zeros_and_one_that_cannot_be_read_is_absent() -> (
    None
):
    optional = {"required": False, "on_trouble": "leave_out"}
    feeds = {
        "north": feed("A,1,1"),
        "south": feed(),
        "west": b"\xff",
        "east": b"name\n1\n",
    }
    counted = rows(
        feeds,
        vendors={
            "north": {},
            **dict.fromkeys(("south", "west", "east", "gone"), optional),
        },
    )
    assert counted == {
        "north": counts(1, 0, 0, 0, 0, 0, 0, 0, 1),
        "south": counts(*[0] * 9),
    }


def test_of_a_failed_run_it_is_not_known_what_became_of_valid_rows() -> None:
    assert rows({"north": feed("A,1,1", "B,x,1"), "south": b"\xff"}) == {
        "north": counts(2, 0, 1, *[None] * 6)
    }
    unpriced = rows({"north": feed("A,1,")})
    assert unpriced == {"north": counts(1, 0, 0, *[None] * 6)}


def test_rows_that_do_not_add_up_are_a_defect() -> None:
    with pytest.raises(ContractBrokenError, match="do not add up"):
        RowCounts(
            **counts(3, 0, 0, 0, 0, 0, 0, 0, 2)  # type: ignore[arg-type]
        )
