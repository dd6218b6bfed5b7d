"""``make bench-catalog``: what matching by the merchant's own products costs, beside SKU maps.

The same feeds twice: each row finds its product in a catalog, half of them by GTIN and half by
brand and MPN; or in the SKU map of its vendor, which names the same products. A tenth of the rows
are of products that neither has.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from benchmarks import tables
from benchmarks.goals import Goal
from benchmarks.sitting import Entrant, interleave, options_of, tell

MAPS = "SKU maps"
CATALOG = "catalog, by GTIN and MPN"
_VENDORS = ("north", "south")
_UNKNOWN_SHARE = 0.1
_SEED = 7
_FIRST_GTIN = 400_000_000_000
_WEIGHTS = np.array([1, 3] * 6)
_PARSER = {
    "format": "csv",
    "column_map": {"quantity_available": "qty", "gtin": "ean"},
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table and the goal."""
    options = options_of(main.__doc__, "catalog")
    options.add_argument("--products", type=int, default=300_000)
    chosen = options.parse_args(argv)
    print(tables.machine())
    folders = {
        MAPS: chosen.folder / "maps",
        CATALOG: chosen.folder / "catalog",
    }
    for name, folder in folders.items():
        write_tenant(
            folder,
            chosen.rows,
            chosen.products,
            has_catalog=name == CATALOG,
        )
    entrants = [
        Entrant(name, "engine", folder) for name, folder in folders.items()
    ]
    samples = interleave(entrants, chosen.rounds, chosen.folder, tell)
    print("\n" + tables.variants(samples, base=MAPS), flush=True)
    ratio = samples[CATALOG].times(samples[MAPS], "cpu_s")
    goal = Goal("processor time of the catalog beside SKU maps", 1.25, ratio)
    print("\n## Goals\n", tables.goals([goal]), sep="\n")
    return 0


def write_tenant(
    folder: Path,
    rows: int,
    products: int,
    *,
    has_catalog: bool,
) -> None:
    """Write the feeds, the SKU maps or the catalog, and the config of a tenant."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = np.arange(int(products * (1 + _UNKNOWN_SHARE)))
    gtins = _gtins(numbers)
    for index, vendor_id in enumerate(_VENDORS):
        rng = np.random.default_rng(_SEED + index)
        chosen = rng.choice(numbers, rows // len(_VENDORS))
        _write_feed(folder / f"{vendor_id}.csv", vendor_id, chosen, gtins, rng)
        if not has_catalog:
            skus = _texts("S", numbers[:products])
            own_skus = _texts(f"{vendor_id}-", numbers[:products])
            columns = {"vendor_sku": own_skus, "sku": skus}
            _write(folder / f"{vendor_id}_map.csv", columns)
    if has_catalog:
        _write_catalog(folder / "catalog.csv", numbers[:products], gtins)
    config = json.dumps(config_document(has_catalog=has_catalog), indent=1)
    (folder / "config.json").write_text(config, "utf-8")


def config_document(*, has_catalog: bool) -> dict[str, Any]:
    """Return the config of the tenant, with a catalog or with SKU maps."""
    vendors: list[dict[str, Any]] = []
    for vendor_id in _VENDORS:
        vendor = {
            "vendor_id": vendor_id,
            "inbound": {"type": "local"},
            "parser": _PARSER,
        }
        if not has_catalog:
            path = f"{vendor_id}_map.csv"
            vendor["sku_map"] = {"type": "file", "local_path": path}
        vendors.append(vendor)
    document: dict[str, Any] = {
        "tenant_id": "bench",
        "timezone": "UTC",
        "default_currency": "USD",
        "extra_columns": ["gtin", "mpn"],
        "gtin_column": "gtin",
        "mpn_column": "mpn",
        "vendors": vendors,
        "pricing": {
            "base_margin_pct": "0.20",
            "min_price": "0.01",
            "shipping_handling_flat": "0",
        },
        "merge": {"strategy": "best_offer"},
        "output": {
            "columns": ["sku", "quantity_available", "price", "vendor_id"],
        },
    }
    if has_catalog:
        document["catalog"] = {
            "inbound": {"type": "local"},
            "parser": {"format": "csv", "column_map": {"gtin": "ean"}},
        }
    return document


def _write_feed(
    path: Path,
    vendor_id: str,
    products: npt.NDArray[np.int64],
    gtins: pa.StringArray,
    rng: np.random.Generator,
) -> None:
    has_gtin = pa.array(products % 2 == 0)
    cents = rng.integers(100, 50_000, len(products))
    cost = pc.cast(
        pa.array(cents / 100).cast(pa.decimal128(12, 2)), pa.string()
    )
    columns = {
        "sku": _texts(f"{vendor_id}-", products),
        "qty": pa.array(rng.integers(0, 500, len(products))),
        "cost": cost,
        "brand": _brands(products),
        "title": _texts("A cordless drill, number ", products),
        "ean": pc.if_else(has_gtin, gtins.take(pa.array(products)), ""),
        "mpn": _mpns(products, "-"),
    }
    _write(path, columns)


def _write_catalog(
    path: Path,
    products: npt.NDArray[np.int64],
    gtins: pa.StringArray,
) -> None:
    has_gtin = pa.array(products % 2 == 0)
    columns = {
        "sku": _texts("S", products),
        "brand": _brands(products),
        "title": _texts("A drill, number ", products),
        "ean": pc.if_else(has_gtin, gtins.take(pa.array(products)), ""),
        "mpn": _mpns(products, "."),
    }
    _write(path, columns)


def _write(path: Path, columns: dict[str, pa.Array]) -> None:
    options = pyarrow.csv.WriteOptions(quoting_style="needed")
    pyarrow.csv.write_csv(pa.table(columns), path, options)


def _texts(prefix: str, numbers: npt.NDArray[np.int64]) -> pa.StringArray:
    return pc.binary_join_element_wise(
        prefix, pc.cast(pa.array(numbers), pa.string()), ""
    )


def _brands(numbers: npt.NDArray[np.int64]) -> pa.StringArray:
    return _texts("Brand ", numbers % 200)


def _mpns(numbers: npt.NDArray[np.int64], mark: str) -> pa.StringArray:
    series = _texts("AB", numbers % 100)
    return pc.binary_join_element_wise(series, _texts("", numbers), mark)


def _gtins(numbers: npt.NDArray[np.int64]) -> pa.StringArray:
    """Return a GTIN of 13 digits for each product."""
    digits = _FIRST_GTIN + numbers
    places = digits[:, np.newaxis] // 10 ** np.arange(11, -1, -1) % 10
    check_digits = -(places @ _WEIGHTS) % 10
    return pc.cast(pa.array(digits * 10 + check_digits), pa.string())


if __name__ == "__main__":
    sys.exit(main())
