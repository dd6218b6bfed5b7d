"""What README says of commands and options is so; `test_pages` looks at its paths."""

from __future__ import annotations

import re

from local.request import parser
from relay_core.samples import SAMPLE_TENANTS
from support.pages import MAKEFILE, PAGES, codes_in, found

README = PAGES["README.md"]
FIRST_SCREEN = "\n".join(README.splitlines()[:12])
CODE = codes_in(README)


def test_the_first_screen_names_the_two_commands_and_no_other() -> None:
    assert set(re.findall(r"\bmake ([a-z-]+)", FIRST_SCREEN)) == {
        "demo",
        "test",
    }


def test_the_local_runners_options_that_are_named_exist() -> None:
    named = found(
        r"--[a-z-]+", [code for code in CODE if "local_run.py" in code]
    )
    assert named
    assert set(named) <= set(re.findall(r"--[a-z-]+", parser().format_help()))


def test_the_sample_tenant_that_is_named_exists() -> None:
    assert set(found(r"--tenant (\w+)", CODE)) <= set(SAMPLE_TENANTS)


def test_every_target_that_makefile_explains_is_phony() -> None:
    explained = set(
        re.findall(r"^([a-z-]+):.*## ", MAKEFILE, flags=re.MULTILINE)
    )
    phony = set(
        " ".join(
            re.findall(r"^\.PHONY: (.+)$", MAKEFILE, flags=re.MULTILINE)
        ).split()
    )
    assert explained <= phony
