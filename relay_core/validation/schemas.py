"""The canonical and the merged contract: the one statement of columns and their rules.

Units: money is a whole number of ten-thousandths, ``updated_at`` microseconds since the epoch in
UTC; a null text is the empty text. A frame's index labels its rows; violations name those labels.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pandas as pd
import pandera.pandas as pa_schema
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.domain import cell_rules as cells
from relay_core.domain.models import CONDITIONS

MONEY_LIMIT = cells.MONEY_LIMIT * cells.MONEY_UNIT
"""Amounts stay below this many ten-thousandths."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
FIRST_INSTANT = (datetime(1900, 1, 1, tzinfo=UTC) - _EPOCH - _DAY) // timedelta(microseconds=1)
LAST_INSTANT = (datetime(2200, 1, 1, tzinfo=UTC) - _EPOCH + _DAY) // timedelta(microseconds=1)

_LARGEST = (1 << 63) - 1
_WHOLE = pd.ArrowDtype(pa.int64())
_TEXT = pd.ArrowDtype(pa.string())


def _filled(text: pd.Series[Any]) -> pd.Series[Any]:
    return text != ""


def _condition(text: pd.Series[Any]) -> pd.Series[Any]:
    return text.isin(["", *CONDITIONS])


def _whole(low: int, high: int, *, nullable: bool = False) -> pa_schema.Column:
    rule = pa_schema.Check(
        partial(_in_range, low, high),
        name="in_range",
        error=f"in_range({low}, {high})",
        ignore_na=False,
    )
    return pa_schema.Column(_WHOLE, rule, nullable=nullable)


def _in_range(low: int, high: int, numbers: pd.Series[Any]) -> bool | pd.Series[Any]:
    """Return True where all hold, else which do; of nulls ``nullable`` speaks.

    The least and the greatest are enough in most cases, and quicker to find than each row's answer.
    """
    ends = pc.min_max(pa.array(numbers.array))
    least, greatest = ends["min"].as_py(), ends["max"].as_py()
    if least is None or low <= least <= greatest <= high:
        return True
    return ((numbers >= low) & (numbers <= high)).fillna(value=True)


def _money(low: int = 0, *, nullable: bool = True) -> pa_schema.Column:
    return _whole(low, MONEY_LIMIT - 1, nullable=nullable)


def _text(rule: Callable[[pd.Series[Any]], pd.Series[Any]] | None = None) -> pa_schema.Column:
    checks = [] if rule is None else [pa_schema.Check(rule, name=rule.__name__.strip("_"))]
    return pa_schema.Column(_TEXT, checks)


CANONICAL_SCHEMA = pa_schema.DataFrameSchema(
    {
        "sku": _text(_filled),
        "quantity_available": _whole(0, cells.LARGEST_WHOLE),
        "lead_time_days": _whole(0, cells.LARGEST_WHOLE, nullable=True),
        "cost": _money(),
        "map_price": _money(),
        "price": _money(),
        "msrp": _money(),
        "condition": _text(_condition),
        "updated_at": _whole(FIRST_INSTANT, LAST_INSTANT),
    },
    name="canonical",
    strict=True,
)
"""One row of a vendor's feed; brand, title and vendor_sku have no rule and are left out."""

MERGED_SCHEMA = pa_schema.DataFrameSchema(
    {
        "sku": _text(_filled),
        "quantity_available": _whole(0, cells.LARGEST_WHOLE),
        "lead_time_days": _whole(0, cells.LARGEST_WHOLE),
        "price": _whole(1, _LARGEST),
        "condition": _text(_condition),
        "updated_at": _whole(FIRST_INSTANT, LAST_INSTANT),
    },
    name="merged",
    strict=True,
)
