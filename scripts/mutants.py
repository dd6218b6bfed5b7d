"""Change one thing at a time in what decides on prices and runs, and see that a test notices.

    python scripts/mutants.py [--sample N] [--seed N] [--jobs N] [MODULE ...]

A mutant is a module with one operator, comparison, condition or number changed, in a copy of the
source; the module's own tests are run on it, in a process that has the libraries loaded. Printed
is each that no test notices, and how many were noticed. Exit status 1 where one was not, 2 where
the tests fail on the source as it is. A mutant may do the same as the source: whoever reads the
list decides.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import copy
import multiprocessing
import os
import queue
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUBJECTS = {
    "relay_core/validation/guards.py": ("tests/core/validation/test_guards.py",),
    "relay_core/merge/pricing.py": (
        "tests/core/merge/test_pricing.py",
        "tests/core/merge/test_known_prices.py",
        "tests/core/test_overrides.py",
        "tests/core/merge/test_price_rules.py",
    ),
    "relay_core/merge/price_rules.py": ("tests/core/merge/test_price_rules.py",),
    **dict.fromkeys(
        (
            "relay_dagster/runs/transitions.py",
            "relay_dagster/runs/attempt_rules.py",
            "relay_dagster/runs/end_rules.py",
            "relay_dagster/runs/message_rules.py",
            "relay_dagster/runs/new_records.py",
            "relay_dagster/feeds/hold_rules.py",
        ),
        (
            "tests/runs/test_transitions.py",
            "tests/runs/test_message_state.py",
            "tests/ledger/test_runs.py",
        ),
    ),
}
"""The modules, and the tests that are to notice a change of each."""
EQUIVALENT = {
    # 64 bits hold twice as much.
    ("_LARGEST_PRODUCT = 2**62", "62", "63"),
    ("_LIMIT = 2**62", "62", "63"),
    (
        "fits = max(largest_old, largest_new) < _LARGEST_PRODUCT",
        "max(largest_old, largest_new) < _LARGEST_PRODUCT",
        "max(largest_old, largest_new) <= _LARGEST_PRODUCT",
    ),
    (
        "is_large |= terms.minimum >= limit",
        "terms.minimum >= limit",
        "terms.minimum > limit",
    ),
    # Half of ten SKUs is more than two; the one side is not read where the other is given.
    ("min_count: int = 1,", "1", "2"),
    ("below: Decimal = Decimal(0),", "0", "1"),
    # Whoever has no amount has no price, and whoever has a cost is priced by it.
    (
        "given_price = np.where(inputs.own_price_null, 0, inputs.own_price)",
        "0",
        "1",
    ),
    ("given_price=np.where(from_cost, 0, given_price),", "0", "1"),
    # Python's integers compute what 64 bits would too.
    (
        "increment_size = 2 * terms.increment * terms.denominator",
        "2",
        "3",
    ),
    (
        "limit = (_LIMIT - increment_size) // (2 * terms.denominator)",
        "2",
        "3",
    ),
    ("if limit <= 0:", "limit <= 0", "limit < 0"),
    ("if limit <= 0:", "0", "1"),
    (
        "factor = terms.numerator // terms.denominator + 1",
        "1",
        "2",
    ),
    (
        "is_large = bases.cost > shipped_limit - terms.shipping",
        "bases.cost > shipped_limit - terms.shipping",
        "bases.cost >= shipped_limit - terms.shipping",
    ),
    (
        "is_large |= bases.given_price > limit",
        "bases.given_price > limit",
        "bases.given_price >= limit",
    ),
    # The least price of an override is above 0.
    (
        "is_overridden = inputs.override_min_price >= 0",
        "inputs.override_min_price >= 0",
        "inputs.override_min_price > 0",
    ),
    ("is_overridden = inputs.override_min_price >= 0", "0", "1"),
    # Below 0 is below 0.
    (
        "computed = np.full(len(rows), -1)",
        "1",
        "2",
    ),
    # A run that is in the stage already has gone before.
    (
        "is_earlier = _STAGE_INDEX[stage] < _STAGE_INDEX[record.stage]",
        "_STAGE_INDEX[stage] < _STAGE_INDEX[record.stage]",
        "_STAGE_INDEX[stage] <= _STAGE_INDEX[record.stage]",
    ),
    # A rule takes no cost below 0, whatever it is.
    ("_BELOW_ALL = -1", "1", "2"),
    # Both are of one length.
    (
        "for matcher, index in zip(self._matchers, value_indexes, strict=True):",
        "True",
        "False",
    ),
    (
        "triples = zip(skus, numbers_before, numbers_after, strict=True)",
        "True",
        "False",
    ),
}
"""Mutants that do the same as the source: its line, and the change."""
LIBRARIES = (
    "pytest",
    "hypothesis",
    "pandas",
    "pandera.pandas",
    "pyarrow.csv",
    "pyarrow.compute",
    "boto3",
)
COPIED = ("relay_core", "relay_dagster", "tests", "scripts", "docs", "pyproject.toml")
SECONDS = 120.0
_WARM = multiprocessing.get_context("forkserver")
_WARM.set_forkserver_preload([*LIBRARIES])
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed module."""

    module: str
    line: int
    before: str
    after: str
    source: str  # the whole module


def mutants_of(module: str, source: str) -> Iterator[Mutant]:
    """Yield each module that differs from the source in one place, but those that do the same."""
    tree, lines = ast.parse(source), source.splitlines()
    idle = {
        part
        for node in ast.walk(tree)
        for each in _idle(node)
        for part in ast.walk(each)
    }
    for number, node in enumerate(ast.walk(tree)):
        for changed in () if node in idle else _changes(node):
            other = copy.deepcopy(tree)
            place = next(
                each for at, each in enumerate(ast.walk(other)) if at == number
            )
            place.__dict__.update(changed.__dict__)
            line, before, after = (
                getattr(node, "lineno", 0),
                ast.unparse(node),
                ast.unparse(place),
            )
            if (lines[line - 1].strip(), before, after) not in EQUIVALENT:
                yield Mutant(module, line, before, after, ast.unparse(other))


def _idle(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a node that decide nothing: types, and options of decorators."""
    for name in ("annotation", "returns"):
        if isinstance(part := getattr(node, name, None), ast.AST):
            yield part
    yield from getattr(node, "decorator_list", ())


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node may be instead, as a node of the same kind."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
        changed = copy.deepcopy(node)
        changed.ops[0] = _COMPARISONS[type(node.ops[0])]()
        yield changed
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        changed_op = copy.deepcopy(node)
        changed_op.op = _OPERATORS[type(node.op)]()
        yield changed_op
    elif isinstance(node, ast.BoolOp):
        other = copy.deepcopy(node)
        other.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield other
    elif isinstance(node, ast.IfExp):
        turned = copy.deepcopy(node)
        turned.body, turned.orelse = turned.orelse, turned.body
        yield turned
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        value = not node.value if isinstance(node.value, bool) else node.value + 1
        yield ast.copy_location(ast.Constant(value), node)


def survives(mutant: Mutant, folder: Path) -> bool:
    """Return whether the tests of a module, in a copy of the source, notice nothing of a mutant."""
    path = folder / mutant.module
    before = path.read_text("utf-8")
    path.write_text(mutant.source, "utf-8")
    try:
        return passes(mutant.module, folder)
    finally:
        path.write_text(before, "utf-8")


def passes(module: str, folder: Path) -> bool:
    """Return whether a module's tests pass in a copy of the source; one that hangs does not."""
    process = _WARM.Process(target=_test, args=(folder, SUBJECTS[module]))
    process.start()
    process.join(SECONDS)
    process.kill()
    process.join()
    return process.exitcode == 0


def _test(folder: Path, tests: Sequence[str]) -> None:
    """Run tests in a copy of the source and end the process with pytest's exit status."""
    os.chdir(folder)
    sys.path[:0] = [str(folder), str(folder / "tests"), str(folder / "scripts")]
    sys.dont_write_bytecode = True
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    import pytest

    options = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    loaded = (
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    )  # libraries, before their plugins
    os._exit(pytest.main([*options, *loaded, *tests]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", default=[*SUBJECTS])
    parser.add_argument(
        "--sample", type=int, help="try so many, drawn by --seed; all by default"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="so many side by side")
    options = parser.parse_args(arguments)
    if unknown := set(options.modules) - {*SUBJECTS}:
        parser.error(
            f"{', '.join(sorted(unknown))}: the modules are {', '.join(SUBJECTS)}"
        )
    with tempfile.TemporaryDirectory(prefix="relay-mutants-") as made:
        folders = [_copied(Path(made) / str(number)) for number in range(options.jobs)]
        if failing := [
            each for each in options.modules if not passes(each, folders[0])
        ]:
            print(
                f"the tests of {', '.join(failing)} fail as they are", file=sys.stderr
            )
            return 2
        return _try_all(options, folders)


def _copied(folder: Path) -> Path:
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(source, folder / name)
    compileall.compile_dir(folder, quiet=1)
    for module in SUBJECTS:  # of these the source alone counts: it changes
        for compiled in (folder / module).parent.glob(
            f"__pycache__/{Path(module).stem}.*"
        ):
            compiled.unlink()
    return folder


def _try_all(options: argparse.Namespace, folders: Sequence[Path]) -> int:
    found = [
        each
        for module in options.modules
        for each in mutants_of(module, (ROOT / module).read_text("utf-8"))
    ]
    if options.sample is not None and options.sample < len(found):
        found = random.Random(options.seed).sample(found, options.sample)  # noqa: S311 - no secret
    free: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for folder in folders:
        free.put(folder)

    def attempt(mutant: Mutant) -> bool:
        folder = free.get()
        try:
            return survives(mutant, folder)
        finally:
            free.put(folder)

    count = 0
    with ThreadPoolExecutor(len(folders)) as pool:
        for mutant, survived in zip(found, pool.map(attempt, found), strict=True):
            if survived:
                count += 1
                place = f"{mutant.module}:{mutant.line}"
                print(f"{place}: {mutant.before}  ->  {mutant.after}", flush=True)
    print(f"{len(found) - count} of {len(found)} mutants were noticed")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
