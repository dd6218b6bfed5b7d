"""``make bench-channels``: what five channels add to a run, and the changes of a large file.

The same feeds make one feed, and one feed with five channels, in turn. Then a published
file and another one, in which some rows differ, make a file of changes in a process of
its own, as a delivery does.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.feeds import Shape
from benchmarks.goals import changed_rows_goals, channels_goals
from benchmarks.sitting import Entrant, generate, interleave, options_of, tell
from relay_core.config import load_config
from relay_dagster.changed_files import ChangedFiles, FileVersion

ALONE = "one feed"
BESIDE = "five channels"
PACKED = "five channels, gzip"
_COLUMNS = ("sku", "quantity_available", "price")
_CHANGED = 20_000


def channels(compression: str) -> list[dict[str, Any]]:
    """Return five channels with prices and stock of their own; two have a part of the rows."""
    file = {"columns": list(_COLUMNS), "compression": compression}
    return [
        {"channel_id": "all", "output": file, "price": {"pct": "0.05"}},
        {
            "channel_id": "ending",
            "output": file,
            "price": {"flat": "0.30", "ending": "0.99"},
            "stock": {"hold_back": 2, "cap": 50},
        },
        {
            "channel_id": "availability",
            "output": {**file, "columns": ["sku", "availability"]},
        },
        {"channel_id": "in-stock", "output": file, "when": {"in_stock": True}},
        {
            "channel_id": "cheap",
            "output": file,
            "when": {"price_below": 50},
            "price": {"pct": "0.12", "min_price": "5"},
        },
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table and the goals."""
    options = options_of(main.__doc__, "channels")
    chosen = options.parse_args(argv)
    print(tables.machine())
    tenants = {ALONE: [], BESIDE: channels("none"), PACKED: channels("gzip")}
    entrants = []
    for place, (name, sections) in enumerate(tenants.items()):
        folder = chosen.folder / str(place)
        generate(Shape(rows=chosen.rows), folder)
        path = folder / "config.json"
        config = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps({**config, "channels": sections}), "utf-8")
        entrants.append(Entrant(name, "engine", folder))
    samples = interleave(entrants, chosen.rounds, chosen.folder, tell)
    print("\n" + tables.variants(samples, base=ALONE), flush=True)
    seconds, rows = changes_of(chosen.folder, chosen.rows, config)
    print(f"\n{rows:,} changed rows of {chosen.rows:,}: {seconds:.1f} s")
    goals = [*channels_goals(samples, ALONE, PACKED)]
    goals += changed_rows_goals(seconds)
    print("\n## Goals\n", tables.goals(goals), sep="\n")
    return 0


def changes_of(
    folder: Path, rows: int, document: dict[str, Any]
) -> tuple[float, int | None]:
    """Return the seconds for the changes of a large file, and the number of its rows."""
    output = {"columns": list(_COLUMNS)}
    file = load_config({**document, "output": output}).output
    paths = [folder / name for name in ("older.csv", "newer.csv")]
    for path, changed in zip(paths, (0, _CHANGED), strict=True):
        with path.open("w", encoding="utf-8") as stream:
            stream.write(",".join(_COLUMNS) + "\n")
            for number in range(rows):
                # Half of the changed rows are other prices, and half are other SKUs.
                is_changed = number % (rows // _CHANGED) == 0 and changed
                is_new = is_changed and number % 2
                price = 9 if is_changed else 8
                mark = "N" if is_new else "S"
                stream.write(
                    f"SKU-{number:08}{mark},{number % 50},{price}.99\n"
                )
    older, newer = (FileVersion(path, file) for path in paths)
    start = time.perf_counter()
    count = ChangedFiles().make("acme", older, newer, folder / "changes.csv")
    return time.perf_counter() - start, count


if __name__ == "__main__":
    sys.exit(main())
