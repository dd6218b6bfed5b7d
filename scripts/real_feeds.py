"""Run the local runner over real vendors' feeds, and print a line for each result.

First, each tenant's feeds run. Then all of them run again with configs that only name the
header of the SKU, changed by the one patch that `local_run.py --check` prints for each
(`first_patch`), and they are checked with configs that name nothing. `relay new` writes a config
for them, and its command runs. Then some run again with
changes as they happen within a year, compared with the published feed. Some SKUs are
explained whose offers tie in different ways. Last, a shop's export is the catalog of two
vendors' lists that are cut out of it (`catalog_lists`).

The feeds are in `RELAY_FEEDS_DIR` (default `../shared/data`), and their configs are in
`configs/real_feeds`. The exit status is 0 if every result is as expected, or if the folder
does not exist. It is 1 if a result differs, if a feed is missing, or if the folder's list
names a feed without a config here.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import catalog_lists
import first_patch

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs" / "real_feeds"
NOW = "2026-03-01T12:00:00Z"

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
"""The file of each vendor, by the name of the tenant's config."""

CATALOG_TENANT = "magento_catalog"
"""The name of the config whose catalog is a shop's export."""

Record = dict[str, str]
_HELD = 3  # the local runner's exit status for a feed on hold
_FEE = "1/1/19 Fee"


# --- changes of feeds -----------------------------------------------------------------


def _year_later(record: Record) -> Record | None:
    """Remove a tenth of the SKUs, and raise the other prices by 3 %."""
    if zlib.crc32(record["CC"].encode()) % 10 == 0:
        return None
    return _repriced(record, lambda fee: f"{fee * Decimal('1.03'):.2f}")


def _with_decimal_comma(record: Record) -> Record:
    """Write prices below 1,000 with a decimal comma and three places.

    With more digits before its comma, a price could not pass for thousands.
    """

    def with_comma(fee: Decimal) -> str:
        return f"{fee:.3f}".replace(".", ",") if fee < 1000 else f"{fee}"

    return _repriced(record, with_comma)


def _repriced(record: Record, text_of: Callable[[Decimal], str]) -> Record:
    fee = record[_FEE].replace(",", "")
    if fee != "VARIABLE":
        fee = text_of(Decimal(fee))
    return record | {_FEE: fee}


def _without_stock(record: Record) -> Record:
    return record | {"Stock": "0"}


def _third(record: Record) -> Record | None:
    return record if zlib.crc32(record["CC"].encode()) % 3 == 0 else None


@dataclass(frozen=True)
class Change:
    """A change of a tenant's feeds.

    Attributes:
        title: The change in words.
        tenant: The tenant.
        vendors: The vendors whose feeds change.
        changed: The function that returns a changed record, or None to remove it.
        held_by: The guards that hold the feed with the change.
        encoding: The encoding of the feeds.
    """

    title: str
    tenant: str
    vendors: Sequence[str]
    changed: Callable[[Record], Record | None]
    held_by: Sequence[str] = ()
    encoding: str = "utf-8"


_HOSPITALS = tuple(TENANTS["aurora_health"])
CHANGES = (
    Change("a year later", "aurora_health", _HOSPITALS, _year_later),
    Change(
        "a decimal comma, read as thousands",
        "aurora_health",
        _HOSPITALS,
        _with_decimal_comma,
        held_by=("price_rise", "price_level"),
    ),
    Change(
        "nothing in stock",
        "jlcpcb",
        ("lcsc",),
        _without_stock,
        held_by=("out_of_stock",),
        encoding="cp1252",
    ),
    Change(
        "a third of one list",
        "aurora_health",
        ("summit",),
        _third,
        held_by=("vendor_rows",),
    ),
)


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
"""SKUs of three hospitals whose offers tie: the vendors by rank, and what each lost on."""


NOT_AS_BY_HAND: Mapping[str, Sequence[str]] = {
    "retail_demo_store": ("demo_store: cost is None, by hand 'price'",),
}
"""The differences of a proposal that are right, by tenant.

A header `price` is the vendor's selling price, until somebody maps it to the cost.
"""


@dataclass(frozen=True)
class Result:
    """The result of one check.

    Attributes:
        tenant: The tenant.
        is_right: Whether the result is as expected.
        text: The result in words.
    """

    tenant: str
    is_right: bool
    text: str

    def __str__(self) -> str:
        return f"{self.tenant:<18} {self.text}"


def main() -> int:
    """Check every tenant, and return the exit status."""
    feeds_dir = Path(
        os.environ.get("RELAY_FEEDS_DIR") or ROOT.parent / "shared" / "data",
    )
    if not feeds_dir.is_dir():
        print(
            f"No real feeds: {feeds_dir} is not there. Set RELAY_FEEDS_DIR to a folder.",
        )
        return 0
    faults = unlisted(feeds_dir)
    for result in _runs(feeds_dir):
        print(result, flush=True)
        if not result.is_right:
            faults.append(str(result))
    # The other checks take long, and mean nothing if a run fails.
    if not faults:
        for result in _further_checks(feeds_dir):
            print(result, flush=True)
            if not result.is_right:
                faults.append(str(result))
    if faults:
        print(
            f"{len(faults)} checks of real feeds failed:",
            *faults,
            sep="\n  ",
            file=sys.stderr,
        )
    return 1 if faults else 0


def _runs(feeds_dir: Path) -> Iterator[Result]:
    """Yield the result of each tenant's run."""
    for tenant, files in TENANTS.items():
        missing_files = [
            name for name in files.values() if not (feeds_dir / name).is_file()
        ]
        if missing_files:
            yield Result(tenant, False, f"missing: {', '.join(missing_files)}")
        else:
            yield run(tenant, files, feeds_dir)


def _further_checks(feeds_dir: Path) -> Iterator[Result]:
    for tenant in TENANTS:
        yield run_patched(tenant, feeds_dir)
        yield run_proposed(tenant, feeds_dir)
        yield run_new(tenant, feeds_dir)
    for change in CHANGES:
        yield run_changed(change, feeds_dir)
    yield explain_ties(feeds_dir)
    yield run_catalog(feeds_dir)


def unlisted(feeds_dir: Path) -> list[str]:
    """Return a fault for each feed that the folder's own list names and no config uses."""
    listing = feeds_dir / "PROVENANCE.md"
    if not listing.is_file():
        return []
    listed_names = re.findall(
        r"^### (\S.*\.csv)$",
        listing.read_text("utf-8"),
        flags=re.MULTILINE,
    )
    configured_names = {
        name for files in TENANTS.values() for name in files.values()
    }
    return [
        f"{name}: listed in {listing.name}, but no config uses it"
        for name in listed_names
        if name not in configured_names
    ]


def run(tenant: str, files: Mapping[str, str], feeds_dir: Path) -> Result:
    """Run one tenant's feeds through the local runner."""
    with tempfile.TemporaryDirectory() as folder:
        process = _tenant_run(tenant, _paths(files, feeds_dir), Path(folder))
        if process.returncode == 0:
            return Result(tenant, True, figures(Path(folder)))
    return Result(tenant, False, failure_text(process))


def run_patched(tenant: str, feeds_dir: Path) -> Result:
    """Compare the config by hand with one that starts from the SKU's header and a patch."""
    paths = _paths(TENANTS[tenant], feeds_dir)
    config_by_hand = CONFIGS / f"{tenant}.yaml"
    by_hand = first_patch.read_config(config_by_hand)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "config.json"
        bare = first_patch.with_sku_alone(by_hand)
        config.write_text(json.dumps(bare), "utf-8")
        first_check = _local_run(config, paths, "--check")
        output = first_check.stdout
        patched = first_patch.with_patch(bare, output)
        patched = first_patch.with_answers(patched, by_hand, output)
        config.write_text(json.dumps(patched), "utf-8")
        second_check = _local_run(config, paths, "--check")
        patched_run = _local_run(
            config,
            paths,
            f"--output-dir={folder / 'patched'}",
        )
        run_by_hand = _local_run(
            config_by_hand,
            paths,
            f"--output-dir={folder / 'by_hand'}",
        )
        rows = row_counts(folder / "patched")
        rows_by_hand = row_counts(folder / "by_hand")
    statuses = [
        process.returncode
        for process in (first_check, second_check, patched_run, run_by_hand)
    ]
    differences = first_patch.differences(patched, by_hand)
    if statuses != [1, 0, 0, 0] or rows != rows_by_hand or differences:
        return Result(
            tenant,
            False,
            f"by one patch: exit statuses {statuses}, rows {rows} and {rows_by_hand}, "
            f"{differences}\n{second_check.stdout}{patched_run.stderr}",
        )
    return Result(
        tenant,
        True,
        f"by one patch: {first_patch.options_told(patched)}",
    )


def run_proposed(tenant: str, feeds_dir: Path) -> Result:
    """Compare the config by hand with the proposal for a config that says nothing.

    The SKU, the price, and how their cells are read have to be as by hand, and nothing may
    be asked.
    """
    paths = _paths(TENANTS[tenant], feeds_dir)
    by_hand = first_patch.read_config(CONFIGS / f"{tenant}.yaml")
    bare = first_patch.with_nothing(by_hand)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "config.json"
        config.write_text(json.dumps(bare), "utf-8")
        output = _local_run(config, paths, "--check").stdout
        proposed = first_patch.with_patch(bare, output)
        config.write_text(json.dumps(proposed), "utf-8")
        status = _local_run(config, paths, "--check").returncode
    differences = [
        *first_patch.differences(proposed, by_hand),
        *first_patch.column_differences(proposed, by_hand),
    ]
    unexpected = [
        difference
        for difference in differences
        if difference not in NOT_AS_BY_HAND.get(tenant, ())
    ]
    if status or unexpected or first_patch.asks(output):
        return Result(
            tenant,
            False,
            f"as proposed: exit status {status}, {unexpected}\n{output}",
        )
    outcome = "; ".join(differences) or "right, nothing asked"
    return Result(tenant, True, f"as proposed: {outcome}")


def run_new(tenant: str, feeds_dir: Path) -> Result:
    """Compare the config by hand with the one that `relay new` writes, and run that one.

    The SKU, the price, and how their cells are read have to be as by hand.
    """
    paths = _paths(TENANTS[tenant], feeds_dir)
    by_hand = first_patch.read_config(CONFIGS / f"{tenant}.yaml")
    with tempfile.TemporaryDirectory() as name:
        files = map(str, paths.values())
        relay = (sys.executable, "-m", "relay_dagster.cli")
        new = _process([*relay, "new", *files, "--output-dir", name])
        run_status = None
        written: first_patch.Document = {"vendors": []}
        if new.returncode == 0:
            printed_command = last_line(new.stdout)
            run_status = _process(shlex.split(printed_command)).returncode
            written = first_patch.read_config(Path(name) / "tenant.yaml")
    if run_status != 0:
        return Result(
            tenant,
            False,
            f"by relay new: exit statuses {new.returncode} and {run_status}\n"
            f"{new.stdout}{new.stderr}",
        )
    # The files' names give the vendors other ids.
    vendors = [
        {**vendor, "vendor_id": vendor_by_hand["vendor_id"]}
        for vendor, vendor_by_hand in zip(
            written["vendors"], by_hand["vendors"], strict=True
        )
    ]
    proposed = {**written, "vendors": vendors}
    differences = [
        *first_patch.differences(proposed, by_hand),
        *first_patch.column_differences(proposed, by_hand),
    ]
    outcome = "; ".join(differences) or "right"
    is_right = set(differences) <= set(NOT_AS_BY_HAND.get(tenant, ()))
    return Result(tenant, is_right, f"by relay new: {outcome}")


def _process(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder, without a terminal.

    The environment of this process is searched for programs, as if it were activated.
    """
    programs = Path(sys.executable).parent
    search_path = f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return subprocess.run(
        command,
        env={**os.environ, "PATH": search_path},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def row_counts(folder: Path) -> list[int]:
    """Return the numbers of rows that a run read and rejected."""
    summary = _json(folder / "reports" / "run_summary.json")
    return [summary.get(name, -1) for name in ("total_rows", "invalid_rows")]


def run_changed(change: Change, feeds_dir: Path) -> Result:
    """Run a tenant's feeds, and then the changed feeds against the published one."""
    paths = _paths(TENANTS[change.tenant], feeds_dir)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _tenant_run(change.tenant, paths, folder / "before").check_returncode()
        for vendor_id in change.vendors:
            changed_file = folder / f"{vendor_id}.csv"
            write_changed(change, paths[vendor_id], changed_file)
            paths[vendor_id] = changed_file
        baseline = folder / "before" / "published" / "state.parquet"
        process = _tenant_run(
            change.tenant,
            paths,
            folder / "after",
            f"--baseline={baseline}",
        )
    expected_status = 0
    expected_line = ""
    if change.held_by:
        expected_status = _HELD
        expected_line = f"HELD: {', '.join(change.held_by)}"
    # Doubts are written after a success, and are not part of the verdict.
    lines = [
        line
        for line in process.stderr.splitlines()
        if not line.startswith("doubt: ")
    ]
    line = last_line("\n".join(lines)) if lines else ""
    status = process.returncode
    outcome = line or "published"
    if (status, line) == (expected_status, expected_line):
        return Result(change.tenant, True, f"{change.title}: {outcome}")
    return Result(change.tenant, False, f"{change.title}: {(status, outcome)}")


def explain_ties(feeds_dir: Path) -> Result:
    """Explain SKUs of three lists, and compare what each offer lost on."""
    tenant = "aurora_health"
    options = [f"--explain={sku}" for sku in TIES]
    with tempfile.TemporaryDirectory() as folder:
        process = _tenant_run(
            tenant,
            _paths(TENANTS[tenant], feeds_dir),
            Path(folder),
            *options,
        )
    process.check_returncode()
    explanations = lost_on(process.stdout.splitlines()[-len(TIES) :])
    wrong = {
        sku: explanations[sku]
        for sku, expected in TIES.items()
        if explanations[sku] != list(expected)
    }
    if wrong:
        return Result(tenant, False, f"unexpected explanations: {wrong}")
    return Result(tenant, True, f"explained {len(TIES)} SKUs that tie")


def run_catalog(feeds_dir: Path) -> Result:
    """Run two vendors' lists with the export that they are cut out of as the catalog."""
    export = feeds_dir / TENANTS["magento"]["luma"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lists = catalog_lists.cut_lists(export, folder)
        paths = {**lists.files, "catalog": export}
        process = _tenant_run(CATALOG_TENANT, paths, folder / "out")
        if process.returncode != 0:
            return Result(CATALOG_TENANT, False, failure_text(process))
        faults = lists.faults(folder / "out")
        row_figures = catalog_lists.catalog_figures(folder / "out")
    if faults:
        return Result(CATALOG_TENANT, False, "; ".join([row_figures, *faults]))
    return Result(CATALOG_TENANT, True, row_figures)


def lost_on(lines: Sequence[str]) -> dict[str, list[tuple[str, str | None]]]:
    """Return the vendor and the losing criterion of each offer, by SKU."""
    offers_by_sku = {}
    for line in lines:
        explanation = json.loads(line)
        offers_by_sku[explanation["sku"]] = [
            (offer["vendor_id"], offer["lost_on"])
            for offer in explanation["offers"]
        ]
    return offers_by_sku


def write_changed(change: Change, source: Path, target: Path) -> None:
    """Write a feed with a change."""
    with (
        source.open(encoding=change.encoding, newline="") as source_file,
        target.open("w", encoding=change.encoding, newline="") as target_file,
    ):
        reader = csv.DictReader(source_file)
        writer = csv.DictWriter(target_file, reader.fieldnames or ())
        writer.writeheader()
        for record in reader:
            changed_record = change.changed(record)
            if changed_record is not None:
                writer.writerow(changed_record)


def _paths(files: Mapping[str, str], feeds_dir: Path) -> dict[str, Path]:
    return {vendor_id: feeds_dir / name for vendor_id, name in files.items()}


def _tenant_run(
    tenant: str,
    paths: Mapping[str, Path],
    folder: Path,
    *options: str,
) -> subprocess.CompletedProcess[str]:
    config = CONFIGS / f"{tenant}.yaml"
    return _local_run(config, paths, f"--output-dir={folder}", *options)


def _local_run(
    config: Path,
    paths: Mapping[str, Path],
    *options: str,
) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(ROOT / "scripts" / "local_run.py"),
        f"--now={NOW}",
        f"--config={config}",
        *options,
    ]
    for vendor_id, path in paths.items():
        command.append(f"--vendor-file={vendor_id}={path}")
    return subprocess.run(command, capture_output=True, text=True, check=False)


def figures(folder: Path) -> str:
    """Return the counts of a run's reports: rows, rejected rows, SKUs, and codes."""
    summary = _json(folder / "reports" / "run_summary.json")
    errors = _json(folder / "reports" / "errors.json")
    codes = ", ".join(
        f"{code} {count}" for code, count in errors.get("counts", {}).items()
    )
    return (
        f"{summary['total_rows']:>8,} rows {summary['invalid_rows']:>4,} rejected "
        f"{summary['record_count']:>8,} SKUs  {codes or '-'}"
    )


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def failure_text(process: subprocess.CompletedProcess[str]) -> str:
    """Return the exit status and the last line of a failed run, or its whole traceback."""
    message = last_line(process.stderr)
    if "Traceback" in process.stderr:
        message = f"{message}\n{process.stderr}"
    return f"exit status {process.returncode}: {message}"


def last_line(text: str) -> str:
    """Return the last line that is not blank."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


if __name__ == "__main__":
    sys.exit(main())
