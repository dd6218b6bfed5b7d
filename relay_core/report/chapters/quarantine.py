"""The chapter on prices that wait for a review."""

from __future__ import annotations

from collections.abc import Mapping

from relay_core.report.blocks import (
    Action,
    Cell,
    Column,
    Sentence,
    text_of,
)
from relay_core.report.ended_run import EndedRun
from relay_core.report.excerpts import MAX_EXAMPLES, quoted, table
from relay_core.report.report import Chapter

_EXPLANATION = (
    "These new prices are far from the published prices, so the feed keeps the published "
    "prices. Your settings can also accept a price that stays the same for long enough."
)
_COLUMNS = (
    Column("sku", "SKU", "code"),
    Column("price_published", "Published price", "money"),
    Column("price_computed", "New price", "money"),
    Column("offer", "Offered by"),
)


def chapter(run: EndedRun) -> Chapter | None:
    """Return the SKUs that keep their published price, or None if there are none."""
    findings = run.findings
    count = findings.quarantined
    if count is None:
        return None
    facts = {"quarantined": count}
    if not count:
        return Chapter("quarantine", "Prices to review", facts=facts)
    run_id = run.context.run_id
    rows = (
        _row_of(suspect, findings.titles)
        for suspect in findings.first_quarantined(MAX_EXAMPLES)
    )
    prices = table(
        "quarantine",
        "SKUs that keep their published price",
        _COLUMNS,
        rows,
        limit=MAX_EXAMPLES,
        total=count,
        artifact="quarantine",
    )
    action = Action(
        name="accept_prices",
        title="Accept prices",
        text="To publish the new prices",
        command=f"relay accept {run_id} SKU",
        parameters={"run_id": run_id},
        reason="Reason for accepting the prices",
        table="quarantine",
    )
    blocks = (Sentence(text_of(_EXPLANATION)), prices, action)
    return Chapter("quarantine", "Prices to review", blocks, facts=facts)


def _row_of(
    suspect: Mapping[str, str], titles: Mapping[str, str]
) -> tuple[Cell, ...]:
    """Return the row for a row of quarantine.csv."""
    sku = suspect["sku"]
    return (
        quoted(sku, titles.get(sku, "")),
        Cell(suspect["price_published"]),
        Cell(suspect["price_computed"]),
        Cell(f"{suspect['vendor_id']}, row {suspect['row_number']}"),
    )
