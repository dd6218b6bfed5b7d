"""Reads of one DynamoDB table: items by key, consistently, and rows of its indexes.

Whoever found a thing by an index reads it again by its key: indexes lag, and hold keys alone. A
listing's cursor is a sort key in base64: it says where to go on, and nothing that a caller may not
know.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.serialization import (
    SHARDS,
    due_shard,
    instant_text,
    marshal,
    read_instant,
    requested_key,
    run_key,
    unmarshal,
)
from relay_dagster.aws.error_mapping import maps_aws_errors
from relay_dagster.aws.retries import retrying
from relay_dagster.external_errors import ThrottledError
from relay_dagster.runs.identifiers import is_run_id
from relay_dagster.runs.model import RunRecord

_BATCH = 100
# What a listing goes through at the most, for those of its rows that are in a status.
_FILTERED_PAGES, _FILTERED_ROWS = 5, 1000


class Table:
    """One table, keyed by ``pk``."""

    def __init__(
        self, clients: Clients, name: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clients = clients
        self.name = name
        self._sleep = sleep

    @maps_aws_errors
    def item(self, key: str) -> Mapping[str, Any] | None:
        """Return one item, read consistently; None where there is none."""
        answer = self._clients.dynamodb.get_item(
            TableName=self.name, Key=marshal({schema.KEY: key}), ConsistentRead=True
        )
        return answer.get("Item")

    @maps_aws_errors
    def batch(self, keys: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Return the items there are, by key, read consistently."""
        wanted = [marshal({schema.KEY: key}) for key in set(keys)]
        found: dict[str, Mapping[str, Any]] = {}
        for start in range(0, len(wanted), _BATCH):
            self._read_all(wanted[start : start + _BATCH], found)
        return found

    def in_order(self, keys: Iterable[str]) -> list[Mapping[str, Any]]:
        """Return the items there are, in the order of their keys, read consistently."""
        wanted = list(keys)
        found = self.batch(wanted)
        return [found[key] for key in wanted if key in found]

    def _read_all(self, left: Sequence[Mapping[str, Any]], found: dict[str, Any]) -> None:
        """Read keys into ``found``, and those again that DynamoDB leaves unprocessed."""

        def read_what_is_left() -> None:
            nonlocal left
            request: Any = {self.name: {"Keys": left, "ConsistentRead": True}}
            answer = self._clients.dynamodb.batch_get_item(RequestItems=request)
            for item in answer.get("Responses", {}).get(self.name, []):
                found[item[schema.KEY]["S"]] = item
            unprocessed: Any = answer.get("UnprocessedKeys", {}).get(self.name)
            if unprocessed:
                left = unprocessed["Keys"]
                raise ThrottledError("dynamodb.BatchGetItem", "keys stayed unprocessed")

        again = retrying(lambda error: isinstance(error, ThrottledError), sleep=self._sleep)
        again(read_what_is_left)

    def items_with(self, attribute: str) -> Iterator[Mapping[str, Any]]:
        """Yield all items that have an attribute, reading the whole table consistently."""
        pages = self._clients.dynamodb.get_paginator("scan").paginate(
            TableName=self.name,
            FilterExpression=f"attribute_exists({attribute})",
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]

    def write_all(self, requests: Sequence[Mapping[str, Any]]) -> None:
        """Carry out at most 25 writes of a batch, and those again that stay unprocessed."""
        left: Any = requests

        def write_what_is_left() -> None:
            nonlocal left
            answer = self._clients.dynamodb.batch_write_item(RequestItems={self.name: left})
            left = answer.get("UnprocessedItems", {}).get(self.name)
            if left:
                raise ThrottledError("dynamodb.BatchWriteItem", "writes stayed unprocessed")

        again = retrying(lambda error: isinstance(error, ThrottledError), sleep=self._sleep)
        again(write_what_is_left)

    @maps_aws_errors
    def rows(
        self,
        index: str,
        key: tuple[str, str],
        filtered: tuple[str, str] | None,
        limit: int,
        start: Mapping[str, Any] | None,
        *,
        prefix: str | None = None,
        forward: bool = False,
    ) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any] | None]:
        """Return up to ``limit`` rows of an index, and the row to go on after; None at the end.

        Filtered by an attribute that the index does not lead to, no more than some thousands of
        rows are looked at: there may be fewer of them than ``limit``, or none, and yet more to
        come.

        Args:
            index: of the table.
            key: its partition, name and value.
            filtered: an attribute, name and value; None takes all rows.
            limit: how many rows at the most.
            start: where to go on.
            prefix: of the items' keys, where the index is sorted by them.
            forward: the first rows first, else the last.
        """
        names, values = {"#key": key[0]}, {":key": key[1]}
        request: dict[str, Any] = {
            "TableName": self.name,
            "IndexName": index,
            "KeyConditionExpression": "#key = :key",
            "ScanIndexForward": forward,
        }
        if prefix is not None:
            request["KeyConditionExpression"] += f" AND begins_with({schema.KEY}, :prefix)"
            values[":prefix"] = prefix
        if filtered is not None:
            request["FilterExpression"] = "#filtered = :filtered"
            names["#filtered"], values[":filtered"] = filtered
        request["ExpressionAttributeNames"] = names
        request["ExpressionAttributeValues"] = marshal(values)
        rows: list[Mapping[str, Any]] = []
        for _ in range(_FILTERED_PAGES if filtered else limit + 1):
            # With a filter DynamoDB's limit counts what it looks at, not what it returns.
            request["Limit"] = _FILTERED_ROWS if filtered else limit + 1 - len(rows)
            if start:
                request["ExclusiveStartKey"] = start
            answer = self._clients.dynamodb.query(**request)
            rows += [unmarshal(row) for row in answer["Items"]]
            start = answer.get("LastEvaluatedKey")
            if len(rows) > limit:
                return rows[:limit], rows[limit - 1]
            if not start:
                return rows, None
        return rows, unmarshal(start or {})

    @maps_aws_errors
    def due_keys(self, lane: StrEnum, until: datetime, limit: int | None = None) -> list[str]:
        """Return the keys of what is due in a lane up to an instant, the longest due first.

        With a limit only so many. The index lags.
        """
        bound = (schema.DUE_AT, "<=", instant_text(until))
        shards = (
            self.partition(schema.DUE, (schema.DUE_SHARD, due_shard(lane, n)), bound, page=limit)
            for n in range(SHARDS)
        )
        rows = heapq.merge(*shards, key=lambda row: str(row[schema.DUE_AT]))
        return [str(row[schema.KEY]) for row in islice(rows, limit)]

    def partition(
        self,
        index: str,
        key: tuple[str, str],
        bound: tuple[str, str, str] | None = None,
        *,
        page: int | None = None,
    ) -> Iterator[Mapping[str, Any]]:
        """Yield all rows of a partition of an index in their order, a page at a time.

        Args:
            index: of the table.
            key: the partition, name and value.
            bound: of the sort key: its name, a comparison, and a value.
            page: how many rows a call asks for; None for as many as there is room for.
        """
        condition, names, values = "#key = :key", {"#key": key[0]}, {":key": key[1]}
        if bound is not None:
            names["#sorted"], comparison, values[":bound"] = bound
            condition += f" AND #sorted {comparison} :bound"
        pages = self._clients.dynamodb.get_paginator("query").paginate(
            TableName=self.name,
            IndexName=index,
            KeyConditionExpression=condition,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=marshal(values),
            PaginationConfig={} if page is None else {"PageSize": page},
        )
        for answer in pages:
            yield from (unmarshal(row) for row in answer["Items"])


# --- cursors ------------------------------------------------------------------------------------


class BadCursorError(ValueError):
    """A listing's cursor that this store did not make."""

    def __init__(self) -> None:
        super().__init__("cursor is not one that a listing returned")


def listing_of(tenant_id: str | None, status: RunStatus | None = None) -> tuple[str, str, str]:
    """Return index, key name and key value that lead to runs: of a tenant, or of all in a status.

    A tenant's runs in a status are found among all of its own.
    """
    if tenant_id is not None:
        return schema.BY_TENANT, schema.LISTED_TENANT, tenant_id
    if status is not None:
        return schema.BY_STATUS, schema.LISTED_STATUS, status.value
    return schema.BY_TIME, schema.LISTED, schema.ALL_RUNS


def run_id_of(row: Mapping[str, Any]) -> str:
    """Return the run that a row of an index stands for."""
    return str(row[schema.KEY]).removeprefix(run_key(""))


def cursor_after(row: Mapping[str, Any]) -> str:
    """Return the cursor that goes on after a row."""
    return to_cursor(str(row[schema.REQUESTED_KEY]))


def cursor_after_record(record: RunRecord) -> str:
    """Return the cursor that goes on after a run."""
    return to_cursor(requested_key(record))


def start_key(cursor: str, key: str, value: str) -> Mapping[str, Any]:
    """Return where in an index to go on.

    Raises:
        BadCursorError: `cursor_after` did not make the cursor.
    """
    instant, run_id = read_cursor(cursor)
    if not is_run_id(run_id):
        raise BadCursorError
    requested = f"{instant}#{run_id}"
    start = {schema.KEY: run_key(run_id), schema.REQUESTED_KEY: requested, key: value}
    return marshal(start)


def to_cursor(sort_key: str) -> str:
    """Return the cursor of a sort key: an instant, ``#``, and what else tells items apart."""
    return base64.urlsafe_b64encode(sort_key.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[str, str]:
    """Return the instant of a cursor and what follows it, as they stand in the sort key.

    Raises:
        BadCursorError: `to_cursor` did not make the cursor.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        sort_key = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        instant, _, rest = sort_key.partition("#")
        read_instant(instant)
    except (binascii.Error, ValueError) as error:
        raise BadCursorError from error
    return instant, rest
