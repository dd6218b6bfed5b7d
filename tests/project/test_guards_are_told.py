"""Each guard that can hold a feed is described where people look for its name."""

from __future__ import annotations

import ast

import pytest

from relay_core.domain.records import GuardResult
from relay_core.report.chapters.guards import guard_words
from support.pages import PAGES, codes_in
from support.source_tree import ROOT

_MAKERS = {"_result", "moved"}


def guards_judged() -> set[str]:
    """Return the names that the functions of guards give to their results."""
    source = (ROOT / "relay_core/validation/guards.py").read_text("utf-8")
    return {
        call.args[0].value
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in _MAKERS
        and isinstance(call.args[0], ast.Constant)
    }


@pytest.mark.parametrize("page", ["docs/CONFIG.md", "docs/RUNBOOK.md"])
def test_every_guard_is_described(page: str) -> None:
    guards = guards_judged()
    assert len(guards) > 6
    assert guards - set(codes_in(PAGES[page])) == set()


def test_every_guard_has_words_in_the_report() -> None:
    def meaning(guard: str) -> str:
        sides = (None, "low", "high")
        results = [
            GuardResult(guard, None, side, True, "0.5", 1, 1) for side in sides
        ]
        return "".join(guard_words(result)[1] for result in results)

    assert [guard for guard in guards_judged() if not meaning(guard)] == []
