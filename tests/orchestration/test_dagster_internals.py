"""What Relay uses of Dagster's private parts is there, and is used in one module."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module, metadata
from importlib.util import find_spec

import pytest

from relay_dagster.orchestration.dagster_internals import (
    INTERNALS,
    LOOKED_AT,
    MODULES_OF_RUNS,
    Internal,
)
from support.source_tree import Module, modules, top_name

MODULE = "relay_dagster.orchestration.dagster_internals"
PRIVATE_NAME = re.compile(r"dagster\w*(\.\w+)*\._(?!_)\w+(\.\w+)*")
PRIVATE_ATTRIBUTES = {
    attribute
    for internal in INTERNALS.values()
    for attribute in internal.attributes
}


def test_the_private_parts_were_read_in_the_version_that_is_installed() -> None:
    installed = metadata.version("dagster")
    assert installed == LOOKED_AT, (
        f"Dagster {installed} is installed, and its private parts were last read in "
        f"{LOOKED_AT}. Read each of {MODULE} in the source of {installed}, then change "
        "LOOKED_AT."
    )


@pytest.mark.parametrize("name", INTERNALS)
def test_dagster_still_has_the_private_name(name: str) -> None:
    internal = INTERNALS[name]
    missing = missing_parts(name, internal)
    assert missing == [], (
        f"Dagster {metadata.version('dagster')} no longer has {', '.join(missing)}. Relay "
        f"uses it because {internal.reason}. Find its successor, and change {MODULE}."
    )


@pytest.mark.parametrize("name", MODULES_OF_RUNS)
def test_dagster_still_has_the_module_that_runs_load(name: str) -> None:
    assert find_spec(name) is not None, (
        f"Dagster {metadata.version('dagster')} no longer has {name}. Remove it from "
        f"MODULES_OF_RUNS in {MODULE}, or name its successor."
    )


def missing_parts(name: str, internal: Internal) -> list[str]:
    """Return what Dagster lacks: the module's name, or attributes that its source has."""
    part = getattr(import_module(internal.module), name, None)
    if part is None:
        return [f"{internal.module}.{name}"]
    source = inspect.getsource(part) if internal.attributes else ""
    return [
        f"{internal.module}.{name}.{attribute}"
        for attribute in internal.attributes
        if not re.search(rf"\b{attribute}\b", source)
    ]


def test_no_other_module_uses_a_private_part_of_dagster() -> None:
    assert [
        f"{module.name} uses {part}"
        for top in ("relay_core", "relay_dagster", "scripts")
        for module in modules(top)
        if module.name != MODULE
        for part in sorted(set(private_parts(module)))
    ] == []


def private_parts(module: Module) -> Iterator[str]:
    """Yield the private names of Dagster that a module imports, says in texts, or reads."""
    named = (*imported_names(module.tree), *texts(module.tree))
    yield from filter(PRIVATE_NAME.fullmatch, named)
    if any(
        top_name(name).startswith("dagster") or name == MODULE
        for name in module.imports
    ):
        yield from private_attributes(module.tree)


def imported_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def texts(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def private_attributes(tree: ast.Module) -> Iterator[str]:
    """Yield the attributes of Dagster's objects that a module reads, sets, or overrides.

    They are those of `INTERNALS`, and all others that are neither the module's own nor
    methods of named tuples.
    """
    known_names = {*names_bound_to_self(tree), "_asdict", "_replace"}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield from {node.name} & PRIVATE_ATTRIBUTES
        elif isinstance(node, ast.Attribute):
            is_of_itself = ast.unparse(node.value) in ("self", "cls", "super()")
            is_private = bool(re.fullmatch(r"_[a-z]\w*", node.attr))
            if node.attr in PRIVATE_ATTRIBUTES or (
                is_private and not is_of_itself and node.attr not in known_names
            ):
                yield node.attr


def names_bound_to_self(tree: ast.Module) -> Iterator[str]:
    """Yield the attributes that the module's own classes set."""
    for node in ast.walk(tree):
        is_bound = isinstance(node, ast.Attribute) and isinstance(
            node.ctx, ast.Store
        )
        if is_bound and ast.unparse(node.value) == "self":
            yield node.attr
