"""Write the JSON Schema of report.json, which is made of the report's blocks.

`docs/OUTPUTS.md` has the schema between two marks. `make schema` writes it again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from relay_core.report import blocks, report

PAGE = Path(__file__).resolve().parent.parent / "docs" / "OUTPUTS.md"
OPENING = (
    "<!-- The schema of report.json, written by make schema. -->\n```json\n"
)
CLOSING = "\n```\n<!-- End of the schema. -->"
_NAMES = {str: "string", int: "integer", bool: "boolean", NoneType: "null"}


def report_schema() -> dict[str, Any]:
    """Return the schema of report.json."""
    root = _object(report.Report)
    root["properties"] = {
        "version": {"const": report.VERSION},
        **root["properties"],
    }
    root["required"] = ["version", "chapters", "files", *root["required"]]
    pieces = [
        {"type": "string"},
        *(_styled(style) for style in get_args(blocks.SpanStyle) if style),
    ]
    records = (
        blocks.Figure,
        blocks.Column,
        blocks.Cell,
        blocks.Bar,
        blocks.Item,
        blocks.File,
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "report.json",
        **root,
        "$defs": {
            "chapter": _object(report.Chapter),
            **{name: _block(name) for name in blocks.BLOCKS},
            **{_name(record): _object(record) for record in records},
            "text": {
                "description": "A text, or its pieces if some have a style.",
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"anyOf": pieces}},
                ],
            },
            "row": {
                "description": "A value for each column, or a cell if it has more.",
                "type": "array",
                "items": {
                    "anyOf": [
                        _schema(get_type_hints(blocks.Cell)["value"]),
                        _reference("cell"),
                    ]
                },
            },
        },
    }


def _block(name: str) -> dict[str, Any]:
    """Return the schema of a block, which has a type."""
    schema = _object(blocks.BLOCKS[name])
    schema["properties"] = {"type": {"const": name}, **schema["properties"]}
    schema["required"] = ["type", *schema["required"]]
    return schema


def _object(record: type[Any]) -> dict[str, Any]:
    """Return the schema of a record's fields; those with a default may be absent."""
    hints = get_type_hints(record)
    description = (record.__doc__ or "").strip().splitlines()[0]
    return {
        "description": description,
        "type": "object",
        "properties": {name: _schema(hints[name]) for name in hints},
        "required": [
            name for name in hints if name not in record._field_defaults
        ],
    }


def _schema(hint: Any) -> dict[str, Any]:
    """Return the schema of a field's type."""
    if hint == blocks.Spans:
        return _reference("text")
    origin = get_origin(hint)
    if origin is Literal:
        return {"enum": list(get_args(hint))}
    if origin is UnionType:
        members = get_args(hint)
        if set(members) <= set(_NAMES):
            return {"type": [_NAMES[member] for member in members]}
        return {"anyOf": [_reference(_name(member)) for member in members]}
    if origin is tuple:
        member = get_args(hint)[0]
        if member == tuple[blocks.Cell, ...]:
            return {"type": "array", "items": _reference("row")}
        return {"type": "array", "items": _schema(member)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object"}
    if hint in _NAMES:
        return {"type": _NAMES[hint]}
    return _reference(_name(hint))


def _name(record: type[Any]) -> str:
    return record.__name__.lower()


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _styled(style: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {style: {"type": "string"}},
        "required": [style],
    }


def schema_text() -> str:
    """Return the schema as the page has it: one line per definition."""
    schema = report_schema()
    definitions = schema.pop("$defs")
    head = json.dumps(schema, indent=2).removesuffix("\n}")
    lines = [
        f"    {json.dumps(name)}: {json.dumps(definition)}"
        for name, definition in definitions.items()
    ]
    return f'{head},\n  "$defs": {{\n' + ",\n".join(lines) + "\n  }\n}"


def page_with_schema(page: str) -> str:
    """Return the page with the schema of today between its marks."""
    before, _, rest = page.partition(OPENING)
    _, _, after = rest.partition(CLOSING)
    return f"{before}{OPENING}{schema_text()}{CLOSING}{after}"


def main() -> int:
    """Write the schema into the page."""
    page = PAGE.read_text("utf-8")
    PAGE.write_text(page_with_schema(page), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
