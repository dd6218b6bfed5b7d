"""The tenant that every scenario runs: two vendors, and the feed that must come of them.

All scenario tenants have the same feeds, so every run that succeeds must publish the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from relay_core.config import load_config
from relay_core.merge.result import merge_vendors
from relay_core.publish.feed import feed_chunks
from support import builders
from support.normalizing import normalize_vendor

HEADER = "sku,quantity_available,cost,title,updated_at"
VENDORS = ("north", "south")
ROWS = 60


def config_document(tenant_id: str, **changes: Any) -> dict[str, Any]:
    """Return a tenant's config; one invalid row in each feed is allowed for."""
    vendors = [
        builders.vendor_document(
            vendor_id,
            inbound={
                "type": "s3",
                "s3_prefix": f"tenants/{tenant_id}/inbound/{vendor_id}/",
            },
        )
        for vendor_id in VENDORS
    ]
    settings = {
        "tenant_id": tenant_id,
        "pricing": {
            "base_margin_pct": "0.20",
            "min_price": "2.00",
            "shipping_handling_flat": "1.25",
        },
        "error_policy": {"max_invalid_rows": 2, "max_invalid_row_pct": "0.1"},
        "output": {
            "columns": [
                "sku",
                "vendor_id",
                "quantity_available",
                "price",
                "updated_at",
            ]
        },
        **changes,
    }
    return builders.config_document(*vendors, **settings)


@cache
def feeds() -> Mapping[str, bytes]:
    """Return each vendor's upload, by vendor."""
    return {vendor: _feed(shift) for shift, vendor in enumerate(VENDORS)}


@cache
def expected_csv() -> bytes:
    """Return the merged feed of a run that nothing disturbs, straight from the engine."""
    config = load_config(config_document("acme"))
    normalized = [
        normalize_vendor(
            config,
            vendor,
            feeds()[vendor.vendor_id],
            file_name="feed.csv",
            requested_at=datetime(2026, 3, 1, tzinfo=UTC),
        )
        for vendor in config.vendors
    ]
    merged = merge_vendors(config, normalized, warnings=())
    assert merged.failure is None, merged.failure
    return b"".join(bytes(chunk) for chunk in feed_chunks(merged))


def other_feed() -> bytes:
    """Return an upload that comes later and that no pinned run may read."""
    return builders.feed("LATE-1,1,1.00,late,2026-02-02", header=HEADER)


def _feed(shift: int) -> bytes:
    rows = [
        f"SKU-{row:04d},{(row * 7 + shift) % 50},{row % 9 + shift}.{row % 100:02d},"
        f'"Part, {row}",2026-02-{row % 28 + 1:02d}T08:{row % 60:02d}:00Z'
        for row in range(shift * 20, shift * 20 + ROWS)
    ]
    return builders.feed(
        *rows, "BAD-1,many,1.00,broken,2026-02-01", header=HEADER
    )
