"""The chapter on the guards, which compare a new feed with the previous one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import GuardResult
from relay_core.report.blocks import (
    Block,
    Cell,
    Column,
    Kind,
    Sentence,
    Table,
    text_of,
)
from relay_core.report.display import share_of
from relay_core.report.ended_run import EndedRun
from relay_core.report.excerpts import MAX_TABLE_ROWS, quoted, table
from relay_core.report.report import Chapter

# The name of each guard and the things that it counts
_WORDS = {
    "skus_removed": (
        "SKUs removed",
        "SKUs of the previous feed that the new feed does not have",
    ),
    "out_of_stock": (
        "Out of stock",
        "SKUs that were in stock and are now at 0",
    ),
    "price_drop": (
        "Price drops",
        "Prices that fell by more than the allowed amount",
    ),
    "price_rise": (
        "Price rises",
        "Prices that rose by more than the allowed amount",
    ),
    "price_level low": (
        "Lower price level",
        "Prices that are clearly below those of the previous feed",
    ),
    "price_level high": (
        "Higher price level",
        "Prices that are clearly above those of the previous feed",
    ),
    "quarantined": (
        "Prices to review",
        "New prices that are too far from the published prices",
    ),
    "vendor_rows": ("Vendor rows", "Rows that the vendor no longer sends"),
}
_EXPLANATION = (
    "Guards compare the new feed with the previous feed. A guard trips if more changed "
    "than its limit allows."
)
_COLUMNS = (
    Column("guard", "Guard"),
    Column("tripped", "Result"),
    Column("value", "Share", "share"),
    Column("limit", "Limit", "share"),
    Column("count", "Count", "count"),
)


def chapter(run: EndedRun) -> Chapter | None:
    """Return the results of the guards, or None if none was judged."""
    findings = run.findings
    facts = {}
    if run.status is RunStatus.HELD:
        names = {result.guard for result in findings.tripped}
        facts["held_by"] = ", ".join(sorted(names))
    result = chapter_of(findings.guards or (), findings.titles)
    return None if result is None else result._replace(facts=facts)


def chapter_of(
    results: Iterable[GuardResult],
    titles: Mapping[str, str],
) -> Chapter | None:
    """Return the results of guards, with those that tripped first, and their examples.

    ``titles`` are titles by SKU.
    """
    ordered = sorted(results, key=lambda result: not result.tripped)
    if not ordered:
        return None
    results_table = table(
        "guards",
        "Result and limit of each guard",
        _COLUMNS,
        map(_row_of, ordered),
        limit=MAX_TABLE_ROWS,
        total=len(ordered),
        artifact="run_summary",
    )
    blocks: list[Block] = [Sentence(text_of(_EXPLANATION)), results_table]
    blocks += [
        _examples_of(result, titles)
        for result in ordered[:MAX_TABLE_ROWS]
        if result.tripped and result.examples
    ]
    return Chapter("guards", "Guards", tuple(blocks))


def _row_of(result: GuardResult) -> tuple[Cell, ...]:
    name, meaning = guard_words(result)
    return (
        Cell(name, meaning),
        Cell(guard_verdict(result), tone="warn" if result.tripped else "good"),
        Cell(share_of(result.count, result.of)),
        Cell(result.limit),
        Cell(result.count, of=result.of),
    )


def _examples_of(result: GuardResult, titles: Mapping[str, str]) -> Table:
    kind: Kind = "count" if result.guard == "out_of_stock" else "money"
    columns = (
        Column("sku", "SKU", "code"),
        Column("before", "Before", kind),
        Column("after", "After", kind),
    )
    rows = tuple(
        (
            quoted(example["sku"], titles.get(example["sku"], "")),
            Cell(example["before"]),
            Cell(example["after"])
            if example["after"] is not None
            else Cell(None, "removed"),
        )
        for example in result.examples
    )
    caption = f"{guard_words(result)[0]}: first SKUs"
    return Table(f"guard_{result.guard}", caption, columns, rows, len(rows))


def guard_words(result: GuardResult) -> tuple[str, str]:
    """Return a guard's name, with its vendor, and the things that it counts."""
    key = (
        result.guard if result.side is None else f"{result.guard} {result.side}"
    )
    # A later release may have guards that this one does not know.
    name, meaning = _WORDS.get(key, (result.guard, ""))
    if result.vendor_id is not None:
        name = f"{name} of {result.vendor_id}"
    return name, meaning


def guard_verdict(result: GuardResult) -> str:
    """Return whether a guard tripped.

    Some guards need a minimum number of SKUs to trip, however large their share is.
    """
    if result.tripped:
        return "Tripped"
    is_over_limit = result.count > result.of * Fraction(result.limit)
    return "Passed (too few SKUs)" if is_over_limit else "Passed"
