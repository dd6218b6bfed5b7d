"""The engine and a slow, obvious second reading of the rules agree on every byte.

``RELAY_FUZZ_EXAMPLES=20000 pytest tests/core/test_against_reference.py`` looks harder.
"""

from __future__ import annotations

import os
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
from relay_core.cells import read_cell
from relay_core.config import load_config
from relay_core.errors import CellError

EXAMPLES = os.environ.get("RELAY_FUZZ_EXAMPLES")
READ = ("quantity_available", "lead_time_days", *MONEY, "condition", "updated_at")


def fuzz(by_default: int) -> Any:
    """Run the same examples every time, unless more were asked for."""
    return settings(
        max_examples=int(EXAMPLES or by_default),
        derandomize=EXAMPLES is None,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def parser(decimal: str, thousands: str | None, formats: tuple[str, ...] = FORMATS) -> Any:
    return SimpleNamespace(
        decimal_separator=decimal,
        thousands_separator=thousands,
        currency_symbols=("$", "kr", "kr.", "U", "USD", "\u20ac", "EUR"),
        quantity_words={"In stock": 10, ">100": 100, "5": 7},
        timestamp_formats=formats,
    )


def both_readings(column: str, text: str, options: Any, zone: ZoneInfo) -> tuple[Any, Any]:
    """Return the engine's reading of one cell and the reference's: a value or a fault code."""
    try:
        found = read_cell(column, text, options, zone)
    except CellError as error:
        found = str(error.error_code)
    try:
        return found, reference_cell(column, text, options, zone)
    except FaultError as fault:
        return found, fault.args[0]


@pytest.mark.parametrize("separators", SEPARATORS, ids=str)
def test_engine_and_reference_read_odd_cells_alike(separators: tuple[str, str | None]) -> None:
    options = parser(*separators)
    for text in filter(None, map(str.strip, SINGLE_CELLS)):
        for column in READ:
            found, expected = both_readings(column, text, options, ZoneInfo("America/Chicago"))
            assert (column, text, found) == (column, text, expected)


@fuzz(300)
@given(SCRAPS.map(str.strip).filter(bool), st.sampled_from(SEPARATORS), st.sampled_from(READ))
def test_engine_and_reference_read_any_scrap_alike(
    text: str, separators: tuple[str, str | None], column: str
) -> None:
    found, expected = both_readings(column, text, parser(*separators), ZoneInfo("UTC"))
    assert found == expected


@fuzz(300)
@given(clock_times(), st.sampled_from(ZONES))
def test_engine_and_reference_read_any_clock_alike(text: str, zone: str) -> None:
    found, expected = both_readings("updated_at", text, parser(".", None), ZoneInfo(zone))
    assert found == expected


@fuzz(60)
@given(nasty_tenants())
def test_engine_and_reference_agree_on_nasty_tenants(tenant: NastyTenant) -> None:
    config = load_config(tenant.document)
    expected = run_reference(config, tenant.feeds, tenant.sku_maps, tenant.requested_at)
    run = run_engine(config, tenant.feeds, tenant.sku_maps, tenant.requested_at)
    for name in Outcome.__dataclass_fields__:
        assert (name, getattr(run.outcome, name)) == (name, getattr(expected, name))
