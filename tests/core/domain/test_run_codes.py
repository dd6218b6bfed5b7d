"""Whose a failure is to mend."""

from __future__ import annotations

import pytest

from relay_core.domain.codes import FailureClass, FailureCode
from relay_core.domain.run_codes import class_of

TENANT_CONFIG = {
    "missing_tenant_config",
    "unsupported_schema_version",
    "missing_sku_map",
    "missing_catalog",
    "empty_output",
}
PLATFORM = {"POISON_JOB", "RUN_TIMEOUT"}


@pytest.mark.parametrize("code", FailureCode)
def test_every_code_is_somebodys_to_mend(code: FailureCode) -> None:
    failure_class = (
        FailureClass.TENANT_CONFIG
        if code in TENANT_CONFIG
        else FailureClass.PLATFORM
        if code in PLATFORM
        else FailureClass.VENDOR_DATA
    )
    assert class_of(str(code)) is failure_class


@pytest.mark.parametrize(
    ("attempt_code", "whose"),
    [
        ("invalid_config", FailureClass.TENANT_CONFIG),
        ("throttled", FailureClass.PLATFORM),
        (None, FailureClass.PLATFORM),
    ],
)
def test_poison_is_the_tenants_where_its_config_does_not_validate(
    attempt_code: str | None, whose: FailureClass
) -> None:
    assert class_of("POISON_JOB", attempt_code) is whose
