"""The local runner explains SKUs, and docs/EXPLAIN.md says of the sample tenant what it prints."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from relay_dagster.client.commands.skus import show_explanation
from relay_dagster.client.terminal import Screen
from relay_dagster.local.command import main
from relay_dagster.wire.skus import Explanation
from support.builders import config_document, feed, vendor_document
from support.local_bench import NOW, Bench
from support.pages import PAGES

PAGE = PAGES["docs/EXPLAIN.md"]
SAMPLE = ("--tenant", "acme_parts", "--run-id", "R", "--now", NOW)


def told(
    capsys: pytest.CaptureFixture[str], count: int
) -> list[dict[str, Any]]:
    """Return the last lines of standard output, which are JSON."""
    return [
        json.loads(line)
        for line in capsys.readouterr().out.splitlines()[-count:]
    ]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_each_sku_that_is_named_is_a_line_in_the_order_in_which_they_are(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    skus = ["--explain= B ", "--explain=no such", "--explain=A", "--explain=A"]
    assert (
        bench.run(
            config_document(),
            "--run-id=R",
            *skus,
            vendor_1=feed("A,1,2.5", "B,1,"),
        )
        == 0
    )
    unpriced, unknown, priced, again = told(capsys, 4)
    assert (unpriced["run_id"], unpriced["sku"], unpriced["reason"]) == (
        "R",
        "B",
        "unpriced",
    )
    assert unknown == {"sku": "no such", "error_code": "SKU_NOT_FOUND"}
    assert priced["feed_row"] == bench.merged()[0]
    assert again == priced


def test_it_leaves_what_a_run_leaves_without_it(bench: Bench) -> None:
    data = feed("A,1,2.5", "A,none,1")
    lenient = config_document(
        error_policy={"max_invalid_rows": 1, "max_invalid_row_pct": "1"}
    )

    def leave(*options: str) -> dict[str, bytes]:
        assert bench.run(lenient, "--run-id=R", *options, vendor_1=data) == 0
        clocks = ("reports/run_summary.json", "reports/input_manifest.json")
        return {
            p: (bench.out / p).read_bytes()
            for p in bench.tree()
            if p not in clocks
        }

    assert leave() == leave("--explain=A")


def test_of_a_run_that_did_not_merge_nothing_is_told_and_it_ends_as_it_would(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = {"vendor_1": feed("A,none,2.5")}
    assert bench.run(config_document(), "--explain= A", **failing) == 1
    assert told(capsys, 1) == [{"sku": "A", "error_code": "RUN_NOT_MERGED"}]
    assert (
        bench.run(config_document(schema_version=2), "--explain=A", **failing)
        == 1
    )
    assert told(capsys, 1) == [{"sku": "A", "error_code": "RUN_NOT_MERGED"}]
    assert (
        bench.run(config_document(tenant_id="no id"), "--explain=A", **failing)
        == 2
    )
    assert capsys.readouterr().out == ""


def test_a_held_run_is_explained(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"S-{number:02},1,10.00" for number in range(20)]
    assert bench.run(config_document(), vendor_1=feed(*rows)) == 0
    baseline = bench.write(
        "state.parquet", (bench.out / "published/state.parquet").read_bytes()
    )
    options = (f"--baseline={baseline}", "--explain=S-00")
    assert (
        bench.run(config_document(), *options, vendor_1=feed("S-00,1,11.00"))
        == 3
    )
    (explained,) = told(capsys, 1)
    assert explained["feed_row"]["price"] == "11.00"


def test_a_vendor_that_is_left_out_is_told_of(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    document = config_document(
        vendor_document("good"),
        vendor_document(
            "bad", on_trouble="leave_out", max_invalid_row_pct="0.1"
        ),
    )
    feeds = {"good": feed("A,1,9"), "bad": feed("A,1,1", "B,none,1")}
    assert bench.run(document, "--explain=A", **feeds) == 0
    (explained,) = told(capsys, 1)
    assert [
        (offer["vendor_id"], offer["lost_on"]) for offer in explained["offers"]
    ] == [
        ("good", None),
        ("bad", "left_out"),
    ]


# --- the page -----------------------------------------------------------------------------------


def test_the_page_reads_an_explanation_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"^```\n(.*?)^```$", PAGE, re.M | re.S)
    assert (
        main(
            [*SAMPLE, f"--output-dir={tmp_path / 'out'}", "--explain=ACM-16097"]
        )
        == 0
    )
    (explained,) = told(capsys, 1)
    out = io.StringIO()
    show_explanation(
        Screen(out=Console(file=out, highlight=False)), Explanation(**explained)
    )
    assert out.getvalue() == example


def test_the_page_says_what_decides_of_each_sku(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = re.findall(
        r"^\| (ACM-\d+) \| (\w+), row (\d+) \| (.+) \|$", PAGE, re.M
    )
    decided = {
        sku: [(vendor, int(row), None), *re.findall(r"(\w+): `(\w+)`", lost)]
        for sku, vendor, row, lost in rows
    }
    skus = [*decided, "ACM-13416", "ACM-13409"]
    options = [f"--explain={sku}" for sku in skus]
    assert main([*SAMPLE, f"--output-dir={tmp_path / 'out'}", *options]) == 0
    *explained, unpriced, refused = told(capsys, len(skus))
    assert {
        explanation["sku"]: [
            (winner["vendor_id"], winner["row_number"], winner["lost_on"]),
            *((offer["vendor_id"], offer["lost_on"]) for offer in losers),
        ]
        for explanation in explained
        for winner, *losers in [explanation["offers"]]
    } == decided
    criteria = {
        offer["lost_on"]
        for explanation in explained
        for offer in explanation["offers"]
    }
    assert criteria == {
        *(
            None,
            "has_price",
            "in_stock_desc",
            "lowest_landed_cost",
            "shortest_lead_time",
        ),
        "vendor_id",
    }
    assert (unpriced["reason"], unpriced["winner"]["row_number"]) == (
        "unpriced",
        234,
    )
    assert refused["refused"] == [
        {
            "vendor_id": "rheinteile",
            "row_number": 264,
            "error_codes": "invalid_quantity",
        }
    ]
