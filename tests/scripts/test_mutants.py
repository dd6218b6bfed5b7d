"""Mutants: one change each, of every kind, in a module that is otherwise as it was."""

from __future__ import annotations

import ast

import pytest

from mutants import ROOT, SUBJECTS, main, mutants_of


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("a < b", {"a <= b"}),
        ("a is None", {"a is not None"}),
        ("a + b", {"a - b"}),
        ("a // b", {"a * b"}),
        ("a and b", {"a or b"}),
        ("a if b else c", {"c if b else a"}),
        ("2**62", {"3 ** 62", "2 ** 63"}),
        ("True", {"False"}),
        ("f('text', 1.5, None)", set()),
    ],
)
def test_a_place_is_changed_in_one_way_each(
    source: str, changed: set[str]
) -> None:
    assert {mutant.source for mutant in mutants_of("m", source)} == changed


def test_each_mutant_differs_in_one_place_and_says_where() -> None:
    source = "x = a < b\ny = c - d\n"
    first, second = mutants_of("m", source)
    assert (first.line, first.before, first.after) == (1, "a < b", "a <= b")
    assert (second.line, second.source) == (2, "x = a < b\ny = c + d")


@pytest.mark.parametrize("module", SUBJECTS)
def test_each_subject_is_there_with_its_tests_and_has_mutants(
    module: str,
) -> None:
    source = (ROOT / module).read_text("utf-8")
    assert all((ROOT / test).is_file() for test in SUBJECTS[module])
    mutant = next(mutants_of(module, source))
    assert ast.dump(ast.parse(mutant.source)) != ast.dump(ast.parse(source))


def test_a_module_that_is_none_of_them_is_bad_usage() -> None:
    with pytest.raises(SystemExit) as system_exit:
        main(["relay_core/run_stages.py"])
    assert system_exit.value.code == 2
