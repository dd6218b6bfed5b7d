"""Tenants' webhooks, and the events that they are told of.

The events of runs and feeds are added in the transactions of what they tell: ``RunStore.commit``.
Only a sender changes one that is stored.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from relay_dagster.audit import AuditEntry
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.audit.items import audit_write
from relay_dagster.aws.dynamodb.reads import (
    BadCursorError,
    Table,
    cursor_after,
    read_cursor,
    to_cursor,
)
from relay_dagster.aws.dynamodb.serialization import marshal
from relay_dagster.aws.dynamodb.tenants.openness import transact_while_open
from relay_dagster.aws.dynamodb.transactions import ConditionsFailedError, Write
from relay_dagster.aws.dynamodb.webhooks import items
from relay_dagster.aws.error_mapping import (
    CONDITION_FAILED,
    TRANSACTION_COLLIDED,
    error_code,
    maps_aws_errors,
)
from relay_dagster.aws.retries import retrying
from relay_dagster.external_errors import ThrottledError
from relay_dagster.runs.webhooks.changes import Webhooks, WebhooksRule
from relay_dagster.runs.webhooks.model import EVENT_ID_PATTERN, Event, EventLane, Try

_CHANGED = CONDITION_FAILED | TRANSACTION_COLLIDED


# A page of tries is looked for in so many events, read so many at a time.
_EVENTS_AT_ONCE, _READS = 50, 6
_EVENT_ID = re.compile(EVENT_ID_PATTERN)
_NUMBER = re.compile("[1-9][0-9]?")


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events of a tenant, the last first; ``next_cursor`` is None on the last page."""

    events: tuple[Event, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class TryPage:
    """Some tries to deliver to a webhook; ``next_cursor`` is None on the last page."""

    tries: tuple[Try, ...]
    next_cursor: str | None = None


class WebhookStore:
    """The webhooks of all tenants.

    Args:
        clients: AWS.
        tenants_table: where webhooks are.
        runs_table: where events are.
        audit_table: where it is told who changed what.
    """

    def __init__(
        self, clients: Clients, tenants_table: str, runs_table: str, audit_table: str
    ) -> None:
        self._clients = clients
        self._webhooks = Table(clients, tenants_table)
        self._events = Table(clients, runs_table)
        self._audit_table = audit_table

    # --- webhooks -------------------------------------------------------------------------------

    def of_tenant(self, tenant_id: str) -> Webhooks:
        """Return a tenant's webhooks in the order in which they were made, read consistently."""
        return items.to_webhooks(self._webhooks.item(items.webhooks_key(tenant_id)))[0]

    def of_tenants(self, tenant_ids: Iterable[str]) -> dict[str, Webhooks]:
        """Return the webhooks of each tenant, read consistently; () of one that has none."""
        wanted = {items.webhooks_key(tenant_id): tenant_id for tenant_id in tenant_ids}
        found = self._webhooks.batch(wanted)
        return {
            tenant_id: items.to_webhooks(found.get(key))[0] for key, tenant_id in wanted.items()
        }

    @maps_aws_errors
    def change(
        self, tenant_id: str, rule: WebhooksRule, entry: AuditEntry | None = None
    ) -> Webhooks:
        """Apply a rule to a tenant's webhooks, and return them as they then are.

        Args:
            tenant_id: whose.
            rule: returns what they are to be, or raises why not; it may be asked more than once.
            entry: what the audit tells of it; a rule that changes nothing tells nothing.

        Raises:
            TenantClosingError: one is to be made, and the tenant is being deleted.
            ThrottledError: others have changed them in every try.
        """
        key = items.webhooks_key(tenant_id)
        audit = [] if entry is None else [audit_write(self._audit_table, entry)]

        def try_once() -> Webhooks:
            before, revision = items.to_webhooks(self._webhooks.item(key))
            after = rule(before)
            if after != before:
                write = items.webhooks_write(self._webhooks.name, tenant_id, after, revision)
                maker = tenant_id if len(after) > len(before) else None
                self._transact(maker, [write, *audit])
            return after

        try:
            return retrying(lambda error: isinstance(error, ConditionsFailedError))(try_once)
        except ConditionsFailedError as error:
            raise ThrottledError("change", f"webhooks of tenant {tenant_id}: {error}") from error

    # --- events ---------------------------------------------------------------------------------

    @maps_aws_errors
    def add_event(self, event: Event) -> None:
        """Add an event that is part of no other change.

        Raises:
            TenantClosingError: its tenant is being deleted.
        """
        self._transact(event.tenant_id, [items.event_write(self._events.name, event)])

    def event(self, event_id: str) -> Event | None:
        """Return an event, read consistently; None where there is none, or no longer."""
        item = self._events.item(items.event_key(event_id))
        return None if item is None else items.to_event(item)

    def due_events(
        self, until: datetime, limit: int, *, besides: Collection[str] = ()
    ) -> list[Event]:
        """Return events that are to be looked at up to an instant, the longest due first.

        Each is read consistently: the index lags.

        Args:
            until: the instant.
            limit: how many at the most.
            besides: events that are not wanted, by their ids.
        """
        known = {items.event_key(each) for each in besides}
        keys = self._events.due_keys(EventLane.EVENT, until, limit + len(known))
        found = self._read([key for key in keys if key not in known][:limit])
        return [each for each in found if each.due_at is not None and each.due_at <= until]

    @maps_aws_errors
    def put_event(self, before: Event, after: Event) -> Event | None:
        """Write an event down, and return it as it now stands; one for nobody is not kept.

        Returns:
            None where it is not as it was read; nothing is written then.
        """
        after = replace(after, revision=before.revision + 1)
        client, table = self._clients.dynamodb, self._events.name
        try:
            if after.deliveries:
                client.put_item(**items.event_change(table, before, after))
            else:
                client.delete_item(**items.event_removal(table, before))
        except ClientError as error:
            if error_code(error) in _CHANGED:
                return None
            raise
        return after

    def events_of(self, tenant_id: str, *, limit: int, cursor: str | None = None) -> EventPage:
        """Return up to ``limit`` events of a tenant, the last first.

        They are found by an index, which lags.

        Raises:
            BadCursorError: the cursor is not one of ``next_cursor``.
        """
        key = (schema.LISTED_TENANT, items.events_listed(tenant_id))
        start = None if cursor is None else _start(cursor, key)
        rows, last = self._events.rows(schema.BY_TENANT, key, None, limit, start)
        events = self._read(str(row[schema.KEY]) for row in rows)
        return EventPage(tuple(events), cursor_after(last) if last else None)

    def tries_of(
        self, tenant_id: str, webhook_id: str, *, limit: int, cursor: str | None = None
    ) -> TryPage:
        """Return up to ``limit`` tries to deliver to a webhook: the last event's last try first.

        A page may hold fewer than ``limit``, or none, and have a ``next_cursor`` all the same.

        Raises:
            BadCursorError: the cursor is not one of ``next_cursor``.
        """
        tries, after = self._rest_of_event(cursor, tenant_id, webhook_id)
        for _ in range(_READS):
            page = self.events_of(tenant_id, limit=_EVENTS_AT_ONCE, cursor=after)
            tries += [one for event in page.events for one in event.tries_of(webhook_id)]
            after = page.next_cursor
            if after is None or len(tries) > limit:
                break
        if len(tries) > limit:
            tries = tries[:limit]
            after = to_cursor(items.try_key(tries[-1]))
        return TryPage(tuple(tries), after)

    def _rest_of_event(
        self, cursor: str | None, tenant_id: str, webhook_id: str
    ) -> tuple[list[Try], str | None]:
        """Return the tries that a page has left of its last event, and the cursor after that."""
        if cursor is None:
            return [], None
        instant, rest = read_cursor(cursor)
        event_id, _, number = rest.partition("#")
        after = to_cursor(f"{instant}#{event_id}")
        if not number:
            return [], after
        if not _NUMBER.fullmatch(number) or not _EVENT_ID.fullmatch(event_id):
            raise BadCursorError
        event = self.event(event_id)
        if event is None or event.tenant_id != tenant_id:
            return [], after
        return [one for one in event.tries_of(webhook_id) if one.number < int(number)], after

    def _transact(self, maker: str | None, writes: Sequence[Write]) -> None:
        """Write all or none; what makes something of a tenant, only while that is open."""
        transact_while_open(self._clients.dynamodb, self._webhooks.name, maker, writes)

    def _read(self, keys: Iterable[str]) -> list[Event]:
        return [*map(items.to_event, self._events.in_order(keys))]


def _start(cursor: str, key: tuple[str, str]) -> Mapping[str, Any]:
    """Return where in the index of a tenant's events to go on."""
    instant, event_id = read_cursor(cursor)
    if not _EVENT_ID.fullmatch(event_id):
        raise BadCursorError
    start = {
        schema.KEY: items.event_key(event_id),
        schema.REQUESTED_KEY: f"{instant}#{event_id}",
        key[0]: key[1],
    }
    return marshal(start)
