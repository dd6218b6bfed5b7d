"""The canonical columns, each listed once: its kind, its source, and its faults.

Readers, writers, schemas and guesses depend on a column's kind. A new column needs one
entry here, one in the contract that judges it (`validation.contracts`), and one with
the names that price lists use for it (`onboarding.header_guess`).
"""

from enum import StrEnum
from typing import NamedTuple

from relay_core.domain.codes import RowFault

CONDITIONS = ("new", "used", "refurb")


class Kind(StrEnum):
    """The kind of a column's cells."""

    TEXT = "text"
    CONDITION = "condition"
    WHOLE = "whole number"
    MONEY = "money"
    INSTANT = "instant"


class RejectionCodes(NamedTuple):
    """The faults of a column's cells; None where a cell cannot have the fault."""

    null: RowFault | None = None  # the fault of an empty cell
    # The fault of a cell that cannot be read.
    unreadable: RowFault | None = None
    negative: RowFault | None = None  # the fault of a number below zero
    too_large: RowFault | None = None  # the fault of a number above the limit


_NO_REJECTIONS = RejectionCodes()


class CanonicalColumn(NamedTuple):
    """One column of the canonical schema."""

    name: str  # the name in the config, normalized.csv and errors.json
    kind: Kind  # the kind, which decides how cells are read and written
    # Whether a feed must have it; its cells are never null.
    required: bool = False
    from_feed: bool = True  # whether a feed can have it
    # Whether the vendor's words for quantities are read.
    takes_words: bool = False
    rejections: RejectionCodes = _NO_REJECTIONS  # the faults of its cells


_AMOUNT = RejectionCodes(
    unreadable=RowFault.INVALID_DECIMAL,
    negative=RowFault.NEGATIVE_AMOUNT,
    too_large=RowFault.AMOUNT_OUT_OF_RANGE,
)
_LEAD_TIME = RejectionCodes(
    unreadable=RowFault.INVALID_LEAD_TIME,
    negative=RowFault.INVALID_LEAD_TIME,
    too_large=RowFault.INVALID_LEAD_TIME,
)
_QUANTITY = RejectionCodes(
    null=RowFault.MISSING_QUANTITY,
    unreadable=RowFault.INVALID_QUANTITY,
    negative=RowFault.NEGATIVE_QUANTITY,
    too_large=RowFault.INVALID_QUANTITY,
)
_CONDITION = RejectionCodes(unreadable=RowFault.INVALID_CONDITION)
_INSTANT = RejectionCodes(unreadable=RowFault.INVALID_TIMESTAMP)

COLUMNS = (
    CanonicalColumn(
        "sku",
        Kind.TEXT,
        required=True,
        rejections=RejectionCodes(null=RowFault.MISSING_SKU),
    ),
    CanonicalColumn("vendor_sku", Kind.TEXT),
    CanonicalColumn("vendor_id", Kind.TEXT, from_feed=False),
    CanonicalColumn(
        "quantity_available",
        Kind.WHOLE,
        required=True,
        takes_words=True,
        rejections=_QUANTITY,
    ),
    CanonicalColumn("lead_time_days", Kind.WHOLE, rejections=_LEAD_TIME),
    CanonicalColumn("cost", Kind.MONEY, rejections=_AMOUNT),
    CanonicalColumn("map_price", Kind.MONEY, rejections=_AMOUNT),
    CanonicalColumn("price", Kind.MONEY, rejections=_AMOUNT),
    CanonicalColumn("msrp", Kind.MONEY, rejections=_AMOUNT),
    CanonicalColumn("condition", Kind.CONDITION, rejections=_CONDITION),
    CanonicalColumn("brand", Kind.TEXT),
    CanonicalColumn("title", Kind.TEXT),
    CanonicalColumn("updated_at", Kind.INSTANT, rejections=_INSTANT),
)
BY_NAME = {column.name: column for column in COLUMNS}


def names_of(*kinds: Kind) -> tuple[str, ...]:
    """Return the names of all columns of some kinds, in canonical order."""
    return tuple(column.name for column in COLUMNS if column.kind in kinds)


CANONICAL_COLUMNS = tuple(BY_NAME)
REQUIRED_COLUMNS = tuple(column.name for column in COLUMNS if column.required)
INPUT_COLUMNS = tuple(column.name for column in COLUMNS if column.from_feed)
GTIN_REJECTIONS = RejectionCodes(unreadable=RowFault.INVALID_GTIN)
JUDGED_COLUMNS = tuple(
    column.name for column in COLUMNS if column.rejections != _NO_REJECTIONS
)
"""The canonical columns whose cells can be rejected."""


def judged_columns(gtin_column: str | None) -> tuple[str, ...]:
    """Return the columns whose cells can be rejected; an extra one of GTINs is last."""
    return (
        JUDGED_COLUMNS
        if gtin_column is None
        else (*JUDGED_COLUMNS, gtin_column)
    )


def rejections_of(column: str) -> RejectionCodes:
    """Return the faults of a judged column's cells."""
    return BY_NAME[column].rejections if column in BY_NAME else GTIN_REJECTIONS


DERIVED_COLUMNS: dict[str, tuple[str, ...]] = {
    "availability": ("quantity_available",),
    "currency": (),
    "price_with_currency": ("price",),
}
"""The other columns that a merged feed can have, each with its source columns."""
RESERVED_COLUMNS = ("offered_at", "kept_at_0", "suspect_price", "suspect_since")
"""The names of a state's own columns, which a tenant's extra columns cannot have."""
EXTRA_COLUMN = "^[a-z][a-z0-9_]{0,39}$"
"""The pattern of the names of a tenant's extra columns, which pass through as text."""
EXTRA_PREFIX = "extra:"


def extra_column(name: str) -> str:
    """Return the name of an extra column in a row, which no other column has."""
    return EXTRA_PREFIX + name


def is_extra(column: str) -> bool:
    """Return whether a row's column is an extra column of the tenant."""
    return column.startswith(EXTRA_PREFIX)


def source_column(name: str) -> str:
    """Return the column of a row that has the cells of a named column."""
    return name if name in BY_NAME else extra_column(name)


MONEY_COLUMNS = names_of(Kind.MONEY)
NUMBER_COLUMNS = names_of(Kind.WHOLE, Kind.MONEY)
