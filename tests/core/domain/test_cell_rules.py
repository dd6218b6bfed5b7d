from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.domain.cell_rules import (
    cut,
    read_cell,
    read_condition,
    read_money,
    read_timestamp,
    read_whole,
)
from relay_core.domain.codes import RowFault
from relay_core.domain.columns import BY_NAME
from relay_core.domain.errors import CellError

read_quantity = partial(read_whole, BY_NAME["quantity_available"])
read_lead_time = partial(read_whole, BY_NAME["lead_time_days"])
CHICAGO = ZoneInfo("America/Chicago")


@dataclass(frozen=True)
class Parser:
    decimal_separator: str = "."
    thousands_separator: str | None = None
    currency_symbols: tuple[str, ...] = ()
    quantity_words: dict[str, int] = field(default_factory=dict)
    timestamp_formats: tuple[str, ...] = ()


def micros(*parts: int) -> int:
    moment = datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


def fault_of(read: Callable[..., object], *args: object) -> str:
    with pytest.raises(CellError) as caught:
        read(*args)
    return caught.value.error_code


def outcome(read: Callable[..., int], text: str, parser: Parser) -> int | str:
    """Return the value, or the code of the fault."""
    try:
        return read(text, parser)
    except CellError as error:
        return error.error_code


def test_trimming_takes_white_space_of_any_script() -> None:
    assert (
        read_cell("title", "\u00a0\u3000 a b\u2003\t\r\n", Parser(), UTC)
        == "a b"
    )


# --- whole numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "quantity"),
    [
        ("0", 0),
        ("12", 12),
        ("+12", 12),
        ("12.", 12),
        ("12.000", 12),
        ("-0", 0),
        ("0000000000000000012", 12),
        ("2147483647", 2147483647),
        (" 7\u00a0", 7),
    ],
)
def test_a_whole_number_is_a_quantity(text: str, quantity: int) -> None:
    assert read_quantity(text, Parser()) == quantity
    assert read_lead_time(text, Parser()) == quantity


@pytest.mark.parametrize(
    "text",
    [
        "12.5",
        ".0",
        "",
        "1e2",
        "2147483648",
        "9" * 5000,
        "1 2",
        "--1",
        "٣",
        "In stock",
        "-1.5",
    ],
)
def test_what_is_no_whole_number_in_range_is_an_invalid_quantity(
    text: str,
) -> None:
    assert fault_of(read_quantity, text, Parser()) == RowFault.INVALID_QUANTITY
    assert (
        fault_of(read_lead_time, text, Parser()) == RowFault.INVALID_LEAD_TIME
    )


@pytest.mark.parametrize("text", ["-1", "-1.0", "-" + "9" * 5000])
def test_a_quantity_below_zero_has_a_fault_of_its_own_and_a_lead_time_has_not(
    text: str,
) -> None:
    assert fault_of(read_quantity, text, Parser()) == RowFault.NEGATIVE_QUANTITY
    assert (
        fault_of(read_lead_time, text, Parser()) == RowFault.INVALID_LEAD_TIME
    )


def test_quantity_words_are_the_whole_cell_in_any_case_and_come_before_the_number() -> (
    None
):
    parser = Parser(
        quantity_words={" In Stock": 10, ">100": 100, "5": 50, "STRASSE": 1}
    )
    assert [
        read_quantity(t, parser) for t in ("in stock ", ">100", "5", "straße")
    ] == [
        10,
        100,
        50,
        1,
    ]
    assert (
        fault_of(read_quantity, "in stock soon", parser)
        == RowFault.INVALID_QUANTITY
    )
    assert (
        fault_of(read_lead_time, ">100", parser) == RowFault.INVALID_LEAD_TIME
    )


@pytest.mark.parametrize(
    ("separator", "good", "bad"),
    [
        (
            ",",
            ["1970", "1,970", "1,970.00", "0,970"],
            ["4,20", "1970,000", ",970", "1,,970", "1,97"],
        ),
        (".", ["1.970", "1970,0"], ["1.97", "1.970.00"]),
        (" ", ["1 970", "1\u00a0970", "1\u202f970,00"], ["1  970"]),
        ("'", ["1'970", "1\u2019970"], ["1\u2018970"]),
    ],
)
def test_thousands_stand_in_groups_of_three_where_they_stand(
    separator: str, good: list[str], bad: list[str]
) -> None:
    decimal = "." if separator == "," else ","
    parser = Parser(thousands_separator=separator, decimal_separator=decimal)
    assert {read_quantity(text, parser) for text in good} <= {1970, 970}
    assert {fault_of(read_quantity, text, parser) for text in bad} == {
        RowFault.INVALID_QUANTITY
    }


# --- money --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0),
        ("-0.00", 0),
        ("1", 10_000),
        ("1.", 10_000),
        (".5", 5_000),
        ("+19.99", 199_900),
        ("1.23455", 12_346),
        ("1.23454999999999999999999", 12_345),
        ("0.00005", 1),
        ("0.000049", 0),
        ("0.00000000000001", 0),
        ("1e-1", 1_000),
        ("1.5E+3", 15_000_000),
        ("12345e-2", 1_234_500),
        ("1e-999999999999999999999", 0),
        ("0e999999999999999999999", 0),
        ("999999999.9999", 9_999_999_999_999),
        ("0" * 5000 + "1" + "0" * 3, 10_000_000),
    ],
)
def test_money_is_exact_to_four_places_half_up(text: str, amount: int) -> None:
    assert read_money(text, Parser()) == amount


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", RowFault.INVALID_DECIMAL),
        (".", RowFault.INVALID_DECIMAL),
        ("1,5", RowFault.INVALID_DECIMAL),
        ("$5", RowFault.INVALID_DECIMAL),
        ("NaN", RowFault.INVALID_DECIMAL),
        ("Infinity", RowFault.INVALID_DECIMAL),
        ("1_000", RowFault.INVALID_DECIMAL),
        ("0x10", RowFault.INVALID_DECIMAL),
        ("1e", RowFault.INVALID_DECIMAL),
        ("e5", RowFault.INVALID_DECIMAL),
        ("1.2.3", RowFault.INVALID_DECIMAL),
        ("VARIABLE", RowFault.INVALID_DECIMAL),
        ("-0.00001", RowFault.NEGATIVE_AMOUNT),
        ("-1e999999999999", RowFault.NEGATIVE_AMOUNT),
        ("1000000000", RowFault.AMOUNT_OUT_OF_RANGE),
        ("999999999.99995", RowFault.AMOUNT_OUT_OF_RANGE),
        ("1e999999999999", RowFault.AMOUNT_OUT_OF_RANGE),
        ("9" * 5000, RowFault.AMOUNT_OUT_OF_RANGE),
    ],
)
def test_an_amount_that_breaks_a_rule_says_which(
    text: str, fault: RowFault
) -> None:
    assert fault_of(read_money, text, Parser()) == fault


def test_the_other_separator_makes_an_amount_invalid() -> None:
    parser = Parser(decimal_separator=",", thousands_separator=".")
    assert read_money("1.234,50", parser) == 12_345_000
    assert fault_of(read_money, "1,234.50", parser) == RowFault.INVALID_DECIMAL
    assert (
        fault_of(read_money, "12.50", Parser(decimal_separator=","))
        == RowFault.INVALID_DECIMAL
    )


@pytest.mark.parametrize(
    "text", ["$1.50", "US$ 1.50", "1.50 USD", "$1.50\u00a0USD", "US$1.50$"]
)
def test_one_currency_symbol_is_taken_from_each_end_the_longest_first(
    text: str,
) -> None:
    parser = Parser(currency_symbols=("$", "US$", "USD"))
    assert read_money(text, parser) == 15_000


@pytest.mark.parametrize(
    "text", ["$$1.50", "1.50 usd", "-$1.50", "$", "$USD", "1.50 USD $"]
)
def test_more_symbols_than_one_an_end_are_no_amount(text: str) -> None:
    parser = Parser(currency_symbols=("$", "USD"))
    assert fault_of(read_money, text, parser) == RowFault.INVALID_DECIMAL


def test_a_symbol_does_not_belong_to_a_quantity() -> None:
    parser = Parser(currency_symbols=("$",))
    assert fault_of(read_quantity, "$5", parser) == RowFault.INVALID_QUANTITY


@given(st.decimals(min_value=0, max_value=999_999_999, places=7))
def test_money_agrees_with_decimal_arithmetic(number: Decimal) -> None:
    expected = number.quantize(Decimal("0.0001"), ROUND_HALF_UP)
    assert read_money(str(number), Parser()) == int(expected.scaleb(4))


@given(st.text(alphabet="0123456789.,eE+-' $\u00a0x", max_size=30))
def test_any_text_gives_a_number_or_a_cell_error(text: str) -> None:
    parser = Parser(thousands_separator="'", currency_symbols=("$",))
    for reader in (read_money, read_quantity, read_lead_time):
        value = outcome(reader, text, parser)
        assert value in set(RowFault) if isinstance(value, str) else value >= 0


def test_monstrous_numbers_are_judged_at_once() -> None:
    parser = Parser(thousands_separator=",")
    started = time.perf_counter()
    outcomes = [
        outcome(reader, text, parser)
        for text in (
            "9" * 1_000_000,
            "1e" + "9" * 1_000_000,
            "0." + "9" * 1_000_000,
        )
        for reader in (read_money, read_quantity)
    ]
    assert outcomes == [
        RowFault.AMOUNT_OUT_OF_RANGE,
        RowFault.INVALID_QUANTITY,
        RowFault.AMOUNT_OUT_OF_RANGE,
        RowFault.INVALID_QUANTITY,
        10_000,
        RowFault.INVALID_QUANTITY,
    ]
    assert time.perf_counter() - started < 5


def test_a_message_about_a_long_cell_is_short() -> None:
    with pytest.raises(CellError) as caught:
        read_money("9" * 1_000_000, Parser())
    assert len(str(caught.value)) < 200


# --- conditions and timestamps ------------------------------------------------------------------


@pytest.mark.parametrize("text", ["new", "USED", " Refurb "])
def test_a_condition_is_read_in_any_case(text: str) -> None:
    assert read_condition(text) == text.strip().lower()


@pytest.mark.parametrize("text", ["", "broken", "newish"])
def test_another_condition_is_refused(text: str) -> None:
    assert fault_of(read_condition, text) == RowFault.INVALID_CONDITION


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01", micros(2026, 3, 1)),
        ("2026-03-01 13:45", micros(2026, 3, 1, 13, 45)),
        ("2026-03-01T13:45:59", micros(2026, 3, 1, 13, 45, 59)),
        ("2026-03-01T13:45:59.5", micros(2026, 3, 1, 13, 45, 59, 500_000)),
        (
            "2026-03-01 13:45:59.123456789",
            micros(2026, 3, 1, 13, 45, 59, 123_456),
        ),
        ("2026-03-01T13:45Z", micros(2026, 3, 1, 13, 45)),
        ("2026-03-01T13:45:59+02:00", micros(2026, 3, 1, 11, 45, 59)),
        (
            "2026-03-01 13:45:59.25-0530",
            micros(2026, 3, 1, 19, 15, 59, 250_000),
        ),
        ("1900-01-01", micros(1900, 1, 1)),
        (
            "2199-12-31 23:59:59.999999",
            micros(2199, 12, 31, 23, 59, 59, 999_999),
        ),
        ("2024-02-29", micros(2024, 2, 29)),
        ("2026-01-01T00:00+23:59", micros(2025, 12, 31, 0, 1)),
    ],
)
def test_iso_dates_and_times_are_read(text: str, expected: int) -> None:
    assert read_timestamp(text, Parser(), UTC) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29",
        "2026-13-01",
        "2026-03-01 24:00",
        "2026-03-01 13:60",
        "2026-03-01 13:45:60",
        "2026-03-01 13",
        "2026-03-01 13:45.5",
        "2026-03-01 13:45:59.1234567890",
        "2026-03-01Z",
        "2026-03-01 13:45 Z",
        "2026-03-01 13:45z",
        "2026-03-01t13:45",
        "2026-03-01 13:45+24:00",
        "2026-03-01 13:45+05:60",
        "2026-03-01  13:45",
        "2026-3-1",
        "1899-12-31",
        "2200-01-01",
        "0000-01-01",
        "\u0662\u0660\u0662\u0666-03-01",
        "03/01/2026",
        "",
    ],
)
def test_other_dates_are_refused(text: str) -> None:
    assert (
        fault_of(read_timestamp, text, Parser(), UTC)
        == RowFault.INVALID_TIMESTAMP
    )


def test_a_local_time_is_in_the_zone_the_first_of_two_and_moved_out_of_the_gap() -> (
    None
):
    def read(text: str) -> int:
        return read_timestamp(text, Parser(), CHICAGO)

    assert read("2026-07-01 12:00") == micros(2026, 7, 1, 17)
    assert read("2026-11-01 01:30") == micros(2026, 11, 1, 6, 30)
    assert read("2026-03-08 02:30") == micros(2026, 3, 8, 8, 30)
    assert read("2026-03-08 02:30-06:00") == micros(2026, 3, 8, 8, 30)


def test_the_vendors_formats_are_tried_in_order_after_the_iso_form() -> None:
    parser = Parser(
        timestamp_formats=("%d/%m/%Y", "%m/%d/%Y", "%d %b %Y %H:%M %z")
    )
    assert read_timestamp("2026-03-01", parser, UTC) == micros(2026, 3, 1)
    assert read_timestamp("02/03/2026", parser, UTC) == micros(2026, 3, 2)
    assert read_timestamp("02/13/2026", parser, UTC) == micros(2026, 2, 13)
    assert read_timestamp("1 mar 2026 12:00 +0100", parser, CHICAGO) == micros(
        2026, 3, 1, 11
    )
    assert read_timestamp("02/03/2026", parser, CHICAGO) == micros(
        2026, 3, 2, 6
    )
    assert (
        fault_of(read_timestamp, "02/03/1899", parser, UTC)
        == RowFault.INVALID_TIMESTAMP
    )


# --- by column ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("sku", " A-1 ", "A-1"),
        ("brand", "Acme", "Acme"),
        ("quantity_available", "3", 3),
        ("lead_time_days", "2", 2),
        ("cost", "1.5", 15_000),
        ("map_price", "1", 10_000),
        ("price", "2", 20_000),
        ("msrp", "3", 30_000),
        ("condition", "New", "new"),
        ("updated_at", "1970-01-02", 86_400_000_000),
        ("cost", "  ", None),
        ("title", "", None),
    ],
)
def test_each_column_is_read_by_its_own_rule(
    column: str, text: str, value: object
) -> None:
    assert read_cell(column, text, Parser(), UTC) == value


def test_a_null_is_a_fault_of_the_required_columns_alone() -> None:
    assert (
        fault_of(read_cell, "sku", " ", Parser(), UTC) == RowFault.MISSING_SKU
    )
    assert (
        fault_of(read_cell, "quantity_available", "", Parser(), UTC)
        == RowFault.MISSING_QUANTITY
    )


def test_a_message_shows_the_cell_and_what_to_do() -> None:
    with pytest.raises(CellError) as caught:
        read_money("call us", Parser())
    message = str(caught.value)
    assert message.startswith(
        '"call us" is not an amount that the parser can read. '
    )
    assert "parser.currency_symbols" in message


def test_what_is_too_long_ends_in_dots() -> None:
    assert [cut(text, 3) for text in ("abc", "abcd")] == ["abc", "abc…"]
