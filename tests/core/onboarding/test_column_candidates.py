"""Which headers could be a column, by what stands under them and by their names."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from relay_core.onboarding.check_results import Candidate
from relay_core.onboarding.header_guess import candidates
from support.builders import tenant_config, vendor_document

PARSER = (
    tenant_config(vendor_document(parser={"thousands_separator": ","}))
    .vendors[0]
    .parser
)
CELLS = {
    "Code": ["A-1", "B-2", "C-3"],
    "Group": ["A", "A", "B"],
    "Weight": ["1.5", "2", "2.5"],
    "Fee": ["1,970.00", "3.10", "12"],
    "Blank": [],
    "Shelf": ["4", "4", "5"],
    "Stoc": ["1", "0", "12.0"],
    "Seen": ["2026-03-01", "2026-03-02", "2026-03-02"],
}


@pytest.mark.parametrize(
    ("column", "headers"),
    [
        ("quantity_available", ("Stoc", "Shelf")),
        ("cost", ("Fee", "Weight", "Shelf", "Stoc")),
        ("updated_at", ("Seen",)),
        ("sku", ("Code", "Weight", "Fee", "Stoc")),
    ],
)
def test_the_headers_whose_cells_fit_come_by_name(
    column: str, headers: tuple[str, ...]
) -> None:
    headers_found = tuple(
        candidate.header
        for candidate in candidates(column, CELLS, PARSER, ZoneInfo("UTC"))
    )
    assert set(headers_found) == set(headers)
    assert column != "quantity_available" or headers_found == headers


def test_a_few_cells_that_do_not_fit_and_no_more() -> None:
    cells = {"a": [*map(str, range(9)), "VARIABLE"], "b": ["1", "VARIABLE"]}
    assert candidates("quantity_available", cells, PARSER, ZoneInfo("UTC")) == (
        Candidate("a", 0.29, ("0", "1", "2")),
    )


def test_of_amounts_the_middle_one_is_told() -> None:
    by_header = {
        candidate.header: candidate
        for candidate in candidates("cost", CELLS, PARSER, ZoneInfo("UTC"))
    }
    fee = by_header["Fee"]
    assert (fee.header, fee.median, fee.samples) == (
        "Fee",
        "12.00",
        ("1,970.00", "3.10", "12"),
    )


def test_five_are_named() -> None:
    cells = {f"Stock {place}": ["1"] for place in range(9)}
    assert (
        len(candidates("quantity_available", cells, PARSER, ZoneInfo("UTC")))
        == 5
    )
