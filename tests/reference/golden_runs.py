"""The sha256 of every artifact of the golden tenants' runs, through the local runner.

``python tests/reference/golden_runs.py`` writes them down again: only where other bytes are meant.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT / part) for part in ("tests/reference", "tests", "scripts", "")
]

from benchmarks.feeds import Shape, write_feeds  # noqa: E402
from golden_tenants import TENANTS, golden_tenant  # noqa: E402
from relay_dagster.local.command import main as run_locally  # noqa: E402

HASHES = ROOT / "tests" / "core" / "golden.json"
MANY_ROWS = "many_rows"
"""The benchmark's feeds: more than a block of text and a slice of lines have."""
NAMES = (*TENANTS, MANY_ROWS)
_SHAPE = Shape(rows=290_000, vendors=2, bad=0.02, ragged=0.002)
_NOT_HELD = (
    "config_snapshot.json",
    "input_manifest.json",
    "report.html",
    "report.json",
)
_CLOCK_READINGS = ("stage_times", "duration_seconds", "completed_at")


def hashes_of_run(name: str, folder: Path) -> dict[str, str]:
    """Run a golden tenant in an empty folder and return the hash of each artifact."""
    vendor_ids = _write_inputs(name, folder)
    out = folder / "out"
    feeds = [
        f"--vendor-file={vendor_id}={folder / f'{vendor_id}.csv'}"
        for vendor_id in vendor_ids
    ]
    maps = [
        f"--sku-map={vendor_id}={path}"
        for vendor_id in vendor_ids
        if (path := folder / f"{vendor_id}.map.csv").exists()
    ]
    options = [
        f"--config={folder / 'config.json'}",
        f"--output-dir={out}",
        "--run-id=golden",
    ]
    status = run_locally(
        [*options, "--now=2026-01-01T00:00:00Z", *feeds, *maps]
    )
    if status:
        raise RuntimeError(f"the run of {name} ended with {status}")
    # What the run was given, and a report that says in words what the others say.
    unheld = {f"reports/{name}" for name in _NOT_HELD}
    paths = {
        str(path.relative_to(out)): path
        for path in out.rglob("*")
        if path.is_file()
    }
    return {
        key: _hash(path)
        for key, path in sorted(paths.items())
        if key not in unheld
    }


def _write_inputs(name: str, folder: Path) -> list[str]:
    """Write config, feeds and maps; return the vendors."""
    if name == MANY_ROWS:
        write_feeds(_SHAPE, folder)
        return _SHAPE.vendor_ids
    tenant = golden_tenant(name)
    (folder / "config.json").write_text(json.dumps(tenant.document), "utf-8")
    for kind, files in (("csv", tenant.feeds), ("map.csv", tenant.sku_maps)):
        for vendor_id, data in files.items():
            (folder / f"{vendor_id}.{kind}").write_bytes(data)
    return list(tenant.feeds)


def _hash(path: Path) -> str:
    data = path.read_bytes()
    if path.name == "run_summary.json":
        summary = json.loads(data)
        lasting = {
            key: value
            for key, value in summary.items()
            if key not in _CLOCK_READINGS
        }
        data = json.dumps(lasting).encode()
    return hashlib.sha256(data).hexdigest()


def known_hashes() -> Mapping[str, Mapping[str, str]]:
    """Return what was written down."""
    hashes: Mapping[str, Mapping[str, str]] = json.loads(
        HASHES.read_text("utf-8")
    )
    return hashes


def main() -> None:
    """Write down the hashes of all runs."""
    hashes = {}
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            hashes[name] = hashes_of_run(name, Path(folder))
    HASHES.write_text(json.dumps(hashes, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
