"""Tenants' webhooks in the tenants table, and their events in the runs table.

All webhooks of a tenant are one item, so that one consistent read gives them; so are all deliveries
of an event. An event stands in the due index while one of them is not over, and in the index
of runs by tenant, in a partition of its own for each tenant. The events of runs and feeds are added
in the transactions that make them: ``RunStore.commit``. Only a sender changes a stored event.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from relay_dagster.aws.dynamodb import codec, schema
from relay_dagster.aws.dynamodb.cursors import (
    BadCursorError,
    cursor_after,
    read_cursor,
    start_key,
    to_cursor,
)
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.expressions import at_revision
from relay_dagster.aws.dynamodb.schema import Kind, Partition, due_shard
from relay_dagster.aws.dynamodb.table import UNREADABLE_AGAIN, Table
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.runs.ports import Page
from relay_dagster.tenants.audit import AuditEntry
from relay_dagster.webhooks.changes import Webhooks, WebhooksRule
from relay_dagster.webhooks.model import (
    EVENT_ID_PATTERN,
    EVENT_LIFE,
    Delivery,
    DeliveryAttempt,
    Event,
    Try,
    Webhook,
)

# A page of tries is looked for in so many events, read so many at a time.
_EVENTS_AT_ONCE, _READS = 50, 6
_EVENT_ID = re.compile(EVENT_ID_PATTERN)
_NUMBER = re.compile("[1-9][0-9]?")


@dataclass(frozen=True, slots=True)
class _Stored:
    """A tenant's webhooks as they are stored."""

    item: Mapping[str, Any] | None  # their item; None where the tenant has none
    # Each as JSON has it, by its id; those too that this release cannot read
    documents: Mapping[str, Mapping[str, Any]]
    webhooks: Webhooks  # those that it can

    @property
    def revision(self) -> int:
        return 0 if self.item is None else int(self.item["revision"]["N"])

    def changed(self, tenant_id: str, webhooks: Webhooks) -> codec.Item:
        """Return the item with other webhooks; what is not known of each stays."""
        known = {each.webhook_id for each in self.webhooks}
        documents = [
            *(
                {**self.documents.get(each.webhook_id, {}), **codec.to_plain(each)}
                for each in webhooks
            ),
            *(
                each
                for webhook_id, each in self.documents.items()
                if webhook_id not in known
            ),
        ]
        plain = {
            schema.KEY: Kind.WEBHOOKS.key(tenant_id),
            schema.OWNER: tenant_id,
            "webhooks": json.dumps(documents, ensure_ascii=False),
            "revision": self.revision + 1,
        }
        return codec.marshal(plain)


@dataclass(frozen=True, slots=True)
class WebhookStore:
    """The webhooks of all tenants."""

    database: Database

    def of_tenant(self, tenant_id: str) -> Webhooks:
        """Return a tenant's webhooks in the order in which they were made, read consistently."""
        return self._of_tenant(tenant_id).webhooks

    def of_tenants(self, tenant_ids: Iterable[str]) -> dict[str, Webhooks]:
        """Return the webhooks of tenants, read consistently, but those that cannot be read."""
        wanted = {Kind.WEBHOOKS.key(tenant_id): tenant_id for tenant_id in tenant_ids}
        return self.database.tenants.read_by_name(
            wanted, lambda _, item: self._stored(item).webhooks
        )

    def change(
        self, tenant_id: str, rule: WebhooksRule, entry: AuditEntry | None = None
    ) -> Webhooks:
        """Apply a rule, perhaps again, to a tenant's webhooks, and return them as they are then."""
        table = self.database.tenants
        audit = [] if entry is None else [self.database.audit_write(entry)]

        def try_once() -> Webhooks:
            stored = self._of_tenant(tenant_id)
            after = rule(stored.webhooks)
            if after != stored.webhooks:
                maker = tenant_id if len(after) > len(stored.webhooks) else None
                item = stored.changed(tenant_id, after)
                write = table.change("webhooks", {}, item, stored.revision)
                self.database.transact_while_active(maker, write, *audit)
            return after

        return self.database.until_it_holds(
            try_once, "change", f"webhooks of tenant {tenant_id}"
        )

    def add_event(self, event: Event) -> None:
        """Add an event of no other change; `TenantClosingError` while its tenant is deleted."""
        self.database.transact_while_active(
            event.tenant_id, new_event_write(self.database.runs, event)
        )

    def event(self, event_id: str) -> Event | None:
        """Return an event, read consistently; None where there is none, or no longer."""
        return self.database.runs.read(Kind.EVENT.key(event_id), to_event)

    def due_events(
        self, until: datetime, limit: int, *, besides: Collection[str] = ()
    ) -> list[Event]:
        """Return events to be looked at up to an instant, the longest due first."""
        keys = {Kind.EVENT.key(each) for each in besides}
        return self.database.runs.read_due(schema.EVENT, until, limit, to_event, keys)

    def put_off(self, event: Event, now: datetime) -> None:
        """Let an event be due later whose tenant's webhooks cannot be read."""
        later = codec.instant_text(now + UNREADABLE_AGAIN)
        self.database.runs.postpone(_to_item(event), schema.DUE_AT, later)

    def put_event(self, before: Event, after: Event) -> Event | None:
        """Write an event down and return it, or None if it has changed; one for nobody goes."""
        after = replace(after, revision=before.revision + 1)
        table, key = self.database.runs, Kind.EVENT.key(before.event_id)
        write = table.delete("event", key, at_revision(before.revision))
        if after.deliveries:
            write = table.change(
                "event", _to_item(before), _to_item(after), before.revision
            )
        return after if table.carry_out(write) else None

    def events_of(
        self, tenant_id: str, *, limit: int, cursor: str | None = None
    ) -> Page[Event]:
        """Return a tenant's events, the last first, by an index, which lags; `BadCursorError`."""
        table = self.database.runs
        partition = Partition(
            schema.BY_TENANT, schema.LISTED_TENANT, Kind.EVENTS.key(tenant_id)
        )
        start = start_key(cursor, Kind.EVENT, _EVENT_ID.fullmatch, partition)
        rows, last = table.page(partition, limit=limit, start=start)
        events = table.read_all((str(row[schema.KEY]) for row in rows), to_event)
        return Page(tuple(events), cursor_after(last))

    def tries_of(
        self, tenant_id: str, webhook_id: str, *, limit: int, cursor: str | None = None
    ) -> Page[Try]:
        """Return tries to deliver to a webhook, the last first, perhaps few; `BadCursorError`."""
        tries, after = self._rest_of_event(cursor, tenant_id, webhook_id)
        for _ in range(_READS):
            page = self.events_of(tenant_id, limit=_EVENTS_AT_ONCE, cursor=after)
            tries += [one for event in page.items for one in event.tries_of(webhook_id)]
            after = page.next_cursor
            if after is None or len(tries) > limit:
                break
        if len(tries) > limit:
            tries = tries[:limit]
            last = tries[-1]
            after = to_cursor(
                f"{codec.by_time(last.occurred_at, last.event_id)}#{last.number}"
            )
        return Page(tuple(tries), after)

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
        return [
            one for one in event.tries_of(webhook_id) if one.number < int(number)
        ], after

    def _of_tenant(self, tenant_id: str) -> _Stored:
        found = self.database.tenants.read(Kind.WEBHOOKS.key(tenant_id), self._stored)
        return found or self._stored(None)

    def _stored(self, item: Mapping[str, Any] | None) -> _Stored:
        """Return the webhooks of an item but those that cannot be read; no item has none."""
        documents = [] if item is None else json.loads(item["webhooks"]["S"])
        readable = []
        for each in documents:
            try:
                readable.append(codec.from_plain(Webhook, each))
            except Exception as error:  # noqa: BLE001 - whatever another release has written
                self.database.tenants.report_unreadable(item or {}, error)
        return _Stored(
            item, {each["webhook_id"]: each for each in documents}, tuple(readable)
        )


def new_event_write(table: Table, event: Event) -> Write:
    """Return the write that adds an event; written again it is the same event."""
    return table.put("event", _to_item(event))


def _deliveries_text(deliveries: Mapping[str, Delivery]) -> str:
    plain = {
        webhook_id: {
            "attempts": [*map(codec.to_row, delivery.attempts)],
            "next_attempt_at": codec.to_plain(delivery.next_attempt_at),
        }
        for webhook_id, delivery in deliveries.items()
    }
    return json.dumps(plain, ensure_ascii=False)


def _read_deliveries(_: Any, text: str) -> dict[str, Delivery]:
    return {
        webhook_id: Delivery(
            webhook_id,
            tuple(codec.from_row(DeliveryAttempt, row) for row in each["attempts"]),
            codec.from_plain(datetime | None, each["next_attempt_at"]),
        )
        for webhook_id, each in json.loads(text).items()
    }


_EVENTS = codec.Codec(
    kind=Event,
    forms={
        "data": codec.JSON_TEXT,
        "deliveries": codec.Form(_deliveries_text, _read_deliveries),
    },
    renamed={"type": "event"},
)


to_event = _EVENTS.read


def _to_item(event: Event) -> codec.Item:
    more = {
        schema.LISTED_TENANT: Kind.EVENTS.key(event.tenant_id),
        schema.REQUESTED_KEY: codec.by_time(event.occurred_at, event.event_id),
        "run_id": event.run_id,
        schema.EXPIRY: codec.epoch_seconds(event.occurred_at + EVENT_LIFE),
    }
    if event.due_at is not None:
        more[schema.DUE_SHARD] = due_shard(schema.EVENT, event.event_id)
    return _EVENTS.item(Kind.EVENT.key(event.event_id), event, **more)
