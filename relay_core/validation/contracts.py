"""The two contracts of rows as Pandera models: a vendor's offer, and a row of the feed.

``CANONICAL_SCHEMA.to_yaml()`` and ``MERGED_SCHEMA.to_yaml()`` show both in full. Types
are Arrow's; money is exact, instants are UTC, and a null text is not an empty text. pandas
is used only here, because Pandera judges its frames. `row_checks` loads this module
only for rows that need a verdict.
"""

# No postponed annotations: Pandera reads those of `from_parametrized_dtype`.
import dataclasses
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from relay_core.columnar.arrays import RowMask
from relay_core.columnar.numbers import AMOUNT
from relay_core.domain.columns import CONDITIONS
from relay_core.domain.errors import ContractBrokenError
from relay_core.domain.gtins import read_gtin
from relay_core.validation import row_schemas
from relay_core.validation.lean_pandera import (
    SchemaErrors,
    immutable,
    pandas_engine,
    pandera,
)
from relay_core.validation.row_schemas import BrokenRule


@pandas_engine.Engine.register_dtype(equivalents=[pa.Decimal64Type])
@immutable(init=True)
class ArrowDecimal64(pandas_engine.DataType):
    """A column of exact amounts, stored as whole numbers; new to Pandera."""

    type: pd.ArrowDtype | None = dataclasses.field(default=None, init=False)
    precision: int = 18  # the maximum number of digits of an amount
    scale: int = 0  # the number of decimals

    def __post_init__(self) -> None:
        decimal = pa.decimal64(self.precision, self.scale)
        object.__setattr__(self, "type", pd.ArrowDtype(decimal))

    @classmethod
    def from_parametrized_dtype(cls, pyarrow_dtype: pa.Decimal64Type) -> Any:
        """Return the type of an Arrow type."""
        make: Any = cls  # the decorator makes the arguments of its constructor
        return make(
            precision=pyarrow_dtype.precision,
            scale=pyarrow_dtype.scale,
        )


Text = Annotated[pd.ArrowDtype, pa.string()]
Whole = Annotated[pd.ArrowDtype, pa.int32()]
RowNumber = Annotated[pd.ArrowDtype, pa.int64()]
Amount = Annotated[pd.ArrowDtype, AMOUNT]
Price = Annotated[pd.ArrowDtype, row_schemas.CENTS]
Instant = Annotated[pd.ArrowDtype, row_schemas.INSTANT]
VendorId = Annotated[pd.ArrowDtype, row_schemas.VENDOR]
_CONDITIONS = list(CONDITIONS)
_FIRST = row_schemas.FIRST_INSTANT
_LAST = row_schemas.LAST_INSTANT


class Offer(pandera.DataFrameModel):
    """One valid row of a vendor's feed."""

    sku: Text
    vendor_sku: Text = pandera.Field(nullable=True)
    quantity_available: Whole = pandera.Field(ge=0)
    lead_time_days: Whole = pandera.Field(ge=0, nullable=True)
    cost: Amount = pandera.Field(ge=0, nullable=True)
    map_price: Amount = pandera.Field(ge=0, nullable=True)
    price: Amount = pandera.Field(ge=0, nullable=True)
    msrp: Amount = pandera.Field(ge=0, nullable=True)
    condition: Text = pandera.Field(isin=_CONDITIONS, nullable=True)
    brand: Text = pandera.Field(nullable=True)
    title: Text = pandera.Field(nullable=True)
    updated_at: Instant = pandera.Field(ge=_FIRST, lt=_LAST)
    row_number: RowNumber

    class Config:
        """Exactly these columns, in this order; all rows are of one vendor."""

        name = "canonical"
        strict = True
        ordered = True


class ProductNumber(pandera.DataFrameModel):
    """The GTIN of a valid row, for tenants with a column of GTINs."""

    gtin: Text = pandera.Field(nullable=True)

    @pandera.check("gtin")
    @classmethod
    def has_right_check_digit(
        cls, cells: "pd.Series[str]"
    ) -> "pd.Series[bool]":
        """Return which cells have 8, 12, 13, or 14 digits, as a GTIN is written."""
        digits = cells.to_numpy(object).tolist()
        is_gtin = [read_gtin(text) == text for text in digits]
        return pd.Series(is_gtin, index=cells.index, dtype="bool")

    class Config:
        """Only this column."""

        name = "product number"
        strict = True


class FeedRow(pandera.DataFrameModel):
    """One row of the merged feed: one a SKU, each with a price."""

    sku: Text = pandera.Field(unique=True)
    vendor_id: VendorId
    quantity_available: Whole = pandera.Field(ge=0)
    lead_time_days: Whole = pandera.Field(ge=0)
    price: Price = pandera.Field(gt=0)
    condition: Text = pandera.Field(isin=_CONDITIONS, nullable=True)
    updated_at: Instant = pandera.Field(ge=_FIRST, lt=_LAST)

    class Config:
        """At least these columns; the tenant's output may need more."""

        name = "merged"


CANONICAL_SCHEMA = Offer.to_schema()
MERGED_SCHEMA = FeedRow.to_schema()
PRODUCT_NUMBER_SCHEMA = ProductNumber.to_schema()


def broken_rules(
    schema: pandera.DataFrameSchema,
    rows: pa.Table,
) -> list[BrokenRule]:
    """Validate rows, and return every rule that they break.

    Raises:
        ContractBrokenError: The columns or their types are not those of the contract.
    """
    # Without threads, a process that has loaded the contracts can still be forked.
    frame: pd.DataFrame = rows.to_pandas(
        types_mapper=pd.ArrowDtype,
        use_threads=False,
    )
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
    else:
        return []
    if cases["index"].isna().any():
        raise ContractBrokenError(
            f"{schema.name} rows have another shape: {cases.to_dict('list')}",
        )
    rows_by_rule = cases.groupby(["column", "check"], sort=False)["index"]
    return [
        BrokenRule(column, rule, broken_rows.astype("int64").tolist())
        for (column, rule), broken_rows in rows_by_rule
    ]


def rejected(cells: pa.ChunkedArray, column: pandera.Column) -> RowMask:
    """Return the mask of the cells that a column of a contract rejects.

    The column's checks are called one by one: ``validate`` makes a record of each
    rejected cell, which takes longer than all else if there are many.
    """
    series = pd.Series(pd.arrays.ArrowExtensionArray(cells))
    is_rejected = np.zeros(len(cells), np.bool_)
    if not column.nullable:
        is_rejected |= series.isna().to_numpy()
    for check in column.checks:
        keeps_check = check(series).check_output  # has no cell for a null
        broken = ~keeps_check.to_numpy(np.bool_)
        is_rejected[keeps_check.index[broken]] = True
    return is_rejected
