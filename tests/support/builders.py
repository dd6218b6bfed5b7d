"""Readable factories: everything has a default, a test names only what matters to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from relay_core.config import TenantConfig, load_config
from relay_core.domain.records import RunContext

REQUESTED_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RUN_ID = "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11"


def vendor_document(
    vendor_id: str = "vendor_1", **changes: Any
) -> dict[str, Any]:
    """Return one entry of ``vendors``; ``parser`` is merged into the default parser."""
    parser = {"format": "csv", **changes.pop("parser", {})}
    inbound = {"type": "s3", "s3_prefix": f"tenants/acme/inbound/{vendor_id}/"}
    return {
        "vendor_id": vendor_id,
        "inbound": inbound,
        "parser": parser,
        **changes,
    }


def part_document(
    part_id: str = "prices",
    gives: str | Sequence[str] = ("cost",),
    **changes: Any,
) -> dict[str, Any]:
    """Return one entry of ``parts``; ``parser`` is merged into the default parser."""
    prefix = f"tenants/acme/inbound/part_{part_id}/"
    return {
        "part_id": part_id,
        "gives": gives if isinstance(gives, str) else list(gives),
        "inbound": {"type": "s3", "s3_prefix": prefix},
        "parser": {"format": "csv", **changes.pop("parser", {})},
        **changes,
    }


def config_document(
    *vendors: Mapping[str, Any], **changes: Any
) -> dict[str, Any]:
    """Return a whole config document; ``pricing`` is merged into a pricing that adds nothing."""
    pricing = {
        "base_margin_pct": "0",
        "min_price": "0",
        "shipping_handling_flat": "0",
        **changes.pop("pricing", {}),
    }
    document = {
        "schema_version": 1,
        "tenant_id": "acme",
        "timezone": "UTC",
        "default_currency": "USD",
        "vendors": [dict(vendor) for vendor in vendors] or [vendor_document()],
        "pricing": pricing,
        "merge": {"strategy": "best_offer"},
        "output": {
            "columns": ["sku", "vendor_id", "quantity_available", "price"]
        },
    }
    return {**document, **changes}


def tenant_config(*vendors: Mapping[str, Any], **changes: Any) -> TenantConfig:
    """Return the loaded config of `config_document`."""
    return load_config(config_document(*vendors, **changes))


def feed(
    *records: str,
    header: str = "sku,quantity_available,cost",
    encoding: str = "utf-8",
) -> bytes:
    """Return a feed's bytes: the header, then one line a record."""
    return "".join(f"{line}\n" for line in (header, *records)).encode(encoding)


def run_context(**changes: Any) -> RunContext:
    """Return a run's identity."""
    defaults = {
        "run_id": RUN_ID,
        "tenant_id": "acme",
        "requested_at": REQUESTED_AT,
    }
    return RunContext(**{**defaults, **changes})


def error_codes(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the codes of report entries, in order."""
    return [entry["error_code"] for entry in entries]
