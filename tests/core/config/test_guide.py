from __future__ import annotations

import re
from typing import Any

import pytest

from builders import tenant_config
from config_documents import (
    REQUIRED,
    ROOT,
    all_fields,
)
from relay_core.config import TenantConfig, load_config, parse_document


def value_at(config: TenantConfig, path: str) -> Any:
    value: Any = config
    for step in path.split("."):
        value = value[int(step)] if step.isdigit() else getattr(value, step)
    return value


GUIDE = (ROOT / "docs" / "CONFIG.md").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_guide_loads(example: str) -> None:
    whole = parse_document(EXAMPLES[0], format="yaml")
    load_config({**whole, **parse_document(example, format="yaml")})


def _row_of(path: str) -> str:
    """Return the guide's row of a field, found by its name in the section that it stands in."""
    sections = r"vendors\.0\.parser|vendors\.0|pricing|merge|output|error_policy|guards|triggers"
    section = re.match(sections, path)
    title = section[0].replace(".0", "[]") if section else None
    heading = f"\n## `{title}`\n" if title else "\n## Top level\n"
    name = path.removeprefix(f"{section[0]}.") if section else path
    rows = GUIDE.split(heading)[1].split("\n## ")[0].splitlines()
    (row,) = (row for row in rows if row.startswith(f"| `{name}` |"))
    return row


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


WITH_TRIGGERS = tenant_config(triggers={"on_upload": {}})


@pytest.mark.parametrize(
    "path", [path for path, _ in all_fields(TenantConfig) if path != "vendors"]
)
def test_the_guide_has_every_field_and_its_default(path: str) -> None:
    row = _row_of(path)
    if path in REQUIRED or path == "triggers.schedule.cron":
        assert "| required |" in row
    elif "sku_map" not in path and "s3_prefix" not in path:
        assert f"| `{_shown(value_at(WITH_TRIGGERS, path))}` |" in row
