"""Records as DynamoDB items and back. Instants are text, UTC, microseconds; None is absent.

The fields of a record are stored by their types, so that a new one needs nothing here; the keys of
the items of the runs table stand here too.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, astuple, fields
from datetime import UTC, datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.records import VendorResult
from relay_dagster.audit import AuditEntry
from relay_dagster.aws.dynamodb import schema
from relay_dagster.runs.feeds.hold import Hold
from relay_dagster.runs.feeds.pointer import FeedPointer, Publication
from relay_dagster.runs.model import Lane, LockState, RunRecord, TenantLock, Trigger

Item = dict[str, Any]

_SERIALIZER = TypeSerializer()
_DESERIALIZER = TypeDeserializer()
SHARDS = 4
"""Of each lane of what is due: one partition of DynamoDB takes a thousand writes a second."""
_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def _kind(hint: Any) -> Any:
    """Return what a field holds where it holds anything."""
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return next(option for option in options if option is not NoneType)


_CALLED = (int, RunStatus, Stage, Trigger, LockState, Lane)
_KINDS: Mapping[str, Any] = {name: _kind(hint) for name, hint in get_type_hints(RunRecord).items()}


def instant_text(instant: datetime) -> str:
    """Return an instant as text that sorts by time."""
    return instant.astimezone(UTC).strftime(_FORMAT)


def read_instant(text: str) -> datetime:
    """Return the instant of `instant_text`."""
    return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)


def epoch_seconds(instant: datetime) -> int:
    """Return an instant as DynamoDB's time-to-live wants it."""
    return int(instant.timestamp())


def marshal(plain: Mapping[str, Any]) -> Item:
    """Return plain values as DynamoDB's typed ones; None is left out, text is made valid."""
    return {
        name: _SERIALIZER.serialize(_clean(value))
        for name, value in plain.items()
        if value is not None
    }


def unmarshal(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return DynamoDB's typed values as plain ones; numbers are Decimals."""
    return {name: _DESERIALIZER.deserialize(value) for name, value in item.items()}


def run_key(run_id: str) -> str:
    """Return the key of a run's item."""
    return f"RUN#{run_id}"


def lock_key(tenant_id: str) -> str:
    """Return the key of a tenant's lock."""
    return f"LOCK#{tenant_id}"


def feed_key(tenant_id: str) -> str:
    """Return the key of a tenant's feed pointer."""
    return f"FEED#{tenant_id}"


def idempotency_key(digest: str) -> str:
    """Return the key of an idempotency item."""
    return f"IDEMP#{digest}"


def beat_key(run_id: str, attempt: int) -> str:
    """Return the key of an attempt's heartbeat."""
    return f"BEAT#{run_id}#{attempt}"


def run_count_key(tenant_id: str, hour: datetime) -> str:
    """Return the key of the count of runs that a tenant's callers made in an hour."""
    return f"RUNS#{tenant_id}#{hour:%Y-%m-%dT%H}"


def hidden_list(tenant_id: str) -> str:
    """Return the list that the index of tenants' runs has of those that nobody is shown."""
    return f"HIDDEN#{tenant_id}"


def requested_key(record: RunRecord) -> str:
    """Return the sort key of a run in the indexes."""
    return f"{instant_text(record.requested_at)}#{record.run_id}"


def due_shard(lane: StrEnum, shard: int) -> str:
    """Return the partition of a shard of a lane in the index of what is due."""
    return f"{lane}#{shard}"


def due_place(lane: StrEnum, name: str) -> str:
    """Return the partition of what has a name, in the index of what is due."""
    return due_shard(lane, zlib.crc32(name.encode()) % SHARDS)


def is_at(revision: int) -> dict[str, Any]:
    """Return the condition that an item is at a revision; 0 is that there is none."""
    if not revision:
        return {"ConditionExpression": f"attribute_not_exists({schema.KEY})"}
    seen = marshal({":seen": revision})
    return {"ConditionExpression": "revision = :seen", "ExpressionAttributeValues": seen}


def from_record(record: RunRecord) -> Item:
    """Return a run's item, with the keys of the indexes that it is to be found in."""
    plain = {each.name: _plain(each.name, getattr(record, each.name)) for each in fields(record)}
    plain[schema.KEY] = run_key(record.run_id)
    plain[schema.REQUESTED_KEY] = requested_key(record)
    plain[schema.LISTED_TENANT] = hidden_list(record.tenant_id)
    if not record.hidden:
        plain[schema.LISTED] = schema.ALL_RUNS
        plain[schema.LISTED_TENANT] = record.tenant_id
        plain[schema.LISTED_STATUS] = record.status.value
    if record.due_lane is not None:
        plain[schema.DUE_SHARD] = due_place(record.due_lane, record.run_id)
    return marshal(plain)


def to_record(item: Mapping[str, Any]) -> RunRecord:
    """Return the record of a run's item; attributes that it does not know are ignored."""
    plain = unmarshal(item)
    known = {each.name for each in fields(RunRecord)} & plain.keys()
    return RunRecord(**{name: _typed(name, plain[name]) for name in known})


def to_lock(tenant_id: str, item: Mapping[str, Any] | None) -> TenantLock:
    """Return the lock of its item; no item is a free lock.

    Those that wait are stored as `requested_key`, which sorts by time.
    """
    plain = unmarshal(item or {})
    waiters = sorted(plain.get("waiters", ()))
    return TenantLock(
        tenant_id,
        holder=plain.get("holder"),
        waiters=tuple(each.rpartition("#")[2] for each in waiters),
        consecutive_failures=int(plain.get("consecutive_failures", 0)),
    )


def from_feed(feed: FeedPointer) -> Item:
    """Return a feed pointer's item."""
    return marshal(
        {
            schema.KEY: feed_key(feed.tenant_id),
            "tenant_id": feed.tenant_id,
            "publications": [_from_publication(one) for one in feed.publications],
            "held_run_id": feed.held_run_id,
            "revision": feed.revision,
        }
    )


def to_feed(item: Mapping[str, Any]) -> FeedPointer:
    """Return the feed pointer of its item.

    One without a list of publications, as an earlier release wrote it, is one publication that
    later runs are not compared with.
    """
    plain = unmarshal(item)
    listed = plain.get("publications") or [{**plain, "published_at": plain["finished_at"]}]
    return FeedPointer(
        tenant_id=plain["tenant_id"],
        publications=tuple(map(_to_publication, listed)),
        held_run_id=plain.get("held_run_id"),
        revision=int(plain.get("revision", 0)),
    )


def feed_is(before: FeedPointer | None) -> dict[str, Any]:
    """Return the condition that the item is as it was read."""
    if before is None or not before.revision:
        return {"ConditionExpression": "attribute_not_exists(revision)"}
    return is_at(before.revision)


def _clean(value: Any) -> Any:
    """Replace lone surrogates, which JSON on the wire cannot carry, also inside lists and maps."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_clean(str(name)): _clean(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(each) for each in value]
    return value


def _plain(name: str, value: Any) -> Any:
    if name == schema.EXPIRY and value is not None:
        return epoch_seconds(value)
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, datetime):
        return instant_text(value)
    if name == "stage_entered_at":
        return {stage: instant_text(at) for stage, at in value.items()}
    if isinstance(value, Hold):
        return json.dumps(asdict(value), ensure_ascii=False)  # its numbers come back as they were
    if name == "vendor_results":
        return json.dumps([*map(_from_vendor_result, value)]) if value else None
    if isinstance(value, AuditEntry):
        return json.dumps(value.to_document(), ensure_ascii=False)
    return value


def _typed(name: str, value: Any) -> Any:
    kind = _KINDS[name]
    if name == schema.EXPIRY:
        return datetime.fromtimestamp(int(value), UTC)
    if name in ("counts", "changes"):
        return {key: int(number) for key, number in value.items()}
    if name == "stage_entered_at":
        return {stage: read_instant(at) for stage, at in value.items()}
    if name == "vendors":
        return tuple(value)
    if kind is datetime:
        return read_instant(value)
    if kind is Hold:
        told = json.loads(value)
        return Hold(**{**told, "guards": tuple(told["guards"])})
    if name == "vendor_results":
        return tuple(_to_vendor_result(*one) for one in json.loads(value))
    if kind is AuditEntry:
        return AuditEntry.of_document(json.loads(value))
    # A number comes back as a Decimal, a word of ours as any text.
    return kind(value) if kind in _CALLED else value


def _from_vendor_result(one: VendorResult) -> list[Any]:
    """Return the values alone: a tenant may have many vendors, and an item has an end."""
    return [instant_text(each) if isinstance(each, datetime) else each for each in astuple(one)]


def _to_vendor_result(
    vendor_id: str, status: str, uploaded_at: str | None, *numbers: int | None
) -> VendorResult:
    instant = None if uploaded_at is None else read_instant(uploaded_at)
    return VendorResult(vendor_id, status, instant, *numbers)


def _from_publication(one: Publication) -> dict[str, Any]:
    return {
        "run_id": one.run_id,
        "key": one.key,
        "sha256": one.sha256,
        "finished_at": instant_text(one.finished_at),
        "published_at": instant_text(one.published_at),
        "seq": one.seq,
    }


def _to_publication(plain: Mapping[str, Any]) -> Publication:
    return Publication(
        run_id=plain["run_id"],
        key=plain["key"],
        sha256=plain["sha256"],
        finished_at=read_instant(plain["finished_at"]),
        published_at=read_instant(plain["published_at"]),
        seq=int(plain.get("seq", 0)),
    )
