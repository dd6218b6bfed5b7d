"""Write the reference of the commands in docs/CLI.md.

`make commands` runs this script. Names, options, and descriptions are those of `--help`, so change
them in `relay_dagster/command_tree.py`, and where the commands are defined.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Also works from a checkout that is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import typer
import typer.main
from typer.core import TyperGroup

from relay_dagster import cli
from relay_dagster.lazy_commands import loaded

PAGE = Path(__file__).resolve().parent.parent / "docs" / "CLI.md"
_BEGIN = "<!-- The rest of this page is written by `make commands`. -->\n"
_WIDTH = 100
_EVERYWHERE = ("--help", "--api-url", "--api-key")
_HEAD = """
## Reference

All commands have `--help`. The commands that call the API also have `--api-url` and `--api-key`, as
in [Set up](#set-up).
"""


def with_reference(page: str) -> str:
    """Return the page with a reference that fits the commands."""
    before, _, _ = page.partition(_BEGIN)
    sections = "".join(
        section(path, command)
        for path, command in visible_commands(
            "relay", typer.main.get_group(cli.app)
        )
    )
    return f"{before}{_BEGIN}{_HEAD}{sections}"


def visible_commands(path: str, group: TyperGroup) -> Iterator[tuple[str, Any]]:
    """Yield the groups and commands below a group that its help lists, with their paths."""
    for name, listed in group.commands.items():
        if listed.hidden:
            continue
        command = loaded(listed)
        yield f"{path} {name}", command
        if isinstance(command, TyperGroup):
            yield from visible_commands(f"{path} {name}", command)


def section(path: str, command: Any) -> str:
    """Return the section of a command or of a group, with its heading."""
    paragraphs = [" ".join(text.split()) for text in command.help.split("\n\n")]
    text = "\n\n".join(
        textwrap.fill(paragraph, _WIDTH, break_on_hyphens=False)
        for paragraph in paragraphs
    )
    if isinstance(command, TyperGroup):
        return f"\n### {path}\n\n{text}\n"
    rows = [
        f"| `{_cell(_usage(parameter, command))}` | {_cell(_description(parameter))} |\n"
        for parameter in command.params
        if parameter.opts[0] not in _EVERYWHERE
    ]
    table = f"\n| parameter | description |\n| --- | --- |\n{''.join(rows)}"
    return f"\n#### {path}\n\n{text}\n{table if rows else ''}"


def _usage(parameter: Any, command: Any) -> str:
    """Return a parameter as a line calls it, such as `--limit INTEGER`."""
    if parameter.param_type_name == "argument":
        return str(parameter.display_name_raw)
    names = ", ".join(parameter.opts)
    if parameter.secondary_opts:
        names = f"{names}, {', '.join(parameter.secondary_opts)}"
    if parameter.is_flag:
        return names
    value = parameter.display_type_rich(typer.Context(command))
    return f"{names} {value}"


def _description(parameter: Any) -> str:
    """Return a parameter's line in the help, with its default."""
    text = str(parameter.help)
    if parameter.param_type_name == "option" and parameter.required:
        return f"{text} Required."
    default = parameter.default
    if isinstance(parameter.show_default, str):
        default = parameter.show_default
    elif not parameter.show_default or default in (None, "", False):
        return text
    elif isinstance(default, list):
        default = ", ".join(map(str, default))
    return f"{text} Default: {default}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write the page again."""
    PAGE.write_text(with_reference(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
