"""Where the rows of a vendor of several files went, in the words of the report."""

from __future__ import annotations

from typing import Any

from relay_core.publish.report.parts import PartRows, VendorRows

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


def outcomes(rows: VendorRows) -> dict[str, str]:
    return {fate.words: fate.rows for fate in rows.fates}


def test_the_bar_has_replaced_and_unmatched_rows_to_its_end() -> None:
    parts = {"prices": PRICES}
    rows = VendorRows.of("granite", {**COUNTS, "parts": parts})
    assert outcomes(rows) == {
        "In the feed": "3",
        "Taken out, because no row of another file matches": "2",
        "Replaced by a later file of changes": "3",
        "Rejected": "1",
        "Skipped by your settings": "1",
    }
    last = rows.fates[-1]
    assert (last.start, last.length) == ("90.0", "10.0")


def test_a_part_says_how_many_of_its_rows_were_used() -> None:
    south: dict[str, Any] = {"read": 1, "skipped": 0, "refused": 0}
    parts = {"prices": PRICES, "south": south}
    rows = VendorRows.of("granite", {**COUNTS, "parts": parts})
    assert rows.parts == (
        PartRows(
            "prices",
            "8 rows: 3 used; 1 not used, because the vendor's other files do not have "
            "their key; 1 not used, because another row has the same key; 2 replaced "
            "by a later file of changes; 1 rejected",
        ),
        PartRows("south", "1 row"),
    )


def test_rows_that_only_a_catalog_takes_out_are_told_as_before() -> None:
    for parts in ({}, {"south": {"read": 1, "skipped": 0, "refused": 0}}):
        rows = VendorRows.of("granite", {**COUNTS, "parts": parts})
        assert outcomes(rows)["Taken out, because no product matches"] == "2"
