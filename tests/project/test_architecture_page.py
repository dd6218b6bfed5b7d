"""docs/ARCHITECTURE.md says what the code is: its folders, its modules, the names in them."""

from __future__ import annotations

import re

from support.pages import PAGES, ROOT, codes_in
from support.source_tree import ORDER

PAGE = PAGES["docs/ARCHITECTURE.md"]
PACKAGES = tuple(ORDER)
_NAME = re.compile(r"[A-Za-z_]+(\.[A-Za-z_]+)?")
_FILE = r"`([\w/]+\.py)`"


def sources() -> str:
    tops = (*PACKAGES, "scripts", "tests")
    return "\n".join(
        path.read_text("utf-8")
        for top in tops
        for path in (ROOT / top).rglob("*.py")
    )


def defines(text: str, name: str) -> bool:
    """Return whether a source defines a function, a class or a value of this name."""
    last = re.escape(name.rpartition(".")[2])
    return (
        re.search(rf"(?m)^\s*(def {last}\(|class {last}\b|{last}\s*[:=])", text)
        is not None
    )


def test_the_folders_are_those_of_the_order_and_stand_in_it() -> None:
    for package in PACKAGES:
        table = PAGE.partition(f"\n| `{package}/` | |\n")[2].partition("\n\n")[
            0
        ]
        rows = re.findall(r"^\| `([\w./]+)` \|", table, flags=re.MULTILINE)
        assert [
            name for name in rows if not (ROOT / package / name).exists()
        ] == []
        places = [place for places in ORDER[package] for place in places]
        assert [re.sub(r"(/|\.py)$", "", name) for name in rows] == places


def test_every_module_in_the_picture_exists() -> None:
    drawn = re.findall(
        r"[\w/]+\.py",
        PAGE.partition("```mermaid\nflowchart")[2].partition("```")[0],
    )
    assert len(drawn) > 10
    assert [
        name
        for name in drawn
        if not any((ROOT / package / name).is_file() for package in PACKAGES)
    ] == []


def test_a_name_stands_in_the_module_that_the_page_says() -> None:
    mentions = {
        *(
            (name, path)
            for path, name in re.findall(rf"{_FILE} \(`([\w.]+)`", PAGE)
        ),
        *re.findall(rf"`([\w.]+)` in\s+{_FILE}", PAGE),
    }
    assert len(mentions) > 10
    assert [
        (name, path)
        for name, path in sorted(mentions)
        if not defines((ROOT / path).read_text("utf-8"), name)
    ] == []


def test_every_name_in_the_page_is_one_of_the_code() -> None:
    names = {code for code in codes_in(PAGE) if _NAME.fullmatch(code)} - {
        *PACKAGES
    }
    words = set(re.findall(r"\w+", sources()))
    assert len(names) > 10
    assert (
        sorted(name for name in names if name.rpartition(".")[2] not in words)
        == []
    )


RECIPES = PAGE.partition("\n## To add something\n")[2].partition("\n## ")[0]
_KINDS = {
    *("an option", "a column", "a guard", "a format", "a door"),
    *("a chapter", "an error code", "a route", "a command"),
}


def steps(recipe: str) -> list[list[str]]:
    """Return the cells of the rows of a recipe's tables, without their headings."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in recipe.splitlines()
        if line.startswith("| ")
    ]
    return [row for row in rows if row[0] not in ("file", "---")]


def test_each_kind_of_addition_has_a_recipe() -> None:
    kinds = re.findall(r"(?m)^### To add (.+)$", RECIPES)
    assert set(kinds) == _KINDS


def test_each_step_of_a_recipe_names_a_file_and_the_test_that_needs_it() -> (
    None
):
    every_step = steps(RECIPES)
    assert len(every_step) > 40
    assert [
        row
        for row in every_step
        if len(row) != 3
        or not any((ROOT / code).exists() for code in codes_in(row[0]))
        or not re.fullmatch(r"`tests/[\w/]+\.py`", row[2])
        or not (ROOT / row[2].strip("`")).is_file()
    ] == []
