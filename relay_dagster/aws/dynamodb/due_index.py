"""When each unsettled run is to be looked at next: a sparse index of the runs table.

A row has its lane and a shard as partition, the instant as sort key: who asks for what is due reads
that, however many runs there are, and no partition takes all writes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.serialization import (
    SHARDS,
    due_shard,
    from_record,
    instant_text,
    marshal,
    run_key,
    unmarshal,
)
from relay_dagster.aws.error_mapping import (
    CONDITION_FAILED,
    TRANSACTION_COLLIDED,
    error_code,
    maps_aws_errors,
)
from relay_dagster.runs.model import Lane, RunRecord

# All that a look may write of a record.
_SEEN = (
    schema.DUE_SHARD,
    schema.DUE_AT,
    "due_lane",
    "hidden_until",
    "reports_tried_at",
    "watched_as",
    "watched_at",
)
_CHANGED = CONDITION_FAILED | TRANSACTION_COLLIDED


class DueIndex:
    """The index of one runs table."""

    def __init__(self, clients: Clients, table: str) -> None:
        self._clients = clients
        self._table = table

    @maps_aws_errors
    def keys(self, lane: Lane, until: datetime, limit: int) -> list[str]:
        """Return the keys of at most ``limit`` items that are due in a lane, longest due first.

        Each is to be read again: the index lags.
        """
        shards = [self._shard(lane, shard, until, limit) for shard in range(SHARDS)]
        rows = heapq.merge(*shards, key=lambda row: str(row[schema.DUE_AT]))
        return [str(row[schema.KEY]) for row in islice(rows, limit)]

    @maps_aws_errors
    def note(self, record: RunRecord) -> bool:
        """Write what a look has seen of a record, and when the next is due.

        Returns:
            False where the record is not as it was read; nothing is written then.
        """
        item = from_record(record)
        sets = ", ".join(f"{name} = :{name}" for name in _SEEN if name in item)
        removes = ", ".join(name for name in _SEEN if name not in item)
        seen = {f":{name}": item[name] for name in _SEEN if name in item}
        clauses = [f"{verb} {what}" for verb, what in (("SET", sets), ("REMOVE", removes)) if what]
        try:
            self._clients.dynamodb.update_item(
                TableName=self._table,
                Key=marshal({schema.KEY: run_key(record.run_id)}),
                UpdateExpression=" ".join(clauses),
                ConditionExpression="revision = :revision",
                ExpressionAttributeValues={**seen, ":revision": item["revision"]},
            )
        except ClientError as error:
            if error_code(error) in _CHANGED:
                return False
            raise
        return True

    def _shard(
        self, lane: Lane, shard: int, until: datetime, limit: int
    ) -> Iterator[Mapping[str, Any]]:
        """Yield up to ``limit`` rows of a shard, a page at a time."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": schema.DUE,
            "KeyConditionExpression": f"{schema.DUE_SHARD} = :shard AND {schema.DUE_AT} <= :until",
            "ExpressionAttributeValues": marshal(
                {":shard": due_shard(lane, shard), ":until": instant_text(until)}
            ),
            "Limit": limit,
        }
        answer = self._clients.dynamodb.query(**request)
        while True:
            yield from (unmarshal(row) for row in answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
            answer = self._clients.dynamodb.query(**request)
