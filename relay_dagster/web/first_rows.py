"""The first rows of a feed's files, for people who want to see what a shop gets.

Only the beginning of a file is read.
"""

import csv
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from relay_core.domain.formats import FORMATS
from relay_dagster.aws.object_store import ObjectStore

MAX_ROWS = 5
_HEAD_BYTES = 64 << 10
# zlib's number for data with the header and trailer of gzip
_GZIP_WINDOW_BITS = 31


@dataclass(frozen=True, slots=True)
class FirstRows:
    """The header and the first rows of a file, as texts."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def first_rows(objects: ObjectStore, key: str, suffix: str) -> FirstRows | None:
    """Return the first rows of a file, whose name ends in a suffix like ``csv.gz``.

    Return None for a file without text, such as Parquet, and for one that is gone or
    damaged.
    """
    name, _, compression = suffix.partition(".")
    feed_format = FORMATS[name]
    if not feed_format.has_lines:
        return None
    head = objects.read_range(key, 0, _HEAD_BYTES)
    if head is None:
        return None
    if compression:
        unpacker = zlib.decompressobj(wbits=_GZIP_WINDOW_BITS)
        try:
            head = unpacker.decompress(head, _HEAD_BYTES)
        except zlib.error:
            return None
    # The last line may be cut.
    text = head.decode("utf-8", "ignore").rpartition("\n")[0]
    if feed_format.delimiter is None:
        return _rows_of_objects(text)
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=feed_format.delimiter)
    header, *rows = [*islice(reader, MAX_ROWS + 1)] or [[]]
    return FirstRows(header, rows)


def _rows_of_objects(text: str) -> FirstRows:
    lines = text.split("\n") if text else []
    records = [json.loads(line) for line in lines[:MAX_ROWS]]
    header = list(records[0]) if records else []
    rows = []
    for record in records:
        cells = [record.get(name) for name in header]
        rows.append(["" if cell is None else str(cell) for cell in cells])
    return FirstRows(header, rows)
