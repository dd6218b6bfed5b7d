"""Documents as others publish them, and how a vendor's parser reads two of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "data" / "documents" / "published"
IN_STOCK_ONCE = {"quantity_available": "1"}
PURCHASE_ORDER: dict[str, Any] = {
    "format": "xml",
    "record": "/purchaseOrder/items/item",
    "column_map": {
        "sku": "@partNum",
        "quantity_available": "quantity",
        "cost": "USPrice",
    },
}
"""The parser of ``xml_schema_purchase_order.xml``."""
STORE_PRODUCTS: dict[str, Any] = {
    "format": "json",
    "column_map": {"sku": "id"},
    "defaults": IN_STOCK_ONCE,
}
"""The parser of ``retail_store_products.json``."""
