"""What AWS holds in this process: read past its API, put aside, and put back."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer
from moto.backends import get_backend
from moto.dynamodb.models.dynamo_type import LimitedSizeDict
from moto.dynamodb.models.table import Table
from moto.s3.models import FakeDeleteMarker

SERVICES = ("dynamodb", "s3", "sqs", "cloudwatch")
ACCOUNT = "123456789012"
REGION = "us-east-1"
_PLAIN = ("S", "N", "B", "BOOL", "NULL")
_read = TypeDeserializer().deserialize


def _backend(service: str) -> Any:
    return get_backend(service)[ACCOUNT]["aws" if service == "s3" else REGION]


@contextmanager
def quick_transactions() -> Iterator[None]:
    """Let the emulator put a table aside faster: it does so for each write of a transaction.

    Plain values are never changed in place, so copies share them. Nor is an item measured anew with
    each attribute that it gets.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Table, "__deepcopy__", _copied_table, raising=False)
        patch.setattr(LimitedSizeDict, "__setitem__", dict.__setitem__)
        yield


def _copied_table(table: Table, _memo: Any) -> Table:
    copied = copy.copy(table)
    copied.items = defaultdict(dict)
    copied.items.update(
        {key: _copied_item(stored) for key, stored in table.items.items()}
    )
    return copied


def _copied_item(item: Any) -> Any:
    copied = copy.copy(item)
    copied.attrs = LimitedSizeDict()
    for name, value in item.attrs.items():
        copied.attrs[name] = (
            value if value.type in _PLAIN else copy.deepcopy(value)
        )
    return copied


class AwsState:
    """The services' state; ``SERVICES`` are those that anything is kept in."""

    def save(self) -> Mapping[str, Any]:
        return {name: copy.deepcopy(vars(_backend(name))) for name in SERVICES}

    def restore(self, saved: Mapping[str, Any]) -> None:
        for name, state in saved.items():
            vars(_backend(name)).update(copy.deepcopy(state))

    # --- DynamoDB -------------------------------------------------------------------------------

    def item(self, table: str, key: str) -> dict[str, Any] | None:
        row = self._row(table, key)
        return None if row is None else _plain(row)

    def items(self, table: str, prefix: str = "") -> list[dict[str, Any]]:
        return [
            _plain(row)
            for row in self._rows(table)
            if _key(row).startswith(prefix)
        ]

    def _row(self, table: str, key: str) -> Any:
        return next(
            (row for row in self._rows(table) if _key(row) == key), None
        )

    def _rows(self, table: str) -> list[Any]:
        return list(_backend("dynamodb").tables[table].items.values())

    # --- answers ------------------------------------------------------------------------------

    def answer(self, operation: str, params: Mapping[str, Any]) -> Any:
        """Answer a read that is plain, as the emulator would in fifty times the time; else None."""
        if operation == "GetItem":
            row = self._row(params["TableName"], params["Key"]["pk"]["S"])
            return {} if row is None else {"Item": row.to_json()["Attributes"]}
        if operation == "BatchGetItem":
            requests = params["RequestItems"].items()
            return {
                "Responses": {
                    name: [*self._found(name, request)]
                    for name, request in requests
                }
            }
        if operation == "Query" and not self._has_partition(params):
            return {"Items": [], "Count": 0, "ScannedCount": 0}
        if operation == "ReceiveMessage" and not self.messages(
            params["QueueUrl"]
        ):
            return {}
        return None

    def _found(
        self, table: str, wanted: Mapping[str, Any]
    ) -> Iterator[Mapping[str, Any]]:
        for key in wanted["Keys"]:
            row = self._row(table, key["pk"]["S"])
            if row is not None:
                yield row.to_json()["Attributes"]

    def _has_partition(self, params: Mapping[str, Any]) -> bool:
        # The first condition of a query is that of its partition.
        name = params["ExpressionAttributeNames"]["#n0"]
        value = params["ExpressionAttributeValues"][":v0"]["S"]
        rows = (row.attrs.get(name) for row in self._rows(params["TableName"]))
        return any(row is not None and row.value == value for row in rows)

    # --- S3 and SQS -----------------------------------------------------------------------------

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the keys of what is there; a marker of a deletion is nothing."""
        objects = _backend("s3").buckets[bucket].keys
        mine = [name for name in objects if name.startswith(prefix)]
        return [
            name
            for name in mine
            if not isinstance(objects[name], FakeDeleteMarker)
        ]

    def purge(self, url: str) -> None:
        """Lose all messages of a queue."""
        self.messages_of(url).clear()

    def redrive(self, url: str, dead_url: str) -> None:
        """Move all messages of a queue to its dead letters, as receives that failed would."""
        self.messages_of(dead_url).extend(self.messages_of(url))
        for message in self.messages_of(dead_url):
            message.visible_at = 0
        self.purge(url)

    def remove_attributes(self, table: str, key: str, *names: str) -> None:
        """Make an item as it was before somebody wrote these."""
        row = self._row(table, key)
        for name in names:
            row.attrs.pop(name, None)

    def messages(self, url: str) -> list[Any]:
        """Return the messages of a queue, out of sight or not."""
        return list(self.messages_of(url))

    def messages_of(self, url: str) -> list[Any]:
        """Return the very list that a queue keeps its messages in."""
        return _backend("sqs").queues[url.rpartition("/")[2]]._messages


def _key(row: Any) -> str:
    return str(row.attrs["pk"].value)


def _plain(row: Any) -> dict[str, Any]:
    return {
        name: _read(value)
        for name, value in row.to_json()["Attributes"].items()
    }
