"""What is said of an error code is in the one table of its family."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from relay_core.domain import run_codes
from relay_core.domain.codes import FailureCode, WarningCode
from relay_dagster.http.error_codes import CODES
from support.source_tree import Module, modules

FAMILIES = {
    "relay_core.domain.run_codes": frozenset(map(str, run_codes.RUN_CODES)),
    "relay_dagster.http.error_codes": frozenset(CODES),
}
"""The table of each family of error codes, by the module that has it.

Two codes of configs are in both families.
"""
OF_OTHER_THINGS = {
    "relay_dagster.client.errors": "the options and commands of `relay`; a client command "
    "knows the API by its answers alone",
    "relay_dagster.tenants.errors": "the messages of one exception, with the tenant and its "
    "quota; the ledger raises it, below HTTP",
    "relay_dagster.local.command": "the options of the local runner",
}
"""The modules that map codes to something that is not said of the codes, and to what."""
ENUMS = {
    **{f"FailureCode.{code.name}": str(code) for code in FailureCode},
    **{f"WarningCode.{code.name}": str(code) for code in WarningCode},
}


def test_every_code_of_a_run_is_in_the_table() -> None:
    codes = {*map(str, FailureCode), *map(str, WarningCode)}
    assert codes - FAMILIES["relay_core.domain.run_codes"] == set()


@pytest.mark.parametrize("home", FAMILIES)
def test_no_other_module_has_a_table_of_the_codes(home: str) -> None:
    tables = [
        f"{module.name} says of {', '.join(sorted(codes))} what {home} should"
        for top in ("relay_core", "relay_dagster", "scripts")
        for module in modules(top)
        if module.name not in FAMILIES.keys() | OF_OTHER_THINGS.keys()
        for keys in mapped_keys(module)
        if len(codes := keys & FAMILIES[home]) > 1
    ]
    assert tables == []


def mapped_keys(module: Module) -> Iterator[set[str]]:
    """Yield the keys of each mapping that a module writes out, codes by their value."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Dict):
            yield {_text_of(key) for key in node.keys if key is not None}


def _text_of(key: ast.expr) -> str:
    if isinstance(key, ast.Constant):
        return str(key.value)
    name = ".".join(ast.unparse(key).split(".")[-2:])
    return ENUMS.get(name, getattr(run_codes, name, name))
