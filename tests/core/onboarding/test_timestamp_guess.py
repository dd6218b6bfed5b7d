"""Days and times in the forms that price lists have, told apart from one another."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from relay_core.onboarding.timestamp_guess import guess_timestamps
from support.builders import tenant_config, vendor_document

ZONE = ZoneInfo("UTC")


def guessed(*cells: str, **parser: Any) -> tuple[list[str], str]:
    options = tenant_config(vendor_document(parser=parser)).vendors[0].parser
    return guess_timestamps(cells, options, ZONE)


@pytest.mark.parametrize(
    ("cells", "formats"),
    [
        (["2026-03-01", "2026-03-01T08:00:00Z"], ()),
        ([], ()),
        (["soon", "next week"], ()),
        (["01.03.2026", "31.12.2025"], ("%d.%m.%Y",)),
        (["1.3.26 8:05"], ("%d.%m.%y %H:%M",)),
        (
            ["03/01/2026 08:00 PM", "03/31/2026 08:00 AM"],
            ("%m/%d/%Y %I:%M %p",),
        ),
        (["31/03/2026", "01/02/2026"], ("%d/%m/%Y",)),
        (["20260301", "20260331"], ("%Y%m%d",)),
        (["01-Mar-2026"], ("%d-%b-%Y",)),
        (["Mar 1, 2026"], ("%b %d, %Y",)),
        (["01.03.2026", "2026/03/01", "TBD"], ("%d.%m.%Y", "%Y/%m/%d")),
    ],
)
def test_the_formats_that_read_the_cells_are_found(
    cells: list[str], formats: tuple[str, ...]
) -> None:
    assert guessed(*cells) == ([*formats], "")


@pytest.mark.parametrize(
    "cells", [["01/02/2026"], ["05/05/2026", "06/06/2026"]]
)
def test_a_day_that_may_be_a_month_is_left_to_people(cells: list[str]) -> None:
    formats, note = guessed(*cells)
    assert formats == []
    assert (
        f'"{cells[0]}" in updated_at could start with the day or the month'
        in note
    )
    assert '["%m/%d/%Y"] or ["%d/%m/%Y"]' in note


def test_what_the_config_reads_needs_no_format_more() -> None:
    assert guessed("01/02/2026", timestamp_formats=["%d/%m/%Y"]) == ([], "")
