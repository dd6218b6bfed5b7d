"""A tenant config as the OpenAPI document shows it: JSON Schema, made from the engine's own models.

What JSON Schema cannot say (a prefix under the tenant's own, ids that differ) the engine refuses
with the path of each fault; docs/CONFIG.md has every rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from relay_core.config import TenantConfig
from relay_core.domain.columns import CANONICAL_COLUMNS
from relay_dagster.runs.identifiers import ID_PATTERN

Schema = dict[str, Any]

REFERENCE = "#/components/schemas/{model}"
CONFIG_REFERENCE: Schema = {"$ref": REFERENCE.format(model="TenantConfig")}
CONFIG_EXAMPLE: Schema = {
    "schema_version": 1,
    "tenant_id": "acme_parts",
    "timezone": "America/Chicago",
    "default_currency": "USD",
    "vendors": [
        {
            "vendor_id": "granite_supply",
            "inbound": {
                "type": "s3",
                "s3_prefix": "tenants/acme_parts/inbound/granite_supply/",
            },
            "parser": {"format": "csv", "column_map": {"sku": "Part No", "cost": "Net"}},
        }
    ],
    "pricing": {
        "base_margin_pct": "0.20",
        "min_price": "1.00",
        "shipping_handling_flat": "4.95",
    },
    "merge": {"strategy": "best_offer"},
    "output": {"columns": ["sku", "quantity_available", "price"]},
}
_DECIMAL_PATTERN = r"^\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
_MONEY: Schema = {
    "minimum": 0,
    "exclusiveMaximum": 1_000_000_000,
    "description": "Exact, at most 4 decimal places; a number, or its text.",
}
_COLUMN: Schema = {"enum": list(CANONICAL_COLUMNS)}
_BY_COLUMN: Schema = {"propertyNames": _COLUMN}
# What the models' types do not say.
_RULES: dict[tuple[str, str], Schema] = {
    ("TenantConfig", "schema_version"): {"const": 1},
    ("TenantConfig", "tenant_id"): {"type": "string", "pattern": ID_PATTERN},
    ("TenantConfig", "timezone"): {"type": "string", "description": "A name of the IANA database."},
    ("TenantConfig", "default_currency"): {"type": "string", "pattern": "^[A-Z]{3}$"},
    ("TenantConfig", "vendors"): {"minItems": 1},
    ("VendorConfig", "vendor_id"): {"type": "string", "pattern": ID_PATTERN},
    ("InboundConfig", "s3_prefix"): {
        "description": "Starts with `tenants/<tenant_id>/`; goes with type `s3`."
    },
    ("ParserConfig", "delimiter"): {"minLength": 1, "maxLength": 1, "pattern": '^[^"\\r\\n]$'},
    ("ParserConfig", "encoding"): {"description": "A text encoding that Python knows."},
    ("ParserConfig", "column_map"): _BY_COLUMN,
    ("ParserConfig", "defaults"): _BY_COLUMN,
    ("ParserConfig", "skip_lines"): {"minimum": 0},
    ("ParserConfig", "quantity_words"): {
        "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
    },
    ("PricingConfig", "base_margin_pct"): {
        "minimum": 0,
        "maximum": 100,
        "description": "0.20 is 20 %; at most 6 decimal places.",
    },
    ("PricingConfig", "min_price"): _MONEY,
    ("PricingConfig", "shipping_handling_flat"): _MONEY,
    ("RoundingConfig", "increment"): {**_MONEY, "minimum": 0.0001},
    ("BestOfferConfig", "fallback_lead_time_days"): {"minimum": 0, "maximum": 2**31 - 1},
    ("OutputConfig", "columns"): {"minItems": 1, "uniqueItems": True, "items": _COLUMN},
    ("ErrorPolicy", "max_invalid_rows"): {"minimum": 0},
    ("ErrorPolicy", "max_invalid_row_pct"): {"minimum": 0, "maximum": 1},
}
# Sections that may be left out as far as the models go, and hold something that must be there.
_REQUIRED = {
    "TenantConfig": ("pricing", "merge", "output"),
    "VendorConfig": ("inbound", "parser"),
}


def config_schemas() -> dict[str, Schema]:
    """Return the schemas of a config and of its sections by name, ``TenantConfig`` the whole."""
    whole = TenantConfig.model_json_schema(ref_template=REFERENCE)
    schemas = {**whole.pop("$defs"), "TenantConfig": whole}
    for name, schema in schemas.items():
        schema["required"] = sorted({*schema.get("required", ()), *_REQUIRED.get(name, ())})
        schema["properties"] = dict(_properties(name, schema))
    schemas["TenantConfig"]["description"] = "A tenant config of schema_version 1."
    schemas["TenantConfig"]["examples"] = [CONFIG_EXAMPLE]
    return schemas


def _properties(model: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    for name, given in schema["properties"].items():
        shown = _as_taken({key: value for key, value in given.items() if key != "title"})
        shown |= _RULES.get((model, name), {})
        yield name, shown if name in schema["required"] else _or_null(shown)


def _as_taken(schema: Schema) -> Schema:
    """Return a property as it is taken: for a text its number will do, for a decimal its text."""
    kinds = [each.get("type") for each in schema.get("anyOf", ())]
    if kinds == ["number", "string"]:
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        return {**rest, "type": ["number", "string"], "pattern": _DECIMAL_PATTERN}
    if kinds and kinds[-1] == "null":
        first = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        return _as_taken({**schema["anyOf"][0], **first})
    if schema.get("type") == "string" and not {"enum", "const"} & schema.keys():
        return {**schema, "type": ["string", "number"]}
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            schema = {**schema, inner: _as_taken(schema[inner])}
    return schema


def _or_null(schema: Schema) -> Schema:
    """Return a property that may be null, which is as if it were absent."""
    kind = schema.get("type")
    if kind is None or {"enum", "const"} & schema.keys():
        outer: Schema = {key: schema[key] for key in ("default", "description") if key in schema}
        inner = {key: value for key, value in schema.items() if key not in outer}
        return {**outer, "anyOf": [inner, {"type": "null"}]}
    kinds = kind if isinstance(kind, list) else [kind]
    return {**schema, "type": [*kinds, "null"]}
