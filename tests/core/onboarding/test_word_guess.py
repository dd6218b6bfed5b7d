"""Words in columns of numbers and times: for nothing, and for quantities."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

import pytest

from relay_core.onboarding.word_guess import (
    guess_null_values,
    quantity_word_notes,
)
from support.builders import tenant_config, vendor_document

PARSER = tenant_config(vendor_document()).vendors[0].parser
ZONE = ZoneInfo("UTC")


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"cost": ["1.50", "N/A", "n/a", "-"]}, ("n/a", "-")),
        ({"cost": ["$1.50", "$-", "$  -"]}, ("$-", "$  -")),
        (
            {
                "updated_at": ["2026-03-01", "NULL"],
                "condition": ["new", "none"],
            },
            ("none", "NULL"),
        ),
        ({"quantity_available": ["n/a"]}, ()),
        ({"cost": ["VARIABLE", "call"], "lead_time_days": ["7"]}, ()),
    ],
)
def test_words_for_nothing_are_found_where_a_column_may_be_empty(
    cells: Mapping[str, list[str]], words: tuple[str, ...]
) -> None:
    assert set(guess_null_values(cells, PARSER, ZONE)) == set(words)


def test_words_for_quantities_are_named_and_faulty_numbers_are_not() -> None:
    cells = [
        "In stock",
        "5",
        "In stock",
        ">100",
        "-2",
        "1,5",
        "few",
        "none left",
    ]
    (note,) = quantity_word_notes(
        {"quantity_available": cells, "cost": ["call"]}, PARSER, ZONE
    )
    assert note.startswith(
        'Some cells of quantity_available are not numbers: "In stock" (2), ">100" (1), '
        '"few" (1), "none left" (1). Give each word a number'
    )
