"""Catalogs of seeded, nasty rows: the engine against `reference_catalog`."""

from __future__ import annotations

import csv
import io
import random
from typing import Any

import pytest

from reference_catalog import gtin_of, match
from relay_core.kernel import compiled
from support.builders import tenant_config, vendor_document
from support.explaining import run_in_memory

COLUMNS = ("sku", "brand", "title", "ean", "part")
GTINS = [
    "4006381333931",
    "0614141000036",
    "614141000036",
    "10614141000033",
    "73513537",
    "2000000000015",
    "20000004",
    "4 006381-333931",
    "4006381333932",
    "123",
    "",
    "",
]
BRANDS = ["Bosch", "BOSCH", " bosch ", "Straße", "STRASSE", "Makita", ""]
PARTS = ["AB-12", "ab12", "A.B/1 2", "x9", "X\u00a09", "äö", "ÄÖ", "-", ""]
SKUS = [f"S{number}" for number in range(8)]


def rows_of(rng: random.Random, count: int) -> list[dict[str, str]]:
    return [
        {
            "sku": rng.choice([*SKUS, f"own{row}", ""]),
            "brand": rng.choice(BRANDS),
            "title": rng.choice(["one", "two, three", ""]),
            "ean": rng.choice(GTINS),
            "part": rng.choice(PARTS),
        }
        for row in range(count)
    ]


def table(rows: list[dict[str, str]], **more: str) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMNS, *more])
    for row in rows:
        writer.writerow([*(row[name] for name in COLUMNS), *more.values()])
    return out.getvalue().encode()


def valid(rows: list[dict[str, str]]) -> list[tuple[int, dict[str, str]]]:
    """Return the valid rows, trimmed, with the numbers of their records."""
    usable = []
    for number, row in enumerate(rows, 2):
        cells = {name: cell.strip() for name, cell in row.items()}
        gtin = gtin_of(cells["ean"]) if cells["ean"] else ""
        if cells["sku"] and gtin is not None:
            usable.append((number, {**cells, "ean": gtin}))
    return usable


@pytest.mark.parametrize("has_kernel", [True, False], ids=["kernel", "python"])
@pytest.mark.parametrize("seed", range(12))
def test_seeded_rows_are_matched_as_the_reference_does(
    seed: int, has_kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_kernel:
        monkeypatch.setattr(compiled, "is_used", lambda: False)
    rng = random.Random(seed)
    products = [*rows_of(rng, 14), dict.fromkeys(COLUMNS, "") | {"sku": "S0"}]
    rows = rows_of(rng, 60)
    keys = rng.sample(["gtin", "mpn", "sku"], rng.choice([1, 2, 3]))
    leaves_out = "sku" not in keys or rng.random() < 0.5
    gives = rng.sample(["brand", "title"], rng.choice([0, 1, 2]))
    sku_map = {"own1": "S1", "S2": "S3", "own5": "elsewhere"}
    options: dict[str, Any] = {
        "match": keys,
        "unmatched": "leave_out" if leaves_out else "keep",
        "gives": gives,
    }
    config = tenant_config(
        vendor_document("v", sku_map={"type": "file", "local_path": "map.csv"}),
        extra_columns=["ean", "part"],
        gtin_column="ean",
        mpn_column="part",
        catalog={
            "inbound": {"type": "local"},
            "parser": {"format": "csv"},
            **options,
        },
        error_policy={"max_invalid_rows": 999, "max_invalid_row_pct": "1"},
    )
    map_lines = [f"{vendor_sku},{sku}" for vendor_sku, sku in sku_map.items()]
    run = run_in_memory(
        config,
        {
            "catalog": table(products),
            "v": table(rows, quantity_available="1", cost="2"),
        },
        sku_maps={"v": "\n".join(["vendor_sku,sku", *map_lines]).encode()},
    )

    usable = [product for _, product in valid(products)]
    matched = [
        (number, row, match(row, usable, keys, sku_map, gives))
        for number, row in valid(rows)
    ]
    offered = sorted(
        (
            verdict.sku,
            verdict.vendor_sku,
            verdict.given.get("brand", row["brand"]),
            verdict.given.get("title", row["title"]),
            row["ean"],
        )
        for _, row, verdict in matched
        if verdict.matched_by is not None or not leaves_out
    )
    assert offered == sorted(
        (row["sku"], row["vendor_sku"], row["brand"], row["title"], row["ean"])
        for row in read(run.files[run.keys.normalized("v")])
    )
    unmatched = [
        (
            str(number),
            row["sku"],
            row["ean"],
            row["brand"],
            row["part"],
            verdict.reason,
        )
        for number, row, verdict in matched
        if verdict.matched_by is None
    ]
    listed = read(run.files.get(run.keys.unmatched, b""))
    assert unmatched == [
        tuple(
            row[name]
            for name in ("row_number", "sku", "gtin", "brand", "mpn", "reason")
        )
        for row in listed
    ]
    assert run.findings.catalog is not None
    counts = dict.fromkeys(("sku_map", "gtin", "mpn", "sku"), 0)
    for _, _, verdict in matched:
        if verdict.matched_by is not None:
            counts[verdict.matched_by] += 1
    assert run.findings.catalog.as_dict()["matched_by"] == {"v": counts}
    covered = {offer[0] for offer in offered}
    first_rows: dict[str, dict[str, str]] = {}
    for product in usable:
        first_rows.setdefault(product["sku"], product)
    uncovered = [
        (sku, row["ean"], row["brand"], row["part"], row["title"])
        for sku, row in sorted(first_rows.items())
        if sku not in covered
    ]
    if offered:
        assert uncovered == [
            tuple(row.values()) for row in read(run.files[run.keys.uncovered])
        ]


def read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))
