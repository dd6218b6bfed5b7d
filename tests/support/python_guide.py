"""The examples of docs/PYTHON.md, run one after the other as its reader runs them."""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

from support.pages import PAGES

_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[str]:
    """Return the blocks of the page of a kind, such as `python`, in order."""
    return [
        textwrap.dedent(text)
        for _, name, text in _BLOCK.findall(PAGES["docs/PYTHON.md"])
        if name == kind
    ]


def run_examples(
    folder: Path, python: str
) -> Iterator[subprocess.CompletedProcess[str]]:
    """Run each example in a folder with an interpreter; those with tests by pytest."""
    (prices,) = blocks("csv")
    (folder / "prices.csv").write_text(prices, "utf-8")
    for number, text in enumerate(blocks("python")):
        script = folder / f"test_example_{number}.py"
        script.write_text(text, "utf-8")
        command = [python, script.name]
        if "\ndef test_" in text:
            command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
            command.append(script.name)
        yield subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False
        )
