"""What becomes of a vendor whose feed turns out to be in failure while it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from reference_runs import rows
from relay_core.config import TenantConfig
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.state import Baseline, read_state
from relay_core.run_stages import RunStages
from relay_core.validation.vendor_failures import VendorInput
from support.builders import (
    REQUESTED_AT,
    RUN_ID,
    feed,
    run_context,
    tenant_config,
    vendor_document,
)
from support.memory_sink import MemorySink

KEYS = ArtifactKeys(RUN_ID, "acme")
PUBLISHED_RUN = "the-published-run"
FORGIVING = {"max_invalid_rows": 1000, "max_invalid_row_pct": "1.0"}
WHOLE = [f"B-{number:02},9,10.00" for number in range(20)]
HALF = WHOLE[:9]
MANY_INVALID = [*WHOLE[:15], *["B-99,many,1"] * 5]
GOOD = feed("A-1,5,10.00")


@dataclass
class Published:
    """The inputs of the published feed's run, two hours old."""

    config: TenantConfig
    feeds: Mapping[str, bytes]
    run_id: str | None = PUBLISHED_RUN

    def uploaded_at(self, vendor_id: str) -> datetime | None:
        return (
            REQUESTED_AT - timedelta(hours=2)
            if vendor_id in self.feeds
            else None
        )

    def read(self, vendor_id: str) -> VendorFeed | None:
        vendor = self.config.vendor(vendor_id)
        return VendorFeed.of_one(vendor, self.feeds[vendor_id], "earlier.csv")


@dataclass
class Run:
    """A run through the engine, and what came of it."""

    findings: RunFindings
    files: Mapping[str, bytes]

    @property
    def failed(self) -> tuple[str, str] | None:
        """The code and the stage of the failure."""
        failure = self.findings.failure
        return (
            None
            if failure is None
            else (failure.error_code, str(failure.stage))
        )

    @property
    def warned(self) -> list[str]:
        return [entry.error_code for entry in self.findings.warnings]

    @property
    def quantities(self) -> dict[str, str]:
        """The quantity of each SKU in the feed."""
        merged = rows(self.files[KEYS.merged_inventory("csv")])
        return {row["sku"]: row["quantity_available"] for row in merged}

    def used(self, vendor_id: str = "bad") -> str:
        return str(self.findings.states[vendor_id].status)

    def trouble(self, vendor_id: str = "bad") -> str | None:
        failure = self.findings.states[vendor_id].failure
        return None if failure is None else failure.error_code


def run(
    *vendors: Any,
    uploads: Mapping[str, bytes],
    earlier: Mapping[str, bytes] | None = None,
    baseline: Baseline | None = None,
    age: timedelta = timedelta(0),
    limits: Limits = DEFAULT_LIMITS,
    **changes: Any,
) -> Run:
    """Run these uploads, so old; ``earlier`` are those of the published feed's run."""
    config = tenant_config(*vendors, **{"error_policy": FORGIVING, **changes})
    sink = MemorySink()
    last_good = Published(config, earlier or {})
    stages = RunStages(
        config,
        config.vendors,
        REQUESTED_AT,
        KEYS,
        sink,
        baseline=baseline,
        last_good=last_good,
        limits=limits,
    )
    at = REQUESTED_AT - age
    values = stages.go_through(
        {
            name: VendorInput.of_one(len(data), at)
            for name, data in uploads.items()
        },
        lambda inputs: (
            VendorFeed.of_one(config.vendor(name), uploads[name], "feed.csv")
            if name in uploads
            else last_good.read(name)
            for name in inputs.to_read()
        ),
    )
    if values.merged is not None:
        assert values.compared is not None
        assert values.normalized is not None
        stages.write_state(
            KEYS.state, values.compared, values.normalized, run_context()
        )
    return Run(stages.findings(values), sink.files)


def baseline_of(*vendors: Any, **uploads: bytes) -> Baseline:
    """Return the state of a run of these uploads."""
    return read_state(run(*vendors, uploads=uploads).files[KEYS.state])


TROUBLES: dict[str, tuple[dict[str, Any], bytes]] = {
    "DECODE_ERROR": ({}, feed('B-1,1,"2')),
    "missing_required_columns": ({}, feed("B-1,1", header="sku,cost")),
    "invalid_input": (
        {},
        feed("B-1,1,1,1", header="sku,quantity_available,cost,cost"),
    ),
    "no_rows_parsed": ({}, feed()),
    "validation_errors": ({"max_invalid_row_pct": "0.2"}, feed(*MANY_INVALID)),
    "vendor_rows": ({}, feed(*HALF)),
}
BY_ROWS = ("no_rows_parsed", "validation_errors", "vendor_rows")
GOOD_VENDOR = vendor_document("good")


def in_trouble(
    code: str, alone: bool = False, earlier: bytes | None = None, **options: Any
) -> Run:
    """Run a vendor that is in this failure, beside another that is in none."""
    vendor_options, data = TROUBLES[code]
    vendors = [vendor_document("bad", **vendor_options, **options)] + [
        GOOD_VENDOR
    ] * (not alone)
    whole = {
        "bad": feed(*WHOLE),
        "good": feed(*[f"A-{n},5,10.00" for n in range(20)]),
    }
    uploads = {"bad": data, "good": whole["good"]}
    if alone:
        del uploads["good"], whole["good"]
    baseline = baseline_of(*vendors, **whole) if code == "vendor_rows" else None
    last_good = {} if earlier is None else {"bad": earlier}
    return run(*vendors, uploads=uploads, earlier=last_good, baseline=baseline)


def stage(code: str) -> str:
    return "MERGE_PRICE" if code in BY_ROWS else "NORMALIZE"


# --- fail -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", [code for code in TROUBLES if code != "vendor_rows"]
)
def test_trouble_fails_the_run_in_its_stage(code: str) -> None:
    assert in_trouble(code).failed == (code, stage(code))


def test_lost_rows_of_a_vendor_that_may_fail_the_run_trip_their_guard() -> None:
    outcome = in_trouble("vendor_rows")
    assert (outcome.failed, outcome.findings.is_held) == (None, True)
    assert [result.guard for result in outcome.findings.tripped] == [
        "vendor_rows"
    ]


def test_an_optional_feed_without_a_row_is_a_warning() -> None:
    outcome = in_trouble("no_rows_parsed", required=False)
    assert (outcome.failed, outcome.warned) == (None, ["EMPTY_FEED"])


# --- leave out ------------------------------------------------------------------------------------


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("code", TROUBLES)
def test_a_vendor_in_trouble_is_left_out_and_the_others_are_published(
    code: str, required: bool
) -> None:
    outcome = in_trouble(code, on_trouble="leave_out", required=required)
    assert (outcome.failed, outcome.used(), outcome.trouble()) == (
        None,
        "left_out",
        code,
    )
    assert outcome.warned == ["VENDOR_LEFT_OUT"]
    (warning,) = outcome.findings.warnings
    failure = outcome.findings.states["bad"].failure
    assert failure is not None
    assert f"{code}: {failure.error_message}" in warning.error_message
    assert all(sku.startswith("A-") for sku in outcome.quantities)
    assert KEYS.normalized("bad") not in outcome.files
    assert outcome.findings.valid_rows().keys() == {"good"}
    assert "vendor_rows" not in [
        result.guard for result in outcome.findings.tripped
    ]


@pytest.mark.parametrize("code", TROUBLES)
def test_where_nobody_is_left_the_run_fails_with_the_trouble_in_its_stage(
    code: str,
) -> None:
    outcome = in_trouble(code, alone=True, on_trouble="leave_out")
    assert outcome.failed == (code, stage(code))
    assert outcome.warned == ["VENDOR_LEFT_OUT"]


def test_where_all_that_is_left_out_is_for_want_of_uploads_there_is_no_row() -> (
    None
):
    absent = vendor_document("bad", required=False, on_trouble="leave_out")
    outcome = run(absent, uploads={})
    assert outcome.failed == ("no_rows_parsed", "MERGE_PRICE")
    assert outcome.warned == ["OPTIONAL_VENDOR_MISSING"]


# --- last good ------------------------------------------------------------------------------------


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("code", TROUBLES)
def test_the_last_good_feed_stands_in_with_its_share_of_the_quantities(
    code: str, required: bool
) -> None:
    options = {"on_trouble": "last_good", "last_good": {"quantity_pct": 50}}
    outcome = in_trouble(
        code, earlier=feed(*WHOLE), required=required, **options
    )
    assert (outcome.failed, outcome.used(), outcome.trouble()) == (
        None,
        "last_good",
        code,
    )
    assert outcome.warned == ["VENDOR_LAST_GOOD"]
    assert (
        "2 hours old; the limit is 48 hours"
        in outcome.findings.warnings[0].error_message
    )
    assert {outcome.quantities[f"B-{number:02}"] for number in range(20)} == {
        "4"
    }
    state = outcome.findings.states["bad"]
    assert (state.last_good_run_id, state.age_hours) == (PUBLISHED_RUN, 2)


@pytest.mark.parametrize(
    "earlier", [None, feed('B-1,1,"2')], ids=["none", "in failure too"]
)
@pytest.mark.parametrize(
    "code", [code for code in TROUBLES if code != "vendor_rows"]
)
def test_without_a_sound_last_good_feed_a_required_vendor_fails_the_run(
    code: str, earlier: bytes | None
) -> None:
    outcome = in_trouble(code, earlier=earlier, on_trouble="last_good")
    assert outcome.failed == (code, stage(code))


@pytest.mark.parametrize(
    "earlier", [None, feed('B-1,1,"2')], ids=["none", "in failure too"]
)
@pytest.mark.parametrize("code", TROUBLES)
def test_without_a_sound_last_good_feed_an_optional_vendor_is_left_out(
    code: str, earlier: bytes | None
) -> None:
    outcome = in_trouble(
        code, earlier=earlier, on_trouble="last_good", required=False
    )
    assert (outcome.failed, outcome.used(), outcome.trouble()) == (
        None,
        "left_out",
        code,
    )
    assert outcome.warned == ["VENDOR_LEFT_OUT"]


def test_a_stale_upload_stands_in_itself_with_its_share_of_the_quantities() -> (
    None
):
    options = {"on_trouble": "last_good", "last_good": {"quantity_pct": 50}}
    vendor = vendor_document("bad", max_feed_age_hours=1, **options)
    stale = feed("B-1,9,10.00")
    earlier = {"bad": feed("B-2,9,10.00")}
    outcome = run(
        vendor, uploads={"bad": stale}, earlier=earlier, age=timedelta(hours=3)
    )
    assert (outcome.failed, outcome.used(), outcome.trouble()) == (
        None,
        "last_good",
        "STALE_FEED",
    )
    assert outcome.quantities == {"B-1": "4"}
    assert outcome.findings.states["bad"].last_good_run_id is None


@pytest.mark.parametrize(
    ("earlier", "required", "policy", "failed", "used", "warned"),
    [
        (GOOD, True, "fail", None, "last_good", ["VENDOR_LAST_GOOD"]),
        (
            b'"',
            True,
            "fail",
            ("REQUIRED_VENDOR_MISSING", "NORMALIZE"),
            "missing",
            [],
        ),
        (b'"', True, "warn_only", None, "missing", ["REQUIRED_VENDOR_MISSING"]),
        (b'"', False, "fail", None, "left_out", ["OPTIONAL_VENDOR_MISSING"]),
    ],
)
def test_what_stands_in_for_an_upload_that_is_not_there_is_told_once_and_as_it_ended(
    earlier: bytes,
    required: bool,
    policy: str,
    failed: Any,
    used: str,
    warned: list[str],
) -> None:
    vendor = vendor_document("bad", required=required, on_trouble="last_good")
    outcome = run(
        vendor,
        GOOD_VENDOR,
        uploads={"good": GOOD},
        earlier={"bad": earlier},
        error_policy={**FORGIVING, "missing_required_vendor_policy": policy},
    )
    assert (outcome.failed, outcome.used(), outcome.warned) == (
        failed,
        used,
        warned,
    )


@pytest.mark.parametrize(
    ("required", "failed", "warned"),
    [
        (True, ("STALE_FEED", "NORMALIZE"), []),
        (False, None, ["VENDOR_LEFT_OUT"]),
    ],
)
def test_what_has_no_required_column_stands_in_for_nothing(
    required: bool, failed: Any, warned: list[str]
) -> None:
    options = {
        "on_trouble": "last_good",
        "max_feed_age_hours": 1,
        "required": required,
    }
    outcome = run(
        vendor_document("bad", **options),
        GOOD_VENDOR,
        uploads={"bad": TROUBLES["missing_required_columns"][1], "good": GOOD},
        age=timedelta(hours=3),
        error_policy={**FORGIVING, "fail_on_missing_required_columns": False},
    )
    assert (outcome.failed, outcome.warned) == (failed, warned)


def test_lost_rows_without_a_last_good_feed_trip_their_guard() -> None:
    outcome = in_trouble("vendor_rows", on_trouble="last_good")
    assert (outcome.failed, outcome.findings.is_held) == (None, True)


# --- what is judged, and in which order -----------------------------------------------------------


def test_a_vendor_s_own_share_is_judged_before_its_lost_rows() -> None:
    vendor = vendor_document(
        "bad", max_invalid_row_pct="0.1", on_trouble="leave_out"
    )
    baseline = baseline_of(vendor, GOOD_VENDOR, bad=feed(*WHOLE), good=GOOD)
    uploads = {"bad": feed(*HALF, *["B-99,many,1"] * 5), "good": GOOD}
    assert run(
        vendor, GOOD_VENDOR, uploads=uploads, baseline=baseline
    ).trouble() == ("validation_errors")


def test_the_vendors_shares_are_judged_in_order_and_before_the_run_s() -> None:
    vendors = [
        vendor_document(name, max_invalid_row_pct="0.1") for name in ("z", "a")
    ]
    data = feed("B-1,many,1", "B-2,1,1")
    strict = {"max_invalid_rows": 0}
    outcome = run(*vendors, uploads={"z": data, "a": data}, error_policy=strict)
    assert outcome.failed == ("validation_errors", "MERGE_PRICE")
    assert [fault.vendor_id for fault in outcome.findings.faults] == [
        "z",
        "a",
        None,
    ]


def test_a_share_at_its_limit_itself_is_no_trouble() -> None:
    vendor = vendor_document(
        "bad", max_invalid_row_pct="0.25", on_trouble="leave_out"
    )
    outcome = run(
        vendor, GOOD_VENDOR, uploads={"bad": feed(*MANY_INVALID), "good": GOOD}
    )
    assert (outcome.used(), outcome.trouble()) == ("found", None)


@pytest.mark.parametrize("remedy", ["leave_out", "last_good"])
def test_the_run_s_thresholds_pass_over_a_vendor_that_is_not_used_and_its_rows_are_counted(
    remedy: str,
) -> None:
    vendor = vendor_document(
        "bad", max_invalid_row_pct="0.2", on_trouble=remedy
    )
    outcome = run(
        vendor,
        GOOD_VENDOR,
        uploads={"bad": feed(*MANY_INVALID), "good": GOOD},
        earlier={"bad": feed(*WHOLE)},
        error_policy={"max_invalid_rows": 0},
    )
    assert outcome.failed is None
    counts = outcome.findings.counts()
    assert (counts["total_rows"], counts["invalid_rows"]) == (21, 5)
    assert "invalid_rows_within_threshold" not in outcome.warned
    assert outcome.files[KEYS.invalid_rows].count(b"bad,") == 5


@pytest.mark.parametrize(
    ("mode", "used"), [("warn", "left_out"), ("off", "found")]
)
def test_lost_rows_are_trouble_wherever_guards_are_judged(
    mode: str, used: str
) -> None:
    vendor = vendor_document("bad", on_trouble="leave_out")
    baseline = baseline_of(vendor, GOOD_VENDOR, bad=feed(*WHOLE), good=GOOD)
    uploads = {"bad": feed(*HALF), "good": GOOD}
    outcome = run(
        vendor,
        GOOD_VENDOR,
        uploads=uploads,
        baseline=baseline,
        guards={"mode": mode},
    )
    assert outcome.used() == used


def test_columns_that_may_be_missing_are_no_trouble() -> None:
    vendor = vendor_document("bad", on_trouble="last_good")
    outcome = run(
        vendor,
        GOOD_VENDOR,
        uploads={"bad": TROUBLES["missing_required_columns"][1], "good": GOOD},
        earlier={"bad": feed(*WHOLE)},
        error_policy={**FORGIVING, "fail_on_missing_required_columns": False},
    )
    assert (outcome.failed, outcome.used(), outcome.warned) == (
        None,
        "found",
        ["missing_required_columns"],
    )


def test_a_last_good_feed_counts_among_the_bytes_of_a_run() -> None:
    """It comes where its vendor stands: the vendors behind it have what it leaves."""
    vendors = [
        vendor_document(
            "first", on_trouble="last_good", max_invalid_row_pct="0.2"
        ),
        vendor_document("second", on_trouble="leave_out"),
        vendor_document("third"),
    ]
    bad = feed(*MANY_INVALID)
    earlier = feed(*WHOLE)
    small = feed("C-1,5,10.00")
    uploads = {"first": bad, "second": feed(*WHOLE), "third": small}
    limit = len(bad) + len(earlier) + len(small)
    outcome = run(
        *vendors,
        uploads=uploads,
        earlier={"first": earlier},
        limits=replace(DEFAULT_LIMITS, run_bytes=limit),
    )
    assert outcome.failed is None
    assert [outcome.used(name) for name in uploads] == [
        "last_good",
        "left_out",
        "found",
    ]
    assert outcome.trouble("second") == "feed_too_large"
