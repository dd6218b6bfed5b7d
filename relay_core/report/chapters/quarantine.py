"""The chapter on prices that wait for a review."""

from __future__ import annotations

from collections.abc import Mapping

from relay_core.report.blocks import (
    Action,
    Cell,
    Column,
    Sentence,
    Table,
    text_of,
)
from relay_core.report.ended_run import EndedRun
from relay_core.report.excerpts import MAX_EXAMPLES, quoted
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
    rows = (
        _row_of(suspect, findings.titles)
        for suspect in findings.first_quarantined(MAX_EXAMPLES)
    )
    prices = unlisted_prices(count)._replace(rows=tuple(rows))
    return chapter_of(run.context.run_id, prices)._replace(facts=facts)


def chapter_of(run_id: str, prices: Table) -> Chapter:
    """Return the chapter for a table of the first prices."""
    action = Action(
        name="accept_prices",
        title="Accept prices",
        text="To publish the new prices",
        command=f"relay runs accept {run_id} SKU",
        parameters={"run_id": run_id},
        reason="Reason for accepting the prices",
        table=prices.name,
    )
    blocks = (Sentence(text_of(_EXPLANATION)), prices, action)
    return Chapter("quarantine", "Prices to review", blocks)


def unlisted_prices(count: int) -> Table:
    """Return the table of a number of prices without its rows."""
    return Table(
        "quarantine",
        "SKUs that keep their published price",
        _COLUMNS,
        (),
        count,
        artifact="quarantine",
    )


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
