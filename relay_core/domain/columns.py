"""The one list of canonical columns: what each is, where it comes from, how a cell is rejected.

Readers, writers, schemas and guesses go by a column's kind. A new column is one line here, one in
the contract that judges it (`validation.contracts`), and one with the names that price lists give
it (`onboarding.header_names`).
"""

from dataclasses import dataclass
from enum import StrEnum

from relay_core.domain.codes import RowFault

CONDITIONS = ("new", "used", "refurb")


class Kind(StrEnum):
    """The kind of a column's cells."""

    TEXT = "text"
    CONDITION = "condition"
    WHOLE = "whole number"
    MONEY = "money"
    INSTANT = "instant"


@dataclass(frozen=True, slots=True)
class RejectionCodes:
    """A column's fault codes: of a null, an unreadable, a negative and a too large cell."""

    null: RowFault | None = None
    unreadable: RowFault | None = None
    negative: RowFault | None = None
    too_large: RowFault | None = None


@dataclass(frozen=True, slots=True)
class CanonicalColumn:
    """One column of the canonical schema."""

    name: str  # as the config, normalized.csv and errors.json have it
    kind: Kind  # how its cells are read and written
    required: bool = False  # whether a feed must have it; its cells are never null
    from_feed: bool = True  # whether a feed can give it
    takes_words: bool = (
        False  # whether the vendor's words for quantities are read in it
    )
    rejections: RejectionCodes = (
        RejectionCodes()
    )  # the faults of its cells, if there are any


_AMOUNT = RejectionCodes(
    None,
    RowFault.INVALID_DECIMAL,
    RowFault.NEGATIVE_AMOUNT,
    RowFault.AMOUNT_OUT_OF_RANGE,
)
_LEAD_TIME = RejectionCodes(None, *[RowFault.INVALID_LEAD_TIME] * 3)
_QUANTITY = RejectionCodes(
    RowFault.MISSING_QUANTITY,
    RowFault.INVALID_QUANTITY,
    RowFault.NEGATIVE_QUANTITY,
    RowFault.INVALID_QUANTITY,
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
    """Return the names of the columns of some kinds, in canonical order."""
    return tuple(column.name for column in COLUMNS if column.kind in kinds)


CANONICAL_COLUMNS = tuple(BY_NAME)
REQUIRED_COLUMNS = tuple(column.name for column in COLUMNS if column.required)
INPUT_COLUMNS = tuple(column.name for column in COLUMNS if column.from_feed)
JUDGED_COLUMNS = tuple(
    column.name for column in COLUMNS if column.rejections != RejectionCodes()
)
"""Those that a rule can refuse."""
DERIVED_COLUMNS: dict[str, tuple[str, ...]] = {
    "availability": ("quantity_available",),
    "currency": (),
    "price_with_currency": ("price",),
}
"""The columns that a merged feed can have besides the canonical ones, each with its sources."""
RESERVED_COLUMNS = ("offered_at", "kept_at_0", "suspect_price", "suspect_since")
"""The names of a state's own columns; a tenant's extra columns have others."""
EXTRA_COLUMN = "^[a-z][a-z0-9_]{0,39}$"
"""The pattern of a tenant's extra columns: texts that pass through."""
_EXTRA = "extra:"


def extra_column(name: str) -> str:
    """Return the name of an extra column among a row's columns: no other column has it."""
    return _EXTRA + name


def is_extra(column: str) -> bool:
    """Return whether a row's column is a tenant's extra one."""
    return column.startswith(_EXTRA)


def source_column(name: str) -> str:
    """Return the row's column that a column of this name is read from."""
    return name if name in BY_NAME else extra_column(name)


MONEY_COLUMNS = names_of(Kind.MONEY)
NUMBER_COLUMNS = names_of(Kind.WHOLE, Kind.MONEY)
