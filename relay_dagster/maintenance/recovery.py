"""What follows a restoration of the tables: nobody gets back what was taken away since.

The restored tables are of one instant. What was deleted after it is deleted again, by the entries
of the audit; what was under way at it is cancelled, since it would publish older uploads; copies of
feeds that the restored pointers name are brought back. All runs are paused meanwhile, and stay so:
an operator resumes. Every step may be taken again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import chain

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb.audit_store import AuditStore
from relay_dagster.aws.dynamodb.link_store import LinkKind
from relay_dagster.maintenance.housekeeping import pages_of
from relay_dagster.runs.errors import RunError
from relay_dagster.tenants.audit import Action, AuditEntry, Origin
from relay_dagster.tenants.errors import UnknownTenantError
from relay_dagster.webhooks.changes import UnknownWebhookError, removed
from relay_dagster.wiring import Platform

_PAGE = 100
_UNDER_WAY = (RunStatus.QUEUED, RunStatus.RUNNING)


@dataclass(slots=True)
class Recovery:
    """What a recovery has done."""

    # Entries whose deletions were made again
    deleted_again: list[AuditEntry] = field(default_factory=list)
    # The runs that were under way at the instant, by their ids
    cancelled: list[str] = field(default_factory=list)
    # Keys of feeds' copies that had been deleted since
    brought_back: list[str] = field(default_factory=list)
    # How many acts of each kind nothing makes again; the audit has them
    lost: Counter[Action] = field(default_factory=Counter)


def recover(
    platform: Platform, since: datetime, audit: AuditStore, origin: Origin
) -> Recovery:
    """Make the tables good that are restored as of an instant.

    ``audit`` is the audit as it was before: its entries after the instant are kept.
    """
    platform.pauses.begin(
        None, f"tables are restored as of {since.isoformat()}", origin=origin
    )
    done = Recovery()
    for entry in sorted(_entries(audit, since), key=lambda each: each.audit_id):
        platform.audit.add(entry)
        again = _AGAIN.get(entry.action)
        if again is None:
            done.lost[entry.action] += 1
        elif again(platform, str(entry.tenant_id), str(entry.target), origin):
            done.deleted_again.append(entry)
    for page in chain.from_iterable(
        pages_of(platform, status) for status in _UNDER_WAY
    ):
        for record in page:
            with suppress(RunError):  # it has ended meanwhile
                platform.ledger.request_cancel(record.run_id, origin=origin)
                done.cancelled.append(record.run_id)
    feeds = platform.runs.feeds(platform.tenants.all_tenant_ids())
    for key in (each.key for feed in feeds.values() for each in feed.publications):
        if platform.objects.bring_back(key):
            done.brought_back.append(key)
    return done


def _entries(audit: AuditStore, since: datetime) -> Iterator[AuditEntry]:
    after: str | None = None
    while True:
        page = audit.list_entries(limit=_PAGE, after=after)
        yield from (each for each in page.items if each.occurred_at > since)
        after = page.next_cursor
        if after is None or (page.items and page.items[-1].occurred_at <= since):
            return


# --- what is deleted again ------------------------------------------------------------------------


def _delete_link(
    kind: LinkKind, platform: Platform, tenant_id: str, link_id: str, origin: Origin
) -> bool:
    return platform.links.remove(tenant_id, link_id, kind, origin)


def _delete_webhook(
    platform: Platform, tenant_id: str, webhook_id: str, origin: Origin
) -> bool:
    now = platform.database.clock()
    entry = origin.entry(Action.WEBHOOK_DELETED, tenant_id, webhook_id, now)
    with suppress(UnknownWebhookError):
        platform.webhooks.change(tenant_id, removed(tenant_id, webhook_id), entry)
        return True
    return False


def _delete_tenant(platform: Platform, tenant_id: str, _: str, origin: Origin) -> bool:
    with suppress(UnknownTenantError):
        platform.deletions.ask(tenant_id, timedelta(0), origin)
        return True
    return False


_AGAIN: Mapping[Action, Callable[[Platform, str, str, Origin], bool]] = {
    Action.KEY_DELETED: lambda on, *what: on.api_keys.remove(*what),
    Action.FEED_LINK_DELETED: partial(_delete_link, LinkKind.FEED),
    Action.SUPPLIER_LINK_DELETED: partial(_delete_link, LinkKind.SUPPLIER),
    Action.WEBHOOK_DELETED: _delete_webhook,
    Action.TENANT_DELETED: _delete_tenant,
}
