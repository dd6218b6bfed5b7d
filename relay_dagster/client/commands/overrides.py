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
from relay_dagster.client.session import Output, Session, Tenant, argument, command
from relay_dagster.client.terminal import cell
from relay_dagster.wire import skus as wire

overrides = typer.Typer(
    help="Say the last word on single SKUs: a price, a floor, a vendor, a "
    "quantity, or leave out.",
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
    """List a tenant's overrides by SKU; those that are over are not shown."""
    path = tenant_path(tenant, "overrides")
    query = {"limit": str(wire.MAX_OVERRIDES)}
    pages = list(session.api.pages(wire.OverrideList, path, query))
    items = [override for page in pages for override in page.overrides]
    last_page = pages[-1]

    def show() -> None:
        if not items:
            session.screen.complain("the tenant has no overrides")
            return
        rows = [
            [cell(override.get(name)) for name in _COLUMNS.values()]
            for override in items
        ]
        session.screen.table([*_COLUMNS], rows, folded=("sku", "note"))
        if last_page.unused:
            session.screen.complain(
                f"no vendor offers the SKU of {last_page.unused:,} of them"
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
            "A JSON list of them; or, named *.csv, a CSV file with their keys as columns.",
        ),
    ],
) -> None:
    """Put overrides in place of those of their SKUs, a thousand at a time, each all or nothing."""
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
            f"{sent_count:,} are put; {tenant} has {result.count:,} overrides, version "
            f"{result.version}"
        )


@command(overrides)
def remove(
    session: Session,
    tenant: Tenant,
    skus: Annotated[list[str], argument("SKU...", "As listed.")],
) -> None:
    """Remove the overrides of SKUs, with what was accepted of them."""
    path = f"{tenant_path(tenant, 'overrides')}:remove"
    result = session.api.request(
        wire.ChangedOverrides,
        "POST",
        path,
        json={"skus": skus},
    )
    session.screen.say(
        f"{result.changed:,} are removed; {tenant} has {result.count:,} overrides, "
        f"version {result.version}"
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
        raise BadUsageError(f"{file}: cannot be read: {error}") from error
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise BadUsageError(f"{file}: a list of overrides is wanted")
    if not items:
        raise BadUsageError(f"{file}: holds no override")
    counts = Counter(str(item.get("sku")).strip() for item in items)
    for sku, count in counts.items():
        if count > 1:
            raise BadUsageError(
                f"{file}: has more than one override of {sku!r}; nothing is put"
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
