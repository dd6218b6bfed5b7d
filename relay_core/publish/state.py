"""The state of a published feed: its rows, typed, for the runs that are compared with it.

A changed output of the tenant does not disturb it: it holds every canonical column.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relay_core.domain.columns import BY_NAME, CANONICAL_COLUMNS, Kind
from relay_core.domain.errors import StateUnreadableError
from relay_core.validation.comparison import FIGURES, KEPT, FeedFigures
from relay_core.validation.contracts import CENTS, INSTANT
from relay_core.validation.frames import frame_of, table_of

_TYPES = {
    Kind.WHOLE: pa.int32(),
    Kind.MONEY: pa.decimal128(18, 4),
    Kind.INSTANT: pa.timestamp("ms", "UTC"),
}
STATE_SCHEMA = pa.schema(
    [
        *((name, _TYPES.get(BY_NAME[name].kind, pa.string())) for name in CANONICAL_COLUMNS),
        ("offered_at", pa.timestamp("us", "UTC")),
        (KEPT, pa.bool_()),
    ]
).set(CANONICAL_COLUMNS.index("price"), pa.field("price", pa.decimal128(18, 2)))
"""The columns of a state; the figures are those of the feed."""

_METADATA = b"relay"
_SECOND = 1_000_000
_GROUP_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class StateContext:
    """Which publication a state is of.

    Attributes:
        run_id: the run.
        tenant_id: the tenant.
        config_version: the run's.
        currency: the currency of all amounts.
        vendor_rows: the valid rows of every vendor that was not left out.
    """

    run_id: str
    tenant_id: str
    config_version: int | None
    currency: str
    vendor_rows: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """A published feed that a run is compared with.

    Attributes:
        context: which publication it is.
        figures: what it says of each SKU; of its state nothing else is read.
    """

    context: StateContext
    figures: FeedFigures


def state_chunks(
    feed: pd.DataFrame, context: StateContext, offered_at: datetime
) -> Iterator[memoryview]:
    """Yield ``state.parquet`` of a feed; the same bytes from one release of the engine.

    Args:
        feed: its rows with every canonical column; rows that have ``offered_at`` and ``kept_at_0``
            keep them.
        context: which publication it is.
        offered_at: aware; when the rows were offered, which have no instant of their own.
    """
    told = {
        "run_id": context.run_id,
        "tenant_id": context.tenant_id,
        "config_version": context.config_version,
        "currency": context.currency,
        "vendor_rows": dict(context.vendor_rows),
    }
    table = table_of(feed)
    own = dict(zip(table.column_names, table.columns, strict=True))
    own.setdefault("offered_at", pa.repeat(pa.scalar(offered_at, INSTANT), len(table)))
    own.setdefault(KEPT, pa.repeat(pa.scalar(False), len(table)))
    columns = [_as_stored(own[field.name], field.type) for field in STATE_SCHEMA]
    schema = STATE_SCHEMA.with_metadata({_METADATA: json.dumps(told, ensure_ascii=False).encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.table(columns, schema=schema),
        sink,
        compression="zstd",
        compression_level=1,
        row_group_size=_GROUP_ROWS,
        use_dictionary=["vendor_id", "condition", "brand"],
        write_statistics=False,
        store_schema=True,
    )
    yield memoryview(sink.getvalue())


def read_state(data: bytes | memoryview) -> Baseline:
    """Return the publication that a state holds.

    Raises:
        StateUnreadableError: the bytes are no state.
    """
    source = pa.py_buffer(data)
    try:
        schema = pq.read_schema(pa.BufferReader(source))
        context = StateContext(**json.loads(schema.metadata[_METADATA]))
        if not schema.remove_metadata().equals(STATE_SCHEMA):
            raise ValueError(f"its columns are {', '.join(schema.names)}")
        table = pq.read_table(
            pa.BufferReader(source), columns=[*FIGURES, KEPT], read_dictionary=["vendor_id"]
        )
        return Baseline(context, _figures(table))
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise StateUnreadableError(f"it is no state of a published feed: {error}") from error


def _figures(table: pa.Table) -> FeedFigures:
    if any(column.null_count for column in table.columns):
        raise ValueError(f"there are rows without {' or '.join(table.column_names)}")
    place = table.schema.get_field_index("price")
    figures = FeedFigures.of(frame_of(table.set_column(place, "price", table["price"].cast(CENTS))))
    skus = figures.skus
    if not pc.all(pc.less(skus[:-1], skus[1:]), min_count=0).as_py():
        raise ValueError("its rows are not in the order of SKUs, each once")
    return figures


def _as_stored(cells: pa.ChunkedArray | pa.Array, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    if pa.types.is_timestamp(kind) and kind.unit == "ms":
        whole = pc.floor_temporal(cells, unit="second")
        return whole.cast(kind)
    return cells.cast(kind)
