"""The two contracts of rows, as Pandera models: what a vendor's offer is, what a feed's row is.

``CANONICAL_SCHEMA.to_yaml()`` and ``MERGED_SCHEMA.to_yaml()`` say all of both. Types are Arrow's;
money is exact, instants are UTC, and a text that is null is no empty text. The checks find the rows
that a contract rejects, and the cells that it rejects them for.

Pandera is loaded without what it loads for uses that are not ours, a tenth of a second of a start:
hypothesis makes up data, and it does without; typeguard judges lists in cells, and two of its names
are read for later. Arrow's decimal of 64 bits, which Pandera does not know by itself, is added.
"""

# No postponed annotations: Pandera reads those of `from_parametrized_dtype` as it registers it.
import dataclasses
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.arrays import RowMask
from relay_core.columnar.numbers import AMOUNT
from relay_core.columnar.text import integers_in, one_chunk
from relay_core.domain.cell_rules import YEARS
from relay_core.domain.columns import CONDITIONS, extra_column, is_extra
from relay_core.domain.errors import ContractBrokenError

_typeguard = SimpleNamespace(CollectionCheckStrategy=SimpleNamespace(ALL_ITEMS=None))
_typeguard.TypeCheckError = TypeError
_given: dict[str, Any] = {"hypothesis": None, "typeguard": _typeguard}
_given = {name: module for name, module in _given.items() if name not in sys.modules}
sys.modules.update(_given)
try:
    import pandera.pandas as pandera
    from pandera.dtypes import immutable
    from pandera.engines import pandas_engine
    from pandera.errors import SchemaErrors
    from pandera.strategies import pandas_strategies  # noqa: F401  # else with the first check
finally:
    for _name in _given:
        del sys.modules[_name]

VALIDATED_ROWS = 1 << 17  # about how many rows are judged at a time
_FEW = 100
CENTS = pa.decimal64(18, 2)
INSTANT = pa.timestamp("us", "UTC")
VENDOR = pa.dictionary(pa.int16(), pa.string())


@pandas_engine.Engine.register_dtype(equivalents=[pa.Decimal64Type])
@immutable(init=True)
class ArrowDecimal64(pandas_engine.DataType):
    """A column of exact amounts whose bytes are whole numbers."""

    type: pd.ArrowDtype | None = dataclasses.field(default=None, init=False)
    precision: int = 18  # how many digits an amount has at the most
    scale: int = 0  # how many of them are decimal places

    def __post_init__(self) -> None:
        kind = pd.ArrowDtype(pa.decimal64(self.precision, self.scale))
        object.__setattr__(self, "type", kind)

    @classmethod
    def from_parametrized_dtype(cls, pyarrow_dtype: pa.Decimal64Type) -> Any:
        """Return the type of an Arrow type."""
        make: Any = cls  # whose arguments the decorator makes
        return make(precision=pyarrow_dtype.precision, scale=pyarrow_dtype.scale)


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
    [
        (name, column.dtype.type.pyarrow_dtype)
        for name, column in CANONICAL_SCHEMA.columns.items()
    ]
)
"""The canonical contract's columns as Arrow has them."""


def offer_fields(columns: Collection[str]) -> Iterator[pa.Field]:
    """Yield the fields of some columns of offers, a tenant's extra ones behind the canonical."""
    yield from (field for field in OFFER_SCHEMA if field.name in columns)
    yield from (pa.field(name, pa.string()) for name in columns if is_extra(name))


def offer_schema(extra_columns: Sequence[str]) -> pa.Schema:
    """Return the columns of offers of a tenant with these extra ones."""
    return pa.schema(
        offer_fields([*OFFER_SCHEMA.names, *map(extra_column, extra_columns)])
    )


OUTPUT_COLUMNS = tuple(MERGED_SCHEMA.columns)  # the merged contract's columns

REJECTED_ROWS = pa.schema(
    [
        ("row_number", pa.int64()),
        ("error_codes", pa.string()),
        ("raw", pa.large_string()),
        ("sku", pa.large_string()),
    ]
)
"""A rejected record; its SKU is null where it has none, or other fields than the header. The texts
may be more than short offsets reach."""


# --- what a contract rejects --------------------------------------------------------------------


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


@cache
def check_offers(rows: pa.Schema) -> None:
    """Hold columns and types against the canonical contract; `ContractBrokenError`: others.

    Pandas and Pandera load their own parts for it, as the first rows would.
    """
    if broken := broken_rules(CANONICAL_SCHEMA, frame_of(rows.empty_table())):
        raise ContractBrokenError(
            f"rows are no {CANONICAL_SCHEMA.name} rows: {broken[:3]}"
        )


def rejected_cells(
    schema: pandera.DataFrameSchema, frame: pd.DataFrame, suspect: RowMask
) -> Mapping[str, RowMask]:
    """Return by column which cells of a frame labelled 0, 1, 2, ... the contract refuses, if any.

    Its own checks are asked one by one: ``validate`` makes a record of each rejected cell, which
    takes longer than all else where there are many. The ``suspect`` rows may be rejected, as far as
    that is foreseen; they change nothing but the time: checks of numbers and instants are ranges,
    so that where the least and the greatest of the other rows hold, so do all between them.
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


def broken_rules(
    schema: pandera.DataFrameSchema, frame: pd.DataFrame
) -> list[BrokenRule]:
    """Validate a frame labelled 0, 1, 2, ... and return every rule that it breaks.

    Where each column's least and greatest hold, and those that must be unique are in order with
    none twice, no row can break one; then it is enough to validate those of the first rows.
    `ContractBrokenError`: the frame's columns or types are not the contract's.
    """
    every = np.ones(len(frame), np.bool_)
    holds = all(
        _extremes_hold(frame[name], column, every)
        and (not column.unique or _ascends(frame[name]))
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
        raise ContractBrokenError(
            f"{schema.name} rows have another shape: {cases.to_dict('list')}"
        )
    grouped = cases.groupby(["column", "check"], sort=False)["index"]
    return [
        BrokenRule(column, rule, rows.astype("int64").tolist())
        for (column, rule), rows in grouped
    ]


def _extremes_hold(cells: pd.Series, column: pandera.Column, rows: RowMask) -> bool:
    """Return whether the least and the greatest cell of some rows hold, and no null is too many."""
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
    two = pa.array([ends["min"].as_py(), ends["max"].as_py()], integers.type).view(
        found.type
    )
    return not _rejected(pd.Series(two, dtype=cells.dtype), column).any()


def _ascends(cells: pd.Series) -> bool:
    """Return whether each cell is greater than the one before."""
    found = one_chunk(cells.array.__arrow_array__())
    return bool(pc.all(pc.less(found[:-1], found[1:])).as_py())


def _rejected(cells: pd.Series, column: pandera.Column) -> RowMask:
    nulls = cells.isna().to_numpy()
    rejected = np.zeros(len(cells), np.bool_) if column.nullable else nulls.copy()
    for check in column.checks:
        holds = check(cells).check_output  # says nothing of nulls
        rejected[holds.index[~holds.to_numpy(np.bool_)]] = True
    return rejected


# --- frames of Arrow's types, which steps take and return ---------------------------------------


def frame_of(rows: pa.Table | pa.RecordBatch) -> pd.DataFrame:
    """Return rows as a frame of Arrow's types, labelled 0, 1, 2, ...; no cell is copied."""
    frame: pd.DataFrame = rows.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def table_of(frame: pd.DataFrame) -> pa.Table:
    """Return a frame of Arrow's types as a table, without its labels; no cell is copied."""
    table = pa.Table.from_pandas(frame, preserve_index=False, nthreads=1)
    return table.replace_schema_metadata(None)
