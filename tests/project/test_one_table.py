"""One table a family: formats are listed once, and all else reads the table."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import get_args

import pytest

from relay_core.domain.formats import FORMATS, FeedFormat, OutputFormat
from relay_core.ingest.formats import READERS
from relay_core.publish.files.writers import WRITERS
from support.source_tree import modules

LISTS_FORMATS = {
    "relay_core.domain.formats": "the table",
    "relay_core.ingest.formats": "binds the readers",
    "relay_core.publish.files.writers": "binds the writers",
}
COLLECTIONS = (ast.Tuple, ast.List, ast.Set, ast.Dict)


def texts_in(node: ast.AST) -> Iterator[str]:
    """Yield the texts of a literal, also of literals within it."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.value
    elif isinstance(node, COLLECTIONS):
        for child in ast.iter_child_nodes(node):
            yield from texts_in(child)


def lists_of(names: set[str], tree: ast.AST) -> list[int]:
    """Return the lines of literals with two of the names or more."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, COLLECTIONS)
        and len(names & {text.lstrip(".") for text in texts_in(node)}) > 1
    ]


def second_tables(names: set[str], allowed: dict[str, str]) -> list[str]:
    return [
        f"{module.path.name}:{line}"
        for top in ("relay_core", "relay_dagster", "scripts")
        for module in modules(top)
        if module.name not in allowed
        for line in lists_of(names, module.tree)
    ]


def test_no_other_module_lists_formats() -> None:
    assert second_tables(set(FORMATS), LISTS_FORMATS) == []


@pytest.mark.parametrize(
    "source",
    [
        'A = ("csv", "tsv")',
        'A = {"csv": 1, ".jsonl": 2}',
        'A = Literal["json", "xml"]',
        'A = [("a", "xls"), ("b", "xlsx")]',
    ],
)
def test_a_second_table_would_be_found(source: str) -> None:
    assert lists_of(set(FORMATS), ast.parse(source)) != []


def test_each_format_has_a_row_and_a_reader_or_a_writer() -> None:
    assert set(READERS) == set(get_args(FeedFormat))
    assert set(WRITERS) == set(get_args(OutputFormat))
    assert set(FORMATS) == {*READERS, *WRITERS}
