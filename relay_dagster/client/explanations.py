"""Why a SKU's row of a feed is what it is: the row, the price by steps, every offer."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from relay_dagster.client.api_client import segment
from relay_dagster.client.session import RunId, Session, Shown, argument, command
from relay_dagster.client.terminal import Screen, TableView
from relay_dagster.wire.explanations import Explanation

commands = typer.Typer()

_STEPS = TableView({"step": "step", "with": "operand", "before": "before", "after": "after"})
_REFUSED = TableView(
    {"vendor": "vendor_id", "row": "row_number", "why": "error_codes"}, folded=("why",)
)
_OFFERS: dict[str, str | Callable[[Any], str]] = {
    "vendor": "vendor_id",
    "row": "row_number",
    "vendor's SKU": "vendor_sku",
    "quantity": "quantity_available",
    "offered": "stock_quantity",
    "cost": "cost",
    "price": "price",
    "landed": "landed_cost",
    "lead time": lambda offer: "-" if offer.lead_time_days is None else f"{offer.lead_time_days} d",
    "updated": "updated_at",
    "rule": "rule",
    "lost on": lambda offer: offer.lost_on or "(the winner)",
}
"""Columns of the table of offers."""
_WHY_NOT = {
    "left_out": "what offers it is left out, with its vendor, by a price rule or an override",
    "refused": "every row of it is refused",
}


@command(commands)
def explain(
    session: Session,
    run_id: RunId,
    sku: Annotated[str, argument("SKU", "As the feed has it.")],
) -> Shown:
    """Show why a SKU's row of a run's feed is what it is: each step of the price, every offer."""
    path = f"/v1/runs/{segment(run_id)}/explain"
    explanation = session.api.ask(Explanation, "GET", path, params={"sku": sku})
    return Shown(explanation, lambda: show_explanation(session.screen, explanation))


def show_explanation(screen: Screen, explanation: Explanation) -> None:
    """Write the verdict, then the row of the feed, the price, the offers and the refused rows."""
    screen.say(_verdict(explanation), style="red" if explanation.reason else "green")
    if explanation.feed_row is not None:
        screen.section("in the feed")
        for header, cell in explanation.feed_row.items():
            screen.say(f"{header}: {cell or '-'}", indent=2)
    if explanation.price_steps is not None:
        screen.section("the price, step by step")
        _STEPS.show(screen, explanation.price_steps)
    if explanation.offers_count:
        screen.section(_counted("offers", explanation.offers, explanation.offers_count))
        columns = dict(_OFFERS)
        if all(
            each.stock_quantity in (None, each.quantity_available) for each in explanation.offers
        ):
            del columns["offered"]
        if all(each.rule is None for each in explanation.offers):
            del columns["rule"]
        TableView(columns, folded=("vendor's SKU",)).show(screen, explanation.offers)
    if explanation.refused_count:
        screen.section(_counted("refused rows", explanation.refused, explanation.refused_count))
        _REFUSED.show(screen, explanation.refused)


def _verdict(explanation: Explanation) -> str:
    if explanation.reason == "kept_at_0":
        return f"SKU {explanation.sku} is offered no more, and kept in the feed at a quantity of 0"
    if explanation.quarantine is not None:
        held = explanation.quarantine
        return (
            f"SKU {explanation.sku} keeps its published price of {held.price_published}: "
            f"{held.price_computed} is too far from it, since {held.suspect_since:%Y-%m-%d %H:%M}Z"
        )
    if explanation.winner is None:
        why = _WHY_NOT.get(explanation.reason or "", explanation.reason)
        return f"SKU {explanation.sku} is not in the feed: {why}"
    best = f"row {explanation.winner.row_number} of {explanation.winner.vendor_id}"
    price = explanation.price_steps[-1].after if explanation.price_steps else None
    if explanation.reason == "unpriced":
        why = "has no price" if price is None else f"comes to a price of {price}"
        return f"SKU {explanation.sku} is not in the feed: its best offer, {best}, {why}"
    return f"SKU {explanation.sku} costs {price}, from {best}"


def _counted(title: str, shown: Sequence[object], count: int) -> str:
    if len(shown) == count:
        return f"{title}: {count:,}"
    return f"{title}: {count:,}, the first {len(shown)} here"
