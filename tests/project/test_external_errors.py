"""Codes of errors, ours and others'."""

import pytest

from relay_dagster.external_errors import ThrottledError, error_code_of
from relay_dagster.runs.errors import TenantBusyError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ThrottledError("s3.PutObject", "slow down"), "throttled"),
        (TenantBusyError("acme", "r"), "TENANT_ALREADY_RUNNING"),
        (ZeroDivisionError("a defect"), "internal_error"),
    ],
)
def test_an_error_without_a_code_is_a_defect(
    error: Exception, code: str
) -> None:
    assert error_code_of(error) == code


def test_a_message_names_the_call() -> None:
    assert (
        str(ThrottledError("s3.PutObject", "slow down"))
        == "s3.PutObject: slow down"
    )
