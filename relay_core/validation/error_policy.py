"""The limits of the error policy: the rejected rows of a run, and of each vendor.

Shares of rejected rows are compared exactly.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from relay_core.config import ErrorPolicy, VendorConfig
from relay_core.domain.codes import FailureCode
from relay_core.domain.records import ReportEntry

_FIX = "Fix the rows listed in errors.json, or raise the limit."


class PolicyResult(NamedTuple):
    """The run's rows compared with the limits of the error policy."""

    within_max: bool  # whether the rows are within ``max_invalid_rows``
    within_pct: bool  # whether the rows are within ``max_invalid_row_pct``
    # The fault and its fix; empty if the rows are within both limits.
    message: str


def judge_policy(
    policy: ErrorPolicy,
    invalid_rows: Sequence[int],
    total_rows: Sequence[int],
) -> PolicyResult:
    """Compare the rejected rows of all vendors together with the limits.

    Args:
        policy: The tenant's error policy.
        invalid_rows: The number of rejected rows, one a vendor.
        total_rows: The number of rows, one a vendor.
    """
    invalid_count = sum(invalid_rows)
    total_count = sum(total_rows)
    within_max = invalid_count <= policy.max_invalid_rows
    within_pct = (
        invalid_count <= Fraction(policy.max_invalid_row_pct) * total_count
    )
    reasons = []
    if not within_max:
        limit = policy.max_invalid_rows
        reasons.append(f"error_policy.max_invalid_rows is {limit}")
    if not within_pct:
        share = policy.max_invalid_row_pct
        reasons.append(f"error_policy.max_invalid_row_pct is {share}")
    if not reasons:
        return PolicyResult(within_max, within_pct, "")
    message = (
        f"validation errors: {invalid_count} of {total_count} rows are rejected, but "
        f"{' and '.join(reasons)}. {_FIX}"
    )
    return PolicyResult(within_max, within_pct, message)


def own_share_faults(
    vendors: Sequence[VendorConfig],
    invalid_rows: Sequence[int],
    total_rows: Sequence[int],
) -> list[ReportEntry]:
    """Return a fault for each vendor that exceeds its own limit of rejected rows.

    Args:
        vendors: The vendors.
        invalid_rows: The number of rejected rows, one a vendor.
        total_rows: The number of rows, one a vendor.
    """
    faults = []
    for vendor, invalid_count, total_count in zip(
        vendors,
        invalid_rows,
        total_rows,
        strict=True,
    ):
        limit = vendor.max_invalid_row_pct
        if limit is None or invalid_count <= Fraction(limit) * total_count:
            continue
        message = (
            f"validation errors: {invalid_count} of {total_count} rows of vendor "
            f"{vendor.vendor_id!r} are rejected, but its max_invalid_row_pct is {limit}. {_FIX}"
        )
        code = str(FailureCode.VALIDATION_ERRORS)
        faults.append(ReportEntry(code, message, vendor_id=vendor.vendor_id))
    return faults
