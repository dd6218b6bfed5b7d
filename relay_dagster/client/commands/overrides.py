"""Commands about SKU overrides: list, set, and remove them."""

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from relay_dagster.client.api_client import tenant_path
from relay_dagster.client.errors import BadUsageError
from relay_dagster.client.session import (
    Output,
    Session,
    Tenant,
    argument,
    command,
)
from relay_dagster.client.terminal import cell
from relay_dagster.wire import skus as wire

overrides = typer.Typer(
    help="List, set, and remove SKU overrides: a price, a minimum price, a maximum "
    "quantity, a vendor, or no offer at all.",
    no_args_is_help=True,
)
_COLUMNS = {
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
"""The fields of an override by the titles of their columns."""
_BOOLEANS = {"true": True, "false": False}


@command(overrides, "list")
def list_overrides(session: Session, tenant: Tenant) -> Output:
    """List a tenant's SKU overrides, without those that have expired."""
    path = tenant_path(tenant, "overrides")
    query = {"limit": str(wire.MAX_OVERRIDES)}
    pages = list(session.api.pages(wire.OverrideList, path, query))
    items = [override for page in pages for override in page.overrides]
    last_page = pages[-1]

    def show() -> None:
        if not items:
            session.screen.complain("The tenant has no overrides.")
            return
        rows = [
            [cell(override.get(name)) for name in _COLUMNS.values()]
            for override in items
        ]
        session.screen.table([*_COLUMNS], rows, folded=("sku", "note"))
        if last_page.unused:
            session.screen.complain(
                f"No vendor offers the SKU of {last_page.unused:,} of these overrides.",
            )

    document = {
        "version": last_page.version,
        "count": last_page.count,
        "unused": last_page.unused,
        "overrides": items,
    }
    return Output(document, show)


@command(overrides)
def put(
    session: Session,
    tenant: Tenant,
    file: Annotated[
        Path,
        argument(
            "FILE",
            "JSON list of overrides, or a CSV file named *.csv with their keys as columns.",
        ),
    ],
) -> None:
    """Set SKU overrides from a file. Each replaces the override of its SKU.

    Overrides are sent in batches of 1,000. A batch is stored completely or not at
    all.
    """
    items = _read_overrides(file)
    path = f"{tenant_path(tenant, 'overrides')}:put"
    sent_count = 0
    for start in range(0, len(items), wire.MAX_OVERRIDES):
        batch = items[start : start + wire.MAX_OVERRIDES]
        result = session.api.request(
            wire.ChangedOverrides,
            "POST",
            path,
            json={"overrides": batch},
        )
        sent_count += len(batch)
        session.screen.say(
            f"Overrides set: {sent_count:,}. {tenant} has {result.count:,} in total, "
            f"version {result.version}.",
        )


@command(overrides)
def remove(
    session: Session,
    tenant: Tenant,
    skus: Annotated[list[str], argument("SKU...", "SKUs, as listed.")],
) -> None:
    """Remove the overrides of SKUs, with their accepted prices."""
    path = f"{tenant_path(tenant, 'overrides')}:remove"
    result = session.api.request(
        wire.ChangedOverrides,
        "POST",
        path,
        json={"skus": skus},
    )
    session.screen.say(
        f"Overrides removed: {result.changed:,}. {tenant} has {result.count:,} in total, "
        f"version {result.version}.",
    )


def _read_overrides(file: Path) -> Sequence[Mapping[str, Any]]:
    """Return the overrides of a JSON or CSV file, each of an SKU of its own.

    Raises:
        BadUsageError: The file cannot be read, has no override, or repeats an SKU.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() == ".csv":
            reader = csv.DictReader(io.StringIO(text, newline=""))
            items = [_override_of(row) for row in reader]
        else:
            items = json.loads(text, parse_float=str)
    except OSError as error:
        raise BadUsageError(f"{file}: {error.strerror or error}") from error
    except (ValueError, csv.Error) as error:
        raise BadUsageError(f"{file} cannot be read: {error}.") from error
    if not isinstance(items, list) or not all(
        isinstance(item, dict) for item in items
    ):
        raise BadUsageError(f"{file} must contain a list of overrides.")
    if not items:
        raise BadUsageError(f"{file} contains no overrides.")
    counts = Counter(str(item.get("sku")).strip() for item in items)
    for sku, count in counts.items():
        if count > 1:
            raise BadUsageError(
                f"{file} has more than one override of {sku!r}. Nothing was set.",
            )
    return items


def _override_of(row: Mapping[str | None, Any]) -> dict[str, Any]:
    """Return the override of a CSV row, without the fields of empty cells.

    Raises:
        ValueError: The row has more fields than the header.
    """
    if None in row:
        raise ValueError(f"a row has more fields than the header: {row[None]}")
    override: dict[str, Any] = {}
    for name, text in row.items():
        if text and text.strip():
            override[str(name).strip()] = text.strip()
    if "leave_out" in override:
        word = override["leave_out"]
        override["leave_out"] = _BOOLEANS.get(word.lower(), word)
    if override.get("max_quantity", "").isdecimal():
        override["max_quantity"] = int(override["max_quantity"])
    return override
