"""The items of a run's record, a tenant's feed pointer and a tenant's lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from relay_core.domain.records import VendorResult
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import (
    JSON_TEXT,
    ROWS,
    SECONDS,
    Codec,
    Item,
    marshal,
    of_plain,
    unmarshal,
)
from relay_dagster.aws.dynamodb.schema import (
    by_time,
    due_place,
    feed_key,
    hidden_list,
    results_key,
    run_key,
)
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.aws.dynamodb.transactions import Write
from relay_dagster.feeds.pointer import FeedPointer, FeedQueue
from relay_dagster.runs.model import RunRecord, TenantLock
from relay_dagster.runs.ports import Change

_RECORDS = Codec(
    kind=RunRecord,
    forms={
        "hold": JSON_TEXT,
        "pending_audit": JSON_TEXT,
        "vendor_results": ROWS,
        schema.EXPIRY: SECONDS,
    },
    renamed={
        "due_queue": "due_lane",
        "dead_letter_resolved_at": "letter_settled_at",
        "pending_audit": "untold",
    },
)
_FEEDS = Codec(kind=FeedPointer)
_RESULTS_OF = "results_of"
# All of a record that is written without a new revision.
CHECKED = (
    schema.DUE_SHARD,
    schema.DUE_AT,
    "due_lane",
    "hidden_until",
    "reports_tried_at",
    "watched_as",
    "watched_at",
)


def to_record(item: Mapping[str, Any]) -> RunRecord:
    """Return the record of a run's item; attributes that it does not know are ignored."""
    return _RECORDS.read(item)


def to_item(record: RunRecord) -> Item:
    """Return a run's item, with the keys of the indexes that it is to be found in."""
    plain = {
        schema.KEY: run_key(record.run_id),
        schema.REQUESTED_KEY: by_time(record.requested_at, record.run_id),
        schema.LISTED_TENANT: hidden_list(record.tenant_id),
        **_RECORDS.attributes(record),
    }
    # It has an item of its own, so that whoever lists runs does not read it.
    del plain["vendor_results"]
    if not record.hidden:
        plain[schema.LISTED] = schema.ALL_RUNS
        plain[schema.LISTED_TENANT] = record.tenant_id
        plain[schema.LISTED_STATUS] = record.status.value
    if record.due_queue is not None:
        plain[schema.DUE_SHARD] = due_place(record.due_queue, record.run_id)
    return marshal(plain)


def results_item(record: RunRecord) -> Item:
    """Return the item of what a run came to with each vendor, the newest of its tenant's."""
    return marshal(
        {
            schema.KEY: results_key(record.tenant_id),
            "run_id": record.run_id,
            _RESULTS_OF: by_time(record.requested_at, record.run_id),
            "vendor_results": ROWS.write(record.vendor_results),
        }
    )


def to_results(item: Mapping[str, Any]) -> tuple[VendorResult, ...]:
    """Return the vendors' results of their item."""
    found: tuple[VendorResult, ...] = ROWS.read(
        tuple[VendorResult, ...], unmarshal(item)["vendor_results"]
    )
    return found


def results_change(table: Table, record: RunRecord) -> Write:
    """Return the write of what a run came to with each vendor, unless a later run's is there."""
    item = results_item(record)
    newest = f"attribute_not_exists(pk) OR results_of <= :{_RESULTS_OF}"
    return replace(table.over("results", item, item, newest), optional=True)


def feed_item(feed: FeedPointer) -> Item:
    """Return a feed pointer's item."""
    plain = {schema.KEY: feed_key(feed.tenant_id), **_FEEDS.attributes(feed)}
    if feed.due_at is not None:
        plain[schema.DUE_SHARD] = due_place(FeedQueue.PUBLISHED, feed.tenant_id)
    return marshal(plain)


def to_lock(tenant_id: str, item: Mapping[str, Any] | None) -> TenantLock:
    """Return the lock of its item; no item is a free lock.

    Those that wait are stored with the instants by which they sort.
    """
    plain = unmarshal(item or {})
    waiters = sorted(plain.get("waiters", ()))
    return TenantLock(
        tenant_id,
        holder=plain.get("holder"),
        waiters=tuple(each.rpartition("#")[2] for each in waiters),
        consecutive_failures=int(plain.get("consecutive_failures", 0)),
        served_at=of_plain(datetime | None, plain.get("served_at")),
    )


def to_feed(item: Mapping[str, Any]) -> FeedPointer:
    """Return the feed pointer of its item."""
    return _FEEDS.read(item)


def record_change(table: Table, role: str, change: Change) -> Write:
    """Return the write of a record, if it is as it was read."""
    before, after = change.before, change.after
    known, revision = ({}, 0) if before is None else (to_item(before), before.revision)
    # Whose it is stands in each write, for those who watch the wire.
    return table.change(role, known, to_item(after), revision, (*CHECKED, "tenant_id"))
