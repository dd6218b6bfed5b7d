"""The product's lines can be read: names are nouns, and a line says one thing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from plain import GOALS, Plainness, SourceFile, measured, together

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def product() -> Plainness:
    return together(
        measured([ROOT / "relay_core", ROOT / "relay_dagster"]).values()
    )


def test_local_names_are_nouns(product: Plainness) -> None:
    assert product.nameless_share <= GOALS.nameless_share, product.nameless


def test_a_line_binds_one_thing(product: Plainness) -> None:
    assert product.doubled <= GOALS.doubled


def test_a_line_is_not_dense(product: Plainness) -> None:
    assert round(product.nodes_per_line, 1) <= GOALS.nodes_per_line


def test_a_module_has_few_imported_names(product: Plainness) -> None:
    assert product.imported <= GOALS.imported


def test_a_function_fits_on_a_screen(product: Plainness) -> None:
    assert product.long_functions == GOALS.long_functions


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
