"""Catalogs of seeded, nasty rows: the engine against `reference_catalog`."""

from __future__ import annotations

import csv
import io
import random
from dataclasses import dataclass
from typing import Any

import pytest

from reference_catalog import gtin_of, match
from relay_core.kernel import compiled
from support.builders import tenant_config, vendor_document
from support.explaining import RunInMemory, run_in_memory

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


@dataclass
class SeededRun:
    """A run of seeded rows, and what the reference says about each of them."""

    run: RunInMemory
    # The products that the catalog may be matched by.
    usable: list[dict[str, str]]
    # The valid rows of the vendor, each with its number and the reference's verdict.
    matched: list[tuple[int, dict[str, str], Any]]
    # Whether rows without a product are left out.
    leaves_out: bool

    def offered(self) -> list[tuple[str, ...]]:
        """Return the offers that the reference expects, in order."""
        return sorted(
            (
                verdict.sku,
                verdict.vendor_sku,
                verdict.given.get("brand", row["brand"]),
                verdict.given.get("title", row["title"]),
                row["ean"],
            )
            for _, row, verdict in self.matched
            if verdict.matched_by is not None or not self.leaves_out
        )


def seeded_run(seed: int) -> SeededRun:
    """Take seeded rows through a run, and through the reference."""
    rng = random.Random(seed)
    products = [*rows_of(rng, 14), dict.fromkeys(COLUMNS, "") | {"sku": "S0"}]
    rows = rows_of(rng, 60)
    keys = rng.sample(["gtin", "mpn", "sku"], rng.choice([1, 2, 3]))
    leaves_out = "sku" not in keys or rng.random() < 0.5
    gives = rng.sample(["brand", "title"], rng.choice([0, 1, 2]))
    sku_map = {"own1": "S1", "S2": "S3", "own5": "elsewhere"}
    config = tenant_config(
        vendor_document("v", sku_map={"type": "file", "local_path": "map.csv"}),
        extra_columns=["ean", "part"],
        gtin_column="ean",
        mpn_column="part",
        catalog={
            "inbound": {"type": "local"},
            "parser": {"format": "csv"},
            "match": keys,
            "unmatched": "leave_out" if leaves_out else "keep",
            "gives": gives,
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
    return SeededRun(run, usable, matched, leaves_out)


@pytest.mark.parametrize("has_kernel", [True, False], ids=["kernel", "python"])
@pytest.mark.parametrize("seed", range(12))
def test_seeded_rows_are_matched_as_the_reference_does(
    seed: int, has_kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_kernel:
        monkeypatch.setattr(compiled, "is_used", lambda: False)
    seeded = seeded_run(seed)
    assert_offers_are_those_of_the_reference(seeded)
    assert_unmatched_rows_are_listed(seeded)
    assert_matches_are_counted(seeded)
    assert_uncovered_products_are_listed(seeded)


def assert_offers_are_those_of_the_reference(seeded: SeededRun) -> None:
    run = seeded.run
    assert seeded.offered() == sorted(
        (row["sku"], row["vendor_sku"], row["brand"], row["title"], row["ean"])
        for row in read(run.files[run.keys.normalized("v")])
    )


def assert_unmatched_rows_are_listed(seeded: SeededRun) -> None:
    run = seeded.run
    unmatched = [
        (
            str(number),
            row["sku"],
            row["ean"],
            row["brand"],
            row["part"],
            verdict.reason,
        )
        for number, row, verdict in seeded.matched
        if verdict.matched_by is None
    ]
    names = ("row_number", "sku", "gtin", "brand", "mpn", "reason")
    assert unmatched == [
        tuple(row[name] for name in names)
        for row in read(run.files.get(run.keys.unmatched, b""))
    ]


def assert_matches_are_counted(seeded: SeededRun) -> None:
    counts = dict.fromkeys(("sku_map", "gtin", "mpn", "sku"), 0)
    for _, _, verdict in seeded.matched:
        if verdict.matched_by is not None:
            counts[verdict.matched_by] += 1
    catalog = seeded.run.findings.catalog
    assert catalog is not None
    assert catalog.as_dict()["matched_by"] == {"v": counts}


def assert_uncovered_products_are_listed(seeded: SeededRun) -> None:
    run = seeded.run
    offered = seeded.offered()
    covered = {offer[0] for offer in offered}
    first_rows: dict[str, dict[str, str]] = {}
    for product in seeded.usable:
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
