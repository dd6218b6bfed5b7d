"""The row checks: the rows that a contract rejects, and the cells that it rejects them for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import Bools, integers_in, one_chunk
from relay_core.domain.errors import ContractBrokenError
from relay_core.validation.pandera_parts import SchemaErrors, pandera

VALIDATED_ROWS = 1 << 17
"""About how many rows are judged at a time."""


_FEW = 100


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule of a contract that some rows break: its column, its name and those rows' labels."""

    column: str
    rule: str
    rows: list[int]

    @property
    def is_uniqueness(self) -> bool:
        """Whether it says that no two rows have the same cell."""
        return self.rule == "field_uniqueness"


def check_shape(schema: pandera.DataFrameSchema, frame: pd.DataFrame) -> None:
    """Hold a frame's columns and types against a contract; `ContractBrokenError`: others."""
    if broken := broken_rules(schema, frame.head(0)):
        raise ContractBrokenError(f"rows are no {schema.name} rows: {broken[:3]}")


def rejected_cells(
    schema: pandera.DataFrameSchema, frame: pd.DataFrame, suspect: Bools
) -> Mapping[str, Bools]:
    """Return by column which cells of a frame labelled 0, 1, 2, ... the contract refuses.

    A column of which it refuses none is left out. The contract's own checks are asked one by one:
    ``validate`` makes a record of each rejected cell, which takes longer than all else where there
    are many.

    Args:
        schema: the contract; its checks of numbers and instants are ranges.
        frame: of the contract's shape.
        suspect: rows that may be rejected, as far as that is foreseen. It changes nothing but the
            time: where the least and the greatest of the others hold, so do all between them.
    """
    rows = np.flatnonzero(suspect)
    found = {}
    for name, column in schema.columns.items():
        cells = frame[name]
        if _extremes_hold(cells, column, ~suspect):
            if not len(rows):
                continue
            rejected = np.zeros(len(cells), np.bool_)
            rejected[rows] = _rejected(cells.iloc[rows].reset_index(drop=True), column)
        else:
            rejected = _rejected(cells, column)
        if rejected.any():
            found[name] = rejected
    return found


def broken_rules(schema: pandera.DataFrameSchema, frame: pd.DataFrame) -> list[BrokenRule]:
    """Validate a frame labelled 0, 1, 2, ... and return every rule that it breaks.

    Where each column's least and greatest hold, and those that must be unique are in order with
    none twice, no row can break one; then it is enough to validate those of the first rows.

    Raises:
        ContractBrokenError: the frame's columns or types are not the contract's.
    """
    every = np.ones(len(frame), np.bool_)
    holds = all(
        _extremes_hold(frame[name], column, every) and (not column.unique or _ascends(frame[name]))
        for name, column in schema.columns.items()
        if name in frame
    )
    try:
        schema.validate(frame.head(_FEW) if holds else frame, lazy=True)
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


def _extremes_hold(cells: pd.Series, column: pandera.Column, rows: Bools) -> bool:
    """Tell whether the least and the greatest of some rows' cells hold, and no null is too many."""
    if not isinstance(cells.dtype, pd.ArrowDtype):
        return False
    found: pa.ChunkedArray = cells.array.__arrow_array__()
    if found.null_count and not column.nullable:
        return False
    if found.null_count == len(found) or not column.checks:
        return True
    if pa.types.is_string(found.type):
        return False
    integers = pa.chunked_array([integers_in(chunk) for chunk in found.chunks])
    ends = pc.min_max(integers if rows.all() else integers.filter(pa.array(rows)))
    if not ends["min"].is_valid:
        return True
    two = pa.array([ends["min"].as_py(), ends["max"].as_py()], integers.type).view(found.type)
    return not _rejected(pd.Series(two, dtype=cells.dtype), column).any()


def _ascends(cells: pd.Series) -> bool:
    """Tell whether each cell is greater than the one before."""
    found = one_chunk(cells.array.__arrow_array__())
    return bool(pc.all(pc.less(found[:-1], found[1:])).as_py())


def _rejected(cells: pd.Series, column: pandera.Column) -> Bools:
    nulls = cells.isna().to_numpy()
    rejected = np.zeros(len(cells), np.bool_) if column.nullable else nulls.copy()
    for check in column.checks:
        holds = check(cells).check_output  # says nothing of nulls
        rejected[holds.index[~holds.to_numpy(np.bool_)]] = True
    return rejected


def merged_rules(parts: Sequence[tuple[int, list[BrokenRule]]]) -> list[BrokenRule]:
    """Return the broken rules of parts of a frame, each with the label that it starts at."""
    rules: dict[tuple[str, str], list[int]] = {}
    for start, broken in parts:
        for rule in broken:
            labels = rules.setdefault((rule.column, rule.rule), [])
            labels.extend(start + row for row in rule.rows)
    return [BrokenRule(column, rule, labels) for (column, rule), labels in rules.items()]
