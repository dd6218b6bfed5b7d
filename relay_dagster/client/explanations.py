"""Why a SKU's row of a feed is what it is: the row, the price by steps, every offer."""

from collections.abc import Sequence
from typing import Annotated

import typer

from relay_dagster.client.session import RunId, Session, Shown, command
from relay_dagster.client.terminal import Screen, instant
from relay_dagster.wire.explanations import ExplainedOffer, Explanation

commands = typer.Typer()

_WHY_NOT = {
    "left_out": "what offers it is left out, with its vendor or by a price rule",
    "refused": "every row of it is refused",
}


@command(commands)
def explain(
    session: Session,
    run_id: RunId,
    sku: Annotated[
        str, typer.Argument(metavar="SKU", help="As the feed has it.", show_default=False)
    ],
) -> Shown:
    """Show why a SKU's row of a run's feed is what it is: each step of the price, every offer."""
    explanation = session.api.explain(run_id, sku)
    return Shown(explanation, lambda: show_explanation(session.screen, explanation))


def show_explanation(screen: Screen, told: Explanation) -> None:
    """Write the verdict, then the row of the feed, the price, the offers and the refused rows."""
    screen.say(_verdict(told), style="red" if told.reason else "green")
    if told.feed_row is not None:
        screen.say()
        screen.say("in the feed", style="bold")
        for header, cell in told.feed_row.items():
            screen.say(f"{header}: {cell or '-'}", indent=2)
    if told.price_steps is not None:
        screen.say()
        screen.say("the price, step by step", style="bold")
        screen.table(
            ("step", "with", "before", "after"),
            [(s.step, _or_dash(s.operand), _or_dash(s.before), s.after) for s in told.price_steps],
        )
    if told.offers_count:
        screen.say()
        screen.say(_counted("offers", len(told.offers), told.offers_count), style="bold")
        _show_offers(screen, told.offers)
    if told.refused_count:
        screen.say()
        screen.say(_counted("refused rows", len(told.refused), told.refused_count), style="bold")
        screen.table(
            ("vendor", "row", "why"),
            [(row.vendor_id, str(row.row_number), row.error_codes) for row in told.refused],
            folded=("why",),
        )


def _verdict(told: Explanation) -> str:
    if told.reason == "kept_at_0":
        return f"SKU {told.sku} is offered no more, and kept in the feed at a quantity of 0"
    if told.winner is None:
        return f"SKU {told.sku} is not in the feed: {_WHY_NOT.get(told.reason or '', told.reason)}"
    best = f"row {told.winner.row_number} of {told.winner.vendor_id}"
    price = told.price_steps[-1].after if told.price_steps else None
    if told.reason == "unpriced":
        why = "has no price" if price is None else f"comes to a price of {price}"
        return f"SKU {told.sku} is not in the feed: its best offer, {best}, {why}"
    return f"SKU {told.sku} costs {price}, from {best}"


def _show_offers(screen: Screen, offers: Sequence[ExplainedOffer]) -> None:
    """Write the offers; what stock and rules made of them only where they made anything."""
    columns = {
        "vendor": [each.vendor_id for each in offers],
        "row": [str(each.row_number) for each in offers],
        "vendor's SKU": [_or_dash(each.vendor_sku) for each in offers],
        "quantity": [str(each.quantity_available) for each in offers],
        "offered": [_or_dash(each.stock_quantity) for each in offers],
        "cost": [_or_dash(each.cost) for each in offers],
        "price": [_or_dash(each.price) for each in offers],
        "landed": [_or_dash(each.landed_cost) for each in offers],
        "lead time": [
            "-" if each.lead_time_days is None else f"{each.lead_time_days} d" for each in offers
        ],
        "updated": [instant(each.updated_at) for each in offers],
        "rule": [_or_dash(each.rule) for each in offers],
        "lost on": [each.lost_on or "(the winner)" for each in offers],
    }
    if all(each.stock_quantity in (None, each.quantity_available) for each in offers):
        del columns["offered"]
    if all(each.rule is None for each in offers):
        del columns["rule"]
    rows = list(zip(*columns.values(), strict=True))
    screen.table(tuple(columns), rows, folded=("vendor's SKU",))


def _counted(what: str, shown: int, count: int) -> str:
    return f"{what}: {count:,}" if shown == count else f"{what}: {count:,}, the first {shown} here"


def _or_dash(cell: object) -> str:
    return "-" if cell in (None, "") else str(cell)
