"""Objects of ``column_map`` and the options beside them: what they take, each fault at its path."""

from __future__ import annotations

from typing import Any

import pytest

from relay_core.config import load_config
from relay_core.config.column_forms import ColumnForm
from relay_core.domain.errors import ConfigError
from support.builders import config_document, tenant_config, vendor_document
from support.config_documents import parser_of

PACK = {"column": "Cost", "divided_by": "Pack"}
ROWS = {"column": "Name", "is": "empty"}


def faults_of(**options: Any) -> list[str]:
    """Return the paths of all faults, from the parser on."""
    with pytest.raises(ConfigError) as error:
        load_config(config_document(vendor_document(parser=options)))
    return [
        fault.path.removeprefix("vendors.0.parser.")
        for fault in error.value.faults
    ]


@pytest.mark.parametrize(
    ("column", "source", "headers"),
    [
        ("sku", {"join": ["Line", " Part "], "with": " - "}, ("Line", "Part")),
        ("quantity_available", {"sum": ["East", 7]}, ("East", "7")),
        ("updated_at", {"first": ["A", "B"]}, ("A", "B")),
        ("cost", PACK, ("Cost", "Pack")),
        ("cost", {"column": "Cost", "times": 12}, ("Cost",)),
        (
            "title",
            {"column": "Name", "strip_prefix": "X ", "values": {"a": ""}},
            ("Name",),
        ),
    ],
)
def test_an_object_names_its_headers_and_stays_in_a_snapshot(
    column: str, source: dict[str, Any], headers: tuple[str, ...]
) -> None:
    config = tenant_config(
        vendor_document(parser={"column_map": {column: source}})
    )
    parser = config.vendors[0].parser

    assert parser.mapped_headers == {column: headers}
    form = parser.column_map[column]
    assert isinstance(form, ColumnForm)
    assert all(repr(header) in form.described for header in headers)
    assert load_config(config.to_document()) == config


def test_a_snapshot_has_an_object_as_it_was_given_with_its_defaults() -> None:
    source = {"join": ["A", "B"]}
    document = tenant_config(
        vendor_document(
            parser={"column_map": {"sku": source}, "skip_rows": [ROWS]}
        )
    ).to_document()

    parser = document["vendors"][0]["parser"]
    assert parser["column_map"] == {"sku": {"join": ["A", "B"], "with": ""}}
    assert parser["skip_rows"] == [ROWS]


@pytest.mark.parametrize(
    ("column", "source", "path"),
    [
        ("sku", {"join": ["A", "B"], "sum": ["A", "B"]}, ""),
        ("sku", {}, ""),
        ("sku", {"with": "-"}, ""),
        ("sku", ["A", "B"], ""),
        ("sku", True, ""),
        ("sku", {"join": ["A"]}, ".join"),
        ("sku", {"join": [str(n) for n in range(11)]}, ".join"),
        ("sku", {"join": "A"}, ".join"),
        ("sku", {"join": ["A", True]}, ".join.1"),
        ("sku", {"join": ["A", ""]}, ".join.1"),
        ("sku", {"join": ["A", "B"], "by": "-"}, ".by"),
        ("cost", {"join": ["A", "B"]}, ""),
        ("cost", {"sum": ["A", "B"]}, ""),
        ("quantity_available", {"sum": [str(n) for n in range(21)]}, ".sum"),
        ("cost", {"first": [str(n) for n in range(11)]}, ".first"),
        ("cost", {"column": "A"}, ""),
        ("cost", {"column": "A", "times": 2, "divided_by": 3}, ""),
        ("cost", {"column": "A", "times": 0}, ".times"),
        ("cost", {"column": "A", "times": 1_000_001}, ".times"),
        ("cost", {"column": "A", "times": "1.5"}, None),
        ("cost", {"column": "A", "divided_by": True}, ".divided_by"),
        ("cost", {"column": "A", "strip_prefix": "$"}, ".strip_prefix"),
        ("title", {"column": "A", "times": 2}, ".times"),
        ("lead_time_days", {"column": "A", "divided_by": 7}, ".divided_by"),
        ("title", {"column": "A", "values": {"É": "1", "é": "1"}}, ".values.é"),
        ("title", {"column": "A", "values": {"a": True}}, ".values.a"),
        (
            "title",
            {"column": "A", "values": dict.fromkeys(map(str, range(201)), "")},
            ".values",
        ),
    ],
)
def test_a_fault_of_an_object_has_its_path(
    column: str, source: Any, path: str | None
) -> None:
    if path is None:
        assert parser_of(column_map={column: source}).mapped_headers[
            column
        ] == (
            "A",
            "1.5",
        )
        return
    assert faults_of(column_map={column: source}) == [
        f"column_map.{column}{path}"
    ]


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"skip_rows": [{"column": "A", "is": []}]}, "skip_rows.0.is"),
        ({"skip_rows": [{"column": "A", "is": ["x", ""]}]}, "skip_rows.0.is.1"),
        ({"skip_rows": [{"column": "A", "is": ["x"] * 201}]}, "skip_rows.0.is"),
        ({"skip_rows": [{"column": "A", "is": "blank"}]}, "skip_rows.0.is"),
        ({"skip_rows": [{"is": "empty"}]}, "skip_rows.0.column"),
        ({"skip_rows": [{"column": "A"}]}, "skip_rows.0.is"),
        ({"skip_rows": [ROWS] * 51}, "skip_rows"),
        ({"null_values": {"vendor_id": ["x"]}}, "null_values.vendor_id"),
        ({"null_values": {"colour": ["x"]}}, "null_values.colour"),
        ({"null_values": {"*": ["x"] * 150, "sku": ["x"] * 51}}, "null_values"),
        ({"zero_is_null": ["quantity_available"]}, "zero_is_null.0"),
        ({"invalid_as_null": ["cost"]}, "invalid_as_null.0"),
        ({"negative_quantity": "drop"}, "negative_quantity"),
        ({"quantity_symbols": ["-"]}, "quantity_symbols.0"),
        ({"quantity_symbols": ["x2"]}, "quantity_symbols.0"),
        ({"quantity_symbols": [" "]}, "quantity_symbols.0"),
        ({"quantity_symbols": ["x"] * 51}, "quantity_symbols"),
        ({"padded_numbers": True}, "padded_numbers"),
        ({"format": "jsonl", "quoting": False}, "quoting"),
        (
            {"format": "xlsx", "blank_extra_fields": "drop"},
            "blank_extra_fields",
        ),
        ({"timestamp_formats": ["Excel"]}, "timestamp_formats.0"),
    ],
)
def test_a_fault_of_an_option_has_its_path(
    options: dict[str, Any], path: str
) -> None:
    assert faults_of(**options) == [path]


def test_all_faults_are_told_at_once() -> None:
    column_map = {
        "sku": {"join": ["A"]},
        "cost": {"sum": ["A", "B"]},
        "brand": {"column": "B"},
    }
    assert faults_of(
        column_map=column_map, skip_rows=[{"column": "A", "is": 1}]
    ) == [
        "column_map.sku.join",
        "column_map.cost",
        "column_map.brand",
        "skip_rows.0.is",
    ]


def test_words_for_nothing_are_of_a_column_or_of_all() -> None:
    words = {"cost": ["-"], "*": ["n/a"]}
    parser = parser_of(null_values=words)

    assert parser.null_words("cost") == ("-", "n/a")
    assert parser.null_words("sku") == ("n/a",)
    assert parser.model_dump(mode="json")["null_values"] == words
