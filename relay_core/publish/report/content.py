"""report.html: the rows that a run's findings are shown as, in order, and bounded, and the page.

Rows are plain values, so that the template, which escapes every text, decides nothing. Lists are
cut here, texts where the page is made.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple

from relay_core.domain import records
from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import RunStatus, VendorStatus, WarningCode
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.run_faults import next_action
from relay_core.publish.changes import Changes
from relay_core.publish.findings import AppliedRule, RunFindings
from relay_core.publish.report import wording
from relay_core.publish.report.templating import REPORT, pages
from relay_core.publish.report.wording import Tone, Verdict
from relay_core.publish.reports import timestamp
from relay_core.publish.state import MAX_HISTORY

MAX_ROWS = 200  # so many rows has a table; so many vendors a config
MAX_BARS = 12
MAX_SAMPLES = 10
_MAX_WARNINGS = (
    1_000  # so many warnings are looked through: those of vendors come first
)
MAX_GROUPS, MAX_CAUSES = 20, 5
_MAX_NOTE_LENGTH, _MAX_PATCH_LENGTH = 500, 1_000


class FeedChanges(NamedTuple):
    """The changes of the feed against the published one."""

    chart: wording.Chart
    rises: tuple[wording.Move, ...]
    falls: tuple[wording.Move, ...]

    @classmethod
    def of(cls, changes: Changes, titles: Mapping[str, str]) -> FeedChanges:
        """Return the bars of all counts, and the greatest moves of prices."""
        rises, falls = (
            tuple(
                wording.Move(
                    cut(one.sku, MAX_QUOTED),
                    wording.amount(one.before),
                    wording.amount(one.after),
                    wording.signed_percent(one.share),
                    cut(titles.get(one.sku, ""), MAX_QUOTED),
                )
                for one in moves
            )
            for moves in changes.greatest_moves(MAX_SAMPLES)
        )
        return cls(wording.changes_chart(changes.counts), rises, falls)


class Suspect(NamedTuple):
    """A SKU that keeps its published price, and whose offer the new one is of."""

    sku: str
    title: str
    published: str
    computed: str
    offer: str

    @classmethod
    def of(cls, row: Mapping[str, str], titles: Mapping[str, str]) -> Suspect:
        """Return a row of quarantine.csv as it is shown."""
        return cls(
            cut(row["sku"], MAX_QUOTED),
            cut(titles.get(row["sku"], ""), MAX_QUOTED),
            wording.amount(row["price_published"]),
            wording.amount(row["price_computed"]),
            f"{row['vendor_id']}, row {row['row_number']}",
        )


class Rule(NamedTuple):
    """A rule of the tenant's own, and its effect."""

    path: str
    rule: str
    vendor_id: str
    did: str

    @classmethod
    def of(cls, one: AppliedRule) -> Rule:
        """Return a rule's row."""
        did = f"{wording.counted(one.count, one.noun)} {one.verb}"
        return cls(one.path, cut(one.rule, MAX_QUOTED), one.vendor_id or "", did)


class VendorRow(NamedTuple):
    """A vendor's rows, and the part of them that is used."""

    vendor_id: str
    tone: Tone
    use: str
    rows: str
    refused: str
    won: str
    age: str
    note: str

    @classmethod
    def of(
        cls, findings: RunFindings, one: records.VendorResult, notes: Sequence[str]
    ) -> VendorRow:
        """Return a vendor's row; ``notes`` say how it failed."""
        tone, use = wording.USES[one.status]
        if any(fault.vendor_id == one.vendor_id for fault in findings.faults):
            tone = "bad"
        elif notes and tone == "good":
            tone = "warn"
        total, rejected, is_read = (
            one.rows or 0,
            one.invalid_rows or 0,
            one.rows is not None,
        )
        failed = (
            each for each in findings.uploads if each.status is VendorStatus.FAILED
        )
        if any(each.vendor_id == one.vendor_id for each in failed):
            use = "cannot be read"
        share = f"{wording.number(rejected)} ({wording.part(rejected, total)})"
        return cls(
            vendor_id=one.vendor_id,
            tone=tone,
            use=use,
            rows=wording.number(total) if is_read else "",
            refused=share if is_read else "",
            won=_won(one.skus_won or 0, findings.record_count),
            age=""
            if one.age_hours is None
            else wording.age(timedelta(hours=one.age_hours)),
            note=cut(" ".join(notes), _MAX_NOTE_LENGTH),
        )


class ShownCause(NamedTuple):
    """Rejected cells of a vendor that are alike, their remedy, and a patch of the config."""

    counted: str
    vendor_id: str
    samples: tuple[records.CauseSample, ...]
    what_to_do: str
    patch: str

    @classmethod
    def of(cls, cause: records.Cause) -> ShownCause:
        """Return a cause with its texts cut; a patch is shown whole or not at all."""
        patch = (
            json.dumps(list(cause.patch), ensure_ascii=False, indent=2)
            if cause.patch
            else ""
        )
        samples = (
            replace(one, value=cut(one.value.strip(), MAX_QUOTED))
            for one in cause.samples
        )
        return cls(
            wording.counted(cause.count, "row"),
            cause.vendor_id,
            tuple(samples),
            cut(wording.sentence(cause.what_to_do), _MAX_NOTE_LENGTH),
            patch if len(patch) <= _MAX_PATCH_LENGTH else "",
        )


class ShownDoubt(NamedTuple):
    """Something that is valid and probably not meant."""

    about: str
    message: str
    samples: tuple[str, ...]

    @classmethod
    def of(cls, doubt: records.Doubt) -> ShownDoubt:
        """Return a doubt with its texts cut."""
        rows = "" if doubt.count is None else f", {wording.counted(doubt.count, 'row')}"
        return cls(
            f"{doubt.vendor_id or doubt.path}{rows}",
            cut(wording.sentence(doubt.message), _MAX_NOTE_LENGTH),
            tuple(cut(sample, MAX_QUOTED) for sample in doubt.samples or ()),
        )


class CauseGroup(NamedTuple):
    """The causes of one code in one column."""

    title: str
    error_code: str
    counted: str
    causes: wording.Listed[ShownCause]

    @classmethod
    def of(cls, causes: Sequence[records.Cause]) -> CauseGroup:
        """Return causes of one code and column as a group."""
        first = causes[0]
        return cls(
            wording.fault_title(first.error_code, first.column),
            first.error_code,
            wording.counted(sum(cause.count for cause in causes), "row"),
            wording.Listed.of(map(ShownCause.of, causes), MAX_CAUSES, len(causes)),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """The whole page; a part without content is left out."""

    ctx: records.RunContext
    requested_at: str
    requested_on: str
    engine_version: str
    currency: str
    is_held: bool
    verdict: Verdict
    faults: wording.Listed[records.ReportEntry]
    doubts: wording.Listed[ShownDoubt]
    figures: tuple[wording.Figure, ...]
    changes: FeedChanges | None
    guards: wording.Listed[wording.Guard]
    quarantine: wording.Listed[Suspect]
    rules: wording.Listed[Rule]
    rows: wording.Listed[wording.VendorRows]
    vendors: wording.Listed[VendorRow]
    shares: wording.Chart | None
    history: wording.Chart | None
    causes: wording.Listed[CauseGroup]
    unpriced: wording.Listed[str]


def report_html(
    ctx: records.RunContext, findings: RunFindings, status: RunStatus
) -> bytes:
    """Return report.html: the same bytes for the same run and findings."""
    page = pages(REPORT).get_template("page.html.jinja")
    text = page.render(report=report_of(ctx, findings, status))
    return text.encode(errors="xmlcharrefreplace")


def load_templates() -> None:
    """Load what pages are made with: it takes longer than making one, and a thread can do it."""
    for name in pages(REPORT).list_templates():
        pages(REPORT).get_template(name)


def report_of(
    ctx: records.RunContext, findings: RunFindings, status: RunStatus
) -> Report:
    """Return the content of a run's report."""
    notes = _failure_notes(findings)
    action = "" if findings.failure is None else next_action(findings.failure)
    tripped_first = sorted(findings.guards or (), key=lambda result: not result.tripped)
    results = findings.vendor_results(ctx.requested_at)
    vendors = (
        VendorRow.of(findings, one, notes.get(one.vendor_id, ())) for one in results
    )
    unpriced = (
        cut(entry.sku, MAX_QUOTED)
        for entry in findings.warnings[:_MAX_WARNINGS]
        if entry.error_code == WarningCode.UNPRICED_SKU and entry.sku is not None
    )
    return Report(
        ctx=ctx,
        requested_at=timestamp(ctx.requested_at),
        requested_on=wording.moment(ctx.requested_at),
        engine_version=records.ENGINE_VERSION,
        currency=findings.currency,
        is_held=status is RunStatus.HELD,
        verdict=wording.verdict(status, findings, list(notes), action, ctx.run_id),
        faults=wording.Listed.of(findings.faults, MAX_SAMPLES, len(findings.faults)),
        doubts=wording.Listed.of(
            map(ShownDoubt.of, findings.doubts), MAX_GROUPS, len(findings.doubts)
        ),
        figures=_figures(findings),
        changes=None
        if findings.changes is None
        else FeedChanges.of(findings.changes, findings.titles),
        guards=wording.Listed.of(
            (wording.Guard.of(each, findings.titles) for each in tripped_first),
            MAX_ROWS,
            len(tripped_first),
        ),
        quarantine=wording.Listed.of(
            (
                Suspect.of(row, findings.titles)
                for row in findings.first_quarantined(MAX_SAMPLES)
            ),
            MAX_SAMPLES,
            findings.quarantined or 0,
        ),
        rules=wording.Listed.of(
            map(Rule.of, findings.rules), MAX_ROWS, len(findings.rules)
        ),
        rows=_rows(findings),
        vendors=wording.Listed.of(vendors, MAX_ROWS, len(results)),
        shares=_vendor_shares(findings),
        history=_history(ctx, findings, status),
        causes=_cause_groups(findings.causes()),
        unpriced=wording.Listed.of(unpriced, MAX_SAMPLES, findings.unpriced_skus),
    )


def _failure_notes(findings: RunFindings) -> Mapping[str, Sequence[str]]:
    """Return the warnings about failed vendors, in the order of the config."""
    notes: dict[str, list[str]] = defaultdict(list)
    for entry in findings.warnings[:_MAX_WARNINGS]:
        if entry.vendor_id is not None and entry.error_code != WarningCode.UNPRICED_SKU:
            notes[entry.vendor_id].append(entry.error_message)
    return {name: notes[name] for name in findings.vendor_ids if name in notes}


def _figures(findings: RunFindings) -> tuple[wording.Figure, ...]:
    if not findings.uploads:
        return ()
    counts = findings.counts()
    total, rejected = counts["total_rows"], counts["invalid_rows"]
    shown = (
        wording.Figure("SKUs in the feed", wording.number(counts["record_count"])),
        wording.Figure("rows read", wording.number(total)),
        wording.Figure(
            "rows refused", wording.number(rejected), wording.part(rejected, total)
        ),
        wording.Figure("SKUs without a price", wording.number(counts["unpriced_skus"])),
    )
    return shown if findings.failure is None else shown[1:3]


def _rows(findings: RunFindings) -> wording.Listed[wording.VendorRows]:
    """Return where the rows of vendors went that had any, those that lost the most first."""
    read = [(name, rows) for name, rows in findings.rows.items() if rows.read]
    read.sort(key=lambda pair: not wording.merged_many(pair[1]))
    return wording.Listed.of(
        (wording.VendorRows.of(name, rows.as_dict()) for name, rows in read),
        MAX_BARS,
        len(read),
    )


def _vendor_shares(findings: RunFindings) -> wording.Chart | None:
    """Return the bars of the vendors that have won the most SKUs."""
    won = sorted(findings.skus_won.items(), key=lambda pair: -pair[1])[:MAX_BARS]
    of = findings.record_count
    if len(won) < 2 or not of:
        return None
    rows = [(name, _won(count, of), count, "") for name, count in won]
    summary = "; ".join(f"{name} {value}" for name, value, _, _ in rows)
    return wording.Chart.of("Share of the feed by vendor", rows, summary)


def _history(
    ctx: records.RunContext, findings: RunFindings, status: RunStatus
) -> wording.Chart | None:
    """Return a bar for each of the last publications, the newest last, and for this run's feed."""
    shown = [(each.requested_at, each.skus, "idle") for each in findings.history]
    if findings.failure is None:
        tone = "warn" if status is RunStatus.HELD else "good"
        shown.append(
            (f"{timestamp(ctx.requested_at)}, this run", findings.record_count, tone)
        )
    shown = shown[-MAX_HISTORY:]
    if len(shown) < 2:
        return None
    rows = [
        (label, wording.counted(skus, "SKU"), skus, tone) for label, skus, tone in shown
    ]
    summary = "; ".join(f"{label}: {value}" for label, value, _, _ in rows)
    return wording.Chart.of("SKUs of the feeds published last", rows, summary)


def _won(won: int, of: int) -> str:
    return f"{wording.number(won)} ({wording.part(won, of)})" if of else ""


def _cause_groups(causes: Sequence[records.Cause]) -> wording.Listed[CauseGroup]:
    """Return the causes by code and column, the most frequent first."""
    groups: dict[tuple[str, str], list[records.Cause]] = defaultdict(list)
    for cause in causes:
        groups[cause.error_code, cause.column or ""].append(cause)
    ordered = sorted(
        groups.values(), key=lambda group: -sum(cause.count for cause in group)
    )
    return wording.Listed.of(map(CauseGroup.of, ordered), MAX_GROUPS, len(ordered))
