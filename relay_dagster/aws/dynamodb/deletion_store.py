"""Deletions of tenants in the tenants table, ``DELETION#<tenant_id>``; in the end the tombstone.

What is due is found by the index of tenants, in a list of its own. The removal of what a tenant
has is `tenant_data`, and the order in which it goes ``maintenance/deletion.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from relay_dagster.aws.dynamodb import codec, schema
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.schema import Kind, config_key
from relay_dagster.aws.dynamodb.table import IS_THERE, UNREADABLE_AGAIN
from relay_dagster.aws.dynamodb.tenant_errors import UnknownTenantError, UploadQuotaExceededError
from relay_dagster.aws.dynamodb.transactions import ConditionsFailedError, Write
from relay_dagster.aws.dynamodb.trigger_store import triggers_due_now
from relay_dagster.aws.error_mapping import maps_aws_errors
from relay_dagster.runs.errors import RestoreTooLateError
from relay_dagster.tenants import deletion as rules
from relay_dagster.tenants.audit import SYSTEM, Action, AuditEntry, Origin
from relay_dagster.tenants.deletion import Deletion, TenantState

# Its tenant is in its key alone: or it would be found among the tenant's items.
_DELETIONS = codec.Codec(kind=Deletion, in_key="tenant_id", forms={"is_swept": codec.FLAG})
_STATE = {"#state": "state"}


@dataclass(frozen=True, slots=True)
class DeletionStore:
    """Which tenants are being deleted, and how far that is."""

    database: Database

    # --- reads, all consistent but for the lists ------------------------------------------------

    def get(self, tenant_id: str) -> Deletion | None:
        """Return a tenant's deletion or tombstone; None where there is none."""
        return self.database.tenants.read(Kind.DELETION.key(tenant_id), _DELETIONS.read)

    def under_way(self, tenant_id: str) -> Deletion | None:
        """Return the deletion of a tenant that is there; None where nobody deletes it."""
        found = self.get(tenant_id)
        return found if found is not None and found.is_under_way else None

    def due(self, until: datetime, limit: int = 100) -> list[Deletion]:
        """Return what is due up to an instant, the longest due first.

        What this release cannot read is put off.
        """
        table, due = self.database.tenants, []
        items = table.in_order(Kind.DELETION.key(each) for each in self._listed(until)[:limit])
        for item, found in table.readable(items, _DELETIONS.read):
            if found is None:
                tenant_id = Kind.DELETION.name_in(codec.unmarshal(item))
                later = codec.by_time(until + UNREADABLE_AGAIN, tenant_id)
                table.put_off(item, schema.CREATED_KEY, later)
            elif found.due_at is not None and found.due_at <= until:
                due.append(found)
        return due

    def listed(self) -> set[str]:
        """Return the tenants that are being deleted, or were a moment ago."""
        return set(self._listed(None))

    # --- writes ---------------------------------------------------------------------------------

    def ask(self, tenant_id: str, grace: timedelta, origin: Origin = SYSTEM) -> Deletion:
        """Begin a tenant's deletion, or return the one that is under way.

        Raises:
            UnknownTenantError: there is no such tenant.
        """
        now = self.database.clock()
        wanted = replace(rules.asked(tenant_id, origin.actor.name, now, grace), revision=1)
        until = wanted.delete_after.isoformat()
        asked = Action.TENANT_DELETION_ASKED
        entry = origin.entry(asked, tenant_id, tenant_id, now, delete_after=until)
        item = _to_item(wanted)
        is_new = f"attribute_not_exists({schema.KEY}) OR #state = :deleted"
        names, deleted = _DELETIONS.names | item.keys(), TenantState.DELETED.value
        try:
            self.database.transact(
                self._tenant_check(tenant_id, IS_THERE),
                self.database.tenants.over("deletion", item, names, is_new, deleted=deleted),
                self.database.audit_write(entry),
            )
        except ConditionsFailedError as error:
            if "tenant" in error.items:
                raise UnknownTenantError(tenant_id) from error
            return self.get(tenant_id) or self.ask(tenant_id, grace, origin)
        return wanted

    def restore(self, tenant_id: str, origin: Origin = SYSTEM) -> None:
        """Let a tenant be as it was; one that nobody deletes is no change.

        Raises:
            UnknownTenantError: there is no such tenant.
            RestoreTooLateError: its deletion has begun.
        """
        table, now = self.database.tenants, self.database.clock()
        found = self.under_way(tenant_id)
        if found is None:
            if table.item(Kind.TENANT.key(tenant_id)) is None:
                raise UnknownTenantError(tenant_id)
            return
        found.refuse_late(now)
        entry = origin.entry(Action.TENANT_RESTORED, tenant_id, tenant_id, now)
        try:
            self.database.transact(
                table.write(
                    "deletion",
                    "Delete",
                    Kind.DELETION.key(tenant_id),
                    condition="#state = :closing AND delete_after > :now",
                    values={":closing": TenantState.CLOSING.value, ":now": codec.instant_text(now)},
                    names=_STATE,
                ),
                triggers_due_now(self.database.runs, tenant_id, now),
                self.database.audit_write(entry),
            )
        except ConditionsFailedError as error:
            if self.under_way(tenant_id) is not None:
                raise RestoreTooLateError(tenant_id) from error
            # Somebody else has just restored it.

    def put(self, before: Deletion, after: Deletion) -> Deletion | None:
        """Write a deletion down that goes on, and return it as it now stands.

        A tombstone is swept only while its tenant has not been made anew.

        Returns:
            None where it is not as it was read; nothing is written then.
        """
        after = replace(after, revision=before.revision + 1)
        writes = [self._change(before, after)]
        if after.is_swept:
            is_gone = f"attribute_not_exists({schema.KEY})"
            writes.append(self._tenant_check(after.tenant_id, is_gone))
        try:
            self.database.transact(*writes)
        except ConditionsFailedError:
            return None
        return after

    def finish(self, before: Deletion, version: int | None) -> Deletion | None:
        """End a deletion: the tenant and its latest config go with the write that says so.

        Returns:
            The tombstone; None as for `put`, or where another version is the latest.
        """
        now, tenant_id = self.database.clock(), before.tenant_id
        after = replace(rules.done(before, now), revision=before.revision + 1)
        counts = dict(after.removed)
        entry = SYSTEM.entry(Action.TENANT_DELETED, tenant_id, tenant_id, now, removed=counts)
        keys = (
            () if version is None else (config_key(tenant_id, version), Kind.TENANT.key(tenant_id))
        )
        try:
            self.database.transact(
                self._change(before, after),
                self.database.audit_write(entry),
                *(self.database.tenants.write("removed", "Delete", key) for key in keys),
            )
        except ConditionsFailedError:
            return None
        return after

    def add_link(self, entry: AuditEntry, links_per_day: int) -> None:
        """Count an upload link, which is its entry in the audit alone.

        Raises:
            TenantClosingError: the tenant is being deleted.
            UploadQuotaExceededError: it has had its links of today.
        """
        tenant_id, now = str(entry.tenant_id), entry.occurred_at.astimezone(UTC)
        expiry = codec.epoch_seconds(now + 2 * codec.DAY)
        counted = self.database.runs.write(
            "links",
            "Update",
            Kind.LINK_COUNT.key(tenant_id, now.date()),
            "ADD links :one SET #expiry = :expiry",
            condition="attribute_not_exists(links) OR links < :most",
            values={
                ":one": 1,
                ":most": links_per_day,
                ":expiry": expiry,
            },
            names={"#expiry": schema.EXPIRY},
        )
        entry_write = self.database.audit_write(entry)
        try:
            self.database.transact_while_active(tenant_id, entry_write, counted)
        except ConditionsFailedError as error:
            if "links" not in error.items:
                raise
            wait = codec.seconds_left_of_day(now)
            raise UploadQuotaExceededError(tenant_id, links_per_day, wait) from error

    # --- how ------------------------------------------------------------------------------------

    def _change(self, before: Deletion, after: Deletion) -> Write:
        table = self.database.tenants
        return table.change("deletion", _to_item(before), _to_item(after), before.revision)

    def _tenant_check(self, tenant_id: str, condition: str) -> Write:
        key = Kind.TENANT.key(tenant_id)
        return self.database.tenants.write("tenant", "ConditionCheck", key, condition=condition)

    @maps_aws_errors
    def _listed(self, until: datetime | None) -> Sequence[str]:
        """Return the tenants in the list of deletions, the longest due first."""
        # A "~" sorts after every id.
        bound = None if until is None else (schema.CREATED_KEY, "<=", codec.by_time(until, "~"))
        rows = self.database.tenants.partition(
            schema.TENANTS_BY_CREATION, (schema.LISTED, schema.ALL_DELETIONS), bound
        )
        return [Kind.DELETION.name_in(row) for row in rows]


def _to_item(deletion: Deletion) -> codec.Item:
    tenant_id, listed = deletion.tenant_id, dict[str, str]()
    if deletion.due_at is not None:
        listed[schema.LISTED] = schema.ALL_DELETIONS
        listed[schema.CREATED_KEY] = codec.by_time(deletion.due_at, tenant_id)
    return _DELETIONS.item(Kind.DELETION.key(tenant_id), deletion, **listed)
