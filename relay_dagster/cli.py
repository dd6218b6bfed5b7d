"""The `relay` command.

The commands of the API's client and of replays are listed in a table here, and each is
loaded when it is called. The commands of an installation are functions here, and each
imports what it needs when it runs. So every command starts fast.
"""

import getpass
import os
import shlex
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from relay_dagster.intake.dead_letters import DeadLetters
    from relay_dagster.tenants.audit import Origin
    from relay_dagster.wiring import Platform


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


class _RelayGroup(TyperGroup):
    """The commands of the table, then those of this module."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        own_commands = self.commands
        self.commands = {entry.name: _LazyCommand(entry) for entry in LAZY_COMMANDS}
        self.commands.update(own_commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command to call, loaded, with its name and its arguments."""
        name, command, arguments = super().resolve_command(ctx, args)
        if isinstance(command, _LazyCommand):
            command = command.load()
        return name, command, arguments


app = typer.Typer(
    name="relay",
    cls=_RelayGroup,
    help="One exact, priced inventory feed per merchant from many vendors' feeds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
dlq = typer.Typer(help="Look into the dead-letter queue, and settle what is there.")
app.add_typer(dlq, name="dlq", no_args_is_help=True)
_BAD_USAGE = 2
_BROKEN = 3
_Result = TypeVar("_Result")
RunId = Annotated[
    str, typer.Argument(help="The run whose message is in the dead-letter queue.")
]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)]


@app.command()
def bootstrap(
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Change nothing. Compare the queue's attributes with the variables.",
        ),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Also set the queue's attributes as the variables say."
        ),
    ] = False,
) -> None:
    """Create the AWS resources that are missing; print `export NAME=value` lines for them."""
    from relay_dagster.aws.provisioning import bootstrap as resources
    from relay_dagster.settings import Settings

    if check:
        differences = resources.check(Settings.from_env())
        for difference in differences or ["nothing to change: all is as it must be"]:
            typer.echo(difference, err=True)
        raise typer.Exit(int(bool(differences)))
    provided = resources.provision(repair=repair)
    for change in provided.changes or ["nothing to change: nothing is missing"]:
        typer.echo(change, err=True)
    for name, value in provided.variables:
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def api(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Serve the HTTP API until a signal ends it."""
    from relay_dagster.api.app import serve

    serve(host, port)


@app.command()
def ui(
    host: Annotated[
        str, typer.Option("--host", "-h", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", "-p", help="Port to listen on.", min=0, max=65535)
    ] = 3000,
    workspace: Annotated[
        list[Path],
        typer.Option("--workspace", "-w", help="Where Dagster's code is.", exists=True),
    ] = [Path("workspace.yaml")],  # noqa: B006 - Typer's defaults are never changed
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Show everything, let nothing be pressed."),
    ] = False,
) -> None:
    """Serve Dagster's pages, behind a guard against foreign pages, until a signal ends it."""
    from relay_dagster.orchestration.ui import serve

    serve(host, port, workspace, read_only=read_only)


@app.command()
def deletions(
    once: Annotated[
        bool, typer.Option("--once", help="What is due now, and no more.")
    ] = False,
) -> None:
    """Remove the tenants whose deletion is due, in place of the code server, until a signal."""
    import dagster as dg

    from relay_dagster.maintenance.deletion import DeletionTick
    from relay_dagster.orchestration.dagster_history import DagsterHistory
    from relay_dagster.orchestration.sensors import EVERY_TEN_SECONDS
    from relay_dagster.settings import Settings, SettingsError
    from relay_dagster.wiring import connect

    platform = connect(Settings.from_env())
    try:
        opened = dg.DagsterInstance.get()
    except dg.DagsterError as error:
        raise SettingsError(
            "DAGSTER_HOME", "must name the folder of dagster.yaml"
        ) from error
    with opened as instance:
        tick = DeletionTick(platform, DagsterHistory(instance))
        while True:
            typer.echo(tick.run())
            if once:
                return
            time.sleep(
                EVERY_TEN_SECONDS
            )  # as long as between ticks of the duty that it replaces


@app.command()
def demo(
    output_dir: Annotated[
        Path,
        typer.Option(help="Where the run's artifacts are put, to look at afterwards."),
    ] = Path("out/demo"),
    release: Annotated[
        bool,
        typer.Option(
            "--release", help="Publish the held feed in the end, else leave it."
        ),
    ] = False,
) -> None:
    """Run the sample tenant from end to end on embedded AWS, then end everything.

    After the first run a vendor sends a tenth of its feed: that run is held, and shown.
    """
    from relay_dagster.devstack.demo import run_demo

    raise typer.Exit(run_demo(output_dir, release=release))


@app.command()
def dev(
    api_port: Annotated[int, typer.Option(help="Port of the API.")] = 8000,
    ui_port: Annotated[int, typer.Option(help="Port of Dagster's UI.")] = 3000,
) -> None:
    """Start the same stack with the sample tenant, and leave it running until Ctrl-C."""
    from relay_dagster.devstack.demo import run_dev

    raise typer.Exit(run_dev(api_port=api_port, ui_port=ui_port))


@app.command()
def doctor(
    reads_bytes: Annotated[
        bool,
        typer.Option(
            "--bytes", help="Also read each feed in force whole, and hash it."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON, for programs.")
    ] = False,
) -> None:
    """Check what must always hold, change nothing; exit status 3 where anything is broken."""
    import json
    from dataclasses import asdict

    from relay_dagster.client.terminal import Screen
    from relay_dagster.maintenance.doctor import Extent, examine
    from relay_dagster.runs.ports import utc_now
    from relay_dagster.settings import Settings
    from relay_dagster.wiring import connect

    platform, screen = connect(Settings.from_env()), Screen()
    findings = list(examine(platform, utc_now(), Extent(reads_bytes=reads_bytes)))
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in findings], indent=2))
    elif findings:
        rows = [(each.invariant, each.subject, each.message) for each in findings]
        screen.table(("broken", "of", "what"), rows, folded=("what",))
    else:
        screen.say("all is well")
    raise typer.Exit(_BROKEN if findings else 0)


@app.command()
def recover(
    since: Annotated[
        datetime,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%SZ"], help="The instant of the tables, UTC."
        ),
    ],
    audit: Annotated[
        str,
        typer.Option(
            "--audit", help="The audit's table as it was before the restoration."
        ),
    ],
) -> None:
    """Make restored tables good: pause all, delete again what was deleted since, end open runs.

    Afterwards `relay doctor`, then `relay resume`.
    """
    from dataclasses import replace

    from relay_dagster.aws.dynamodb.audit_store import AuditStore
    from relay_dagster.aws.dynamodb.table import Table
    from relay_dagster.client.terminal import Screen
    from relay_dagster.maintenance import recovery
    from relay_dagster.settings import Settings
    from relay_dagster.wiring import connect

    platform, screen = connect(Settings.from_env()), Screen()
    before = AuditStore(
        replace(platform.database, audit=Table(platform.clients, audit))
    )
    done = recovery.recover(
        platform, since.replace(tzinfo=UTC), before, _operator(platform)
    )
    deleted = [f"{each.action} {each.target}" for each in done.deleted_again]
    for name, what in (
        ("deleted again", deleted),
        ("cancelled", done.cancelled),
        ("brought back", done.brought_back),
        ("lost", [f"{action} {count}" for action, count in done.lost.items()]),
    ):
        screen.say(f"{name}: {', '.join(what) or 'nothing'}")


@dlq.command("list")
def dlq_list() -> None:
    """Show every dead letter with its run's status and cause."""
    from relay_dagster.client.terminal import Screen, cell, instant

    rows = [
        (
            cell(dead.run_id),
            dead.job.tenant_id if dead.job else "not a job",
            str(dead.record.status) if dead.record else "no record",
            cell(dead.record and dead.record.error_code),
            dead.cause,
            instant(dead.since),
            cell(dead.message_id),
        )
        for dead in _dead_letters().all()
    ]
    names = (
        "run_id",
        "tenant_id",
        "status",
        "error_code",
        "cause",
        "since",
        "message_id",
    )
    Screen().table(names, rows)


@dlq.command("redrive")
def dlq_redrive(run_id: RunId) -> None:
    """Start a new run for the tenant of a dead letter, and remove the message."""
    record = _or_why_not(lambda: _dead_letters().redrive(run_id))
    typer.echo(f"run {record.run_id} of {record.tenant_id} is {record.status}")


@dlq.command("discard")
def dlq_discard(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN_ID|MESSAGE_ID", help="The run, or the message itself."
        ),
    ],
) -> None:
    """Remove a dead letter; its run stays as it ended."""
    _or_why_not(lambda: _dead_letters().discard(name))
    typer.echo(f"the dead letter {name} is deleted")


def _dead_letters() -> "DeadLetters":
    from relay_dagster.intake.dead_letters import DeadLetters
    from relay_dagster.settings import Settings
    from relay_dagster.wiring import connect

    platform = connect(Settings.from_env())
    return DeadLetters(platform, _operator(platform))


def _operator(platform: "Platform") -> "Origin":
    """Return the origin of what the command changes: who AWS says runs it."""
    from relay_dagster.tenants.audit import Actor, ActorKind, Origin

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return Origin(Actor(ActorKind.CLI, platform.clients.caller_arn(), user))


def _or_why_not(act: Callable[[], _Result]) -> _Result:
    """Do it, or print in one line why not."""
    from relay_dagster.intake.dead_letters import DeadLetterError, describe
    from relay_dagster.runs.errors import RunError

    try:
        return act()
    except (DeadLetterError, RunError) as error:
        typer.echo(describe(error), err=True)
        raise typer.Exit(1) from error


def main() -> None:
    """Run the command line; what is wrong with it or the environment is one line and status 2."""
    from relay_dagster.external_errors import ExternalServiceError
    from relay_dagster.settings import SettingsError

    try:
        sys.exit(app(standalone_mode=False))
    except typer.TyperException as error:
        problem = " ".join(
            str(getattr(error, "format_message", error.__str__)()).split()
        )
        problem = problem.replace("Value error, ", "").removesuffix(".")
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "relay"
        if problem:  # none of a line that asks for help
            print(f"{path}: {problem}; see: {path} --help", file=sys.stderr)
        sys.exit(_BAD_USAGE)
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(_BAD_USAGE)
    except ExternalServiceError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
