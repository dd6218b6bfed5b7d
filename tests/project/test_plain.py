"""The lines of product and tests can be read: names are nouns, and a line says one thing."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

from plain import LIMITS, Plainness, SourceFile, measured, together

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Tree:
    """Some folders together: their figures, and the most that they may have."""

    figures: Plainness
    limits: Plainness


@pytest.fixture(scope="module", params=LIMITS.items(), ids=lambda p: p[0][0])
def tree(request: pytest.FixtureRequest) -> Tree:
    folders, limits = request.param
    files = measured([ROOT / folder for folder in folders])
    return Tree(together(files.values()), limits)


def test_local_names_are_nouns(tree: Tree) -> None:
    share = tree.figures.nameless_share
    assert share <= tree.limits.nameless_share, tree.figures.nameless


def test_a_line_binds_one_thing(tree: Tree) -> None:
    assert tree.figures.doubled <= tree.limits.doubled


def test_a_line_is_not_dense(tree: Tree) -> None:
    nodes_per_line = round(tree.figures.nodes_per_line, 1)
    assert nodes_per_line <= tree.limits.nodes_per_line


def test_a_module_has_few_imported_names(tree: Tree) -> None:
    assert tree.figures.imported <= tree.limits.imported


def test_a_function_fits_on_a_screen(tree: Tree) -> None:
    assert tree.figures.long_functions <= tree.limits.long_functions


def test_the_measure_counts_what_it_names() -> None:
    text = (
        '"""A module."""\n'
        "import os\n"
        "from json import dumps, loads\n"
        "\n"
        "# A comment.\n"
        "def swapped(a, b):\n"
        '    """Docstring."""\n'
        "    a, b = b, a\n"
        "    first, each = len(a), len(b)\n"
        "    return [found for found, _ in zip(first, each)]\n"
    )
    plainness = SourceFile(Path("module.py"), text, ast.parse(text)).plainness()
    assert (plainness.code_lines, plainness.imported) == (4, 3)
    assert plainness.doubled == 1
    assert dict(plainness.nameless) == {"each": 1, "found": 1}
    assert plainness.bindings == 6
    assert plainness.long_functions == 0


def test_a_function_of_51_lines_is_long() -> None:
    text = "def long():\n" + "    pass\n" * 50
    assert (
        SourceFile(Path("m.py"), text, ast.parse(text))
        .plainness()
        .long_functions
    )
