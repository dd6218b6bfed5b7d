"""report.html: the content of the page in its order, and the page itself.

This module cuts lists to their first rows, so the template does not decide anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from relay_core.domain import records
from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import RunStatus, WarningCode
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.run_faults import counted, next_action
from relay_core.kernel import compiled
from relay_core.publish.findings import RunFindings
from relay_core.publish.report import parts, table_rows, wording
from relay_core.publish.report.product_tables import ProductLists
from relay_core.publish.report.table_rows import MAX_EXAMPLE_ROWS
from relay_core.publish.report.templating import REPORT, pages
from relay_core.publish.reports import timestamp
from relay_core.publish.state import MAX_HISTORY

MAX_TABLE_ROWS = 200
"""The number of rows in a table; a config has as many vendors at most."""
MAX_BARS = 12
"""The number of bars in a chart of vendors."""
MAX_GROUPS = 20
"""The number of groups of causes, and of doubts."""
# Warnings about vendors come first, so the later ones need not be looked through.
_MAX_WARNINGS = 1_000


class Report(NamedTuple):
    """The content of the whole page. The page omits parts without content."""

    ctx: records.RunContext
    requested_at: str
    requested_on: str
    engine_version: str
    is_compiled: bool  # whether this installation has the compiled kernel
    currency: str
    is_held: bool
    verdict: wording.Verdict
    faults: parts.Excerpt[records.ReportEntry]
    doubts: parts.Excerpt[table_rows.DoubtRow]
    figures: tuple[parts.Figure, ...]
    changes: table_rows.ChangesRow | None
    guards: parts.Excerpt[parts.Guard]
    quarantine: parts.Excerpt[table_rows.SuspectRow]
    rules: parts.Excerpt[table_rows.RuleRow]
    rows: parts.Excerpt[parts.VendorRows]
    vendors: parts.Excerpt[table_rows.VendorRow]
    products: ProductLists | None
    channels: tuple[table_rows.ChannelTable, ...]
    shares: parts.Chart | None
    history: parts.Chart | None
    causes: parts.Excerpt[table_rows.CauseGroup]
    unpriced: parts.Excerpt[str]


def report_html(
    ctx: records.RunContext,
    findings: RunFindings,
    status: RunStatus,
) -> bytes:
    """Return report.html. The same run with the same findings gives the same bytes."""
    page = pages(REPORT).get_template("page.html.jinja")
    text = page.render(report=report_of(ctx, findings, status))
    return text.encode(errors="xmlcharrefreplace")


def load_templates() -> None:
    """Load the templates of the page.

    Loading takes longer than rendering a page, so a thread can do it beforehand.
    """
    for name in pages(REPORT).list_templates():
        pages(REPORT).get_template(name)


def report_of(
    ctx: records.RunContext,
    findings: RunFindings,
    status: RunStatus,
) -> Report:
    """Return the content of a run's report."""
    notes = _failure_notes(findings)
    action = "" if findings.failure is None else next_action(findings.failure)
    changes = None
    if findings.changes is not None:
        changes = table_rows.ChangesRow.of(findings.changes, findings.titles)
    return Report(
        ctx=ctx,
        requested_at=timestamp(ctx.requested_at),
        requested_on=wording.moment(
            ctx.requested_at, ZoneInfo(findings.timezone)
        ),
        engine_version=records.ENGINE_VERSION,
        is_compiled=compiled.is_installed,
        currency=findings.currency,
        is_held=status is RunStatus.HELD,
        verdict=wording.verdict(
            status, findings, list(notes), action, ctx.run_id
        ),
        faults=parts.Excerpt.of(
            findings.faults, MAX_EXAMPLE_ROWS, len(findings.faults)
        ),
        doubts=parts.Excerpt.of(
            map(table_rows.DoubtRow.of, findings.doubts),
            MAX_GROUPS,
            len(findings.doubts),
        ),
        figures=_figures(findings),
        changes=changes,
        guards=_guards(findings),
        quarantine=_quarantine(findings),
        rules=parts.Excerpt.of(
            map(table_rows.RuleRow.of, findings.rules),
            MAX_TABLE_ROWS,
            len(findings.rules),
        ),
        rows=_rows(findings),
        vendors=_vendors(ctx, findings, notes),
        products=ProductLists.of(findings.catalog),
        channels=_channels(findings),
        shares=_vendor_shares(findings),
        history=_history(ctx, findings, status),
        causes=_cause_groups(findings.causes()),
        unpriced=_unpriced(findings),
    )


def _failure_notes(findings: RunFindings) -> Mapping[str, Sequence[str]]:
    """Return the warnings about failed vendors by vendor, in the config's order."""
    notes: dict[str, list[str]] = defaultdict(list)
    for warning in findings.warnings[:_MAX_WARNINGS]:
        is_of_vendor = warning.vendor_id is not None
        if is_of_vendor and warning.error_code != WarningCode.UNPRICED_SKU:
            notes[str(warning.vendor_id)].append(warning.error_message)
    return {name: notes[name] for name in findings.vendor_ids if name in notes}


def _figures(findings: RunFindings) -> tuple[parts.Figure, ...]:
    """Return the run's numbers. A failed run has none of a feed."""
    if not findings.uploads:
        return ()
    counts = findings.counts()
    total_rows = counts["total_rows"]
    rejected_rows = counts["invalid_rows"]
    skus = parts.Figure(
        "SKUs in the feed", wording.number(counts["record_count"])
    )
    read_rows = parts.Figure("Rows read", wording.number(total_rows))
    rejected = parts.Figure(
        label="Rows rejected",
        value=wording.number(rejected_rows),
        note=wording.part(rejected_rows, total_rows),
    )
    unpriced = parts.Figure(
        label="SKUs without a price",
        value=wording.number(counts["unpriced_skus"]),
    )
    if findings.failure is not None:
        return (read_rows, rejected)
    return (skus, read_rows, rejected, unpriced)


def _guards(findings: RunFindings) -> parts.Excerpt[parts.Guard]:
    """Return the results of the guards, with those that tripped first."""
    results = sorted(
        findings.guards or (), key=lambda result: not result.tripped
    )
    guards = (parts.Guard.of(result, findings.titles) for result in results)
    return parts.Excerpt.of(guards, MAX_TABLE_ROWS, len(results))


def _quarantine(findings: RunFindings) -> parts.Excerpt[table_rows.SuspectRow]:
    suspects = (
        table_rows.SuspectRow.of(row, findings.titles)
        for row in findings.first_quarantined(MAX_EXAMPLE_ROWS)
    )
    return parts.Excerpt.of(
        suspects, MAX_EXAMPLE_ROWS, findings.quarantined or 0
    )


def _rows(findings: RunFindings) -> parts.Excerpt[parts.VendorRows]:
    """Return the outcomes of rows by vendor, with those that lost many rows first."""
    counts = [(name, rows) for name, rows in findings.rows.items() if rows.read]
    counts.sort(key=lambda pair: not wording.merged_many(pair[1]))
    vendor_rows = (
        parts.VendorRows.of(name, rows.as_dict()) for name, rows in counts
    )
    return parts.Excerpt.of(vendor_rows, MAX_BARS, len(counts))


def _vendors(
    ctx: records.RunContext,
    findings: RunFindings,
    notes: Mapping[str, Sequence[str]],
) -> parts.Excerpt[table_rows.VendorRow]:
    results = findings.vendor_results(ctx.requested_at)
    vendor_rows = (
        table_rows.VendorRow.of(
            findings, result, notes.get(result.vendor_id, ())
        )
        for result in results
    )
    return parts.Excerpt.of(vendor_rows, MAX_TABLE_ROWS, len(results))


def _channels(findings: RunFindings) -> tuple[table_rows.ChannelTable, ...]:
    return tuple(map(table_rows.ChannelTable.of, findings.channels))


def _vendor_shares(findings: RunFindings) -> parts.Chart | None:
    """Return the bars of the vendors with the largest shares of the feed."""
    by_count = sorted(findings.skus_won.items(), key=lambda pair: -pair[1])
    winners = by_count[:MAX_BARS]
    if len(winners) < 2 or not findings.record_count:
        return None
    chart_rows = []
    for vendor_id, count in winners:
        share = table_rows.skus_won(count, findings.record_count)
        chart_rows.append(parts.ChartRow(vendor_id, share, count, tone=""))
    summary = "; ".join(f"{row.label} {row.value}" for row in chart_rows)
    return parts.Chart.of("Share of the feed by vendor", chart_rows, summary)


def _history(
    ctx: records.RunContext,
    findings: RunFindings,
    status: RunStatus,
) -> parts.Chart | None:
    """Return a bar for each recent publication, and one for the run's feed."""
    zone = ZoneInfo(findings.timezone)
    feeds = []
    for publication in findings.history:
        label = _publication_label(publication.requested_at, zone)
        feeds.append((label, publication.skus, "idle"))
    if findings.failure is None:
        label = f"{wording.moment(ctx.requested_at, zone)}, this run"
        tone = "warn" if status is RunStatus.HELD else "good"
        feeds.append((label, findings.record_count, tone))
    feeds = feeds[-MAX_HISTORY:]
    if len(feeds) < 2:
        return None
    chart_rows = [
        parts.ChartRow(
            label,
            counted(skus, "SKU"),
            skus,
            tone,
        )
        for label, skus, tone in feeds
    ]
    summary = "; ".join(f"{row.label}: {row.value}" for row in chart_rows)
    return parts.Chart.of("SKUs in recent feeds", chart_rows, summary)


def _publication_label(requested_at: str, zone: ZoneInfo) -> str:
    """Return the time of a publication's run, as another release may have written it."""
    try:
        return wording.moment(datetime.fromisoformat(requested_at), zone)
    except ValueError:
        return requested_at


def _cause_groups(
    causes: Sequence[records.Cause],
) -> parts.Excerpt[table_rows.CauseGroup]:
    """Return the causes by code and column, with the largest groups first."""
    groups: dict[tuple[str, str], list[records.Cause]] = defaultdict(list)
    for cause in causes:
        groups[cause.error_code, cause.column or ""].append(cause)

    def row_count(group: Sequence[records.Cause]) -> int:
        return sum(cause.count for cause in group)

    ordered = sorted(groups.values(), key=row_count, reverse=True)
    return parts.Excerpt.of(
        map(table_rows.CauseGroup.of, ordered),
        MAX_GROUPS,
        len(ordered),
    )


def _unpriced(findings: RunFindings) -> parts.Excerpt[str]:
    """Return the first SKUs without a price."""
    skus = []
    for warning in findings.warnings[:_MAX_WARNINGS]:
        is_unpriced = warning.error_code == WarningCode.UNPRICED_SKU
        if is_unpriced and warning.sku is not None:
            skus.append(cut(warning.sku, MAX_QUOTED))
    return parts.Excerpt.of(skus, MAX_EXAMPLE_ROWS, findings.unpriced_skus)
