"""The prices that a run keeps back for a review, and the ones that people have accepted."""

import csv
import io
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from relay_core.config import Override
from relay_core.domain.run_faults import counted
from relay_core.report import display
from relay_core.report.blocks import Action, Cell, Column, Table
from relay_core.report.excerpts import without_empty_columns
from relay_dagster.runs.ports import utc_now
from relay_dagster.web.run_forms import ActionForm, Selection, ShownRun
from relay_dagster.wiring import Platform

_MAX_PRICES = 100
_MAX_BYTES = 1 << 20
_COLUMNS = (
    Column("sku", "SKU", "code"),
    Column("price_published", "Published price", "money"),
    Column("price_computed", "New price", "money"),
    Column("vendor_id", "Vendor"),
    Column("suspect_since", "Since"),
    Column("status", "Status"),
)
_HELP = "Select the new prices that are correct. The next run publishes them."


class QuarantinedPrice(NamedTuple):
    """A row of quarantine.csv, as the page shows it."""

    sku: str
    price_published: str
    price_computed: str
    vendor_id: str
    since: str  # the day in the shop's time zone
    is_accepted: bool  # whether the next run publishes the computed price


def quarantined_prices(
    tenant_id: str,
    artifacts: Mapping[str, str],
    platform: Platform,
    zone: tzinfo,
) -> list[QuarantinedPrice]:
    """Return the first prices of a run's quarantine; none if the run has no quarantine."""
    overrides = _overrides(tenant_id, artifacts, platform)
    prices = []
    for row in islice(_rows(artifacts, platform), _MAX_PRICES):
        since = datetime.fromisoformat(row["suspect_since"]).astimezone(zone)
        prices.append(
            QuarantinedPrice(
                row["sku"],
                row["price_published"],
                row["price_computed"],
                row["vendor_id"],
                display.day(since),
                _is_accepted(row, overrides),
            ),
        )
    return prices


def accept_form(action: Action, shown: ShownRun) -> ActionForm | None:
    """Return the first prices to review, with the form that accepts the selected ones.

    Only the prices are shown if none waits or the visitor may not accept them.
    """
    prices = quarantined_prices(
        shown.run.tenant_id,
        shown.record.artifacts,
        shown.visit.platform,
        shown.shop.zone,
    )
    if not prices:
        return None
    reported = shown.table(action.table)
    total = len(prices) if reported is None else reported.total
    table = Table(
        action.table,
        "SKUs that keep their published price",
        _COLUMNS,
        tuple(map(_row_of, prices)),
        total,
        artifact="quarantine",
    )
    waiting = frozenset(price.sku for price in prices if not price.is_accepted)
    selection = Selection(without_empty_columns(table, ["status"]), "sku")
    form = ActionForm(action, notice=_notice(shown.changed))
    if not waiting or not shown.visit.may("release"):
        return form._replace(selection=selection)
    all_label = "Select the price"
    if total > 1:
        all_label = f"Select all {total:,} prices"
    return form._replace(
        path=shown.path("accept"),
        help=_HELP,
        selection=selection._replace(values=waiting, all_label=all_label),
    )


def _row_of(price: QuarantinedPrice) -> tuple[Cell, ...]:
    accepted = Cell("Accepted", tone="good")
    return (
        Cell(price.sku),
        Cell(price.price_published),
        Cell(price.price_computed),
        Cell(price.vendor_id),
        Cell(price.since),
        accepted if price.is_accepted else Cell(None),
    )


def _notice(accepted: int | None) -> str:
    if accepted is None:
        return ""
    prices = counted(accepted, "price")
    pronoun = "it" if accepted == 1 else "them"
    return f"{prices} accepted. The next run publishes {pronoun}."


def count_waiting(
    tenant_id: str,
    artifacts: Mapping[str, str],
    platform: Platform,
) -> int:
    """Return the number of prices of a run's quarantine that nobody has accepted.

    Rows beyond the first MiB of the file are not counted.
    """
    overrides = _overrides(tenant_id, artifacts, platform)
    return sum(
        not _is_accepted(row, overrides) for row in _rows(artifacts, platform)
    )


def _overrides(
    tenant_id: str,
    artifacts: Mapping[str, str],
    platform: Platform,
) -> Mapping[str, Override]:
    """Return the overrides in effect; they matter only if the run has a quarantine."""
    if "quarantine" not in artifacts:
        return {}
    return platform.overrides.document(tenant_id).in_force(utc_now())


def _rows(
    artifacts: Mapping[str, str],
    platform: Platform,
) -> Iterator[Mapping[str, str]]:
    """Yield the complete rows in the first MiB of a run's quarantine.csv."""
    key = artifacts.get("quarantine")
    if key is None:
        return
    data = platform.objects.read_range(key, 0, _MAX_BYTES) or b""
    lines = io.StringIO(data.decode(errors="replace"), newline="")
    # A SKU can be as long as a cell may be, more than the csv module's default.
    csv.field_size_limit(sys.maxsize)
    for row in csv.DictReader(lines):
        # The last row may be incomplete, so it may have no last column.
        if row["suspect_since"]:
            yield row


def _is_accepted(
    row: Mapping[str, str],
    overrides: Mapping[str, Override],
) -> bool:
    """Return whether an override accepts the computed price of a row."""
    sku = row["sku"]
    # A mark before the SKU keeps spreadsheets from reading a formula.
    override = overrides.get(sku) or overrides.get(sku.removeprefix("'"))
    if override is None or override.accept_price is None:
        return False
    return override.accept_price == Decimal(row["price_computed"])
