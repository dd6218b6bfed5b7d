"""The channels of a run, as its page shows them: the first rows of each file.

Only the beginning of a file is read. A Parquet file has no beginning to read, so its
rows are in the report alone.
"""

import csv
import io
import json
import zlib
from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

from relay_core.publish.keys import CHANNEL_PREFIX
from relay_dagster.aws.object_store import ObjectStore

MAX_ROWS = 5
"""The number of rows of a channel that the page shows."""
_HEAD_BYTES = 64 << 10
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_DELIMITERS = {"csv": ",", "tsv": "\t"}


class ChannelTable(NamedTuple):
    """A channel with the first rows of its file."""

    channel_id: str
    file_name: str  # the artifact's name, for its link
    rows_count: int  # the number of rows
    headers: list[str]
    rows: list[list[str]]  # none for a file that cannot be read in part


def channel_tables(
    artifacts: Mapping[str, str],
    summary: Mapping[str, Any],
    objects: ObjectStore,
) -> list[ChannelTable]:
    """Return the channels of a run, in the order of its config.

    Args:
        artifacts: The keys of the run's artifacts, by name.
        summary: The run's summary, which counts the rows of each channel.
        objects: The store of the artifacts.
    """
    tables = []
    for channel_id, count in (summary.get("channels") or {}).items():
        name = f"{CHANNEL_PREFIX}{channel_id}"
        key = artifacts.get(name)
        if key is None:
            continue
        headers, rows = _first_rows(key, objects)
        tables.append(ChannelTable(channel_id, name, count, headers, rows))
    return tables


def _first_rows(
    key: str,
    objects: ObjectStore,
) -> tuple[list[str], list[list[str]]]:
    """Return the headers and the first rows of a file; none if they cannot be read."""
    file_name = key.rpartition("/")[2]
    _, _, suffix = file_name.partition(".")
    file_format, _, packing = suffix.partition(".")
    if file_format == "parquet":
        return [], []
    head = objects.read_range(key, 0, _HEAD_BYTES) or b""
    if packing:
        try:
            unpacker = zlib.decompressobj(_GZIP_WINDOW)
            head = unpacker.decompress(head, _HEAD_BYTES)
        except zlib.error:
            return [], []
    # The last line may have been cut.
    lines = head.decode("utf-8", "ignore").rpartition("\n")[0]
    if file_format == "jsonl":
        return _json_rows(lines)
    text = io.StringIO(lines, newline="")
    records = csv.reader(text, delimiter=_DELIMITERS[file_format])
    headers, *rows = islice(records, MAX_ROWS + 1)
    return headers, rows


def _json_rows(lines: str) -> tuple[list[str], list[list[str]]]:
    objects = [
        json.loads(line) for line in lines.split("\n")[:MAX_ROWS] if line
    ]
    headers = list(objects[0]) if objects else []
    rows = []
    for cells in objects:
        rows.append(
            ["" if cell is None else str(cell) for cell in cells.values()]
        )
    return headers, rows
