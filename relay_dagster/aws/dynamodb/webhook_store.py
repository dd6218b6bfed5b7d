"""Stores tenants' webhooks in the tenants table, and their events in the runs table.

All webhooks of a tenant are one item, so that one consistent read returns them. So are
all deliveries of an event. An event is in the due index until its deliveries are over,
and in the index of runs by tenant, in a partition of its tenant's events.

``RunStore.commit`` adds the events of runs and feeds in the transactions that make them.
Only a sender, through the queue, changes a stored event.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from relay_dagster.aws.dynamodb import codec, cursors, schema
from relay_dagster.aws.dynamodb.cursors import BadCursorError
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.schema import Kind, Partition
from relay_dagster.aws.dynamodb.work_queue import DueShards, TableQueue
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.runs.ports import Page
from relay_dagster.tenants.audit import AuditEntry
from relay_dagster.webhooks import model
from relay_dagster.webhooks.changes import Webhooks, WebhooksRule

# Limits of the reads that fill one page of tries: events per read, and reads.
_EVENTS_AT_ONCE = 50
_READS = 6
_EVENT_ID = re.compile(model.EVENT_ID_PATTERN)
_NUMBER = re.compile("[1-9][0-9]?")


@dataclass(frozen=True, slots=True)
class _StoredWebhooks:
    """A tenant's webhooks as they are stored."""

    item: codec.Item | None  # None if the tenant has none
    # The JSON of each webhook by its id, unreadable ones included
    documents: Mapping[str, Mapping[str, Any]]
    webhooks: Webhooks  # the readable ones

    @property
    def revision(self) -> int:
        return 0 if self.item is None else int(self.item["revision"]["N"])

    def changed(self, tenant_id: str, webhooks: Webhooks) -> codec.Item:
        """Return the item with other webhooks.

        Fields that this release does not know stay, and so do unreadable webhooks.
        """
        documents: list[Mapping[str, Any]] = []
        for webhook in webhooks:
            unknown_fields = self.documents.get(webhook.webhook_id, {})
            documents.append({**unknown_fields, **codec.to_plain(webhook)})
        readable_ids = {webhook.webhook_id for webhook in self.webhooks}
        for webhook_id, document in self.documents.items():
            if webhook_id not in readable_ids:
                documents.append(document)
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

    @property
    def queue(self) -> TableQueue[model.Event]:
        """The events that are to be sent."""
        return TableQueue(
            database=self.database,
            index=DueShards(self.database.runs, schema.EVENT),
            role="event",
            to_item=event_item,
            read=to_event,
        )

    def of_tenant(self, tenant_id: str) -> Webhooks:
        """Return a tenant's webhooks, the oldest first, read consistently."""
        return self._stored(tenant_id).webhooks

    def of_tenants(self, tenant_ids: Iterable[str]) -> dict[str, Webhooks]:
        """Return the webhooks of tenants, read consistently.

        A tenant whose webhooks this release cannot read is left out.
        """

        def read(_tenant_id: str, item: codec.Item | None) -> Webhooks:
            return self._read(item).webhooks

        keys = {
            Kind.WEBHOOKS.key(tenant_id): tenant_id for tenant_id in tenant_ids
        }
        return self.database.tenants.read_by_name(keys, read)

    def change(
        self,
        tenant_id: str,
        rule: WebhooksRule,
        entry: AuditEntry | None = None,
    ) -> Webhooks:
        """Store what a rule makes of a tenant's webhooks, and return them.

        The rule is applied again if somebody else has changed them in the meantime.

        Raises:
            TenantClosingError: The rule adds a webhook to a tenant that is being
                deleted.
        """
        table = self.database.tenants
        audit = [] if entry is None else [self.database.audit_write(entry)]

        def try_once() -> Webhooks:
            stored = self._stored(tenant_id)
            after = rule(stored.webhooks)
            if after == stored.webhooks:
                return after
            adds_one = len(after) > len(stored.webhooks)
            item = stored.changed(tenant_id, after)
            write = table.change("webhooks", {}, item, stored.revision)
            active_tenant = tenant_id if adds_one else None
            self.database.transact_while_active(active_tenant, write, *audit)
            return after

        return self.database.until_it_holds(
            try_once,
            "change",
            f"webhooks of tenant {tenant_id}",
        )

    def add_event(self, event: model.Event) -> None:
        """Add an event that goes with no other change.

        Raises:
            TenantClosingError: The tenant is being deleted.
        """
        write = self.event_write(event)
        self.database.transact_while_active(event.tenant_id, write)

    def event_write(self, event: model.Event) -> Write:
        """Return the write that adds an event, for the transaction of the change it reports.

        If the write is repeated, the event is the same.
        """
        return self.database.runs.put("event", event_item(event))

    def event(self, event_id: str) -> model.Event | None:
        """Return an event, read consistently; None if there is none, or no longer."""
        return self.database.runs.read(Kind.EVENT.key(event_id), to_event)

    def events_of(
        self,
        tenant_id: str,
        *,
        limit: int,
        cursor: str | None = None,
    ) -> Page[model.Event]:
        """Return a page of a tenant's events, the last first, by an index, which lags.

        Raises:
            BadCursorError: No listing returned the cursor.
        """
        table = self.database.runs
        partition = Partition(
            schema.BY_TENANT,
            schema.LISTED_TENANT,
            Kind.EVENTS.key(tenant_id),
        )
        start = cursors.start_key(
            cursor,
            Kind.EVENT,
            _EVENT_ID.fullmatch,
            partition,
        )
        rows, last_row = table.page(partition, limit=limit, start=start)
        keys = [str(row[schema.KEY]) for row in rows]
        events = tuple(table.read_all(keys, to_event))
        return Page(events, cursors.cursor_after(last_row))

    def tries_of(
        self,
        tenant_id: str,
        webhook_id: str,
        *,
        limit: int,
        cursor: str | None = None,
    ) -> Page[model.Try]:
        """Return a page of tries to deliver to a webhook, the last first.

        A page may have fewer than ``limit`` tries, or none, although others follow.

        Raises:
            BadCursorError: No listing returned the cursor.
        """
        tries, next_cursor = self._rest_of_event(cursor, tenant_id, webhook_id)
        for _ in range(_READS):
            page = self.events_of(
                tenant_id,
                limit=_EVENTS_AT_ONCE,
                cursor=next_cursor,
            )
            for event in page.items:
                tries += event.tries_of(webhook_id)
            next_cursor = page.next_cursor
            if next_cursor is None or len(tries) > limit:
                break
        if len(tries) > limit:
            tries = tries[:limit]
            next_cursor = _cursor_after_try(tries[-1])
        return Page(tuple(tries), next_cursor)

    def _rest_of_event(
        self,
        cursor: str | None,
        tenant_id: str,
        webhook_id: str,
    ) -> tuple[list[model.Try], str | None]:
        """Return the tries of the cursor's event that follow, and the event's cursor."""
        if cursor is None:
            return [], None
        instant, names = cursors.read_cursor(cursor)
        event_id, _, number = names.partition("#")
        event_cursor = cursors.to_cursor(f"{instant}#{event_id}")
        if not number:
            return [], event_cursor
        if not _NUMBER.fullmatch(number) or not _EVENT_ID.fullmatch(event_id):
            raise BadCursorError
        event = self.event(event_id)
        if event is None or event.tenant_id != tenant_id:
            return [], event_cursor
        earlier_tries = [
            delivery_try
            for delivery_try in event.tries_of(webhook_id)
            if delivery_try.number < int(number)
        ]
        return earlier_tries, event_cursor

    def _stored(self, tenant_id: str) -> _StoredWebhooks:
        key = Kind.WEBHOOKS.key(tenant_id)
        stored = self.database.tenants.read(key, self._read)
        return self._read(None) if stored is None else stored

    def _read(self, item: codec.Item | None) -> _StoredWebhooks:
        """Return the webhooks of an item; report those that cannot be read."""
        documents = [] if item is None else json.loads(item["webhooks"]["S"])
        webhooks = []
        for document in documents:
            try:
                webhooks.append(codec.from_plain(model.Webhook, document))
            except Exception as error:  # noqa: BLE001 - another release wrote something else
                self.database.tenants.report_unreadable(item or {}, error)
        by_id = {document["webhook_id"]: document for document in documents}
        return _StoredWebhooks(item, by_id, tuple(webhooks))


def _cursor_after_try(delivery_try: model.Try) -> str:
    sort_key = codec.by_time(delivery_try.occurred_at, delivery_try.event_id)
    return cursors.to_cursor(f"{sort_key}#{delivery_try.number}")


def _write_deliveries(deliveries: Mapping[str, model.Delivery]) -> str:
    plain = {}
    for webhook_id, delivery in deliveries.items():
        plain[webhook_id] = {
            "attempts": [
                codec.to_row(attempt) for attempt in delivery.attempts
            ],
            "next_attempt_at": codec.to_plain(delivery.next_attempt_at),
        }
    return json.dumps(plain, ensure_ascii=False)


def _read_deliveries(_kind: Any, text: str) -> dict[str, model.Delivery]:
    deliveries = {}
    for webhook_id, plain in json.loads(text).items():
        attempts = tuple(
            codec.from_row(model.DeliveryAttempt, row)
            for row in plain["attempts"]
        )
        next_attempt_at = codec.from_plain(
            datetime | None,
            plain["next_attempt_at"],
        )
        deliveries[webhook_id] = model.Delivery(
            webhook_id,
            attempts,
            next_attempt_at,
        )
    return deliveries


_EVENTS = codec.Codec(
    kind=model.Event,
    forms={
        "data": codec.JSON_TEXT,
        "deliveries": codec.Form(_write_deliveries, _read_deliveries),
    },
    renamed={"type": "event"},
)


to_event = _EVENTS.read


def event_item(event: model.Event) -> codec.Item:
    """Return the item of an event, with the keys of the indexes that list it."""
    plain = {
        schema.LISTED_TENANT: Kind.EVENTS.key(event.tenant_id),
        schema.REQUESTED_KEY: codec.by_time(event.occurred_at, event.event_id),
        "run_id": event.run_id,
        schema.EXPIRY: codec.epoch_seconds(
            event.occurred_at + model.EVENT_LIFE,
        ),
    }
    if event.due_at is not None:
        plain[schema.DUE_SHARD] = schema.due_shard(schema.EVENT, event.event_id)
    return _EVENTS.item(Kind.EVENT.key(event.event_id), event, **plain)
