"""The two contracts of rows, as Pandera models: what a vendor's offer is, what a feed's row is.

``CANONICAL_SCHEMA.to_yaml()`` and ``MERGED_SCHEMA.to_yaml()`` say all of both. Types are Arrow's;
money is exact, instants are UTC, and a text that is null is no empty text.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated

import pandas as pd
import pyarrow as pa

from relay_core.columnar.numbers import AMOUNT
from relay_core.domain.cell_rules import YEARS
from relay_core.domain.columns import CONDITIONS, extra_column, is_extra
from relay_core.validation.pandera_parts import pandera

CENTS = pa.decimal64(18, 2)
INSTANT = pa.timestamp("us", "UTC")
VENDOR = pa.dictionary(pa.int16(), pa.string())

Text = Annotated[pd.ArrowDtype, pa.string()]
Whole = Annotated[pd.ArrowDtype, pa.int32()]
RowNumber = Annotated[pd.ArrowDtype, pa.int64()]
Amount = Annotated[pd.ArrowDtype, AMOUNT]
Price = Annotated[pd.ArrowDtype, CENTS]
Instant = Annotated[pd.ArrowDtype, INSTANT]
VendorId = Annotated[pd.ArrowDtype, VENDOR]

# A day more on both sides: years are those that are written, in any zone.
FIRST_INSTANT = datetime(YEARS.start - 1, 12, 31, tzinfo=UTC)
LAST_INSTANT = datetime(YEARS.stop, 1, 2, tzinfo=UTC)


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
    condition: Text = pandera.Field(isin=list(CONDITIONS), nullable=True)
    brand: Text = pandera.Field(nullable=True)
    title: Text = pandera.Field(nullable=True)
    updated_at: Instant = pandera.Field(ge=FIRST_INSTANT, lt=LAST_INSTANT)
    row_number: RowNumber

    class Config:
        """Just these columns, in this order; the vendor is the frame's."""

        name = "canonical"
        strict = True
        ordered = True


class FeedRow(pandera.DataFrameModel):
    """One row of the merged feed: one a SKU, each with a price."""

    sku: Text = pandera.Field(unique=True)
    vendor_id: VendorId
    quantity_available: Whole = pandera.Field(ge=0)
    lead_time_days: Whole = pandera.Field(ge=0)
    price: Price = pandera.Field(gt=0)
    condition: Text = pandera.Field(isin=list(CONDITIONS), nullable=True)
    updated_at: Instant = pandera.Field(ge=FIRST_INSTANT, lt=LAST_INSTANT)

    class Config:
        """These columns at least; the tenant's output may ask for more."""

        name = "merged"


CANONICAL_SCHEMA = Offer.to_schema()
MERGED_SCHEMA = FeedRow.to_schema()

OFFER_SCHEMA = pa.schema(
    [(name, column.dtype.type.pyarrow_dtype) for name, column in CANONICAL_SCHEMA.columns.items()]
)
"""The canonical contract's columns as Arrow has them."""


def offer_fields(columns: Collection[str]) -> Iterator[pa.Field]:
    """Yield the fields of some columns of offers, a tenant's extra ones behind the canonical."""
    yield from (field for field in OFFER_SCHEMA if field.name in columns)
    yield from (pa.field(name, pa.string()) for name in columns if is_extra(name))


def offer_schema(extra_columns: Sequence[str]) -> pa.Schema:
    """Return the columns of offers of a tenant with these extra ones."""
    return pa.schema(offer_fields([*OFFER_SCHEMA.names, *map(extra_column, extra_columns)]))


OUTPUT_COLUMNS = tuple(MERGED_SCHEMA.columns)
"""The merged contract's columns."""

REJECTED_ROWS = pa.schema(
    [
        ("row_number", pa.int64()),
        ("error_codes", pa.string()),
        ("raw", pa.large_string()),
        ("sku", pa.large_string()),
    ]
)
"""One refused record; its SKU is null where it has none, or other fields than the header. The texts
may be more than short offsets reach."""
