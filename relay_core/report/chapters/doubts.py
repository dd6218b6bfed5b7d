"""The chapter on parts of the config and rows that are valid, but probably unintended."""

from __future__ import annotations

from relay_core.domain.cell_rules import cut
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.records import Doubt
from relay_core.domain.run_faults import counted
from relay_core.report.blocks import Block, Item, Items, Sentence, Span, text_of
from relay_core.report.display import sentence
from relay_core.report.ended_run import EndedRun
from relay_core.report.excerpts import MAX_GROUPS, MAX_NOTE_LENGTH
from relay_core.report.report import Chapter


def chapter(run: EndedRun) -> Chapter | None:
    """Return the doubts about the run, or None if there are none."""
    doubts = run.findings.doubts
    if not doubts:
        return None
    items = tuple(map(_item_of, doubts[:MAX_GROUPS]))
    blocks: list[Block] = [Items(items, len(doubts))]
    if len(doubts) > len(items):
        hint = "To see all of them, check the vendors' files."
        blocks.append(Sentence(text_of(hint)))
    return Chapter("doubts", "Worth checking", tuple(blocks), "warn")


def _item_of(doubt: Doubt) -> Item:
    subject = doubt.vendor_id or doubt.path
    if doubt.count is not None:
        subject = f"{subject}, {counted(doubt.count, 'row')}"
    samples: list[str | Span] = []
    for sample in doubt.samples or ():
        samples += [" ", Span(cut(sample, MAX_QUOTED), "code")]
    return Item(
        text_of(
            Span(f"{subject}:", "strong"),
            " ",
            cut(sentence(doubt.message), MAX_NOTE_LENGTH),
            *samples,
        )
    )
