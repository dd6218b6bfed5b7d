"""The client's commands are loaded when they are called; the list of them shows their help."""

import subprocess
import sys
from importlib import import_module

import pytest
import typer
import typer.main

from relay_dagster import cli


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (module, name)
        for module, names in cli.CLIENT_COMMANDS.items()
        for name in names.split()
    ],
)
def test_a_command_is_where_the_list_says_with_its_own_help(
    module: str, name: str
) -> None:
    group = typer.main.get_group(cli.app)
    group.get_help(typer.Context(group))
    listed = group.commands[name]
    commands = import_module(f"relay_dagster.{module}").commands
    own = typer.main.get_group(commands).commands[name]
    assert listed.help == " ".join(str(own.help).partition("\n\n")[0].split()) != ""


@pytest.mark.parametrize("place", cli.CLIENT_GROUPS)
def test_a_group_is_where_the_list_says(place: str) -> None:
    module, _, variable = place.partition(":")
    group = typer.main.get_group(
        getattr(import_module(f"relay_dagster.{module}"), variable)
    )
    assert group.commands


def test_the_list_of_commands_loads_none_of_them() -> None:
    program = (
        "import sys, relay_dagster.cli\n"
        "print([name for name in ('httpx', 'pydantic', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
