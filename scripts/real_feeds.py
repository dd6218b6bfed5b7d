"""Run the local runner over real vendors' feeds and print a line for each tenant.

The feeds stay in ``RELAY_FEEDS_DIR`` (default ``../shared/data``); their configs are in
``configs/real_feeds``. Exit status 0 where every run published or the folder is absent; 1 where a
run failed, a feed is missing, or the folder's list names a feed that has no config here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class Line:
    """What one tenant's run came to."""

    tenant: str
    published: bool
    text: str

    def __str__(self) -> str:
        return f"{self.tenant:<18} {self.text}"


def main() -> int:
    """Run every tenant; return the exit status."""
    feeds_dir = Path(os.environ.get("RELAY_FEEDS_DIR") or ROOT.parent / "shared" / "data")
    if not feeds_dir.is_dir():
        print(f"no real feeds: {feeds_dir} is not there; name a folder in RELAY_FEEDS_DIR")
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
        faults += [] if line.published else [str(line)]
    if faults:
        print(
            f"{len(faults)} of the real feeds' checks failed:", *faults, sep="\n  ", file=sys.stderr
        )
    return 1 if faults else 0


def unlisted(feeds_dir: Path) -> list[str]:
    """Return a fault for each feed that the folder's own list names and no tenant here uses."""
    listing = feeds_dir / "PROVENANCE.md"
    if not listing.is_file():
        return []
    named = re.findall(r"^### (\S.*\.csv)$", listing.read_text("utf-8"), flags=re.MULTILINE)
    used = {name for files in TENANTS.values() for name in files.values()}
    return [
        f"{name}: named in {listing.name}, but no config uses it"
        for name in named
        if name not in used
    ]


def run(tenant: str, files: Mapping[str, str], feeds_dir: Path) -> Line:
    """Run one tenant's feeds through the local runner."""
    command = [sys.executable, str(ROOT / "scripts" / "local_run.py")]
    command += ["--config", str(CONFIGS / f"{tenant}.yaml"), "--now", NOW]
    for vendor_id, name in files.items():
        command += ["--vendor-file", f"{vendor_id}={feeds_dir / name}"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, "--output-dir", folder], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return Line(tenant, True, figures(Path(folder)))
    return Line(tenant, False, f"exit status {done.returncode}: {last_line(done.stderr)}")


def figures(folder: Path) -> str:
    """Say what a run's reports count: rows, refused rows, SKUs, codes."""
    summary = _json(folder / "reports" / "run_summary.json")
    errors = _json(folder / "reports" / "errors.json")
    codes = ", ".join(f"{code} {count}" for code, count in errors.get("counts", {}).items())
    rows, refused, skus = (summary[name] for name in ("total_rows", "invalid_rows", "record_count"))
    return f"{rows:>8,} rows {refused:>4,} refused {skus:>8,} SKUs  {codes or '-'}"


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines: Sequence[str] = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


if __name__ == "__main__":
    sys.exit(main())
