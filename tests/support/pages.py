"""The pages of the documentation, and what they name: code, paths, targets of make, links."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in (
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
_PATH = re.compile(
    r"[\w./-]+(/|\.(py|yaml|toml|lock|md)|/[\w.-]+\.(json|csv|svg))"
)


def codes_in(page: str) -> list[str]:
    """Return what stands in backticks, and the indented lines."""
    return [
        *re.findall(r"`([^`\n]+)`", page),
        *re.findall(r"^    (.+)$", page, re.MULTILINE),
    ]


def found(pattern: str, codes: list[str]) -> list[str]:
    return sorted(
        {name for code in codes for name in re.findall(pattern, code)}
    )


def paths_in(codes: list[str]) -> list[str]:
    """Return what has the form of a path to a file or folder of the project."""
    return sorted({code for code in codes if _PATH.fullmatch(code)})


def targets_in(codes: list[str]) -> list[str]:
    return found(r"\bmake ([a-z-]+)", codes)
