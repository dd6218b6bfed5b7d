"""Why a SKU's row of a feed is what it is, for people: the row, the price by steps, every offer.

Made from the API's answer alone; nothing is asked for here.
"""

from collections.abc import Iterator

from relay_dagster.client.api_models import Explanation
from relay_dagster.client.terminal import Screen, instant

_WHY_NOT = {
    "left_out": "the run goes on without the vendors that offer it",
    "refused": "every row of it is refused",
}
_OFFER_COLUMNS = (
    *("vendor", "row", "vendor's SKU", "quantity", "cost", "price", "landed", "lead time"),
    *("updated", "lost on"),
)


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
        screen.table(_OFFER_COLUMNS, list(_offers(told)), folded=("vendor's SKU",))
    if told.refused_count:
        screen.say()
        screen.say(_counted("refused rows", len(told.refused), told.refused_count), style="bold")
        screen.table(
            ("vendor", "row", "why"),
            [(row.vendor_id, str(row.row_number), row.error_codes) for row in told.refused],
            folded=("why",),
        )


def _verdict(told: Explanation) -> str:
    if told.winner is None:
        return f"SKU {told.sku} is not in the feed: {_WHY_NOT.get(told.reason or '', told.reason)}"
    best = f"row {told.winner.row_number} of {told.winner.vendor_id}"
    price = told.price_steps[-1].after if told.price_steps else None
    if told.reason == "unpriced":
        why = "has no price" if price is None else f"comes to a price of {price}"
        return f"SKU {told.sku} is not in the feed: its best offer, {best}, {why}"
    return f"SKU {told.sku} costs {price}, from {best}"


def _offers(told: Explanation) -> Iterator[tuple[str, ...]]:
    for offer in told.offers:
        yield (
            offer.vendor_id,
            str(offer.row_number),
            _or_dash(offer.vendor_sku),
            str(offer.quantity_available),
            _or_dash(offer.cost),
            _or_dash(offer.price),
            _or_dash(offer.landed_cost),
            "-" if offer.lead_time_days is None else f"{offer.lead_time_days} d",
            instant(offer.updated_at),
            offer.lost_on or "(the winner)",
        )


def _counted(what: str, shown: int, count: int) -> str:
    return f"{what}: {count:,}" if shown == count else f"{what}: {count:,}, the first {shown} here"


def _or_dash(text: str | None) -> str:
    return text or "-"
