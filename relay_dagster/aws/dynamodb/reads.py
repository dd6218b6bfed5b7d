"""Reads of one DynamoDB table: items by key, consistently, and rows of its indexes.

Whoever found a thing by an index reads it again by its key: indexes lag, and hold keys alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.serialization import marshal, unmarshal
from relay_dagster.aws.error_mapping import maps_aws_errors
from relay_dagster.aws.retries import retrying
from relay_dagster.external_errors import ThrottledError

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
        status: RunStatus | None,
        limit: int,
        start: Mapping[str, Any] | None,
        *,
        forward: bool = False,
    ) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any] | None]:
        """Return up to ``limit`` rows of an index, and the row to go on after; None at the end.

        With a status that the index does not lead to, no more than some thousands of rows are
        looked at: there may be fewer of them than ``limit``, or none, and yet more to come.
        """
        values = {":key": key[1], ":status": status.value if status else None}
        names = {"#key": key[0], **({"#status": "status"} if status else {})}
        request: dict[str, Any] = {
            "TableName": self.name,
            "IndexName": index,
            "KeyConditionExpression": "#key = :key",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": marshal(values),
            "ScanIndexForward": forward,
        }
        if status:
            request["FilterExpression"] = "#status = :status"
        rows: list[Mapping[str, Any]] = []
        for _ in range(_FILTERED_PAGES if status else limit + 1):
            # With a filter DynamoDB's limit counts what it looks at, not what it returns.
            request["Limit"] = _FILTERED_ROWS if status else limit + 1 - len(rows)
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
