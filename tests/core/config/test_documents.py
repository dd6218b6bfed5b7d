"""The options of a parser for JSON documents and XML: which fit, and what is said."""

from __future__ import annotations

from typing import Any

import pytest

from relay_core.config import load_config
from support.builders import config_document, vendor_document
from support.config_documents import faults_of

XML = {"format": "xml", "record": "/catalog/product"}


def document(**parser: Any) -> dict[str, Any]:
    return config_document(vendor_document(parser=parser))


def test_headers_may_be_paths_around_the_record_and_have_tests() -> None:
    config = load_config(
        document(
            **XML,
            column_map={
                "sku": "@id",
                "title": "../../name",
                "brand": {"first": ["../brand", "info[2]/brand"]},
            },
            skip_rows=[{"column": "state[@lang=en]", "is": "empty"}],
        )
    )
    parser = config.vendors[0].parser
    assert parser.record_path == "/catalog/product"
    assert parser.named_headers == (
        *("@id", "../../name", "../brand", "info[2]/brand"),
        "state[@lang=en]",
    )


def test_a_json_document_is_the_record_by_default() -> None:
    config = load_config(document(format="json"))
    assert config.vendors[0].parser.record_path == "/"


@pytest.mark.parametrize(
    ("parser", "path", "message"),
    [
        ({"format": "xml"}, "record", 'is required if format is "xml"'),
        ({"format": "xml", "record": "a/b"}, "record", 'must start with "/"'),
        ({"format": "json", "record": "/a//b"}, "record", 'joined by "/"'),
        (
            {"format": "csv", "record": "/a"},
            "record",
            'applies only if format is "json" or "xml"',
        ),
        (
            {**XML, "delimiter": ";"},
            "delimiter",
            'applies only if format is "csv"',
        ),
        ({**XML, "skip_lines": 1}, "skip_lines", "applies only if format"),
        ({**XML, "columns": ["sku"]}, "columns", "applies only if format"),
        (
            {**XML, "column_map": {"sku": "a[0]"}},
            "column_map.sku",
            '"a[0]" has the number 0',
        ),
        (
            {**XML, "column_map": {"sku": {"first": ["a", "b["]}}},
            "column_map.sku",
            '"b[" has an empty step',
        ),
        (
            {**XML, "column_map": {"sku": "../../../a"}},
            "column_map.sku",
            "begins 3 levels above the record, but parser.record has 2",
        ),
        (
            {"format": "json", "column_map": {"sku": "../a"}},
            "column_map.sku",
            "begins 1 levels above the record, but parser.record has 0",
        ),
        (
            {**XML, "skip_rows": [{"column": "a/", "is": "empty"}]},
            "skip_rows.0",
            '"a/" has an empty step',
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    parser: dict[str, Any], path: str, message: str
) -> None:
    faults = faults_of(document(**parser))
    assert list(faults) == [f"vendors.0.parser.{path}"]
    assert message in faults[f"vendors.0.parser.{path}"]


def test_a_header_of_another_format_may_have_any_form() -> None:
    config = load_config(
        document(format="csv", column_map={"sku": "../a[0]", "brand": "/x/"})
    )
    assert config.vendors[0].parser.mapped_headers["sku"] == ("../a[0]",)
