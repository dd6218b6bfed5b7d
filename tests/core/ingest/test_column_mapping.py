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
    assert message.startswith("missing required columns: 'sku' (nearest: ")
    assert f"and {len(headers) - 10} more" in message


def test_a_message_cuts_long_names_of_its_own() -> None:
    assert len(str(missing_columns_error(["s" * 100_000], ["sku"]))) < 1_000
