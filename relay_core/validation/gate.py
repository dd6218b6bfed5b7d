"""The Pandera gate: which typed rows break the contract, and the error policy's verdict on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
import pandera.pandas as pa_schema
import pyarrow as pa
from pandera.errors import SchemaErrors

from relay_core.columnar.columns import Bools
from relay_core.config import ErrorPolicy
from relay_core.domain.errors import ContractBrokenError
from relay_core.validation.schemas import CANONICAL_SCHEMA

GATE_ROWS = 1 << 18
"""About how many rows are validated at a time."""


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule of a schema that some rows break: its column, its name and those rows' labels."""

    column: str
    rule: str
    rows: list[int]


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """The error policy's limits held against the run's rows; one flag and message a limit."""

    within_max: bool
    within_pct: bool
    message: str


def broken_rules(schema: pa_schema.DataFrameSchema, frame: pd.DataFrame) -> list[BrokenRule]:
    """Validate lazily and return every broken rule.

    Raises:
        ContractBrokenError: the frame's columns or types are not the schema's.
    """
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
    else:
        return []
    if cases["index"].isna().any():
        raise ContractBrokenError(f"{schema.name} rows have another shape: {cases.to_dict('list')}")
    grouped = cases.groupby(["column", "check"], sort=False)["index"]
    return [
        BrokenRule(column, rule, rows.astype("int64").tolist()) for (column, rule), rows in grouped
    ]


def judged_frame(rows: pa.Table) -> pd.DataFrame:
    """Return the columns that the canonical schema judges, labelled 0, 1, 2, ..."""
    judged = rows.select(list(CANONICAL_SCHEMA.columns))
    frame: pd.DataFrame = judged.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def rows_that_break(schema: pa_schema.DataFrameSchema, frame: pd.DataFrame) -> Bools:
    """Return which rows of a frame labelled 0, 1, 2, ... break a rule of the schema.

    The frame has the schema's columns and types. The checks are asked themselves: ``validate``
    reports a case for each refused cell, which takes longer than all else where many are.
    """
    broken = np.zeros(len(frame), np.bool_)
    for name, column in schema.columns.items():
        cells = frame[name]
        if not column.nullable:
            broken |= cells.isna().to_numpy()
        for check in column.checks:
            holds = check(cells).check_output  # says nothing about nulls; True where all hold
            if holds is not True:
                broken[holds.index[~holds.to_numpy(np.bool_)]] = True
    return broken


def judge_policy(
    policy: ErrorPolicy, invalid_rows: Sequence[int], total_rows: Sequence[int]
) -> PolicyVerdict:
    """Hold each vendor's counts, added up, against the limits; compared exactly."""
    counts = pd.DataFrame(
        {"invalid_rows": list(invalid_rows), "total_rows": list(total_rows)}, dtype="int64"
    )
    broken = _broken_limits(policy, counts)
    invalid, total = int(counts["invalid_rows"].sum()), int(counts["total_rows"].sum())
    reasons = [f"{name} is {limit}" for name, limit in broken.items()]
    return PolicyVerdict(
        within_max="max_invalid_rows" not in broken,
        within_pct="max_invalid_row_pct" not in broken,
        message=(
            f"validation errors: {invalid} of {total} rows are invalid and error_policy."
            + " and error_policy.".join(reasons)
            + "; mend the rows listed in errors.json, or raise the limit"
        ),
    )


def policy_schema(policy: ErrorPolicy) -> pa_schema.DataFrameSchema:
    """Return the limits as a schema of a frame with a row of counts a vendor."""
    limit = Decimal(policy.max_invalid_row_pct)

    def max_invalid_rows(counts: pd.DataFrame) -> bool:
        return bool(counts["invalid_rows"].sum() <= policy.max_invalid_rows)

    def max_invalid_row_pct(counts: pd.DataFrame) -> bool:
        numerator, denominator = limit.as_integer_ratio()
        invalid, total = int(counts["invalid_rows"].sum()), int(counts["total_rows"].sum())
        return invalid * denominator <= numerator * total

    checks = [
        pa_schema.Check(rule, name=rule.__name__)
        for rule in (max_invalid_rows, max_invalid_row_pct)
    ]
    count = pa_schema.Column("int64", pa_schema.Check.ge(0))
    return pa_schema.DataFrameSchema(
        {"invalid_rows": count, "total_rows": count}, checks=checks, name="error_policy"
    )


def _broken_limits(policy: ErrorPolicy, counts: pd.DataFrame) -> dict[str, object]:
    try:
        policy_schema(policy).validate(counts, lazy=True)
    except SchemaErrors as errors:
        names = [str(error.check.name) for error in errors.schema_errors if error.check]
        return {name: getattr(policy, name) for name in names}
    return {}
