"""The config that a new tenant starts with: no vendors yet, and a margin of 20 %."""

from typing import Any

from relay_core.config.reading.scalars import NumberText

TENANT_ID = "my_shop"
TIMEZONE = "UTC"
CURRENCY = "USD"
MARGIN = "0.20"


def starter_config(
    tenant_id: str = TENANT_ID,
    timezone: str = TIMEZONE,
    currency: str = CURRENCY,
) -> dict[str, Any]:
    """Return the document of a new tenant's config; its decimals keep their digits."""
    return {
        "tenant_id": tenant_id,
        "timezone": timezone,
        "default_currency": currency,
        "vendors": [],
        "pricing": {
            "base_margin_pct": NumberText(MARGIN),
            "min_price": NumberText("0.01"),
            "shipping_handling_flat": 0,
        },
        "merge": {"strategy": "best_offer"},
        "output": {
            "columns": [
                "sku",
                "quantity_available",
                "price",
                "vendor_id",
                "updated_at",
            ]
        },
    }
