"""The commands of `relay server`: they set up, run, and maintain an installation.

They import their modules when they run, so that each of them starts fast.
"""

import getpass
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from relay_dagster.intake.dead_letters import DeadLetters
    from relay_dagster.tenants.audit import Origin
    from relay_dagster.wiring import Platform

_BAD_USAGE = 2
_BROKEN = 3
_DEMO_PACKAGES = ("asyncssh", "moto", "werkzeug")
commands = typer.Typer()
dlq = typer.Typer(
    help="List, redrive, and discard the messages in the dead-letter queue.",
    no_args_is_help=True,
)
RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN_ID",
        help="ID of the run whose message is in the dead-letter queue.",
    ),
]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)]


@commands.command()
def bootstrap(
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Only compare the queue's attributes with the variables.",
        ),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Also set the queue's attributes to those of the variables.",
        ),
    ] = False,
) -> None:
    """Create missing AWS resources, and print `export NAME=value` lines for them."""
    from relay_dagster.aws.provisioning import bootstrap as resources
    from relay_dagster.settings import Settings

    if check:
        differences = resources.check(Settings.from_env())
        if not differences:
            typer.echo(
                "Nothing to change: the queue's attributes match the variables.",
                err=True,
            )
            return
        for difference in differences:
            typer.echo(difference, err=True)
        raise typer.Exit(1)
    provided = resources.provision(repair=repair)
    if not provided.changes:
        typer.echo("Nothing to change: no resource is missing.", err=True)
    for change in provided.changes:
        typer.echo(change, err=True)
    for name, value in provided.variables:
        typer.echo(f"export {name}={shlex.quote(value)}")


@commands.command()
def api(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Serve the HTTP API until a signal stops it."""
    from relay_dagster.server.app import serve

    serve(host, port)


@commands.command()
def code(host: Host = "127.0.0.1", port: Port = 4266) -> None:
    """Serve the sensors and assets to Dagster, and start runs, until a signal stops it."""
    from relay_dagster.launching.code_server import serve

    serve(host, port)


@commands.command()
def ui(
    host: Annotated[
        str,
        typer.Option("--host", "-h", help="Address to listen on."),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port",
            "-p",
            help="Port to listen on.",
            min=0,
            max=65535,
        ),
    ] = 3000,
    workspace: Annotated[
        list[Path],
        typer.Option(
            "--workspace",
            "-w",
            help="Workspace file of Dagster.",
            exists=True,
        ),
    ] = [Path("workspace.yaml")],  # noqa: B006 - Typer's defaults are never changed
    read_only: Annotated[
        bool,
        typer.Option(
            "--read-only",
            help="Show everything, but allow no actions.",
        ),
    ] = False,
) -> None:
    """Serve Dagster's pages behind a guard against other sites, until a signal stops it."""
    from relay_dagster.orchestration.ui import serve

    serve(host, port, workspace, read_only=read_only)


@commands.command()
def deletions(
    once: Annotated[
        bool,
        typer.Option(
            "--once",
            help="Process the deletions that are due now, and exit.",
        ),
    ] = False,
) -> None:
    """Remove tenants whose deletion is due, instead of the code server."""
    import dagster as dg

    from relay_dagster.maintenance.deletion import DeletionTick
    from relay_dagster.orchestration.dagster_history import DagsterHistory
    from relay_dagster.orchestration.sensors import EVERY_TEN_SECONDS
    from relay_dagster.settings import Settings, SettingsError
    from relay_dagster.wiring import connect

    platform = connect(Settings.from_env())
    try:
        dagster_instance = dg.DagsterInstance.get()
    except dg.DagsterError as error:
        raise SettingsError(
            "DAGSTER_HOME",
            "must name the folder of dagster.yaml",
        ) from error
    with dagster_instance as instance:
        tick = DeletionTick(platform, DagsterHistory(instance))
        typer.echo(tick.run())
        while not once:
            # The sensor that this command replaces waits as long between its ticks.
            time.sleep(EVERY_TEN_SECONDS)
            typer.echo(tick.run())


@commands.command()
def transfers() -> None:
    """Pull vendors' files that are due, in place of the code server, until a signal stops it."""
    from relay_dagster.settings import Settings
    from relay_dagster.transfers.process import serve
    from relay_dagster.wiring import connect

    serve(connect(Settings.from_env()))


def _need_demo() -> None:
    """End the command with one line and status 2 if the extra `demo` is not installed."""
    missing = [name for name in _DEMO_PACKAGES if find_spec(name) is None]
    if missing:
        typer.echo(
            f"This command needs the extra `demo` ({', '.join(missing)}). Install it with: "
            "pip install 'relay-inventory[demo]'",
            err=True,
        )
        raise typer.Exit(_BAD_USAGE)


@commands.command()
def demo(
    output_dir: Annotated[
        Path,
        typer.Option(help="Folder for the artifacts of the run."),
    ] = Path("out/demo"),
    release: Annotated[
        bool,
        typer.Option("--release", help="Release the feed on hold at the end."),
    ] = False,
) -> None:
    """Run the sample tenant end to end on embedded AWS, and then stop everything.

    After the first run, a vendor sends a tenth of its feed. That run goes on
    hold, and is shown.
    """
    _need_demo()
    from relay_dagster.devstack.demo import run_demo

    raise typer.Exit(run_demo(output_dir, release=release))


@commands.command()
def dev(
    api_port: Annotated[int, typer.Option(help="Port of the API.")] = 8000,
    ui_port: Annotated[int, typer.Option(help="Port of Dagster's UI.")] = 3000,
) -> None:
    """Start the stack of the demo with the sample tenant, and run it until Ctrl-C."""
    _need_demo()
    from relay_dagster.devstack.demo import run_dev

    raise typer.Exit(run_dev(api_port=api_port, ui_port=ui_port))


@commands.command()
def doctor(
    reads_bytes: Annotated[
        bool,
        typer.Option(
            "--bytes",
            help="Also read each live feed in full, and check its hash.",
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON."),
    ] = False,
) -> None:
    """Check the invariants of all stored data, without changing anything.

    The exit status is 3 if an invariant is broken.
    """
    import json
    from dataclasses import asdict

    from relay_core.kernel import compiled
    from relay_dagster.client.terminal import Screen
    from relay_dagster.maintenance.doctor import Extent, examine
    from relay_dagster.runs.ports import utc_now
    from relay_dagster.settings import Settings
    from relay_dagster.wiring import connect

    platform = connect(Settings.from_env())
    extent = Extent(reads_bytes=reads_bytes)
    findings = list(examine(platform, utc_now(), extent))
    screen = Screen()
    if not compiled.is_installed and not as_json:
        screen.say(
            "The compiled kernel is not installed, so files are read more slowly. "
            "To compile it, install gcc, and run `make setup` again.",
        )
    if as_json:
        documents = [asdict(finding) for finding in findings]
        typer.echo(json.dumps(documents, indent=2))
    elif findings:
        rows = [
            (finding.invariant, finding.subject, finding.message)
            for finding in findings
        ]
        screen.table(("broken", "of", "what"), rows, folded=("what",))
    else:
        screen.say("No invariant is broken.")
    raise typer.Exit(_BROKEN if findings else 0)


@commands.command()
def recover(
    since: Annotated[
        datetime,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%SZ"],
            help="Point in time of the restored tables, in UTC.",
        ),
    ],
    audit: Annotated[
        str,
        typer.Option(
            "--audit",
            help="Name of the audit table from before the restoration.",
        ),
    ],
) -> None:
    """Complete a restoration of tables: pause all tenants, repeat deletions, and end open runs.

    Afterwards, run `relay server doctor`, and then `relay tenants resume`.
    """
    from dataclasses import replace

    from relay_dagster.aws.dynamodb.audit_store import AuditStore
    from relay_dagster.aws.dynamodb.table import Table
    from relay_dagster.client.terminal import Screen
    from relay_dagster.maintenance import recovery
    from relay_dagster.settings import Settings
    from relay_dagster.wiring import connect

    platform = connect(Settings.from_env())
    table_before = Table(platform.clients, audit)
    audit_before = AuditStore(replace(platform.database, audit=table_before))
    result = recovery.recover(
        platform,
        since.replace(tzinfo=UTC),
        audit_before,
        _operator(platform),
    )
    deleted = [
        f"{entry.action} {entry.target}" for entry in result.deleted_again
    ]
    lost = [f"{action} {count}" for action, count in result.lost.items()]
    screen = Screen()
    screen.say(f"deleted again: {', '.join(deleted) or 'nothing'}")
    screen.say(f"cancelled: {', '.join(result.cancelled) or 'nothing'}")
    screen.say(f"brought back: {', '.join(result.brought_back) or 'nothing'}")
    screen.say(f"lost: {', '.join(lost) or 'nothing'}")


# --- dead letters ---------------------------------------------------------------------


@dlq.command("list")
def dlq_list() -> None:
    """List all dead letters with the status and cause of their runs."""
    from relay_dagster.client.terminal import Screen, cell, instant

    rows = []
    for letter in _dead_letters().all():
        record = letter.record
        rows.append(
            (
                cell(letter.run_id),
                letter.job.tenant_id if letter.job else "not a job",
                str(record.status) if record else "no record",
                cell(record.error_code if record else None),
                letter.cause,
                instant(letter.since),
                cell(letter.message_id),
            ),
        )
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
    """Start a new run for a dead letter's tenant, and remove the message."""
    with _errors_in_one_line():
        record = _dead_letters().redrive(run_id)
    typer.echo(f"Run {record.run_id} of {record.tenant_id} is {record.status}.")


@dlq.command("discard")
def dlq_discard(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN_ID|MESSAGE_ID",
            help="ID of the run, or of the message.",
        ),
    ],
) -> None:
    """Remove a dead letter. Its run stays unchanged."""
    with _errors_in_one_line():
        _dead_letters().discard(name)
    typer.echo(f"The dead letter {name} is removed.")


def _dead_letters() -> "DeadLetters":
    from relay_dagster.intake.dead_letters import DeadLetters
    from relay_dagster.settings import Settings
    from relay_dagster.wiring import connect

    platform = connect(Settings.from_env())
    return DeadLetters(platform, _operator(platform))


def _operator(platform: "Platform") -> "Origin":
    """Return the origin of changes by this command: the identity that AWS names."""
    from relay_dagster.tenants.audit import Actor, ActorKind, Origin

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return Origin(Actor(ActorKind.CLI, platform.clients.caller_arn(), user))


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    """Print an error of a dead letter in one line, and end the command with status 1."""
    from relay_dagster.intake.dead_letters import DeadLetterError, describe
    from relay_dagster.runs.errors import RunError

    try:
        yield
    except (DeadLetterError, RunError) as error:
        typer.echo(describe(error), err=True)
        raise typer.Exit(1) from error
