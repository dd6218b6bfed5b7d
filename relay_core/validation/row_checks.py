"""The check of rows against the contracts.

Plain data (`row_schemas`) recognizes rows that keep all rules: the least and the
greatest number of a column are in its range, so all between them are. Only other rows
need a verdict of the contracts. pandas and Pandera are loaded for the first of these,
which saves most runs a third of their start.
"""

import gc
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.arrays import RowMask
from relay_core.columnar.gtins import are_gtins
from relay_core.columnar.text import (
    flags_of,
    integers_in,
    one_chunk,
    without_nulls,
)
from relay_core.domain.errors import ContractBrokenError
from relay_core.validation import row_schemas
from relay_core.validation.row_schemas import BrokenRule, ColumnRule

VALIDATED_ROWS = 1 << 17
"""The approximate number of rows that are checked at a time."""
_CONTRACTS = "relay_core.validation.contracts"


def are_contracts_loaded() -> bool:
    """Return whether this process has loaded the contracts."""
    return _CONTRACTS in sys.modules


def load_contracts() -> None:
    """Load the contracts now, with all that their first verdict loads."""
    contracts = loaded_contracts()
    no_rows = row_schemas.OFFER_SCHEMA.empty_table()
    contracts.broken_rules(contracts.CANONICAL_SCHEMA, no_rows)


def loaded_contracts() -> Any:
    """Return the module of the contracts; the first call loads it."""
    if are_contracts_loaded():
        from relay_core.validation import contracts

        return contracts
    # The garbage collector would scan all that is loaded, again and again.
    collects_garbage = gc.isenabled()
    gc.disable()
    try:
        from relay_core.validation import contracts
    finally:
        gc.freeze()
        if collects_garbage:
            gc.enable()
    return contracts


def check_offers(schema: pa.Schema) -> None:
    """Check the columns of offers and their types.

    Raises:
        ContractBrokenError: The columns are not those of the canonical contract.
    """
    if schema.equals(row_schemas.OFFER_SCHEMA):
        return
    contracts = loaded_contracts()
    broken = contracts.broken_rules(
        contracts.CANONICAL_SCHEMA,
        schema.empty_table(),
    )
    raise ContractBrokenError(f"rows are no canonical rows: {broken[:3]}")


def accepts(
    extremes: Mapping[str, Sequence[tuple[int, int]]],
) -> bool:
    """Return whether the canonical contract accepts all numbers between some extremes.

    Args:
        extremes: The least and the greatest number of each part of a column, by column.
            The least one of a part without numbers is greater than the other.
    """
    for rule in row_schemas.OFFER_RULES:
        for least, greatest in extremes.get(rule.name, ()):
            if least > greatest:
                continue
            if rule.least is not None and least < rule.least:
                return False
            if rule.greatest is not None and greatest > rule.greatest:
                return False
    return True


def rejected_cells(rows: pa.Table, suspect: RowMask) -> Mapping[str, RowMask]:
    """Return the masks of the cells that the canonical contract rejects, by column.

    Columns without a rejected cell are left out.

    Args:
        rows: The rows, with the columns of offers.
        suspect: The mask of rows that are expected to be rejected. It changes only the
            time that the check takes.
    """
    rejected = {}
    for rule in row_schemas.OFFER_RULES:
        mask = _rejected_by(rule, rows[rule.name], suspect)
        if mask is not None:
            rejected[rule.name] = mask
    return rejected


def rejected_gtins(
    cells: pa.ChunkedArray,
    suspect: RowMask,
) -> RowMask | None:
    """Return the mask of the GTINs that their contract rejects; None for none of them.

    Args:
        cells: The cells of the extra column that has GTINs.
        suspect: As `rejected_cells` takes it.
    """
    return _rejected_by(row_schemas.GTIN_RULE, cells, suspect)


def _rejected_by(
    rule: ColumnRule,
    cells: pa.ChunkedArray,
    suspect: RowMask,
) -> RowMask | None:
    """Return the mask of the cells that a rule's contract rejects; None for no cell."""
    if not _keeps_rule(cells, rule, ~suspect):
        mask = _rejected(rule, cells)
        return mask if mask.any() else None
    suspect_rows = np.flatnonzero(suspect)
    if not len(suspect_rows):
        return None
    suspect_cells = cells.take(pa.array(suspect_rows))
    every_row = np.ones(len(suspect_cells), np.bool_)
    if _keeps_rule(suspect_cells, rule, every_row):
        return None
    mask = np.zeros(len(cells), np.bool_)
    mask[suspect_rows] = _rejected(rule, suspect_cells)
    return mask if mask.any() else None


def broken_rules(rows: pa.Table) -> list[BrokenRule]:
    """Return the rules of the merged contract that rows of a feed break.

    Args:
        rows: The rows, with the columns of the contract.

    Raises:
        ContractBrokenError: The columns or their types are not those of the contract.
    """
    every_row = np.ones(len(rows), np.bool_)
    keeps_rules = all(
        _keeps_rule(rows[rule.name], rule, every_row)
        and (not rule.unique or _ascends(rows[rule.name]))
        for rule in row_schemas.FEED_ROW_RULES
    )
    if keeps_rules:
        return []
    contracts = loaded_contracts()
    broken: list[BrokenRule] = contracts.broken_rules(
        contracts.MERGED_SCHEMA,
        rows,
    )
    return broken


def _rejected(rule: ColumnRule, cells: pa.ChunkedArray) -> RowMask:
    """Return the mask of the cells that the contract of a rule rejects."""
    contracts = loaded_contracts()
    schema = contracts.CANONICAL_SCHEMA
    if rule.is_gtin:
        schema = contracts.PRODUCT_NUMBER_SCHEMA
    column = schema.columns[rule.name]
    rejected: RowMask = contracts.rejected(cells, column)
    return rejected


def _keeps_rule(
    cells: pa.ChunkedArray,
    rule: ColumnRule,
    mask: RowMask,
) -> bool:
    """Return whether the cells of some rows keep a rule, but for uniqueness."""
    if cells.type != rule.type:
        return False
    if cells.null_count and not rule.nullable:
        is_null = flags_of(cells.is_null())
        if (is_null & mask).any():
            return False
    if rule.is_gtin:
        is_null = flags_of(cells.is_null())
        is_gtin = are_gtins(without_nulls(one_chunk(cells)))
        return bool((is_gtin | is_null | ~mask).all())
    if rule.words is not None:
        is_word = flags_of(pc.is_in(cells, pa.array(rule.words)))
        is_null = flags_of(cells.is_null())
        return bool((is_word | is_null | ~mask).all())
    if rule.least is None or cells.null_count == len(cells):
        return True
    chunks = [integers_in(chunk) for chunk in cells.chunks]
    numbers = pa.chunked_array(chunks)
    ends = pc.min_max(numbers if mask.all() else numbers.filter(pa.array(mask)))
    least = ends["min"].as_py()
    greatest = ends["max"].as_py()
    if least is None:
        return True
    if rule.greatest is not None and greatest > rule.greatest:
        return False
    return bool(least >= rule.least)


def _ascends(cells: pa.ChunkedArray) -> bool:
    """Return whether each cell is greater than the one before."""
    column = one_chunk(cells)
    is_greater = pc.less(column[:-1], column[1:])
    return bool(pc.all(is_greater, min_count=0).as_py())
