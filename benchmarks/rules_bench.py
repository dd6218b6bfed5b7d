"""``make bench-rules``: what a tenant's own rules cost.

The same feeds without any, and with 200 price rules, stock and duplicates. The rules ask for all
that can be asked for: vendors, brands, conditions and costs; most offers meet a late one, or none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import tables
from benchmarks.feeds import Shape
from benchmarks.goals import rules_goals
from benchmarks.sitting import Entrant, generate, interleave, options_of, tell

NONE = "no rules"
ALL = "200 price rules, stock, duplicates"
_RULES = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table and the goals."""
    options = options_of(main.__doc__, "rules")
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
        json.dumps(with_rules(json.loads(path.read_text("utf-8")))), "utf-8"
    )
    entrants = [
        Entrant(name, "engine", folder) for name, folder in folders.items()
    ]
    samples = interleave(entrants, chosen.rounds, chosen.folder, tell)
    print("\n" + tables.variants(samples, base=NONE), flush=True)
    print(
        "\n## Goals\n", tables.goals(list(rules_goals(samples, NONE))), sep="\n"
    )
    return 0


def with_rules(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config with as many rules as there may be."""
    vendors = [
        {**vendor, "duplicate_skus": "sum"} for vendor in config["vendors"]
    ]
    ids = [vendor["vendor_id"] for vendor in vendors]
    return {
        **config,
        "vendors": vendors,
        "pricing": {
            **config["pricing"],
            "rules": [_rule(n, ids) for n in range(_RULES)],
        },
        "stock": {"hold_back": 1, "pct": 90, "zero_below": 2, "cap": 500},
    }


def _rule(number: int, vendor_ids: Sequence[str]) -> dict[str, Any]:
    conditions = {
        "vendors": [vendor_ids[number % len(vendor_ids)]],
        "brands": [f"brand{number % 192:03}", f"BRAND{(number + 1) % 192:03}"],
        "conditions": ["new", "used"] if number % 9 == 0 else None,
        "cost_from": number // 4,
        "cost_below": number // 4 + 30,
    }
    actions: list[dict[str, Any]] = [
        {"margin_pct": f"0.{100 + number}"},
        {"markup": f"{number}.25", "min_price": "9.95"},
        {"fixed_price": f"{number}.99"},
        {"margin_pct": "0.05", "min_price": number},
    ]
    return {"when": conditions, **actions[number % len(actions)]}


if __name__ == "__main__":
    sys.exit(main())
