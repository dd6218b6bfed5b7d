"""A vendor's own failure, what follows from it by the vendor's config, and too many rejected rows.

``on_trouble`` decides: the run fails for it, the vendor is left out, or its last good feed, that of
the run whose feed is published, stands in. Shares of rejected rows are compared exactly.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Protocol

from relay_core.config import ErrorPolicy, TenantConfig, VendorConfig
from relay_core.domain import run_faults
from relay_core.domain.codes import FailureCode, Stage, VendorStatus, WarningCode
from relay_core.domain.limits import Limits
from relay_core.domain.records import ReportEntry, RunFailure

_HOUR = timedelta(hours=1)
_INPUT_CODES = (
    FailureCode.REQUIRED_VENDOR_MISSING,
    FailureCode.STALE_FEED,
    FailureCode.FEED_TOO_LARGE,
    FailureCode.MISSING_SKU_MAP,
)
"""The failures of inputs; the first of these that a run has gives the run its code."""
_OF_ROWS = (
    FailureCode.NO_ROWS_PARSED,
    FailureCode.VALIDATION_ERRORS,
    run_faults.VENDOR_ROWS,
)
_ANY_PREFIX = "any prefix (inbound.type local is for the local runner)"
"""The expected place of a vendor's feed where its config names none in the bucket."""


@dataclass(frozen=True, slots=True)
class VendorState:
    """The part of a vendor in a run, and the failure of its upload, if it has one."""

    status: VendorStatus  # the part that is used
    failure: ReportEntry | None = None  # what is wrong with its upload
    last_good_run_id: str | None = None  # the run whose input stands in
    age_hours: int | None = None  # how old that is, whole hours


@dataclass(frozen=True, slots=True)
class VendorInput:
    """A vendor's upload and its SKU map, before they are read."""

    size: int  # the upload's bytes
    uploaded_at: datetime | None = (
        None  # aware; None where it has no age, as a local file
    )
    sku_map_size: int | None = None  # the map's bytes; None where there is none


class LastGoodInputs(Protocol):
    """The inputs of the run whose feed is published; None in its place where they are gone."""

    run_id: str | None

    def uploaded_at(self, vendor_id: str) -> datetime | None:
        """Return when the vendor's input there was uploaded; None where there is none to be had."""


@dataclass(frozen=True, slots=True)
class InputVerdict:
    """The verdict on the inputs that were found and those that were missing."""

    failure: RunFailure | None  # the run's failure for them, if it fails
    faults: tuple[ReportEntry, ...]  # the reasons of the failure
    warnings: tuple[
        ReportEntry, ...
    ]  # one for each vendor that the run goes on without
    states: Mapping[str, VendorState]  # the part of each vendor that is used


def may_be_empty(config: TenantConfig, vendor: VendorConfig) -> bool:
    """Return whether the run goes on where the vendor has no feed, or one without a row."""
    return (
        not vendor.required
        or config.error_policy.missing_required_vendor_policy == "warn_only"
    )


def judge_inputs(
    config: TenantConfig,
    vendors: Sequence[VendorConfig],
    inputs: Mapping[str, VendorInput],
    *,
    requested_at: datetime,
    limits: Limits,
    last_good: LastGoodInputs | None,
    locations: Mapping[str, str],
) -> InputVerdict:
    """Judge which vendors have a feed and a SKU map that can be read, before any is.

    Vendors are in the order of the config; ages are counted up to ``requested_at``, aware. Messages
    name a vendor's prefix as the expected place, or what ``locations`` has in place of it.
    """
    states: dict[str, VendorState] = {}
    faults: list[ReportEntry] = []
    warnings: list[ReportEntry] = []
    for vendor in vendors:
        found = inputs.get(vendor.vendor_id)
        where = (
            locations.get(vendor.vendor_id) or vendor.inbound.s3_prefix or _ANY_PREFIX
        )
        failure = _failure_of_input(vendor, found, requested_at, where, limits)
        if failure is None:
            states[vendor.vendor_id] = VendorState(VendorStatus.FOUND)
            continue
        state = settle(vendor, failure, requested_at, last_good, own=found)
        states[vendor.vendor_id] = state or VendorState(VendorStatus.MISSING, failure)
        if state is None and not (is_absence(failure) and may_be_empty(config, vendor)):
            faults.append(failure)
        else:
            warnings.append(warning_of(vendor, states[vendor.vendor_id]))
    faults.sort(key=lambda fault: _INPUT_CODES.index(FailureCode(fault.error_code)))
    if not faults:
        faults = nothing_left(states)
    of_run = run_faults.failure_of(faults, Stage.FETCH_INPUTS)
    return InputVerdict(of_run, tuple(faults), tuple(warnings), states)


def settle(
    vendor: VendorConfig,
    failure: ReportEntry,
    requested_at: datetime,
    last_good: LastGoodInputs | None,
    own: VendorInput | None = None,
) -> VendorState | None:
    """Return the part of a failed vendor that is used; None where the run fails for it.

    Its own upload may stand in where it is only too old, counted up to ``requested_at``, aware.
    """
    if vendor.on_trouble == "last_good":
        since, run_id = None, None
        if own is not None and failure.error_code == FailureCode.STALE_FEED:
            since = own.uploaded_at
        elif last_good is not None:
            since, run_id = last_good.uploaded_at(vendor.vendor_id), last_good.run_id
        age = None if since is None else requested_at - since
        if age is not None and age <= vendor.last_good.max_age_hours * _HOUR:
            return VendorState(
                VendorStatus.LAST_GOOD, failure, run_id, max(0, age // _HOUR)
            )
    return left_out(vendor, failure)


def left_out(vendor: VendorConfig, failure: ReportEntry) -> VendorState | None:
    """Return the state of a failed vendor that is left out; None where the run fails for it."""
    if vendor.on_trouble == "leave_out" or (
        vendor.on_trouble != "fail" and not vendor.required
    ):
        return VendorState(VendorStatus.LEFT_OUT, failure)
    return None


def is_absence(failure: ReportEntry) -> bool:
    """Return whether a vendor failed for want of a feed, or of rows."""
    return failure.error_code in (
        FailureCode.REQUIRED_VENDOR_MISSING,
        WarningCode.OPTIONAL_VENDOR_MISSING,
        FailureCode.STALE_FEED,
        FailureCode.NO_ROWS_PARSED,
    )


def warning_of(vendor: VendorConfig, state: VendorState) -> ReportEntry:
    """Return the warning about a vendor that is missing, left out, or has its last good feed."""
    failure = state.failure
    if failure is None:
        raise ValueError(f"vendor {vendor.vendor_id!r} has no failure to tell of")
    if state.status is VendorStatus.LAST_GOOD:
        age, most = state.age_hours or 0, vendor.last_good.max_age_hours
        code = WarningCode.VENDOR_LAST_GOOD
        return run_faults.fault_of(
            code, vendor.vendor_id, failure=failure, hours=age, most=most
        )
    is_optional = failure.error_code == WarningCode.OPTIONAL_VENDOR_MISSING
    if state.status is VendorStatus.MISSING or is_optional:
        return failure
    return run_faults.fault_of(
        WarningCode.VENDOR_LEFT_OUT, vendor.vendor_id, failure=failure
    )


def nothing_left(states: Mapping[str, VendorState]) -> list[ReportEntry]:
    """Return the fault where no vendor is used and one is left out; the merge finds others."""
    left = [state for state in states.values() if state.status is VendorStatus.LEFT_OUT]
    if not left or any(state.status.is_used for state in states.values()):
        return []
    failures = (state.failure for state in left if state.failure is not None)
    optional = WarningCode.OPTIONAL_VENDOR_MISSING
    return [each for each in failures if each.error_code != optional][:1]


def stage_of(failure: ReportEntry) -> Stage:
    """Return the stage in which a run ends for a failure that was found while reading."""
    return Stage.MERGE_PRICE if failure.error_code in _OF_ROWS else Stage.NORMALIZE


def _failure_of_input(
    vendor: VendorConfig,
    found: VendorInput | None,
    requested_at: datetime,
    where: str,
    limits: Limits,
) -> ReportEntry | None:
    if found is None:
        optional, required = (
            WarningCode.OPTIONAL_VENDOR_MISSING,
            WarningCode.REQUIRED_VENDOR_MISSING,
        )
        code = required if vendor.required else optional
        return run_faults.fault_of(code, vendor.vendor_id, where=where)
    hours = vendor.max_feed_age_hours
    if hours is not None and found.uploaded_at is not None:
        age = requested_at - found.uploaded_at
        if age > hours * _HOUR:
            facts = {"hours": age // _HOUR, "most": hours}
            return run_faults.fault_of(
                FailureCode.STALE_FEED, vendor.vendor_id, **facts
            )
    if found.size > limits.feed_bytes:
        return run_faults.too_large(
            vendor.vendor_id, "feed", found.size, limits.feed_bytes
        )
    if found.sku_map_size is None:
        if vendor.sku_map is None:
            return None
        place = str(vendor.sku_map.s3_key or vendor.sku_map.local_path)
        return run_faults.fault_of(
            FailureCode.MISSING_SKU_MAP, vendor.vendor_id, where=place
        )
    if found.sku_map_size > limits.sku_map_bytes:
        limit = limits.sku_map_bytes
        return run_faults.too_large(
            vendor.vendor_id, "SKU map", found.sku_map_size, limit
        )
    return None


def exempt(
    config: TenantConfig,
    vendors: Collection[VendorConfig],
    states: Mapping[str, VendorState],
) -> set[str]:
    """Return the vendors whose SKUs may be missing from the feed: theirs is absent, and may be."""
    judged = ((vendor, states[vendor.vendor_id]) for vendor in vendors)
    return {
        vendor.vendor_id
        for vendor, state in judged
        if state.failure is not None
        and state.status is not VendorStatus.LAST_GOOD
        and is_absence(state.failure)
        and may_be_empty(config, vendor)
    }


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """The error policy's limits held against the run's rows."""

    within_max: bool  # ``max_invalid_rows`` holds
    within_pct: bool  # ``max_invalid_row_pct`` holds
    message: str  # the fault, and its remedy; empty where both hold


def judge_policy(
    policy: ErrorPolicy, invalid_rows: Sequence[int], total_rows: Sequence[int]
) -> PolicyVerdict:
    """Hold each vendor's counts, added up, against the limits."""
    invalid, total = sum(invalid_rows), sum(total_rows)
    within_max = invalid <= policy.max_invalid_rows
    within_pct = invalid <= Fraction(policy.max_invalid_row_pct) * total
    holds = {"max_invalid_rows": within_max, "max_invalid_row_pct": within_pct}
    reasons = [
        f"error_policy.{name} is {getattr(policy, name)}"
        for name in holds
        if not holds[name]
    ]
    message = (
        f"validation errors: {invalid} of {total} rows are invalid and {' and '.join(reasons)}; "
        "mend the rows listed in errors.json, or raise the limit"
    )
    return PolicyVerdict(within_max, within_pct, message if reasons else "")


def own_share_faults(
    vendors: Sequence[VendorConfig],
    invalid_rows: Sequence[int],
    total_rows: Sequence[int],
) -> list[ReportEntry]:
    """Return a fault for each vendor of whose own rows too great a part is rejected."""
    return [
        ReportEntry(
            str(FailureCode.VALIDATION_ERRORS),
            f"validation errors: {invalid} of {total} rows of vendor {vendor.vendor_id!r} are "
            f"invalid and its max_invalid_row_pct is {limit}; "
            "mend the rows listed in errors.json, or raise the limit",
            vendor_id=vendor.vendor_id,
        )
        for vendor, invalid, total in zip(
            vendors, invalid_rows, total_rows, strict=True
        )
        if (limit := vendor.max_invalid_row_pct) is not None
        and invalid > Fraction(limit) * total
    ]
