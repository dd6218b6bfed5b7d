from __future__ import annotations

from typing import Any

import pytest

from relay_core.config import load_config
from support.builders import config_document, vendor_document
from support.config_documents import (
    changed,
    faults_of,
    parser_of,
)


@pytest.mark.parametrize(
    "form",
    [
        "%d/%m",
        "%Y-%m",
        "%Y %d",
        "%Y-%j",
        "%G-W%V-%u",
        "%H:%M",
        "",
        "yyyy-mm-dd",
        "%Y-%m-%d %Z",
        "%Y-%m-%d %",
        "%-d.%m.%Y",
        "%Y%Y%m%d",
        "%s",
    ],
)
def test_a_format_that_gives_no_whole_date_is_refused(form: str) -> None:
    path = "vendors.0.parser.timestamp_formats"
    assert list(faults_of(changed(path, [form]))) == [f"{path}.0"]


@pytest.mark.parametrize(
    "form",
    [
        "%d/%m/%Y",
        "%m/%d/%y %I:%M %p",
        "%d %b %Y",
        "%A, %B %d, %Y",
        "%Y%m%d%H%M%S",
        "%d.%m.%Y %%",
        "%Y-%m-%d %H:%M:%S.%f %z",
        "(%d) [%m] %Y+?",
    ],
)
def test_a_format_that_gives_a_whole_date_is_taken(form: str) -> None:
    assert parser_of(timestamp_formats=[f" {form} "]).timestamp_formats == (
        form,
    )


@pytest.mark.parametrize(
    ("column", "value", "options", "message"),
    [
        ("quantity_available", "12.5", {}, "is not a whole number"),
        ("quantity_available", -1, {}, "is below zero"),
        ("quantity_available", "", {}, "the quantity is empty"),
        ("sku", "", {}, "the SKU is empty"),
        ("cost", "1,5", {}, "is not an amount"),
        ("cost", "1.5", {"decimal_separator": ","}, "is not an amount"),
        ("price", "-1", {}, "is below zero"),
        ("msrp", "1e9", {}, "is too large"),
        ("lead_time_days", "soon", {}, "is not a whole number of days"),
        ("condition", "broken", {}, "is not a known condition"),
        (
            "updated_at",
            "03/01/2026",
            {"timestamp_formats": ["%d.%m.%Y"]},
            "is not a date or time",
        ),
    ],
)
def test_a_default_that_would_be_a_row_fault_is_a_config_fault(
    column: str, value: object, options: dict[str, Any], message: str
) -> None:
    document = config_document(
        vendor_document(parser={**options, "defaults": {column: value}})
    )
    assert message in faults_of(document)[f"vendors.0.parser.defaults.{column}"]


def test_a_default_is_read_as_the_vendor_writes() -> None:
    defaults = {
        "quantity_available": "In stock",
        "cost": "1.234,50 €",
        "updated_at": "31.12.2025",
        "sku": 7,
        "condition": " New ",
        "brand": "",
    }
    parser = parser_of(
        defaults=defaults,
        decimal_separator=",",
        thousands_separator=".",
        currency_symbols=["€"],
        quantity_words={"in stock": 5},
        timestamp_formats=["%d.%m.%Y"],
    )
    assert parser.defaults == {**defaults, "sku": "7", "condition": "New"}


def test_a_default_is_not_judged_by_an_option_that_is_faulty_itself() -> None:
    parser = {
        "decimal_separator": ";",
        "defaults": {"cost": "1;5", "condition": "x"},
    }
    assert list(faults_of(config_document(vendor_document(parser=parser)))) == [
        "vendors.0.parser.decimal_separator",
        "vendors.0.parser.defaults.condition",
    ]


@pytest.mark.parametrize(
    ("section", "value", "path"),
    [
        ("inbound", {"type": "s3"}, "inbound.s3_prefix"),
        (
            "inbound",
            {"type": "local", "s3_prefix": "tenants/acme/x/"},
            "inbound.s3_prefix",
        ),
        ("sku_map", {"type": "s3"}, "sku_map.s3_key"),
        ("sku_map", {"type": "s3", "s3_key": "maps/m.csv"}, "sku_map.s3_key"),
        (
            "sku_map",
            {"type": "s3", "s3_key": "tenants/acme/maps/"},
            "sku_map.s3_key",
        ),
        ("sku_map", {"type": "file"}, "sku_map.local_path"),
        ("sku_map", {"type": "file", "local_path": ""}, "sku_map.local_path"),
        (
            "sku_map",
            {
                "type": "file",
                "local_path": "m.csv",
                "s3_key": "tenants/acme/m.csv",
            },
            "sku_map.s3_key",
        ),
        (
            "sku_map",
            {
                "type": "s3",
                "local_path": "m.csv",
                "s3_key": "tenants/acme/m.csv",
            },
            "sku_map.local_path",
        ),
        ("sku_map", {"s3_key": "tenants/acme/m.csv"}, "sku_map.type"),
    ],
)
def test_a_place_goes_with_its_type(
    section: str, value: dict[str, str], path: str
) -> None:
    document = config_document({**vendor_document(), section: value})
    assert list(faults_of(document)) == [f"vendors.0.{path}"]


@pytest.mark.parametrize(
    ("form", "option", "value"),
    [
        ("csv", "sheet", "Prices"),
        ("jsonl", "delimiter", ";"),
        ("jsonl", "skip_lines", 1),
        ("jsonl", "columns", ["sku"]),
        ("jsonl", "sheet", "Prices"),
        ("xlsx", "delimiter", ";"),
        ("xlsx", "encoding", "cp1252"),
        ("xlsx", "compression", "zip"),
        ("parquet", "delimiter", ";"),
        ("parquet", "encoding", "cp1252"),
        ("parquet", "skip_lines", 1),
        ("parquet", "columns", ["sku"]),
        ("parquet", "sheet", "Prices"),
    ],
)
def test_an_option_that_says_nothing_about_a_format_is_a_fault_unless_it_is_the_default(
    form: str, option: str, value: object
) -> None:
    path = f"vendors.0.parser.{option}"
    document = changed("vendors.0.parser.format", form)
    document["vendors"][0]["parser"][option] = value
    message = faults_of(document)[path]
    assert f'but format is "{form}"' in message
    default = parser_of(format=form).model_dump(mode="json")[option]
    document["vendors"][0]["parser"][option] = default
    load_config(document)


def test_options_that_do_not_apply_are_told_all_at_once() -> None:
    document = changed("vendors.0.parser.format", "parquet")
    document["vendors"][0]["parser"] |= {
        "delimiter": ";",
        "encoding": "cp1252",
        "sheet": "x",
    }
    assert list(faults_of(document)) == [
        f"vendors.0.parser.{option}"
        for option in ("sheet", "delimiter", "encoding")
    ]


@pytest.mark.parametrize(
    "form", ["csv", "jsonl", "xlsx", "xls", "ods", "parquet"]
)
def test_a_snapshot_of_each_format_loads_as_a_config(form: str) -> None:
    config = load_config(changed("vendors.0.parser.format", form))
    assert load_config(config.to_document()) == config


def test_an_unknown_format_says_nothing_of_its_options() -> None:
    document = changed("vendors.0.parser.format", "edi")
    document["vendors"][0]["parser"]["delimiter"] = ";"
    assert list(faults_of(document)) == ["vendors.0.parser.format"]
