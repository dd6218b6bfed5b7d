"""What a vendor's failure before reading does to a run: fail, leave out, or the last good feed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from relay_core.domain.codes import VendorStatus
from relay_core.domain.limits import Limits
from relay_core.validation.vendor_failures import (
    InputVerdict,
    VendorInput,
    judge_inputs,
)
from support.builders import REQUESTED_AT, tenant_config, vendor_document

LIMITS = Limits(feed_bytes=100, sku_map_bytes=10)
HOUR = timedelta(hours=1)
MOMENT = timedelta(microseconds=1)
WARN_ONLY = {"missing_required_vendor_policy": "warn_only"}
LAST_GOOD_RUN = "the-published-run"


@dataclass
class Published:
    """The inputs of the published feed's run: how old each vendor's is."""

    ages: dict[str, timedelta] = field(default_factory=dict)
    run_id: str | None = LAST_GOOD_RUN

    def uploaded_at(self, vendor_id: str) -> datetime | None:
        age = self.ages.get(vendor_id)
        return None if age is None else REQUESTED_AT - age


def upload(
    size: int = 50,
    age: timedelta | None = timedelta(0),
    sku_map_size: int | None = None,
) -> VendorInput:
    return VendorInput.of_one(
        size, None if age is None else REQUESTED_AT - age, sku_map_size
    )


def judged(
    *vendors: Any,
    uploads: dict[str, VendorInput],
    ages: dict[str, timedelta] | None = None,
    **changes: Any,
) -> InputVerdict:
    config = tenant_config(*vendors, **changes)
    return judge_inputs(
        config,
        config.vendors,
        uploads,
        requested_at=REQUESTED_AT,
        locations={
            vendor.vendor_id: f"place/{vendor.vendor_id}/"
            for vendor in config.vendors
        },
        limits=LIMITS,
        last_good=Published(ages or {}),
    )


def codes(verdict: InputVerdict) -> tuple[list[str], list[str]]:
    """Return the codes of the faults, and of the warnings."""
    return tuple(
        [failure.error_code for failure in failures]
        for failures in (verdict.faults, verdict.warnings)
    )


SKU_MAP = {"type": "s3", "s3_key": "tenants/acme/maps/m.csv"}
TROUBLES: dict[str, tuple[dict[str, Any], VendorInput | None]] = {
    "REQUIRED_VENDOR_MISSING": ({}, None),
    "STALE_FEED": ({"max_feed_age_hours": 1}, upload(age=3 * HOUR)),
    "feed_too_large": ({}, upload(size=101)),
    "missing_sku_map": ({"sku_map": SKU_MAP}, upload()),
}
ABSENT = ("REQUIRED_VENDOR_MISSING", "STALE_FEED")


def in_trouble(
    code: str, **changes: Any
) -> tuple[dict[str, Any], dict[str, VendorInput]]:
    """Return a vendor in this failure, and the uploads beside it of another that is in none."""
    options, data = TROUBLES[code]
    uploads = {"good": upload()} | ({} if data is None else {"bad": data})
    return vendor_document("bad", **options, **changes), uploads


GOOD = vendor_document("good")


def code_of(code: str, *, required: bool) -> str:
    absent = code == "REQUIRED_VENDOR_MISSING" and not required
    return "OPTIONAL_VENDOR_MISSING" if absent else code


# --- fail -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", TROUBLES)
def test_trouble_of_a_required_vendor_fails_the_run(code: str) -> None:
    vendor, uploads = in_trouble(code)
    verdict = judged(vendor, GOOD, uploads=uploads)
    assert codes(verdict) == ([code], [])
    assert verdict.failure is not None
    assert (verdict.failure.error_code, verdict.failure.stage) == (
        code,
        "FETCH_INPUTS",
    )
    assert "'bad'" in verdict.failure.error_message


@pytest.mark.parametrize("code", TROUBLES)
def test_of_an_optional_vendor_only_what_can_be_read_and_may_not_be_fails_the_run(
    code: str,
) -> None:
    vendor, uploads = in_trouble(code, required=False)
    verdict = judged(vendor, GOOD, uploads=uploads)
    expected_code = [code_of(code, required=False)]
    assert codes(verdict) == (
        ([], expected_code) if code in ABSENT else (expected_code, [])
    )


@pytest.mark.parametrize("code", ABSENT)
def test_the_policy_to_warn_makes_absence_a_warning(code: str) -> None:
    vendor, uploads = in_trouble(code)
    verdict = judged(vendor, GOOD, uploads=uploads, error_policy=WARN_ONLY)
    assert codes(verdict) == ([], [code])
    assert verdict.states["bad"].status is VendorStatus.MISSING


def test_a_stale_upload_is_not_judged_further() -> None:
    vendor = vendor_document("bad", max_feed_age_hours=1, sku_map=SKU_MAP)
    verdict = judged(vendor, uploads={"bad": upload(size=101, age=2 * HOUR)})
    assert codes(verdict) == (["STALE_FEED"], [])


def test_the_run_s_code_is_the_gravest_and_every_trouble_is_told() -> None:
    vendors = []
    uploads = {}
    for number, code in enumerate(reversed(TROUBLES)):
        options, data = TROUBLES[code]
        vendors.append(vendor_document(f"v{number}", **options))
        uploads |= {} if data is None else {f"v{number}": data}
    verdict = judged(*vendors, uploads=uploads)
    assert codes(verdict)[0] == list(TROUBLES)


# --- leave out ------------------------------------------------------------------------------------


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("code", TROUBLES)
def test_a_vendor_in_trouble_is_left_out_with_the_trouble_s_code_and_words(
    code: str, required: bool
) -> None:
    vendor, uploads = in_trouble(
        code, on_trouble="leave_out", required=required
    )
    verdict = judged(vendor, GOOD, uploads=uploads)
    state = verdict.states["bad"]
    assert (verdict.failure, state.status) == (None, VendorStatus.LEFT_OUT)
    assert state.failure is not None
    assert state.failure.error_code == code_of(code, required=required)
    (warning,) = verdict.warnings
    if state.failure.error_code == "OPTIONAL_VENDOR_MISSING":
        assert warning == state.failure
    else:
        assert warning.error_code == "VENDOR_LEFT_OUT"
        assert f"{code}: {state.failure.error_message}" in warning.error_message


def test_where_nothing_is_left_the_run_fails_with_the_first_trouble_that_is_no_mere_absence() -> (
    None
):
    absent = vendor_document("v1", required=False, on_trouble="leave_out")
    stale, _ = in_trouble("STALE_FEED", on_trouble="leave_out")
    large = vendor_document("large", on_trouble="leave_out")
    uploads = {"bad": upload(age=3 * HOUR), "large": upload(size=101)}
    verdict = judged(absent, stale, large, uploads=uploads)
    assert codes(verdict)[0] == ["STALE_FEED"]
    assert codes(verdict)[1] == [
        "OPTIONAL_VENDOR_MISSING",
        "VENDOR_LEFT_OUT",
        "VENDOR_LEFT_OUT",
    ]


# --- last good ------------------------------------------------------------------------------------


def last_good(code: str, hours: int = 48, **changes: Any) -> Any:
    options = {"on_trouble": "last_good", "last_good": {"max_age_hours": hours}}
    return in_trouble(code, **options, **changes)


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    "code", [code for code in TROUBLES if code != "STALE_FEED"]
)
def test_the_last_good_feed_stands_in_with_its_age_in_whole_hours(
    code: str, required: bool
) -> None:
    vendor, uploads = last_good(code, required=required)
    verdict = judged(
        vendor, GOOD, uploads=uploads, ages={"bad": 6 * HOUR - MOMENT}
    )
    state = verdict.states["bad"]
    assert (verdict.failure, state.status) == (None, VendorStatus.LAST_GOOD)
    assert (state.last_good_run_id, state.age_hours) == (LAST_GOOD_RUN, 5)
    (warning,) = verdict.warnings
    assert warning.error_code == "VENDOR_LAST_GOOD"
    trouble_code = code_of(code, required=required)
    for words in ("5 hours old", "the limit is 48 hours", f"{trouble_code}: "):
        assert words in warning.error_message


def test_of_a_stale_feed_the_upload_itself_stands_in_though_the_published_one_is_younger() -> (
    None
):
    vendor, uploads = last_good("STALE_FEED")
    verdict = judged(vendor, GOOD, uploads=uploads, ages={"bad": HOUR})
    state = verdict.states["bad"]
    assert (state.status, state.last_good_run_id, state.age_hours) == (
        VendorStatus.LAST_GOOD,
        None,
        3,
    )


@pytest.mark.parametrize(
    ("age", "stands_in"),
    [(2 * HOUR, True), (2 * HOUR + MOMENT, False), (timedelta(0), True)],
    ids=["to the hour", "a moment older", "of this moment"],
)
def test_a_last_good_feed_is_used_up_to_its_exact_age(
    age: timedelta, stands_in: bool
) -> None:
    vendor, uploads = last_good("feed_too_large", hours=2)
    verdict = judged(vendor, GOOD, uploads=uploads, ages={"bad": age})
    assert (verdict.failure is None) is stands_in


@pytest.mark.parametrize(
    ("age", "fails"),
    [(HOUR, False), (HOUR + MOMENT, True)],
    ids=["to the hour", "a moment older"],
)
def test_an_upload_is_stale_from_its_exact_age_on(
    age: timedelta, fails: bool
) -> None:
    vendor = vendor_document("v", max_feed_age_hours=1)
    verdict = judged(vendor, uploads={"v": upload(age=age)})
    assert (verdict.failure is not None) is fails


@pytest.mark.parametrize(
    ("age", "hours"),
    [
        (HOUR + MOMENT, "1.1"),
        (2 * HOUR - timedelta(seconds=36), "2.0"),
        (30 * HOUR, "30.0"),
    ],
)
def test_the_age_of_a_stale_upload_never_reads_like_its_limit(
    age: timedelta, hours: str
) -> None:
    vendor = vendor_document("v", max_feed_age_hours=1)
    failure = judged(vendor, uploads={"v": upload(age=age)}).failure
    assert failure is not None
    assert failure.error_message == (
        f"stale feed: the latest file of vendor 'v' is {hours} hours old, but "
        "max_feed_age_hours is 1. Ask the vendor for a new file."
    )


def test_an_upload_without_an_age_is_never_stale() -> None:
    vendor = vendor_document("v", max_feed_age_hours=1)
    assert judged(vendor, uploads={"v": upload(age=None)}).failure is None


@pytest.mark.parametrize(
    "ages", [{}, {"bad": 49 * HOUR}], ids=["none", "too old"]
)
@pytest.mark.parametrize("code", TROUBLES)
def test_without_a_last_good_feed_a_required_vendor_fails_and_an_optional_one_is_left_out(
    code: str, ages: dict[str, timedelta]
) -> None:
    # The upload of three hours ago is too old, too.
    hours = 2 if code == "STALE_FEED" else 48
    vendor, uploads = last_good(code, hours=hours)
    assert codes(judged(vendor, GOOD, uploads=uploads, ages=ages)) == (
        [code],
        [],
    )
    vendor, uploads = last_good(code, hours=hours, required=False)
    verdict = judged(vendor, GOOD, uploads=uploads, ages=ages)
    assert verdict.states["bad"].status is VendorStatus.LEFT_OUT
    trouble_code = code_of(code, required=False)
    assert codes(verdict) == (
        [],
        [
            trouble_code
            if trouble_code.startswith("OPTIONAL")
            else "VENDOR_LEFT_OUT"
        ],
    )
