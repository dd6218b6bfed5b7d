"""A real list, cut into prices and stock and joined again, is the feed of the whole list.

The list is JLCPCB-Basic-Parts by josemariaaraujo on GitHub, given to the public domain.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from random import Random
from typing import Any

import pytest

from relay_core.config import parse_document
from relay_dagster.local.command import main
from support.config_documents import ROOT
from support.local_bench import NOW, Bench

LIST = ROOT / "tests" / "data" / "lists" / "jlcpcb_basic_parts.csv"
CONFIG = ROOT / "configs" / "real_feeds" / "jlcpcb.yaml"
SKU = "LCSC Part #"
STOCK = "Stock"


def written(header: list[str], rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(
        text, header, extrasaction="ignore", lineterminator="\r\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("cp1252")


def config_with(**options: Any) -> dict[str, Any]:
    document = parse_document(CONFIG.read_text("utf-8"), format="yaml")
    (vendor,) = document["vendors"]
    return {**document, "vendors": [{**vendor, **options}]}


def run(
    folder: Path, document: dict[str, Any], *files: str
) -> dict[str, bytes]:
    """Run the list's tenant, and return its feed and its normalized rows."""
    folder.mkdir()
    bench = Bench(folder)
    config = bench.write("tenant.json", document)
    options = [f"--vendor-file={file}" for file in files]
    out = folder / "out"
    command = [f"--config={config}", f"--output-dir={out}", f"--now={NOW}"]
    assert main([*command, *options]) == 0
    return {
        name: (out / name).read_bytes()
        for name in (
            "outputs/merged_inventory.csv",
            "normalized/lcsc/normalized.csv",
        )
    }


@pytest.mark.parametrize("shuffled", [False, True])
def test_prices_and_stock_joined_again_are_the_feed_of_the_whole(
    tmp_path: Path, shuffled: bool
) -> None:
    text = LIST.read_bytes().decode("cp1252")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    header = list(reader.fieldnames or ())
    rows = list(reader)
    assert len({row[SKU] for row in rows}) == len(rows) == 691
    stock = list(rows)
    if shuffled:
        Random(7).shuffle(stock)
    (tmp_path / "prices.csv").write_bytes(
        written([name for name in header if name != STOCK], rows)
    )
    (tmp_path / "stock.csv").write_bytes(written([SKU, STOCK], stock))
    whole = run(tmp_path / "whole", config_with(), f"lcsc={LIST}")
    parser = dict(config_with()["vendors"][0]["parser"])
    column_map = dict(parser["column_map"])
    del column_map["quantity_available"]
    parts = [
        {
            "part_id": "stock",
            "gives": ["quantity_available"],
            "inbound": {"type": "local"},
            "parser": {
                **parser,
                "column_map": {"sku": SKU, "quantity_available": STOCK},
            },
        }
    ]
    joined = run(
        tmp_path / "joined",
        config_with(parser={**parser, "column_map": column_map}, parts=parts),
        f"lcsc={tmp_path / 'prices.csv'}",
        f"lcsc/stock={tmp_path / 'stock.csv'}",
    )
    assert joined == whole
