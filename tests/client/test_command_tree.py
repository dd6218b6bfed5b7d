"""The tree of commands: few at the top, each with its help, and all by their earlier names."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from typer.core import TyperGroup

from relay_dagster import cli
from relay_dagster.command_tree import OLD_NAMES, TREE, Branch, Leaf
from relay_dagster.lazy_commands import entry_at, loaded
from support.client_world import ClientWorld

ROOT = typer.main.get_group(cli.app)
EARLIER = {
    name: parameters.split()
    for name, _, parameters in (
        line.partition(":")
        for line in (Path(__file__).parent / "earlier_commands.txt")
        .read_text("utf-8")
        .splitlines()
    )
}
"""The parameters of each command when all of them were at the top."""


def leaves(entries: tuple[Leaf | Branch, ...]) -> Iterator[Leaf]:
    for entry in entries:
        if isinstance(entry, Leaf):
            yield entry
        else:
            yield from leaves(entry.entries)


LEAVES = tuple(leaves(TREE))


def called(words: list[str]) -> Any:
    """Return the command that a line calls, as Typer finds it."""
    group = ROOT.make_context("relay", words)
    command = None
    while isinstance(group.command, TyperGroup):
        words = [*group._protected_args, *group.args]
        name, command, words = group.command.resolve_command(group, words)
        group = command.make_context(
            name,
            words,
            parent=group,
            resilient_parsing=not isinstance(command, TyperGroup),
        )
    return command


def parameters_of(command: Any) -> list[str]:
    options = [
        name
        for parameter in command.params
        if parameter.param_type_name == "option"
        for name in (*parameter.opts, *parameter.secondary_opts)
    ]
    arguments = [
        parameter.metavar
        for parameter in command.params
        if parameter.param_type_name == "argument"
    ]
    return sorted([*options, *arguments])


def test_at_most_twelve_commands_are_at_the_top() -> None:
    visible = [
        name for name, command in ROOT.commands.items() if not command.hidden
    ]
    assert visible == [entry.name for entry in TREE]
    assert len(visible) <= 12


@pytest.mark.parametrize(
    "leaf", LEAVES, ids=lambda leaf: f"{leaf.module}-{leaf.name}"
)
def test_a_command_is_where_the_tree_says_with_its_own_help(leaf: Leaf) -> None:
    (listed,) = (
        command for command in listed_commands(ROOT) if command._leaf is leaf
    )
    command = loaded(listed)
    assert bool(leaf.group) == isinstance(command, TyperGroup)
    assert (
        listed.help
        == " ".join(str(command.help).partition("\n\n")[0].split())
        != ""
    )


def listed_commands(group: TyperGroup) -> Iterator[Any]:
    """Yield the commands that groups list, without loading them."""
    for command in group.commands.values():
        if command.hidden:
            continue
        if isinstance(command, TyperGroup):
            yield from listed_commands(command)
        else:
            yield command


def test_every_command_every_group_and_every_parameter_has_help() -> None:
    def without_help(path: str, command: Any) -> Iterator[str]:
        if not command.help:
            yield path
        for parameter in command.params:
            if not parameter.help:
                yield f"{path} {parameter.name}"
        for name, child in getattr(command, "commands", {}).items():
            yield from without_help(f"{path} {name}", loaded(child))

    assert list(without_help("relay", ROOT)) == []


# --- earlier names --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EARLIER)
def test_a_command_has_its_parameters_by_its_earlier_name(name: str) -> None:
    # One word for the argument of a group's default command.
    words = {"feed": ["acme"], "runs": ["--json"], "tenants": ["--json"]}
    command = called([*name.split(), *words.get(name, [])])
    assert parameters_of(command) == EARLIER[name]


@pytest.mark.parametrize("name", OLD_NAMES)
def test_an_earlier_name_is_hidden_and_calls_the_command_of_today(
    name: str,
) -> None:
    alias: Any = ROOT.commands[name]
    entry = entry_at(OLD_NAMES[name])
    assert alias.hidden
    if isinstance(entry, Leaf):
        assert alias._leaf is entry
    else:
        assert alias._branch.entries is entry.entries


@pytest.mark.parametrize(
    "name", sorted({name.split()[0] for name in EARLIER if " " in name})
)
def test_a_group_shows_its_help_by_its_earlier_name(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["relay", name])
    with pytest.raises(SystemExit) as system_exit:
        cli.main()
    assert system_exit.value.code == 2
    output = capsys.readouterr()
    assert f"{name} [OPTIONS] COMMAND" in output.out
    assert output.err == ""


def test_every_earlier_name_is_in_the_tree_or_an_alias() -> None:
    names = {name.split()[0] for name in EARLIER}
    today = {entry.name for entry in TREE}
    assert names - today == set(OLD_NAMES)


@pytest.mark.parametrize(
    ("earlier", "today"),
    [
        (["runs"], ["runs", "list"]),
        (["runs", "--limit", "1", "--json"], ["runs", "list", "--limit", "1"]),
        (["tenants"], ["tenants", "list"]),
        (["tenants", "--json"], ["tenants", "list", "--json"]),
        (["feed", "acme"], ["feed", "get", "acme"]),
        (["feed", "acme", "--channel", "x"], ["feed", "get", "--channel", "x"]),
        (["feed", "--channel", "x", "acme"], ["feed", "get", "acme"]),
    ],
    ids=" ".join,
)
def test_a_group_does_what_the_command_of_its_name_did(
    earlier: list[str], today: list[str]
) -> None:
    command = called(earlier)
    assert command.name == today[1]
    assert parameters_of(command) == parameters_of(called(today))


def test_the_groups_print_what_the_commands_of_their_names_printed(
    world: ClientWorld,
) -> None:
    world.api.succeed(world.start())
    for earlier, today in (
        (["runs", "--json"], ["runs", "list", "--json"]),
        (["runs"], ["runs", "list"]),
        (["feed", "acme"], ["feed", "get", "acme"]),
        (["tenants", "--json"], ["tenants", "list", "--json"]),
    ):
        result = world.relay(*earlier)
        assert result == world.relay(*today)
        assert result.exit_code == 0
        assert result.stdout


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["runs", "shwo", "1"], "'show'"),
        (["feed", "relase", "1"], "'release'"),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_name_with_a_typo_is_an_error_that_names_the_command(
    words: list[str],
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["relay", *words])
    with pytest.raises(SystemExit) as system_exit:
        cli.main()
    assert system_exit.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"Did you mean {advice}?" in line


# --- what is loaded -------------------------------------------------------------------------------


def test_the_lists_of_commands_load_none_of_them() -> None:
    groups = [entry.name for entry in TREE if isinstance(entry, Branch)]
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from relay_dagster import cli\n"
        f"for words in ([], *([name] for name in {groups})):\n"
        "    done = CliRunner().invoke(cli.app, [*words, '--help'])\n"
        "    assert done.exit_code == 0, done.output\n"
        "slow = ('httpx', 'pandas', 'pyarrow', 'dagster', 'boto3')\n"
        "print([name for name in slow if name in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("relay ", [entry.name for entry in TREE]),
        ("relay runs ", [entry.name for entry in entry_at("runs").entries]),
        ("relay runs list --st", ["--status"]),
        ("relay feed links ", ["create", "list", "delete"]),
    ],
)
def test_a_shell_completes_the_names_that_the_help_lists(
    line: str, offered: list[str]
) -> None:
    words = line.split(" ")
    shell = {
        "_RELAY_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    program = (
        "import sys\n"
        "from relay_dagster import cli\n"
        "sys.argv = ['relay']\n"
        "cli.main()\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | shell,
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.split() == offered
