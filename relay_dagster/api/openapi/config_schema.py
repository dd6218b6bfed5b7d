"""A tenant config as JSON Schema, made from the engine's own models and readers.

The OpenAPI document has it among its schemas; alone it lets an editor complete and check a config.
What JSON Schema cannot say (a prefix under the tenant's own, ids that differ) the engine refuses
with the path of each fault; docs/CONFIG.md has every rule.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache, partial
from typing import Any, get_args

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from relay_core.config import TenantConfig
from relay_core.config.models import GuardsConfig, Section
from relay_core.config.values import LARGEST_COUNT
from relay_core.domain.cell_rules import MONEY_LIMIT
from relay_core.domain.columns import CANONICAL_COLUMNS, DERIVED_COLUMNS
from relay_dagster.runs.identifiers import ID_PATTERN

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
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
_COLUMN: Schema = {"enum": list(CANONICAL_COLUMNS)}
_FEED_COLUMN: Schema = {"enum": [*CANONICAL_COLUMNS, *DERIVED_COLUMNS]}
_BY_COLUMN: Schema = {"propertyNames": _COLUMN}
# What the models' types and readers do not say.
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
    ("ParserConfig", "quantity_words"): {
        "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
    },
    ("PricingConfig", "rules"): {
        "maxItems": 200,
        "description": "The first one whose `when` holds is an offer's; each has exactly one of "
        "`margin_pct`, `markup`, `fixed_price` and `leave_out: true`.",
    },
    ("RuleConditions", "vendors"): {"minItems": 1, "description": "Ids of this config's vendors."},
    ("RuleConditions", "brands"): {"minItems": 1, "description": "In any case."},
    ("RuleConditions", "conditions"): {"minItems": 1},
    ("OutputConfig", "columns"): {"minItems": 1, "uniqueItems": True},
    ("OutputColumn", "column"): _FEED_COLUMN,
    ("OutputColumn", "as"): {"minLength": 1, "description": "The header."},
}
# Sections that may be left out as far as the models go, and hold something that must be there.
_REQUIRED = {
    "TenantConfig": ("pricing", "merge", "output"),
    "VendorConfig": ("inbound", "parser"),
}


# A column's name alone will do, and what is under a header is one thing.
_ONE_THING = [
    {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
    for name in ("column", "constant")
]


def config_schema() -> Schema:
    """Return the schema of a config as a document of its own."""
    schemas = config_schemas("#/$defs/{model}")
    whole = schemas.pop("TenantConfig")
    return {"$schema": DIALECT, **whole, "$defs": schemas}


@cache
def config_schema_json() -> str:
    """Return that document as its file has it: `make schema` writes docs/config.schema.json."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"


def config_schemas(reference: str = REFERENCE) -> dict[str, Schema]:
    """Return the schemas of a config and of its sections by name, ``TenantConfig`` the whole.

    Args:
        reference: how one refers to another, with a place for ``model``.
    """
    whole = TenantConfig.model_json_schema(ref_template=reference)
    schemas = {**whole.pop("$defs"), "TenantConfig": whole}
    for section in dict.fromkeys(_sections(TenantConfig)):
        name = section.__name__
        schema = schemas[name]
        schema["required"] = sorted({*schema.get("required", ()), *_REQUIRED.get(name, ())})
        schema["properties"] = dict(_properties(section, schema))
    named = schemas["OutputColumn"]
    schemas["OutputColumn"] = {"anyOf": [_FEED_COLUMN, {**named, "oneOf": _ONE_THING}]}
    schemas["TenantConfig"]["description"] = "A tenant config of schema_version 1."
    schemas["TenantConfig"]["examples"] = [CONFIG_EXAMPLE]
    return schemas


def _sections(annotation: Any) -> Iterator[type[Section]]:
    """Yield the sections that a type holds, itself included; one that stands twice, twice."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
        for field in annotation.model_fields.values():
            yield from _sections(field.annotation)
    for inner in get_args(annotation):
        yield from _sections(inner)


def _properties(section: type[Section], schema: Schema) -> Iterator[tuple[str, Schema]]:
    model = section.__name__
    for name, field in section.model_fields.items():
        key = field.alias or name
        given = {word: each for word, each in schema["properties"][key].items() if word != "title"}
        shown = _as_taken(given) | _limits(field) | _RULES.get((model, key), {})
        # A null is as if absent, but for the guards: there it switches one off.
        nullable = _is_nullable(given) if section is GuardsConfig else key not in schema["required"]
        yield key, _or_null(shown) if nullable else shown


def _is_nullable(schema: Schema) -> bool:
    return {"type": "null"} in schema.get("anyOf", ())


def _limits(field: FieldInfo) -> Schema:
    """Return the limits of a number as its reader has them."""
    metadata = [
        *field.metadata,
        *(m for each in get_args(field.annotation) for m in get_args(each)),
    ]
    readers = (each.func for each in metadata if isinstance(each, BeforeValidator))
    limits = next((each.keywords for each in readers if isinstance(each, partial)), None)
    if limits is None:
        return {}
    bounds: Schema = {"minimum": _number(limits["least"])}
    if "places" in limits:
        places = "" if limits["places"] is None else f", at most {limits['places']} decimal places"
        bounds["description"] = f"Exact{places}; a number, or its text."
    if limits["most"] is None:
        return {**bounds, "exclusiveMaximum": MONEY_LIMIT}
    return (
        bounds
        if limits["most"] == LARGEST_COUNT
        else {**bounds, "maximum": _number(limits["most"])}
    )


def _number(text: str | int) -> float:
    return int(text) if float(text).is_integer() else float(text)


def _as_taken(schema: Schema) -> Schema:
    """Return a property as it is taken: for a text its number will do, for a decimal its text."""
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if rest.get("default", 0) is None:
        del rest["default"]
    match [each.get("type") for each in kinds]:
        case ["number", "string"]:
            return {**rest, "type": ["number", "string"], "pattern": _DECIMAL_PATTERN}
        case [_]:
            return _as_taken({**kinds[0], **rest})
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


if __name__ == "__main__":
    sys.stdout.write(config_schema_json())
