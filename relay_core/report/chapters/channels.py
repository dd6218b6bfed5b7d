"""The chapter on the channels of the feed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from relay_core.domain.cell_rules import cut
from relay_core.domain.limits import MAX_QUOTED
from relay_core.report.blocks import (
    Block,
    Column,
    File,
    Files,
    Heading,
    Sentence,
    Table,
    text_of,
)
from relay_core.report.ended_run import EndedRun
from relay_core.report.excerpts import quoted
from relay_core.report.report import Chapter

if TYPE_CHECKING:
    from relay_core.publish.channels import ChannelSummary

MAX_ROWS = 5
"""The number of rows of a channel that a report shows."""
_ONLY_HEADER = (
    "The file has only its header, because no row of the feed has a price here and meets "
    "the conditions."
)


def chapter(run: EndedRun) -> Chapter | None:
    """Return each channel with the first rows of its file; None without channels."""
    channels = run.findings.channels
    if not channels:
        return None
    blocks: list[Block] = []
    for channel in channels:
        blocks += _blocks_of(channel)
    facts = {
        f"channels/{channel.channel_id}": channel.rows for channel in channels
    }
    return Chapter("channels", "Channels", tuple(blocks), facts=facts)


def chapter_of(counts: Mapping[str, int]) -> Chapter:
    """Return the number of rows of each channel, as run_summary.json counts them."""
    blocks: list[Block] = []
    for channel_id, count in counts.items():
        name = f"channel_{channel_id}"
        blocks.append(Heading(channel_id, total=count, unit="row"))
        blocks.append(Files((File(name, channel_id, name),)))
    return Chapter("channels", "Channels", tuple(blocks))


def _blocks_of(channel: ChannelSummary) -> Iterator[Block]:
    name = f"channel_{channel.channel_id}"
    yield Heading(channel.channel_id, total=channel.rows, unit="row")
    if not channel.rows:
        yield Sentence(text_of(_ONLY_HEADER))
        return
    columns = [
        Column(header, cut(header, MAX_QUOTED)) for header in channel.headers
    ]
    rows = [
        tuple(quoted(cell) for cell in row.values())
        for row in channel.first_rows[:MAX_ROWS]
    ]
    yield Table(
        name,
        "First rows of the file",
        tuple(columns),
        tuple(rows),
        channel.rows,
        artifact=name,
    )
