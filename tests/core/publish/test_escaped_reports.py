"""Formulas in the reports that people open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from relay_core.publish.state import read_state
from support.builders import feed, tenant_config, vendor_document
from support.explaining import RunInMemory, run_in_memory

PLAIN = [f"S{number:02}" for number in range(20)]
FORMULAS = ["=A", "+B", "-C", "@D"]


def run(
    escape_formulas: bool, rows: list[str], baseline: Any = None
) -> RunInMemory:
    config = tenant_config(
        vendor_document("v1"),
        guards={"mode": "warn", "quarantine": {}},
        error_policy={"max_invalid_rows": 9, "max_invalid_row_pct": 1},
        output={
            "columns": ["sku", "price"],
            "escape_formulas": escape_formulas,
        },
    )
    return run_in_memory(config, {"v1": feed(*rows)}, baseline=baseline)


def two_runs(escape_formulas: bool) -> RunInMemory:
    """Return a run after another: formulas added, quarantined, and rejected."""
    first_rows = [f"{sku},5,10.00" for sku in [*PLAIN, *FORMULAS[:2]]]
    first = run(escape_formulas, first_rows)
    rows = [f"{sku},5,10.00" for sku in [*PLAIN, *FORMULAS[2:]]]
    rows += [f"{sku},5,1.00" for sku in FORMULAS[:2]]
    rows += ["@SUM(1+1)*cmd|' /C calc'!A0,x,10.00", '"=1,1",x,10.00']
    state = read_state(first.files[first.keys.state], keeps_rows=True)
    return run(escape_formulas, rows, baseline=state)


def cells(run: RunInMemory, key: str, column: str) -> list[str]:
    text = run.files[key].decode()
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return [row[column] for row in rows]


@pytest.mark.parametrize(
    ("escape_formulas", "mark"), [(True, "'"), (False, "")]
)
def test_reports_escape_formulas_where_the_feed_does(
    escape_formulas: bool, mark: str
) -> None:
    second = two_runs(escape_formulas)
    keys = second.keys
    assert cells(second, keys.changes, "sku") == [f"{mark}-C", f"{mark}@D"]
    assert cells(second, keys.quarantine, "sku") == [f"{mark}+B", f"{mark}=A"]
    # A quoted record begins with its quote, so that it is no formula.
    assert cells(second, keys.invalid_rows, "raw") == [
        f"{mark}@SUM(1+1)*cmd|' /C calc'!A0,x,10.00",
        '"=1,1",x,10.00',
    ]
