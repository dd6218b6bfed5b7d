"""How large and how deep the code is, and what it costs to load: ``python -m benchmarks.figures``.

The figures of the source are counted in its syntax trees, the way of a run by `sys.setprofile` over
embedded AWS in this process, the time to load in processes of their own. The goals stand beside.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import resource
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]

import plain  # noqa: E402  # found by the path above
from relay_dagster.orchestration.build import build_defs  # noqa: E402
from support.journey import prepared_journey  # noqa: E402  # found by the path above
from support.source_tree import (  # noqa: E402
    ORDER,
    Module,
    may_import,
    modules,
    our_modules,
    places_imported,
)

PACKAGES = tuple(ORDER)
READER = re.compile(
    r"(xlsx|xls|ods|workbook|jsonl|json_lines|compression|gzip)"
)
CONFIG = """\
schema_version: 1
tenant_id: acme
timezone: UTC
default_currency: USD
vendors:
  - vendor_id: vendor_1
    inbound: {type: s3, s3_prefix: tenants/acme/inbound/vendor_1/}
    parser: {format: csv}
pricing: {base_margin_pct: "0", min_price: "0", shipping_handling_flat: "0"}
merge: {strategy: best_offer}
output: {columns: [sku, vendor_id, quantity_available, price]}
"""


@dataclass(frozen=True)
class Figure:
    """A line of the table."""

    name: str
    value: str
    goal: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return the exit status."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument(
        "--rounds",
        type=int,
        default=5,
        help="of each start, the least counts; 0: none",
    )
    chosen = options.parse_args(argv)
    print("| figure | value | goal |\n| --- | ---: | ---: |")
    for figure in figures(chosen.rounds):
        print(f"| {figure.name} | {figure.value} | {figure.goal} |", flush=True)
    return 0


def figures(rounds: int) -> Iterator[Figure]:
    """Count one figure after the other."""
    lines = sum(
        lines_of(module) for module in our_modules() if not _is_sample(module)
    )
    yield Figure("product, lines without samples", f"{lines:,}")
    yield from _of_plainness()
    yield from _of_names()
    readers = sum(map(lines_of, filter(_reads_a_format, modules("relay_core"))))
    yield Figure(
        "workbooks, JSON Lines, compression, lines", f"{readers:,}", "1,000"
    )
    yield Figure("sensors", str(len([*(build_defs().sensors or ())])), "6")
    for package in PACKAGES:
        rooms = sum(map(len, ORDER[package]))
        drawn = arrows(package)
        up = [arrow for arrow in drawn if not may_import(package, *arrow)]
        value = f"{rooms} rooms, {len(drawn)} arrows, {len(up)} up"
        yield Figure(f"import graph of {package}", value, "0 up")
    crossed = crossed_by_a_run()
    files = len({code.co_filename for code in crossed})
    yield Figure(
        "files crossed by a run, POST to acknowledged", str(files), "100"
    )
    yield Figure("functions crossed", str(len(crossed)), "600")
    if rounds:
        yield from _of_starts(rounds)


def _of_plainness() -> Iterator[Figure]:
    folders = [ROOT / package for package in PACKAGES]
    product = plain.together(plain.measured(folders).values())
    goals = plain.GOALS
    share = f"{product.nameless_share:.1%}"
    yield Figure("nameless locals", share, f"{goals.nameless_share:.0%}")
    yield Figure(
        "doubled assignments", str(product.doubled), str(goals.doubled)
    )
    nodes = f"{product.nodes_per_line:.1f}"
    yield Figure("syntax nodes per line", nodes, f"{goals.nodes_per_line:.1f}")
    imported = f"{product.imported:.0f}"
    yield Figure(
        "names that a module imports, median", imported, f"{goals.imported}"
    )
    yield Figure("functions over 50 lines", str(product.long_functions), "0")


# --- the source ---------------------------------------------------------------------------------


def lines_of(module: Module) -> int:
    """Return how many lines a source file has."""
    return len(module.path.read_text("utf-8").splitlines())


def _is_sample(module: Module) -> bool:
    return module.is_in("relay_core.samples")


def _reads_a_format(module: Module) -> bool:
    below = module.name.removeprefix("relay_core.ingest.")
    return below != module.name and any(
        READER.match(part) for part in below.split(".")
    )


def _of_names() -> Iterator[Figure]:
    defined = [
        name for module in our_modules() for name in private_functions(module)
    ]
    once = [name for module in our_modules() for name in used_once(module)]
    share = f"{len(once)} of {len(defined):,}, {100 * len(once) / len(defined):.0f} %"
    yield Figure("private functions with one caller", share, "45 %")
    twice = [name for package in PACKAGES for name in repeated_classes(package)]
    yield Figure("class names used again in a package", str(len(twice)), "8")


def private_functions(module: Module) -> list[str]:
    """Return the names of private functions and methods, one each time it is defined."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    names = (
        node.name for node in ast.walk(module.tree) if isinstance(node, kinds)
    )
    return [
        name
        for name in names
        if name.startswith("_") and not name.startswith("__")
    ]


def used_once(module: Module) -> list[str]:
    """Return the private functions whose name the rest of the file has once."""
    uses = Counter(
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Name | ast.Attribute)
    )
    return [name for name in private_functions(module) if uses[name] == 1]


def repeated_classes(package: str) -> list[str]:
    """Return the names that two classes of a package or more have."""
    names = Counter(
        node.name
        for module in modules(package)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    )
    return sorted(name for name, count in names.items() if count > 1)


def arrows(package: str) -> set[tuple[str, str]]:
    """Return each pair of a place and another that it imports from."""
    return {
        (module.place, imported)
        for module in modules(package)
        if module.place
        for imported in places_imported(module)
    }


# --- a run --------------------------------------------------------------------------------------


def crossed_by_a_run() -> set[CodeType]:
    """Return the functions of both packages that a run enters, from POST to acknowledged."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        with prepared_journey() as first:
            first.go()  # what is made once a process is made
        with prepared_journey() as journey, calls_counted() as entered:
            journey.go()
    tops = tuple(str(ROOT / package) for package in PACKAGES)
    return {
        code
        for code in entered
        if code.co_filename.startswith(tops)
        and not code.co_name.startswith("<")
    }


@contextmanager
def calls_counted() -> Iterator[set[CodeType]]:
    """Note the code of each call, in this thread and in those that start meanwhile."""
    entered: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            entered.add(frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield entered
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


# --- the time to load ---------------------------------------------------------------------------


def _of_starts(rounds: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        config = place / "config.yaml"
        feed = place / "feed.csv"
        config.write_text(CONFIG, "utf-8")
        feed.write_text("sku,quantity_available,cost\na-1,3,2.50\n", "utf-8")
        script = str(ROOT / "scripts" / "local_run.py")
        inputs = ["--config", str(config), "--vendor-file", f"vendor_1={feed}"]
        local = [script, *inputs, "--output-dir", str(place / "out")]
        for name, arguments, goal in (
            ("local_run.py of one row", local, "0.8 s"),
            ("API", ["-c", "import relay_dagster.server.app"], "0.7 s"),
            (
                "run process",
                ["-c", "import relay_dagster.definitions"],
                "1.2 s",
            ),
        ):
            seconds = min(start(arguments) for _ in range(rounds))
            yield Figure(f"time to load: {name}", f"{seconds:.2f} s CPU", goal)


def start(arguments: Sequence[str]) -> float:
    """Return the seconds of CPU that a new Python takes, its children with it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, *arguments]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
