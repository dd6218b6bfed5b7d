"""Hypothesis strategies for single cells: the usual, and all that is known to trip readers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

MONEY = ("cost", "map_price", "price", "msrp")
SKUS = (
    "A",
    "B",
    "a",
    "PREFIX-0001",
    "PREFIX-0002",
    "PREFIX-00010",
    "007",
    "A\0",
    "A\0\0",
    "é",
    "\uffee",
    "\U0001d4b3",
    "q,t",
    'q"t',
    "two\nlines",
    "",
    "N/A",
    "0",
)
TEXTS = (
    "",
    "",
    "plain",
    "NA",
    "null",
    "nan",
    "None",
    '5" pipe',
    '"quoted"',
    "a,b",
    "a;b|c",
    "x\r\ny",
    "x\ry",
    "Größe",
    "\U0001f600",
    "-",
    "=1+1",
    "\0",
    "\ufeffx",
    "\x0b",
    "a\u2028b",
)
GOOD_NUMBERS = (
    "0",
    "1",
    "5",
    "12",
    "12.0",
    "+3",
    "007",
    "-0",
    "2147483647",
    "1234",
    "12.",
    "1970",
)
BAD_NUMBERS = (
    "-1",
    "-5.5",
    "12.5",
    "2147483648",
    "-99999999999999999999",
    "9" * 30,
    "0" * 30 + "5",
    "1e3",
    "",
    "-",
    "+",
    ".0",
    "1_000",
    "٣",
    "1.0.0",
    "0x10",
    "--1",
    "- 1",
    "1 2",
    "In stock",
    " IN STOCK",
    ">100",
    "many",
    "²",
    "1,000",
    "1,00",
    "0,970",
    "1970,000",
    "1'234",
    "1\u2019234",
    "1 234",
    "1\u00a0234",
    "1\u202f234",
    "12.00000000000000000000000",
    "9" * 5000,
    "-" + "9" * 5000,
    "1." + "0" * 5000,
)
GOOD_MONEY = (
    "",
    "0",
    "1",
    "0.01",
    "10.00",
    "19.99",
    "30.1234",
    "1234.50",
    "0.005",
    "12.345",
    "999.9999",
    "24.99",
    "0.00005",
    "0.00004999",
    "1.23455",
    "123456789.1234",
    "999999999.99994",
    ".5",
    "5.",
    "1e3",
    "1E-5",
    "+7.25",
    "-0.00",
)
BAD_MONEY = (
    "-1",
    "-0.00001",
    "-1e20",
    "-1e-999999999999",
    "999999999.99995",
    "1000000000",
    "1e9",
    "1e999999999999",
    "1e-999999999999",
    "0e999999999999",
    "1e" + "9" * 5000,
    "1e-" + "9" * 5000,
    "0." + "0" * 300 + "1e300",
    "9" * 300 + "e-295",
    "12345678901234567890e-15",
    "0.0000" + "9" * 400,
    "9" * 5000 + "e-5000",
    "1e-4",
    "5e-5",
    "49999e-9",
    "1e0000000000000000000003",
    ".",
    "-",
    "e5",
    "1e",
    "1e+",
    "1e1.5",
    "NaN",
    "inf",
    "Infinity",
    "1_000",
    "٣",
    "1,5",
    "1.5",
    "1.234,50",
    "1,234.50",
    "1,234,567.891",
    "12,34.5",
    "1234,567.00",
    "1.234.567",
    "1 234.5",
    "1\u00a0234,5",
    "1'234.5",
    "$1,234.50",
    "$ 5",
    "5 $",
    "$5$",
    "$$5",
    "$-5",
    "-$5",
    "$",
    "USD 5",
    "5 USD",
    "5kr.",
    "5 kr",
    "€5",
    "5 EUR",
    "U 5 USD",
    "1e5$",
    "POA",
    "1.2.3",
    "0x1p3",
    "1,234e3",
    "1,e3",
    ",123",
    "1,234,",
)
CONDITIONS = (
    "",
    "",
    "new",
    "used",
    "refurb",
    "NEW",
    "Refurb",
    "u\u017fed",
    "like new",
    "newish",
    "new\0",
)
TIMES = (
    "2024-03-10T02:30:00",
    "2024-03-10 03:00",
    "2024-11-03 01:30",
    "2024-11-03T01:30:00.123456789",
    "2011-12-30 12:00",
    "2018-11-04",
    "1900-01-01",
    "2199-12-31T23:59:59.999999999",
    "2199-12-31T23:59-23:59",
    "1900-01-01T00:00+23:59",
    "1969-12-31T23:59:59.5Z",
    "2024-06-01T10:00:00Z",
    "2024-06-01T10:00:00.1Z",
    "2024-06-01T10:00:00.0000009Z",
    "2024-06-01 10:00+05:30",
    "2024-06-01 10:00-0530",
    "2024-02-29",
    "1937-07-01 00:00:10",
    "",
)
BAD_TIMES = (
    "2023-02-29",
    "2024-13-01",
    "2024-01-13",
    "2024-00-10",
    "1899-12-31",
    "2200-01-01",
    "0000-01-01",
    "2024-01-01T24:00",
    "2024-01-01T23:60",
    "2024-01-01T23:59:60",
    "2024-01-01Z",
    "2024-01-01+01:00",
    "2024-01-01T10",
    "2024-1-1",
    "2024-01-01t10:00",
    "2024-01-01T10:00z",
    "2024-01-01T10:00 Z",
    "2024-01-01  10:00",
    "2024-01-01T10:00+24:00",
    "2024-01-01T10:00+23:60",
    "2024-01-01T10:00+1:00",
    "2024-01-01T10:00+10",
    "2024-01-01T10:00:00.",
    "2024-01-01T10:00.5",
    "2024-01-01T10:00:00.1234567890",
    "2024-01-01T10:00:00,5",
    "٢٠٢٤-01-01",
    "20240101",
    "01.02.2024",
    "31.12.1899",
    "13/01/2024 10:00",
    "01/13/2024 10:00",
    "3 Mar 2024 02:30 AM",
    "2024-06-01 10+0530",
    "2024-06-01 10Z",
    "1717236000",
    "now",
    "-2024-01-01",
    "+2024-01-01",
)
CHANGES = (
    datetime(2024, 3, 10, 2, 0),  # noqa: DTZ001
    datetime(2024, 11, 3, 1, 0),  # noqa: DTZ001
    datetime(2024, 3, 31, 2, 0),  # noqa: DTZ001
    datetime(2024, 10, 27, 2, 0),  # noqa: DTZ001
    datetime(2024, 4, 7, 1, 30),  # noqa: DTZ001
    datetime(2024, 10, 6, 2, 0),  # noqa: DTZ001
    datetime(2190, 3, 14, 2, 0),  # noqa: DTZ001
    datetime(1918, 3, 31, 2, 0),  # noqa: DTZ001
    datetime(1972, 1, 7, 0, 0),  # noqa: DTZ001
)


def mostly(good: Any, bad: Any) -> st.SearchStrategy[str]:
    """Draw from the second about once in thirty times."""
    return st.integers(0, 29).flatmap(lambda n: bad if n == 17 else good)


@st.composite
def clock_times(draw: Callable[..., Any]) -> str:
    """Draw a wall clock time, often close to a change of some clock."""
    if draw(st.booleans()):
        moment = draw(st.sampled_from(CHANGES)) + timedelta(
            seconds=draw(st.integers(-6000, 6000)),
            microseconds=draw(st.integers(0, 999_999)),
        )
    else:
        first = datetime(1900, 1, 1)  # noqa: DTZ001
        last = datetime(2199, 12, 31)  # noqa: DTZ001
        moment = draw(st.datetimes(first, last))
    text = moment.isoformat(sep=draw(st.sampled_from("T ")))
    return text + draw(st.sampled_from(("", "", "", "Z", "+02:00", "-0930")))


PRICES = st.decimals("0", "2000", places=4).map(str)
CELLS: dict[str, st.SearchStrategy[str]] = {
    "sku": st.sampled_from(SKUS),
    "quantity_available": mostly(
        st.sampled_from(GOOD_NUMBERS) | st.integers(0, 50).map(str),
        st.sampled_from(BAD_NUMBERS),
    ),
    "lead_time_days": mostly(
        st.sampled_from(("", "", "3", "7", "14", "0", *GOOD_NUMBERS)),
        st.sampled_from(BAD_NUMBERS),
    ),
    "condition": mostly(
        st.sampled_from(CONDITIONS[:7]), st.sampled_from(CONDITIONS[7:])
    ),
    "updated_at": mostly(
        st.sampled_from(TIMES) | clock_times(), st.sampled_from(BAD_TIMES)
    ),
    **{
        column: mostly(
            st.sampled_from(GOOD_MONEY) | PRICES, st.sampled_from(BAD_MONEY)
        )
        for column in MONEY
    },
}
ANY_TEXT = st.sampled_from(TEXTS)


def cell_for(column: str) -> st.SearchStrategy[str]:
    return CELLS.get(column, ANY_TEXT)


def localised(
    draw: Callable[..., Any], text: str, parser: dict[str, Any]
) -> str:
    """Write a plain number as the vendor would, most of the time."""
    whole, point, fraction = text.partition(".")
    if (
        not whole.isdecimal()
        or not text.isascii()
        or (fraction and not fraction.isdecimal())
    ):
        return text
    if parser["decimal_separator"] == "," and draw(st.integers(0, 99)) != 57:
        point = "," if point else ""
    if parser["thousands_separator"] and draw(st.booleans()):
        whole = f"{int(whole[:18]):,}".replace(
            ",", parser["thousands_separator"]
        )
    return whole + point + fraction


SINGLE_CELLS = (
    *GOOD_NUMBERS,
    *BAD_NUMBERS,
    *GOOD_MONEY,
    *BAD_MONEY,
    *CONDITIONS,
    *TIMES,
    *BAD_TIMES,
    *TEXTS,
)
SCRAPS = st.lists(
    st.sampled_from(
        [
            *"0123456789",
            *"0.,'- +eE$:TZ",
            "000",
            "1,234",
            "\u00a0",
            "\u0663",
            "kr",
        ]
    ),
    max_size=14,
).map("".join)
