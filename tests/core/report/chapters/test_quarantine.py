"""What the report says of prices that wait for a review."""

from __future__ import annotations

from relay_core.domain.codes import RunStatus
from relay_core.publish.state import read_state
from relay_core.report.contents import report_of
from support.builders import (
    feed,
    run_context,
    tenant_config,
    vendor_document,
)
from support.explaining import run_in_memory
from support.report_reading import shown_rows, steps_of, table_of

CONFIG = tenant_config(
    vendor_document("v1"), guards={"quarantine": {"max_pct": 1}}
)
HEADER = "sku,quantity_available,cost,title"


def test_prices_that_are_kept_back_are_shown_with_both_and_who_offers_them() -> (
    None
):
    rows = [f"S{n:02},5,{n + 10}.00,Lamp {n}" for n in range(12)]
    before = run_in_memory(CONFIG, {"v1": feed(*rows, header=HEADER)})
    low = feed(*(f"S{n:02},5,1.00,Lamp {n}" for n in range(12)), header=HEADER)
    baseline = read_state(before.files[before.keys.state], keeps_rows=True)
    run = run_in_memory(CONFIG, {"v1": low}, baseline=baseline)
    report = report_of(run_context(), run.findings, RunStatus.SUCCEEDED)
    prices = table_of(report, "quarantine")
    assert (len(prices.rows), prices.total) == (10, 12)
    assert tuple(shown_rows(report, "quarantine")[1].values()) == (
        "S01",
        "11.00",
        "1.00",
        "v1, row 3",
    )
    assert prices.rows[1][0].note == "Lamp 1"
    assert report.verdict.tone == "warn"
    assert "Review 12 new prices below." in steps_of(report)[0]
    (action,) = report.actions
    assert (action.name, action.table) == ("accept_prices", "quarantine")
    assert action.command == f"relay runs accept {run_context().run_id} SKU"


def test_a_quarantine_without_prices_is_a_number_alone() -> None:
    run = run_in_memory(CONFIG, {"v1": feed("A,5,1.00")})
    report = report_of(run_context(), run.findings, RunStatus.SUCCEEDED)
    assert report.facts["quarantined"] == 0
    assert report.actions == ()
