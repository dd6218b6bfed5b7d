"""The rows of the report's tables and lists, made from a run's findings.

Rows are plain values, so the template does not decide anything; it escapes every text.
This module cuts the texts that vendors and merchants wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from relay_core.domain import records
from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import VendorStatus
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.run_faults import counted
from relay_core.publish.applied_rules import AppliedRule
from relay_core.publish.changes import Changes, PriceMove
from relay_core.publish.channels import ChannelSummary
from relay_core.publish.findings import RunFindings
from relay_core.publish.report import parts, wording

MAX_EXAMPLE_ROWS = 10
"""The number of examples in a list."""
MAX_CHANNEL_ROWS = 5
"""The number of rows of a channel."""
MAX_CAUSES = 5
"""The number of causes in a group."""
_MAX_NOTE_LENGTH = 500
_MAX_PATCH_LENGTH = 1_000
# The effects of rules that run_summary.json calls by another name
_VERBS = {
    "refused": "rejected",
    "held back": "not offered",
    "set aside": "not used",
}


class ChannelTable(NamedTuple):
    """A channel with the first rows of its file."""

    channel_id: str
    counted: str  # the number of rows, in words
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, channel: ChannelSummary) -> ChannelTable:
        """Return the table of a channel."""
        headers = [cut(header, MAX_QUOTED) for header in channel.headers]
        rows = []
        for row in channel.first_rows[:MAX_CHANNEL_ROWS]:
            rows.append(tuple(cut(cell, MAX_QUOTED) for cell in row.values()))
        return cls(
            channel_id=channel.channel_id,
            counted=counted(channel.rows, "row"),
            headers=tuple(headers),
            rows=tuple(rows),
        )


class ChangesRow(NamedTuple):
    """The changes of the feed since the previous feed."""

    chart: parts.Chart
    rises: tuple[parts.Move, ...]
    falls: tuple[parts.Move, ...]

    @classmethod
    def of(cls, changes: Changes, titles: Mapping[str, str]) -> ChangesRow:
        """Return the bars of all counts and the largest changes of prices."""
        rises, falls = changes.greatest_moves(MAX_EXAMPLE_ROWS)
        return cls(
            chart=parts.changes_chart(changes.counts),
            rises=tuple(_price_move(move, titles) for move in rises),
            falls=tuple(_price_move(move, titles) for move in falls),
        )


def _price_move(move: PriceMove, titles: Mapping[str, str]) -> parts.Move:
    return parts.Move(
        sku=cut(move.sku, MAX_QUOTED),
        before=wording.amount(move.before),
        after=wording.amount(move.after),
        change=wording.signed_percent(move.share),
        title=cut(titles.get(move.sku, ""), MAX_QUOTED),
    )


class SuspectRow(NamedTuple):
    """A SKU that keeps its published price, and the offer that has the new one."""

    sku: str
    title: str
    published: str
    computed: str
    offer: str

    @classmethod
    def of(
        cls, row: Mapping[str, str], titles: Mapping[str, str]
    ) -> SuspectRow:
        """Return the row for a row of quarantine.csv."""
        sku = row["sku"]
        return cls(
            sku=cut(sku, MAX_QUOTED),
            title=cut(titles.get(sku, ""), MAX_QUOTED),
            published=wording.amount(row["price_published"]),
            computed=wording.amount(row["price_computed"]),
            offer=f"{row['vendor_id']}, row {row['row_number']}",
        )


class RuleRow(NamedTuple):
    """A rule of the tenant's config and its effect."""

    path: str
    rule: str
    vendor_id: str
    effect: str

    @classmethod
    def of(cls, applied: AppliedRule) -> RuleRow:
        """Return the row of a rule."""
        count = counted(applied.count, applied.noun)
        verb = _VERBS.get(applied.verb, applied.verb)
        return cls(
            path=applied.path,
            rule=cut(applied.rule, MAX_QUOTED),
            vendor_id=applied.vendor_id or "",
            effect=f"{count} {verb}",
        )


class VendorRow(NamedTuple):
    """A vendor's rows, and the file that the run used."""

    vendor_id: str
    tone: wording.Tone
    use: str
    rows: str
    rejected: str
    won: str
    age: str
    note: str

    @classmethod
    def of(
        cls,
        findings: RunFindings,
        result: records.VendorResult,
        notes: Sequence[str],
    ) -> VendorRow:
        """Return the row of a vendor; ``notes`` say why its file was not used."""
        vendor_id = result.vendor_id
        tone, use = wording.USE_WORDS[result.status]
        if any(fault.vendor_id == vendor_id for fault in findings.faults):
            tone = "bad"
        elif notes and tone == "good":
            tone = "warn"
        for upload in findings.uploads:
            is_unusable = upload.status is VendorStatus.FAILED
            if is_unusable and upload.vendor_id == vendor_id:
                use = "Could not be read"
        rows = ""
        rejected = ""
        if result.rows is not None:
            rejected_rows = result.invalid_rows or 0
            share = wording.part(rejected_rows, result.rows)
            rows = wording.number(result.rows)
            rejected = f"{wording.number(rejected_rows)} ({share})"
        age = ""
        if result.age_hours is not None:
            age = wording.age(timedelta(hours=result.age_hours))
        return cls(
            vendor_id=vendor_id,
            tone=tone,
            use=use,
            rows=rows,
            rejected=rejected,
            won=skus_won(result.skus_won or 0, findings.record_count),
            age=age,
            note=cut(" ".join(notes), _MAX_NOTE_LENGTH),
        )


def skus_won(count: int, total: int) -> str:
    """Return the number and percentage of a vendor's SKUs; empty without a feed."""
    if not total:
        return ""
    return f"{wording.number(count)} ({wording.part(count, total)})"


class CauseRow(NamedTuple):
    """Similar rejected cells of a vendor, their fix, and a patch of the config."""

    counted: str
    vendor_id: str
    samples: tuple[records.CauseSample, ...]
    what_to_do: str
    patch: str

    @classmethod
    def of(cls, cause: records.Cause) -> CauseRow:
        """Return the row of a cause. A patch that is too long is left out."""
        patch = ""
        if cause.patch:
            patch = json.dumps(list(cause.patch), ensure_ascii=False, indent=2)
        samples = [
            replace(sample, value=cut(sample.value.strip(), MAX_QUOTED))
            for sample in cause.samples
        ]
        return cls(
            counted=counted(cause.count, "row"),
            vendor_id=cause.vendor_id,
            samples=tuple(samples),
            what_to_do=cut(
                wording.sentence(cause.what_to_do), _MAX_NOTE_LENGTH
            ),
            patch=patch if len(patch) <= _MAX_PATCH_LENGTH else "",
        )


class CauseGroup(NamedTuple):
    """The causes of one code in one column."""

    title: str
    error_code: str
    counted: str
    causes: parts.Excerpt[CauseRow]

    @classmethod
    def of(cls, causes: Sequence[records.Cause]) -> CauseGroup:
        """Return the group of causes that share a code and a column."""
        error_code = causes[0].error_code
        row_count = sum(cause.count for cause in causes)
        cause_rows = map(CauseRow.of, causes)
        return cls(
            title=wording.fault_title(error_code, causes[0].column),
            error_code=error_code,
            counted=counted(row_count, "row"),
            causes=parts.Excerpt.of(cause_rows, MAX_CAUSES, len(causes)),
        )


class DoubtRow(NamedTuple):
    """A part of the config or the rows that is valid, but probably unintended."""

    subject: str
    message: str
    samples: tuple[str, ...]

    @classmethod
    def of(cls, doubt: records.Doubt) -> DoubtRow:
        """Return the row of a doubt."""
        subject = doubt.vendor_id or doubt.path
        if doubt.count is not None:
            subject = f"{subject}, {counted(doubt.count, 'row')}"
        samples = [cut(sample, MAX_QUOTED) for sample in doubt.samples or ()]
        return cls(
            subject=subject,
            message=cut(wording.sentence(doubt.message), _MAX_NOTE_LENGTH),
            samples=tuple(samples),
        )
