"""docs/LIMITS.md, made of where each limit stands.

``python tests/reference/limits_page.py`` writes the page again.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from relay_core.domain.limits import (  # noqa: E402
    DEFAULT_LIMITS,
    MAX_FAULTS,
    MAX_LISTED,
    MAX_QUOTED,
    MEANINGS,
)
from relay_dagster.http.limits import DEFAULT_API_LIMITS  # noqa: E402
from relay_dagster.settings import LimitSettings, Settings  # noqa: E402

PAGE = ROOT / "docs" / "LIMITS.md"
FIXED = (DEFAULT_LIMITS, DEFAULT_API_LIMITS)
"""The limits that no variable sets. A dataclass describes each under ``Attributes``."""
TOLD = (
    (
        "errors",
        MAX_FAULTS,
        "Errors that a response lists for a config or a body. A last entry has the number of "
        "the others",
    ),
    (
        "items of a list",
        MAX_LISTED,
        "Items of a list that a message names. A longer list ends with `and N more`",
    ),
    (
        "characters",
        MAX_QUOTED,
        "Characters of a caller's text that a message quotes. A longer text ends with `...`",
    ),
)
_INTRODUCTION = """# Limits

This page is for operators and integrators. It says how large each input may be, and what
happens to a larger one. Every input has a limit. An input that exceeds its limit gets an
error, and never ends a process.

To change a limit:

1. Find the limit in [Limits set by variables](#limits-set-by-variables).
2. Set its variable for every process of the installation. See
   [Environment variables](DEPLOY.md#environment-variables).
3. Restart the processes.

The limits of a config apply when the config is stored or checked, and in the local runner,
which exits with status 2. A run uses a stored config as it is. The local runner reads the
variables too.

This page is generated from the code. After you change a limit there, write the page again with
`python tests/reference/limits_page.py`.
"""


def limits_page() -> str:
    """Return the page."""
    parts = [
        _INTRODUCTION,
        "## Limits set by variables\n",
        *_table("Variable", _settings()),
        "\n## Fixed limits\n",
        *_table(
            "Limit",
            [row for limits in FIXED for row in _attributes(limits)],
            "Value",
        ),
        "\n## Limits of messages\n",
        *_table("Limit", TOLD, "Value"),
    ]
    return "\n".join(parts) + "\n"


def _table(first: str, rows: Any, second: str = "Default") -> Iterator[str]:
    yield f"| {first} | {second} | Description |"
    yield "| --- | ---: | --- |"
    for name, value, meaning in rows:
        yield f"| {name} | {value:,} | {meaning}. |"


def _settings() -> Iterator[tuple[str, float, str]]:
    fields_ = (
        *LimitSettings.model_fields.values(),
        Settings.model_fields["run_timeout_seconds"],
    )
    for field in fields_:
        yield (
            f"`{field.validation_alias}`",
            field.default,
            str(field.description),
        )


def _attributes(limits: Any) -> Iterator[tuple[str, float, str]]:
    """Yield those that no variable sets."""
    meanings = meanings_of(type(limits))
    for field in fields(limits):
        if f"max_{field.name}" not in LimitSettings.model_fields:
            name = field.name.replace("_", " ")
            value = getattr(limits, field.name)
            yield name, value, meanings[field.name]


def meanings_of(limits: type) -> dict[str, str]:
    """Return the meaning of each limit: the engine's have it beside them, others in a docstring."""
    if limits is type(DEFAULT_LIMITS):
        return MEANINGS
    listed = (limits.__doc__ or "").partition("Attributes:\n")[2]
    entries = re.findall(
        r"^ {8}(\w+): (.+(?:\n {12}.+)*)", listed, re.MULTILINE
    )
    return {
        name: re.sub(r"\n +", " ", meaning).removesuffix(".")
        for name, meaning in entries
    }


if __name__ == "__main__":
    PAGE.write_text(limits_page(), "utf-8")
