"""Losses that look like success: check, run and report tell each with its numbers."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest

from relay_core.config import parse_document
from support.builders import config_document, feed, vendor_document
from support.local_bench import Bench

PRICES = [f"P-{n % 300},{n % 7},{n}.00" for n in range(1, 2_001)]
GOOD = [f"A-{n},1,{n}.00" for n in range(1, 12)]
# Rows, what is changed of the config, and: the code, how many rows, what the report says.
LOSSES: dict[str, tuple[list[str], dict[str, Any], str, int | None, str]] = {
    "a column that is no SKU": (
        PRICES,
        {},
        "same_sku",
        2_000,
        "2,000 of 2,000 rows have the same SKU as another row, but a different cost, price or "
        "quantity. 1,700 of them are not in the feed.",
    ),
    "SKUs that a spreadsheet has rounded": (
        [f"4.00123E+12,{n % 7},{n}.00" for n in range(1, 201)],
        {},
        "sku_exponent",
        200,
        "The SKUs look like numbers that a spreadsheet rounded",
    ),
    "a line of totals": (
        [*GOOD, "Total,11,66.00"],
        {},
        "totals_line",
        1,
        "The last row looks like a total, but it is read as a product.",
    ),
    "a margin of 20 for 20 %": (
        GOOD,
        {"pricing": {"base_margin_pct": 20}},
        "margin_over_one",
        None,
        "20 is a margin of 2,000 %. For 20 %, write 0.20.",
    ),
    "a cost of 0": (
        [*GOOD, "Z-1,1,0", "Z-2,1,0.00"],
        {},
        "zero_cost",
        2,
        "The cost is 0, so the price consists of shipping and margin only.",
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_silent_loss_is_told_by_check_run_and_report(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, changes, code, count, words = LOSSES[name]
    config = config_document(vendor_document(), **changes)
    bench = Bench(tmp_path)

    assert bench.run(config, "--check", vendor_1=feed(*rows)) == 0
    printed = parse_document(capsys.readouterr().out, format="yaml")
    (doubt,) = (entry for entry in printed["doubts"] if entry["code"] == code)
    assert doubt["count"] == count

    assert bench.run(config, vendor_1=feed(*rows)) == 0
    assert f"doubt: {code}: {doubt['path']}" in capsys.readouterr().err

    report = html.unescape(
        (bench.out / "reports" / "report.html").read_text("utf-8")
    )
    section = report.partition("Worth checking")[2].partition("</section>")[0]
    assert words in section
    assert all(sample in section for sample in doubt["samples"] or ())
    noun = "row" if count == 1 else "rows"
    place = (
        "pricing.base_margin_pct"
        if count is None
        else f"vendor_1, {count:,} {noun}"
    )
    assert place in section


def test_a_run_without_doubts_has_no_such_part(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.run(config_document(), vendor_1=feed(*GOOD)) == 0
    assert "Worth checking" not in (
        bench.out / "reports" / "report.html"
    ).read_text("utf-8")
