"""``make bench-parts``: what a vendor's several files cost beside one file with the same rows.

A price list with a stock file of as many rows, against one file with all columns; and a full file
with files of changes, against a full file of what they come to.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import tables
from benchmarks.feeds import Shape
from benchmarks.goals import parts_goals
from benchmarks.sitting import (
    Entrant,
    check_agreement,
    generate,
    interleave,
    options_of,
    tell,
)

WHOLE = "one file"
JOINED = "a price list and a stock file"
RESULT = "a full of the result"
CHANGED = "a full and its deltas"
_VENDOR = "vendor_1"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table and the goals."""
    options = options_of(main.__doc__, "parts")
    options.add_argument("--deltas", type=int, default=50)
    chosen = options.parse_args(argv)
    print(tables.machine())
    source = chosen.folder / "source"
    generate(Shape(rows=chosen.rows, vendors=1, bad=0.0, mapped=0), source)
    config = json.loads((source / "config.json").read_text("utf-8"))
    header, rows = _distinct_rows(source / f"{_VENDOR}.csv")
    entrants = [
        *_joined(chosen.folder, config, header, rows),
        *_changed(chosen.folder, config, header, rows, chosen.deltas),
    ]
    samples = interleave(entrants, chosen.rounds, chosen.folder, tell)
    for names in ((WHOLE, JOINED), (RESULT, CHANGED)):
        check_agreement({name: samples[name] for name in names})
    print("\n" + tables.variants(samples, base=WHOLE), flush=True)
    print("\n## Goals\n", tables.goals(list(parts_goals(samples))), sep="\n")
    return 0


def _distinct_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the header of a feed, and the first row of each SKU."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    by_sku: dict[str, list[str]] = {}
    for row in rows:
        by_sku.setdefault(row[0].strip(), row)
    return header, list(by_sku.values())


def _joined(
    folder: Path,
    config: dict[str, Any],
    header: list[str],
    rows: list[list[str]],
) -> list[Entrant]:
    """Write the same rows as one file, and as a price list and a stock file."""
    quantity = header.index("QTY")
    sku = header.index("SKU")
    whole = folder / "whole"
    _write(whole / "whole.csv", header, rows)
    _write_tenant(whole, config, {}, {_VENDOR: ["whole.csv"]})
    joined = folder / "joined"
    without = [name for name in header if name != "QTY"]
    prices = (row[:quantity] + row[quantity + 1 :] for row in rows)
    _write(joined / "prices.csv", without, prices)
    order = np.random.default_rng(1).permutation(len(rows)).tolist()
    stock = ([rows[place][sku], rows[place][quantity]] for place in order)
    _write(joined / "stock.csv", ["SKU", "QTY"], stock)
    parser = config["vendors"][0]["parser"]
    column_map = dict(parser["column_map"])
    stock_map = {
        name: column_map.pop(name) if name != "sku" else column_map[name]
        for name in ("sku", "quantity_available")
    }
    options = {
        "parser": {**parser, "column_map": column_map},
        "parts": [
            {
                "part_id": "stock",
                "gives": ["quantity_available"],
                "inbound": {"type": "local"},
                "parser": {"format": "csv", "column_map": stock_map},
            }
        ],
    }
    files = {_VENDOR: ["prices.csv"], f"{_VENDOR}/stock": ["stock.csv"]}
    _write_tenant(joined, config, options, files)
    return [
        Entrant(WHOLE, "engine", whole),
        Entrant(JOINED, "engine", joined),
    ]


def _changed(
    folder: Path,
    config: dict[str, Any],
    header: list[str],
    rows: list[list[str]],
    delta_count: int,
) -> list[Entrant]:
    """Write a full file with files of changes, and a full file of what they come to."""
    random = np.random.default_rng(2)
    quantity = header.index("QTY")
    size = max(1, len(rows) // 50)
    result = {row[0]: row for row in rows}
    changed = folder / "changed"
    _write(changed / "full.csv", header, rows)
    names = ["full.csv"]
    for number in range(delta_count):
        delta = []
        places = random.choice(len(rows), size, replace=False).tolist()
        quantities = random.integers(1000, size=size).tolist()
        for place, new_quantity in zip(places, quantities, strict=True):
            row = [*rows[place]]
            row[quantity] = str(new_quantity)
            result[row[0]] = row
            delta.append(row)
        names.append(f"delta-{number:03}.csv")
        _write(changed / names[-1], header, delta)
    changes = {"full": "full*", "delta": "delta*"}
    options = {"duplicate_skus": "last", "changes": changes}
    _write_tenant(changed, config, options, {_VENDOR: names})
    of_result = folder / "result"
    _write(of_result / "full.csv", header, result.values())
    options = {"duplicate_skus": "last"}
    _write_tenant(of_result, config, options, {_VENDOR: ["full.csv"]})
    return [
        Entrant(RESULT, "engine", of_result),
        Entrant(CHANGED, "engine", changed),
    ]


def _write(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_tenant(
    folder: Path,
    config: dict[str, Any],
    options: dict[str, Any],
    files: dict[str, list[str]],
) -> None:
    """Write a config whose one vendor has some options, and the list of its files."""
    vendor = {**config["vendors"][0], **options}
    vendor.pop("sku_map", None)
    document = {**config, "vendors": [vendor]}
    (folder / "config.json").write_text(json.dumps(document), "utf-8")
    (folder / "files.json").write_text(json.dumps(files), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
