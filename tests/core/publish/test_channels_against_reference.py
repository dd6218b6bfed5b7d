"""Channels over seeds, held against a plain second reading of the rules.

``RELAY_FUZZ_EXAMPLES=500 pytest`` with this file looks harder.
"""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Sequence
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest

from reference_channels import channel_file, channel_rows
from relay_core.config import TenantConfig, load_config
from support.builders import (
    config_document,
    feed,
    vendor_document,
)
from support.reported_runs import KEYS, ReportedRun, go_through

SEEDS = range(int(os.environ.get("RELAY_FUZZ_EXAMPLES", "8")))
ROWS = 150
HEADER = (
    "sku,quantity_available,cost,map_price,msrp,condition,brand,title,shade,"
    "updated_at"
)
BRANDS = ("Granite", "GRANITE", "Größe", "GRÖSSE", "straße", "O'Neil", "")
SHADES = ("red", "RED", "Straße", "", "=1+1")
AMOUNTS = ("", "0.01", "1.005", "9.995", "12", "250.0001", "999999.9999")
SHARES = ("0", "0.05", "-0.9", "-0.3333", "0.1234", "100")
FLATS = ("0", "0.005", "0.0001", "-0.01", "-12", "1000000", "-1000000")
ENDINGS = (None, "0", "0.99", "9.99", "9.9")
QUANTITIES = (0, 0, 1, 2, 7, 60, 2_147_483_647)
COLUMNS: tuple[Any, ...] = (
    "sku",
    "vendor_id",
    "quantity_available",
    "lead_time_days",
    "price",
    "map_price",
    "brand",
    "title",
    "shade",
    "updated_at",
    "availability",
    "currency",
    "price_with_currency",
    {"constant": "+1", "as": "-constant"},
    {"column": "price", "as": "a, b"},
)


class Luck(Random):
    """Draws the feeds and the channels of one seed."""

    def feed_of(self, turn: int) -> bytes:
        numbers = range(turn * 10, turn * 10 + ROWS)
        return feed(*map(self._row, numbers), header=HEADER)

    def _row(self, number: int) -> str:
        cells = (
            f"S{number:04}",
            self.choice(QUANTITIES),
            self.choice(AMOUNTS),
            self.choice(AMOUNTS),
            self.choice(AMOUNTS),
            self.choice(("", "new", "used", "refurb")),
            self.choice(BRANDS),
            self.choice(("", "plain", '"a, b"', "tab\there", "=SUM(A1)")),
            self.choice(SHADES),
            self.choice(("", "2024-03-10 02:30:00.75")),
        )
        return ",".join(map(str, cells))

    def channels(self) -> list[dict[str, Any]]:
        return [
            self._channel(f"channel-{n}") for n in range(self.randint(1, 4))
        ]

    def _channel(self, channel_id: str) -> dict[str, Any]:
        format = self.choice(("csv", "tsv", "jsonl", "parquet"))
        output = {
            "format": format,
            "columns": self.sample(COLUMNS, self.randint(1, len(COLUMNS))),
        }
        if format in ("csv", "tsv"):
            output["escape_formulas"] = self.choice((True, False))
        if format != "parquet":
            output["compression"] = self.choice(("none", "gzip"))
        return {
            "channel_id": channel_id,
            "output": output,
            "when": self._conditions(),
            "price": {
                "pct": self.choice(SHARES),
                "flat": self.choice(FLATS),
                "min_price": self.choice(("0", "0.0001", "5.005", "99")),
                "ending": self.choice(ENDINGS),
            },
            "stock": self.choice((None, self._stock())),
        }

    def _conditions(self) -> dict[str, Any]:
        low = self.choice((None, "0.01", "9.995", "12"))
        return {
            "vendors": self._some(("v", "w")),
            "brands": self._some(BRANDS[:-1]),
            "conditions": self._some(("new", "used", "refurb")),
            "columns": {
                "shade": self._some(("Red", "STRASSE", "=1+1")) or ["red"]
            }
            if self.random() < 0.2
            else {},
            "price_from": low,
            "price_below": self.choice((None, "1000.005")),
            "in_stock": self.choice((None, None, True, False)),
        }

    def _stock(self) -> dict[str, Any]:
        return {
            "hold_back": self.choice(QUANTITIES[:-1]),
            "pct": self.choice((100, 50, 33, 0)),
            "zero_below": self.choice((0, 3)),
            "cap": self.choice((None, 5, 2_147_483_647)),
        }

    def _some(self, words: Sequence[str]) -> list[str] | None:
        if self.random() < 0.6:
            return None
        return self.sample(words, self.randint(1, len(words)))


def changes_of(luck: Luck) -> dict[str, Any]:
    return {
        "vendors": {"v": {}, "w": {}},
        "extra_columns": ["shade"],
        "output": {"columns": ["sku"], "missing_skus": "zero"},
        "pricing": {
            "map_policy": {"enforce": luck.choice((True, False))},
            "min_price": luck.choice(("0", "1.005")),
        },
        "guards": {
            "mode": "warn",
            "quarantine": luck.choice((None, {"max_pct": "1"})),
        },
        "channels": luck.channels(),
    }


def config_of(changes: dict[str, Any]) -> TenantConfig:
    options = dict(changes)
    vendors = [vendor_document(name) for name in options.pop("vendors")]
    return load_config(config_document(*vendors, **options))


def judge(run: ReportedRun, config: TenantConfig) -> None:
    """Hold every channel of a run against the rows of its feed's state."""
    rows = pq.read_table(io.BytesIO(run.files[KEYS.state])).to_pylist()
    expected_counts = {}
    expected_codes = []
    for channel in config.channels:
        expected, unpriced = channel_rows(config, channel, rows)
        expected_counts[channel.channel_id] = len(expected)
        if unpriced:
            expected_codes.append("CHANNEL_UNPRICED")
        if not expected:
            expected_codes.append("CHANNEL_EMPTY")
        key = KEYS.channel(channel.channel_id, channel.output.suffix)
        data = run.files[key]
        if channel.output.compression == "gzip":
            data = gzip.decompress(data)
        if channel.output.format == "parquet":
            table = pq.read_table(io.BytesIO(data))
            assert len(table) == len(expected)
            for column in channel.output.columns:
                if column.column in ("price", "quantity_available", "sku"):
                    cells = [row[column.column] for row in expected]
                    assert table[column.header].to_pylist() == cells
        else:
            assert data == channel_file(config, channel, expected)
    assert {
        channel.channel_id: channel.rows for channel in run.findings.channels
    } == expected_counts
    codes = [entry.error_code for entry in run.findings.warnings]
    assert codes[len(codes) - len(expected_codes) :] == expected_codes
    assert not [
        code
        for code in codes[: len(codes) - len(expected_codes)]
        if code.startswith("CHANNEL")
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_channel_is_as_the_rules_say(seed: int) -> None:
    luck = Luck(seed)
    changes = changes_of(luck)
    config = config_of(changes)
    feeds = {"v": luck.feed_of(0), "w": luck.feed_of(4)}
    first = go_through(feeds, **changes)
    judge(first, config)
    feeds = {"v": luck.feed_of(1), "w": luck.feed_of(5)}
    second = go_through(feeds, baseline=first.baseline, **changes)
    judge(second, config)
