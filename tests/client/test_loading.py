"""The client's commands are loaded when they are called: the list of them knows their help."""

import subprocess
import sys
from importlib import import_module

import pytest
import typer.main

from relay_dagster.cli import CLIENT_COMMANDS


@pytest.mark.parametrize(
    ("place", "name"), [(place, name) for place, lines in CLIENT_COMMANDS.items() for name in lines]
)
def test_a_command_is_where_the_list_says_with_that_help(place: str, name: str) -> None:
    line = CLIENT_COMMANDS[place][name]
    module, _, variable = place.partition(":")
    group = typer.main.get_group(getattr(import_module(f"relay_dagster.{module}"), variable))
    if variable == "commands":
        text = " ".join(str(group.commands[name].help).partition("\n\n")[0].split())
        assert line.removesuffix(".") in text
    else:
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
