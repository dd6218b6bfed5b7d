"""A tenant's triggers as an item of the runs table and back, and the writes that change it.

The item stands in the index of what is due, beside the runs: in lanes of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.serialization import (
    Item,
    due_place,
    instant_text,
    is_at,
    marshal,
    read_instant,
    unmarshal,
)
from relay_dagster.aws.dynamodb.transactions import Write
from relay_dagster.runs.model import Trigger
from relay_dagster.runs.triggers.state import TriggerLane, TriggerState

_INSTANTS = frozenset(
    {
        "next_run_at",
        "first_upload_at",
        "last_upload_at",
        "upload_run_at",
        "wanted_since",
        schema.DUE_AT,
    }
)
_KEY = "TRIGGER#"


def trigger_key(tenant_id: str) -> str:
    """Return the key of the item of a tenant's triggers."""
    return f"{_KEY}{tenant_id}"


def to_state(tenant_id: str, item: Mapping[str, Any] | None) -> TriggerState:
    """Return the triggers of an item; no item is a tenant without any."""
    plain = unmarshal(item or {})
    known = {each.name for each in fields(TriggerState)} & plain.keys()
    typed = {name: _typed(name, plain[name]) for name in known}
    return TriggerState(**{**typed, "tenant_id": tenant_id})


def to_state_of_item(item: Mapping[str, Any]) -> TriggerState:
    """Return the triggers of an item, whosever it is."""
    return to_state(str(item[schema.KEY]["S"]).removeprefix(_KEY), item)


def written(before: TriggerState, after: TriggerState) -> TriggerState:
    """Return changed triggers as they stand once they are written."""
    return replace(after, revision=before.revision + 1)


def put(table: str, before: TriggerState, after: TriggerState) -> dict[str, Any]:
    """Return the arguments of a PutItem that changes triggers, if they are as they were read."""
    item = _from_state(written(before, after))
    return {"TableName": table, "Item": item, **is_at(before.revision)}


def look_now(table: str, tenant_id: str, now: datetime) -> Write:
    """Return the write that has a tenant's triggers looked at: its config has changed."""
    values = {
        ":shard": due_place(TriggerLane.DUE, tenant_id),
        ":now": instant_text(now),
        ":one": 1,
    }
    return Write(
        "trigger",
        "Update",
        {
            "TableName": table,
            "Key": marshal({schema.KEY: trigger_key(tenant_id)}),
            "UpdateExpression": (
                f"SET {schema.DUE_SHARD} = :shard, {schema.DUE_AT} = :now ADD revision :one"
            ),
            "ExpressionAttributeValues": marshal(values),
        },
    )


def _from_state(state: TriggerState) -> Item:
    plain = {each.name: _plain(getattr(state, each.name)) for each in fields(state)}
    plain[schema.KEY] = trigger_key(state.tenant_id)
    if state.due_at is not None:
        plain[schema.DUE_SHARD] = due_place(state.lane, state.tenant_id)
    return marshal(plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, frozenset):
        return sorted(value)
    return value


def _typed(name: str, value: Any) -> Any:
    if name in _INSTANTS:
        return read_instant(value)
    if name == "uploads":
        return frozenset(value)
    if name == "wanted":
        return Trigger(value)
    return int(value) if name == "revision" else value
