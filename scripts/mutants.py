"""Change one place at a time in the modules of prices and runs, and see that a test fails.

    python scripts/mutants.py [--sample N] [--seed N] [--jobs N] [MODULE ...]

A mutant is a module with one operator, comparison, condition or number changed, in a copy of
the source. The module's tests run on it, in a process that has the libraries loaded. The
script prints each mutant that no test notices, and the number of mutants that were noticed.
The exit status is 1 if a mutant was not noticed, and 2 if the tests fail on the source as it
is. A mutant may behave like the source; people who read the list decide.
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
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUBJECTS = {
    "relay_core/validation/guards.py": (
        "tests/core/validation/test_guards.py",
    ),
    "relay_core/merge/pricing.py": (
        "tests/core/merge/test_pricing.py",
        "tests/core/merge/test_known_prices.py",
        "tests/core/test_overrides.py",
        "tests/core/merge/test_price_rules.py",
    ),
    "relay_core/merge/price_rules.py": (
        "tests/core/merge/test_price_rules.py",
    ),
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
"""The modules, and the tests that must notice a change of each."""
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
    # Offers without an amount have no price, and offers with a cost are priced by it.
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
    # Every number below 0 is below all costs.
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
"""Mutants that behave like the source: the line of the source, and the change."""
LIBRARIES = (
    "pytest",
    "hypothesis",
    "pandas",
    "pandera.pandas",
    "pyarrow.csv",
    "pyarrow.compute",
    "boto3",
)
COPIED = (
    "relay_core",
    "relay_dagster",
    "tests",
    "scripts",
    "docs",
    "pyproject.toml",
)
MAX_SECONDS = 120.0
"""The maximum time of a module's tests."""
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([*LIBRARIES])
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
    """A changed module.

    Attributes:
        module: The path of the module.
        line: The line of the change.
        before: The changed part as it was.
        after: The changed part as it is.
        source: The source of the whole changed module.
    """

    module: str
    line: int
    before: str
    after: str
    source: str


def mutants_of(module: str, source: str) -> Iterator[Mutant]:
    """Yield the mutants of a module, without those that behave like the source."""
    tree = ast.parse(source)
    lines = source.splitlines()
    inert_nodes = _inert_nodes(tree)
    for index, node in enumerate(ast.walk(tree)):
        if node in inert_nodes:
            continue
        for change in _changes(node):
            changed_tree = copy.deepcopy(tree)
            changed_node = next(islice(ast.walk(changed_tree), index, None))
            changed_node.__dict__.update(change.__dict__)
            line = getattr(node, "lineno", 0)
            before = ast.unparse(node)
            after = ast.unparse(changed_node)
            if (lines[line - 1].strip(), before, after) not in EQUIVALENT:
                yield Mutant(
                    module,
                    line,
                    before,
                    after,
                    ast.unparse(changed_tree),
                )


def _inert_nodes(tree: ast.Module) -> set[ast.AST]:
    """Return the nodes that decide nothing: types, and options of decorators."""
    roots: list[ast.AST] = []
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            annotation = getattr(node, name, None)
            if isinstance(annotation, ast.AST):
                roots.append(annotation)
        roots.extend(getattr(node, "decorator_list", ()))
    return {node for root in roots for node in ast.walk(root)}


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the changes of a node, each as a node of the same kind."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
        comparison = copy.deepcopy(node)
        comparison.ops[0] = _COMPARISONS[type(node.ops[0])]()
        yield comparison
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        operation = copy.deepcopy(node)
        operation.op = _OPERATORS[type(node.op)]()
        yield operation
    elif isinstance(node, ast.BoolOp):
        condition = copy.deepcopy(node)
        condition.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield condition
    elif isinstance(node, ast.IfExp):
        yield ast.copy_location(
            ast.IfExp(node.test, node.orelse, node.body),
            node,
        )
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.copy_location(ast.Constant(not node.value), node)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield ast.copy_location(ast.Constant(node.value + 1), node)


def survives(mutant: Mutant, folder: Path) -> bool:
    """Return whether the module's tests pass on a mutant, in a copy of the source."""
    path = folder / mutant.module
    original_source = path.read_text("utf-8")
    path.write_text(mutant.source, "utf-8")
    try:
        return passes(mutant.module, folder)
    finally:
        path.write_text(original_source, "utf-8")


def passes(module: str, folder: Path) -> bool:
    """Return whether a module's tests pass in a copy of the source, within the time."""
    process = _CONTEXT.Process(target=_test, args=(folder, SUBJECTS[module]))
    process.start()
    process.join(MAX_SECONDS)
    process.kill()
    process.join()
    return process.exitcode == 0


def _test(folder: Path, tests: Sequence[str]) -> None:
    """Run tests in a copy of the source, and end the process with pytest's exit status."""
    os.chdir(folder)
    sys.path[:0] = [str(folder), str(folder / "tests"), str(folder / "scripts")]
    sys.dont_write_bytecode = True
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, 1)
    os.dup2(null_device, 2)
    import pytest

    # The libraries are loaded before their plugins of pytest, which pytest warns about.
    options = [
        "-x",
        "-q",
        "-pno:cacheprovider",
        "-pno:xdist",
        "-Wignore::pytest.PytestAssertRewriteWarning",
    ]
    os._exit(pytest.main([*options, *tests]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "modules",
        nargs="*",
        metavar="MODULE",
        default=[*SUBJECTS],
    )
    parser.add_argument(
        "--sample",
        type=int,
        help="number of mutants to try, drawn with --seed; by default all",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the sample",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=2,
        help="number of parallel jobs",
    )
    options = parser.parse_args(arguments)
    unknown_modules = set(options.modules) - set(SUBJECTS)
    if unknown_modules:
        parser.error(
            f"unknown modules: {', '.join(sorted(unknown_modules))}. The modules are "
            f"{', '.join(SUBJECTS)}.",
        )
    with tempfile.TemporaryDirectory(prefix="relay-mutants-") as temporary:
        folders = [
            _copy(Path(temporary) / str(job)) for job in range(options.jobs)
        ]
        failing_modules = [
            module
            for module in options.modules
            if not passes(module, folders[0])
        ]
        if failing_modules:
            print(
                f"The tests of {', '.join(failing_modules)} fail without any mutant.",
                file=sys.stderr,
            )
            return 2
        return _try_all(options, folders)


def _copy(folder: Path) -> Path:
    """Copy the source to a folder, compiled except for the modules that change."""
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    compileall.compile_dir(folder, quiet=1)
    for module in SUBJECTS:
        path = folder / module
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()
    return folder


def _try_all(options: argparse.Namespace, folders: Sequence[Path]) -> int:
    mutants: list[Mutant] = []
    for module in options.modules:
        mutants.extend(mutants_of(module, (ROOT / module).read_text("utf-8")))
    if options.sample is not None and options.sample < len(mutants):
        generator = random.Random(options.seed)  # noqa: S311 - no secret
        mutants = generator.sample(mutants, options.sample)
    free_folders: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for folder in folders:
        free_folders.put(folder)

    def attempt(mutant: Mutant) -> bool:
        folder = free_folders.get()
        try:
            return survives(mutant, folder)
        finally:
            free_folders.put(folder)

    survivors = 0
    with ThreadPoolExecutor(len(folders)) as pool:
        attempts = zip(mutants, pool.map(attempt, mutants), strict=True)
        for mutant, is_survivor in attempts:
            if is_survivor:
                survivors += 1
                place = f"{mutant.module}:{mutant.line}"
                print(
                    f"{place}: {mutant.before}  ->  {mutant.after}",
                    flush=True,
                )
    print(f"{len(mutants) - survivors} of {len(mutants)} mutants were noticed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
