"""The JSON Schema of a config: what it allows, what it refuses, and where it is to be had."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from relay_core.config import load_config, parse_document
from relay_core.samples import sample_config_text
from relay_dagster.http.config_schema import (
    config_schema,
    config_schema_json,
)
from relay_dagster.wire.base import examples
from support.api_world import ApiWorld
from support.config_documents import changed, faults_of
from support.pages import PAGES, ROOT

CONFIG_EXAMPLE = examples()["TenantConfig"]
CONFIG, OUTPUTS = (
    re.findall(r"```yaml\n(.*?)```", PAGES[page], re.DOTALL)
    for page in ("docs/CONFIG.md", "docs/OUTPUTS.md")
)


def faults(document: Any) -> list[str]:
    errors = Draft202012Validator(config_schema()).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in errors]


def test_the_file_of_the_repository_is_what_the_code_gives() -> None:
    assert (ROOT / "docs/config.schema.json").read_text(
        "utf-8"
    ) == config_schema_json(), "make schema writes it again"


def test_it_is_a_schema_and_served_to_editors_without_a_key(
    unplugged: ApiWorld,
) -> None:
    answer = unplugged.with_key(None).get("/v1/config.schema.json")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/schema+json"
    assert answer.json() == config_schema()
    Draft202012Validator.check_schema(answer.json())


def test_it_allows_the_sample_tenant() -> None:
    assert faults(yaml.safe_load(sample_config_text("acme_parts"))) == []
    assert faults(CONFIG_EXAMPLE) == []


@pytest.mark.parametrize("example", [*CONFIG, *OUTPUTS])
def test_it_allows_the_examples_of_the_guides(example: str) -> None:
    assert (
        faults({**yaml.safe_load(CONFIG[0]), **yaml.safe_load(example)}) == []
    )


@pytest.mark.parametrize("example", [*CONFIG, *OUTPUTS])
def test_it_allows_a_config_as_it_took_effect(example: str) -> None:
    whole = {
        **parse_document(CONFIG[0], format="yaml"),
        **parse_document(example, format="yaml"),
    }
    assert (
        faults(json.loads(json.dumps(load_config(whole).to_document()))) == []
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("pricing.min_price", 1.5),
        ("pricing.min_price", "1.50"),
        ("guards.max_skus_removed_pct", "0.1"),
        ("guards.max_skus_removed_pct", None),
        ("vendors.0.max_invalid_row_pct", "0.25"),
        ("vendors.0.parser.null_values", [0, "n/a"]),
        ("output.columns", ["availability", {"column": "sku", "as": 1}]),
        ("output.columns", [{"column": None, "constant": 7, "as": "x"}]),
        ("error_policy", None),
    ],
)
def test_it_allows_what_the_engine_takes(path: str, value: Any) -> None:
    load_config(changed(path, value))
    assert faults(changed(path, value)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("surprise", 1),
        ("tenant_id", "a b"),
        ("vendors", {}),
        ("vendors.0.parser.delimeter", ";"),
        ("vendors.0.parser.format", "edi"),
        ("vendors.0.parser.column_map", {"Colour": "Farbe"}),
        ("vendors.0.last_good", {"max_age_hours": 0}),
        ("vendors.0.max_feed_age_hours", 8761),
        ("pricing.min_price", -1),
        ("pricing.min_price", "much"),
        ("pricing.base_margin_pct", 101),
        ("pricing.rounding", {"increment": 0}),
        ("merge.best_offer", {"sort_by": ["cheapest"]}),
        ("guards.mode", None),
        ("guards.price_level", {"high": 0.5}),
        ("triggers.on_upload", {"quiet_seconds": 3601}),
        ("output.columns", []),
        ("output.columns", ["sku", "sku"]),
        ("output.columns", ["Colour"]),
        ("output.columns", [{"column": "sku"}]),
        ("output.columns", [{"column": "sku", "constant": "x", "as": "y"}]),
        ("output.columns", [{"as": "y"}]),
        ("output.columns", [{"column": "Colour", "as": "y"}]),
        ("output.columns", [{"constant": True, "as": "y"}]),
        ("output.format", "xml"),
        ("output.escape_formulas", "yes"),
        ("error_policy.max_invalid_row_pct", 1.01),
    ],
)
def test_it_refuses_what_the_engine_refuses(path: str, value: Any) -> None:
    assert faults_of(changed(path, value))
    assert faults(changed(path, value))
