"""The chapter with the run's most important numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from relay_core.domain.run_faults import counted
from relay_core.report.blocks import Figure, Figures
from relay_core.report.display import listed_counts, share_of
from relay_core.report.ended_run import EndedRun
from relay_core.report.report import Chapter


def chapter(run: EndedRun) -> Chapter | None:
    """Return the run's numbers. A failed run has none of a feed."""
    findings = run.findings
    figures: tuple[Figures, ...] = ()
    if findings.uploads:
        has_feed = findings.failure is None
        figures = (figures_of(findings.counts(), has_feed=has_feed),)
    return Chapter(
        "summary",
        "Summary",
        figures,
        facts=_facts(run),
        lines=_lines(run),
    )


def figures_of(counts: Mapping[str, int], *, has_feed: bool) -> Figures:
    """Return the figures for the counts of a run, by the names of run_summary.json."""
    total_rows = counts["total_rows"]
    rejected_rows = counts["invalid_rows"]
    share = share_of(rejected_rows, total_rows)
    of_rows = (
        Figure("total_rows", "Rows read", total_rows),
        Figure("invalid_rows", "Rows rejected", rejected_rows, share=share),
    )
    if not has_feed:
        return Figures(of_rows)
    skus = Figure("record_count", "SKUs in the feed", counts["record_count"])
    unpriced = Figure(
        "unpriced_skus", "SKUs without a price", counts["unpriced_skus"]
    )
    return Figures((skus, *of_rows, unpriced))


def _facts(run: EndedRun) -> dict[str, str | int]:
    findings = run.findings
    vendors = findings.normalized
    facts: dict[str, str | int] = {
        "rows_in": sum(vendor.total_rows for vendor in vendors),
        "rows_valid": sum(vendor.valid_rows for vendor in vendors),
        "rows_invalid": sum(vendor.invalid_rows for vendor in vendors),
    }
    if findings.failure is None:
        facts["rows_merged"] = findings.record_count
        facts["unpriced_skus"] = findings.unpriced_skus
    return facts


def _lines(run: EndedRun) -> tuple[str, ...]:
    findings = run.findings
    counts = findings.counts()
    fault_counts: Counter[str] = Counter()
    for vendor in findings.normalized:
        fault_counts += Counter(vendor.fault_counts)
    rows = (
        f"{counted(counts['total_rows'], 'row')} read, "
        f"{counts['invalid_rows']:,} rejected{listed_counts(fault_counts)}"
    )
    if findings.failure is not None:
        return (rows,)
    return rows, f"{counted(findings.record_count, 'SKU')} in the merged feed"
