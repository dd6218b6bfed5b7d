from __future__ import annotations

from typing import Any

import pytest

from relay_core.config import TenantConfig, load_config
from relay_core.config.lint import lint_warnings
from support.builders import config_document, vendor_document
from support.config_documents import faults_of

CATALOG: dict[str, Any] = {
    "inbound": {"type": "s3", "s3_prefix": "tenants/acme/inbound/catalog"},
    "parser": {"format": "csv"},
}
IDENTIFIERS: dict[str, Any] = {
    "extra_columns": ["ean", "part", "color"],
    "gtin_column": "ean",
    "mpn_column": "part",
}


def with_catalog(
    *vendors: dict[str, Any],
    catalog: dict[str, Any],
    **options: Any,
) -> dict[str, Any]:
    all_vendors = vendors or (vendor_document(),)
    merged = {**CATALOG, **catalog}
    return config_document(*all_vendors, catalog=merged, **options)


def loaded(**catalog: Any) -> TenantConfig:
    return load_config(with_catalog(catalog=catalog, **IDENTIFIERS))


def test_a_config_has_no_catalog_and_no_columns_of_identifiers() -> None:
    document = load_config(config_document(vendor_document())).to_document()
    assert document["catalog"] is None
    assert document["gtin_column"] is None
    assert document["mpn_column"] is None


def test_a_catalog_has_defaults_that_a_snapshot_shows() -> None:
    config = loaded()
    document = config.to_document()["catalog"]
    assert load_config(config.to_document()) == config
    assert [*document] == [
        "inbound",
        "parser",
        "match",
        "unmatched",
        "gives",
        "max_feed_age_hours",
    ]
    assert document["match"] == ["gtin", "mpn", "sku"]
    assert document["unmatched"] == "keep"
    assert document["gives"] == []
    assert document["max_feed_age_hours"] is None


@pytest.mark.parametrize(
    ("columns", "keys"),
    [
        ({}, ("sku",)),
        ({"gtin_column": "ean"}, ("gtin", "sku")),
        ({"mpn_column": "part"}, ("mpn", "sku")),
    ],
)
def test_the_keys_are_by_default_those_whose_column_is_set(
    columns: dict[str, str], keys: tuple[str, ...]
) -> None:
    document = with_catalog(
        catalog={}, extra_columns=["ean", "part"], **columns
    )
    catalog = load_config(document).catalog
    assert catalog is not None
    assert catalog.match == keys


@pytest.mark.parametrize("option", ["gtin_column", "mpn_column"])
def test_a_column_of_identifiers_is_an_extra_column(option: str) -> None:
    document = config_document(vendor_document(), extra_columns=["ean"])
    faults = faults_of({**document, option: "eam"})
    assert faults == {
        option: '"eam" is not in extra_columns; add it there; did you mean "ean"?'
    }


@pytest.mark.parametrize(
    ("catalog", "path"),
    [
        ({"match": []}, "match"),
        ({"match": ["gtin", "gtin"]}, "match.1"),
        ({"match": ["ean"]}, "match.0"),
        ({"match": ["gtin"]}, "unmatched"),
        ({"match": ["mpn", "gtin"], "unmatched": "keep"}, "unmatched"),
        ({"unmatched": "drop"}, "unmatched"),
        ({"gives": ["cost"]}, "gives.0"),
        ({"gives": ["sku"]}, "gives.0"),
        ({"gives": ["color", "color"]}, "gives.1"),
        ({"max_feed_age_hours": 0}, "max_feed_age_hours"),
        ({"max_feed_age_hours": 8761}, "max_feed_age_hours"),
        (
            {"parser": {"format": "csv", "column_map": {"cost": "EK"}}},
            "parser.column_map.cost",
        ),
        (
            {"parser": {"format": "csv", "column_map": {"color": "Farbe"}}},
            "parser.column_map.color",
        ),
        (
            {"parser": {"format": "csv", "defaults": {"condition": "new"}}},
            "parser.defaults.condition",
        ),
    ],
)
def test_an_option_of_the_catalog_that_does_not_fit_is_a_fault(
    catalog: dict[str, Any], path: str
) -> None:
    document = with_catalog(catalog=catalog, **IDENTIFIERS)
    assert list(faults_of(document)) == [f"catalog.{path}"]


@pytest.mark.parametrize("key", ["gtin", "mpn"])
def test_a_key_needs_its_column(key: str) -> None:
    document = with_catalog(catalog={"match": [key, "sku"]})
    (message,) = faults_of(document).values()
    assert message.startswith(f'"{key}" needs the option {key}_column')


def test_a_catalog_without_its_sku_as_a_key_leaves_rows_out() -> None:
    catalog = loaded(match=["gtin"], unmatched="leave_out").catalog
    assert catalog is not None
    assert catalog.match == ("gtin",)


def test_the_catalogs_parser_may_map_what_is_read_of_it() -> None:
    mapped = {
        "sku": "Handle",
        "brand": "Vendor",
        "title": "Name",
        "ean": "EAN",
        "part": "MPN",
        "color": "Farbe",
    }
    parser = {
        "format": "csv",
        "column_map": mapped,
        "defaults": {"color": "red"},
    }
    catalog = loaded(gives=["color"], parser=parser).catalog
    assert catalog is not None
    assert {*catalog.columns} == {*mapped}


def test_no_vendor_has_the_catalogs_name_beside_a_catalog() -> None:
    vendor = vendor_document("catalog")
    assert list(faults_of(with_catalog(vendor, catalog={}))) == [
        "vendors.0.vendor_id"
    ]
    assert load_config(config_document(vendor)).vendor("catalog")


@pytest.mark.parametrize(
    "prefix",
    ["inbound/catalog/", "inbound/", "inbound/catalog/vendor_1"],
)
def test_the_catalogs_prefix_is_apart_from_vendors(prefix: str) -> None:
    inbound = {"type": "s3", "s3_prefix": f"tenants/acme/{prefix}"}
    vendor = vendor_document(inbound=inbound)
    assert list(faults_of(with_catalog(vendor, catalog={}))) == [
        "catalog.inbound.s3_prefix"
    ]


def test_a_catalog_is_linted_like_a_vendors_file() -> None:
    catalog = {
        "inbound": {
            "type": "s3",
            "s3_prefix": "tenants/acme/inbound/catalog",
            "pull": {"url": "https://files.example.com/products.csv?token=x"},
        },
        "parser": {"format": "csv", "columns": ["sku", "name"]},
    }
    config = load_config(with_catalog(catalog=catalog))
    paths = [warning.path for warning in lint_warnings(config)]
    assert "catalog.inbound.pull.url" in paths
    assert not any(path.startswith("catalog.parser") for path in paths)
    local = load_config(with_catalog(catalog={"inbound": {"type": "local"}}))
    assert "catalog.inbound.type" in [
        warning.path for warning in lint_warnings(local)
    ]


def test_a_default_gtin_has_a_right_check_digit() -> None:
    vendor = vendor_document(parser={"defaults": {"ean": "4006381333932"}})
    document = config_document(vendor, **IDENTIFIERS)
    assert faults_of(document) == {
        "vendors.0.parser.defaults.ean": '"4006381333932" is not a GTIN of 8, 12, 13, '
        "or 14 digits with a right check digit; correct or remove the default"
    }


def test_the_column_of_gtins_may_be_read_as_null() -> None:
    vendor = vendor_document(parser={"invalid_as_null": ["ean", "msrp"]})
    config = load_config(config_document(vendor, **IDENTIFIERS))
    assert config.vendors[0].parser.invalid_as_null == ("ean", "msrp")
    other_vendor = vendor_document(parser={"invalid_as_null": ["part"]})
    assert list(faults_of(config_document(other_vendor, **IDENTIFIERS))) == [
        "vendors.0.parser.invalid_as_null.0"
    ]
