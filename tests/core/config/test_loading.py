from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from relay_core.config import TenantConfig, load_config, parse_document
from relay_core.domain.columns import CANONICAL_COLUMNS
from relay_core.domain.errors import (
    ConfigError,
    ConfigFault,
    UnsupportedSchemaVersionError,
)
from support.builders import config_document, tenant_config, vendor_document
from support.config_documents import (
    ABSENT,
    REQUIRED,
    ROOT,
    all_fields,
    changed,
    faults_of,
)

# --- what is required, and what it is without ---------------------------------------------------


@pytest.mark.parametrize("path", [*REQUIRED, "vendors.0.inbound.s3_prefix"])
@pytest.mark.parametrize("value", [ABSENT, None], ids=["absent", "null"])
def test_a_required_field_is_missed_by_its_path(
    path: str, value: object
) -> None:
    faults = faults_of(changed(path, value))
    assert list(faults) == [path]
    assert faults[path].startswith("is required")


def test_an_absent_section_is_missed_field_by_field() -> None:
    assert set(faults_of({"vendors": [{}]})) == set(REQUIRED) - {"vendors"}


def test_a_parser_has_its_defaults() -> None:
    (vendor,) = tenant_config().to_document()["vendors"]
    assert vendor["parser"] == {
        "format": "csv",
        "record": None,
        "compression": "auto",
        "sheet": None,
        "delimiter": ",",
        "encoding": "utf-8",
        "quoting": True,
        "blank_extra_fields": "refuse",
        "padded_numbers": False,
        "column_map": {},
        "skip_lines": 0,
        "columns": None,
        "skip_rows": [],
        "null_values": [],
        "decimal_separator": ".",
        "thousands_separator": None,
        "currency_symbols": [],
        "zero_is_null": [],
        "quantity_words": {},
        "quantity_symbols": [],
        "negative_quantity": "refuse",
        "timestamp_formats": [],
        "invalid_as_null": [],
        "defaults": {},
    }


def test_a_vendor_has_its_defaults() -> None:
    (vendor,) = tenant_config().to_document()["vendors"]
    del vendor["parser"]
    assert vendor == {
        "vendor_id": "vendor_1",
        "required": True,
        "inbound": {
            "type": "s3",
            "s3_prefix": "tenants/acme/inbound/vendor_1/",
            "pull": None,
        },
        "on_trouble": "fail",
        "last_good": {"max_age_hours": 48, "quantity_pct": 100},
        "max_feed_age_hours": None,
        "max_invalid_row_pct": None,
        "duplicate_skus": "compete",
        "stock": None,
        "currency": None,
        "shipping_handling_flat": None,
        "sku_map": None,
        "parts": [],
        "changes": None,
    }


def test_pricing_merge_and_output_have_their_defaults() -> None:
    document = tenant_config().to_document()
    names = ("pricing", "stock", "merge", "output")
    assert {name: document[name] for name in names} == {
        "pricing": {
            "base_margin_pct": "0",
            "min_price": "0",
            "shipping_handling_flat": "0",
            "map_policy": {
                "enforce": True,
                "map_floor_behavior": "max(price, map_price)",
            },
            "rules": [],
            "rounding": {"mode": "nearest", "increment": "0.01"},
            "ending": None,
        },
        "stock": {"hold_back": 0, "pct": 100, "zero_below": 0, "cap": None},
        "merge": {
            "strategy": "best_offer",
            "best_offer": {
                "sort_by": ["in_stock_desc", "lowest_landed_cost"],
                "landed_cost": {"include_shipping_handling": True},
                "fallback_lead_time_days": 7,
            },
        },
        "output": {
            "format": "csv",
            "columns": ["sku", "vendor_id", "quantity_available", "price"],
            "escape_formulas": False,
            "missing_skus": "drop",
            "missing_sku_days": 30,
        },
    }


def test_all_else_has_its_default() -> None:
    document = tenant_config().to_document()
    for name in ("vendors", "pricing", "stock", "merge", "output"):
        del document[name]
    assert document == {
        "schema_version": 1,
        "tenant_id": "acme",
        "timezone": "UTC",
        "default_currency": "USD",
        "exchange_rates": {},
        "extra_columns": [],
        "gtin_column": None,
        "mpn_column": None,
        "catalog": None,
        "error_policy": {
            "max_invalid_rows": 0,
            "max_invalid_row_pct": "0.0",
            "fail_on_missing_required_columns": True,
            "missing_required_vendor_policy": "fail",
        },
        "guards": {
            "mode": "hold",
            "min_baseline_skus": 10,
            "max_skus_removed_pct": "0.50",
            "max_out_of_stock_pct": "0.50",
            "price_drop_pct": "0.50",
            "price_rise_pct": "1.00",
            "min_price_jumps": 5,
            "max_price_jumps_pct": "0.01",
            "price_level": {"low": "0.80", "high": "1.25"},
            "max_vendor_rows_lost_pct": "0.50",
            "quarantine": None,
        },
        "triggers": {"on_upload": None, "schedule": None},
        "channels": [],
        "deliveries": [],
    }


@pytest.mark.parametrize(
    "path",
    [
        path
        for path, required in all_fields(TenantConfig)
        if not required and "sku_map" not in path and "s3_prefix" not in path
        if not path.startswith(
            (
                *("triggers.", "vendors.0.stock.", "channels.0.stock."),
                *("vendors.0.parts.", "vendors.0.changes."),
            )
        )
        and "margin_pct" not in path
        if not path.startswith("vendors.0.inbound.pull.")
        if not path.startswith("catalog.")
        if not path.startswith("guards.") or "price_level." in path
        if path != "deliveries.0.whole_every_hours"
    ],
)
def test_null_is_as_if_absent(path: str) -> None:
    assert load_config(changed(path, None)) == load_config(
        changed("schema_version", 1)
    )


def test_null_in_a_trigger_is_as_if_absent() -> None:
    with_nulls = changed(
        "triggers", {"on_upload": {"quiet_seconds": None}, "schedule": None}
    )
    assert load_config(with_nulls) == load_config(
        changed("triggers", {"on_upload": {}})
    )
    assert load_config(changed("triggers", None)).triggers.on_upload is None


@pytest.mark.parametrize(
    "option",
    [
        "max_skus_removed_pct",
        "max_out_of_stock_pct",
        "price_drop_pct",
        "price_rise_pct",
        "price_level",
        "max_vendor_rows_lost_pct",
    ],
)
def test_null_switches_a_guard_off_also_in_the_config_as_it_took_effect(
    option: str,
) -> None:
    config = load_config(changed(f"guards.{option}", None))
    assert getattr(config.guards, option) is None
    assert load_config(config.to_document()) == config


@pytest.mark.parametrize(
    "option",
    ["mode", "min_baseline_skus", "min_price_jumps", "max_price_jumps_pct"],
)
def test_an_option_that_guards_share_cannot_be_null(option: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"^guards\.{option}: .*must be .*, not null"
    ):
        load_config(changed(f"guards.{option}", None))


def test_null_is_as_if_absent_for_sections_maps_and_unknown_keys() -> None:
    parser = {
        "column_map": {"cost": None},
        "defaults": None,
        "quantity_words": {"x": None},
    }
    nulled = config_document(
        vendor_document(parser=parser, sku_map=None), error_policy=None, x=None
    )
    assert load_config(nulled) == load_config(config_document())


# --- all faults at once -------------------------------------------------------------------------


def test_every_fault_of_a_config_is_named_at_once() -> None:
    document = parse_document(
        """
        tenant_id: acme
        timezone: Mars/Olympus
        default_currency: USD
        vendors:
          - vendor_id: v1
            inbound: {type: s3, s3_prefix: tenants/other/v1/}
            parser: {format: csv, delimiter: ";;", defaults: {condition: worn}}
          - vendor_id: v1
            inbound: {type: s3, s3_prefix: tenants/acme/v1/, prefx: x}
            parser: {format: csv, column_map: {brand: no}, quantity_words: {no: 0}}
        pricing: {base_margin_pct: -1, min_price: 0.12345, shipping_handling_flat: 0}
        merge: {strategy: best_offer}
        output: {columns: [sku, sku, colour]}
        error_policy: {max_invalid_row_pct: 1.5}
        extra: 1
        """,
        format="yaml",
    )
    assert list(faults_of(document)) == [
        "timezone",
        "vendors.0.inbound.s3_prefix",
        "vendors.0.parser.delimiter",
        "vendors.0.parser.defaults.condition",
        "vendors.1.vendor_id",
        "vendors.1.inbound.prefx",
        "vendors.1.parser.column_map.brand",
        "vendors.1.parser.quantity_words.no",
        "pricing.base_margin_pct",
        "pricing.min_price",
        "output.columns.1",
        "output.columns.2",
        "error_policy.max_invalid_row_pct",
        "extra",
    ]


def test_the_error_reads_as_path_and_message() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^vendors\.1\.parser\.delimiter: must be one character",
    ):
        load_config(changed("vendors.1.parser.delimiter", ";;"))


def test_without_a_sound_tenant_id_prefixes_are_still_held_to_tenants() -> None:
    document = {**changed("tenant_id", "a b"), "timezone": "UTC"}
    assert list(faults_of(document)) == ["tenant_id"]
    document["vendors"][0]["inbound"]["s3_prefix"] = "elsewhere/"
    assert list(faults_of(document)) == [
        "tenant_id",
        "vendors.0.inbound.s3_prefix",
    ]


@pytest.mark.parametrize("document", [None, [], "x", 5])
def test_what_is_no_mapping_is_refused(document: Any) -> None:
    assert faults_of(document) == {
        "": "the config must be a mapping of keys to values"
    }


# --- schema_version -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "version", [2, 0, -1, "1", "2", True, 1.5, [1], {}, "x" * 1000, 10**1000]
)
def test_another_schema_version_comes_before_every_fault(version: Any) -> None:
    with pytest.raises(UnsupportedSchemaVersionError) as caught:
        load_config({"schema_version": version, "unknown": 1})
    assert "unsupported schema version" in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("version", [1, 1.0, Decimal(1), None])
def test_schema_version_1_is_read(version: Any) -> None:
    assert (
        load_config(config_document(schema_version=version)).schema_version == 1
    )


def test_the_zone_is_that_of_the_time_zone() -> None:
    assert (
        tenant_config(timezone="America/Chicago").zone.key == "America/Chicago"
    )


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValidationError):
        tenant_config().tenant_id = "other"  # type: ignore[misc]


# --- vendors ------------------------------------------------------------------------------------


def test_vendors_are_selected_in_the_order_of_the_config() -> None:
    config = tenant_config(*(vendor_document(name) for name in ("b", "a", "c")))
    assert [v.vendor_id for v in config.selecting(["c", "b"])] == ["b", "c"]
    assert [v.vendor_id for v in config.selecting(None)] == ["b", "a", "c"]
    assert [v.vendor_id for v in config.selecting([])] == ["b", "a", "c"]
    assert config.vendor("a").vendor_id == "a"


def test_a_vendor_that_the_config_lacks_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r'vendors\.1: the config has no vendor "vendr_1"'
    ):
        tenant_config().selecting(["vendor_1", "vendr_1"])
    with pytest.raises(ConfigError, match='no vendor "x"'):
        tenant_config().vendor("x")


# --- there and back -----------------------------------------------------------------------------


_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8
)
_FILLED = _TEXT.filter(lambda text: text.strip() != "")
_ID = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,12}", fullmatch=True)


def _decimals(places: int, most: int) -> st.SearchStrategy[Any]:
    exact = st.decimals(0, most, places=places)
    return st.one_of(exact, exact.map(str), st.integers(0, most))


@st.composite
def _parsers(draw: st.DrawFn) -> dict[str, Any]:
    decimal = draw(st.sampled_from([".", ","]))
    thousands = draw(
        st.sampled_from([None, *(mark for mark in ",.' " if mark != decimal)])
    )
    optional: Mapping[str, st.SearchStrategy[Any]] = {
        "delimiter": st.characters(codec="utf-8", exclude_characters='"\r\n'),
        "encoding": st.sampled_from(["utf-8", "cp1252", "utf-16"]),
        "column_map": st.dictionaries(
            st.sampled_from(["sku", "cost", "brand"]), _FILLED
        ),
        "skip_lines": st.integers(0, 10**12),
        "columns": st.lists(_TEXT, min_size=1, max_size=4, unique_by=str.strip),
        "null_values": st.lists(_TEXT, max_size=3),
        "currency_symbols": st.lists(_FILLED, max_size=3),
        "quantity_words": st.dictionaries(_FILLED, st.just(3), max_size=3),
        "timestamp_formats": st.lists(
            st.sampled_from(["%d.%m.%Y", "%m/%d/%y %H:%M"]), max_size=2
        ),
        "defaults": st.fixed_dictionaries(
            {}, optional={"title": _TEXT, "condition": st.just("NEW")}
        ),
    }
    options = draw(st.fixed_dictionaries({}, optional=dict(optional)))
    fixed = {
        "format": "csv",
        "decimal_separator": decimal,
        "thousands_separator": thousands,
    }
    return {**fixed, **options}


@st.composite
def _documents(draw: st.DrawFn) -> dict[str, Any]:
    ids = draw(st.lists(_ID, min_size=1, max_size=3, unique=True))
    vendors = [
        {
            **vendor_document(vendor_id),
            "parser": draw(_parsers()),
            "required": draw(st.booleans()),
        }
        for vendor_id in ids
    ]
    return config_document(
        *vendors,
        timezone=draw(
            st.sampled_from(["UTC", "America/Chicago", "Asia/Kathmandu"])
        ),
        pricing={
            "base_margin_pct": draw(_decimals(6, 100)),
            "min_price": draw(_decimals(4, 10**6)),
            "shipping_handling_flat": draw(_decimals(4, 10**6)),
        },
        output={
            "columns": draw(
                st.lists(
                    st.sampled_from(CANONICAL_COLUMNS), min_size=1, unique=True
                )
            )
        },
        error_policy={"max_invalid_row_pct": draw(_decimals(20, 1))},
    )


@settings(max_examples=60)
@given(_documents())
def test_a_config_comes_back_from_its_document(
    document: dict[str, Any],
) -> None:
    config = load_config(document)
    written = json.dumps(config.to_document())
    assert load_config(config.to_document()) == config
    assert load_config(parse_document(written, format="json")) == config
    assert (
        load_config(json.loads(written)).to_document() == config.to_document()
    )


@settings(max_examples=100)
@given(
    st.sampled_from(
        [path for path, _ in all_fields(TenantConfig) if "sku_map" not in path]
    ),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.text(max_size=3), inner)
        ),
        max_leaves=5,
    ),
)
def test_any_value_anywhere_gives_a_config_or_a_named_fault(
    path: str, value: Any
) -> None:
    for fault in _faults_or_none(changed(path, value)):
        assert fault.path
        assert fault.message


def _faults_or_none(document: dict[str, Any]) -> Sequence[ConfigFault]:
    try:
        load_config(document)
    except UnsupportedSchemaVersionError as error:
        return [ConfigFault("schema_version", str(error))]
    except ConfigError as error:
        return error.faults
    return ()


def test_reading_a_config_loads_no_frames() -> None:
    program = (
        "import sys, relay_core.config\n"
        "print(sorted({'numpy', 'pandas', 'pandera', 'pyarrow'} & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == "[]"
