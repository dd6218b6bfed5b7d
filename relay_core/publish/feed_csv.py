"""The merged feed as its CSV: the columns that the tenant asks for, as the shop reads them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import partial

import pyarrow as pa

from relay_core.columnar.csv_text import (
    cents_text,
    half_up_cents,
    header_line,
    instant_text,
    lines,
    quoted,
    whole_text,
)
from relay_core.columnar.text import integers_of, without_nulls
from relay_core.columnar.threads import ordered_map
from relay_core.domain.columns import BY_NAME, Kind
from relay_core.merge.result import MergedInventory
from relay_core.validation.frames import table_of

SLICE = 1 << 16
"""How many rows are written at a time."""


def feed_chunks(merged: MergedInventory) -> Iterator[bytes | memoryview]:
    """Yield merged_inventory.csv piece by piece."""
    columns = merged.config.output.columns
    yield header_line(columns)
    if merged.feed is not None:
        batches = table_of(merged.feed[list(dict.fromkeys(columns))]).to_batches(SLICE)
        yield from ordered_map(partial(_lines, columns), batches)


def preview(merged: MergedInventory, rows: int = 10) -> list[dict[str, str]]:
    """Return the first rows of the feed as they are written."""
    if merged.feed is None:
        return []
    columns = merged.config.output.columns
    head = table_of(merged.feed.head(rows)).combine_chunks().to_batches()
    text = "".join(str(_lines(columns, batch), "utf-8") for batch in head)
    records = csv.reader(io.StringIO(text, newline=""))
    return [dict(zip(columns, record, strict=True)) for record in records]


def _lines(columns: tuple[str, ...], batch: pa.RecordBatch) -> memoryview:
    return lines([_written(name, batch[name]) for name in columns])


def _written(name: str, cells: pa.Array) -> pa.StringArray:
    kind = BY_NAME[name].kind
    if kind in (Kind.TEXT, Kind.CONDITION):
        text = cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells
        return quoted(without_nulls(text))
    values, nulls = integers_of(cells)
    if kind is Kind.INSTANT:
        return instant_text(values)
    if kind is Kind.WHOLE:
        return whole_text(values, nulls)
    return cents_text(values if cells.type.scale == 2 else half_up_cents(values), nulls)
