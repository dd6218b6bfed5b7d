"""The thresholds of refused rows, held against the counts of vendors; compared exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from relay_core.config import ErrorPolicy, VendorConfig
from relay_core.domain.codes import FailureCode
from relay_core.domain.records import ReportEntry


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
        f"error_policy.{name} is {getattr(policy, name)}" for name in holds if not holds[name]
    ]
    message = (
        f"validation errors: {invalid} of {total} rows are invalid and {' and '.join(reasons)}; "
        "mend the rows listed in errors.json, or raise the limit"
    )
    return PolicyVerdict(within_max, within_pct, message if reasons else "")


def own_share_faults(
    vendors: Sequence[VendorConfig], invalid_rows: Sequence[int], total_rows: Sequence[int]
) -> list[ReportEntry]:
    """Return a fault for each vendor of whose own rows too great a part is refused."""
    return [
        ReportEntry(
            str(FailureCode.VALIDATION_ERRORS),
            f"validation errors: {invalid} of {total} rows of vendor {vendor.vendor_id!r} are "
            f"invalid and its max_invalid_row_pct is {limit}; "
            "mend the rows listed in errors.json, or raise the limit",
            vendor_id=vendor.vendor_id,
        )
        for vendor, invalid, total in zip(vendors, invalid_rows, total_rows, strict=True)
        if (limit := vendor.max_invalid_row_pct) is not None and invalid > Fraction(limit) * total
    ]
