"""The state of a published feed, which later runs are compared with.

A state is a Parquet file of all canonical columns, typed, with its publication and the
earlier ones in the file's metadata.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relay_core.columnar.arrays import RowIndex
from relay_core.columnar.threads import ordered_map
from relay_core.domain.columns import CANONICAL_COLUMNS, extra_column
from relay_core.domain.errors import StateUnreadableError
from relay_core.merge.deferred_columns import DeferredColumns
from relay_core.merge.result import MergedInventory
from relay_core.publish import parquet_file
from relay_core.publish.files.fields import SOURCES
from relay_core.validation import row_schemas
from relay_core.validation.comparison import (
    FIGURES,
    KEPT,
    SUSPECT_PRICE,
    FeedFigures,
)

OFFERED_AT = "offered_at"
"""The column with the time of a SKU's last offer."""
STATE_SCHEMA = pa.schema(
    [
        *((name, SOURCES[name].stored_type) for name in CANONICAL_COLUMNS),
        (OFFERED_AT, pa.timestamp("us", "UTC")),
        (KEPT, pa.bool_()),
    ],
)
"""The columns of every state."""
SUSPECT_SINCE = "suspect_since"
"""The column with the time from which a quarantined SKU's new price is suspect."""
MAX_HISTORY = 10
"""The number of publications that a state names, the newest ones."""
# A state has these columns if the config has a quarantine; only quarantined SKUs have
# values in them.
_SUSPECT_FIELDS = (
    pa.field(SUSPECT_PRICE, pa.decimal128(18, 2)),
    pa.field(SUSPECT_SINCE, pa.timestamp("us", "UTC")),
)
_CONTEXT_KEY = b"relay"
_HISTORY_KEY = b"relay_history"
_GROUP_ROWS = 1 << 17
_ROWS_AT_ONCE = 1 << 15  # the number of a group's rows that are made at a time


class Publication(NamedTuple):
    """A run whose feed was published."""

    run_id: str
    requested_at: str  # the time of the run's request, ISO 8601, in UTC
    skus: int  # the number of rows in the feed


@dataclass(frozen=True, slots=True)
class StateContext:
    """The publication that a state belongs to."""

    run_id: str
    tenant_id: str
    config_version: int | None
    currency: str  # the currency of all amounts
    # The number of valid rows of each vendor that was not left out
    vendor_rows: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """A published feed that a run is compared with."""

    context: StateContext  # the publication of the feed
    figures: FeedFigures  # the figures of the feed's SKUs
    # The bytes of the state, if more than the figures is read from it
    state: pa.Buffer | None = None
    # This publication and the earlier ones, the oldest first
    history: Sequence[Publication] = ()

    def rows(self, indices: RowIndex) -> pa.Table:
        """Return the state's rows at ``indices``, which ascend, with all its columns.

        Raises:
            ValueError: The bytes of the state were not kept.
        """
        if self.state is None:
            raise ValueError("the rows of the state were not kept")
        with pq.ParquetFile(pa.BufferReader(self.state)) as file:
            parts = [file.schema_arrow.remove_metadata().empty_table()]
            start = 0
            for number in range(file.num_row_groups):
                stop = start + file.metadata.row_group(number).num_rows
                low, high = np.searchsorted(indices, [start, stop])
                if low < high:
                    group = file.read_row_group(number).replace_schema_metadata(
                        None,
                    )
                    group_indices = indices[low:high] - start
                    parts.append(group.take(pa.array(group_indices)))
                start = stop
        return pa.concat_tables(parts)


# --- writing --------------------------------------------------------------------------


def state_chunks(
    merged: MergedInventory,
    context: StateContext,
    offered_at: datetime,
    history: Sequence[Publication],
) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a feed's ``state.parquet`` piece by piece.

    One release of the engine always writes the same bytes. Rows that have
    ``offered_at`` and ``kept_at_0`` keep them; all others get ``offered_at``, which is
    aware. ``history`` ends with this publication.

    Raises:
        ValueError: The run has no feed.
    """
    if merged.feed is None or merged.deferred is None:
        raise ValueError("a run without a feed leaves no state")
    schema = _written_schema(merged)
    rows = merged.feed
    groups = (
        rows.slice(start, _GROUP_ROWS)
        for start in range(0, len(rows), _GROUP_ROWS)
    )
    written_group = partial(_written_group, schema, merged.deferred, offered_at)
    context_json = json.dumps(asdict(context), ensure_ascii=False)
    history_json = json.dumps(history[-MAX_HISTORY:])
    yield from parquet_file.parquet_chunks(
        schema,
        # One group is made while another one is encoded, which takes longer.
        ordered_map(written_group, groups, workers=1),
        {
            _CONTEXT_KEY: context_json.encode(),
            _HISTORY_KEY: history_json.encode(),
        },
        compression="lz4",
        use_dictionary=["vendor_id", "condition", "brand", OFFERED_AT],
        write_statistics=False,
    )


def _written_schema(merged: MergedInventory) -> pa.Schema:
    """Return the columns of the state in the types that Arrow's writer gets."""
    fields = list(STATE_SCHEMA)
    canonical_count = len(CANONICAL_COLUMNS)
    fields[canonical_count:canonical_count] = [
        pa.field(name, pa.string()) for name in merged.config.extra_columns
    ]
    if merged.config.guards.quarantine is not None:
        fields += _SUSPECT_FIELDS
    schema = parquet_file.stored_schema(pa.schema(fields))
    # Parquet takes vendors in the engine's type without another copy.
    return schema.set(
        schema.get_field_index("vendor_id"),
        pa.field("vendor_id", row_schemas.VENDOR),
    )


def _written_group(
    schema: pa.Schema,
    deferred: DeferredColumns,
    offered_at: datetime,
    rows: pa.Table,
) -> pa.Table:
    """Return rows of the feed with all columns of the state, made some at a time."""
    parts = []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows.slice(start, _ROWS_AT_ONCE)
        parts.append(_written_rows(schema, deferred, offered_at, part))
    return pa.concat_tables(parts)


def _written_rows(
    schema: pa.Schema,
    deferred: DeferredColumns,
    offered_at: datetime,
    rows: pa.Table,
) -> pa.Table:
    """Return rows of the feed with all columns of the state, one a row of the feed."""
    size = len(rows)
    columns: dict[str, Any] = {
        OFFERED_AT: pa.repeat(pa.scalar(offered_at, row_schemas.INSTANT), size),
        KEPT: pa.repeat(pa.scalar(False), size),
        SUSPECT_PRICE: pa.nulls(size, row_schemas.CENTS),
        SUSPECT_SINCE: pa.nulls(size, row_schemas.INSTANT),
    }
    columns |= deferred.of(rows)
    columns |= dict(zip(rows.column_names, rows.columns, strict=True))
    own_columns = {*STATE_SCHEMA.names, SUSPECT_PRICE, SUSPECT_SINCE}
    written = []
    for field in schema:
        is_extra = field.name not in own_columns
        name = extra_column(field.name) if is_extra else field.name
        written.append(parquet_file.stored_cells(columns[name], field.type))
    return pa.table(written, schema=schema)


# --- reading --------------------------------------------------------------------------


def read_state(
    data: bytes | memoryview,
    *,
    keeps_rows: bool = False,
) -> Baseline:
    """Return the publication of a state; with ``keeps_rows`` it can read rows later.

    Raises:
        StateUnreadableError: The bytes are not the state of a published feed.
    """
    source = pa.py_buffer(data)
    try:
        schema = pq.read_schema(pa.BufferReader(source))
        return Baseline(
            context=_read_context(schema.metadata),
            figures=_read_figures(source, schema),
            state=source if keeps_rows else None,
            history=_read_history(schema.metadata),
        )
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        TypeError,
        KeyError,
    ) as error:
        raise StateUnreadableError(
            f"it is not the state of a published feed: {error}",
        ) from error


def _read_context(metadata: Mapping[bytes, bytes]) -> StateContext:
    """Return the publication, without facts that only a newer release knows."""
    facts = {**json.loads(metadata[_CONTEXT_KEY])}
    names = {field.name for field in fields(StateContext)}
    for name in facts.keys() - names:
        del facts[name]
    return StateContext(**facts)


def _read_figures(source: pa.Buffer, schema: pa.Schema) -> FeedFigures:
    """Return the figures of a state's SKUs, after a check of its columns and order."""
    # A newer release may have written more columns.
    state_fields = [
        schema.field(name)
        for name in STATE_SCHEMA.names
        if name in schema.names
    ]
    if not pa.schema(state_fields).equals(STATE_SCHEMA):
        raise ValueError(f"its columns are {', '.join(schema.names)}")
    table = pq.read_table(
        pa.BufferReader(source),
        columns=[*FIGURES, KEPT],
        read_dictionary=["vendor_id"],
    )
    if any(column.null_count for column in table.columns):
        raise ValueError(
            f"there are rows without {' or '.join(table.column_names)}",
        )
    table = table.set_column(
        table.schema.get_field_index("price"),
        "price",
        table["price"].cast(row_schemas.CENTS),
    )
    figures = FeedFigures.of(table)
    ascends = pc.less(figures.skus[:-1], figures.skus[1:])
    if not pc.all(ascends, min_count=0).as_py():
        raise ValueError("its rows are not in the order of SKUs, each once")
    return figures


def _read_history(metadata: Mapping[bytes, bytes]) -> Sequence[Publication]:
    """Return the publications that a state names; none of another release."""
    try:
        entries = json.loads(metadata.get(_HISTORY_KEY, b"[]"))
        history = [Publication(*entry) for entry in entries]
    except (ValueError, TypeError):
        return ()
    for publication in history:
        if tuple(map(type, publication)) != (str, str, int):
            return ()
    return history[-MAX_HISTORY:]
