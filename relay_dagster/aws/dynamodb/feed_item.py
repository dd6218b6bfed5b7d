"""A tenant's feed pointer as an item of the runs table, and the condition that it stands unchanged.

An item without a list of publications, as an earlier version wrote it, is one publication that
later runs are not compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.serialization import (
    Item,
    feed_key,
    instant_text,
    marshal,
    read_instant,
    unmarshal,
)
from relay_dagster.runs.publications import FeedPointer, Publication


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
    """Return the feed pointer of its item."""
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
    seen = marshal({":seen": before.revision})
    return {"ConditionExpression": "revision = :seen", "ExpressionAttributeValues": seen}


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
