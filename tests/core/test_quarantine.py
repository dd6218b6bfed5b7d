"""Prices that cannot be right: what the feed keeps, what confirms them, what is told of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from relay_core.config import TenantConfig, load_overrides
from relay_core.publish.state import Baseline, read_state
from support.builders import (
    REQUESTED_AT,
    config_document,
    feed,
    tenant_config,
    vendor_document,
)
from support.config_documents import faults_of
from support.explaining import RunInMemory, run_in_memory

HOUR = timedelta(hours=1)
NAMES = [f"S{number:03}" for number in range(100)]
NINE = NAMES[10:19]


def config(**quarantine: Any) -> TenantConfig:
    guards = {"quarantine": quarantine, "max_price_jumps_pct": "1"}
    output = {
        "columns": ["sku", "vendor_id", "quantity_available", "price", "title"]
    }
    vendors = (vendor_document("v1"), vendor_document("v2", required=False))
    return tenant_config(*vendors, guards=guards, output=output)


def prices(changed: Mapping[str, str] | None = None) -> dict[str, bytes]:
    now = {**dict.fromkeys(NAMES, "131.99"), **(changed or {})}
    rows = [f"{sku},7,{price},t{price}" for sku, price in now.items()]
    return {"v1": feed(*rows, header="sku,quantity_available,cost,title")}


def state_of(run: RunInMemory) -> Baseline:
    return read_state(run.files[run.keys.state], keeps_rows=True)


def state_rows(run: RunInMemory) -> dict[str, dict[str, Any]]:
    table = pq.read_table(io.BytesIO(run.files[run.keys.state]))
    return {row["sku"]: row for row in table.to_pylist()}


def rows(run: RunInMemory) -> dict[str, dict[str, str]]:
    text = run.files[run.keys.merged_inventory("csv")].decode()
    return {
        row["sku"]: row for row in csv.DictReader(io.StringIO(text, newline=""))
    }


FIRST = run_in_memory(config(), prices())


def second(
    changed: Mapping[str, str], made: TenantConfig | None = None, **more: Any
) -> RunInMemory:
    return run_in_memory(
        made or config(),
        prices(changed),
        **{"baseline": state_of(FIRST), **more},
    )


def nine_suspects() -> RunInMemory:
    """Return a run in which nine SKUs cost a tenth of their published price."""
    return second(dict.fromkeys(NINE, "13.19"))


def test_nine_skus_of_a_tenth_of_their_price_keep_the_published_one() -> None:
    run = nine_suspects()
    feed_rows = rows(run)
    assert {feed_rows[sku]["price"] for sku in NAMES} == {"131.99"}
    assert {feed_rows[sku]["title"] for sku in NINE} == {"t131.99"}
    assert not run.findings.is_held
    assert run.findings.quarantined == 9
    assert run.findings.counted_warnings()["SKUS_QUARANTINED"] == 1
    lines = run.files[run.keys.quarantine].decode().splitlines()
    assert lines[0] == (
        "sku,action,price_published,price_computed,vendor_id,row_number,suspect_since"
    )
    assert lines[1] == "S010,keep,131.99,13.19,v1,12,2026-03-01T12:00:00Z"
    assert len(lines) == 10
    assert run.findings.changes is not None
    assert run.findings.changes.counts["unchanged"] == 100


def test_a_guard_counts_the_skus_that_are_quarantined() -> None:
    guard = next(
        guard
        for guard in nine_suspects().findings.guards or ()
        if guard.guard == "quarantined"
    )
    assert guard.as_dict() == {
        "guard": "quarantined",
        "tripped": False,
        "value": "0.0900",
        "limit": "0.10",
        "count": 9,
        "of": 100,
        "examples": [
            {"sku": sku, "before": "131.99", "after": "13.19"}
            for sku in NINE[:5]
        ],
    }


def test_the_state_keeps_the_suspect_price_of_a_quarantined_sku() -> None:
    run = nine_suspects()
    suspect_row = state_rows(run)["S010"]
    assert (suspect_row["suspect_price"], suspect_row["suspect_since"]) == (
        Decimal("13.19"),
        REQUESTED_AT,
    )
    assert (
        suspect_row["offered_at"],
        suspect_row["kept_at_0"],
        suspect_row["title"],
    ) == (
        REQUESTED_AT,
        False,
        "t131.99",
    )
    sound_rows = [
        row for sku, row in state_rows(run).items() if sku not in NINE
    ]
    assert {
        (row["suspect_price"], row["suspect_since"]) for row in sound_rows
    } == {(None, None)}


def test_an_explanation_tells_of_the_quarantine() -> None:
    explanation = second({"S010": "13.19"}).explain("S010")
    assert explanation["reason"] == "quarantined"
    assert explanation["quarantine"] == {
        "action": "keep",
        "price_published": "131.99",
        "price_computed": "13.19",
        "suspect_since": "2026-03-01T12:00:00Z",
    }
    assert explanation["feed_row"]["price"] == "131.99"
    assert explanation["price_steps"][-1]["after"] == "13.19"
    assert explanation["winner"] == {"vendor_id": "v1", "row_number": 12}


@pytest.mark.parametrize("vendor_id", ["v1", "v2"])
def test_reports_show_the_title_of_a_kept_row(vendor_id: str) -> None:
    # Without a title among the columns, titles are fetched when they are asked for.
    output = {"columns": ["sku", "price"]}
    tenant = tenant_config(
        vendor_document(vendor_id), guards={"quarantine": {}}, output=output
    )
    changed = {"S000": "132", "S001": "132", "S010": "13.19", "S090": "999"}
    feeds = {vendor_id: prices(changed)["v1"]}
    run = run_in_memory(tenant, feeds, baseline=state_of(FIRST))
    titles = {sku: run.findings.titles[sku] for sku in ("S010", "S090")}
    assert titles == {"S010": "t131.99", "S090": "t131.99"}


def test_guards_are_null_where_none_is_judged_but_for_a_quarantine() -> None:
    options = ("skus_removed", "out_of_stock", "vendor_rows_lost")
    off: dict[str, Any] = {f"max_{name}_pct": None for name in options}
    off |= dict.fromkeys(("price_drop_pct", "price_rise_pct", "price_level"))
    first = run_in_memory(tenant_config(vendor_document("v1")), prices())
    for quarantine, expected in ((None, None), ({}, [])):
        guards = {**off, "quarantine": quarantine}
        tenant = tenant_config(vendor_document("v1"), guards=guards)
        few = {
            "v1": feed(
                "S001,7,131.99,t", header="sku,quantity_available,cost,title"
            )
        }
        assert (
            run_in_memory(tenant, few, baseline=state_of(first)).findings.guards
            == expected
        )


def test_more_than_the_share_holds_the_feed() -> None:
    run = second(dict.fromkeys(NAMES[:30], "13.19"))
    assert run.findings.is_held
    assert [guard.guard for guard in run.findings.tripped] == ["quarantined"]


@pytest.mark.parametrize(
    ("price", "is_kept"),
    [("65.99", True), ("66.00", False), ("263.98", False), ("263.99", True)],
)
def test_a_price_is_held_against_the_exact_product(
    price: str, is_kept: bool
) -> None:
    assert (
        rows(second({"S001": price}))["S001"]["price"] == "131.99"
    ) is is_kept


@pytest.mark.parametrize(
    ("said", "price"),
    [
        ({"price": "13.00"}, "13.00"),
        ({"min_price": "14"}, "14.00"),
        ({"min_price": "12"}, "131.99"),
        ({"accept_price": "13.19"}, "13.19"),
        ({"accept_price": "13.20"}, "131.99"),
        ({"accept_price": "5"}, "13.19"),
    ],
)
def test_an_override_may_explain_a_price(
    said: dict[str, Any], price: str
) -> None:
    overrides = load_overrides([{"sku": "S001", **said}], ("v1", "v2"))
    assert (
        rows(second({"S001": "13.19"}, overrides=overrides))["S001"]["price"]
        == price
    )


def test_time_confirms_a_price_like_the_suspect_one_and_another_begins_anew() -> (
    None
):
    run = second({"S001": "13.19", "S002": "13.19"})
    at = REQUESTED_AT + 23 * HOUR
    third = second(
        {"S001": "14", "S002": "1"}, baseline=state_of(run), requested_at=at
    )
    suspects = state_rows(third)
    assert (
        suspects["S001"]["suspect_price"],
        suspects["S001"]["suspect_since"],
    ) == (
        14,
        REQUESTED_AT,
    )
    assert (
        suspects["S002"]["suspect_price"],
        suspects["S002"]["suspect_since"],
    ) == (
        1,
        at,
    )
    at = REQUESTED_AT + 24 * HOUR
    fourth = second(
        {"S001": "15", "S002": "1"}, baseline=state_of(third), requested_at=at
    )
    assert [rows(fourth)[sku]["price"] for sku in ("S001", "S002")] == [
        "15.00",
        "131.99",
    ]
    never = second(
        {"S001": "13"},
        config(confirm_hours=None),
        baseline=state_of(run),
        requested_at=at,
    )
    assert rows(never)["S001"]["price"] == "131.99"


def test_a_new_config_explains_a_price_whose_cost_stayed_but_not_in_a_local_run() -> (
    None
):
    half = config().model_copy(
        update={
            "pricing": config().pricing.model_copy(
                update={"base_margin_pct": Decimal(9)}
            )
        }
    )
    first = run_in_memory(config(), prices(), config_version=1)
    options: dict[str, Any] = {"baseline": state_of(first)}
    assert (
        rows(second({}, half, config_version=2, **options))["S001"]["price"]
        == "1319.90"
    )
    assert (
        rows(second({}, half, config_version=1, **options))["S001"]["price"]
        == "131.99"
    )
    assert rows(second({}, half, **options))["S001"]["price"] == "131.99"
    dear = second({"S001": "132"}, half, config_version=2, **options)
    assert rows(dear)["S001"]["price"] == "131.99"


@pytest.mark.parametrize(("action", "quantity"), [("keep", "7"), ("zero", "0")])
def test_the_quantity_is_that_of_the_rows_own_vendor(
    action: str, quantity: str
) -> None:
    feeds = prices({"S001": "131.99"})
    cheap = feed(
        "S001,50,13,x", "S002,9,1,y", header="sku,quantity_available,cost,title"
    )
    without = feeds["v1"].replace(b"S002,7,131.99,t131.99\n", b"")
    run = run_in_memory(
        config(action=action),
        {"v1": without, "v2": cheap},
        baseline=state_of(FIRST),
    )
    feed_rows = rows(run)
    assert (
        feed_rows["S001"]["vendor_id"],
        feed_rows["S001"]["quantity_available"],
    ) == (
        "v1",
        quantity,
    )
    assert (
        feed_rows["S002"]["vendor_id"],
        feed_rows["S002"]["quantity_available"],
    ) == (
        "v1",
        "0",
    )
    assert run.files[run.keys.quarantine].decode().splitlines()[1].split(",")[
        4:6
    ] == [
        "v2",
        "2",
    ]


def test_a_state_of_an_older_release_confirms_nothing() -> None:
    plain = tenant_config(vendor_document("v1"))
    first = run_in_memory(plain, prices())
    assert "suspect_price" not in state_rows(first)["S001"]
    run = second({"S001": "13"}, baseline=state_of(first))
    assert rows(run)["S001"]["price"] == "131.99"


def test_every_fault_of_a_quarantine_is_named_at_once() -> None:
    options = {
        "price_drop_pct": 2,
        "price_rise_pct": 101,
        "action": "drop",
        "confirm_hours": 0,
        "max_pct": None,
        "hours": 1,
    }
    faults = faults_of(config_document(guards={"quarantine": options}))
    assert list(faults) == [f"guards.quarantine.{name}" for name in options]
    off = config(price_drop_pct=None, confirm_hours=None).guards.quarantine
    assert off is not None
    assert (off.price_drop_pct, off.confirm_hours) == (None, None)
    assert (
        rows(second({"S001": "1"}, config(price_drop_pct=None)))["S001"][
            "price"
        ]
        == "1.00"
    )


# --- runs in a row ------------------------------------------------------------------------------


@dataclass
class Model:
    """What a quarantine says of each SKU, in thirty lines."""

    version: int = 1
    published: dict[str, Decimal] = field(default_factory=dict)
    costs: dict[str, Decimal] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    suspects: dict[str, tuple[Decimal, datetime]] = field(default_factory=dict)
    published_version: int = 1

    def run(
        self,
        costs: Mapping[str, Decimal],
        factor: int,
        at: datetime,
        overrides: Mapping[str, Mapping[str, Decimal]],
    ) -> None:
        published = {}
        suspects = {}
        next_costs = {}
        for sku, cost in costs.items():
            override = overrides.get(sku, {})
            new = override.get("price", cost * factor)
            old = self.published.get(sku)
            price = new
            own_cost = cost
            if (
                old is not None
                and self._beyond(old, new)
                and "price" not in override
            ):
                accept = override.get("accept_price")
                is_accepted = accept is not None and min(
                    old, accept
                ) <= new <= max(old, accept)
                suspect, since = self.suspects.get(sku, (new, at))
                since = at if self._beyond(suspect, new) else since
                is_same = (
                    self.version != self.published_version
                    and self.costs[sku] == cost
                )
                if not (is_accepted or is_same or at - since >= 24 * HOUR):
                    price = old
                    own_cost = self.costs[sku]
                    suspects[sku] = (new, since)
            published[sku] = price
            next_costs[sku] = own_cost
        self.kept = {*self.published} - {*published}
        for sku in self.kept:
            published[sku] = self.published[sku]
            next_costs[sku] = self.costs[sku]
        self.published = published
        self.costs = next_costs
        self.suspects = suspects
        self.published_version = self.version

    def _beyond(self, old: Decimal, new: Decimal) -> bool:
        return new < old / 2 or new > old * 2


FEW = NAMES[:12]
AMOUNTS = st.sampled_from(
    [Decimal(factor) for factor in ("10", "15", "31", "100", "1")]
)


class Runs(RuleBasedStateMachine):
    """Runs in a row, each against the last one's state, beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.at = REQUESTED_AT
        self.factor = 1
        self.costs = dict.fromkeys(FEW, Decimal(10))
        self.offered = set(FEW)
        self.state = b""
        self.overrides: dict[str, dict[str, Decimal]] = {}

    @rule(sku=st.sampled_from(FEW[:4]), cost=AMOUNTS)
    def costs_change(self, sku: str, cost: Decimal) -> None:
        self.costs[sku] = cost

    @rule(sku=st.sampled_from(FEW[:3]))
    def a_sku_comes_or_goes(self, sku: str) -> None:
        self.offered ^= {sku}

    @rule(factor=st.sampled_from([1, 3]))
    def the_config_changes(self, factor: int) -> None:
        self.factor = factor
        self.model.version += 1

    @rule(
        sku=st.sampled_from(FEW[:3]),
        name=st.sampled_from(["price", "accept_price"]),
        cost=AMOUNTS,
    )
    def an_override_is_put(self, sku: str, name: str, cost: Decimal) -> None:
        self.overrides[sku] = {name: cost}

    @precondition(lambda self: self.overrides)
    @rule()
    def overrides_expire(self) -> None:
        self.overrides = {}

    @rule(hours=st.sampled_from([1, 12, 24]))
    def a_run(self, hours: int) -> None:
        self.at += hours * HOUR
        run = self._run()
        costs = {
            sku: cost for sku, cost in self.costs.items() if sku in self.offered
        }
        self.model.run(costs, self.factor, self.at, self.overrides)
        states = state_rows(run)
        assert {
            sku: row["price"] for sku, row in states.items()
        } == self.model.published
        assert {
            sku for sku, row in states.items() if row["kept_at_0"]
        } == self.model.kept
        assert {
            sku: (row["suspect_price"], row["suspect_since"])
            for sku, row in states.items()
            if row["suspect_price"] is not None
        } == self.model.suspects
        self.state = run.files[run.keys.state]

    def _run(self) -> RunInMemory:
        guards = {
            "quarantine": {"max_pct": 1},
            "mode": "warn",
            "min_baseline_skus": 1,
        }
        tenant = tenant_config(
            vendor_document("v1"),
            guards=guards,
            pricing={"base_margin_pct": self.factor - 1},
            output={"columns": ["sku", "price"], "missing_skus": "zero"},
        )
        lines = [
            f"{sku},1,{cost}"
            for sku, cost in self.costs.items()
            if sku in self.offered
        ]
        documents: Sequence[Any] = [
            {"sku": sku, **options} for sku, options in self.overrides.items()
        ]
        return run_in_memory(
            tenant,
            {"v1": feed(*lines)},
            baseline=read_state(self.state, keeps_rows=True)
            if self.state
            else None,
            overrides=load_overrides(documents, ("v1",)),
            requested_at=self.at,
            config_version=self.model.version,
        )


def test_runs_in_a_row_do_what_the_model_says() -> None:
    run_state_machine_as_test(
        Runs,
        settings=settings(
            max_examples=5, stateful_step_count=40, deadline=None
        ),
    )
