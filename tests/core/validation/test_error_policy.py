"""The error policy's limits, compared exactly."""

from __future__ import annotations

from typing import Any

import pytest

from relay_core.validation.error_policy import judge_policy
from support.builders import tenant_config


@pytest.mark.parametrize(
    ("policy", "invalid", "total", "within_max", "within_pct"),
    [
        pytest.param({}, [0], [10], True, True, id="nothing_invalid"),
        pytest.param({}, [1], [10], False, False, id="default_is_none"),
        pytest.param(
            {"max_invalid_rows": 3}, [1, 2], [9, 9], True, False, id="max_met"
        ),
        pytest.param(
            {"max_invalid_rows": 2},
            [1, 2],
            [9, 9],
            False,
            False,
            id="max_passed",
        ),
        pytest.param(
            {"max_invalid_row_pct": "0.1"},
            [1, 2],
            [20, 10],
            False,
            True,
            id="pct_met",
        ),
        pytest.param(
            {"max_invalid_row_pct": "0.3333333333333333333"},
            [1],
            [3],
            False,
            False,
            id="exact",
        ),
    ],
)
def test_the_limits_hold_for_the_run_as_a_whole(
    policy: dict[str, Any],
    invalid: list[int],
    total: list[int],
    within_max: bool,
    within_pct: bool,
) -> None:
    verdict = judge_policy(
        tenant_config(error_policy=policy).error_policy, invalid, total
    )

    assert (verdict.within_max, verdict.within_pct) == (within_max, within_pct)


def test_the_message_names_the_limit_its_value_and_the_count() -> None:
    policy = tenant_config(
        error_policy={"max_invalid_rows": 5, "max_invalid_row_pct": "0.25"}
    )

    message = judge_policy(policy.error_policy, [4], [10]).message

    assert message.startswith(
        "validation errors: 4 of 10 rows are rejected, but "
    )
    assert "max_invalid_row_pct is 0.25" in message
    assert "max_invalid_rows" not in message


def test_nothing_is_said_within_the_limits() -> None:
    policy = tenant_config(
        error_policy={"max_invalid_rows": 5, "max_invalid_row_pct": "1"}
    )

    assert judge_policy(policy.error_policy, [4], [10]).message == ""
