"""The chapter on vendors: the file of each that the run used, its rows, and its share."""

from __future__ import annotations

from collections.abc import Sequence

from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import VendorStatus
from relay_core.domain.records import VendorResult
from relay_core.report.blocks import Bar, Bars, Block, Cell, Column, Tone
from relay_core.report.display import share_of
from relay_core.report.ended_run import EndedRun
from relay_core.report.excerpts import (
    MAX_NOTE_LENGTH,
    MAX_TABLE_ROWS,
    table,
    without_empty_columns,
)
from relay_core.report.report import Chapter

USED_FILES: dict[str, tuple[Tone, str]] = {
    VendorStatus.FOUND: ("good", "Latest file"),
    VendorStatus.LAST_GOOD: ("warn", "Last good file"),
    VendorStatus.LEFT_OUT: ("warn", "Left out"),
    VendorStatus.MISSING: ("idle", "No file"),
}
"""The file of a vendor that a run used, by the vendor's status, each with its tone."""
MAX_SHARES = 12
"""The number of vendors whose share of the feed a report draws."""
_COLUMNS = (
    Column("vendor_id", "Vendor"),
    Column("outcome", "File used"),
    Column("rows", "Rows", "count"),
    Column("invalid", "Rejected", "count"),
    Column("skus_won", "SKUs in the feed", "count"),
    Column("age_hours", "File age", "hours"),
    Column("note", "Note", "note"),
)


def chapter(run: EndedRun) -> Chapter | None:
    """Return the vendors that the run has judged or read, or None if it has none."""
    results = run.findings.vendor_results(run.context.requested_at)
    if not results:
        return None
    vendors = table(
        "vendors",
        "Files and rows of each vendor",
        _COLUMNS,
        (_row_of(run, result) for result in results),
        limit=MAX_TABLE_ROWS,
        total=len(results),
        artifact="input_manifest",
    )
    blocks: list[Block] = []
    shares = _shares(run)
    if shares is not None:
        blocks.append(shares)
    optional_columns = ["skus_won", "age_hours", "note"]
    blocks.append(without_empty_columns(vendors, optional_columns))
    return Chapter("vendors", "Vendors", tuple(blocks))


def _shares(run: EndedRun) -> Bars | None:
    """Return the bars of the vendors with the largest shares of the feed."""
    total = run.findings.record_count
    by_count = sorted(run.findings.skus_won.items(), key=lambda pair: -pair[1])
    winners = by_count[:MAX_SHARES]
    if len(winners) < 2 or not total:
        return None
    bars = tuple(
        Bar(vendor_id, vendor_id, count, share=share_of(count, total))
        for vendor_id, count in winners
    )
    return Bars("shares", "Share of the feed by vendor", bars)


def _row_of(run: EndedRun, result: VendorResult) -> tuple[Cell, ...]:
    findings = run.findings
    vendor_id = result.vendor_id
    warnings = run.vendor_warnings.get(vendor_id, ())
    rejected = Cell(None)
    if result.rows is not None:
        rejected_rows = result.invalid_rows or 0
        share = share_of(rejected_rows, result.rows)
        rejected = Cell(rejected_rows, share=share)
    won = Cell(None)
    if findings.record_count:
        count = result.skus_won or 0
        won = Cell(count, share=share_of(count, findings.record_count))
    return (
        Cell(vendor_id),
        _used_file(run, result, warnings),
        Cell(result.rows),
        rejected,
        won,
        Cell(result.age_hours),
        Cell(cut(" ".join(warnings), MAX_NOTE_LENGTH)),
    )


def _used_file(
    run: EndedRun, result: VendorResult, warnings: Sequence[str]
) -> Cell:
    """Return the file that the run used; warnings say why it used another one."""
    findings = run.findings
    vendor_id = result.vendor_id
    tone, words = USED_FILES[result.status]
    if any(fault.vendor_id == vendor_id for fault in findings.faults):
        tone = "bad"
    elif warnings and tone == "good":
        tone = "warn"
    for upload in findings.uploads:
        is_unusable = upload.status is VendorStatus.FAILED
        if is_unusable and upload.vendor_id == vendor_id:
            words = "Could not be read"
    return Cell(words, tone=tone)
