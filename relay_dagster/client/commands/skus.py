"""Commands about single SKUs: explain a feed's row, and accept prices of the quarantine."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from relay_dagster.client.api_client import segment
from relay_dagster.client.commands.holds import Reason
from relay_dagster.client.errors import BadUsageError
from relay_dagster.client.session import (
    Output,
    RunId,
    Session,
    argument,
    command,
)
from relay_dagster.client.terminal import Column, Screen, TableView
from relay_dagster.wire import skus as wire

commands = typer.Typer()

_PRICE_STEPS = TableView(
    {"step": "step", "with": "operand", "before": "before", "after": "after"},
)
_REJECTED_ROWS = TableView(
    {"vendor": "vendor_id", "row": "row_number", "why": "error_codes"},
    folded=("why",),
)
_CHANNELS = TableView(
    {"channel": "channel_id", "quantity": "quantity", "price": "price"},
)
_OFFER_COLUMNS: dict[str, Column] = {
    "vendor": "vendor_id",
    "row": "row_number",
    "vendor's SKU": "vendor_sku",
    "quantity": "quantity_available",
    "offered": "stock_quantity",
    "cost": "cost",
    "price": "price",
    "landed": "landed_cost",
    "lead time": lambda offer: (
        "-" if offer.lead_time_days is None else f"{offer.lead_time_days} d"
    ),
    "updated": "updated_at",
    "rule": "rule",
    "lost on": lambda offer: offer.lost_on or "(the winner)",
}
_REASONS = {
    "left_out": "its offers are left out, with their vendor, by a price rule, or by an override",
    "refused": "all its rows are rejected",
}
"""The words for the reasons why a SKU is not in a feed."""


@command(commands)
def explain(
    session: Session,
    run_id: RunId,
    sku: Annotated[str, argument("SKU", "SKU, as in the feed.")],
) -> Output:
    """Explain a SKU in a run's feed: each step of its price, and all offers."""
    explanation = session.api.request(
        wire.Explanation,
        "GET",
        f"/v1/runs/{segment(run_id)}/explain",
        params={"sku": sku},
    )
    return Output(
        explanation,
        lambda: show_explanation(session.screen, explanation),
    )


def show_explanation(screen: Screen, explanation: wire.Explanation) -> None:
    """Write an explanation: the verdict, the feed's row, the price, and all offers."""
    screen.say(
        _verdict(explanation),
        style="red" if explanation.reason else "green",
    )
    if explanation.feed_row is not None:
        row = [
            f"{header}: {text or '-'}"
            for header, text in explanation.feed_row.items()
        ]
        screen.section("in the feed", row)
    if explanation.override is not None:
        fields = [
            f"{name}: {value}"
            for name, value in explanation.override.items()
            if name != "sku"
        ]
        screen.section("override", fields)
    if explanation.price_steps is not None:
        screen.section("price steps")
        _PRICE_STEPS.show(screen, explanation.price_steps)
    if explanation.offers_count:
        screen.section(
            _title_with_count(
                "offers",
                explanation.offers,
                explanation.offers_count,
            ),
        )
        _show_offers(screen, explanation.offers)
    if explanation.refused_count:
        screen.section(
            _title_with_count(
                "rejected rows",
                explanation.refused,
                explanation.refused_count,
            ),
        )
        _REJECTED_ROWS.show(screen, explanation.refused)
    if explanation.channels:
        screen.section("channels")
        _CHANNELS.show(screen, explanation.channels)


def _verdict(explanation: wire.Explanation) -> str:
    sku = explanation.sku
    if explanation.reason == "kept_at_0":
        return f"SKU {sku} is no longer offered. The feed keeps it with a quantity of 0."
    quarantine = explanation.quarantine
    if quarantine is not None:
        return (
            f"SKU {sku} keeps its published price of {quarantine.price_published}. Since "
            f"{quarantine.suspect_since:%Y-%m-%d %H:%M}Z, its new price differs too much: "
            f"{quarantine.price_computed}."
        )
    if explanation.winner is None:
        reason = _REASONS.get(explanation.reason or "", explanation.reason)
        return f"SKU {sku} is not in the feed: {reason}."
    best_row = (
        f"row {explanation.winner.row_number} of {explanation.winner.vendor_id}"
    )
    price = None
    if explanation.price_steps:
        price = explanation.price_steps[-1].after
    if explanation.reason != "unpriced":
        return f"SKU {sku} has a price of {price}, from {best_row}."
    reason = "has no price" if price is None else f"has a price of {price}"
    return (
        f"SKU {sku} is not in the feed: its best offer, {best_row}, {reason}."
    )


def _title_with_count(title: str, items: Sequence[object], total: int) -> str:
    if len(items) == total:
        return f"{title}: {total:,}"
    return f"{title}: {total:,} (first {len(items)} shown)"


def _show_offers(screen: Screen, offers: Sequence[wire.ExplainedOffer]) -> None:
    """Write a table of offers, without columns that say nothing of these offers."""
    columns = dict(_OFFER_COLUMNS)
    if not any(map(_has_limited_stock, offers)):
        del columns["offered"]
    if all(offer.rule is None for offer in offers):
        del columns["rule"]
    TableView(columns, folded=("vendor's SKU",)).show(screen, offers)


def _has_limited_stock(offer: wire.ExplainedOffer) -> bool:
    return offer.stock_quantity not in (None, offer.quantity_available)


@command(commands)
def accept(
    session: Session,
    run_id: RunId,
    reason: Reason,
    skus: Annotated[
        list[str] | None,
        argument("SKU...", "SKUs, as in quarantine.csv."),
    ] = None,
    is_all: Annotated[
        bool,
        typer.Option("--all", help="All SKUs in the run's quarantine."),
    ] = False,
) -> None:
    """Accept prices that a run put into quarantine. The next run publishes them."""
    if is_all == bool(skus):
        raise BadUsageError("Name SKUs, or use --all.")
    body: dict[str, Any] = {"reason": reason}
    if is_all:
        body["all"] = True
    else:
        body["skus"] = skus
    result = session.api.request(
        wire.AcceptedSkus,
        "POST",
        f"/v1/runs/{segment(run_id)}/accept",
        json=body,
    )
    session.screen.say(
        f"SKUs accepted: {result.accepted:,}. The next run publishes their prices.",
    )
