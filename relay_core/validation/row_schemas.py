"""The columns of rows and the rules of their cells, as plain data.

`contracts` has the same rules as Pandera models, which decide on every rejected cell.
The data here tell without Pandera that rows keep all rules; a test compares both.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pyarrow as pa

from relay_core.columnar.numbers import AMOUNT
from relay_core.domain.cell_rules import YEARS
from relay_core.domain.columns import CONDITIONS, extra_column, is_extra

CENTS = pa.decimal64(18, 2)
"""Arrow's type of a published price."""
INSTANT = pa.timestamp("us", "UTC")
"""Arrow's type of an instant."""
VENDOR = pa.dictionary(pa.int16(), pa.string())
"""Arrow's type of a vendor's id."""

# A day more on each side: years are written in any zone.
FIRST_INSTANT = datetime(YEARS.start - 1, 12, 31, tzinfo=UTC)
LAST_INSTANT = datetime(YEARS.stop, 1, 2, tzinfo=UTC)
"""The end of the instants: it is not one of them itself."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class ColumnRule(NamedTuple):
    """The rule of one column: the cells that a contract accepts."""

    name: str
    type: pa.DataType
    nullable: bool = False
    unique: bool = False  # whether no two rows have the same cell
    # The least and the greatest number as they are stored: whole numbers, cents,
    # ten-thousandths or microseconds.
    least: int | None = None
    greatest: int | None = None
    words: tuple[str, ...] | None = None  # the only texts, if they are limited
    is_gtin: bool = False  # whether the texts are GTINs, as they are written


def _amount(name: str) -> ColumnRule:
    return ColumnRule(name, AMOUNT, nullable=True, least=0)


_UPDATED_AT = ColumnRule(
    "updated_at",
    INSTANT,
    least=(FIRST_INSTANT - _EPOCH) // _MICROSECOND,
    greatest=(LAST_INSTANT - _EPOCH) // _MICROSECOND - 1,
)
_CONDITION = ColumnRule(
    "condition",
    pa.string(),
    nullable=True,
    words=CONDITIONS,
)

OFFER_RULES = (
    ColumnRule("sku", pa.string()),
    ColumnRule("vendor_sku", pa.string(), nullable=True),
    ColumnRule("quantity_available", pa.int32(), least=0),
    ColumnRule("lead_time_days", pa.int32(), nullable=True, least=0),
    _amount("cost"),
    _amount("map_price"),
    _amount("price"),
    _amount("msrp"),
    _CONDITION,
    ColumnRule("brand", pa.string(), nullable=True),
    ColumnRule("title", pa.string(), nullable=True),
    _UPDATED_AT,
    ColumnRule("row_number", pa.int64()),
)
"""The rules of one valid row of a vendor's feed: the contract `Offer`."""

GTIN_RULE = ColumnRule("gtin", pa.string(), nullable=True, is_gtin=True)
"""The rule of the extra column that has GTINs: the contract `ProductNumber`."""

FEED_ROW_RULES = (
    ColumnRule("sku", pa.string(), unique=True),
    ColumnRule("vendor_id", VENDOR),
    ColumnRule("quantity_available", pa.int32(), least=0),
    ColumnRule("lead_time_days", pa.int32(), least=0),
    ColumnRule("price", CENTS, least=1),
    _CONDITION,
    _UPDATED_AT,
)
"""The rules of one row of the merged feed: the contract `FeedRow`."""

OFFER_SCHEMA = pa.schema([(rule.name, rule.type) for rule in OFFER_RULES])
"""The columns of offers."""
FEED_ROW_COLUMNS = tuple(rule.name for rule in FEED_ROW_RULES)
"""The columns of the merged feed that its contract has rules for."""

MATCHED_BY = "matched_by"
"""The column of offers with the key that matched each row; null for an unmatched row."""

REJECTED_ROWS = pa.schema(
    [
        ("row_number", pa.int64()),
        ("error_codes", pa.string()),
        ("raw", pa.large_string()),
        ("sku", pa.large_string()),
    ],
)
"""A rejected record; its SKU is null if it has none, or another width than the header.

The texts may be more than short offsets can reach.
"""


FILE = pa.field("file", pa.string())
"""The name of a row's file, a column of vendors whose input may have several files."""


class BrokenRule(NamedTuple):
    """A rule of a contract that some rows break."""

    column: str
    rule: str  # the rule's name
    rows: list[int]  # the indices of the rows

    @property
    def is_uniqueness(self) -> bool:
        """True if the rule is that no two rows have the same cell."""
        return self.rule == "field_uniqueness"


def offer_fields(columns: Collection[str]) -> Iterator[pa.Field]:
    """Yield the fields of some columns of offers.

    A tenant's extra columns are the last.
    """
    yield from (field for field in OFFER_SCHEMA if field.name in columns)
    yield from (
        pa.field(name, pa.string()) for name in columns if is_extra(name)
    )
    if MATCHED_BY in columns:
        yield pa.field(MATCHED_BY, pa.int32())


def offer_schema(
    extra_columns: Sequence[str],
    *,
    has_catalog: bool = False,
) -> pa.Schema:
    """Return the columns of offers of a tenant with some extra columns.

    With ``has_catalog``, the last one is the key that matched each row.
    """
    names = [*OFFER_SCHEMA.names, *map(extra_column, extra_columns)]
    if has_catalog:
        names.append(MATCHED_BY)
    return pa.schema(offer_fields(names))
