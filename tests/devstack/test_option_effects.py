"""The sample tenant of suppliers' files: it uses each option, and each does something."""

from __future__ import annotations

from relay_core.config import load_config, parse_document
from relay_core.config.column_forms import FORMS, Changed
from relay_core.samples import sample_config_text
from relay_dagster.devstack.option_effects import option_effects
from support.builders import REQUESTED_AT

OPTIONS = [
    "padded_numbers",
    "skip_rows",
    "null_values",
    "zero_is_null",
    "negative_quantity",
    "invalid_as_null",
    "quantity_symbols",
    "timestamp_formats",
    "quoting",
    "blank_extra_fields",
    "currency",
    "shipping_handling_flat",
    "ending",
]


def test_each_option_is_used_and_does_something() -> None:
    uses = list(option_effects("tool_yard", REQUESTED_AT))
    assert all(use.effect for use in uses)
    effects = {use.path: use.effect for use in uses}
    assert {*OPTIONS} <= {path.rpartition(".")[2] for path in effects}
    columns = {
        "quantity_available",
        "sku",
        "vendor_sku",
        "cost",
        "brand",
        "gtin",
        "bin",
    }
    assert {
        path.rpartition(".")[2] for path in effects if ".column_map." in path
    } == columns
    assert effects["vendors.0.parser.quoting"] == "2 more rows are read"
    assert effects["vendors.0.parser.skip_rows"] == "3 records are no rows"
    assert (
        effects["vendors.0.parser.negative_quantity"] == "1 row is not refused"
    )
    assert (
        effects["vendors.0.parser.zero_is_null"] == "TY-103 is not in the feed"
    )
    assert (
        effects["vendors.1.parser.column_map.cost"]
        == "TY-101: price 2.99 instead of 7.99"
    )
    assert (
        effects["vendors.3.currency"] == "TY-104: price 17.99 instead of 16.99"
    )


def test_the_sample_tenant_has_each_kind_of_column_and_each_kind_of_file() -> (
    None
):
    config = load_config(
        parse_document(sample_config_text("tool_yard"), format="yaml")
    )
    sources = [
        source
        for v in config.vendors
        for source in v.parser.column_map.values()
    ]
    assert {type(source) for source in sources} == {str, *FORMS}
    changed = [source for source in sources if isinstance(source, Changed)]
    steps = ("strip_prefix", "strip_suffix", "values", "times", "divided_by")
    assert all(
        any(getattr(source, step) for source in changed) for step in steps
    )
    assert [v.parser.format for v in config.vendors] == [
        "csv",
        "xls",
        "xlsx",
        "ods",
    ]
