"""Single SKUs: the explanation of a feed's row, prices that are accepted, and overrides."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from relay_dagster.client.api_client import segment, tenant_path
from relay_dagster.client.errors import BadUsageError
from relay_dagster.client.holds import Reason
from relay_dagster.client.session import (
    RunId,
    Session,
    Shown,
    Tenant,
    argument,
    command,
)
from relay_dagster.client.terminal import Screen, TableView, cell
from relay_dagster.wire import skus as wire

commands = typer.Typer()
overrides = typer.Typer()

_STEPS = TableView(
    {"step": "step", "with": "operand", "before": "before", "after": "after"}
)
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
    "lead time": lambda offer: (
        "-" if offer.lead_time_days is None else f"{offer.lead_time_days} d"
    ),
    "updated": "updated_at",
    "rule": "rule",
    "lost on": lambda offer: offer.lost_on or "(the winner)",
}
"""Columns of the table of offers."""
_OVERRIDE_FIELDS = {
    "sku": "sku",
    "leave out": "leave_out",
    "price": "price",
    "min price": "min_price",
    "max quantity": "max_quantity",
    "vendor": "vendor_id",
    "accepted": "accept_price",
    "until": "accept_until",
    "expires": "expires_at",
    "note": "note",
}
_BOOLEANS = {"true": True, "false": False}
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
    explanation = session.api.ask(wire.Explanation, "GET", path, params={"sku": sku})
    return Shown(explanation, lambda: show_explanation(session.screen, explanation))


def show_explanation(screen: Screen, explanation: wire.Explanation) -> None:
    """Write the verdict, then the row of the feed, the price, the offers and the rejected rows."""
    screen.say(_verdict(explanation), style="red" if explanation.reason else "green")
    if explanation.feed_row is not None:
        screen.section("in the feed")
        for header, text in explanation.feed_row.items():
            screen.say(f"{header}: {text or '-'}", indent=2)
    if explanation.override is not None:
        said = (
            f"{name}: {text}"
            for name, text in explanation.override.items()
            if name != "sku"
        )
        screen.section("its override", said)
    if explanation.price_steps is not None:
        screen.section("the price, step by step")
        _STEPS.show(screen, explanation.price_steps)
    if explanation.offers_count:
        screen.section(_counted("offers", explanation.offers, explanation.offers_count))
        columns = dict(_OFFERS)
        if all(
            one.stock_quantity in (None, one.quantity_available)
            for one in explanation.offers
        ):
            del columns["offered"]
        if all(each.rule is None for each in explanation.offers):
            del columns["rule"]
        TableView(columns, folded=("vendor's SKU",)).show(screen, explanation.offers)
    if explanation.refused_count:
        screen.section(
            _counted("refused rows", explanation.refused, explanation.refused_count)
        )
        _REFUSED.show(screen, explanation.refused)


def _verdict(explanation: wire.Explanation) -> str:
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
        return (
            f"SKU {explanation.sku} is not in the feed: its best offer, {best}, {why}"
        )
    return f"SKU {explanation.sku} costs {price}, from {best}"


def _counted(title: str, shown: Sequence[object], count: int) -> str:
    if len(shown) == count:
        return f"{title}: {count:,}"
    return f"{title}: {count:,}, the first {len(shown)} here"


@command(commands)
def accept(
    session: Session,
    run_id: RunId,
    reason: Reason,
    skus: Annotated[
        list[str] | None, argument("SKU...", "As in quarantine.csv.")
    ] = None,
    is_all: Annotated[
        bool, typer.Option("--all", help="All of the run's quarantine.")
    ] = False,
) -> None:
    """Accept prices that a run has kept back, so that the next run publishes them."""
    if is_all is bool(skus):
        raise BadUsageError("name SKUs, or give --all")
    order = {"reason": reason, **({"all": True} if is_all else {"skus": skus})}
    path = f"/v1/runs/{segment(run_id)}/accept"
    done = session.api.ask(wire.AcceptedSkus, "POST", path, json=order)
    session.screen.say(
        f"{done.accepted:,} SKUs are accepted; the next run publishes their prices"
    )


# --- overrides -----------------------------------------------------------------------------------


@command(overrides, "list")
def list_overrides(session: Session, tenant: Tenant) -> Shown:
    """List a tenant's overrides by SKU; those that are over are not shown."""
    asked = {"limit": str(wire.MAX_OVERRIDES)}
    pages = list(
        session.api.pages(wire.OverrideList, tenant_path(tenant, "overrides"), asked)
    )
    found = [one for page in pages for one in page.overrides]
    last = pages[-1]

    def show() -> None:
        rows = [
            [cell(one.get(name)) for name in _OVERRIDE_FIELDS.values()] for one in found
        ]
        if not rows:
            session.screen.complain("the tenant has no overrides")
            return
        session.screen.table([*_OVERRIDE_FIELDS], rows, folded=("sku", "note"))
        if last.unused:
            session.screen.complain(
                f"no vendor offers the SKU of {last.unused:,} of them"
            )

    facts = {"version": last.version, "count": last.count, "unused": last.unused}
    return Shown({**facts, "overrides": found}, show)


@command(overrides)
def put(
    session: Session,
    tenant: Tenant,
    file: Annotated[
        Path,
        argument(
            "FILE",
            "A JSON list of them; or, named *.csv, a CSV file with their keys as columns.",
        ),
    ],
) -> None:
    """Put overrides in place of those of their SKUs, a thousand at a time, each all or nothing."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() == ".csv":
            found = [
                _of_row(row) for row in csv.DictReader(io.StringIO(text, newline=""))
            ]
        else:
            found = json.loads(text, parse_float=str)
    except OSError as error:
        raise BadUsageError(f"{file}: {error.strerror or error}") from error
    except (ValueError, csv.Error) as error:
        raise BadUsageError(f"{file}: cannot be read: {error}") from error
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadUsageError(f"{file}: a list of overrides is wanted")
    if not found:
        raise BadUsageError(f"{file}: holds no override")
    counts = Counter(str(each.get("sku")).strip() for each in found)
    if repeated := [sku for sku, count in counts.items() if count > 1]:
        raise BadUsageError(
            f"{file}: has more than one override of {repeated[0]!r}; nothing is put"
        )
    asked, done = iter(found), 0
    while part := list(islice(asked, wire.MAX_OVERRIDES)):
        path = f"{tenant_path(tenant, 'overrides')}:put"
        change = session.api.ask(
            wire.ChangedOverrides, "POST", path, json={"overrides": part}
        )
        done += len(part)
        session.screen.say(
            f"{done:,} are put; {tenant} has {change.count:,} overrides, version {change.version}"
        )


@command(overrides)
def remove(
    session: Session,
    tenant: Tenant,
    skus: Annotated[list[str], argument("SKU...", "As listed.")],
) -> None:
    """Remove the overrides of SKUs, with what was accepted of them."""
    path = f"{tenant_path(tenant, 'overrides')}:remove"
    change = session.api.ask(wire.ChangedOverrides, "POST", path, json={"skus": skus})
    session.screen.say(
        f"{change.changed:,} are removed; {tenant} has {change.count:,} overrides, "
        f"version {change.version}"
    )


def _of_row(row: Mapping[str | None, Any]) -> dict[str, Any]:
    """Return the override of a CSV row; an empty cell is a key that is absent."""
    if None in row:
        raise ValueError(f"a row has more fields than the header: {row[None]}")
    said: dict[str, Any] = {
        str(name).strip(): text.strip()
        for name, text in row.items()
        if text and text.strip()
    }
    if "leave_out" in said:
        said["leave_out"] = _BOOLEANS.get(said["leave_out"].lower(), said["leave_out"])
    if said.get("max_quantity", "").isdecimal():
        said["max_quantity"] = int(said["max_quantity"])
    return said
