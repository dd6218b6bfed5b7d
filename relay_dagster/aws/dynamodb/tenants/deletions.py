"""Deletions of tenants in the tenants table, ``DELETION#<tenant_id>``; in the end the tombstone.

What is due is found by the index of tenants, in a list of its own. The removal of what a tenant
has is `belongings`, and the order in which it goes ``reconciler/deletion/``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

from relay_dagster.audit import SYSTEM, Action, AuditEntry, Origin
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.audit.items import audit_write
from relay_dagster.aws.dynamodb.reads import Table
from relay_dagster.aws.dynamodb.serialization import (
    instant_text,
    is_at,
    marshal,
    read_instant,
    unmarshal,
)
from relay_dagster.aws.dynamodb.tenant_store import config_key, tenant_key
from relay_dagster.aws.dynamodb.tenants.errors import UnknownTenantError
from relay_dagster.aws.dynamodb.tenants.openness import (
    PREFIX,
    deletion_key,
    transact_while_open,
)
from relay_dagster.aws.dynamodb.transactions import ConditionsFailedError, Write, transact
from relay_dagster.aws.dynamodb.triggers.items import look_now
from relay_dagster.aws.error_mapping import maps_aws_errors
from relay_dagster.runs.errors import RestoreTooLateError
from relay_dagster.runs.ports import utc_now
from relay_dagster.runs.tenants import deletion as rules
from relay_dagster.runs.tenants.deletion import Deletion, TenantState

_INSTANTS = frozenset(
    {"asked_at", "delete_after", "stopped_at", "deleting_since", "deleted_at", "due_at"}
)


class DeletionStore:
    """Which tenants are being deleted, and how far that is.

    Args:
        clients: AWS.
        table: the tenants table.
        audit_table: where it is told who asked for it, and that it is done.
        runs_table: where a tenant's triggers are, to be looked at once it is restored.
        clock: tells the time, aware.
    """

    def __init__(
        self,
        clients: Clients,
        table: str,
        audit_table: str,
        runs_table: str,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._clients = clients
        self._table = Table(clients, table)
        self._audit_table = audit_table
        self._runs_table = runs_table
        self._clock = clock

    # --- reads, all consistent but for the lists ------------------------------------------------

    def get(self, tenant_id: str) -> Deletion | None:
        """Return a tenant's deletion or tombstone; None where there is none."""
        item = self._table.item(deletion_key(tenant_id))
        return None if item is None else _to_deletion(item)

    def under_way(self, tenant_id: str) -> Deletion | None:
        """Return the deletion of a tenant that is there; None where nobody deletes it."""
        found = self.get(tenant_id)
        return found if found is not None and found.is_under_way else None

    def due(self, until: datetime, limit: int = 100) -> list[Deletion]:
        """Return what is due up to an instant, the longest due first."""
        items = self._table.in_order(deletion_key(each) for each in self._listed(until)[:limit])
        found = map(_to_deletion, items)
        return [each for each in found if each.due_at is not None and each.due_at <= until]

    def listed(self) -> set[str]:
        """Return the tenants that are being deleted, or were a moment ago."""
        return set(self._listed(None))

    # --- writes ---------------------------------------------------------------------------------

    @maps_aws_errors
    def ask(self, tenant_id: str, grace: timedelta, origin: Origin = SYSTEM) -> Deletion:
        """Begin a tenant's deletion, or return the one that is under way.

        Raises:
            UnknownTenantError: there is no such tenant.
        """
        now = self._clock()
        wanted = replace(rules.asked(tenant_id, origin.actor.name, now, grace), revision=1)
        until = wanted.delete_after.isoformat()
        asked = Action.TENANT_DELETION_ASKED
        entry = origin.entry(asked, tenant_id, tenant_id, now, delete_after=until)
        is_new = {
            "ConditionExpression": f"attribute_not_exists({schema.KEY}) OR #state = :deleted",
            "ExpressionAttributeNames": {"#state": "state"},
            "ExpressionAttributeValues": marshal({":deleted": TenantState.DELETED.value}),
        }
        try:
            self._transact(
                _exists(self._table.name, tenant_id),
                self._put(wanted, is_new),
                audit_write(self._audit_table, entry),
            )
        except ConditionsFailedError as error:
            if "tenant" in error.items:
                raise UnknownTenantError(tenant_id) from error
            return self.get(tenant_id) or self.ask(tenant_id, grace, origin)
        return wanted

    @maps_aws_errors
    def restore(self, tenant_id: str, origin: Origin = SYSTEM) -> None:
        """Let a tenant be as it was; one that nobody deletes is no change.

        Raises:
            UnknownTenantError: there is no such tenant.
            RestoreTooLateError: its deletion has begun.
        """
        now, found = self._clock(), self.under_way(tenant_id)
        if found is None:
            if self._table.item(tenant_key(tenant_id)) is None:
                raise UnknownTenantError(tenant_id)
            return
        found.refuse_late(now)
        arguments = {
            "TableName": self._table.name,
            "Key": marshal({schema.KEY: deletion_key(tenant_id)}),
            "ConditionExpression": "#state = :closing AND delete_after > :now",
            "ExpressionAttributeNames": {"#state": "state"},
            "ExpressionAttributeValues": marshal(
                {":closing": TenantState.CLOSING.value, ":now": instant_text(now)}
            ),
        }
        entry = origin.entry(Action.TENANT_RESTORED, tenant_id, tenant_id, now)
        try:
            self._transact(
                Write("deletion", "Delete", arguments),
                look_now(self._runs_table, tenant_id, now),
                audit_write(self._audit_table, entry),
            )
        except ConditionsFailedError as error:
            if self.under_way(tenant_id) is not None:
                raise RestoreTooLateError(tenant_id) from error
            # Somebody else has just restored it.

    @maps_aws_errors
    def put(self, before: Deletion, after: Deletion) -> Deletion | None:
        """Write a deletion down that goes on, and return it as it now stands.

        A tombstone is swept only while its tenant has not been made anew.

        Returns:
            None where it is not as it was read; nothing is written then.
        """
        after = replace(after, revision=before.revision + 1)
        writes = [self._put(after, is_at(before.revision))]
        if after.is_swept:
            writes.append(_is_gone(self._table.name, after.tenant_id))
        try:
            self._transact(*writes)
        except ConditionsFailedError:
            return None
        return after

    @maps_aws_errors
    def finish(self, before: Deletion, version: int | None) -> Deletion | None:
        """End a deletion: the tenant and its latest config go with the write that says so.

        Returns:
            The tombstone; None as for `put`, or where another version is the latest.
        """
        now, tenant_id = self._clock(), before.tenant_id
        after = replace(rules.done(before, now), revision=before.revision + 1)
        counts = dict(after.removed)
        entry = SYSTEM.entry(Action.TENANT_DELETED, tenant_id, tenant_id, now, removed=counts)
        writes = [
            self._put(after, is_at(before.revision)),
            audit_write(self._audit_table, entry),
        ]
        if version is not None:
            keys = (config_key(tenant_id, version), tenant_key(tenant_id))
            writes += [self._removed(key) for key in keys]
        try:
            self._transact(*writes)
        except ConditionsFailedError:
            return None
        return after

    @maps_aws_errors
    def add_entry(self, entry: AuditEntry) -> None:
        """Add the entry of an act that makes nothing but an entry, and is refused all the same.

        Raises:
            TenantClosingError: the tenant is being deleted.
        """
        tenant_id = str(entry.tenant_id)
        writes = [audit_write(self._audit_table, entry)]
        transact_while_open(self._clients.dynamodb, self._table.name, tenant_id, writes)

    # --- how ------------------------------------------------------------------------------------

    def _transact(self, *writes: Write) -> None:
        transact(self._clients.dynamodb, writes)

    def _put(self, deletion: Deletion, condition: Mapping[str, Any]) -> Write:
        item = marshal(_from_deletion(deletion))
        return Write("deletion", "Put", {"TableName": self._table.name, "Item": item, **condition})

    def _removed(self, key: str) -> Write:
        arguments = {"TableName": self._table.name, "Key": marshal({schema.KEY: key})}
        return Write("removed", "Delete", arguments)

    @maps_aws_errors
    def _listed(self, until: datetime | None) -> Sequence[str]:
        """Return the tenants in the list of deletions, the longest due first."""
        # A "~" sorts after every id.
        bound = None if until is None else (schema.CREATED_KEY, "<=", _due_key(until, "~"))
        rows = self._table.partition(
            schema.TENANTS_BY_CREATION, (schema.LISTED, schema.ALL_DELETIONS), bound
        )
        return [str(row[schema.KEY]).removeprefix(PREFIX) for row in rows]


# --- items --------------------------------------------------------------------------------------


def _exists(table: str, tenant_id: str) -> Write:
    return _tenant_check(table, tenant_id, f"attribute_exists({schema.KEY})")


def _is_gone(table: str, tenant_id: str) -> Write:
    return _tenant_check(table, tenant_id, f"attribute_not_exists({schema.KEY})")


def _tenant_check(table: str, tenant_id: str, condition: str) -> Write:
    arguments = {
        "TableName": table,
        "Key": marshal({schema.KEY: tenant_key(tenant_id)}),
        "ConditionExpression": condition,
    }
    return Write("tenant", "ConditionCheck", arguments)


def _due_key(instant: datetime, tenant_id: str) -> str:
    return f"{instant_text(instant)}#{tenant_id}"


def _from_deletion(deletion: Deletion) -> dict[str, Any]:
    plain = {each.name: _plain(getattr(deletion, each.name)) for each in fields(deletion)}
    del plain["tenant_id"]  # or it would be found among the tenant's items
    plain[schema.KEY] = deletion_key(deletion.tenant_id)
    if deletion.due_at is not None:
        plain[schema.LISTED] = schema.ALL_DELETIONS
        plain[schema.CREATED_KEY] = _due_key(deletion.due_at, deletion.tenant_id)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return instant_text(value)
    if value is False:
        return None  # an attribute is there, or not
    return str(value) if isinstance(value, TenantState) else value


def _to_deletion(item: Mapping[str, Any]) -> Deletion:
    plain = unmarshal(item)
    known = {each.name for each in fields(Deletion)} & plain.keys()
    typed = {name: _typed(name, plain[name]) for name in known}
    return Deletion(**{**typed, "tenant_id": str(plain[schema.KEY]).removeprefix(PREFIX)})


def _typed(name: str, value: Any) -> Any:
    if name in _INSTANTS:
        return read_instant(value)
    if name == "state":
        return TenantState(value)
    if name == "removed":
        return {step: int(count) for step, count in value.items()}
    return int(value) if name in ("found", "revision") else value
