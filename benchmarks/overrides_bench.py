"""``make bench-overrides``: what 10,000 quarantined SKUs, and 10,000 overrides, add to a run.

The same feeds are held against the same published feed, against one of which 10,000 SKUs have
another price, and against the same one with an override of each of 10,000 SKUs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import tables
from benchmarks.contenders.engine import status_of
from benchmarks.contenders.engine_with_baseline import BASELINE, OVERRIDES
from benchmarks.feeds import Shape
from benchmarks.goals import overrides_goals
from benchmarks.sitting import Entrant, generate, interleave, options_of, tell

NEITHER = "neither"
QUARANTINED = "10,000 quarantined"
OVERRIDDEN = "10,000 overrides"
_SKUS = 10_000
_STATE = Path("published", "state.parquet")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table and the goals."""
    options = options_of(main.__doc__, "overrides")
    # Of a million SKUs
    options.set_defaults(rows=1_500_000)
    chosen = options.parse_args(argv)
    print(tables.machine())
    names = (NEITHER, QUARANTINED, OVERRIDDEN)
    folders = {
        name: chosen.folder / str(place) for place, name in enumerate(names)
    }
    _prepare(folders, Shape(rows=chosen.rows), chosen.folder / "before")
    entrants = [
        Entrant(name, "engine_with_baseline", folder)
        for name, folder in folders.items()
    ]
    samples = interleave(entrants, chosen.rounds, chosen.folder, tell)
    print("\n" + tables.variants(samples, base=NEITHER), flush=True)
    print(
        "\n## Goals\n",
        tables.goals(list(overrides_goals(samples, NEITHER))),
        sep="\n",
    )
    return 0


def _prepare(folders: Mapping[str, Path], shape: Shape, before: Path) -> None:
    """Write the feeds into each folder, with what they are compared with, and the overrides."""
    for folder in folders.values():
        generate(shape, folder)
        config = json.loads((folder / "config.json").read_text("utf-8"))
        config["guards"] = {"mode": "warn", "quarantine": {}}
        (folder / "config.json").write_text(json.dumps(config), "utf-8")
    if status_of(folders[NEITHER], before):
        raise RuntimeError(f"the run of {folders[NEITHER]} failed")
    state = pq.read_table(before / _STATE)
    rows = np.linspace(0, len(state) - 1, _SKUS, dtype=np.int64)
    for name, folder in folders.items():
        stored = (
            _with_other_prices(state, rows) if name == QUARANTINED else state
        )
        pq.write_table(stored, folder / BASELINE)
    prices = state["price"].take(pa.array(rows)).to_pylist()
    skus = state["sku"].take(pa.array(rows)).to_pylist()
    overrides = [
        {"sku": sku, "price": str(price)}
        for sku, price in zip(skus, prices, strict=True)
    ]
    (folders[OVERRIDDEN] / OVERRIDES).write_text(json.dumps(overrides), "utf-8")


def _with_other_prices(state: pa.Table, rows: np.ndarray) -> pa.Table:
    """Return a state in which some SKUs cost ten times as much."""
    prices = state["price"].to_pylist()
    place = state.schema.get_field_index("price")
    for row in rows.tolist():
        prices[row] *= 10
    field = state.schema.field("price")
    return state.set_column(place, field, pa.array(prices, field.type))


if __name__ == "__main__":
    sys.exit(main())
