"""Stored configs are parsed once, and kept within a bound of bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from relay_core.domain.errors import ConfigError
from relay_dagster.aws.dynamodb.tenant_store import ParsedConfigs, StoredConfig
from support.builders import config_document
from support.fakes import NOW

TEXT = json.dumps(config_document())
FIRST = StoredConfig("acme", 1, TEXT, NOW)


def test_a_version_is_parsed_once() -> None:
    parsed = ParsedConfigs()
    config = parsed.of(FIRST)
    assert config.tenant_id == "acme"
    assert parsed.of(replace(FIRST)) is config
    assert parsed.of(replace(FIRST, version=2)) is not config


def test_a_deleted_tenant_s_version_is_not_that_of_a_new_one_with_its_id() -> (
    None
):
    parsed = ParsedConfigs()
    parsed.of(FIRST)
    other_text = json.dumps(config_document(default_currency="EUR"))
    again = replace(FIRST, text=other_text, stored_at=NOW + timedelta(days=1))
    assert parsed.of(again).default_currency == "EUR"


def test_those_asked_for_last_are_kept_within_the_bytes_of_their_texts() -> (
    None
):
    parsed = ParsedConfigs(2 * len(TEXT))
    first, second, third = (
        replace(FIRST, version=number) for number in (1, 2, 3)
    )
    configs = [parsed.of(first), parsed.of(second)]
    assert parsed.of(first) is configs[0]
    parsed.of(third)
    assert parsed.of(first) is configs[0]
    assert parsed.of(second) is not configs[1]


def test_one_that_is_longer_than_all_may_be_is_not_kept() -> None:
    parsed = ParsedConfigs(len(TEXT) - 1)
    assert parsed.of(FIRST) is not parsed.of(FIRST)


def test_one_that_can_no_longer_take_effect_is_not_parsed_again_either() -> (
    None
):
    parsed = ParsedConfigs()
    broken = replace(FIRST, text='{"tenant_id": "acme"}')
    errors = []
    for _ in range(2):
        with pytest.raises(ConfigError) as error:
            parsed.of(broken)
        errors.append(error.value)
    assert errors[0] is errors[1]
