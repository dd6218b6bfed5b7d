"""Stores tenants' deletions in the tenants table, as ``DELETION#<tenant_id>``.

The queue finds due items by the index of tenants, in a list of its own. What exactly
is removed, and in which order, is decided by ``maintenance/deletion.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from boto3.dynamodb.conditions import Attr, Key

from relay_dagster.aws.dynamodb import codec, schema
from relay_dagster.aws.dynamodb.database import (
    ConditionsFailedError,
    Database,
    is_closed,
)
from relay_dagster.aws.dynamodb.expressions import (
    DOES_NOT_EXIST,
    EXISTS,
    count_up,
)
from relay_dagster.aws.dynamodb.schema import Kind, Partition, config_key
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.aws.dynamodb.transfer_store import PULLS
from relay_dagster.aws.dynamodb.trigger_store import triggers_due_now
from relay_dagster.aws.dynamodb.work_queue import LEASE_ATTRIBUTES, TableQueue
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.tenants import deletion as rules
from relay_dagster.tenants import errors
from relay_dagster.tenants.audit import SYSTEM, Action, AuditEntry, Origin
from relay_dagster.tenants.deletion import Deletion, TenantState

# The tenant is only in the key; otherwise a deletion would be among the tenant's items.
_DELETIONS = codec.Codec(
    kind=Deletion,
    in_key="tenant_id",
    forms={"is_swept": codec.FLAG},
)
_LISTED = Partition(
    schema.TENANTS_BY_CREATION,
    schema.LISTED,
    schema.ALL_DELETIONS,
)
_AFTER_ALL_IDS = "~"


@dataclass(frozen=True, slots=True)
class DeletionIndex:
    """The list of deletions in the index of tenants, sorted by when they are due."""

    table: Table
    sort_attribute: str = schema.CREATED_KEY

    def keys(self, until: datetime, limit: int) -> list[str]:
        """Return up to ``limit`` keys of items due by an instant, longest due first."""
        is_due = Key(schema.CREATED_KEY).lte(
            codec.by_time(until, _AFTER_ALL_IDS),
        )
        keys = [
            str(row[schema.KEY]) for row in self.table.rows(_LISTED, is_due)
        ]
        return keys[:limit]

    def sort_value(self, due_at: datetime, key: str) -> str:
        """Return the value of the sort attribute of an item that is due at an instant."""
        return codec.by_time(due_at, Kind.DELETION.name_in({schema.KEY: key}))


@dataclass(frozen=True, slots=True)
class DeletionStore:
    """The deletions of tenants, and the tombstones of deleted ones."""

    database: Database

    @property
    def queue(self) -> TableQueue[Deletion]:
        """The deletions that are to go on."""
        return TableQueue(
            database=self.database,
            index=DeletionIndex(self.database.tenants),
            role="deletion",
            to_item=_to_item,
            read=_DELETIONS.read,
        )

    def get(self, tenant_id: str) -> Deletion | None:
        """Return a tenant's deletion or tombstone, read consistently, or None."""
        return self.database.tenants.read(
            Kind.DELETION.key(tenant_id),
            _DELETIONS.read,
        )

    def under_way(self, tenant_id: str) -> Deletion | None:
        """Return the deletion of a tenant that still exists, or None."""
        deletion = self.get(tenant_id)
        if deletion is None or not deletion.is_under_way:
            return None
        return deletion

    def listed(self) -> set[str]:
        """Return the tenants that are being deleted, or were deleted a moment ago.

        A tenant that was created again is not among them.
        """
        table = self.database.tenants
        rows = table.rows(_LISTED)
        tenant_ids = {Kind.DELETION.name_in(row) for row in rows}
        deletion_keys = [
            Kind.DELETION.key(tenant_id) for tenant_id in tenant_ids
        ]
        tenant_keys = [Kind.TENANT.key(tenant_id) for tenant_id in tenant_ids]
        deletions = table.items_by_key(deletion_keys)
        # Tenants are read last: one that exists although its deletion was over was
        # created again.
        tenants = table.items_by_key(tenant_keys)
        closed_ids = set()
        for tenant_id in tenant_ids:
            is_gone = Kind.TENANT.key(tenant_id) not in tenants
            if is_gone or is_closed(
                deletions.get(Kind.DELETION.key(tenant_id)),
            ):
                closed_ids.add(tenant_id)
        return closed_ids

    def ask(
        self,
        tenant_id: str,
        grace: timedelta,
        origin: Origin = SYSTEM,
    ) -> Deletion:
        """Begin a tenant's deletion, or return the one in progress.

        Raises:
            UnknownTenantError: There is no such tenant.
        """
        now = self.database.clock()
        deletion = rules.asked(tenant_id, origin.actor.name, now, grace)
        deletion = replace(deletion, revision=1)
        entry = origin.entry(
            Action.TENANT_DELETION_ASKED,
            tenant_id,
            tenant_id,
            now,
            delete_after=deletion.delete_after.isoformat(),
        )
        item = _to_item(deletion)
        # The sweep may have the lease of a tombstone.
        attributes = {*_DELETIONS.names, *item, *LEASE_ATTRIBUTES}
        is_over = DOES_NOT_EXIST | Attr("state").eq(TenantState.DELETED.value)
        table = self.database.tenants
        try:
            self.database.transact(
                table.require("tenant", Kind.TENANT.key(tenant_id), EXISTS),
                table.overwrite("deletion", item, attributes, is_over),
                self.database.audit_write(entry),
            )
        except ConditionsFailedError as error:
            if "tenant" in error.items:
                raise errors.UnknownTenantError(tenant_id) from error
            return self.get(tenant_id) or self.ask(tenant_id, grace, origin)
        return deletion

    def restore(self, tenant_id: str, origin: Origin = SYSTEM) -> None:
        """End a deletion before its time; do nothing if the tenant is not being deleted.

        Raises:
            RestoreTooLateError: The removal of the tenant's data has begun.
            UnknownTenantError: There is no such tenant.
        """
        now = self.database.clock()
        table = self.database.tenants
        deletion = self.under_way(tenant_id)
        if deletion is None:
            if table.item(Kind.TENANT.key(tenant_id)) is None:
                raise errors.UnknownTenantError(tenant_id)
            return
        deletion.refuse_late(now)
        entry = origin.entry(Action.TENANT_RESTORED, tenant_id, tenant_id, now)
        is_closing = Attr("state").eq(TenantState.CLOSING.value)
        is_early = Attr("delete_after").gt(codec.instant_text(now))
        key = Kind.DELETION.key(tenant_id)
        try:
            self.database.transact(
                table.delete("deletion", key, is_closing & is_early),
                triggers_due_now(self.database.runs, tenant_id, now),
                PULLS.planned_now(self.database.runs, tenant_id, now),
                self.database.audit_write(entry),
            )
        except ConditionsFailedError as error:
            if self.under_way(tenant_id) is not None:
                raise errors.RestoreTooLateError(tenant_id) from error
            # Somebody else has just restored it.

    def tenant_is_gone(self, tenant_id: str) -> Write:
        """Return the condition that a deleted tenant was not created again."""
        key = Kind.TENANT.key(tenant_id)
        write = self.database.tenants.require("tenant", key, DOES_NOT_EXIST)
        return replace(
            write,
            refusal=lambda _: errors.TenantExistsError(tenant_id),
        )

    def end_writes(
        self,
        tombstone: Deletion,
        version: int | None,
    ) -> Sequence[Write]:
        """Return the writes that go with a tombstone.

        They remove the tenant and its latest config, which has the version.
        """
        tenant_id = tombstone.tenant_id
        entry = SYSTEM.entry(
            Action.TENANT_DELETED,
            tenant_id,
            tenant_id,
            tombstone.deleted_at or self.database.clock(),
            removed=dict(tombstone.removed),
        )
        writes = [self.database.audit_write(entry)]
        if version is not None:
            table = self.database.tenants
            for key in (
                config_key(tenant_id, version),
                Kind.TENANT.key(tenant_id),
            ):
                writes.append(table.delete("removed", key))
        return writes

    def add_link(self, entry: AuditEntry, links_per_day: int) -> None:
        """Count an upload link; only its audit entry is stored.

        Raises:
            QuotaExceededError: The tenant has as many links today as it may have.
            TenantClosingError: The tenant is being deleted.
        """
        tenant_id = str(entry.tenant_id)
        now = entry.occurred_at.astimezone(UTC)
        key = Kind.LINK_COUNT.key(tenant_id, now.date())
        until = now + 2 * codec.DAY
        update, is_below = count_up("links", links_per_day, until)
        count = self.database.runs.update("links", key, update, is_below)
        audit = self.database.audit_write(entry)
        try:
            self.database.transact_while_active(tenant_id, audit, count)
        except ConditionsFailedError as error:
            if "links" not in error.items:
                raise
            raise errors.QuotaExceededError(
                "UPLOAD_QUOTA_EXCEEDED",
                tenant_id,
                links_per_day,
                codec.seconds_left_of_day(now),
            ) from error


def _to_item(deletion: Deletion) -> codec.Item:
    tenant_id = deletion.tenant_id
    listed = {}
    if deletion.due_at is not None:
        listed[schema.LISTED] = schema.ALL_DELETIONS
        listed[schema.CREATED_KEY] = codec.by_time(deletion.due_at, tenant_id)
    return _DELETIONS.item(Kind.DELETION.key(tenant_id), deletion, **listed)
