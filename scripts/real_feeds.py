"""Run the local runner over real vendors' feeds and print a line for each tenant.

Then all of them by configs that say only which header holds the SKU, with the one patch that
``local_run.py --check`` prints for each (`first_patch`). Then some again, changed by a rule as
within a year, against what was published before; and the explanations of
SKUs of which three hospitals' offers tie in different ways.

The feeds stay in ``RELAY_FEEDS_DIR`` (default ``../shared/data``); their configs are in
``configs/real_feeds``. Exit status 0 where every run came to what it should, or the folder is
absent; 1 where one did not, a feed is missing, or the folder's list names a feed that has no config
here.
"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from first_patch import (
    differences,
    options_told,
    read_config,
    with_answers,
    with_patch,
    with_sku_alone,
)

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs" / "real_feeds"
NOW = "2026-03-01T12:00:00Z"

# Config by name, and which file is which vendor's.
TENANTS: Mapping[str, Mapping[str, str]] = {
    "adventureworks": {"product_vendor": "adventureworks/ProductVendor.csv"},
    "aurora_health": {
        "aurora_baycare": "aurora-health/aurora-baycare-standard-charges.csv",
        "sheboygan": "aurora-health/sheboygan-standard-charges.csv",
        "summit": "aurora-health/summit-standard-charges.csv",
    },
    "hca_west_texas": {
        "del_sol": "hca-west-texas/CentralAndWestTexasDivision_DelSolMedicalCenter_CM.csv",
        "las_palmas": "hca-west-texas/CentralAndWestTexasDivision_LasPalmasMedicalCenter_CM.csv",
    },
    "jlcpcb": {"lcsc": "jlcpcb-basic-parts/Basic Parts.csv"},
    "magento": {"luma": "magento2-sample-data/products.csv"},
    "retail_demo_store": {"demo_store": "retail-demo-store/products.csv"},
    "uc_davis": {"uc_davis": "uc-davis/CDM.csv"},
    "vinmonopolet": {
        "first_chunk": "vinmonopolet/products-chunk.csv",
        "second_chunk": "vinmonopolet/broken-products-chunk.csv",
    },
}


Record = dict[str, str]
_HELD = 3


# --- what becomes of a record ---------------------------------------------------------------------


def _grown(record: Record) -> Record | None:
    """A tenth of the SKUs is gone, and what has a price costs 3 % more."""
    if zlib.crc32(record["CC"].encode()) % 10 == 0:
        return None
    return _repriced(record, lambda fee: f"{fee * Decimal('1.03'):.2f}")


def _with_decimal_comma(record: Record) -> Record:
    """Prices under 1,000 alone: with more digits before its comma none passes for thousands."""
    return _repriced(
        record, lambda fee: f"{fee:.3f}".replace(".", ",") if fee < 1000 else f"{fee}"
    )


def _repriced(record: Record, written: Callable[[Decimal], str]) -> Record:
    fee = record["1/1/19 Fee"].replace(",", "")
    return record | {"1/1/19 Fee": fee if fee == "VARIABLE" else written(Decimal(fee))}


def _without_stock(record: Record) -> Record:
    return record | {"Stock": "0"}


def _third(record: Record) -> Record | None:
    return record if zlib.crc32(record["CC"].encode()) % 3 == 0 else None


@dataclass(frozen=True)
class Change:
    """What becomes of a tenant's lists, and which guards hold what comes of it."""

    what: str
    tenant: str
    vendors: Sequence[str]
    of: Callable[[Record], Record | None]
    held_by: Sequence[str] = ()
    encoding: str = "utf-8"


_HOSPITALS = tuple(TENANTS["aurora_health"])
CHANGES = (
    Change("a year later", "aurora_health", _HOSPITALS, _grown),
    Change(
        "a decimal comma, read as thousands",
        "aurora_health",
        _HOSPITALS,
        _with_decimal_comma,
        ("price_rise", "price_level"),
    ),
    Change(
        "nothing in stock",
        "jlcpcb",
        ("lcsc",),
        _without_stock,
        ("out_of_stock",),
        "cp1252",
    ),
    Change(
        "a third of one list", "aurora_health", ("summit",), _third, ("vendor_rows",)
    ),
)


# SKUs of three hospitals that tie in different ways: their offers by rank, and what each lost on.
TIES: Mapping[str, Sequence[tuple[str, str | None]]] = {
    "10000009": (
        ("aurora_baycare", None),
        ("sheboygan", "vendor_id"),
        ("summit", "vendor_id"),
    ),
    "10000706": (
        ("aurora_baycare", None),
        ("summit", "vendor_id"),
        ("sheboygan", "lowest_landed_cost"),
    ),
    "10000005": (("sheboygan", None), ("summit", "vendor_id")),
    "10000002": (
        ("sheboygan", None),
        ("summit", "lowest_landed_cost"),
        ("aurora_baycare", "lowest_landed_cost"),
    ),
    "10000100": (("aurora_baycare", None),),
    "MMIS": (),
}


@dataclass(frozen=True)
class Line:
    """What one tenant's run came to, and whether it should."""

    tenant: str
    is_right: bool
    text: str

    def __str__(self) -> str:
        return f"{self.tenant:<18} {self.text}"


def main() -> int:
    """Run every tenant; return the exit status."""
    feeds_dir = Path(
        os.environ.get("RELAY_FEEDS_DIR") or ROOT.parent / "shared" / "data"
    )
    if not feeds_dir.is_dir():
        print(
            f"no real feeds: {feeds_dir} is not there; name a folder in RELAY_FEEDS_DIR"
        )
        return 0
    faults = unlisted(feeds_dir)
    for tenant, files in TENANTS.items():
        absent = [name for name in files.values() if not (feeds_dir / name).is_file()]
        line = (
            Line(tenant, False, f"missing: {', '.join(absent)}")
            if absent
            else run(tenant, files, feeds_dir)
        )
        print(line, flush=True)
        faults += [] if line.is_right else [str(line)]
    more: list[Callable[[Path], Line]] = [
        *(partial(run_patched, tenant) for tenant in TENANTS),
        *(partial(run_changed, change) for change in CHANGES),
        explain_ties,
    ]
    for check in [] if faults else more:
        line = check(feeds_dir)
        print(line, flush=True)
        faults += [] if line.is_right else [str(line)]
    if faults:
        print(
            f"{len(faults)} of the real feeds' checks failed:",
            *faults,
            sep="\n  ",
            file=sys.stderr,
        )
    return 1 if faults else 0


def unlisted(feeds_dir: Path) -> list[str]:
    """Return a fault for each feed that the folder's own list names and no tenant here uses."""
    listing = feeds_dir / "PROVENANCE.md"
    if not listing.is_file():
        return []
    named = re.findall(
        r"^### (\S.*\.csv)$", listing.read_text("utf-8"), flags=re.MULTILINE
    )
    used = {name for files in TENANTS.values() for name in files.values()}
    return [
        f"{name}: named in {listing.name}, but no config uses it"
        for name in named
        if name not in used
    ]


def run(tenant: str, files: Mapping[str, str], feeds_dir: Path) -> Line:
    """Run one tenant's feeds through the local runner."""
    with tempfile.TemporaryDirectory() as folder:
        done = _tenant_run(tenant, _paths(files, feeds_dir), Path(folder))
        if done.returncode == 0:
            return Line(tenant, True, figures(Path(folder)))
    return Line(
        tenant, False, f"exit status {done.returncode}: {last_line(done.stderr)}"
    )


def run_patched(tenant: str, feeds_dir: Path) -> Line:
    """Start from the SKU's header alone, and hold the patched config against the one by hand."""
    paths = _paths(TENANTS[tenant], feeds_dir)
    by_hand = read_config(CONFIGS / f"{tenant}.yaml")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "config.json"
        bare = with_sku_alone(by_hand)
        config.write_text(json.dumps(bare), "utf-8")
        first = _local_run(config, paths, "--check")
        patched = with_answers(with_patch(bare, first.stdout), by_hand, first.stdout)
        config.write_text(json.dumps(patched), "utf-8")
        second = _local_run(config, paths, "--check")
        done = _local_run(config, paths, f"--output-dir={folder / 'patched'}")
        own = _local_run(
            CONFIGS / f"{tenant}.yaml", paths, f"--output-dir={folder / 'by_hand'}"
        )
        statuses = [each.returncode for each in (first, second, done, own)]
        rows, rows_by_hand = (
            row_counts(folder / each) for each in ("patched", "by_hand")
        )
    wrong = differences(patched, by_hand)
    if statuses != [1, 0, 0, 0] or rows != rows_by_hand or wrong:
        counts = f"exit statuses {statuses}, rows {rows} and {rows_by_hand}, {wrong}"
        return Line(
            tenant, False, f"by one patch: {counts}\n{second.stdout}{done.stderr}"
        )
    return Line(tenant, True, f"by one patch: {options_told(patched)}")


def row_counts(folder: Path) -> list[int]:
    """Return how many rows a run has read and refused."""
    summary = _json(folder / "reports" / "run_summary.json")
    return [summary.get(name, -1) for name in ("total_rows", "invalid_rows")]


def run_changed(change: Change, feeds_dir: Path) -> Line:
    """Run a tenant's feeds, and then the changed ones against what was published."""
    paths = _paths(TENANTS[change.tenant], feeds_dir)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _tenant_run(change.tenant, paths, folder / "before").check_returncode()
        for vendor_id in change.vendors:
            changed = folder / f"{vendor_id}.csv"
            write_changed(change, paths[vendor_id], changed)
            paths[vendor_id] = changed
        baseline = folder / "before" / "published" / "state.parquet"
        done = _tenant_run(
            change.tenant, paths, folder / "after", f"--baseline={baseline}"
        )
    expected = f"HELD: {', '.join(change.held_by)}" if change.held_by else ""
    # Doubts are written after a success, and are no part of the verdict.
    said = [line for line in done.stderr.splitlines() if not line.startswith("doubt: ")]
    status, last = done.returncode, last_line("\n".join(said)) if said else ""
    is_right = (status, last) == (_HELD if expected else 0, expected)
    text = last or "published"
    return Line(
        change.tenant,
        is_right,
        f"{change.what}: {text if is_right else (status, text)}",
    )


def explain_ties(feeds_dir: Path) -> Line:
    """Have SKUs of three lists explained, and compare what each offer has lost on."""
    tenant = "aurora_health"
    paths = _paths(TENANTS[tenant], feeds_dir)
    with tempfile.TemporaryDirectory() as folder:
        done = _tenant_run(
            tenant, paths, Path(folder), *(f"--explain={sku}" for sku in TIES)
        )
    done.check_returncode()
    found = lost_on(done.stdout.splitlines()[-len(TIES) :])
    wrong = {
        sku: found[sku]
        for sku, expected in TIES.items()
        if found[sku] != list(expected)
    }
    text = (
        f"explained {len(TIES)} SKUs that tie"
        if not wrong
        else f"explained otherwise: {wrong}"
    )
    return Line(tenant, not wrong, text)


def lost_on(lines: Sequence[str]) -> dict[str, list[tuple[str, str | None]]]:
    """Return of each SKU that is explained its offers' vendors, and what they have lost on."""
    explained = map(json.loads, lines)
    return {
        each["sku"]: [
            (offer["vendor_id"], offer["lost_on"]) for offer in each["offers"]
        ]
        for each in explained
    }


def write_changed(change: Change, source: Path, target: Path) -> None:
    """Write a list as it is after a change."""
    with (
        source.open(encoding=change.encoding, newline="") as before,
        target.open("w", encoding=change.encoding, newline="") as after,
    ):
        records = csv.DictReader(before)
        writer = csv.DictWriter(after, records.fieldnames or ())
        writer.writeheader()
        writer.writerows(
            kept for record in records if (kept := change.of(record)) is not None
        )


def _paths(files: Mapping[str, str], feeds_dir: Path) -> dict[str, Path]:
    return {vendor_id: feeds_dir / name for vendor_id, name in files.items()}


def _tenant_run(
    tenant: str, paths: Mapping[str, Path], folder: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    return _local_run(
        CONFIGS / f"{tenant}.yaml", paths, f"--output-dir={folder}", *options
    )


def _local_run(
    config: Path, paths: Mapping[str, Path], *options: str
) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(ROOT / "scripts" / "local_run.py"),
        "--now",
        NOW,
        *options,
    ]
    command += ["--config", str(config)]
    command += [
        f"--vendor-file={vendor_id}={path}" for vendor_id, path in paths.items()
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def figures(folder: Path) -> str:
    """Say what a run's reports count: rows, refused rows, SKUs, codes."""
    summary = _json(folder / "reports" / "run_summary.json")
    errors = _json(folder / "reports" / "errors.json")
    codes = ", ".join(
        f"{code} {count}" for code, count in errors.get("counts", {}).items()
    )
    rows, refused, skus = (
        summary[name] for name in ("total_rows", "invalid_rows", "record_count")
    )
    return f"{rows:>8,} rows {refused:>4,} refused {skus:>8,} SKUs  {codes or '-'}"


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines: Sequence[str] = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


if __name__ == "__main__":
    sys.exit(main())
