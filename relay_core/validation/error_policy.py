"""The thresholds of refused rows, as contracts over a frame with a row of counts a vendor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import pandas as pd
import pandera.pandas as pandera
from pandera.errors import SchemaErrors

from relay_core.config import ErrorPolicy, VendorConfig
from relay_core.domain.codes import FailureCode
from relay_core.domain.records import ReportEntry


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """The error policy's limits held against the run's rows.

    Attributes:
        within_max: ``max_invalid_rows`` holds.
        within_pct: ``max_invalid_row_pct`` holds.
        message: what is wrong, and what to do; empty where both hold.
    """

    within_max: bool
    within_pct: bool
    message: str


def judge_policy(
    policy: ErrorPolicy, invalid_rows: Sequence[int], total_rows: Sequence[int]
) -> PolicyVerdict:
    """Hold each vendor's counts, added up, against the limits; compared exactly."""
    counts = pd.DataFrame(
        {"invalid_rows": list(invalid_rows), "total_rows": list(total_rows)}, dtype="int64"
    )
    broken = _broken_limits(policy, counts)
    invalid, total = int(counts["invalid_rows"].sum()), int(counts["total_rows"].sum())
    reasons = [f"error_policy.{name} is {limit}" for name, limit in broken.items()]
    message = (
        f"validation errors: {invalid} of {total} rows are invalid and {' and '.join(reasons)}; "
        "mend the rows listed in errors.json, or raise the limit"
    )
    return PolicyVerdict(
        within_max="max_invalid_rows" not in broken,
        within_pct="max_invalid_row_pct" not in broken,
        message=message if reasons else "",
    )


def policy_schema(policy: ErrorPolicy) -> pandera.DataFrameSchema:
    """Return the limits as a contract of a frame with a row of counts a vendor."""
    limit = Decimal(policy.max_invalid_row_pct)

    def max_invalid_rows(counts: pd.DataFrame) -> bool:
        return bool(counts["invalid_rows"].sum() <= policy.max_invalid_rows)

    def max_invalid_row_pct(counts: pd.DataFrame) -> bool:
        numerator, denominator = limit.as_integer_ratio()
        invalid, total = int(counts["invalid_rows"].sum()), int(counts["total_rows"].sum())
        return invalid * denominator <= numerator * total

    checks = [
        pandera.Check(rule, name=rule.__name__) for rule in (max_invalid_rows, max_invalid_row_pct)
    ]
    count = pandera.Column("int64", pandera.Check.ge(0))
    return pandera.DataFrameSchema(
        {"invalid_rows": count, "total_rows": count}, checks=checks, name="error_policy"
    )


def _broken_limits(policy: ErrorPolicy, counts: pd.DataFrame) -> dict[str, object]:
    try:
        policy_schema(policy).validate(counts, lazy=True)
    except SchemaErrors as errors:
        names = [str(error.check.name) for error in errors.schema_errors if error.check]
        return {name: getattr(policy, name) for name in names}
    return {}


class VendorShares(pandera.DataFrameModel):
    """How many of each vendor's own rows are refused, held against its own limit, exactly."""

    invalid_rows: int = pandera.Field(ge=0)
    total_rows: int = pandera.Field(ge=0)
    limit: object

    @pandera.dataframe_check
    @classmethod
    def max_invalid_row_pct(cls, counts: pd.DataFrame) -> pd.Series:
        """The refused rows are no greater part of all than the limit."""
        invalid, total = (counts[name].astype(object) for name in ("invalid_rows", "total_rows"))
        return invalid <= counts["limit"] * total


def own_share_faults(
    vendors: Sequence[VendorConfig], invalid_rows: Sequence[int], total_rows: Sequence[int]
) -> list[ReportEntry]:
    """Return a fault for each vendor of whose own rows too great a part is refused."""
    judged = [
        (vendor, vendor.max_invalid_row_pct, invalid, total)
        for vendor, invalid, total in zip(vendors, invalid_rows, total_rows, strict=True)
        if vendor.max_invalid_row_pct is not None
    ]
    if not judged:
        return []
    counts = pd.DataFrame(
        {
            "invalid_rows": pd.Series([invalid for *_, invalid, _ in judged], dtype="int64"),
            "total_rows": pd.Series([total for *_, total in judged], dtype="int64"),
            "limit": pd.Series([Fraction(limit) for _, limit, *_ in judged], dtype=object),
        }
    )
    try:
        VendorShares.to_schema().validate(counts, lazy=True)
    except SchemaErrors as errors:
        broken = sorted(set(errors.failure_cases["index"].astype(int)))
    else:
        return []
    return [
        ReportEntry(
            str(FailureCode.VALIDATION_ERRORS),
            f"validation errors: {invalid} of {total} rows of vendor {vendor.vendor_id!r} are "
            f"invalid and its max_invalid_row_pct is {limit}; "
            "mend the rows listed in errors.json, or raise the limit",
            vendor_id=vendor.vendor_id,
        )
        for vendor, limit, invalid, total in (judged[row] for row in broken)
    ]
