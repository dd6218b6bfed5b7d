"""The engine and a slow, obvious second reading of the rules agree on every byte.

``RELAY_FUZZ_EXAMPLES=20000 pytest tests/core/test_against_reference.py`` looks harder.
"""

from __future__ import annotations

import os
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasty_cells import SCRAPS, SINGLE_CELLS, clock_times
from nasty_tenants import FORMATS, SEPARATORS, ZONES, NastyTenant, nasty_tenants
from reference_cells import MONEY, FaultError
from reference_cells import read_cell as reference_cell
from reference_engine import Outcome, run_reference
from reference_runs import run_engine
from relay_core.config import load_config
from relay_core.domain.cell_rules import read_cell
from relay_core.domain.errors import CellError
from support.builders import (
    REQUESTED_AT,
    config_document,
    feed,
    vendor_document,
)

EXAMPLES = os.environ.get("RELAY_FUZZ_EXAMPLES")
LENIENT = {"max_invalid_rows": 1_000_000, "max_invalid_row_pct": "1.0"}
READ = (
    "quantity_available",
    "lead_time_days",
    *MONEY,
    "condition",
    "updated_at",
)


def fuzz(by_default: int) -> Any:
    """Run the same examples every time, unless more were asked for."""
    return settings(
        max_examples=int(EXAMPLES or by_default),
        derandomize=EXAMPLES is None,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def parser(
    decimal: str, thousands: str | None, formats: tuple[str, ...] = FORMATS
) -> Any:
    return SimpleNamespace(
        decimal_separator=decimal,
        thousands_separator=thousands,
        currency_symbols=("$", "kr", "kr.", "U", "USD", "\u20ac", "EUR"),
        quantity_words={"In stock": 10, ">100": 100, "5": 7},
        timestamp_formats=formats,
    )


def both_readings(
    column: str, text: str, options: Any, zone: ZoneInfo
) -> tuple[Any, Any]:
    """Return the engine's reading of one cell and the reference's: a value or a fault code."""
    try:
        value = read_cell(column, text, options, zone)
    except CellError as error:
        value = str(error.error_code)
    try:
        return value, reference_cell(column, text, options, zone)
    except FaultError as fault:
        return value, fault.args[0]


@pytest.mark.parametrize("separators", SEPARATORS, ids=str)
def test_engine_and_reference_read_odd_cells_alike(
    separators: tuple[str, str | None],
) -> None:
    options = parser(*separators)
    for text in filter(None, map(str.strip, SINGLE_CELLS)):
        for column in READ:
            value, expected = both_readings(
                column, text, options, ZoneInfo("America/Chicago")
            )
            assert (column, text, value) == (column, text, expected)


@fuzz(300)
@given(
    SCRAPS.map(str.strip).filter(bool),
    st.sampled_from(SEPARATORS),
    st.sampled_from(READ),
)
def test_engine_and_reference_read_any_scrap_alike(
    text: str, separators: tuple[str, str | None], column: str
) -> None:
    value, expected = both_readings(
        column, text, parser(*separators), ZoneInfo("UTC")
    )
    assert value == expected


@fuzz(300)
@given(clock_times(), st.sampled_from(ZONES))
def test_engine_and_reference_read_any_clock_alike(
    text: str, zone: str
) -> None:
    value, expected = both_readings(
        "updated_at", text, parser(".", None), ZoneInfo(zone)
    )
    assert value == expected


def assert_both_agree(
    document: dict[str, Any],
    feeds: dict[str, bytes | None],
    sku_maps: dict[str, bytes] | None = None,
    requested_at: datetime = REQUESTED_AT,
) -> Outcome:
    """Run both engines; return what they agree on."""
    config = load_config(document)
    expected = run_reference(config, feeds, sku_maps or {}, requested_at)
    run = run_engine(config, feeds, sku_maps or {}, requested_at)
    for name in Outcome.__dataclass_fields__:
        assert (name, getattr(run.outcome, name)) == (
            name,
            getattr(expected, name),
        )
    return expected


@fuzz(40)
@given(nasty_tenants())
def test_engine_and_reference_agree_on_nasty_tenants(
    tenant: NastyTenant,
) -> None:
    assert_both_agree(
        tenant.document, tenant.feeds, tenant.sku_maps, tenant.requested_at
    )


CHARACTERS = (*'a1, "\n\r\t\0é\ufeff', ",", ",")
TOKENS = ('""', "\r\n", '"a"', '"\n"', '"a"b', 'x"', "1,2", "a,1\n")
TEXTS = st.lists(st.sampled_from(CHARACTERS + TOKENS), max_size=40).map("".join)


@fuzz(80)
@given(
    TEXTS,
    st.sampled_from((",", ",", ";", "\t", "§", "a", " ", "\0")),
    st.sampled_from(("utf-8", "utf-8", "utf-16", "utf-16-be")),
    st.sampled_from(
        (["sku"], ["sku", "quantity_available"], ["title", "sku", "brand"])
    ),
    st.booleans(),
)
def test_engine_and_reference_split_any_text_alike(
    text: str,
    delimiter: str,
    encoding: str,
    columns: list[str],
    has_header: bool,
) -> None:
    defaults = {"quantity_available": "3", "cost": "1"}
    parser: dict[str, Any] = {
        "delimiter": delimiter,
        "encoding": encoding,
        "defaults": defaults,
    }
    text = text.replace(",", delimiter)
    if has_header:
        text = delimiter.join(f'"{column}"' for column in columns) + "\n" + text
    else:
        parser["columns"] = columns
    document = config_document(
        vendor_document(parser=parser), error_policy=LENIENT
    )
    assert_both_agree(document, {"vendor_1": text.encode(encoding)})


LONG = "x" * 450
MANY_LINES = "x\n" * 500_000
MANY = [f'S{n % 9_001:05},{n % 7},1,"{LONG}\n"' for n in range(9_500)]
MORE = ["n"] * 6
HUGE = [
    ",".join(cells)
    for cells in (
        ["A", "1", "1", "b", *MORE],
        ["B", "2", "1", *[f'"{MANY_LINES}"'] * 7],
        ["C", "3", "1", "d", *MORE],
        ["D", "4", "1", "e", *MORE],
    )
]


@pytest.mark.parametrize(
    ("records", "more"),
    [(MANY, ""), (HUGE, ",a,b,c,d,e,f")],
    ids=["many_records", "one_huge_record"],
)
def test_engine_and_reference_agree_on_feeds_larger_than_a_block(
    records: list[str], more: str
) -> None:
    places = (1, 2, len(records) // 2, len(records) - 1, len(records))
    blanks = "," * (3 + more.count(","))
    odd_ones = (
        "too,few",
        "",
        f"E,x,1,bad{more}",
        blanks,
        f"F,1,1,1{more},more",
    )
    for shift, (place, odd) in enumerate(zip(places, odd_ones, strict=True)):
        records = [*records[: place + shift], odd, *records[place + shift :]]
    document = config_document(
        error_policy=LENIENT, output={"columns": ["sku", "title"]}
    )
    feed_bytes = feed(
        *records, header=f"sku,quantity_available,cost,title{more}"
    )
    assert len(feed_bytes) > 1 << 22
    outcome = assert_both_agree(document, {"vendor_1": feed_bytes})
    codes = sorted(entry.error_code for entry in outcome.entries)
    assert codes == ["column_count", "column_count", "invalid_quantity"]


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("é" * (1 << 19), None),
        ("é" * (1 << 19) + "x", "invalid_input"),
        ('"x', "DECODE_ERROR"),
    ],
    ids=["as large as may be", "larger", "never closed"],
)
def test_engine_and_reference_agree_on_cells_as_large_as_one_may_be(
    place: int, cell: str, code: str | None
) -> None:
    records = ["A,1,1,b", "B,2", "C,3,1,d"]
    records[place] = f"{records[place]},{cell}"
    document = config_document(
        error_policy=LENIENT, output={"columns": ["sku"]}
    )
    data = feed(*records, header="sku,quantity_available,cost,title")
    codes = assert_both_agree(document, {"vendor_1": data}).fault_codes
    assert codes == ({} if code is None else {"vendor_1": code})
