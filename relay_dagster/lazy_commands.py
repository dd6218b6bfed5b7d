"""The groups of `relay`, which load a command of the tree when it is called."""

from importlib import import_module
from typing import Any

import typer.main
from typer.core import TyperCommand, TyperGroup

from relay_dagster.command_tree import OLD_NAMES, TREE, Branch, Leaf


class _LazyCommand(TyperCommand):
    """Represents a leaf in the list of commands until the command is called."""

    def __init__(self, leaf: Leaf, *, hidden: bool = False) -> None:
        super().__init__(
            leaf.name,
            help=leaf.help,
            hidden=hidden,
            rich_help_panel=leaf.panel or None,
        )
        self._leaf = leaf

    def load(self) -> Any:
        """Import and return the command, or the group of commands."""
        module = import_module(f"relay_dagster.{self._leaf.module}")
        if self._leaf.group:
            return typer.main.get_group(getattr(module, self._leaf.group))
        return typer.main.get_group(module.commands).commands[self._leaf.name]


class LazyGroup(TyperGroup):
    """A group of commands that are loaded when they are called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command to call, loaded, with its name and its arguments."""
        name, command, arguments = super().resolve_command(ctx, args)
        return name, loaded(command), arguments


class BranchGroup(LazyGroup):
    """The commands of a branch of the tree."""

    def __init__(self, branch: Branch, *, hidden: bool = False) -> None:
        super().__init__(
            name=branch.name,
            help=branch.help,
            commands={
                entry.name: command_of(entry) for entry in branch.entries
            },
            hidden=hidden,
            no_args_is_help=True,
            rich_help_panel=branch.panel or None,
        )
        self._branch = branch

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, with the default command in front if a line names none."""
        if self._calls_default(args) and not (
            ctx.resilient_parsing and not args
        ):
            args = [self._branch.default, *args]
        return super().parse_args(ctx, args)

    def _calls_default(self, args: list[str]) -> bool:
        """Return True if a line is one of the default command, by the group's name."""
        if not self._branch.default:
            return False
        if not args:
            return not self._branch.takes_argument
        word, *next_words = args
        if word.startswith("-"):
            return word != "--help"
        # A second word belongs to a command, although its name may be misspelled.
        return (
            self._branch.takes_argument
            and word not in self.commands
            and all(next_word.startswith("-") for next_word in next_words[:1])
        )


class RootGroup(LazyGroup):
    """The commands of the tree, and those by an old name, which the help does not list."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {entry.name: command_of(entry) for entry in TREE}
        for name, path in OLD_NAMES.items():
            entry = entry_at(path)
            if isinstance(entry, Branch):
                # Only the group's name of today was the name of a command.
                entry = entry._replace(default="")
            self.commands[name] = command_of(entry, hidden=True)


def command_of(entry: Leaf | Branch, *, hidden: bool = False) -> Any:
    """Return the command of an entry, which is loaded when it is called."""
    if isinstance(entry, Branch):
        return BranchGroup(entry, hidden=hidden)
    return _LazyCommand(entry, hidden=hidden)


def loaded(command: Any) -> Any:
    """Return a command of a group, or the one that it represents."""
    return command.load() if isinstance(command, _LazyCommand) else command


def entry_at(path: str) -> Leaf | Branch:
    """Return the entry of the tree at a path of names, such as `runs show`."""
    entries: tuple[Leaf | Branch, ...] = TREE
    for name in path.split():
        (entry,) = (entry for entry in entries if entry.name == name)
        if isinstance(entry, Branch):
            entries = entry.entries
    return entry
