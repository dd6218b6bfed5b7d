"""The table of commands that `relay` loads when they are called.

These are the commands of the API's client and of replays. Loading all of them takes a
second, so the list of commands shows their names and help lines from this table.
"""

from importlib import import_module
from typing import Any, NamedTuple

import typer.main
from typer.core import TyperCommand, TyperGroup


class LazyEntry(NamedTuple):
    """A command, or a group of commands, that is loaded when it is called.

    Attributes:
        name: The name of the command.
        module: The module below `relay_dagster`.
        variable: The variable with the `typer.Typer` of the command or the group.
        help: The line in the list of commands.
    """

    name: str
    module: str
    variable: str
    help: str

    @property
    def is_group(self) -> bool:
        """Whether the variable is a group of commands; `commands` has single commands."""
        return self.variable != "commands"


LAZY_COMMANDS = (
    LazyEntry(
        "run",
        "client.commands.runs",
        "commands",
        "Start a run and print its run_id; with --watch exit with 1 unless it succeeds, 3 if "
        "held.",
    ),
    LazyEntry("runs", "client.commands.runs", "commands", "List runs, newest first."),
    LazyEntry(
        "show",
        "client.commands.runs",
        "commands",
        "Show a run: how it stands, what it counted, what it wrote; --watch as for `relay "
        "run`.",
    ),
    LazyEntry(
        "errors",
        "client.commands.run_errors",
        "commands",
        "Show what went wrong in a run: each cause once, with its count, samples and what to "
        "do.",
    ),
    LazyEntry(
        "cancel",
        "client.commands.runs",
        "commands",
        "Cancel a run, at once or as soon as it can be stopped; a feed that it holds is "
        "discarded.",
    ),
    LazyEntry(
        "release",
        "client.commands.holds",
        "commands",
        "Publish the feed that a run holds back; shows it and asks, unless hash and guards "
        "are given.",
    ),
    LazyEntry(
        "rollback",
        "client.commands.holds",
        "commands",
        "Publish the feed of one of the tenant's earlier runs again.",
    ),
    LazyEntry(
        "explain",
        "client.commands.skus",
        "commands",
        "Show why a SKU's row of a run's feed is what it is: each step of the price, every "
        "offer.",
    ),
    LazyEntry(
        "accept",
        "client.commands.skus",
        "commands",
        "Accept prices that a run has kept back, so that the next run publishes them.",
    ),
    LazyEntry(
        "feed",
        "client.commands.feeds",
        "commands",
        "Fetch the feed that is in force.",
    ),
    LazyEntry(
        "artifacts",
        "client.commands.feeds",
        "commands",
        "List a run's artifacts with links that are good for an hour, or fetch one of them.",
    ),
    LazyEntry(
        "tenants",
        "client.commands.tenants",
        "commands",
        "List all tenants: the config, since when a feed is in force, the last run that "
        "ended.",
    ),
    LazyEntry(
        "pause",
        "client.commands.pauses",
        "commands",
        "Stop new runs, of one tenant or of all; with nothing to pause and no reason, list "
        "pauses.",
    ),
    LazyEntry(
        "resume",
        "client.commands.pauses",
        "commands",
        "Let new runs in again, of one tenant, or end the pause of all; the other stays in "
        "force.",
    ),
    LazyEntry(
        "upload",
        "client.commands.uploads",
        "commands",
        "Upload a vendor's feed, which needs no rights in the bucket, and print its key.",
    ),
    LazyEntry(
        "pull",
        "client.commands.uploads",
        "commands",
        "Have a vendor's file pulled now; how that ended shows in `relay tenant status`.",
    ),
    LazyEntry(
        "verify",
        "replay.verify",
        "commands",
        "Prove a run by replay: the engine here, over its inputs, gives the bytes of each "
        "CSV.",
    ),
    LazyEntry(
        "rehearse",
        "replay.rehearse",
        "commands",
        "Try a config on runs that were: what would change in their feeds, what the guards "
        "would say.",
    ),
    LazyEntry(
        "audit",
        "client.commands.access",
        "commands",
        "Show who did what, newest first: entries of the last 400 days.",
    ),
    LazyEntry(
        "config",
        "client.commands.configs",
        "config",
        "Check tenants' configs, store them, and get them back.",
    ),
    LazyEntry(
        "tenant",
        "client.commands.tenants",
        "tenant",
        "See how a tenant stands, delete it, restore it.",
    ),
    LazyEntry(
        "keys",
        "client.commands.access",
        "keys",
        "Make keys of a tenant, see what they may do, and delete them.",
    ),
    LazyEntry(
        "secrets",
        "client.commands.uploads",
        "secrets",
        "Keep secrets by which vendors' files are pulled; each is for one host.",
    ),
    LazyEntry(
        "overrides",
        "client.commands.overrides",
        "overrides",
        "Say the last word on single SKUs: a price, a floor, a vendor, a quantity, or leave "
        "out.",
    ),
    LazyEntry(
        "feed-links",
        "client.commands.feeds",
        "feed_links",
        "Make links to a tenant's feed for programs that take a plain URL, and revoke them.",
    ),
    LazyEntry(
        "webhooks",
        "client.commands.webhooks",
        "webhooks",
        "Notify URLs of a tenant's runs and feeds, and see what was sent.",
    ),
)


class _LazyCommand(TyperCommand):
    """Stands for a command in the list of commands until the command is called."""

    def __init__(self, entry: LazyEntry) -> None:
        super().__init__(entry.name, help=entry.help)
        self._entry = entry

    def load(self) -> Any:
        """Import and return the command, or the group of commands."""
        module = import_module(f"relay_dagster.{self._entry.module}")
        group = typer.main.get_group(getattr(module, self._entry.variable))
        if self._entry.is_group:
            return group
        return group.commands[self._entry.name]


class LazyGroup(TyperGroup):
    """The commands of the table, followed by the commands of the app."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        app_commands = self.commands
        self.commands = {entry.name: _LazyCommand(entry) for entry in LAZY_COMMANDS}
        self.commands.update(app_commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command to call, loaded, with its name and its arguments."""
        name, command, arguments = super().resolve_command(ctx, args)
        if isinstance(command, _LazyCommand):
            command = command.load()
        return name, command, arguments
