"""How a tenant stands, for people.

Made from the API's answer alone; nothing is asked for here.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from relay_dagster.client.terminal import Screen, ago, duration, instant
from relay_dagster.wire.tenants import TenantStatus, VendorStanding

_COLUMNS = ("vendor_id", "status", "uploaded", "age", "rows", "refused", "won")


def show_status(screen: Screen, tenant_id: str, status: TenantStatus) -> None:
    """Write what is in force and what comes, then a table of the vendors."""
    screen.say(f"tenant {tenant_id}")
    for line in (*_end(tenant_id, status), *_facts(status)):
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


def _facts(status: TenantStatus) -> Iterator[str]:
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
