"""What is said of headers that are missing is short, however many and long those found are."""

from __future__ import annotations

import pytest

from relay_core.ingest.column_mapping import missing_columns_error


@pytest.mark.parametrize(
    "headers",
    [["h"] * 100_000, ["h" * 100_000] * 20, [""] * 100_000],
    ids=["many", "long", "none"],
)
def test_a_message_names_some_of_many_headers_and_cuts_long_ones(
    headers: list[str],
) -> None:
    message = str(missing_columns_error(["sku", "quantity_available"], headers))

    assert len(message) < 5_000
    assert message.startswith(
        "missing required columns: 'sku', 'quantity_available'. The headers"
    )
    assert f"and {len(headers) - 10} more" in message


@pytest.mark.parametrize(
    ("missing", "headers", "told"),
    [
        (
            ["sku"],
            ["Unit Price"],
            "missing required columns: 'sku'. The headers found are 'Unit Price'. "
            "Map the vendor's headers in parser.column_map.",
        ),
        (
            ["Part No", "Net"],
            ["Part Number", "Fee"],
            "missing required columns: 'Part No' (nearest: 'Part Number'), 'Net'. The "
            "headers found are 'Part Number', 'Fee'. Map the vendor's headers in "
            "parser.column_map, or set a default in parser.defaults.",
        ),
    ],
    ids=["an SKU has no default", "likeness"],
)
def test_a_hint_is_given_with_likeness_alone_and_advice_that_applies(
    missing: list[str], headers: list[str], told: str
) -> None:
    assert str(missing_columns_error(missing, headers)) == told


def test_a_message_cuts_long_names_of_its_own() -> None:
    assert len(str(missing_columns_error(["s" * 100_000], ["sku"]))) < 1_000
