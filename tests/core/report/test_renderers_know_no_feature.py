"""The renderers of a run's report know blocks, and none of Relay's features.

Whoever adds a feature writes a chapter, and no renderer.
"""

from __future__ import annotations

import re

import pytest

from support.source_tree import ROOT

RENDERERS = (
    "relay_core/report/html.py",
    "relay_core/report/display.py",
    "relay_core/report/templates/blocks.html.jinja",
    "relay_core/report/templates/page.html.jinja",
    "relay_core/report/templates/parts.html.jinja",
    "relay_dagster/client/report_blocks.py",
    "relay_dagster/orchestration/report_metadata.py",
    "relay_dagster/web/run_page.py",
    "relay_dagster/web/templates/run.html.jinja",
)
"""The modules and templates that show the blocks of reports."""
FEATURES = (
    "catalog",
    "channel",
    "quarantine",
    "override",
    "deliver",
    "pull",
    "unpriced",
    "unmatched",
    "uncovered",
    "duplicate",
    "outbid",
    "guard",
    "skus_removed",
    "out_of_stock",
    "price_drop",
    "price_rise",
    "price_level",
    "vendor_rows",
    "doubt",
    "cause",
    "history",
    "stock",
    "markup",
    "margin",
)


def feature_words(source: str) -> list[str]:
    """Return the words of features in a source, with their lines."""
    word = re.compile(rf"(?i)(?<![a-z])({'|'.join(FEATURES)})")
    return [
        f"line {number}: {line.strip()}"
        for number, line in enumerate(source.splitlines(), 1)
        if word.search(line)
    ]


@pytest.mark.parametrize("path", RENDERERS)
def test_a_renderer_has_no_word_of_a_feature(path: str) -> None:
    source = (ROOT / path).read_text("utf-8")
    assert feature_words(source) == []


def test_every_template_of_the_report_is_among_them() -> None:
    folder = ROOT / "relay_core/report/templates"
    templates = {
        path.relative_to(ROOT).as_posix()
        for path in folder.iterdir()
        if path.suffix == ".jinja"
    }
    assert templates <= set(RENDERERS)


@pytest.mark.parametrize(
    "line", ["if block.name == 'quarantine':", "Channels", "x.guard_words()"]
)
def test_a_word_of_a_feature_is_seen(line: str) -> None:
    assert feature_words(line) != []
