"""``make bench-forms``: what the options for suppliers' files cost, by processor time, in turns.

The same feeds read plainly, and with all options that a parser of CSV has: each column is made by
a form, amounts have a factor and a rate, and columns of one's own pass through. With ``--before``,
the engine of another checkout reads them plainly, too: options that nobody uses cost nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.feeds import Shape
from benchmarks.goals import Goal
from benchmarks.sitting import (
    Entrant,
    Samples,
    generate,
    interleave,
    options_of,
    tell,
)

NONE = "no options"
ALL = "all options"
BEFORE = "no options, the other checkout"
_PARSER = {
    "column_map": {
        "sku": {"column": "SKU", "strip_prefix": "X-", "strip_suffix": "-OLD"},
        "vendor_sku": {"join": ["BRAND", "SKU"], "with": "/"},
        "quantity_available": {"sum": ["QTY", "LEAD"]},
        "lead_time_days": "LEAD",
        "cost": {"column": "COST", "times": 3},
        "map_price": {"column": "MAP", "divided_by": 12},
        "msrp": {"first": ["MSRP", "COST"]},
        "brand": {
            "column": "BRAND",
            "values": {"acme": "Acme Inc.", "foxco": ""},
        },
        "title": {"first": ["TITLE", "BRAND"]},
        "updated_at": "UPDATED",
        "shown": {"join": ["BRAND", "TITLE"], "with": " "},
        "own": "TITLE",
    },
    "skip_rows": [
        {"column": "SKU", "is": ["Total", "Totals"]},
        {"column": "TITLE", "is": "empty"},
    ],
    "null_values": {"*": ["n/a"], "brand": ["-"]},
    "zero_is_null": ["cost", "price", "map_price", "msrp"],
    "negative_quantity": "zero",
    "quantity_symbols": [">", "+", "pcs"],
    "timestamp_formats": ["excel"],
    "invalid_as_null": ["lead_time_days", "msrp", "condition", "updated_at"],
    "blank_extra_fields": "drop",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table and the goals."""
    options = options_of(main.__doc__, "forms")
    options.add_argument(
        "--before", type=Path, help="the folder of another checkout"
    )
    chosen = options.parse_args(argv)
    print(tables.machine())
    folders = {
        name: chosen.folder / str(place)
        for place, name in enumerate((NONE, ALL))
    }
    for folder in folders.values():
        generate(Shape(rows=chosen.rows), folder)
    path = folders[ALL] / "config.json"
    path.write_text(
        json.dumps(with_forms(json.loads(path.read_text("utf-8")))), "utf-8"
    )
    entrants = [
        Entrant(name, "engine", folder) for name, folder in folders.items()
    ]
    if chosen.before is not None:
        entrants.append(
            Entrant(BEFORE, "engine", folders[NONE], root=chosen.before)
        )
    samples = interleave(entrants, chosen.rounds, chosen.folder, tell)
    print("\n" + tables.variants(samples, base=NONE), flush=True)
    print("\n## Goals\n", tables.goals(list(_goals(samples))), sep="\n")
    return 0


def with_forms(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config with all options for suppliers' files."""
    euros = {"currency": "EUR", "shipping_handling_flat": "4.50"}
    return {
        **config,
        "exchange_rates": {"EUR": "1.08325"},
        "extra_columns": ["shown", "own"],
        "vendors": [
            {**vendor, **euros, "parser": {**vendor["parser"], **_PARSER}}
            for vendor in config["vendors"]
        ],
        "pricing": {**config["pricing"], "ending": "0.99"},
        "output": {
            **config["output"],
            "columns": [*config["output"]["columns"], "shown", "own"],
        },
    }


def _goals(samples: Mapping[str, Samples]) -> Iterator[Goal]:
    alone = samples[NONE]
    yield Goal(
        "processor time without options",
        1.3,
        samples[ALL].times(alone, "cpu_s"),
    )
    if BEFORE in samples:
        yield Goal(
            "processor time of the other checkout",
            1.02,
            alone.times(samples[BEFORE], "cpu_s"),
        )


if __name__ == "__main__":
    sys.exit(main())
