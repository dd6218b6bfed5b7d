"""A config that says where the SKU is, patched and answered, beside one by hand."""

from __future__ import annotations

from typing import Any

from first_patch import (
    asks,
    column_differences,
    differences,
    options_told,
    with_answers,
    with_nothing,
    with_patch,
    with_sku_alone,
)
from support.builders import config_document, vendor_document

BY_HAND = config_document(
    vendor_document(
        parser={
            "delimiter": ";",
            "columns": ["code", "stock", "fee"],
            "column_map": {"sku": "code", "cost": "fee"},
            "defaults": {"quantity_available": 1, "title": "-"},
        }
    )
)
COLUMNS = ["column 1", "column 2", "column 3"]
PRINTED = f"""# vendor_1, f.csv: problems found
#   No header matches quantity_available. Map the column
#   No header clearly matches cost. Candidates: "column 3". Map the column
vendors:
- vendor_id: vendor_1
  parser: {{format: csv, delimiter: ;, columns: {COLUMNS}, column_map: {{sku: column 1}}}}
"""


def parser_of(document: Any) -> dict[str, Any]:
    parser: dict[str, Any] = document["vendors"][0]["parser"]
    return parser


def test_the_start_says_nothing_but_which_column_holds_the_sku() -> None:
    assert parser_of(with_sku_alone(BY_HAND)) == {
        "format": "csv",
        "column_map": {"sku": "column 1"},
    }
    named = config_document(
        vendor_document(parser={"column_map": {"cost": "Fee"}})
    )
    assert parser_of(with_sku_alone(named))["column_map"] == {"sku": "sku"}


def test_what_was_asked_and_no_more_is_answered_as_by_hand() -> None:
    patched = with_patch(with_sku_alone(BY_HAND), PRINTED)
    assert parser_of(patched)["delimiter"] == ";"
    answered = with_answers(patched, BY_HAND, PRINTED)
    assert parser_of(answered)["column_map"] == {
        "sku": "column 1",
        "cost": "column 3",
    }
    assert parser_of(answered)["defaults"] == {"quantity_available": 1}
    assert differences(answered, BY_HAND) == []
    assert options_told(answered) == "delimiter ';', columns 3"


def test_without_a_patch_nothing_changes_and_the_differences_are_told() -> None:
    bare = with_sku_alone(BY_HAND)
    assert with_patch(bare, "# vendor_1, f.csv: no problems\n") == bare
    assert differences(bare, BY_HAND) == [
        "vendor_1: delimiter is ',', by hand ';'",
        "vendor_1: columns is 0, by hand 3",
    ]


def test_a_proposal_is_compared_by_the_headers_of_sku_and_cost() -> None:
    bare = with_nothing(BY_HAND)
    assert parser_of(bare) == {"format": "csv"}
    patched = with_patch(bare, PRINTED)
    assert column_differences(patched, BY_HAND) == [
        "vendor_1: cost is None, by hand 'column 3'"
    ]
    assert asks(PRINTED)
    assert not asks(PRINTED.replace("No header", "Some header"))
