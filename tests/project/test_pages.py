"""What any page of the documentation names is there: paths, targets of make, places of links."""

from __future__ import annotations

import re

import pytest

from support.pages import MAKEFILE, PAGES, ROOT, codes_in, paths_in, targets_in

# What a run or a command writes, and keys of the bucket.
WRITTEN = re.compile(r"(outputs|normalized|reports|out|tenants|published|\.\.\.)/")
# The tables of folders name them within their package.
BASES = (ROOT, ROOT / "relay_core", ROOT / "relay_dagster")


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_exists(page: str) -> None:
    bases = BASES if page.endswith("ARCHITECTURE.md") else BASES[:1]
    named = (path for path in paths_in(codes_in(PAGES[page])) if not WRITTEN.match(path))
    assert [path for path in named if not any((base / path).exists() for base in bases)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_target_of_make_that_a_page_names_exists(page: str) -> None:
    explained = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
    assert set(targets_in(codes_in(PAGES[page]))) <= explained


@pytest.mark.parametrize("page", PAGES)
def test_every_link_within_the_documentation_leads_somewhere(page: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]) if "://" not in link]
    for link in links:
        file, _, anchor = link.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.is_file(), link
        if anchor:
            assert anchor in anchors_of(path.read_text("utf-8")), link


def anchors_of(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-") for text in headings}
