from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from relay_core.config import load_config, parse_document
from support.builders import config_document, tenant_config, vendor_document
from support.config_documents import (
    QUOTE_IT,
    P,
    changed,
    faults_of,
    parser_of,
)

# --- one fault each -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("tenant_id", "a b", "is not a valid id"),
        ("tenant_id", "_a", "is not a valid id"),
        ("tenant_id", "a" * 65, "is not a valid id"),
        ("tenant_id", "é", "is not a valid id"),
        ("tenant_id", "acme\n", "is not a valid id"),
        ("tenant_id", True, QUOTE_IT),
        ("timezone", "america/chicago", 'did you mean "America/Chicago"?'),
        ("timezone", "America", "is not an IANA time zone"),
        ("timezone", "../etc/passwd", "is not an IANA time zone"),
        ("timezone", "posix/UTC", "is not an IANA time zone"),
        ("timezone", "right/UTC", "is not an IANA time zone"),
        ("timezone", "zone.tab", "is not an IANA time zone"),
        (
            "timezone",
            "localtime",
            "is not an IANA time zone; use a name such as America/Chicago or UTC",
        ),
        ("timezone", "", "is not an IANA time zone"),
        ("timezone", "x" * 5000, "is not an IANA time zone"),
        ("default_currency", "usd", 'did you mean "USD"?'),
        ("default_currency", "AAA", "is not a currency code"),
        ("vendors", {}, "must be a list, not a mapping"),
        (
            "vendors.0",
            "vendor_1",
            'must be a mapping of keys to values, not text "vendor_1"',
        ),
        ("vendors.0.required", "true", "must be true or false without quotes"),
        ("vendors.0.required", 1, "must be true or false without quotes"),
        ("vendors.1.vendor_id", "vendor_1", "appears more than once"),
        ("vendors.0.vendor_id", "a/b", "is not a valid id"),
        ("vendors.0.inbound.type", "ftp", 'must be one of "s3", "local"'),
        (
            "vendors.0.inbound.s3_prefix",
            "tenants/other/x/",
            'must start with "tenants/acme/"',
        ),
        (
            "vendors.0.inbound.s3_prefix",
            "tenants/acme2/",
            'must start with "tenants/acme/"',
        ),
        (
            "vendors.0.inbound.s3_prefix",
            "/tenants/acme/",
            'must start with "tenants/acme/"',
        ),
        (
            "vendors.0.inbound.s3_prefix",
            "s3://b/tenants/acme/",
            "remove s3:// and the bucket",
        ),
        (
            "vendors.0.inbound.s3_prefix",
            "tenants/acme/../other/",
            "must not contain //",
        ),
        (
            "vendors.0.inbound.s3_prefix",
            "tenants/acme/./x",
            "must not contain //",
        ),
        (
            "vendors.0.inbound.s3_prefix",
            "tenants/acme//x",
            "must not contain //",
        ),
        (
            "vendors.0.inbound.s3_prefix",
            "tenants/acme/a\nb",
            "must not contain control characters",
        ),
        (
            "vendors.0.inbound.s3_prefix",
            "tenants/acme/" + "é" * 600,
            "longer than the 1024 bytes",
        ),
        ("vendors.0.sku_map", "map.csv", "must be a mapping of keys to values"),
        (
            P + "format",
            "edi",
            'must be one of "csv", "jsonl", "json", "xml", "xlsx", "xls", "ods", '
            '"parquet", not "edi"',
        ),
        (P + "delimiter", "", "must be one character"),
        (P + "delimiter", ";;", "must be one character"),
        (P + "delimiter", '"', "must be one character"),
        (P + "delimiter", "\r", "must be one character"),
        (P + "delimiter", "\n", "must be one character"),
        (P + "delimiter", "\\t", 'for a tab, write "\\t" in double quotes'),
        (P + "encoding", "utf8x", "is not a text encoding"),
        (P + "encoding", "hex", "is not a text encoding"),
        (P + "encoding", "base64", "is not a text encoding"),
        (P + "encoding", "rot13", "is not a text encoding"),
        (P + "encoding", "undefined", "is not a text encoding"),
        (P + "encoding", "utf\0", "is not a text encoding"),
        (P + "encoding", "", "is not a text encoding"),
        (P + "encoding", "punycode", "encodes host names, not files"),
        (P + "encoding", "IDNA", "encodes host names, not files"),
        (
            P + "column_map",
            ["sku"],
            "must be a mapping of keys to values, not a list",
        ),
        (P + "skip_lines", -1, "must be 0 or more"),
        (P + "skip_lines", "2", "must be a whole number without quotes"),
        (P + "skip_lines", 1.5, "must be a whole number in plain digits"),
        (P + "skip_lines", True, "must be a whole number"),
        (P + "columns", [], "must not be empty"),
        (P + "columns", "sku", "must be a list, not text"),
        (P + "null_values", "N/A", "must be a list, not text"),
        (P + "decimal_separator", ";", 'must be one of ".", ","'),
        (P + "thousands_separator", "_", 'must be one of ",", ".", "\'", " "'),
        (P + "thousands_separator", ".", "is already the decimal separator"),
        ("pricing", 5, "must be a mapping of keys to values, not a number"),
        ("pricing.base_margin_pct", "-0.01", "must be 0 or more"),
        ("pricing.base_margin_pct", "100.000001", "must be 100 or less"),
        (
            "pricing.base_margin_pct",
            "0.1234567",
            "has more than 6 decimal places",
        ),
        ("pricing.base_margin_pct", "20%", "must be a number"),
        ("pricing.base_margin_pct", "0,2", "must be a number"),
        ("pricing.base_margin_pct", True, "must be a number, not a boolean"),
        ("pricing.base_margin_pct", "NaN", "must be a number"),
        ("pricing.base_margin_pct", "Infinity", "must be a number"),
        ("pricing.base_margin_pct", "1e999999999999", "must be a number"),
        ("pricing.min_price", -1, "must be 0 or more"),
        ("pricing.min_price", "0.00001", "has more than 4 decimal places"),
        ("pricing.min_price", 0.00001, "has more than 4 decimal places"),
        ("pricing.min_price", "1_000", "must be a number"),
        ("pricing.min_price", "9" * 5000, "must be a number"),
        ("pricing.min_price", 1_000_000_000, "must be below 1,000,000,000"),
        ("pricing.shipping_handling_flat", "-0.0001", "must be 0 or more"),
        (
            "pricing.map_policy.enforce",
            "no",
            "must be true or false without quotes",
        ),
        (
            "pricing.map_policy.map_floor_behavior",
            "min",
            'must be "max(price, map_price)"',
        ),
        (
            "pricing.rounding.mode",
            "half_up",
            'must be one of "nearest", "up", "down"',
        ),
        ("guards.mode", False, "put it in quotes"),  # as YAML reads ``off``
        ("pricing.rounding.increment", 0, "must be 0.0001 or more"),
        (
            "pricing.rounding.increment",
            "0.00015",
            "has more than 4 decimal places",
        ),
        ("merge.strategy", "cheapest", 'must be "best_offer"'),
        (
            "merge.best_offer.sort_by",
            "in_stock_desc",
            "must be a list, not text",
        ),
        (
            "merge.best_offer.landed_cost.include_shipping_handling",
            0,
            "must be true or false without quotes",
        ),
        (
            "merge.best_offer.fallback_lead_time_days",
            2147483648,
            "must be 2147483647 or less",
        ),
        (
            "output.format",
            "json",
            'must be one of "csv", "tsv", "jsonl", "parquet"',
        ),
        ("output.columns", [], "must not be empty"),
        ("error_policy.max_invalid_rows", -1, "must be 0 or more"),
        (
            "error_policy.max_invalid_rows",
            "5",
            "must be a whole number without quotes",
        ),
        (
            "error_policy.max_invalid_row_pct",
            "1.0000000000000000000001",
            "must be 1 or less",
        ),
        ("error_policy.max_invalid_row_pct", -0.1, "must be 0 or more"),
        (
            "error_policy.fail_on_missing_required_columns",
            "x",
            "must be true or false without quotes",
        ),
        (
            "error_policy.missing_required_vendor_policy",
            "warn",
            'did you mean "warn_only"?',
        ),
        ("schema_versoin", 1, 'unknown key; did you mean "schema_version"?'),
        ("vendors.0.name", "x", "unknown key"),
        (P + "delimeter", ";", 'unknown key; did you mean "delimiter"?'),
        ("pricing.rounding.step", 1, "unknown key"),
    ],
)
def test_a_fault_is_named_by_its_path(
    path: str, value: Any, message: str
) -> None:
    faults = faults_of(changed(path, value))
    assert list(faults) == [path]
    assert message in faults[path]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("output.columns", ["sku", "skuu", "sku", "price"], ["1", "2"]),
        ("merge.best_offer.sort_by", ["price", "most_recent", 5], ["0", "2"]),
        (P + "columns", ["a", " a ", "b", False], ["1", "3"]),
        (P + "null_values", ["NA", True, ["x"]], ["1", "2"]),
        (P + "currency_symbols", ["$", " ", ""], ["1", "2"]),
        (
            P + "column_map",
            {"sku": "a", "cst": "b", "vendor_id": "c"},
            ["cst", "vendor_id"],
        ),
        (
            P + "column_map",
            {"sku": True, "cost": " ", "price": ["p"]},
            ["sku", "cost", "price"],
        ),
        (
            P + "defaults",
            {"vendor_id": "x", "qty": "1", "brand": {}},
            ["vendor_id", "qty", "brand"],
        ),
        (
            P + "quantity_words",
            {"a": -1, "b": 2147483648, "c": "1", " ": 1},
            ["a", "b", "c", " "],
        ),
        (P + "quantity_words", {"yes": 1, "Yes ": 2, "YES": 1}, ["Yes "]),
        (
            P + "timestamp_formats",
            ["%Y-%m-%d", "%d/%m", "%Q %Y %m %d"],
            ["1", "2"],
        ),
    ],
)
def test_each_faulty_item_is_named_at_once(
    path: str, value: Any, expected: list[str]
) -> None:
    assert list(faults_of(changed(path, value))) == [
        f"{path}.{step}" for step in expected
    ]


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0.20", "0.20"),
        ('"0.20"', "0.20"),
        ("1e-1", "0.1"),
        ("1.5E+1", "15"),
        (".5", "0.5"),
        ("007", "7"),
        ("-0", "0"),
        ("0.2000000000", "0.2"),
        ('" 0.1 "', "0.1"),
        ("100", "100"),
        ("0e-500", "0"),
    ],
)
def test_a_decimal_is_read_exactly_from_its_source_text(
    written: str, value: str
) -> None:
    text = json.dumps(config_document()).replace(
        '"base_margin_pct": "0"', "base_margin_pct: @"
    )
    document = parse_document(text.replace("@", written), format="yaml")
    margin = load_config(document).pricing.base_margin_pct
    assert margin == Decimal(value)
    assert not margin.is_signed()


@pytest.mark.parametrize("value", [0.1, "0.1", Decimal("0.1"), "1e-1"])
def test_documents_of_python_objects_are_read_as_exactly(value: Any) -> None:
    config = tenant_config(pricing={"base_margin_pct": value})
    assert config.pricing.base_margin_pct == Decimal("0.1")


def test_the_share_of_invalid_rows_has_no_limit_of_places() -> None:
    config = tenant_config(
        error_policy={
            "max_invalid_row_pct": "0.333333333333333333333333333333333"
        }
    )
    assert str(config.error_policy.max_invalid_row_pct).endswith("3" * 33)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("007", "007"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("12:30:00", "12:30:00"),
        ("2020-01-01", "2020-01-01"),
        ("1.10", "1.10"),
        ("5", "5"),
        ("'no'", "no"),
    ],
)
def test_where_text_is_wanted_a_number_is_its_source_text(
    written: str, text: str
) -> None:
    yaml = json.dumps(
        config_document(vendor_document(parser={"null_values": ["@"]}))
    )
    document = parse_document(yaml.replace('"@"', written), format="yaml")
    assert load_config(document).vendors[0].parser.null_values == (text,)


@pytest.mark.parametrize("word", ["no", "on", "yes", "off", "true", "False"])
def test_a_boolean_where_text_is_wanted_says_to_quote_it(word: str) -> None:
    text = json.dumps(
        config_document(vendor_document(parser={"column_map": {"brand": "@"}}))
    )
    document = parse_document(text.replace('"@"', word), format="yaml")
    assert QUOTE_IT in faults_of(document)["vendors.0.parser.column_map.brand"]


def test_an_unquoted_no_as_a_word_says_to_quote_it_and_a_quoted_one_is_read() -> (
    None
):
    text = json.dumps(
        config_document(vendor_document(parser={"quantity_words": {"@": 0}}))
    )
    unquoted = parse_document(text.replace('"@"', "no"), format="yaml")
    assert QUOTE_IT in faults_of(unquoted)["vendors.0.parser.quantity_words.no"]
    quoted = parse_document(text.replace('"@"', "'no'"), format="yaml")
    assert load_config(quoted).vendors[0].parser.quantity_words == {"no": 0}


def test_numbers_as_words_are_their_source_text() -> None:
    assert parser_of(quantity_words={100: 5, "007": 7}).quantity_words == {
        "100": 5,
        "007": 7,
    }


def test_names_and_words_are_trimmed_and_keep_their_order() -> None:
    parser = parser_of(
        column_map={"cost": " Net price ", "sku": "Part"},
        columns=[" b ", "a", ""],
        null_values=[" N/A ", "-", "n/a"],
        currency_symbols=[" US$ ", "$"],
        quantity_words={" Low ": 1, "high": 9},
    )
    assert list(parser.column_map.items()) == [
        ("cost", "Net price"),
        ("sku", "Part"),
    ]
    assert parser.columns == ("b", "a", "")
    assert parser.null_values == ("N/A", "-", "n/a")
    assert parser.currency_symbols == ("US$", "$")
    assert list(parser.quantity_words.items()) == [("Low", 1), ("high", 9)]


@pytest.mark.parametrize(
    "delimiter", [",", ";", "\t", "|", "\x01", " ", "¦", "😀"]
)
def test_a_delimiter_is_any_other_one_character(delimiter: str) -> None:
    assert parser_of(delimiter=delimiter).delimiter == delimiter


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "UTF_16", "cp1252", "latin-1", "shift_jis", "utf-8-sig"],
)
def test_an_encoding_is_any_text_encoding_of_python(encoding: str) -> None:
    assert parser_of(encoding=encoding).encoding == encoding


@pytest.mark.parametrize("written", ["tenants/acme/in/v", "tenants/acme/in/v/"])
def test_a_prefix_ends_in_a_slash(written: str) -> None:
    config = load_config(changed("vendors.0.inbound.s3_prefix", written))
    assert config.vendors[0].inbound.s3_prefix == "tenants/acme/in/v/"


def test_a_name_with_two_dots_in_it_is_a_fine_key() -> None:
    sku_map = {"type": "s3", "s3_key": "tenants/acme/maps/v1..2.csv"}
    assert (
        tenant_config(vendor_document(sku_map=sku_map)).vendors[0].sku_map
        is not None
    )


def test_an_empty_sort_order_is_the_default() -> None:
    config = tenant_config(
        merge={"strategy": "best_offer", "best_offer": {"sort_by": []}}
    )
    assert config.merge.best_offer.sort_by == (
        "in_stock_desc",
        "lowest_landed_cost",
    )
