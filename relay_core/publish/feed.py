"""The merged feed and other rows of it as files, in the format of a config.

The columns of a file and the writers of formats are in `relay_core/publish/files/`.
"""

import pyarrow as pa

from relay_core.config.models import FileConfig
from relay_core.merge.result import MergedInventory
from relay_core.publish.files.fields import fields_of, row_texts
from relay_core.publish.files.parquet import typed_table
from relay_core.publish.files.writer import Chunks
from relay_core.publish.files.writers import WRITERS


def feed_chunks(merged: MergedInventory) -> Chunks:
    """Yield the feed's file piece by piece.

    Raises:
        ValueError: The run has no feed.
    """
    config = merged.config
    rows = _feed_rows(merged)
    return file_chunks(config.output, config.default_currency, rows)


def feed_table(merged: MergedInventory) -> pa.Table:
    """Return the feed as its Parquet file has it: the headers, and amounts as decimals.

    Raises:
        ValueError: The run has no feed.
    """
    config = merged.config
    rows = written_columns(config.output, _feed_rows(merged))
    fields = fields_of(config.output, config.default_currency)
    return typed_table(fields, rows)


def preview(merged: MergedInventory, limit: int = 10) -> list[dict[str, str]]:
    """Return the first rows of the feed, each as a mapping of headers to text.

    Raises:
        ValueError: The run has no feed.
    """
    config = merged.config
    rows = _feed_rows(merged)
    return first_texts(config.output, config.default_currency, rows, limit)


def _feed_rows(merged: MergedInventory) -> pa.Table:
    if merged.feed is None:
        raise ValueError("a run without a feed writes none")
    return merged.feed


def file_chunks(file: FileConfig, currency: str, rows: pa.Table) -> Chunks:
    """Yield the file of some rows of a feed piece by piece.

    Args:
        file: The format and the columns.
        currency: The currency of the feed's amounts.
        rows: The rows, with the columns that the file is made from.
    """
    writer = WRITERS[file.format]
    return writer.chunks(fields_of(file, currency), written_columns(file, rows))


def first_texts(
    file: FileConfig,
    currency: str,
    rows: pa.Table,
    limit: int,
) -> list[dict[str, str]]:
    """Return the first rows of a file, each as a mapping of headers to text."""
    first_rows = written_columns(file, rows).slice(0, limit)
    return row_texts(fields_of(file, currency), first_rows)


def written_columns(file: FileConfig, rows: pa.Table) -> pa.Table:
    """Return rows with the columns that a file is made from.

    The SKU is always among them, because a file of constants reads no column, and its
    rows must still be counted.
    """
    columns = {"sku", *file.reads}
    names = [name for name in rows.column_names if name in columns]
    return rows.select(names)
