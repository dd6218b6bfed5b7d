#!/usr/bin/env python3
"""Measure how plainly Python code is written: names, doubled assignments, and density.

usage: plain.py FOLDER... [--worst N] [--names]

It prints one line of figures, the least plain files before it:

nameless   share of local names that are a pronoun, a participle, or a quantity
doubled    assignments of two or more unrelated values on one line (a swap is none)
nodes      syntax nodes per line of code (no blank line, comment, docstring, or import)
imported   names that a module imports, the median
long       functions of more than 50 lines

``tests/project/test_plain.py`` holds the product and the tests to their `LIMITS`.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_NAMELESS = (
    "each found known given wanted asked left own other others kept those them made "
    "said some one ones shown taken used read about done such many most rest more it "
    "its they this that these told seen whose who which what why where when how has "
    "is_own begun ended both all_ way_"
)
NAMELESS = frozenset(_NAMELESS.split())
MAX_FUNCTION_LINES = 50
_FEW_NAMES = 40
"""A file with fewer local names is ranked as if it had that many."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DOCUMENTED = (ast.Module, ast.ClassDef, *_FUNCTIONS)
_UNCOUNTED = (
    ast.expr_context,
    ast.operator,
    ast.cmpop,
    ast.boolop,
    ast.unaryop,
)


@dataclass(frozen=True)
class Plainness:
    """The figures of some files together."""

    files: int
    code_lines: int
    bindings: int  # local names that are bound
    nameless: Counter[str]  # those of NAMELESS, each with how often it is bound
    doubled: int  # assignments of two or more unrelated values
    nodes: int  # syntax nodes
    imported: float  # names that a module imports, the median
    long_functions: int  # functions of more than MAX_FUNCTION_LINES lines

    @property
    def nameless_share(self) -> float:
        """The share of local names that say nothing of the thing."""
        return self.nameless.total() / max(1, self.bindings)

    @property
    def nodes_per_line(self) -> float:
        """Syntax nodes per line of code."""
        return self.nodes / max(1, self.code_lines)

    def __str__(self) -> str:
        return (
            f"{self.files} files, {self.code_lines} lines of code; "
            f"nameless locals {self.nameless_share:.1%} of {self.bindings}; "
            f"doubled assignments {self.doubled}; "
            f"nodes a line {self.nodes_per_line:.1f}; "
            f"imported names a module {self.imported:.0f}; "
            f"functions over {MAX_FUNCTION_LINES} lines {self.long_functions}"
        )


PRODUCT_LIMITS = Plainness(
    files=0,
    code_lines=10,
    bindings=100,
    nameless=Counter({"each": 1}),
    doubled=20,
    nodes=52,
    imported=15,
    long_functions=0,
)
"""The most that the product may have: 1 % nameless, 5.2 nodes per line, and so on."""
TEST_LIMITS = Plainness(
    files=0,
    code_lines=10,
    bindings=100,
    nameless=Counter({"each": 2}),
    doubled=40,
    nodes=52,
    imported=15,
    long_functions=0,
)
"""The most that the tests may have: 2 % nameless, 40 doubled assignments, and so on."""
LIMITS: Mapping[tuple[str, ...], Plainness] = {
    ("relay_core", "relay_dagster"): PRODUCT_LIMITS,
    ("tests",): TEST_LIMITS,
}
"""The limits of each tree, which are some folders measured together."""


@dataclass(frozen=True)
class SourceFile:
    """A Python file and its syntax tree."""

    path: Path
    text: str
    tree: ast.Module

    @classmethod
    def of(cls, path: Path) -> SourceFile:
        """Read and parse a file."""
        text = path.read_text("utf-8")
        return cls(path, text, ast.parse(text))

    def imports(self) -> list[ast.Import | ast.ImportFrom]:
        """Return the import statements, those inside functions too."""
        nodes = ast.walk(self.tree)
        return [
            node
            for node in nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]

    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Return the functions and methods, nested ones too."""
        return [
            node for node in ast.walk(self.tree) if isinstance(node, _FUNCTIONS)
        ]

    def code_lines(self) -> int:
        """Count the lines that are no blank line, comment, docstring, or import."""
        lines = self.text.splitlines()
        blank = sum(not line.strip() for line in lines)
        comments = sum(line.strip().startswith("#") for line in lines)
        imports = sum(map(_line_count, self.imports()))
        docstrings = sum(map(_line_count, _docstrings(self.tree)))
        return max(1, len(lines) - blank - comments - imports - docstrings)

    def bindings(self) -> list[str]:
        """Return the names that functions bind, each as often as it is bound."""
        functions = self.functions()
        nested = {
            id(node)
            for function in functions
            for node in ast.walk(function)
            if node is not function and isinstance(node, _FUNCTIONS)
        }
        outer = [
            function for function in functions if id(function) not in nested
        ]
        return [name for function in outer for name in _bound_names(function)]

    def plainness(self) -> Plainness:
        """Measure the file."""
        nodes = [*ast.walk(self.tree)]
        bindings = self.bindings()
        lengths = map(_line_count, self.functions())
        return Plainness(
            files=1,
            code_lines=self.code_lines(),
            bindings=len(bindings),
            nameless=Counter(name for name in bindings if name in NAMELESS),
            doubled=sum(map(_is_doubled, nodes)),
            nodes=sum(not isinstance(node, _UNCOUNTED) for node in nodes),
            imported=sum(len(statement.names) for statement in self.imports()),
            long_functions=sum(
                length > MAX_FUNCTION_LINES for length in lengths
            ),
        )


def _line_count(node: ast.stmt) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def _docstrings(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in ast.walk(tree):
        if not isinstance(node, _DOCUMENTED) or not node.body:
            continue
        first = node.body[0]
        if not isinstance(first, ast.Expr) or not isinstance(
            first.value,
            ast.Constant,
        ):
            continue
        if isinstance(first.value.value, str):
            yield first


def _bound_names(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        for target in _targets(node):
            yield from _names_in(target)


def _targets(node: ast.AST) -> Sequence[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    loops = (ast.For, ast.AsyncFor, ast.comprehension)
    if isinstance(node, (ast.AnnAssign, ast.NamedExpr, *loops)):
        return [node.target]
    if isinstance(node, ast.withitem) and node.optional_vars is not None:
        return [node.optional_vars]
    return []


def _names_in(target: ast.expr) -> Iterator[str]:
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, ast.Tuple | ast.List):
        for part in target.elts:
            yield from _names_in(part)
    elif isinstance(target, ast.Starred):
        yield from _names_in(target.value)


def _is_doubled(node: ast.AST) -> bool:
    if not isinstance(node, ast.Assign):
        return False
    target = node.targets[0]
    if not isinstance(target, ast.Tuple) or not isinstance(
        node.value,
        ast.Tuple,
    ):
        return False
    bound = sorted(map(ast.unparse, target.elts))
    assigned = sorted(map(ast.unparse, node.value.elts))
    return bound != assigned


def measured(folders: Iterable[Path]) -> dict[Path, Plainness]:
    """Measure each Python file of some folders, except those of samples."""
    paths = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return {
        path: SourceFile.of(path).plainness()
        for path in paths
        if "samples" not in path.parts
    }


def together(files: Iterable[Plainness]) -> Plainness:
    """Return the figures of several files as one."""
    parts = [*files]
    return Plainness(
        files=len(parts),
        code_lines=sum(part.code_lines for part in parts),
        bindings=sum(part.bindings for part in parts),
        nameless=sum((part.nameless for part in parts), Counter()),
        doubled=sum(part.doubled for part in parts),
        nodes=sum(part.nodes for part in parts),
        imported=statistics.median(part.imported for part in parts),
        long_functions=sum(part.long_functions for part in parts),
    )


def _rank(plainness: Plainness) -> float:
    faults = plainness.nameless.total() + plainness.doubled
    return faults / max(_FEW_NAMES, plainness.bindings)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; return the exit status, 1 if the folders have no Python file."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--worst",
        type=int,
        default=0,
        metavar="N",
        help="also list the N worst files",
    )
    parser.add_argument(
        "--names",
        action="store_true",
        help="also list the nameless names",
    )
    options = parser.parse_args(argv)
    files = measured(options.folders)
    if not files:
        print("the folders have no Python file", file=sys.stderr)
        return 1
    worst = sorted(files.items(), key=lambda item: _rank(item[1]), reverse=True)
    for path, plainness in worst[: options.worst]:
        print(f"{path}: {plainness}")
    total = together(files.values())
    if options.names:
        names = total.nameless.most_common()
        print(", ".join(f"{name} {count}" for name, count in names))
    print(total)
    return 0


if __name__ == "__main__":
    sys.exit(main())
