"""Tenants: their list, how one stands, pauses of its runs, its deletion and its restoring."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

import typer

from relay_dagster.client.api_client import tenant_path
from relay_dagster.client.errors import BadUsageError, RefusedError
from relay_dagster.client.session import Session, Shown, argument, command, option
from relay_dagster.client.terminal import (
    Screen,
    TableView,
    ago,
    cell_of_count,
    duration,
    instant,
)
from relay_dagster.wire import tenants as wire

_PAUSE = "/v1/admin/pause"
Tenant = Annotated[str, argument("TENANT", "Which one.")]
_COLUMNS: dict[str, str | Callable[[Any], str]] = {
    "vendor_id": "vendor_id",
    "status": lambda vendor: vendor.status or "-",
    "uploaded": "uploaded_at",
    "age": lambda vendor: (
        "-" if vendor.age_hours is None else f"{vendor.age_hours:,} h"
    ),
    "rows": lambda vendor: cell_of_count(vendor.rows),
    "refused": lambda vendor: cell_of_count(vendor.invalid_rows),
    "won": lambda vendor: cell_of_count(vendor.skus_won),
}
"""Of the table of vendors."""
_PULLS: dict[str, str | Callable[[Any], str]] = {
    "vendor_id": "vendor_id",
    "new file": lambda vendor: instant(vendor.pull.last_success_at),
    "unchanged": lambda vendor: instant(vendor.pull.last_unchanged_at),
    "next": lambda vendor: instant(vendor.pull.next_at),
    "failures": lambda vendor: cell_of_count(vendor.pull.failures),
    "last error": lambda vendor: vendor.pull.last_error or "-",
}

tenant = typer.Typer()
commands = typer.Typer()

_TENANTS = TableView(
    {
        "tenant_id": "tenant_id",
        "state": "state",
        "config": "config_version",
        "published": "published_at",
        "last run": lambda each: "-" if each.last_run is None else each.last_run.status,
        "ended": lambda each: instant(each.last_run and each.last_run.finished_at),
        "error_code": lambda each: (each.last_run and each.last_run.error_code) or "-",
    },
    folded=("tenant_id",),
    empty="there is no tenant",
)
_PAUSES = TableView(
    {
        "tenant_id": lambda each: each.tenant_id or "all",
        "since": "since",
        "reason": "reason",
        "public reason": "public_reason",
    },
    folded=("tenant_id", "reason", "public reason"),
    empty="no run creation is paused",
)
_OrAll = Annotated[str | None, argument("TENANT", "Whose; by default all.")]


@command(commands)
def tenants(session: Session) -> Shown:
    """List all tenants: the config, since when a feed is in force, the last run that ended."""
    found = list(session.api.tenants())
    return Shown(found, lambda: _TENANTS.show(session.screen, found))


@command(commands)
def pause(
    session: Session,
    tenant: _OrAll = None,
    reason: Annotated[
        str | None, option("Shown to admins alone.", default=False)
    ] = None,
    public_reason: Annotated[
        str | None, option("The reason for tenants.", default=False)
    ] = None,
) -> Shown:
    """Stop new runs, of one tenant or of all; with nothing to pause and no reason, list pauses."""
    if reason is None:
        if tenant is not None or public_reason is not None:
            raise BadUsageError(
                "--reason says why; without anything, the pauses are listed"
            )
        pages = session.api.pages(wire.PauseList, _PAUSE)
        listed = [each for page in pages for each in page.pauses]
        document = {"pauses": [each.as_json() for each in listed]}
        return Shown(document, lambda: _PAUSES.show(session.screen, listed))
    order = {"tenant_id": tenant, "reason": reason, "public_reason": public_reason}
    made = session.api.ask(wire.Pausing, "POST", _PAUSE, json=order)
    line = f"run creation of {_whose(tenant)} is paused since {instant(made.paused_at)}"
    return Shown(made, lambda: session.screen.say(line))


@command(commands)
def resume(
    session: Session,
    tenant: _OrAll = None,
    reason: Annotated[
        str | None, option("It stands in the audit.", default=False)
    ] = None,
) -> None:
    """Let new runs in again, of one tenant, or end the pause of all; the other stays in force."""
    session.api.send("DELETE", _PAUSE, json={"tenant_id": tenant, "reason": reason})
    session.screen.say(f"run creation of {_whose(tenant)} is not paused any more")


def _whose(tenant_id: str | None) -> str:
    return "all tenants" if tenant_id is None else f"tenant {tenant_id}"


@command(tenant)
def status(session: Session, tenant: Tenant) -> Shown:
    """Show a tenant's feed, what is under way, and what each vendor gave to the last run.

    Of one that was deleted, when that was.
    """
    try:
        found = session.api.ask(wire.TenantStatus, "GET", tenant_path(tenant, "status"))
    except RefusedError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            with suppress(RefusedError):  # there was none, or it is not for this key
                path = tenant_path(tenant, "deletion")
                return _deletion(
                    session, session.api.ask(wire.TenantDeletion, "GET", path)
                )
        raise
    return Shown(found, lambda: show_status(session.screen, tenant, found))


@command(tenant)
def delete(
    session: Session,
    tenant: Tenant,
    confirm: Annotated[
        str, option("Its id once more.", default=False, metavar="TENANT")
    ],
) -> Shown:
    """Delete a tenant and all that it has; for some days it can be restored."""
    path, asked = tenant_path(tenant), {"confirm": confirm}
    return _deletion(
        session, session.api.ask(wire.TenantDeletion, "DELETE", path, params=asked)
    )


@command(tenant)
def restore(session: Session, tenant: Tenant) -> Shown:
    """Take a tenant's deletion back: its keys work again, and its triggers go on."""
    restored = session.api.ask(
        wire.TenantStanding, "POST", tenant_path(tenant, "restore")
    )
    line = f"tenant {restored.tenant_id} is {restored.state}"
    return Shown(restored, lambda: session.screen.say(line))


def _deletion(session: Session, deletion: wire.TenantDeletion) -> Shown:
    title = f"tenant {deletion.tenant_id} is {deletion.state}"
    return Shown(deletion, lambda: session.screen.details(title, _facts(deletion)))


def _facts(deletion: wire.TenantDeletion) -> Iterator[str]:
    if deletion.state == "CLOSING":
        yield f"until {instant(deletion.delete_after)} it can be restored with:"
        yield f"relay tenant restore {deletion.tenant_id}"
    elif deletion.deleted_at is not None:
        yield f"it was deleted at {instant(deletion.deleted_at)}; its id can be used anew"
    else:
        yield f"it is being removed, for good; now: {deletion.step or 'the beginning'}"
    counted = [f"{step} {count:,}" for step, count in deletion.removed.items() if count]
    if counted:
        yield f"removed so far: {', '.join(counted)}"


def show_status(screen: Screen, tenant_id: str, status: wire.TenantStatus) -> None:
    """Write what is in force and what comes, then a table of the vendors."""
    screen.details(f"tenant {tenant_id}", _standing(tenant_id, status))
    if not status.vendors:
        screen.say()
        screen.say("no run of all vendors has looked at their uploads yet")
        return
    screen.section("vendors, as the last run of all of them found them")
    columns = dict(_COLUMNS)
    if screen.is_terminal:
        columns["uploaded"] = lambda each: (
            "-"
            if each.uploaded_at is None
            else ago(each.uploaded_at, datetime.now(UTC))
        )
    TableView(columns, folded=("vendor_id",)).show(screen, status.vendors)
    pulled = [each for each in status.vendors if each.pull is not None]
    if pulled:
        screen.section("vendors whose files are pulled")
        TableView(_PULLS, folded=("vendor_id", "last error")).show(screen, pulled)


def _standing(tenant_id: str, status: wire.TenantStatus) -> Iterator[str]:
    if status.state == "CLOSING":
        until = instant(status.delete_after)
        yield f"it is CLOSING; until {until} it can be restored: relay tenant restore {tenant_id}"
    elif status.state != "ACTIVE":
        yield f"it is {status.state}: it is being removed, for good"
    if status.published_run_id is None:
        yield "no feed is published yet"
    else:
        since = (
            f"{instant(status.published_at)}, {duration(status.feed_age_seconds or 0)}"
        )
        yield f"the feed of run {status.published_run_id} is in force since {since}"
    if status.last_run is not None:
        last = status.last_run
        code = f", {last.error_code}" if last.error_code else ""
        when = instant(last.finished_at)
        yield f"the last run {last.run_id} ended {last.status}{code} at {when}"
    if status.held_run_id is not None:
        yield f"a feed is held back; look at it with: relay show {status.held_run_id}"
    if status.active_run_id is not None:
        yield f"a run is under way; follow it with: relay show {status.active_run_id} --watch"
    if status.next_run_at is not None:
        yield f"the schedule is due next at {instant(status.next_run_at)}"
