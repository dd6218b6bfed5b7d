"""The options of a config, as its JSON Schema and the words of its options describe them.

The settings pages show each option of a section in this way, so a new option of a config
has a field, its bounds, and its default without further code.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from relay_dagster.http import config_schema
from relay_dagster.wire.option_words import OptionWords, words_of

Schema = Mapping[str, Any]
_NULL = {"type": "null"}


class Kind(StrEnum):
    """The kind of an option's value, which decides how a form shows it."""

    TEXT = "text"
    WHOLE = "whole"
    AMOUNT = "amount"
    PERCENT = "percent"  # a share, which people enter as a percentage
    SWITCH = "switch"
    CHOICE = "choice"
    CHOICES = "choices"
    TEXTS = "texts"
    PAIRS = "pairs"
    SECTION = "section"
    SECTIONS = "sections"


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a section."""

    name: str  # the key in the config
    kind: Kind
    words: OptionWords
    is_required: bool
    # Null turns the option off. Elsewhere, null is the same as an absent option.
    has_null: bool
    default: Any
    choices: Mapping[str, str]  # the label of each value that can be chosen
    lowest: Any = None
    highest: Any = None
    section: str = ""  # the name of the section, or of the items' section
    # The kind of the values of pairs
    value_kind: Kind = Kind.TEXT

    @property
    def is_optional_section(self) -> bool:
        """True for a section that can be absent, or that null turns off."""
        return self.kind is Kind.SECTION and (
            self.has_null or not (self.is_required or self.default is not None)
        )


@cache
def options_of(section: str) -> tuple[Option, ...]:
    """Return the options of a section of the config, in its own order."""
    schema = _schemas()[section]
    if "properties" not in schema:
        # A column of the feed is also a text alone; as an object, it has fields.
        schema = schema["anyOf"][-1]
    required = schema.get("required", ())
    return tuple(
        _option(section, name, property_schema, name in required)
        for name, property_schema in schema["properties"].items()
    )


def all_sections() -> Iterator[str]:
    """Yield the names of the sections that the config's options lead to."""
    names = ["TenantConfig"]
    for name in names:
        yield name
        for option in options_of(name):
            if option.section and option.section not in names:
                names.append(option.section)


@cache
def _schemas() -> Mapping[str, Schema]:
    return config_schema.config_schemas()


def _option(
    section: str,
    name: str,
    schema: Schema,
    is_required: bool,
) -> Option:
    """Return the option that a property of the schema describes."""
    accepted = _without_null(schema)
    words = words_of(section, name)
    kind = _kind(accepted, words)
    items = accepted.get("items", {})
    values = _pair_values(accepted)
    texts: list[Any] = []
    if kind in (Kind.CHOICE, Kind.CHOICES):
        texts = _enum(items if kind is Kind.CHOICES else accepted)
        if "boolean" in _types(accepted):
            texts = ["true", "false"]
    reference = accepted.get("$ref") or items.get("$ref") or ""
    is_nullable = accepted != schema and "null" in _types(schema)
    has_nulls = (
        section in config_schema.SECTIONS_WITH_NULLS
        or (section, name) in config_schema.FIELDS_WITH_NULLS
    )
    return Option(
        name=name,
        kind=kind,
        words=words,
        is_required=is_required,
        has_null=has_nulls and is_nullable,
        default=schema.get("default"),
        choices={text: words.choices.get(text, text) for text in texts},
        lowest=accepted.get("minimum"),
        highest=accepted.get("maximum"),
        section=reference.rpartition("/")[2],
        value_kind=_value_kind(values),
    )


def _kind(schema: Schema, words: OptionWords) -> Kind:
    """Return the kind of the values that a schema accepts."""
    types = _types(schema)
    items = schema.get("items", {})
    kind = Kind.TEXT
    if "$ref" in schema:
        kind = Kind.SECTION
    elif "boolean" in types:
        kind = Kind.CHOICE if words.choices else Kind.SWITCH
    elif _enum(schema):
        kind = Kind.CHOICE
    elif "$ref" in items:
        kind = Kind.SECTIONS
    elif _enum(items):
        kind = Kind.CHOICES
    elif "object" in types:
        kind = Kind.PAIRS
    elif "array" in types:
        kind = Kind.TEXTS
    elif "integer" in types:
        kind = Kind.WHOLE
    elif "minimum" in schema or "maximum" in schema:
        kind = Kind.PERCENT if words.unit == "percent" else Kind.AMOUNT
    return kind


def _types(schema: Schema) -> set[str]:
    """Return all types that a schema accepts, also those of its alternatives."""
    named = schema.get("type", ())
    types = {named} if isinstance(named, str) else {*named}
    for alternative in schema.get("anyOf", ()):
        types |= _types(alternative)
    if types == {"array", "object"}:
        # Lists are the usual form of these options; a form shows a mapping as JSON.
        types = {"array"}
    return types


def _enum(schema: Schema) -> list[str]:
    if "const" in schema:
        return [str(schema["const"])]
    values = schema.get("enum", ())
    return [str(value) for value in values if value is not None]


def _without_null(schema: Schema) -> Schema:
    """Return the schema without null, or the same schema if it does not accept null."""
    alternatives = schema.get("anyOf", ())
    if _NULL in alternatives:
        schemas = [schema for schema in alternatives if schema != _NULL]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    types = schema.get("type")
    if isinstance(types, list) and "null" in types:
        return {**schema, "type": [name for name in types if name != "null"]}
    return schema


def _pair_values(schema: Schema) -> Schema:
    """Return the schema of the values of an object of any keys."""
    for pattern_schema in schema.get("patternProperties", {}).values():
        return _without_null(pattern_schema)
    values = schema.get("additionalProperties")
    return _without_null(values) if isinstance(values, Mapping) else {}


def _value_kind(schema: Schema) -> Kind:
    types = _types(schema)
    if types == {"integer"}:
        return Kind.WHOLE
    return Kind.TEXTS if types == {"array"} else Kind.TEXT
