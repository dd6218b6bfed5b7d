"""The output of a config: what it may ask for, what is refused with which path, what it reads."""

from __future__ import annotations

from typing import Any

import pytest

from relay_core.config import load_config
from support.config_documents import changed, faults_of

PRICE = {"column": "price", "as": "Price"}


def output_of(**output: Any) -> Any:
    return load_config(changed("output", output)).output


@pytest.mark.parametrize(
    ("columns", "faults"),
    [
        (["sku", PRICE, "sku"], {"2": "appears more than once"}),
        (
            ["sku", {"column": "price", "as": " sku "}],
            {"1": "appears more than once"},
        ),
        (
            [PRICE, {"constant": "x", "as": "Price"}],
            {"1": "appears more than once"},
        ),
        (
            ["availabilty", {"column": "prize", "as": " "}],
            {
                "0": 'did you mean "availability"?',
                "1.column": 'did you mean "price"?',
                "1.as": "must not be empty",
            },
        ),
        (
            [{"column": "price"}, {"constant": "x"}],
            {"0.as": "required", "1.as": "required"},
        ),
        ([{"as": "x"}], {"0": "needs a column or a constant"}),
        ([{**PRICE, "constant": "x"}], {"0": "needs a column or a constant"}),
        ([{**PRICE, "width": 3}], {"0.width": "unknown key"}),
        ([{"constant": True, "as": "x"}], {"0.constant": "put it in quotes"}),
        ([["sku"], 7], {"0": "must be text", "1": "is not a canonical column"}),
    ],
)
def test_each_fault_of_a_column_has_its_path(
    columns: Any, faults: dict[str, str]
) -> None:
    found_faults = faults_of(changed("output", {"columns": columns}))
    assert found_faults.keys() == {f"output.columns.{path}" for path in faults}
    for path, message in faults.items():
        assert message in found_faults[f"output.columns.{path}"]


def test_a_header_is_trimmed_and_a_constant_is_not() -> None:
    first, second = output_of(
        columns=[
            {"column": "price", "as": " Net "},
            {"constant": " 007 ", "as": 8},
        ]
    ).columns
    assert (first.header, second.header, second.constant) == (
        "Net",
        "8",
        " 007 ",
    )


def test_a_column_may_stand_under_two_headers_and_a_constant_may_be_empty() -> (
    None
):
    output = output_of(columns=["price", PRICE, {"constant": "", "as": "none"}])
    assert [column.header for column in output.columns] == [
        "price",
        "Price",
        "none",
    ]


def test_what_is_read_is_known_of_every_column() -> None:
    columns = ["sku", "availability", "currency", "price_with_currency"]
    output = output_of(columns=[*columns, {"constant": "title", "as": "brand"}])
    assert output.reads == {"sku", "quantity_available", "price"}


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_formulas_are_escaped_where_a_spreadsheet_opens_the_file(
    format: str,
) -> None:
    faults = faults_of(
        changed(
            "output",
            {"format": format, "columns": ["sku"], "escape_formulas": True},
        )
    )
    assert faults == {
        "output.escape_formulas": f'applies only if format is "csv" or "tsv", but format is '
        f'"{format}"; '
        "remove it"
    }
    assert not output_of(
        format=format, columns=["sku"], escape_formulas=False
    ).escape_formulas


def test_a_snapshot_has_the_columns_as_they_were_written_and_loads_again() -> (
    None
):
    columns = ["sku", PRICE, {"constant": "", "as": "none"}, "availability"]
    config = load_config(
        changed("output", {"format": "tsv", "columns": columns})
    )
    snapshot = config.to_document()
    defaults = {
        "escape_formulas": False,
        "missing_skus": "drop",
        "missing_sku_days": 30,
    }
    assert snapshot["output"] == {
        "format": "tsv",
        "columns": columns,
        **defaults,
    }
    assert load_config(snapshot) == config
