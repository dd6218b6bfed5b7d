"""Config files to JSON: every digit and every text as the file has it."""

import json
from pathlib import Path

import pytest

from relay_core.config import parse_document
from relay_core.domain.errors import ConfigError
from relay_dagster.client.config_files import (
    json_text,
    read_config_file,
    tenant_of,
)
from relay_dagster.client.errors import BadUsageError


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("0.20", "0.20"),
        ("1.5e+3", "1.5e+3"),
        ("12345678901234567890.10", "12345678901234567890.10"),
        ("-7", "-7"),
        ("007", '"007"'),
        (".5", '".5"'),
        ("1_000", '"1_000"'),
        ('"0.20"', '"0.20"'),
        ("true", "true"),
        ("null", "null"),
        ("2026-03-01", '"2026-03-01"'),
        ("käse", '"k\\u00e4se"'),
        ("[1.0, {b: 2.50}]", '[1.0, {"b": 2.50}]'),
    ],
)
def test_a_yaml_value_is_sent_in_its_own_digits(
    written: str, sent: str
) -> None:
    assert (
        json_text(parse_document(f"a: {written}", format="yaml"))
        == f'{{"a": {sent}}}'
    )


@pytest.mark.parametrize(
    "written", ["0.20", "1e3", "007", ".5", "100000000000000000000", "x", "yes"]
)
def test_the_api_reads_what_the_local_runner_reads(written: str) -> None:
    document = parse_document(f"a: [{written}]", format="yaml")
    again = parse_document(json_text(document), format="json")
    assert again == document


def test_a_json_file_is_read_as_json_and_all_else_as_yaml(
    tmp_path: Path,
) -> None:
    for name, text in {
        "c.json": '{"tenant_id": "a"}',
        "c.yml": "tenant_id: a",
    }.items():
        (tmp_path / name).write_text(text)
        assert read_config_file(tmp_path / name) == {"tenant_id": "a"}
    (tmp_path / "broken.json").write_text("tenant_id: a")
    with pytest.raises(ConfigError, match="not valid JSON"):
        read_config_file(tmp_path / "broken.json")


def test_a_file_that_is_nested_without_end_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text('{"a": ' + "[" * 900 + "]" * 900 + "}")
    with pytest.raises(ConfigError, match="nested deeper"):
        read_config_file(tmp_path / "deep.json")


def test_the_tenant_given_stands_in_for_the_one_named() -> None:
    assert tenant_of({"tenant_id": 7}, None) == "7"
    assert tenant_of({"tenant_id": "a"}, "b") == "b"
    with pytest.raises(BadUsageError, match="--tenant"):
        tenant_of(json.loads('{"tenant_id": null}'), None)
