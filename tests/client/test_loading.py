"""The client's commands are loaded when they are called; the list of them shows their help."""

import subprocess
import sys
from importlib import import_module

import pytest
import typer
import typer.main

from relay_dagster import cli
from relay_dagster.lazy_commands import LAZY_COMMANDS, LazyEntry


@pytest.mark.parametrize("entry", LAZY_COMMANDS, ids=lambda entry: entry.name)
def test_a_command_is_where_the_list_says_with_its_own_help(
    entry: LazyEntry,
) -> None:
    listed = typer.main.get_group(cli.app).commands[entry.name]
    module = import_module(f"relay_dagster.{entry.module}")
    group = typer.main.get_group(getattr(module, entry.variable))
    command = group if entry.is_group else group.commands[entry.name]
    assert not entry.is_group or group.commands
    assert (
        listed.help
        == " ".join(str(command.help).partition("\n\n")[0].split())
        != ""
    )


def test_the_list_of_commands_loads_none_of_them() -> None:
    program = (
        "import sys, relay_dagster.cli\n"
        "print([name for name in ('httpx', 'pydantic', 'pandas') if name in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == "[]"
