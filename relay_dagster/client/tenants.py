"""A tenant: how it stands, its deletion, and its restoring."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

import typer

from relay_dagster.client.api_client import ApiClient, read_answer, segment
from relay_dagster.client.errors import RefusedError
from relay_dagster.client.session import Session, Shown, command
from relay_dagster.client.terminal import Screen, ago, duration, instant
from relay_dagster.wire.tenants import (
    TenantDeletion,
    TenantStanding,
    TenantStatus,
    VendorStanding,
)

Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Which one.", show_default=False)]
_COLUMNS = ("vendor_id", "status", "uploaded", "age", "rows", "refused", "won")

tenant = typer.Typer()


@command(tenant)
def status(session: Session, tenant: Tenant) -> Shown:
    """Show a tenant's feed, what is under way, and what each vendor gave to the last run.

    Of one that was deleted, when that was.
    """
    found = TenantCalls(session.api, tenant).status()
    if isinstance(found, TenantDeletion):
        return _deletion(session, found)
    return Shown(found, lambda: show_status(session.screen, tenant, found))


@command(tenant)
def delete(
    session: Session,
    tenant: Tenant,
    confirm: Annotated[
        str, typer.Option(metavar="TENANT", help="Its id once more.", show_default=False)
    ],
) -> Shown:
    """Delete a tenant and all that it has; for some days it can be restored."""
    return _deletion(session, TenantCalls(session.api, tenant).delete(confirm))


@command(tenant)
def restore(session: Session, tenant: Tenant) -> Shown:
    """Take a tenant's deletion back: its keys work again, and its triggers go on."""
    restored = TenantCalls(session.api, tenant).restore()
    line = f"tenant {restored.tenant_id} is {restored.state}"
    return Shown(restored, lambda: session.screen.say(line))


def _deletion(session: Session, deletion: TenantDeletion) -> Shown:
    return Shown(deletion, lambda: show_deletion(session.screen, deletion))


class TenantCalls:
    """The deletion of one tenant.

    Args:
        api: speaks to the API.
        tenant_id: which tenant.

    Raises:
        BadUsageError: it cannot be an id.
    """

    def __init__(self, api: ApiClient, tenant_id: str) -> None:
        self._api = api
        self._path = f"/v1/tenants/{segment(tenant_id)}"

    def delete(self, confirm: str) -> TenantDeletion:
        """Delete it, where its id is confirmed."""
        sent = self._api.send("DELETE", self._path, params={"confirm": confirm})
        return read_answer(TenantDeletion, sent)

    def restore(self) -> TenantStanding:
        """Take its deletion back."""
        return read_answer(TenantStanding, self._api.send("POST", f"{self._path}/restore"))

    def status(self) -> TenantStatus | TenantDeletion:
        """Return how it stands; of one that is gone, how it went, if that is known."""
        try:
            return read_answer(TenantStatus, self._api.send("GET", f"{self._path}/status"))
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            with suppress(RefusedError):  # there was none, or it is not for this key
                return read_answer(TenantDeletion, self._api.send("GET", f"{self._path}/deletion"))
            raise


def show_deletion(screen: Screen, deletion: TenantDeletion) -> None:
    """Write how far a tenant's deletion is, and what can be done about it."""
    screen.say(f"tenant {deletion.tenant_id} is {deletion.state}")
    for line in _facts(deletion):
        screen.say(line, indent=2)


def _facts(deletion: TenantDeletion) -> Iterator[str]:
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


def show_status(screen: Screen, tenant_id: str, status: TenantStatus) -> None:
    """Write what is in force and what comes, then a table of the vendors."""
    screen.say(f"tenant {tenant_id}")
    for line in (*_end(tenant_id, status), *_standing(status)):
        screen.say(line, indent=2)
    screen.say()
    if not status.vendors:
        screen.say("no run of all vendors has looked at their uploads yet")
        return
    screen.say("vendors, as the last run of all of them found them", style="bold")
    rows = [_row(screen, vendor) for vendor in status.vendors]
    screen.table(_COLUMNS, rows, folded=("vendor_id",))


def _end(tenant_id: str, status: TenantStatus) -> Iterator[str]:
    """Yield what is said of a tenant that is not there to stay."""
    if status.state == "CLOSING":
        until = instant(status.delete_after)
        yield f"it is CLOSING; until {until} it can be restored: relay tenant restore {tenant_id}"
    elif status.state != "ACTIVE":
        yield f"it is {status.state}: it is being removed, for good"


def _standing(status: TenantStatus) -> Iterator[str]:
    if status.published_run_id is None:
        yield "no feed is published yet"
    else:
        since = f"{instant(status.published_at)}, {duration(status.feed_age_seconds or 0)}"
        yield f"the feed of run {status.published_run_id} is in force since {since}"
    if status.held_run_id is not None:
        yield f"a feed is held back; look at it with: relay show {status.held_run_id}"
    if status.active_run_id is not None:
        yield f"a run is under way; follow it with: relay show {status.active_run_id} --watch"
    if status.next_run_at is not None:
        yield f"the schedule is due next at {instant(status.next_run_at)}"


def _row(screen: Screen, vendor: VendorStanding) -> tuple[str, ...]:
    uploaded = instant(vendor.uploaded_at)
    if screen.is_terminal and vendor.uploaded_at is not None:
        uploaded = ago(vendor.uploaded_at, datetime.now(UTC))
    age = "-" if vendor.age_hours is None else f"{vendor.age_hours:,} h"
    counts = (vendor.rows, vendor.invalid_rows, vendor.skus_won)
    counted = ("-" if count is None else f"{count:,}" for count in counts)
    return (vendor.vendor_id, vendor.status, uploaded, age, *counted)
