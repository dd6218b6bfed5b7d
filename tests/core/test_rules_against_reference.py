"""Seeded tenants that mix every rule of their own, run after run, against a plain reading.

``RELAY_FUZZ_EXAMPLES=500 pytest tests/core/test_rules_against_reference.py`` looks harder.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from golden_tenants import TENANTS, GoldenTenant, seeded_tenant
from reference_engine import merged_cells, text_of
from reference_explain import explained
from reference_merge import selling_price, winners
from reference_output import feed_cells, feed_file
from reference_rows import CANONICAL, Vendor, read_vendor
from reference_rules import kept_at_0, made
from relay_core.config import TenantConfig, load_config
from relay_core.publish.state import STATE_SCHEMA, read_state
from support.builders import REQUESTED_AT, RUN_ID
from support.explaining import RunInMemory, run_in_memory

SEEDS = range(int(os.environ.get("RELAY_FUZZ_EXAMPLES", "8")))
NAMES = (
    "bad_rows",
    "words",
    "numbers",
    "raised",
    "unpriced",
    "by_all",
    "one_vendor",
)
ROWS = 160
AGES = (
    timedelta(0),
    timedelta(days=7) - timedelta(microseconds=1),
    timedelta(days=7),
)
OUTPUTS: tuple[dict[str, Any], ...] = (
    {
        "columns": ["sku", "title", "price", "availability"],
        "escape_formulas": True,
    },
    {"columns": [*CANONICAL[::-1]], "format": "tsv"},
    {
        "columns": [
            {"column": "sku", "as": "id"},
            "lead_time_days",
            "price_with_currency",
            "brand",
        ],
        "format": "jsonl",
    },
)
ENDINGS = (None, "0", "0.99", "9.9")
KINDS = ("margin_pct", "markup", "fixed_price", "leave_out")


class Luck:
    """Draws rules; only ``Random.random`` is asked, whose numbers stay what they are."""

    def __init__(self, seed: int) -> None:
        self._luck = Random(f"rules {seed}")

    def pick(self, choices: Sequence[Any]) -> Any:
        return choices[int(self._luck.random() * len(choices))]

    def some(self, choices: Sequence[Any]) -> list[Any] | None:
        choice_list = [
            choice for choice in choices if self._luck.random() < 0.5
        ]
        return (
            choice_list if choice_list and self._luck.random() < 0.4 else None
        )

    def rules(self, vendor_ids: Sequence[str]) -> list[dict[str, Any]]:
        return [self._rule(vendor_ids) for _ in range(self.pick((0, 2, 5, 9)))]

    def stock(self) -> dict[str, Any]:
        bounds = {
            "hold_back": (0, 1, 5),
            "pct": (100, 50, 33),
            "zero_below": (0, 3, 10),
        }
        return {
            **{n: self.pick(of) for n, of in bounds.items()},
            "cap": self.pick((None, 20, 2)),
        }

    def _rule(self, vendor_ids: Sequence[str]) -> dict[str, Any]:
        low = self.pick((None, 5, 500, 1_000))
        conditions = {
            "vendors": self.some(vendor_ids),
            "brands": self.some([f"TEXT {number}" for number in range(50)]),
            "conditions": self.some(("new", "used", "refurb")),
            "cost_from": low,
            "cost_below": self.pick((None, (low or 0) + 700)),
        }
        kind = self.pick(KINDS)
        if kind == "leave_out":
            return {"when": conditions, "leave_out": True}
        amount = self.pick(("0", "0.25", "19.995", "75"))
        return {
            "when": conditions,
            kind: amount,
            "min_price": self.pick((None, "9.5", "1234.5678")),
        }


def turns_of(seed: int) -> list[GoldenTenant]:
    """Return the same tenant twice: its feeds share some of their SKUs."""
    recipe = replace(TENANTS[NAMES[seed % len(NAMES)]], rows=ROWS)
    return [
        seeded_tenant(f"rules {seed}, turn {turn}", recipe) for turn in range(2)
    ]


def config_of(seed: int, tenant: GoldenTenant) -> TenantConfig:
    luck = Luck(seed)
    flat = Luck(-seed)
    document = dict(tenant.document)
    vendors = [
        {
            **vendor,
            "duplicate_skus": luck.pick(
                ("compete", "first", "last", "sum", "refuse")
            ),
            "stock": luck.pick((None, luck.stock())),
            "shipping_handling_flat": flat.pick((None, "0", "12.3456")),
        }
        for vendor in document["vendors"]
    ]
    rules = luck.rules([vendor["vendor_id"] for vendor in vendors])
    document |= {
        "vendors": vendors,
        "pricing": {
            **document["pricing"],
            "rules": rules,
            "ending": flat.pick(ENDINGS),
        },
        "stock": luck.pick((None, luck.stock())),
        "output": {
            **OUTPUTS[seed % len(OUTPUTS)],
            "missing_skus": luck.pick(("zero", "zero", "drop")),
        },
        "guards": {"mode": "warn"},
    }
    if document["output"]["missing_skus"] == "zero":
        document["output"]["missing_sku_days"] = 7
    return load_config(document)


def aged(state: bytes) -> bytes:
    """Return a state whose SKUs were offered last at several times."""
    table = pq.read_table(io.BytesIO(state))
    place = STATE_SCHEMA.get_field_index("offered_at")
    at = [REQUESTED_AT - AGES[row % len(AGES)] for row in range(len(table))]
    column = pa.array(at, STATE_SCHEMA.field(place).type)
    changed = table.set_column(place, STATE_SCHEMA.field(place), column)
    out = io.BytesIO()
    pq.write_table(changed, out)
    return out.getvalue()


def read_vendors(
    config: TenantConfig, feeds: Mapping[str, bytes], maps: Mapping[str, bytes]
) -> list[Vendor]:
    return [
        read_vendor(
            config,
            vendor,
            feeds[vendor.vendor_id],
            maps.get(vendor.vendor_id),
            REQUESTED_AT,
        )
        for vendor in config.vendors
    ]


def plain_feed(
    config: TenantConfig, vendors: Sequence[Vendor], state: bytes
) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, Any]]]:
    """Return the feed's rows by SKU, every column a text, and the state's rows that stay in it."""
    offers = [offer for vendor in vendors for offer in made(config, vendor)]
    cells = {
        best["sku"]: merged_cells(config, best, price)
        for best in winners(config, offers)
        if (price := selling_price(config, best)) is not None
    }
    rows = pq.read_table(io.BytesIO(state)).to_pylist()
    zero_rows = {
        row["sku"]: row
        for row in kept_at_0(config, rows, set(cells), REQUESTED_AT)
    }
    for sku, row in zero_rows.items():
        cell_values = {name: row[name] for name in CANONICAL}
        for name in ("cost", "map_price", "price", "msrp"):
            cell_values[name] = (
                None if row[name] is None else int(row[name] * 10_000)
            )
        cell_values["updated_at"] = (
            int(row["updated_at"].timestamp()) * 1_000_000
        )
        cells[sku] = {
            name: text_of(cell_values, name, places=2) for name in CANONICAL
        }
    return cells, zero_rows


@pytest.mark.parametrize("seed", SEEDS)
def test_a_feed_and_all_that_is_told_of_it_are_what_the_rules_say(
    seed: int,
) -> None:
    before, now = turns_of(seed)
    config = config_of(seed, now)
    first = run_in_memory(config, before.feeds, sku_maps=before.sku_maps)
    assert first.findings.failure is None
    state = aged(first.files[first.keys.state])
    baseline = read_state(state, keeps_rows=True)
    second = run_in_memory(
        config, now.feeds, sku_maps=now.sku_maps, baseline=baseline
    )
    assert second.findings.failure is None
    vendors = read_vendors(config, now.feeds, now.sku_maps)
    cells, zero_rows = plain_feed(config, vendors, state)
    expected = feed_file(config, [cells[sku] for sku in sorted(cells)])
    assert (
        second.files[second.keys.merged_inventory(config.output.format)]
        == expected
    )
    assert (
        "MISSING_SKUS_ZEROED" in second.findings.counted_warnings()
    ) is bool(zero_rows)
    assert_state_is(second, cells, zero_rows)
    assert_all_is_explained(config, second, vendors, cells, zero_rows)


def assert_state_is(
    run: RunInMemory,
    cells: Mapping[str, Any],
    kept: Mapping[str, Mapping[str, Any]],
) -> None:
    rows = pq.read_table(io.BytesIO(run.files[run.keys.state])).to_pylist()
    assert [row["sku"] for row in rows] == sorted(cells)
    for row in rows:
        if row["sku"] in kept:
            assert row == kept[row["sku"]]
        else:
            assert (row["kept_at_0"], row["offered_at"]) == (
                False,
                REQUESTED_AT,
            )


def assert_all_is_explained(
    config: TenantConfig,
    run: RunInMemory,
    vendors: Sequence[Vendor],
    cells: Mapping[str, dict[str, str]],
    kept: Mapping[str, Any],
) -> None:
    offered = {offer["sku"] for vendor in vendors for offer in vendor.offers}
    refused = {
        sku for vendor in vendors for sku in vendor.refused_skus.values()
    }
    for sku in sorted({*cells, *offered, *refused})[::3]:
        expected = {"run_id": RUN_ID, **explained(config, vendors, sku)}
        if sku in kept:
            expected |= {
                "reason": "kept_at_0",
                "feed_row": feed_cells(config, cells[sku]),
            }
        assert run.explain(sku) == expected
