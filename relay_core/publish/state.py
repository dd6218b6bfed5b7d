"""The state of a published feed: every canonical column, typed, for runs compared with it."""

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

from relay_core.columnar.text import Rows
from relay_core.columnar.threads import ordered_map
from relay_core.domain.columns import CANONICAL_COLUMNS, extra_column
from relay_core.domain.errors import StateUnreadableError
from relay_core.merge.best_offer import DeferredColumns
from relay_core.merge.result import MergedInventory
from relay_core.publish.feed import SOURCES, as_written, parquet_chunks, written_as
from relay_core.validation.comparison import FIGURES, KEPT, SUSPECT_PRICE, FeedFigures
from relay_core.validation.contracts import CENTS, INSTANT, VENDOR, frame_of, table_of

OFFERED_AT = "offered_at"
STATE_SCHEMA = pa.schema(
    [
        *((name, SOURCES[name].stored_as) for name in CANONICAL_COLUMNS),
        (OFFERED_AT, pa.timestamp("us", "UTC")),
        (KEPT, pa.bool_()),
    ]
)
"""The columns that every state has; the figures are those of the feed."""

SUSPECT_SINCE = "suspect_since"
_OF_SUSPECTS = (
    pa.field(SUSPECT_PRICE, pa.decimal128(18, 2)),
    pa.field(SUSPECT_SINCE, pa.timestamp("us", "UTC")),
)
"""The columns of a state where a quarantine is set; null but for quarantined SKUs."""
_METADATA, _HISTORY = b"relay", b"relay_history"
MAX_HISTORY = 10  # so many publications are known, the newest ones
_GROUP_ROWS = 1 << 17


class Publication(NamedTuple):
    """A run whose feed was published."""

    run_id: str
    requested_at: str  # ISO 8601, in UTC
    skus: int  # the rows of its feed


@dataclass(frozen=True, slots=True)
class StateContext:
    """The publication that a state belongs to."""

    run_id: str
    tenant_id: str
    config_version: int | None
    currency: str  # the currency of all amounts
    vendor_rows: Mapping[
        str, int
    ]  # the valid rows of every vendor that was not left out


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """A published feed that a run is compared with."""

    context: StateContext  # which publication it is
    figures: FeedFigures  # what it says of each SKU
    state: pa.Buffer | None = None  # its state, where more is read of it than that
    history: Sequence[Publication] = ()  # it and those before it, the oldest first

    def rows(self, places: Rows) -> pa.Table:
        """Return some rows of the state in order: `STATE_SCHEMA` and more; `ValueError`: none."""
        if self.state is None:
            raise ValueError("the rows of the state were not kept")
        with pq.ParquetFile(pa.BufferReader(self.state)) as file:
            groups, start = [file.schema_arrow.remove_metadata().empty_table()], 0
            for number in range(file.num_row_groups):
                stop = start + file.metadata.row_group(number).num_rows
                wanted = places[slice(*np.searchsorted(places, [start, stop]))] - start
                if len(wanted):
                    group = file.read_row_group(number).replace_schema_metadata(None)
                    groups.append(group.take(pa.array(wanted)))
                start = stop
        return pa.concat_tables(groups)


def state_chunks(
    merged: MergedInventory,
    context: StateContext,
    offered_at: datetime,
    history: Sequence[Publication],
) -> Iterator[bytes | memoryview]:
    """Yield ``state.parquet`` of a feed; the same bytes from one release of the engine.

    Rows that have ``offered_at`` and ``kept_at_0`` keep them; ``offered_at``, aware, is that of the
    others. Suspects are written where a quarantine is set. The history goes up to this publication.
    """
    if merged.feed is None or merged.deferred is None:
        raise ValueError("a run without a feed leaves no state")
    size, last = len(CANONICAL_COLUMNS), list(STATE_SCHEMA)
    last[size:size] = [
        pa.field(name, pa.string()) for name in merged.config.extra_columns
    ]
    if merged.config.guards.quarantine is not None:
        last += _OF_SUSPECTS
    # As the engine holds them: Parquet takes them without another copy.
    vendor_id = CANONICAL_COLUMNS.index("vendor_id"), pa.field("vendor_id", VENDOR)
    written = written_as(pa.schema(last)).set(*vendor_id)
    metadata = json.dumps(asdict(context), ensure_ascii=False).encode()
    rows, deferred = table_of(merged.feed), merged.deferred
    slices = (
        rows.slice(start, _GROUP_ROWS) for start in range(0, len(rows), _GROUP_ROWS)
    )
    yield from parquet_chunks(
        written,
        ordered_map(partial(_group, written, deferred, offered_at), slices),
        {_METADATA: metadata, _HISTORY: json.dumps(history[-MAX_HISTORY:]).encode()},
        compression="lz4",
        use_dictionary=["vendor_id", "condition", "brand", OFFERED_AT],
        write_statistics=False,
    )


def _group(
    written: pa.Schema, deferred: DeferredColumns, offered_at: datetime, rows: pa.Table
) -> pa.Table:
    own: dict[str, Any] = deferred.of(rows)
    own |= dict(zip(rows.column_names, rows.columns, strict=True))
    own.setdefault(OFFERED_AT, pa.repeat(pa.scalar(offered_at, INSTANT), len(rows)))
    own.setdefault(KEPT, pa.repeat(pa.scalar(False), len(rows)))
    for name, kind in ((SUSPECT_PRICE, CENTS), (SUSPECT_SINCE, INSTANT)):
        own.setdefault(name, pa.nulls(len(rows), kind))
    known = {*STATE_SCHEMA.names, SUSPECT_PRICE, SUSPECT_SINCE}
    sources = (
        own[name if name in known else extra_column(name)] for name in written.names
    )
    columns = [as_written(*each) for each in zip(sources, written.types, strict=True)]
    return pa.table(columns, schema=written)


def read_state(data: bytes | memoryview, *, keeps_rows: bool = False) -> Baseline:
    """Return the publication of a state, with rows if they are kept; or `StateUnreadableError`."""
    source = pa.py_buffer(data)
    try:
        schema = pq.read_schema(pa.BufferReader(source))
        written = {**json.loads(schema.metadata[_METADATA])}
        known = {each.name for each in fields(StateContext)}
        context = StateContext(
            **{name: written[name] for name in written if name in known}
        )
        # What a newer release has written besides says nothing here.
        own = [
            schema.field(name) for name in STATE_SCHEMA.names if name in schema.names
        ]
        if not pa.schema(own).equals(STATE_SCHEMA):
            raise ValueError(f"its columns are {', '.join(schema.names)}")
        table = pq.read_table(
            pa.BufferReader(source),
            columns=[*FIGURES, KEPT],
            read_dictionary=["vendor_id"],
        )
        if any(column.null_count for column in table.columns):
            raise ValueError(
                f"there are rows without {' or '.join(table.column_names)}"
            )
        place = table.schema.get_field_index("price")
        table = table.set_column(place, "price", table["price"].cast(CENTS))
        figures = FeedFigures.of(frame_of(table))
        if not pc.all(
            pc.less(figures.skus[:-1], figures.skus[1:]), min_count=0
        ).as_py():
            raise ValueError("its rows are not in the order of SKUs, each once")
        rows = source if keeps_rows else None
        return Baseline(context, figures, rows, _history(schema.metadata))
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise StateUnreadableError(
            f"it is no state of a published feed: {error}"
        ) from error


def _history(metadata: Mapping[bytes, bytes]) -> Sequence[Publication]:
    """Return the publications that a state names; none where another release has written it."""
    try:
        written = [
            Publication(*each) for each in json.loads(metadata.get(_HISTORY, b"[]"))
        ]
    except (ValueError, TypeError):
        return ()
    is_sound = all(tuple(map(type, each)) == (str, str, int) for each in written)
    return written[-MAX_HISTORY:] if is_sound else ()
