"""The channels of a run, as its page shows them: the first rows of each file."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from relay_core.publish.artifacts import CHANNEL
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.web.first_rows import first_rows


class ChannelTable(NamedTuple):
    """A channel with the first rows of its file."""

    channel_id: str
    file_name: str  # the artifact's name, for its link
    rows_count: int  # the number of rows
    headers: Sequence[str]
    # Empty for a file that cannot be read in part; the report shows its rows
    rows: Sequence[Sequence[str]]


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
        name = CHANNEL.name_for(channel=channel_id)
        key = artifacts.get(name)
        if key is None:
            continue
        file_name = key.rpartition("/")[2]
        head = first_rows(objects, key, file_name.partition(".")[2])
        headers = head.header if head else []
        rows = head.rows if head else []
        tables.append(ChannelTable(channel_id, name, count, headers, rows))
    return tables
