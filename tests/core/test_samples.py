"""The sample tenant: the same bytes everywhere, and vendors that write alike in nothing."""

from __future__ import annotations

import hashlib

import pytest

from relay_core.config import TenantConfig, load_config, parse_document
from relay_core.config.lint import lint_warnings
from relay_core.publish.state import read_state
from relay_core.samples import (
    SAMPLE_TENANTS,
    sample_config_text,
    sample_feeds,
    sample_files,
    sample_sku_maps,
)
from relay_dagster.devstack.sample_rows import sample_rows
from support.builders import REQUESTED_AT
from support.explaining import run_in_memory

FEED_HASHES = {
    "granite_supply": "145e521a2178b6eb6927c7f877ddd57f4008d632415ffc310cbd9dc6cb312cba",
    "rheinteile": "51de42137a19afa41657acdafc819afa09a118971b3f8e34d33a446a80210ac9",
    "pacific_parts": "59d96644b8f0988c517bfe8e2a013c4c81343fa56ecf8e3b958b2fc52ca49656",
}


def sample_config(tenant: str) -> TenantConfig:
    return load_config(
        parse_document(sample_config_text(tenant), format="yaml")
    )


def test_feeds_are_the_same_bytes_on_every_machine() -> None:
    feeds = {
        vendor: data for vendor, (_, data) in sample_feeds("acme_parts").items()
    }
    assert {
        v: hashlib.sha256(data).hexdigest() for v, data in feeds.items()
    } == FEED_HASHES


@pytest.mark.parametrize("tenant", SAMPLE_TENANTS)
def test_a_sample_has_a_feed_for_each_vendor_and_a_map_for_each_map(
    tenant: str,
) -> None:
    config = sample_config(tenant)
    assert config.tenant_id == tenant
    assert set(sample_feeds(tenant)) == {
        vendor.vendor_id for vendor in config.vendors
    }
    mapped = {
        vendor.vendor_id
        for vendor in config.vendors
        if vendor.sku_map is not None
    }
    assert set(sample_sku_maps(tenant)) == mapped


def test_no_two_sample_vendors_share_a_delimiter_or_an_encoding() -> None:
    parsers = [vendor.parser for vendor in sample_config("acme_parts").vendors]
    assert len({parser.delimiter for parser in parsers}) == len(parsers)
    assert len({parser.encoding for parser in parsers}) == len(parsers)


def test_an_unknown_sample_tenant_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        sample_config_text("nobody")


def test_the_sample_tenant_uses_each_kind_of_rule_and_each_does_something() -> (
    None
):
    config = sample_config("acme_parts")
    feeds = {
        vendor: data for vendor, (_, data) in sample_feeds("acme_parts").items()
    }
    maps = {
        vendor: data
        for vendor, (_, data) in sample_sku_maps("acme_parts").items()
    }
    before = run_in_memory(config, feeds, sku_maps=maps)
    baseline = read_state(before.files[before.keys.state], keeps_rows=True)
    feeds["granite_supply"] = b"".join(
        feeds["granite_supply"].splitlines(keepends=True)[:-100]
    )
    rules = run_in_memory(
        config, feeds, sku_maps=maps, baseline=baseline
    ).findings.rules
    assert [(rule.path, rule.did) for rule in rules] == [
        ("vendors.2.duplicate_skus", "rows set aside"),
        ("pricing.rules.0", "offers left out"),
        *((f"pricing.rules.{index}", "SKUs priced") for index in (1, 2, 3)),
        ("vendors.1.stock", "units held back"),
        ("output.missing_skus", "SKUs kept at 0"),
    ]
    assert all(rule.count for rule in rules)
    doubts = [doubt.path for doubt in lint_warnings(config)]
    assert [
        path
        for path in doubts
        if path.startswith(("pricing", "stock", "vendors.1"))
    ] == []


def test_the_sample_of_several_files_shows_what_became_of_every_row() -> None:
    (counts,) = sample_rows("hammer_house", REQUESTED_AT).values()
    assert counts.as_dict() == {
        "read": 8,
        "skipped": 0,
        "refused": 0,
        "unmatched": 2,
        "duplicates": 1,
        "left_out": 0,
        "same_sku": 0,
        "outbid": 0,
        "unpriced": 0,
        "won": 5,
        "parts": {
            "west": {"read": 3, "skipped": 0, "refused": 0},
            "stock": {
                "read": 12,
                "skipped": 1,
                "refused": 0,
                "replaced": 4,
                "duplicates": 0,
                "used": 6,
                "unused": 1,
            },
        },
    }


def test_the_suppliers_tenant_matches_its_own_products() -> None:
    files = sample_files("tool_yard")
    run = run_in_memory(
        sample_config("tool_yard"),
        {name: data for name, ((_, data),) in files.items()},
    )
    assert run.findings.catalog is not None
    numbers = run.findings.catalog.as_dict()
    assert numbers["matched_by"]["corner_shop"]["gtin"] == 2
    assert numbers["matched_by"]["parts_inc"]["sku"] == 1
    assert (numbers["unmatched"], numbers["uncovered"]) == (10, 1)
