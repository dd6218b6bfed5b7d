"""What shows a run's report knows blocks, and none of Relay's features."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.source_tree import ROOT

RENDERERS = (
    "relay_core/report/blocks.py",
    "relay_core/report/current.py",
    "relay_core/report/display.py",
    "relay_core/report/html.py",
    "relay_core/report/report.py",
    "relay_core/report/templates/blocks.html.jinja",
    "relay_core/report/templates/page.html.jinja",
    "relay_core/report/templates/parts.html.jinja",
    "relay_dagster/client/report_blocks.py",
    "relay_dagster/client/run_report.py",
    "relay_dagster/orchestration/metadata.py",
    "relay_dagster/orchestration/metadata_tables.py",
    "relay_dagster/orchestration/report_metadata.py",
    "relay_dagster/web/run_forms.py",
    "relay_dagster/web/run_page.py",
    "relay_dagster/web/templates/run.html.jinja",
)
FEATURES = (
    "catalog",
    "channel",
    "deliver",
    "doubt",
    "guard",
    "out_of_stock",
    "outbid",
    "override",
    "price_drop",
    "price_level",
    "price_rise",
    "pull",
    "quarantine",
    "skus_removed",
    "uncovered",
    "unmatched",
    "unpriced",
    "vendor_rows",
)
"""The beginnings of the words of features, each of which has a room of its own."""
_WORDS = re.compile(f"_?({'|'.join(FEATURES)})", re.IGNORECASE)


def feature_words(path: Path) -> list[str]:
    """Return the lines of a file that say the word of a feature."""
    lines = path.read_text("utf-8").splitlines()
    return [line.strip() for line in lines if _WORDS.search(line)]


@pytest.mark.parametrize("name", RENDERERS)
def test_what_shows_a_report_has_no_word_of_a_feature(name: str) -> None:
    assert feature_words(ROOT / name) == []


def test_every_template_of_the_report_is_a_renderer() -> None:
    folder = ROOT / "relay_core/report/templates"
    names = [
        path.relative_to(ROOT).as_posix() for path in folder.glob("*.jinja")
    ]
    assert set(names) <= set(RENDERERS)


def test_a_word_of_a_feature_is_seen_in_any_form(tmp_path: Path) -> None:
    path = tmp_path / "renderer.py"
    path.write_text("x = 1\nif Catalogs:\n    run_pulls()\n", "utf-8")
    assert feature_words(path) == ["if Catalogs:", "run_pulls()"]
