"""A tenant config as JSON Schema, made from the engine's own types.

The OpenAPI document has it among its schemas; alone it lets an editor complete and check a config.
What JSON Schema cannot say (a prefix under the tenant's own, ids that differ) the engine refuses
with the path of each fault; docs/CONFIG.md has every rule.
"""

import json
import sys
from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from relay_core.config import TenantConfig
from relay_core.config.values import OUTPUT_COLUMNS
from relay_core.domain.columns import EXTRA_COLUMN
from relay_dagster.wire.base import examples

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE = "#/components/schemas/{model}"
_DECIMAL_PATTERN = r"^\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
_NULL: Schema = {"type": "null"}
_BOUNDS = {"ge": "minimum", "le": "maximum", "lt": "exclusiveMaximum"}
# What is under a header is one thing.
_ONE_THING = [
    {"required": [name], "properties": {name: {"not": _NULL}}}
    for name in ("column", "constant")
]


class _ConfigSchema(GenerateJsonSchema):
    """The schema of a config as it is taken: for a text its number will do, for a decimal both."""

    def str_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of a text; an id is text alone."""
        made = super().str_schema(schema)
        return made if "pattern" in made else {**made, "type": ["string", "number"]}

    def decimal_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of a decimal, a number or its text."""
        places = schema.get("decimal_places")
        most = "" if places is None else f", at most {places} decimal places"
        return {
            "type": ["number", "string"],
            "pattern": _DECIMAL_PATTERN,
            **{
                word: _number(schema[bound])
                for bound, word in _BOUNDS.items()
                if bound in schema
            },
            "description": f"Exact{most}; a number, or its text.",
        }

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema with its default; one that is null is none."""
        made = super().default_schema(schema)
        return {
            key: value
            for key, value in made.items()
            if (key, value) != ("default", None)
        }

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema with null beside it."""
        return _or_null(self.generate_inner(schema["schema"]))

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return that no field has a title: its key says as much."""
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Return whether a field must be there; so must a section that holds such a field."""
        holds_one = field["schema"].get("default_factory") is dict
        return holds_one or super().field_is_required(field, total)


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

    ``reference`` is how one refers to another, with a place for ``model``.
    """
    whole = TenantConfig.model_json_schema(
        ref_template=reference, schema_generator=_ConfigSchema
    )
    schemas = {**whole.pop("$defs"), "TenantConfig": whole}
    for name, schema in schemas.items():
        required = schema.setdefault("required", [])
        # A null is as if absent, but for the guards: there it switches one off.
        if name not in ("GuardsConfig", "QuarantineConfig"):
            schema["properties"] |= {
                key: _entries_or_null(each)
                if key in required
                else _or_null(_entries_or_null(each))
                for key, each in schema["properties"].items()
            }
    schemas["OutputConfig"]["properties"]["columns"]["uniqueItems"] = True
    extra = {"type": "string", "pattern": EXTRA_COLUMN}
    # A column's name alone will do.
    named = {**schemas["OutputColumn"], "oneOf": _ONE_THING}
    schemas["OutputColumn"] = {"anyOf": [{"enum": list(OUTPUT_COLUMNS)}, extra, named]}
    whole["description"] = "A tenant config of schema_version 1."
    whole["examples"] = [examples()["TenantConfig"]]
    return schemas


def _number(value: Any) -> float:
    return int(value) if value == int(value) else float(value)


def _or_null(schema: Schema) -> Schema:
    """Return a property that may be null."""
    kinds = schema.get("type", ())
    if _NULL in schema.get("anyOf", ()) or "null" in kinds:
        return schema
    if not kinds or {"enum", "const"} & schema.keys():
        outer: Schema = {
            key: schema[key] for key in ("default", "description") if key in schema
        }
        inner = {key: value for key, value in schema.items() if key not in outer}
        return {**outer, "anyOf": [inner, _NULL]}
    return {**schema, "type": [*([kinds] if isinstance(kinds, str) else kinds), "null"]}


def _entries_or_null(schema: Schema) -> Schema:
    """Return a property whose entries may be null, where it is a mapping of any names."""
    found = dict(schema)
    if "patternProperties" in schema:
        entries = schema["patternProperties"].items()
        found["patternProperties"] = {name: _or_null(each) for name, each in entries}
    if isinstance(schema.get("additionalProperties"), dict):
        found["additionalProperties"] = _or_null(schema["additionalProperties"])
    return found


if __name__ == "__main__":
    sys.stdout.write(config_schema_json())
