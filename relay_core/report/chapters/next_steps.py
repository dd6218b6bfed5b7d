"""The chapter on what the reader does next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from relay_core.domain.codes import RunStatus
from relay_core.domain.run_faults import counted, listed, next_action
from relay_core.report.blocks import Spans, Steps, text_of
from relay_core.report.chapters.guards import guard_words
from relay_core.report.chapters.rows import share_many_skus
from relay_core.report.display import number
from relay_core.report.ended_run import EndedRun
from relay_core.report.report import Chapter

if TYPE_CHECKING:
    from relay_core.merge.row_counts import RowCounts

_MAX_NAMED_VENDORS = 10


def chapter(run: EndedRun) -> Chapter | None:
    """Return the next steps after a run; None if there is nothing to do."""
    steps = tuple(_steps(run))
    if not steps:
        return None
    return Chapter("next_steps", "To do", (Steps(steps),))


def _steps(run: EndedRun) -> Iterator[Spans]:
    failure = run.findings.failure
    match run.status:
        case RunStatus.FAILED:
            if failure is not None:
                yield text_of(next_action(failure))
        case RunStatus.CANCELLED:
            yield text_of("Start another run when you need a new feed.")
        case RunStatus.HELD:
            yield text_of(
                "Review the changes below, and release or discard the feed."
            )
            yield text_of(
                "If something is wrong, correct the vendor's file or your settings, and "
                "start another run. Its feed replaces this one."
            )
        case _:
            yield from map(text_of, _steps_after_success(run))


def _steps_after_success(run: EndedRun) -> Iterator[str]:
    """Yield the next steps after a run that succeeded, the most important first."""
    findings = run.findings
    yield from _steps_about_rows(vendors_sharing_skus(run))
    if run.vendor_warnings:
        vendors = _in_words(list(run.vendor_warnings))
        yield f"Get a file that can be used from {vendors}."
    if findings.tripped:
        names = [guard_words(result)[0] for result in findings.tripped]
        yield (
            "Check that the changes are correct. Guards that tripped: "
            f"{_in_words(names)}."
        )
    if findings.quarantined:
        prices = counted(findings.quarantined, "new price")
        yield (
            f"Review {prices} below. Until you accept a new price, the feed keeps the "
            "published one."
        )
    rejected_rows = findings.counts()["invalid_rows"]
    if rejected_rows:
        rows = counted(rejected_rows, "rejected row")
        yield f"Correct {rows}. A rejected row is not offered in the feed."
    if findings.unpriced_skus:
        skus = counted(findings.unpriced_skus, "SKU")
        yield (
            f"Get the cost of {skus}. A SKU without a cost or a price is not in the "
            "feed."
        )


def _steps_about_rows(
    doubtful_rows: Mapping[str, RowCounts],
) -> Iterator[str]:
    for vendor_id in list(doubtful_rows)[:_MAX_NAMED_VENDORS]:
        rows = doubtful_rows[vendor_id]
        yield (
            f"Check which column of {vendor_id} identifies its products: "
            f"{number(rows.same_sku or 0)} of {counted(rows.read, 'row')} have the "
            "same SKU as a better row and are not in the feed."
        )


def vendors_sharing_skus(run: EndedRun) -> dict[str, RowCounts]:
    """Return the outcomes of the vendors whose rows share many SKUs."""
    return {
        vendor_id: rows
        for vendor_id, rows in run.findings.rows.items()
        if share_many_skus(rows)
    }


def _in_words(names: list[str]) -> str:
    return listed(names, ", ", len(names))
