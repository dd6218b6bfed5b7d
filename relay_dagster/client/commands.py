"""The client commands' options and flow. What they need is imported when one of them runs.

``relay api`` loads this module, too, to know the commands: nothing heavy belongs at its top.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay_core.domain.codes import RunStatus

if TYPE_CHECKING:
    from relay_dagster.client.api_client import Polled
    from relay_dagster.client.artifact_models import ErrorReport
    from relay_dagster.client.session import Session

ApiUrl = Annotated[str, typer.Option(help="Where the API is.", envvar="RELAY_API_URL")]
ApiKey = Annotated[
    str | None,
    typer.Option(
        help="An admin's or the tenant's key; the variable keeps it out of lists of processes.",
        envvar="RELAY_API_KEY",
        show_default=False,
    ),
]
RunId = Annotated[str, typer.Argument(metavar="RUN_ID", help="The run.", show_default=False)]
ConfigFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="A config, YAML or JSON.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="JSON, for programs.")]
Watch = Annotated[bool, typer.Option("--watch", help="Follow the run to its end.")]
Reason = Annotated[
    str, typer.Option(help="Why; it stands in the run, or in the log.", show_default=False)
]
LOCAL_API = "http://127.0.0.1:8000"

config = typer.Typer(help="Check tenants' configs, store them, and get them back.")


def add_to(app: typer.Typer) -> None:
    """Give an application the client commands."""
    for command in (run, runs, show, errors, explain, release, rollback):
        app.command()(command)
    app.add_typer(config, name="config", no_args_is_help=True)


def run(
    tenant: Annotated[
        str, typer.Argument(metavar="TENANT", help="Whose feeds to run.", show_default=False)
    ],
    vendor: Annotated[
        list[str] | None,
        typer.Option(help="One of the config's vendors; may be repeated.", show_default="all"),
    ] = None,
    watch: Watch = False,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="Asked again with it within a day, it is the same run."),
    ] = None,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Start a run and print its run_id; with --watch exit with 1 unless it succeeds, 3 if held."""
    from relay_dagster.client.session import connected

    with connected(api_url, api_key) as session:
        polled = _started(session, tenant, vendor or [], idempotency_key)
        run_id = polled.run.run_id
        session.screen.say(run_id)
        if watch:
            raise typer.Exit(_watched(session, polled))
        if session.screen.is_terminal:
            session.screen.say(f"follow it with: relay show {run_id} --watch", style="dim")


def runs(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    status: Annotated[RunStatus | None, typer.Option(help="Only those that stand so.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 20,
    as_json: Json = False,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """List runs, newest first."""
    from relay_dagster.client.session import connected
    from relay_dagster.client.views.runs import show_runs

    with connected(api_url, api_key) as session:
        found = list(session.api.runs(tenant, status, limit))
        if as_json:
            session.screen.show_json([each.as_json() for each in found])
        else:
            show_runs(session.screen, found)


def show(
    run_id: RunId,
    watch: Watch = False,
    as_json: Json = False,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Show a run: how it stands, what it counted, what it wrote; --watch as for `relay run`."""
    from relay_dagster.client.run_watch import exit_status
    from relay_dagster.client.run_watch import watch as watched
    from relay_dagster.client.session import connected
    from relay_dagster.client.views.runs import RunPage

    with connected(api_url, api_key) as session:
        polled = session.api.run(run_id)
        ended = watched(session, polled, silently=as_json) if watch else polled.run
        page = RunPage(session, ended)
        if as_json:
            session.screen.show_json(page.as_json())
        else:
            page.show()
        if watch:
            raise typer.Exit(exit_status(session, ended))


def errors(
    run_id: RunId, as_json: Json = False, api_url: ApiUrl = LOCAL_API, api_key: ApiKey = None
) -> None:
    """Show what went wrong in a run: each cause once, with its count, samples and what to do."""
    from relay_dagster.client.errors_view import causes_json, headline, show_causes
    from relay_dagster.client.session import connected

    with connected(api_url, api_key) as session:
        found = session.api.run(run_id).run
        links = session.api.artifacts(run_id)
        report = _error_report(links)
        if as_json:
            session.screen.show_json(causes_json(found, report, links.get("invalid_rows")))
            return
        session.screen.say(headline(found, report))
        if report is not None:
            show_causes(session.screen, found, report, links)


def explain(
    run_id: RunId,
    sku: Annotated[
        str,
        typer.Argument(metavar="SKU", help="As the feed has it.", show_default=False),
    ],
    as_json: Json = False,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Show why a SKU's row of a run's feed is what it is: each step of the price, every offer."""
    from relay_dagster.client.session import connected
    from relay_dagster.client.views.explanations import show_explanation

    with connected(api_url, api_key) as session:
        told = session.api.explain(run_id, sku)
        if as_json:
            session.screen.show_json(told.as_json())
        else:
            show_explanation(session.screen, told)


def release(
    run_id: RunId,
    reason: Reason,
    sha256: Annotated[
        str | None,
        typer.Option(help="Of the feed that was looked at.", show_default="asks at a terminal"),
    ] = None,
    guard: Annotated[
        list[str] | None,
        typer.Option(help="One that tripped, all must be named; may be repeated."),
    ] = None,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Publish the feed that a run holds back; shows it and asks, unless hash and guards are given.

    Where nobody can be asked, the command that releases what is shown is printed, with status 1.
    """
    from relay_dagster.client.errors import BadUsageError
    from relay_dagster.client.holds import Reviewed
    from relay_dagster.client.holds import release as released
    from relay_dagster.client.session import connected

    with connected(api_url, api_key) as session:
        if (sha256 is None) is not (not guard):
            raise BadUsageError("--sha256 and --guard go together: they say what was looked at")
        reviewed = Reviewed(sha256, tuple(guard)) if sha256 is not None and guard else None
        released(session, run_id, reviewed, reason)


def rollback(
    tenant: Annotated[
        str, typer.Argument(metavar="TENANT", help="Whose feed.", show_default=False)
    ],
    run_id: RunId,
    reason: Reason,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Publish the feed of one of the tenant's earlier runs again."""
    from relay_dagster.client.holds import roll_back
    from relay_dagster.client.session import connected

    with connected(api_url, api_key) as session:
        roll_back(session, tenant, run_id, reason)


@config.command()
def check(
    file: ConfigFile,
    tenant: Annotated[
        str | None, typer.Option(help="Whose config it is; else its tenant_id.")
    ] = None,
    as_json: Json = False,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Judge a config against the rules and the vendors' latest files; stores nothing."""
    from relay_dagster.client.config_files import json_text, read_config_file, tenant_of
    from relay_dagster.client.session import connected
    from relay_dagster.client.views.configs import show_check

    with connected(api_url, api_key) as session:
        document = read_config_file(file)
        found = session.api.check_config(tenant_of(document, tenant), json_text(document))
        if as_json:
            session.screen.show_json(found.as_json())
        else:
            show_check(session.screen, found)
        raise typer.Exit(0 if found.valid else 1)


@config.command()
def put(
    file: ConfigFile,
    if_match: Annotated[
        int | None,
        typer.Option(
            help="Only where this is the latest version, so nobody's is passed over.", min=1
        ),
    ] = None,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Store a config as its tenant's new version, and print that version."""
    from relay_dagster.client.config_files import json_text, read_config_file, tenant_of
    from relay_dagster.client.session import connected

    with connected(api_url, api_key) as session:
        document = read_config_file(file)
        stored = session.api.put_config(tenant_of(document, None), json_text(document), if_match)
        session.screen.say(f"{stored.tenant_id}: config version {stored.config_version}")


@config.command()
def get(
    tenant: Annotated[
        str, typer.Argument(metavar="TENANT", help="Whose config.", show_default=False)
    ],
    version: Annotated[
        int | None, typer.Option(help="Which version.", show_default="the latest", min=1)
    ] = None,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Print a config as JSON, as it takes effect; its version goes to standard error."""
    from relay_dagster.client.session import connected
    from relay_dagster.client.terminal import instant

    with connected(api_url, api_key) as session:
        stored = session.api.config(tenant, version)
        session.screen.show_json(stored.tenant_config)
        when = instant(stored.stored_at)
        session.screen.complain(f"config version {stored.config_version}, stored {when}")


def _started(
    session: "Session", tenant: str, vendors: list[str], idempotency_key: str | None
) -> "Polled":
    from relay_dagster.client.errors import UnreachableError

    try:
        return session.api.start_run(tenant, vendors, idempotency_key)
    except UnreachableError as error:
        if error.was_sent:
            session.screen.complain(
                f"whether the run was started is not known; see: relay runs --tenant {tenant}"
            )
        raise


def _watched(session: "Session", polled: "Polled") -> int:
    from relay_dagster.client.run_watch import exit_status, watch
    from relay_dagster.client.terminal import between

    ended = watch(session, polled)
    if ended.succeeded:
        took = between(ended.started_at, ended.finished_at)
        session.screen.say(f"{ended.status} in {took}; more with: relay show {ended.run_id}")
    elif ended.is_held:
        session.screen.complain(f"what holds it, what releases it: relay show {ended.run_id}")
    elif ended.error_code:
        session.screen.complain(f"causes and samples: relay errors {ended.run_id}")
    return exit_status(session, ended)


def _error_report(links: dict[str, str]) -> "ErrorReport | None":
    from relay_dagster.client.artifact_models import ErrorReport
    from relay_dagster.client.links import read_report

    link = links.get("errors")
    return None if link is None else read_report(ErrorReport, "errors", link)
