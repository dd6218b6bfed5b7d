"""Texts that users read have none of the words that read like a translation."""

from __future__ import annotations

from pathlib import Path

import pytest

from english import Place, places_in

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TEMPLATES = sorted(
    path
    for package in ("relay_core", "relay_dagster")
    for path in (ROOT / package).rglob("*.jinja")
)

MODULES = sorted(
    path
    for package in ("relay_core", "relay_dagster", "scripts")
    for path in (ROOT / package).rglob("*.py")
)
# A column header in German ("Stand"), and the words of the check itself.
EXCEPTIONS = {
    "relay_core/onboarding/header_names.py": ["stands"],
    "relay_core/samples/generator.py": ["stands"],
    "scripts/english.py": ["so many"],
}


def shown(places: list[Place]) -> list[str]:
    return [str(place) for place in places]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_reads_like_english(path: Path) -> None:
    assert shown([*places_in(path)]) == []


def test_pages_read_like_english() -> None:
    assert TEMPLATES
    places = [place for path in TEMPLATES for place in places_in(path)]
    assert shown(places) == []


def test_code_reads_like_english() -> None:
    places = []
    for path in MODULES:
        allowed_rules = EXCEPTIONS.get(path.relative_to(ROOT).as_posix(), [])
        places += [
            place
            for place in places_in(path)
            if place.rule not in allowed_rules
        ]
    assert shown(places) == []


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("Its SKU stands in the feed.", ["stands"]),
        ("It keeps so many rows.", ["so many"]),
        ("Such a feed is held, of which few know.", ["such a", "of which"]),
        ("There is no record of it.", []),
        ("The feed has at most 200 rows.", []),
        (f"{'word ' * 36}end.", ["over 35 words"]),
    ],
)
def test_the_check_finds_what_it_names(
    tmp_path: Path, text: str, rules: list[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{text}\n")
    assert sorted(place.rule for place in places_in(page)) == sorted(rules)


def test_a_docstring_begins_with_a_verb(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        'def f() -> bool:\n    """Whether it is so."""\n    return True\n'
    )
    assert [place.rule for place in places_in(module)] == [
        "docstring without a verb"
    ]
