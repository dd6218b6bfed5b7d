"""docs/LIMITS.md says of every limit what the code says."""

from __future__ import annotations

from dataclasses import fields

import pytest

from limits_page import FIXED, limits_page, meanings_of
from relay_dagster.settings import LimitSettings
from support.pages import PAGES

PAGE = PAGES["docs/LIMITS.md"]


def test_the_page_is_made_of_where_the_limits_stand() -> None:
    assert limits_page() == PAGE, (
        "python tests/reference/limits_page.py writes it again"
    )


@pytest.mark.parametrize(
    "limits", FIXED, ids=lambda limits: type(limits).__name__
)
def test_every_limit_says_of_what_it_is(limits: object) -> None:
    assert list(meanings_of(type(limits))) == [
        field.name for field in fields(limits)
    ]


def test_every_limit_of_a_setting_is_the_engines() -> None:
    limits = LimitSettings.from_env({}).limits
    for name in LimitSettings.model_fields:
        field = name.removeprefix("max_")
        if hasattr(limits, field):
            changed = LimitSettings.model_validate({name: 7}).limits
            assert getattr(changed, field) == 7, name
