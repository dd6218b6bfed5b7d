"""What README says is there: its commands, its folders, its options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from local.request import parser
from relay_core.samples import SAMPLE_TENANTS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
FIRST_SCREEN = "\n".join(README.splitlines()[:12])
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")

INDENTED = re.findall(r"^    (.+)$", README, flags=re.MULTILINE)
CODE = [*re.findall(r"`([^`\n]+)`", README), *INDENTED]
PATH = re.compile(r"[\w./-]+(/|\.(py|yaml|toml|lock|md))")


def found(pattern: str, codes: list[str]) -> list[str]:
    return sorted({name for code in codes for name in re.findall(pattern, code)})


TARGETS = found(r"\bmake ([a-z-]+)", CODE)
PATHS = sorted({code for code in CODE if PATH.fullmatch(code)})
WRITTEN = re.compile(r"^(outputs|normalized|reports)/")


def test_the_first_screen_names_the_two_commands_and_no_other() -> None:
    assert set(re.findall(r"\bmake ([a-z-]+)", FIRST_SCREEN)) == {"demo", "test"}


@pytest.mark.parametrize("target", TARGETS)
def test_a_make_target_that_is_named_exists(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE)


@pytest.mark.parametrize("path", [path for path in PATHS if not WRITTEN.match(path)])
def test_a_path_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_local_runners_options_that_are_named_exist() -> None:
    named = found(r"--[a-z-]+", [code for code in CODE if "local_run.py" in code])
    assert named
    assert set(named) <= set(re.findall(r"--[a-z-]+", parser().format_help()))


def test_the_sample_tenant_that_is_named_exists() -> None:
    assert set(found(r"--tenant (\w+)", CODE)) <= set(SAMPLE_TENANTS)


def test_every_target_that_makefile_explains_is_phony() -> None:
    explained = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, flags=re.MULTILINE))
    phony = set(" ".join(re.findall(r"^\.PHONY: (.+)$", MAKEFILE, flags=re.MULTILINE)).split())
    assert explained <= phony
