"""When a run would take a feed as its config stands."""

from __future__ import annotations

from typing import Any

import pytest

from relay_core.onboarding.feed_check import check_feed
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.onboarding.findings import is_right, limits_passed
from support.builders import feed, tenant_config, vendor_document

LENIENT = {"max_invalid_rows": 1, "max_invalid_row_pct": "0.5"}


def judged(
    data: bytes, policy: dict[str, Any], **vendor: Any
) -> tuple[bool, list[str]]:
    config = tenant_config(vendor_document(**vendor), error_policy=policy)
    own_vendor = config.vendors[0]
    check = check_feed(
        FeedSample(data, is_whole=True), own_vendor.parser, config
    )
    return is_right(check, own_vendor, config), limits_passed(
        check.best, own_vendor, config
    )


@pytest.mark.parametrize(
    ("data", "policy", "right"),
    [
        (feed("A,1,2"), {}, True),
        (feed("A,1,2", "B,1,?"), {}, False),
        (feed("A,1,2", "B,1,?"), LENIENT, True),
        (feed("A,1,2", "B,?,?", "C,?,1"), LENIENT, False),
        (feed("A,1,2", header="sku,quantity_available,Cost"), {}, False),
        (feed("A,1,x", header="sku,quantity_available,title"), {}, False),
        (feed(), {}, False),
        (b"sku;quantity_available;cost\nA;1;2\n", {}, False),
    ],
)
def test_a_feed_is_right_where_a_run_would_not_fail_and_no_patch_helps(
    data: bytes, policy: dict[str, Any], right: bool
) -> None:
    assert judged(data, policy)[0] == right


def test_the_vendors_own_limit_is_told_before_the_runs() -> None:
    vendor_reason, run = judged(
        feed("A,1,2", "B,1,?"), {}, max_invalid_row_pct="0.1"
    )[1]
    assert "of vendor 'vendor_1'" in vendor_reason
    assert "error_policy.max_invalid_rows is 0" in run
