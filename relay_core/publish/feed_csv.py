"""The merged feed as its CSV: the columns that the tenant asks for, as the shop reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from relay_core.columnar.text import integers_of, one_chunk, without_nulls
from relay_core.columnar.threads import ordered_map
from relay_core.domain.columns import BY_NAME, Kind
from relay_core.merge.result import MergedInventory
from relay_core.validation.frames import table_of

SLICE = 1 << 16
"""How many rows are written at a time."""
_TEXTS = (Kind.TEXT, Kind.CONDITION)


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
    return feed_cells(merged.config.output.columns, table_of(merged.feed.head(rows)))


def feed_cells(columns: Sequence[str], rows: pa.Table) -> list[dict[str, str]]:
    """Return rows of a feed as they are written, before quoting: header to cell."""
    written = [_text(name, one_chunk(rows[name])).to_pylist() for name in columns]
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*written, strict=True)]


def _lines(columns: Sequence[str], batch: pa.RecordBatch) -> memoryview:
    return lines([_quoted(name, _text(name, batch[name])) for name in columns])


def _quoted(name: str, text: pa.StringArray) -> pa.StringArray:
    """Quote a column where its cells may need it."""
    return quoted(text) if BY_NAME[name].kind in _TEXTS else text


def _text(name: str, cells: pa.Array) -> pa.StringArray:
    kind = BY_NAME[name].kind
    if kind in _TEXTS:
        text = cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells
        return without_nulls(text)
    values, nulls = integers_of(cells)
    if kind is Kind.INSTANT:
        return instant_text(values)
    if kind is Kind.WHOLE:
        return whole_text(values, nulls)
    return cents_text(values if cells.type.scale == 2 else half_up_cents(values), nulls)
