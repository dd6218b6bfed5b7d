"""What any page of the documentation names is there: paths, targets of make, places of links."""

from __future__ import annotations

import re
from pathlib import Path

from support.pages import MAKEFILE, PAGES, ROOT, codes_in, paths_in, targets_in

# What a run or a command writes, and keys of the bucket.
WRITTEN = re.compile(
    r"(outputs|normalized|reports|out|tenants|published|pulled|feeds|candidate|\.\.\.)/"
    r"|defs\.yaml$"
)
# The tables of folders name them within their package.
BASES = (ROOT, ROOT / "relay_core", ROOT / "relay_dagster")


def test_every_path_that_a_page_names_exists() -> None:
    assert [
        (page, path)
        for page, text in PAGES.items()
        for path in paths_in(codes_in(text))
        if not WRITTEN.match(path)
        and not any((base / path).exists() for base in bases_of(page))
    ] == []


def bases_of(page: str) -> tuple[Path, ...]:
    return BASES if page.endswith("ARCHITECTURE.md") else BASES[:1]


def test_every_target_of_make_that_a_page_names_exists() -> None:
    explained = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
    named = {
        page: set(targets_in(codes_in(text))) for page, text in PAGES.items()
    }
    assert {
        page: targets - explained
        for page, targets in named.items()
        if targets - explained
    } == {}


def test_every_link_within_the_documentation_leads_somewhere() -> None:
    links = [
        (page, link)
        for page, text in PAGES.items()
        for link in re.findall(r"\]\(([^)\s]+)\)", text)
        if "://" not in link
    ]
    assert [
        (page, link) for page, link in links if not leads_somewhere(page, link)
    ] == []


def leads_somewhere(page: str, link: str) -> bool:
    file, _, anchor = link.partition("#")
    path = (ROOT / page).parent / file if file else ROOT / page
    return path.is_file() and (
        not anchor or anchor in anchors_of(path.read_text("utf-8"))
    )


def anchors_of(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-")
        for text in headings
    }
