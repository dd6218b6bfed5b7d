"""One DynamoDB table: items by key, consistently, rows of indexes, cursors, and writes of items.

Whoever found an item by an index reads it again by its key: indexes lag, and hold keys alone. Each
item is read by itself: one that this release cannot read is skipped, logged and counted, and the
others are read. A write of an item leaves the attributes as they are that this release does not
know. A cursor is a sort key in base64, which says nothing that a caller may not know.
"""

import base64
import binascii
import heapq
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, auto
from itertools import islice
from typing import Any, TypeVar

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.clients import (
    CONDITION_FAILED,
    TRANSACTION_COLLIDED,
    Clients,
    adapter,
    maps_aws_errors,
    retrying,
    unless,
)
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import (
    Item,
    epoch_seconds,
    instant_text,
    marshal,
    read_instant,
    unmarshal,
)
from relay_dagster.aws.dynamodb.schema import Kind, due_shard
from relay_dagster.external_errors import ThrottledError, UnreadableItemError
from relay_dagster.logs import event_log

_T = TypeVar("_T")
_BATCH, _WRITES = 100, 25
# What a listing goes through at the most, for those of its rows that are in a status.
_FILTERED_PAGES, _FILTERED_ROWS = 5, 1000
_CHANGED = CONDITION_FAILED | TRANSACTION_COLLIDED
_IS_NEW = f"attribute_not_exists({schema.KEY})"
UNREADABLE_AGAIN = timedelta(minutes=5)
"""After which an item is met again that could not be read."""
IS_THERE = f"attribute_exists({schema.KEY})"
_MAX_SHOWN = 500
_log = event_log()


class BadCursorError(ValueError):
    """A listing's cursor that this store did not make."""

    def __init__(self) -> None:
        super().__init__("cursor is not one that a listing returned")


def listing_of(
    tenant_id: str | None, status: RunStatus | None = None
) -> tuple[str, str, str]:
    """Return index, key name and value that lead to runs: of a tenant, in a status, or to all."""
    if tenant_id is not None:
        return schema.BY_TENANT, schema.LISTED_TENANT, tenant_id
    if status is not None:
        return schema.BY_STATUS, schema.LISTED_STATUS, status.value
    return schema.BY_TIME, schema.LISTED, schema.ALL_RUNS


def cursor_after(row: Mapping[str, Any] | None) -> str | None:
    """Return the cursor that goes on after a row; None after none."""
    return to_cursor(str(row[schema.REQUESTED_KEY])) if row else None


def start_key(
    cursor: str | None, kind: Kind, is_id: Callable[[str], object], key: tuple[str, str]
) -> Mapping[str, Any] | None:
    """Return the row after which a page begins; `BadCursorError`: the cursor is none of ours."""
    if cursor is None:
        return None
    instant, name = read_cursor(cursor)
    if not is_id(name):
        raise BadCursorError
    requested = f"{instant}#{name}"
    return marshal(
        {schema.KEY: kind.key(name), schema.REQUESTED_KEY: requested, key[0]: key[1]}
    )


def to_cursor(sort_key: str) -> str:
    """Return the cursor of a sort key: an instant, ``#``, and the names of the item."""
    return base64.urlsafe_b64encode(sort_key.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[str, str]:
    """Return the instant of a cursor and what follows it; `BadCursorError` where it is none."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        sort_key = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        instant, _, rest = sort_key.partition("#")
        read_instant(instant)
    except (binascii.Error, ValueError) as error:
        raise BadCursorError from error
    return instant, rest


class Condition(IntEnum):
    """What the condition of a write ensures.

    Where several conditions of a transaction fail, the first member of this list that is
    among them is reported.
    """

    TENANT_ACTIVE = auto()  # the tenant is not being deleted
    UNCHANGED = auto()  # the item is as it was read
    TENANT_IDLE = auto()  # no other run has the tenant's lock
    WITHIN_QUOTA = auto()  # the tenant has not reached a quota
    NOT_AUDITED = auto()  # the audit does not have the entry yet


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a transaction: ``Put``, ``Update``, ``Delete`` or ``ConditionCheck``."""

    role: str  # names it, to tell which condition failed
    action: str  # what it does
    arguments: Mapping[str, Any]  # of the call
    optional: bool = (
        False  # the others are carried out without it where its condition fails
    )
    condition: Condition = Condition.UNCHANGED  # what the condition ensures
    # Makes the error of the failed condition from the stored item; None for a lost commit
    refusal: Callable[[Mapping[str, Any] | None], Exception] | None = None

    def request(self) -> dict[str, Any]:
        """Return the entry of TransactItems; a failed condition answers with the item."""
        arguments = dict(self.arguments)
        if "ConditionExpression" in arguments:
            arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return {self.action: arguments}


@adapter
@dataclass(frozen=True)
class Table:
    """One table, keyed by ``pk``."""

    clients: Clients  # AWS
    name: str
    count_unreadable: Callable[[], None] = lambda: (
        None
    )  # called for each that cannot be read
    sleep: Callable[[float], None] = time.sleep  # how to wait

    def item(self, key: str) -> Mapping[str, Any] | None:
        """Return one item, read consistently; None where there is none."""
        where: Any = {"TableName": self.name, "Key": marshal({schema.KEY: key})}
        return self.clients.dynamodb.get_item(**where, ConsistentRead=True).get("Item")

    def read(self, key: str, read: Callable[[Mapping[str, Any]], _T]) -> _T | None:
        """Return the value of an item, or None; `UnreadableItemError` where it cannot be read."""
        item = self.item(key)
        return None if item is None else self.parse(item, read)

    def check(self) -> None:
        """Touch the table, for readiness: returns, or raises the fault."""
        self.item("CHECK")

    def parse(
        self, item: Mapping[str, Any], read: Callable[[Mapping[str, Any]], _T]
    ) -> _T:
        """Return the value of an item; `UnreadableItemError`: this release cannot read it."""
        try:
            return read(item)
        except Exception as error:
            self.report_unreadable(item, error)
            raise UnreadableItemError(
                f"{self.name} {item[schema.KEY]['S']}", repr(error)
            ) from error

    def read_all(
        self, keys: Iterable[str], read: Callable[[Mapping[str, Any]], _T]
    ) -> Iterator[_T]:
        """Yield the values of items, in the order of their keys; an unreadable one is skipped."""
        return (
            found
            for _, found in self.readable(self.in_order(keys), read)
            if found is not None
        )

    def read_due(
        self,
        queue: str,
        until: datetime,
        limit: int,
        read: Callable[[Mapping[str, Any]], _T],
        besides: Collection[str] = (),
    ) -> list[_T]:
        """Return items that are due, longest due first, read consistently; unreadable ones wait."""
        keys = self.due_keys(queue, until, limit + len(besides))
        items = self.in_order([key for key in keys if key not in besides][:limit])
        due = []
        for item, found in self.readable(items, read):
            if found is None:
                self.postpone(
                    item, schema.DUE_AT, instant_text(until + UNREADABLE_AGAIN)
                )
            elif unmarshal(item).get(schema.DUE_AT, "~") <= instant_text(until):
                due.append(found)
        return due

    def batch(self, keys: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Return the items there are, by key, read consistently."""
        found: dict[str, Mapping[str, Any]] = {}

        def read(some: Sequence[Any]) -> Any:
            request: Any = {self.name: {"Keys": some, "ConsistentRead": True}}
            answer = self.clients.dynamodb.batch_get_item(RequestItems=request)
            for item in answer.get("Responses", {}).get(self.name, []):
                found[item[schema.KEY]["S"]] = item
            left: Any = answer.get("UnprocessedKeys", {}).get(self.name, {})
            return left.get("Keys")

        self._in_batches(
            _BATCH, (marshal({schema.KEY: key}) for key in set(keys)), read
        )
        return found

    def in_order(self, keys: Iterable[str]) -> list[Mapping[str, Any]]:
        """Return the items there are, in the order of their keys, read consistently."""
        wanted = list(keys)
        found = self.batch(wanted)
        return [found[key] for key in wanted if key in found]

    def read_each(
        self,
        names: Mapping[str, str],
        read: Callable[[str, Mapping[str, Any] | None], _T],
    ) -> dict[str, _T]:
        """Return the values of items (None for none) by names of keys, but unreadable ones."""
        items, said = self.batch(names), {}
        for key, name in names.items():
            try:
                said[name] = read(name, items.get(key))
            except Exception as error:  # noqa: BLE001 - whatever another release has written
                self.report_unreadable(items[key], error)
        return said

    def readable(
        self,
        items: Iterable[Mapping[str, Any]],
        read: Callable[[Mapping[str, Any]], _T],
    ) -> Iterator[tuple[Mapping[str, Any], _T | None]]:
        """Yield each item with its value; with None where this release cannot read it."""
        for item in items:
            try:
                yield item, read(item)
            except Exception as error:  # noqa: BLE001 - whatever another release has written
                self.report_unreadable(item, error)
                yield item, None

    def report_unreadable(self, item: Mapping[str, Any], error: Exception) -> None:
        """Log an item that this release cannot read, and count it."""
        key = item[schema.KEY]["S"]
        _log.error(
            "item_unreadable", table=self.name, key=key, error=repr(error)[:_MAX_SHOWN]
        )
        self.count_unreadable()

    def postpone(self, item: Mapping[str, Any], attribute: str, later: str) -> None:
        """Let an item that this release cannot read be due later, unless it has changed.

        ``attribute`` is the one by which an index sorts the item, ``later`` its value.
        """
        write = self.write(
            "due",
            "Update",
            item[schema.KEY]["S"],
            f"SET {attribute} = :later",
            f"{attribute} = :seen",
            later=later,
            seen=item.get(attribute, {}).get("S"),
        )
        self.carry_out(write)

    def new(self, role: str, item: Item) -> Write:
        """Return the write that stores an item where there is none of its key."""
        return self.put(role, item, ConditionExpression=_IS_NEW)

    def put(self, role: str, item: Item, **condition: Any) -> Write:
        """Return the write that stores an item whatever is there, or on a condition."""
        item = {**item, **marshal({schema.SCHEMA: schema.SCHEMA_NUMBER})}
        return Write(role, "Put", {"TableName": self.name, "Item": item, **condition})

    def update(
        self,
        role: str,
        item: Item,
        names: Collection[str],
        condition: str | None = None,
        **of: Any,
    ) -> Write:
        """Return the write of some attributes of an item; its other attributes stay.

        Those of ``names`` that it lacks are removed. ``of`` are the condition's values, plain.
        """
        written = sorted(set(names) - {schema.KEY})
        sets = ", ".join(f"#{name} = :{name}" for name in written if name in item)
        removes = ", ".join(f"#{name}" for name in written if name not in item)
        clauses = [
            f"{verb} {them}"
            for verb, them in (("SET", sets), ("REMOVE", removes))
            if them
        ]
        write = self.write(
            role,
            "Update",
            item[schema.KEY]["S"],
            " ".join(clauses),
            condition,
            {f"#{name}": name for name in written},
            **of,
        )
        write.arguments["ExpressionAttributeValues"].update(
            {f":{name}": item[name] for name in written if name in item}
        )
        return write

    def change(
        self,
        role: str,
        before: Item,
        after: Item,
        revision: int,
        always: Collection[str] = (),
    ) -> Write:
        """Return the write that makes an item another, if it is at a revision; 0 is that it is new.

        What has not changed is not written, so that what is not known of it stays; but what may
        have been written without a new revision is written ``always``.
        """
        if not revision:
            return self.new(role, after)
        differing = {
            name
            for name in before.keys() | after.keys()
            if before.get(name) != after.get(name)
        }
        # No field begins with an underscore; one may be called seen.
        names = differing | set(always)
        return self.update(role, after, names, "revision = :_seen", _seen=revision)

    def write(
        self,
        role: str,
        action: str,
        key: str,
        expression: str | None = None,
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        **values: Any,  # plain, by their names without the colon
    ) -> Write:
        """Return an ``Update`` by an expression, a ``Delete`` or a mere ``ConditionCheck``."""
        names = dict(names or {})
        if action == "Update":
            clause = f"SET #{schema.SCHEMA} = if_not_exists(#{schema.SCHEMA}, :{schema.SCHEMA})"
            before, sets, after = str(expression).partition("SET ")
            expression = (
                f"{before}{clause}, {after}" if sets else f"{expression} {clause}"
            )
            names[f"#{schema.SCHEMA}"] = schema.SCHEMA
            values[schema.SCHEMA] = schema.SCHEMA_NUMBER
        arguments = {
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": marshal(
                {f":{name}": values[name] for name in values}
            ),
            "ExpressionAttributeNames": names,
        }
        given = {name: value for name, value in arguments.items() if value}
        where = {"TableName": self.name, "Key": marshal({schema.KEY: key})}
        return Write(role, action, {**where, **given})

    def removal(self, role: str, key: str, revision: int) -> Write:
        """Return the write that deletes an item, if it is at a revision."""
        return self.write(
            role, "Delete", key, condition="revision = :seen", seen=revision
        )

    def count(
        self, role: str, key: str, name: str, most: int, until: datetime
    ) -> Write:
        """Return the write that counts one more, up to ``most``; its item is kept until then."""
        return self.write(
            role,
            "Update",
            key,
            f"ADD {name} :one SET {schema.EXPIRY} = :expiry",
            f"attribute_not_exists({name}) OR {name} < :most",
            one=1,
            most=most,
            expiry=epoch_seconds(until),
        )

    def carry_out(self, write: Write) -> bool:
        """Carry out one write; False where its condition fails, or another writer is at it."""
        client: Any = self.clients.dynamodb
        calls = {
            "Put": client.put_item,
            "Update": client.update_item,
            "Delete": client.delete_item,
        }
        return (
            unless(_CHANGED, lambda: calls[write.action](**write.arguments)) is not None
        )

    def write_all(self, requests: Iterable[Mapping[str, Any]]) -> None:
        """Carry out writes in batches, until all are; `ThrottledError` after many tries."""

        def write(some: Sequence[Any]) -> Any:
            answer = self.clients.dynamodb.batch_write_item(
                RequestItems={self.name: some}
            )
            return answer.get("UnprocessedItems", {}).get(self.name)

        self._in_batches(_WRITES, requests, write)

    def _in_batches(
        self, size: int, entries: Iterable[Any], call: Callable[[Sequence[Any]], Any]
    ) -> None:
        """Call with so many entries at a time, and again with those that it returns."""
        again = retrying(
            lambda error: isinstance(error, ThrottledError), sleep=self.sleep
        )
        pending = iter(entries)
        left: Any = None

        def call_with_what_is_left() -> None:
            nonlocal left
            left = call(left)
            if left:
                raise ThrottledError("dynamodb.Batch", "some stayed unprocessed")

        while left := list(islice(pending, size)):
            again(call_with_what_is_left)

    def rows(
        self,
        index: str,  # of the table
        key: tuple[str, str],  # its partition, name and value
        filtered: tuple[str, str]
        | None,  # an attribute, name and value; None takes all rows
        limit: int,  # how many rows at the most
        start: Mapping[str, Any] | None,  # where to go on
        *,
        prefix: str
        | None = None,  # of the items' keys, where the index is sorted by them
        forward: bool = False,  # the first rows first, else the last
    ) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any] | None]:
        """Return up to ``limit`` rows of an index, and the row to go on after; None at the end.

        Filtered by an attribute that the index does not lead to, only some thousands of rows are
        looked at: there may be few, or none, and yet more to come.
        """
        names, values = {"#key": key[0]}, {":key": key[1]}
        request: dict[str, Any] = {
            "TableName": self.name,
            "IndexName": index,
            "KeyConditionExpression": "#key = :key",
            "ScanIndexForward": forward,
        }
        if prefix is not None:
            request["KeyConditionExpression"] += (
                f" AND begins_with({schema.KEY}, :prefix)"
            )
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
            answer = self.clients.dynamodb.query(**request)
            rows += [unmarshal(row) for row in answer["Items"]]
            start = answer.get("LastEvaluatedKey")
            if len(rows) > limit:
                return rows[:limit], rows[limit - 1]
            if not start:
                return rows, None
        return rows, unmarshal(start or {})

    def due_keys(
        self, queue: str, until: datetime, limit: int | None = None
    ) -> list[str]:
        """Return the keys of items that are due, the longest due first; the index lags."""
        bound = (schema.DUE_AT, "<=", instant_text(until))
        shards = (
            self.partition(
                schema.DUE, (schema.DUE_SHARD, due_shard(queue, n)), bound, page=limit
            )
            for n in range(schema.SHARDS)
        )
        rows = heapq.merge(*shards, key=lambda row: str(row[schema.DUE_AT]))
        return [str(row[schema.KEY]) for row in islice(rows, limit)]

    def scan(
        self, attributes: Sequence[str], condition: str, values: Mapping[str, str]
    ) -> Iterator[Mapping[str, Any]]:
        """Return keys and some attributes of the items on a condition, as they are just then."""
        return self._all_rows(
            "scan",
            ProjectionExpression=", ".join((schema.KEY, *attributes)),
            FilterExpression=condition,
            ExpressionAttributeValues=marshal(
                {f":{name}": values[name] for name in values}
            ),
        )

    def partition(
        self,
        index: str,
        key: tuple[str, str],
        bound: tuple[str, str, str] | None = None,
        *,
        page: int | None = None,
    ) -> Iterator[Mapping[str, Any]]:
        """Return a partition of an index in order; ``bound`` is sort key, comparison, and value."""
        condition, names, values = "#key = :key", {"#key": key[0]}, {":key": key[1]}
        if bound is not None:
            names["#sorted"], comparison, values[":bound"] = bound
            condition += f" AND #sorted {comparison} :bound"
        return self._all_rows(
            "query",
            IndexName=index,
            KeyConditionExpression=condition,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=marshal(values),
            PaginationConfig={} if page is None else {"PageSize": page},
        )

    def _all_rows(self, operation: str, **request: Any) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of all pages of a call as they come; the call of each page is mapped."""
        paginator: Any = self.clients.dynamodb.get_paginator(operation)  # type: ignore[call-overload]
        pages = iter(paginator.paginate(TableName=self.name, **request))

        @maps_aws_errors
        def next_page() -> Mapping[str, Any] | None:
            return next(pages, None)

        while (answer := next_page()) is not None:
            yield from map(unmarshal, answer["Items"])
