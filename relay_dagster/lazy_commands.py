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
        """True if the variable is a group of commands; `commands` has single commands."""
        return self.variable != "commands"


LAZY_COMMANDS = (
    LazyEntry(
        "new",
        "local.new",
        "commands",
        "Write a first config from vendors' files, and print the command that runs it.",
    ),
    LazyEntry(
        "local",
        "local.entry",
        "commands",
        "Run or check a config over files of this machine, without a server.",
    ),
    LazyEntry(
        "run",
        "client.commands.runs",
        "commands",
        "Start a run and print its ID.",
    ),
    LazyEntry(
        "runs",
        "client.commands.runs",
        "commands",
        "List runs, newest first.",
    ),
    LazyEntry(
        "show",
        "client.commands.runs",
        "commands",
        "Show a run: its status, counts, and artifacts.",
    ),
    LazyEntry(
        "errors",
        "client.commands.run_errors",
        "commands",
        "Show the errors of a run: each cause once, with its count, samples, and fix.",
    ),
    LazyEntry(
        "cancel",
        "client.commands.runs",
        "commands",
        "Cancel a run.",
    ),
    LazyEntry(
        "release",
        "client.commands.holds",
        "commands",
        "Release a feed that is on hold: publish it.",
    ),
    LazyEntry(
        "rollback",
        "client.commands.holds",
        "commands",
        "Publish the feed of one of a tenant's earlier runs again.",
    ),
    LazyEntry(
        "explain",
        "client.commands.skus",
        "commands",
        "Explain a SKU in a run's feed: each step of its price, and all offers.",
    ),
    LazyEntry(
        "accept",
        "client.commands.skus",
        "commands",
        "Accept prices that a run put into quarantine. The next run publishes them.",
    ),
    LazyEntry(
        "feed",
        "client.commands.feeds",
        "commands",
        "Download the live feed, or the file of one of its channels.",
    ),
    LazyEntry(
        "artifacts",
        "client.commands.feeds",
        "commands",
        "List the artifacts of a run, or download one of them.",
    ),
    LazyEntry(
        "tenants",
        "client.commands.tenants",
        "commands",
        "List all tenants with their config, live feed, and last run.",
    ),
    LazyEntry(
        "pause",
        "client.commands.pauses",
        "commands",
        "Pause the creation of runs, for one tenant or for all tenants.",
    ),
    LazyEntry(
        "resume",
        "client.commands.pauses",
        "commands",
        "Resume the creation of runs, for one tenant or for all tenants.",
    ),
    LazyEntry(
        "upload",
        "client.commands.uploads",
        "commands",
        "Upload a vendor's file and print its key.",
    ),
    LazyEntry(
        "pull",
        "client.commands.uploads",
        "commands",
        "Pull a vendor's file now.",
    ),
    LazyEntry(
        "verify",
        "replay.verify",
        "commands",
        "Verify a run: replay it with this engine, and compare the files.",
    ),
    LazyEntry(
        "rehearse",
        "replay.rehearse",
        "commands",
        "Try a config on earlier runs: show the changes of their feeds, and the "
        "guards' results.",
    ),
    LazyEntry(
        "audit",
        "client.commands.access",
        "commands",
        "Show the audit log of the last 400 days, newest entries first.",
    ),
    LazyEntry(
        "config",
        "client.commands.configs",
        "config",
        "Validate, store, and retrieve tenant configs.",
    ),
    LazyEntry(
        "tenant",
        "client.commands.tenants",
        "tenant",
        "Create a tenant, show its status, delete it, and restore it.",
    ),
    LazyEntry(
        "keys",
        "client.commands.access",
        "keys",
        "Create, list, and delete the API keys of a tenant.",
    ),
    LazyEntry(
        "secrets",
        "client.commands.uploads",
        "secrets",
        "Store, list, and delete the secrets for servers of vendors and shops.",
    ),
    LazyEntry(
        "overrides",
        "client.commands.overrides",
        "overrides",
        "List, set, and remove SKU overrides: a price, a minimum price, a maximum "
        "quantity, a vendor, or no offer at all.",
    ),
    LazyEntry(
        "feed-links",
        "client.commands.feeds",
        "feed_links",
        "Create, list, and revoke links to a tenant's feed for programs that take a "
        "plain URL.",
    ),
    LazyEntry(
        "deliveries",
        "client.commands.deliveries",
        "deliveries",
        "List a tenant's deliveries, and send the live feed to one of its servers.",
    ),
    LazyEntry(
        "webhooks",
        "client.commands.webhooks",
        "webhooks",
        "Manage the webhooks that notify your endpoints of runs and feeds.",
    ),
)


class _LazyCommand(TyperCommand):
    """Represents a command in the list of commands until the command is called."""

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
        self.commands = {
            entry.name: _LazyCommand(entry) for entry in LAZY_COMMANDS
        }
        self.commands.update(app_commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command to call, loaded, with its name and its arguments."""
        name, command, arguments = super().resolve_command(ctx, args)
        if isinstance(command, _LazyCommand):
            command = command.load()
        return name, command, arguments
