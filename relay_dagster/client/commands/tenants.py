"""Commands about tenants: list them, show the status of one, delete and restore it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, NamedTuple

import typer

from relay_core.domain.input_names import name_of
from relay_core.samples.starter import starter_config
from relay_dagster.client import terminal
from relay_dagster.client.api_client import tenant_path
from relay_dagster.client.config_files import json_text
from relay_dagster.client.errors import ApiError, ClientError
from relay_dagster.client.session import (
    Output,
    Session,
    argument,
    command,
    option,
)
from relay_dagster.client.terminal import instant
from relay_dagster.wire import tenants as wire
from relay_dagster.wire.access import NewTenantKey

Tenant = Annotated[str, argument("TENANT", "Tenant ID.")]
_VENDOR_COLUMNS: dict[str, terminal.Column] = {
    "vendor_id": "vendor_id",
    "status": lambda vendor: vendor.status or "-",
    "uploaded": "uploaded_at",
    "age": lambda vendor: _age_in_hours(vendor.age_hours),
    "rows": lambda vendor: terminal.cell_of_count(vendor.rows),
    "rejected": lambda vendor: terminal.cell_of_count(vendor.invalid_rows),
    "won": lambda vendor: terminal.cell_of_count(vendor.skus_won),
}
_PULL_COLUMNS: dict[str, terminal.Column] = {
    "vendor_id": "name",
    "new file": lambda row: instant(row.status.pull.last_success_at),
    "unchanged": lambda row: instant(row.status.pull.last_unchanged_at),
    "next": lambda row: instant(row.status.pull.next_at),
    "failures": lambda row: terminal.cell_of_count(row.status.pull.failures),
    "last error": lambda row: row.status.pull.last_error or "-",
}
_PART_COLUMNS: dict[str, terminal.Column] = {
    "vendor_id/part_id": "name",
    "uploaded": lambda row: instant(row.status.uploaded_at),
    "age": lambda row: _age_in_hours(row.status.age_hours),
}


class _Input(NamedTuple):
    """The files of a vendor, or of one of its parts, in a table."""

    name: str  # as commands call it
    status: wire.VendorStanding | wire.PartStanding


_ALL_SCOPES = ("read", "run", "config", "release", "upload", "keys")

commands = typer.Typer()


def _last_status(tenant: wire.ListedTenant) -> str:
    return "-" if tenant.last_run is None else tenant.last_run.status


def _last_end(tenant: wire.ListedTenant) -> str:
    return (
        "-" if tenant.last_run is None else instant(tenant.last_run.finished_at)
    )


def _last_error_code(tenant: wire.ListedTenant) -> str:
    error_code = None if tenant.last_run is None else tenant.last_run.error_code
    return error_code or "-"


_TENANTS = terminal.TableView(
    {
        "tenant_id": "tenant_id",
        "state": "state",
        "config": "config_version",
        "published": "published_at",
        "last run": _last_status,
        "ended": _last_end,
        "error_code": _last_error_code,
    },
    folded=("tenant_id",),
    empty="There are no tenants.",
)


@command(commands, "list")
def list_tenants(session: Session) -> Output:
    """List all tenants with their config, live feed, and last run."""
    all_tenants = list(session.api.tenants())
    return Output(
        all_tenants,
        lambda: _TENANTS.show(session.screen, all_tenants),
    )


@command(commands)
def new(
    session: Session,
    tenant: Tenant,
    timezone: Annotated[
        str,
        option(
            "Time zone of schedules and dates, such as Europe/Berlin.",
            show_default=False,
            metavar="ZONE",
        ),
    ],
    currency: Annotated[
        str,
        option(
            "Currency of the feed, such as EUR.",
            show_default=False,
            metavar="CODE",
        ),
    ],
) -> Output:
    """Create a tenant without vendors, and print the page's address and a key for it.

    The key has all scopes and is shown only this once. This command needs an admin key.
    """
    config = starter_config(tenant, timezone, currency)
    session.api.request(
        wire.ConfigVersion,
        "POST",
        "/v1/tenants",
        content=json_text(config).encode(),
        headers={"Content-Type": "application/json"},
    )
    new_key = _first_key(session, tenant)
    document = {
        "tenant_id": tenant,
        "page_url": f"{session.api.url}/app",
        "key_id": new_key.key_id,
        "api_key": new_key.api_key,
    }
    return Output(document, lambda: _show_new(session.screen, document))


@command(commands)
def status(session: Session, tenant: Tenant) -> Output:
    """Show a tenant's live feed, runs, and vendors.

    For a tenant that was deleted, show the deletion.
    """
    try:
        tenant_status = session.api.request(
            wire.TenantStatus,
            "GET",
            tenant_path(tenant, "status"),
        )
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            # There may be no deletion, or one that the key may not read. Then the first
            # error says enough.
            with suppress(ApiError):
                deletion = session.api.request(
                    wire.TenantDeletion,
                    "GET",
                    tenant_path(tenant, "deletion"),
                )
                return _deletion_output(session, deletion)
        raise
    return Output(
        tenant_status,
        lambda: show_status(session.screen, tenant, tenant_status),
    )


@command(commands)
def delete(
    session: Session,
    tenant: Tenant,
    confirm: Annotated[
        str,
        option(
            "Tenant ID again, to confirm.",
            show_default=False,
            metavar="TENANT",
        ),
    ],
) -> Output:
    """Delete a tenant with all its data. It can be restored for some days."""
    deletion = session.api.request(
        wire.TenantDeletion,
        "DELETE",
        tenant_path(tenant),
        params={"confirm": confirm},
    )
    return _deletion_output(session, deletion)


@command(commands)
def restore(session: Session, tenant: Tenant) -> Output:
    """Restore a deleted tenant, with its keys and triggers."""
    restored = session.api.request(
        wire.TenantStanding,
        "POST",
        tenant_path(tenant, "restore"),
    )
    line = f"Tenant {restored.tenant_id} is {restored.state}."
    return Output(restored, lambda: session.screen.say(line))


def show_status(
    screen: terminal.Screen,
    tenant_id: str,
    status: wire.TenantStatus,
) -> None:
    """Write a tenant's live feed and coming runs, then a table of the vendors."""
    screen.details(f"tenant {tenant_id}", _status_lines(tenant_id, status))
    if not status.vendors:
        screen.say()
        screen.say("No run of all vendors has read their uploads yet.")
        return
    screen.section("vendors, as of the last run of all vendors")
    columns = dict(_VENDOR_COLUMNS)
    if screen.is_terminal:
        columns["uploaded"] = _upload_age
    terminal.TableView(columns, folded=("vendor_id",)).show(
        screen,
        status.vendors,
    )
    parts = list(_parts_of(status.vendors))
    if parts:
        screen.section("newest file of each part")
        view = terminal.TableView(_PART_COLUMNS, folded=("vendor_id/part_id",))
        view.show(screen, parts)
    pulled_inputs = []
    for vendor in status.vendors:
        inputs = [_Input(vendor.vendor_id, vendor)]
        # The first part is the vendor's own file.
        inputs += list(_parts_of([vendor]))[1:]
        pulled_inputs += [row for row in inputs if row.status.pull is not None]
    if pulled_inputs:
        screen.section("vendors whose files are pulled")
        view = terminal.TableView(
            _PULL_COLUMNS,
            folded=("vendor_id", "last error"),
        )
        view.show(screen, pulled_inputs)


def _parts_of(vendors: Sequence[wire.VendorStanding]) -> Iterator[_Input]:
    """Yield the parts of vendors of several files, each vendor's own file first."""
    for vendor in vendors:
        for part in vendor.parts or ():
            yield _Input(name_of(vendor.vendor_id, part.part_id), part)


def _age_in_hours(hours: int | None) -> str:
    return "-" if hours is None else f"{hours:,} h"


def _first_key(session: Session, tenant: str) -> NewTenantKey:
    """Return a new key of a tenant that was just created."""
    try:
        return session.api.request(
            NewTenantKey,
            "POST",
            tenant_path(tenant, "api-keys"),
            json={"scopes": _ALL_SCOPES},
        )
    except ClientError:
        session.screen.complain(
            f"Tenant {tenant} is created, but it has no key. To create one: "
            f"relay keys create {tenant}",
        )
        raise


def _show_new(screen: terminal.Screen, document: Mapping[str, str]) -> None:
    """Write the address of a new tenant's page, and the key for it."""
    screen.say(f"Page: {document['page_url']}", whole=True)
    screen.say(f"Key:  {document['api_key']}", whole=True)
    screen.complain(
        f"Tenant {document['tenant_id']} is created. Sign in to the page with the key, "
        "which is shown only this once.",
    )


def _upload_age(vendor: wire.VendorStanding) -> str:
    if vendor.uploaded_at is None:
        return "-"
    return terminal.short_age(vendor.uploaded_at, datetime.now(UTC))


def _status_lines(tenant_id: str, status: wire.TenantStatus) -> Iterator[str]:
    """Yield lines about a tenant's state, live feed, and runs."""
    if status.state == "CLOSING":
        until = instant(status.delete_after)
        yield (
            f"CLOSING; until {until}, you can restore it with: relay tenants restore "
            f"{tenant_id}"
        )
    elif status.state != "ACTIVE":
        yield f"{status.state}; it is being removed permanently"
    if status.published_run_id is None:
        yield "live feed: none yet"
    else:
        published_at = instant(status.published_at)
        age = terminal.duration(status.feed_age_seconds or 0)
        yield (
            f"live feed: run {status.published_run_id}, published {published_at} ({age} "
            "ago)"
        )
    last_run = status.last_run
    if last_run is not None:
        error_code = f", {last_run.error_code}" if last_run.error_code else ""
        finished_at = instant(last_run.finished_at)
        yield (
            f"last run: {last_run.run_id}, {last_run.status}{error_code}, ended "
            f"{finished_at}"
        )
    if status.held_run_id is not None:
        yield f"feed on hold; review it with: relay runs show {status.held_run_id}"
    if status.active_run_id is not None:
        yield (
            "run in progress; follow it with: relay runs show "
            f"{status.active_run_id} --watch"
        )
    if status.next_run_at is not None:
        yield f"next scheduled run: {instant(status.next_run_at)}"


def _deletion_output(session: Session, deletion: wire.TenantDeletion) -> Output:
    title = f"Tenant {deletion.tenant_id} is {deletion.state}."
    return Output(
        deletion,
        lambda: session.screen.details(title, _deletion_lines(deletion)),
    )


def _deletion_lines(deletion: wire.TenantDeletion) -> Iterator[str]:
    """Yield lines about the deletion of a tenant."""
    if deletion.state == "CLOSING":
        yield f"Until {instant(deletion.delete_after)}, you can restore it with:"
        yield f"relay tenants restore {deletion.tenant_id}"
    elif deletion.deleted_at is not None:
        deleted_at = instant(deletion.deleted_at)
        yield f"It was deleted at {deleted_at}. Its ID can be used again."
    else:
        step = deletion.step or "not started"
        yield f"It is being removed permanently. Current step: {step}"
    counts = [
        f"{step} {count:,}" for step, count in deletion.removed.items() if count
    ]
    if counts:
        yield f"Removed so far: {', '.join(counts)}"
