"""The JSON Schema of a tenant config, made from the engine's own types.

The OpenAPI document includes it. Alone, it lets an editor complete and check a config.
JSON Schema cannot express every rule, such as that IDs differ. The engine checks those,
and docs/CONFIG.md lists every rule.
"""

import json
import sys
from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from relay_core.config import TenantConfig
from relay_core.config.values import WRITABLE_COLUMNS
from relay_core.domain.columns import EXTRA_COLUMN
from relay_dagster.wire.base import examples
from relay_dagster.wire.option_words import words_of

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE = "#/components/schemas/{model}"
"""The reference to a schema of the OpenAPI document, whose name is ``model``."""
_DECIMAL_PATTERN = (
    r"^\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
)
_NULL: Schema = {"type": "null"}
_BOUNDS = {"ge": "minimum", "le": "maximum", "lt": "exclusiveMaximum"}
# A column of the output comes from a column, or is a constant.
_ONE_SOURCE = [
    {"required": [name], "properties": {name: {"not": _NULL}}}
    for name in ("column", "constant")
]
# In these sections a null is not the same as an absent field: it switches a guard off.
SECTIONS_WITH_NULLS = ("GuardsConfig", "QuarantineConfig")
FIELDS_WITH_NULLS = (("DeliveryConfig", "whole_every_hours"),)
"""Fields of other sections where a null is not the same as an absent field."""


class _ConfigSchema(GenerateJsonSchema):
    """Generates the schema of a config as the engine accepts it.

    A number is accepted as a text, and a decimal may be a number or a text.
    """

    def str_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of a text. Only an ID must be a text."""
        json_schema = super().str_schema(schema)
        if "pattern" not in json_schema:
            json_schema["type"] = ["string", "number"]
        return json_schema

    def decimal_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of a decimal."""
        places = schema.get("decimal_places")
        precision = (
            "" if places is None else f", at most {places} decimal places"
        )
        json_schema: JsonSchemaValue = {
            "type": ["number", "string"],
            "pattern": _DECIMAL_PATTERN,
        }
        for bound, keyword in _BOUNDS.items():
            if bound in schema:
                json_schema[keyword] = _json_number(schema[bound])
        json_schema["description"] = f"Exact{precision}; a number, or its text."
        return json_schema

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of a field with its default, unless the default is null."""
        json_schema = super().default_schema(schema)
        if json_schema.get("default", ...) is None:
            del json_schema["default"]
        return json_schema

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of a value that may be null."""
        return _or_null(self.generate_inner(schema["schema"]))

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False: the key of a field says as much as a title."""
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Return True for a required field, and for a section with required fields."""
        has_required_fields = field["schema"].get("default_factory") is dict
        return has_required_fields or super().field_is_required(field, total)


def config_schema() -> Schema:
    """Return the schema of a config as a document of its own."""
    schemas = config_schemas("#/$defs/{model}")
    tenant_config = schemas.pop("TenantConfig")
    return {"$schema": DIALECT, **tenant_config, "$defs": schemas}


@cache
def config_schema_json() -> str:
    """Return the text of docs/config.schema.json, which `make schema` writes."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"


def config_schemas(reference: str = REFERENCE) -> dict[str, Schema]:
    """Return the schemas of a config and of its sections, keyed by name.

    ``TenantConfig`` is the schema of the whole config. ``reference`` is the reference
    from one schema to another, with a placeholder for ``model``.
    """
    tenant_config = TenantConfig.model_json_schema(
        ref_template=reference, schema_generator=_ConfigSchema
    )
    schemas = {**tenant_config.pop("$defs"), "TenantConfig": tenant_config}
    for name, schema in schemas.items():
        required = schema.setdefault("required", [])
        if name not in SECTIONS_WITH_NULLS:
            for key, property_schema in schema["properties"].items():
                accepted = _entries_or_null(property_schema)
                if key not in required:
                    accepted = _or_null(accepted)
                schema["properties"][key] = accepted
        _add_words(name, schema)
    schemas["OutputConfig"]["properties"]["columns"]["uniqueItems"] = True
    schemas["OutputColumn"] = {
        "anyOf": [
            {"enum": list(WRITABLE_COLUMNS)},
            {"type": "string", "pattern": EXTRA_COLUMN},
            {**schemas["OutputColumn"], "oneOf": _ONE_SOURCE},
        ]
    }
    tenant_config["description"] = "A tenant config of schema_version 1."
    tenant_config["examples"] = [examples()["TenantConfig"]]
    return schemas


def _add_words(name: str, schema: Schema) -> None:
    """Add the words of a section's options, which the settings pages show, too."""
    for key, property_schema in schema["properties"].items():
        words = words_of(name, key)
        property_schema["title"] = words.label
        texts = [words.help, property_schema.get("description", "")]
        description = " ".join(filter(None, texts))
        if description:
            property_schema["description"] = description


def _json_number(number: Any) -> float:
    return int(number) if number == int(number) else float(number)


def _or_null(schema: Schema) -> Schema:
    """Return the schema of a property that may also be null."""
    types = schema.get("type", ())
    if _NULL in schema.get("anyOf", ()) or "null" in types:
        return schema
    if types and not {"enum", "const"} & schema.keys():
        types = [types] if isinstance(types, str) else types
        return {**schema, "type": [*types, "null"]}
    inner = dict(schema)
    outer: Schema = {}
    for key in ("default", "description"):
        if key in inner:
            outer[key] = inner.pop(key)
    return {**outer, "anyOf": [inner, _NULL]}


def _entries_or_null(schema: Schema) -> Schema:
    """Return the schema of a property; null may be a value of a mapping of any names."""
    accepted = dict(schema)
    if "patternProperties" in schema:
        entries = schema["patternProperties"].items()
        accepted["patternProperties"] = {
            pattern: _or_null(entry) for pattern, entry in entries
        }
    if isinstance(schema.get("additionalProperties"), dict):
        accepted["additionalProperties"] = _or_null(
            schema["additionalProperties"]
        )
    return accepted


if __name__ == "__main__":
    sys.stdout.write(config_schema_json())
