"""The first rows of published files, for people who want to see what a shop gets."""

import csv
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.feeds.pointer import PublishedFile

MAX_ROWS = 5
_HEAD_BYTES = 32 << 10
# zlib's number for data with the header and trailer of gzip
_GZIP_WINDOW_BITS = 31
_DELIMITERS = {"csv": ",", "tsv": "\t"}


@dataclass(frozen=True, slots=True)
class FirstRows:
    """The header and the first rows of a file, as texts."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def first_rows(objects: ObjectStore, file: PublishedFile) -> FirstRows | None:
    """Return the first rows of a published file.

    Return None for a file without text, such as Parquet, and for one that is gone.
    """
    feed_format, _, compression = file.suffix.partition(".")
    if feed_format not in (*_DELIMITERS, "jsonl"):
        return None
    head = objects.read_range(file.key, 0, _HEAD_BYTES)
    if head is None:
        return None
    if compression:
        unpacker = zlib.decompressobj(wbits=_GZIP_WINDOW_BITS)
        head = unpacker.decompress(head, _HEAD_BYTES)
    # The last line may be cut.
    lines = head.decode("utf-8", "ignore").splitlines(keepends=True)
    if lines and len(head) >= _HEAD_BYTES:
        lines = lines[:-1]
    if feed_format == "jsonl":
        return _rows_of_objects(lines)
    reader = csv.reader(lines, delimiter=_DELIMITERS[feed_format])
    header, *rows = [*islice(reader, MAX_ROWS + 1)] or [[]]
    return FirstRows(header, rows)


def _rows_of_objects(lines: Iterable[str]) -> FirstRows:
    records = [json.loads(line) for line in islice(lines, MAX_ROWS)]
    header = list(records[0]) if records else []
    rows = []
    for record in records:
        cells = [record.get(name) for name in header]
        rows.append(["" if cell is None else str(cell) for cell in cells])
    return FirstRows(header, rows)
