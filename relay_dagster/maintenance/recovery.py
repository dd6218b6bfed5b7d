"""Repairs after a restoration of the tables: nobody regains access that was revoked since.

The restored tables are those of one instant. Deletions after it are made again from the entries of
the audit. Runs that were unfinished at it are cancelled, because they would publish older uploads.
Copies of feeds that the restored pointers name are brought back. All runs stay paused
until an operator resumes them. Every step can be repeated.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb.audit_store import AuditStore
from relay_dagster.aws.dynamodb.link_store import LinkKind
from relay_dagster.maintenance.housekeeping import pages_of
from relay_dagster.runs.errors import RunError
from relay_dagster.tenants.audit import Action, AuditEntry, Origin
from relay_dagster.tenants.errors import UnknownTenantError
from relay_dagster.webhooks.changes import UnknownWebhookError, removed
from relay_dagster.wiring import Platform

_ENTRIES_PER_PAGE = 100
_UNFINISHED = (RunStatus.QUEUED, RunStatus.RUNNING)


@dataclass(slots=True)
class Recovery:
    """The effects of a recovery."""

    # Entries whose deletions were made again
    deleted_again: list[AuditEntry] = field(default_factory=list)
    # IDs of the runs that were unfinished at the instant
    cancelled: list[str] = field(default_factory=list)
    # Keys of feeds' copies that had been deleted since
    brought_back: list[str] = field(default_factory=list)
    # The number of actions of each kind that nothing repeats; the audit lists them
    lost: Counter[Action] = field(default_factory=Counter)


def recover(
    platform: Platform,
    since: datetime,
    audit: AuditStore,
    origin: Origin,
) -> Recovery:
    """Repair tables that are restored as of an instant.

    Args:
        platform: The platform with the restored tables.
        since: The instant, aware.
        audit: The audit as it was before the restoration; its later entries are kept.
        origin: Who recovers, for the audit.
    """
    reason = f"tables are restored as of {since.isoformat()}"
    platform.pauses.begin(None, reason, origin=origin)
    recovery = Recovery()
    _repeat_deletions(platform, _entries_since(audit, since), origin, recovery)
    for status in _UNFINISHED:
        for records in pages_of(platform, status):
            for record in records:
                with suppress(RunError):  # it has ended in the meantime
                    platform.ledger.request_cancel(record.run_id, origin=origin)
                    recovery.cancelled.append(record.run_id)
    feeds = platform.runs.feeds(platform.tenants.all_tenant_ids())
    for feed in feeds.values():
        for publication in feed.publications:
            if platform.objects.bring_back(publication.key):
                recovery.brought_back.append(publication.key)
    return recovery


def _repeat_deletions(
    platform: Platform,
    entries: list[AuditEntry],
    origin: Origin,
    recovery: Recovery,
) -> None:
    """Add the entries to the audit, oldest first, and make their deletions again."""
    for entry in entries:
        platform.audit.add(entry)
        delete = _DELETIONS.get(entry.action)
        if delete is None:
            recovery.lost[entry.action] += 1
        elif delete(platform, str(entry.tenant_id), str(entry.target), origin):
            recovery.deleted_again.append(entry)


def _entries_since(audit: AuditStore, since: datetime) -> list[AuditEntry]:
    """Return the entries after an instant, oldest first."""
    entries = [*_newest_first(audit, since)]
    return sorted(entries, key=lambda entry: entry.audit_id)


def _newest_first(audit: AuditStore, since: datetime) -> Iterator[AuditEntry]:
    cursor: str | None = None
    while True:
        page = audit.list_entries(limit=_ENTRIES_PER_PAGE, after=cursor)
        for entry in page.items:
            if entry.occurred_at > since:
                yield entry
        cursor = page.next_cursor
        if cursor is None or (
            page.items and page.items[-1].occurred_at <= since
        ):
            return


# --- the deletions ---------------------------------------------------------------------


def _delete_key(
    platform: Platform,
    tenant_id: str,
    key_id: str,
    origin: Origin,
) -> bool:
    return platform.api_keys.remove(tenant_id, key_id, origin)


def _delete_link(
    kind: LinkKind,
    platform: Platform,
    tenant_id: str,
    link_id: str,
    origin: Origin,
) -> bool:
    return platform.links.remove(tenant_id, link_id, kind, origin)


def _delete_webhook(
    platform: Platform,
    tenant_id: str,
    webhook_id: str,
    origin: Origin,
) -> bool:
    now = platform.database.clock()
    entry = origin.entry(Action.WEBHOOK_DELETED, tenant_id, webhook_id, now)
    with suppress(UnknownWebhookError):
        platform.webhooks.change(
            tenant_id,
            removed(tenant_id, webhook_id),
            entry,
        )
        return True
    return False


def _delete_tenant(
    platform: Platform,
    tenant_id: str,
    _: str,
    origin: Origin,
) -> bool:
    with suppress(UnknownTenantError):
        platform.deletions.ask(tenant_id, timedelta(0), origin)
        return True
    return False


_DELETIONS: Mapping[Action, Callable[[Platform, str, str, Origin], bool]] = {
    Action.KEY_DELETED: _delete_key,
    Action.FEED_LINK_DELETED: partial(_delete_link, LinkKind.FEED),
    Action.SUPPLIER_LINK_DELETED: partial(_delete_link, LinkKind.SUPPLIER),
    Action.WEBHOOK_DELETED: _delete_webhook,
    Action.TENANT_DELETED: _delete_tenant,
}
