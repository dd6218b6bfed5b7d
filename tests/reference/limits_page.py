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
from relay_dagster.api.limits import DEFAULT_API_LIMITS  # noqa: E402
from relay_dagster.settings import LimitSettings, Settings  # noqa: E402

PAGE = ROOT / "docs" / "LIMITS.md"
FIXED = (DEFAULT_LIMITS, DEFAULT_API_LIMITS)
"""What holds limits that no variable sets: dataclasses that say under ``Attributes`` of what each
is, and what is over it."""
TOLD = (
    (
        "faults",
        MAX_FAULTS,
        "of a config or a body; a last one says how many more there are",
    ),
    ("items of a list", MAX_LISTED, "in a message; cut, `and N more`"),
    ("characters", MAX_QUOTED, "of somebody's text in a message; cut, `...`"),
)
_INTRODUCTION = """# Limits

Every input has a limit. Beyond it comes a clear answer, never a dead process. The page is made from
the code: `python tests/reference/limits_page.py` writes it again.

Limits of a config apply where it is stored or checked, and in the local runner (exit status
2). A run takes a stored config as it is. The local runner reads the variables, too.
"""


def limits_page() -> str:
    """Return the page."""
    parts = [
        _INTRODUCTION,
        "## Set by variables\n",
        *_table("variable", _settings()),
        "\n## The same everywhere\n",
        *_table("limit", [row for limits in FIXED for row in _attributes(limits)]),
        "\n## In messages\n",
        *_table("limit", TOLD),
    ]
    return "\n".join(parts) + "\n"


def _table(first: str, rows: Any) -> Iterator[str]:
    yield f"| {first} | default | of what; what is over it |"
    yield "| --- | ---: | --- |"
    for name, value, meaning in rows:
        yield f"| {name} | {value:,} | {meaning} |"


def _settings() -> Iterator[tuple[str, float, str]]:
    fields_ = (
        *LimitSettings.model_fields.values(),
        Settings.model_fields["run_timeout_seconds"],
    )
    for field in fields_:
        yield f"`{field.validation_alias}`", field.default, str(field.description)


def _attributes(limits: Any) -> Iterator[tuple[str, float, str]]:
    """Yield those that no variable sets."""
    meanings = meanings_of(type(limits))
    for field in fields(limits):
        if f"max_{field.name}" not in LimitSettings.model_fields:
            name, value = field.name.replace("_", " "), getattr(limits, field.name)
            yield name, value, meanings[field.name]


def meanings_of(limits: type) -> dict[str, str]:
    """Return the meaning of each limit: the engine's have it beside them, others in a docstring."""
    if limits is type(DEFAULT_LIMITS):
        return MEANINGS
    listed = (limits.__doc__ or "").partition("Attributes:\n")[2]
    found = re.findall(r"^ {8}(\w+): (.+(?:\n {12}.+)*)", listed, re.MULTILINE)
    return {
        name: re.sub(r"\n +", " ", meaning).removesuffix(".") for name, meaning in found
    }


if __name__ == "__main__":
    PAGE.write_text(limits_page(), "utf-8")
