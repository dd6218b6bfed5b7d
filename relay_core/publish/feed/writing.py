"""The merged feed in its tenant's format, and its first rows for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pyarrow as pa

from relay_core.merge.result import MergedInventory
from relay_core.publish.feed.delimited import delimited_chunks
from relay_core.publish.feed.fields import Field, fields_of, row_texts
from relay_core.publish.feed.json_lines import json_chunks
from relay_core.publish.feed.parquet import typed_chunks
from relay_core.validation.frames import table_of

Writer = Callable[[Sequence[Field], pa.Table], Iterator[bytes | memoryview]]

_WRITERS: dict[str, Writer] = {
    "csv": partial(delimited_chunks, ","),
    "tsv": partial(delimited_chunks, "\t"),
    "jsonl": json_chunks,
    "parquet": typed_chunks,
}


def feed_chunks(merged: MergedInventory) -> Iterator[bytes | memoryview]:
    """Yield the feed as its file, piece by piece."""
    write = _WRITERS[merged.config.output.format]
    return write(fields_of(merged.config), _rows(merged))


def preview(merged: MergedInventory, rows: int = 10) -> list[dict[str, str]]:
    """Return the first rows of the feed: header to text."""
    return row_texts(fields_of(merged.config), _rows(merged).slice(0, rows))


def _rows(merged: MergedInventory) -> pa.Table:
    """Return what the feed is made of; the SKU stands for a row that nothing else is read of."""
    if merged.feed is None:
        raise ValueError("a run without a feed writes none")
    wanted = {"sku", *merged.config.output.reads}
    return table_of(merged.feed[[name for name in merged.feed.columns if name in wanted]])
