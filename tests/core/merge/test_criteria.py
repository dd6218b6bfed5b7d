"""What decides between offers: a rule for every name, and an end to every tie."""

from __future__ import annotations

from typing import get_args

import pytest

from relay_core.config.models import SortRule
from relay_core.merge.criteria import criteria_of
from support.builders import tenant_config


@pytest.mark.parametrize("name", get_args(SortRule))
def test_every_name_that_a_config_can_give_has_a_rule(name: str) -> None:
    best_offer = {"strategy": "best_offer", "best_offer": {"sort_by": [name]}}
    names = [
        criterion.name
        for criterion in criteria_of(tenant_config(merge=best_offer))
    ]
    aside = ["override", "left_out", "duplicate_skus"]
    assert names == [*aside, "has_price", name, "vendor_id", "row_order"]
