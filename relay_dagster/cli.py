"""The ``relay`` command. Each subcommand is thin, and imports only what it needs when it runs.

The commands that are clients of the API live in ``client`` and are loaded when one of them is
called; those of an installation are here.
"""

import ast
import getpass
import os
import shlex
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from relay_dagster.intake.dead_letters import DeadLetters
    from relay_dagster.tenants.audit import Origin
    from relay_dagster.wiring import Platform

CLIENT_COMMANDS = {
    "client.runs": "run runs show errors cancel",
    "client.holds": "release rollback",
    "client.skus": "explain accept",
    "client.feeds": "feed artifacts",
    "client.tenants": "tenants pause resume",
    "client.uploads": "upload pull",
    "replay.verify": "verify",
    "replay.what_if": "rehearse",
    "client.access": "audit",
}
"""The client's commands by module, each a function of the name; help lists them in this order."""
CLIENT_GROUPS = {
    "client.configs:config": "Check tenants' configs, store them, and get them back.",
    "client.tenants:tenant": "See how a tenant stands, delete it, restore it.",
    "client.access:keys": "Make keys of a tenant, see what they may do, and delete them.",
    "client.uploads:secrets": "Keep secrets by which vendors' files are pulled; each is for one "
    "host.",
    "client.skus:overrides": "Say the last word on single SKUs: a price, a floor, a vendor, a "
    "quantity, or leave out.",
    "client.feeds:feed_links": "Make links to a tenant's feed for programs that take a plain URL, "
    "and revoke them.",
    "client.webhooks:webhooks": "Notify URLs of a tenant's runs and feeds, and see what was sent.",
}
"""The client's groups of commands by module and variable, each with its line of help."""


class _LazyCommand(TyperCommand):
    """A command of the client that is loaded when it is called; until then its name and help.

    ``place`` names where it is: ``module:variable``, a `typer.Typer` with this command or that is
    the group itself.
    """

    place: str

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Return the context of the loaded command."""
        module, _, variable = self.place.partition(":")
        found = getattr(import_module(f"relay_dagster.{module}"), variable)
        group = typer.main.get_group(found)
        group.help, group.no_args_is_help = self.help, True
        loaded = group if variable != "commands" else group.commands[str(self.name)]
        return loaded.make_context(info_name, args, parent=parent, **extra)


def _add_lazy(place: str, name: str, line: str | None = None) -> None:
    lazy = type("_LazyCommand", (_LazyCommand,), {"place": place})
    app.command(name, cls=lazy, help=line)(lambda: None)


class _Commands(TyperGroup):
    """All commands; how the client's docstrings begin is read where help is asked for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with a line of each command."""
        for module, names in CLIENT_COMMANDS.items():
            path = Path(__file__).parent / f"{module.replace('.', '/')}.py"
            # Parsed, not imported: all of them take a second to load.
            functions = {
                each.name: each
                for each in ast.parse(path.read_text("utf-8")).body
                if isinstance(each, ast.FunctionDef)
            }
            for name in names.split():
                docstring = ast.get_docstring(functions[name]) or ""
                self.commands[name].help = " ".join(
                    docstring.partition("\n\n")[0].split()
                )
        super().format_help(ctx, formatter)


app = typer.Typer(
    name="relay",
    cls=_Commands,
    help="One exact, priced inventory feed per merchant from many vendors' feeds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
dlq = typer.Typer(help="Look into the dead-letter queue, and settle what is there.")
for module, names in CLIENT_COMMANDS.items():
    for name in names.split():
        _add_lazy(f"{module}:commands", name)
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
        typer.Option("--check", help="Change nothing; say what is not as it must be."),
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Also set right what is there and differs.")
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


for place, line in CLIENT_GROUPS.items():
    _add_lazy(place, place.partition(":")[2].replace("_", "-"), line)


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
