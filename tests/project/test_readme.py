"""What README says of commands and options is so; `test_pages` looks at its paths."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from relay_core.samples import SAMPLE_TENANTS
from relay_dagster.local.options import parser
from support.pages import MAKEFILE, PAGES, codes_in, found

README = PAGES["README.md"]
FIRST_SCREEN = "\n".join(README.splitlines()[:12])
CODE = codes_in(README)
ROOT = Path(__file__).resolve().parents[2]
BIN = str(Path(sys.executable).parent)


def bash(commands: str) -> str:
    """Run commands of the README in the project's folder, and return their output."""
    result = subprocess.run(
        ["bash", "-ec", commands.replace(".venv/bin", BIN)],
        cwd=ROOT,
        env=os.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_first_screen_names_the_two_commands_and_no_other() -> None:
    assert set(re.findall(r"\bmake ([a-z-]+)", FIRST_SCREEN)) == {
        "demo",
        "test",
    }


def test_the_local_runners_options_that_are_named_exist() -> None:
    named = found(
        r"--[a-z-]+", [code for code in CODE if "relay local" in code]
    )
    assert named
    assert set(named) <= set(re.findall(r"--[a-z-]+", parser().format_help()))


def test_the_first_minute_makes_files_a_feed(tmp_path: Path) -> None:
    section = README.partition("## From files to a feed\n")[2]
    section = section.partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .+\n)+", section, flags=re.MULTILINE)
    new, run = (
        textwrap.dedent(block)
        .removeprefix("make setup\n")
        .replace("out/shop", str(tmp_path))
        for block in blocks
    )
    printed = bash(new).splitlines()
    command, _, shows_feed = run.strip().rpartition("\ncat ")
    assert f".venv/bin/{printed[-1]}" == command
    shows_feed = shows_feed.replace("out/", f"{tmp_path}/out/")
    command += f" --output-dir {tmp_path / 'out'}"
    lines = bash(f"{command}\ncat {shows_feed}").splitlines()[-8:]
    # The last column is the time of the run.
    assert [line.rpartition(",")[0] for line in lines] == [
        "sku,quantity_available,price,vendor_id",
        "000417,13,22.50,depot_sheets",
        "001023,2,49.20,depot_sheets",
        "002208,9,10.68,depot_sheets",
        "TY-100,0,11.40,corner_shop",
        "TY-101,500,0.42,corner_shop",
        "TY-103,5,0.01,corner_shop",
        "TY-104,30,13.44,corner_shop",
    ]


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
