"""What the report says of a run: the numbers, in the order in which they matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from relay_core.domain.codes import RunStatus, VendorStatus
from relay_core.domain.records import CauseSample
from relay_core.publish.findings import RunFindings, RunScope
from relay_core.publish.report.content import Report, report_html, report_of
from relay_core.publish.report.parts import Excerpt, Move
from relay_core.publish.report.table_rows import SuspectRow, VendorRow
from relay_core.publish.state import Publication, read_state
from relay_core.validation.vendor_failures import VendorState
from support.builders import (
    REQUESTED_AT,
    feed,
    run_context,
    tenant_config,
    vendor_document,
)
from support.explaining import run_in_memory
from support.reported_runs import KEYS, ReportedRun, go_through

MANY = [f"SKU-{n:02},5,{n}.00" for n in range(1, 21)]


def shown(run: ReportedRun) -> Report:
    return report_of(run_context(), run.findings, run.findings.status)


def compared(records: Sequence[str], **changes: Any) -> Report:
    published = go_through({"north": feed(*MANY)})
    return shown(
        go_through(
            {"north": feed(*records)}, baseline=published.baseline, **changes
        )
    )


def test_a_run_that_is_compared_with_nothing_has_neither_changes_nor_guards() -> (
    None
):
    report = shown(go_through({"north": feed("A,1,1")}))
    assert report.changes is None
    assert not report.guards
    assert not report.unpriced
    assert report.shares is None
    assert (
        report.verdict.sentence
        == "There is no previous feed to compare it with."
    )


def test_the_numbers_are_those_of_the_summary() -> None:
    report = shown(
        go_through({"north": feed("A,1,1", "B,x,1", "C,1,", "D,1,1")})
    )
    assert [(each.value, each.note) for each in report.figures] == [
        ("2", ""),
        ("4", ""),
        ("1", "25%"),
        ("1", ""),
    ]
    assert report.unpriced == Excerpt(("C",), 0)


def test_a_failed_run_has_no_number_of_skus() -> None:
    report = shown(go_through({"north": feed("A,x,1"), "south": b"\xff"}))
    assert [each.label for each in report.figures] == [
        "Rows read",
        "Rows rejected",
    ]
    assert [fault.error_code for fault in report.faults.rows] == [
        "DECODE_ERROR"
    ]
    assert "vendor south" in report.verdict.next_actions[0]


def test_changes_are_counted_and_drawn_on_one_scale() -> None:
    moved = [
        "SKU-01,0,1.00",
        "SKU-02,5,3.00",
        "SKU-03,5,1.50",
        "SKU-04,5,8.00",
        *MANY[4:18],
    ]
    report = compared([*moved, "NEW,1,1.00"])
    assert report.changes is not None
    assert [
        (bar.label, bar.value, bar.length) for bar in report.changes.chart.bars
    ] == [
        ("New in the feed", "1", "50.0"),
        ("Removed from the feed", "2", "100.0"),
        ("Back in stock", "0", "0.0"),
        ("Out of stock", "1", "50.0"),
        ("Price increased", "2", "100.0"),
        ("Price decreased", "1", "50.0"),
        ("Vendor changed", "0", "0.0"),
    ]
    assert report.changes.chart.summary == (
        "Of the 20 SKUs in the previous feed, 14 did not change, 4 changed, and 2 left the "
        "feed. New in the feed: 1 SKU."
    )


def test_the_greatest_price_moves_come_first_and_are_ten_each() -> None:
    rises = [f"SKU-{n:02},5,{n + 1}.00" for n in range(1, 13)]
    report = compared([*rises, "SKU-13,5,6.50", *MANY[13:]])
    assert report.changes is not None
    assert len(report.changes.rises) == 10
    assert report.changes.rises[0] == Move("SKU-01", "1.00", "2.00", "+100.0%")
    assert report.changes.falls == (
        Move("SKU-13", "13.00", "6.50", "\N{MINUS SIGN}50.0%"),
    )
    assert report.currency == "USD"


def test_guards_that_trip_come_first_and_show_their_first_skus() -> None:
    report = compared(MANY[:3])
    assert report.is_held
    tripped = [guard for guard in report.guards.rows if guard.tripped]
    assert list(report.guards.rows[: len(tripped)]) == tripped
    assert [guard.name for guard in tripped] == [
        "SKUs removed",
        "Vendor rows of north",
    ]
    removed = tripped[0]
    assert (removed.share, removed.limit, removed.counted) == (
        "85%",
        "50%",
        "17 of 20",
    )
    assert removed.examples[0] == Move("SKU-04", "4.00", "removed")
    assert all(
        not guard.examples for guard in report.guards.rows[len(tripped) :]
    )


def test_each_vendor_has_its_rows_its_share_and_its_age() -> None:
    report = shown(
        go_through(
            {
                "north": feed("A,1,1", "B,1,1", "C,1,1"),
                "south": feed("C,1,0.50", "D,x,1"),
            },
            uploaded_at={"north": REQUESTED_AT - timedelta(hours=26)},
        )
    )
    north, south = report.vendors.rows
    assert north == VendorRow(
        "north",
        "good",
        "Latest file",
        "3",
        "0 (0%)",
        "2 (66.7%)",
        "26 hours",
        "",
    )
    assert (south.rows, south.rejected, south.won, south.age) == (
        "2",
        "1 (50%)",
        "1 (33.3%)",
        "",
    )
    assert report.shares is not None
    assert [(bar.label, bar.length) for bar in report.shares.bars] == [
        ("north", "100.0"),
        ("south", "50.0"),
    ]


def test_a_vendor_that_is_left_out_says_why_and_is_to_be_asked() -> None:
    report = shown(
        go_through(
            {"north": feed("A,1,1"), "south": b"\xff"},
            vendors={"north": {}, "south": {"on_trouble": "leave_out"}},
        )
    )
    south = report.vendors.rows[1]
    assert (south.tone, south.use) == ("warn", "Left out")
    assert "DECODE_ERROR" in south.note
    assert report.verdict.word == "Succeeded, with warnings"
    assert report.verdict.next_actions == (
        "Get a file that can be used from south.",
    )


def test_a_last_good_feed_has_the_age_of_its_own() -> None:
    run = go_through(
        {"north": feed("A,1,1")}, uploaded_at={"north": REQUESTED_AT}
    )
    state = VendorState(VendorStatus.LAST_GOOD, None, "r0", age_hours=50)
    run.findings = replace(run.findings, states={"north": state})
    (north,) = shown(run).vendors.rows
    assert (north.use, north.age) == ("Last good file", "2 days")


def test_a_vendor_without_an_upload_is_shown() -> None:
    report = shown(
        go_through({"north": feed("A,1,1")}, vendors={"north": {}, "south": {}})
    )
    assert [
        (each.vendor_id, each.tone, each.use) for each in report.vendors.rows
    ] == [
        ("north", "good", "Latest file"),
        ("south", "bad", "No file"),
    ]
    assert not report.figures


def test_the_report_says_which_run_it_is_of() -> None:
    ctx = replace(run_context(), config_version=7)
    report = report_of(
        ctx, go_through({"north": feed("A,1,1")}).findings, RunStatus.SUCCEEDED
    )
    assert (report.ctx.tenant_id, report.ctx.config_version) == ("acme", 7)
    assert report.requested_on == "Mar 1, 2026, 12:00 PM (UTC)"


def test_times_are_those_of_the_tenant_s_zone() -> None:
    findings = replace(
        go_through({"north": feed("A,1,1")}).findings,
        timezone="Europe/Berlin",
        history=[
            Publication("r0", "2026-02-01T12:00:00.25Z", 1),
            Publication("r1", "yesterday", 1),
        ],
    )
    report = report_of(run_context(), findings, RunStatus.SUCCEEDED)
    assert report.requested_on == "Mar 1, 2026, 1:00 PM (Europe/Berlin)"
    assert report.history is not None
    assert [bar.label for bar in report.history.bars] == [
        "Feb 1, 2026, 1:00 PM (Europe/Berlin)",
        "yesterday",
        "Mar 1, 2026, 1:00 PM (Europe/Berlin), this run",
    ]


def test_a_run_has_the_zone_of_its_config() -> None:
    config = tenant_config(vendor_document("north"), timezone="Asia/Tokyo")
    assert RunScope.of(config, config.vendors).timezone == "Asia/Tokyo"
    findings = RunFindings.of(RunScope.of(config, config.vendors))
    assert findings.timezone == "Asia/Tokyo"


def test_causes_are_grouped_by_code_and_column_with_samples_and_the_patch() -> (
    None
):
    north = feed(
        "A,1,$1.00",
        "B,1,$2.00",
        "C,1,$3.00",
        "D,1,$4.00",
        "E,x,5.00",
        "F,1,6.00",
    )
    report = shown(
        go_through({"north": north, "south": feed("A,1,1", "B,1,TBD")})
    )
    amounts, quantities = report.causes.rows
    assert (amounts.title, amounts.error_code) == (
        "cost: not a valid amount",
        "invalid_decimal",
    )
    assert amounts.counted == "5 rows"
    first, second = amounts.causes.rows
    assert (first.vendor_id, first.counted) == ("north", "4 rows")
    assert [(each.row_number, each.value) for each in first.samples] == [
        (2, "$1.00"),
        (3, "$2.00"),
        (4, "$3.00"),
    ]
    assert "currency_symbols" in first.patch
    assert (second.vendor_id, second.patch) == ("south", "")
    assert second.what_to_do.startswith("Correct the cell, or set parser.")
    assert quantities.title == "quantity_available: not a whole number"


def test_a_record_that_does_not_fit_its_header_is_a_cause_of_its_own() -> None:
    report = shown(go_through({"north": feed("A,1,1", "B,1,1,1")}))
    (group,) = report.causes.rows
    assert group.title == "More or fewer cells than the header"
    assert group.causes.rows[0].samples == (CauseSample(3, "B,1,1,1"),)


def test_the_tenants_own_rules_are_shown_with_what_each_did() -> None:
    run = go_through(
        {
            "north": feed("A,5,1", "A,2,1", "B,9,20"),
            "south": feed("C,1,500", "D,4,1"),
        },
        vendors={
            "north": {"duplicate_skus": "sum"},
            "south": {"stock": {"hold_back": 2}},
        },
        pricing={
            "rules": [
                {
                    "when": {"vendors": ["south"], "cost_from": 100},
                    "leave_out": True,
                },
                {"when": {"cost_below": 10}, "markup": "2.50", "min_price": 4},
                {"when": {"brands": ["x"]}, "margin_pct": "0.1"},
            ]
        },
        stock={"pct": 50, "cap": 4},
    )
    assert [
        (each.path, each.rule, each.vendor_id, each.effect)
        for each in shown(run).rules.rows
    ] == [
        ("vendors.0.duplicate_skus", "sum", "north", "1 row not used"),
        (
            "pricing.rules.0",
            "vendors south, cost_from 100: leave_out true",
            "",
            "1 offer left out",
        ),
        (
            "pricing.rules.1",
            "cost_below 10: markup 2.50, min_price 4",
            "",
            "2 SKUs priced",
        ),
        ("pricing.rules.2", "brands x: margin_pct 0.1", "", "0 SKUs priced"),
        ("stock", "pct 50, cap 4", "north", "9 units not offered"),
        ("vendors.1.stock", "hold_back 2", "south", "3 units not offered"),
    ]
    page = run.html.decode()
    assert "Your rules" in page
    assert "cost_below 10: markup 2.50, min_price 4" in page


def test_without_rules_there_is_nothing_of_them() -> None:
    run = go_through({"north": feed("A,1,1")})
    assert not shown(run).rules
    assert "Your rules" not in run.html.decode()


def test_rows_are_shown_by_where_they_went_and_many_of_one_sku_are_the_first_thing_to_do() -> (
    None
):
    rows = [f"A,{n},1.00" for n in range(1_500)]
    report = shown(
        go_through({"north": feed(*rows, "B,x,1"), "south": feed("C,1,1")})
    )
    first = report.rows.rows[0]
    assert (first.vendor_id, first.read) == ("north", "1,501 rows")
    assert [(fate.rows, fate.words) for fate in first.fates] == [
        ("1", "In the feed"),
        ("1,499", "A better row has the same SKU"),
        ("1", "Rejected"),
    ]
    assert report.verdict.tone == "warn"
    assert report.verdict.next_actions[0].endswith(
        "north identifies its products: 1,499 of 1,501 rows have the same SKU as a better row "
        "and are not in the feed."
    )


def test_moves_have_titles_and_thousands() -> None:
    header = "sku,quantity_available,cost,title"
    before, now = (
        go_through(
            {
                "north": feed(
                    *(f"S{n},1,{cost},Bolt {n}" for n in range(12)),
                    header=header,
                )
            }
        )
        for cost in ("1000.00", "1200.50")
    )
    again = go_through(
        {
            "north": feed(
                *(f"S{n},1,1200.50,Bolt {n}" for n in range(12)), header=header
            )
        },
        baseline=before.baseline,
    )
    changes = shown(again).changes
    assert changes is not None
    assert changes.rises[0] == Move(
        "S0", "1,000.00", "1,200.50", "+20.1%", "Bolt 0"
    )
    assert not now.findings.titles


def test_the_last_ten_feeds_are_drawn_and_this_one_with_them() -> None:
    run = go_through({"north": feed(*MANY[:11])})
    assert shown(run).history is None
    for size in range(12, 23):
        held = size == 22
        rows = (
            MANY[:5]
            if held
            else [*MANY[:11], *(f"X-{n},1,1" for n in range(size - 11))]
        )
        run = go_through({"north": feed(*rows)}, baseline=run.baseline)
    history = shown(run).history
    assert history is not None
    assert [bar.value for bar in history.bars] == [
        f"{n} SKUs" for n in (*range(13, 22), 5)
    ]
    assert {bar.tone for bar in history.bars[:-1]} == {"idle"}
    assert (
        history.bars[-1].tone,
        history.bars[-1].label.endswith(", this run"),
    ) == (
        "warn",
        True,
    )
    assert history.bars[-2].length == "100.0"


def test_a_state_that_tells_of_no_history_or_of_another_kind_has_none() -> None:
    data = go_through({"north": feed(*MANY)}).files[KEYS.state]
    table = pq.read_table(pa.BufferReader(data))
    for told in (None, b"{", b'[["a"]]', b'[[1, "b", 2]]', b"7"):
        metadata = dict(table.schema.metadata)
        metadata.pop(b"relay_history")
        if told is not None:
            metadata[b"relay_history"] = told
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata(metadata), sink)
        assert list(read_state(sink.getvalue().to_pybytes()).history) == []


def test_prices_that_are_kept_back_are_shown_with_both_and_who_offers_them() -> (
    None
):
    config = tenant_config(
        vendor_document("v1"), guards={"quarantine": {"max_pct": 1}}
    )
    rows = [f"S{n:02},5,{n + 10}.00,Lamp {n}" for n in range(12)]
    header = "sku,quantity_available,cost,title"
    before = run_in_memory(config, {"v1": feed(*rows, header=header)})
    assert not report_of(
        run_context(), before.findings, RunStatus.SUCCEEDED
    ).quarantine
    low = feed(*(f"S{n:02},5,1.00,Lamp {n}" for n in range(12)), header=header)
    baseline = read_state(before.files[before.keys.state], keeps_rows=True)
    run = run_in_memory(config, {"v1": low}, baseline=baseline)
    report = report_of(run_context(), run.findings, RunStatus.SUCCEEDED)
    assert (len(report.quarantine.rows), report.quarantine.more) == (10, 2)
    assert report.quarantine.rows[1] == SuspectRow(
        "S01", "Lamp 1", "11.00", "1.00", "v1, row 3"
    )
    assert report.verdict.tone == "warn"
    assert "Review 12 new prices below." in report.verdict.next_actions[0]
    page = report_html(
        run_context(), run.findings, RunStatus.SUCCEEDED
    ).decode()
    assert "<h2>Prices to review</h2>" in page
    assert f"relay runs accept {run_context().run_id} SKU" in page


def test_each_channel_has_its_first_rows() -> None:
    file = {"columns": ["sku", "price", {"constant": "", "as": "<note>"}]}
    run = go_through(
        {"north": feed(*MANY)},
        channels=[
            {"channel_id": "shop", "output": file, "price": {"flat": 1}},
            {
                "channel_id": "empty",
                "output": file,
                "when": {"price_from": 99},
            },
        ],
    )
    shop, empty = shown(run).channels
    assert (shop.channel_id, shop.counted) == ("shop", "20 rows")
    assert shop.headers == ("sku", "price", "<note>")
    assert len(shop.rows) == 5
    assert shop.rows[0] == ("SKU-01", "2.00", "")
    assert (empty.counted, empty.rows) == ("0 rows", ())
    page = run.html.decode()
    assert "First rows of the file" in page
    assert "The file has only its header" in page
    assert "&lt;note&gt;" in page
    assert (
        "<h2>Channels</h2>"
        not in go_through({"north": feed(*MANY)}).html.decode()
    )
