"""Headers matched to columns by the names that price lists give them."""

from __future__ import annotations

import pytest

from relay_core.domain.columns import INPUT_COLUMNS
from relay_core.onboarding import header_names
from relay_core.onboarding.header_guess import match_headers
from support.builders import tenant_config, vendor_document

PARSER = tenant_config(vendor_document()).vendors[0].parser


def test_every_column_that_a_feed_can_give_has_common_names() -> None:
    assert set(INPUT_COLUMNS) - set(header_names._NAMES) == set()


@pytest.mark.parametrize("column", INPUT_COLUMNS)
def test_every_column_that_a_feed_can_give_is_looked_for_by_its_names(
    column: str,
) -> None:
    header = f"{column.replace('_', ' ').title()} (x)"
    assert match_headers(["zzz", header], PARSER, {column}) == {column: header}
    assert match_headers(["zzz"], PARSER, {column}) == {}
