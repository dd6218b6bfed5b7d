"""What README says is there: its commands, its folders, its options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from local_request import parser
from relay_core.samples import SAMPLE_TENANTS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
FIRST_SCREEN = "\n".join(README.splitlines()[:12])
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")

CODE = re.findall(r"`([^`\n]+)`", README) + re.findall(r"^    (.+)$", README, flags=re.MULTILINE)
TARGETS = sorted(set(re.findall(r"\bmake ([a-z-]+)", " ".join(CODE))))
PATHS = sorted(
    {code for code in CODE if re.fullmatch(r"[\w./-]+(/|\.(py|yaml|toml|lock|md))", code)}
)
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
    named = {
        option
        for code in CODE
        if "local_run.py" in code
        for option in re.findall(r"--[a-z-]+", code)
    }
    assert named
    assert named <= set(parser()._option_string_actions)


def test_the_sample_tenant_that_is_named_exists() -> None:
    assert set(re.findall(r"--tenant (\w+)", " ".join(CODE))) <= set(SAMPLE_TENANTS)


def test_every_target_that_makefile_explains_is_phony() -> None:
    explained = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, flags=re.MULTILINE))
    phony = set(" ".join(re.findall(r"^\.PHONY: (.+)$", MAKEFILE, flags=re.MULTILINE)).split())
    assert explained <= phony
