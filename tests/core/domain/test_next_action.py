"""What to do about a failed run, in a sentence."""

from __future__ import annotations

import pytest

from relay_core.domain.codes import FailureCode, Stage
from relay_core.domain.records import ReportEntry, RunFailure
from relay_core.domain.run_codes import VENDOR_ROWS
from relay_core.domain.run_faults import failure_of, next_action

OF_VENDORS = {
    "REQUIRED_VENDOR_MISSING",
    "STALE_FEED",
    "feed_too_large",
    "missing_sku_map",
    "DECODE_ERROR",
    "missing_required_columns",
    "invalid_input",
    "no_rows_parsed",
    VENDOR_ROWS,
}


def failed(code: str, *vendors: str, **more: str) -> str:
    return next_action(
        RunFailure(code, "what is wrong", Stage.NORMALIZE, vendors, **more)
    )


@pytest.mark.parametrize("code", [*FailureCode, VENDOR_ROWS])
def test_every_code_has_one_sentence_of_its_own(code: str) -> None:
    sentence = failed(code)
    assert sentence != failed("another")
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert ". " not in sentence


@pytest.mark.parametrize("code", sorted(OF_VENDORS))
def test_a_failure_of_vendors_names_them(code: str) -> None:
    assert " vendor acme" in failed(code, "acme")
    assert " vendors acme, best" in failed(code, "acme", "best")
    assert " the vendors" in failed(code)


def test_a_failure_is_about_the_vendors_whose_code_it_has() -> None:
    faults = [
        ReportEntry(code, "what is wrong", vendor_id=vendor)
        for code, vendor in (
            ("DECODE_ERROR", "b"),
            ("invalid_input", "a"),
            ("DECODE_ERROR", "c"),
        )
    ]
    failure = failure_of(faults, Stage.NORMALIZE)
    assert failure is not None
    assert failure.vendors == ("b", "c")


def test_what_would_mend_most_rows_is_named() -> None:
    assert failed("validation_errors", remedy="column cost of vendor acme") == (
        "Fix the most frequent cause, column cost of vendor acme, then start a new run."
    )


def test_a_config_that_does_not_validate_is_to_be_corrected_not_the_platform() -> (
    None
):
    tenants = failed("POISON_JOB", attempt_code="invalid_config")
    operators = failed("POISON_JOB")
    assert "tenant's config" in tenants
    assert "log" in operators
