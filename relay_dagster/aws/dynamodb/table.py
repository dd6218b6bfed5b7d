"""Reads and writes the items of one DynamoDB table.

An index lags and holds little more than keys, so code that finds an item by an index
reads it again by its key. Every item is parsed separately: an item that this release
cannot read is skipped, logged, and counted, and does not keep the others from being
read. A write keeps attributes that this release does not know.
"""

import heapq
import time
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from boto3.dynamodb.conditions import Attr, ConditionBase, Key

from relay_dagster.aws import errors
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import codec, expressions, schema
from relay_dagster.aws.dynamodb.codec import Item, ItemReader
from relay_dagster.aws.dynamodb.expressions import Update, request_arguments
from relay_dagster.aws.dynamodb.schema import Partition
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.external_errors import UnreadableItemError
from relay_dagster.logs import event_log

_T = TypeVar("_T")
_Row = Mapping[str, Any]
"""A row of an index: plain values, by attribute."""

# The greatest numbers of items in one request of each kind
_MAX_ITEMS_READ = 100
_MAX_ITEMS_WRITTEN = 25

# How many rows a filtered page of a listing looks at, at most
_FILTERED_REQUESTS = 5
_FILTERED_ROWS = 1000  # in one request

UNREADABLE_AGAIN = timedelta(minutes=5)
"""How long a due item that this release cannot read is postponed."""

_CHANGED_MEANWHILE = errors.CONDITION_FAILED | errors.TRANSACTION_COLLIDED
_MAX_LOGGED_CHARACTERS = 500
_log = event_log()


def _ignore() -> None:
    """Do nothing."""


@errors.adapter
@dataclass(frozen=True)
class Table:
    """One table, whose key is ``pk``."""

    # The clients of AWS
    clients: Clients
    # The table's name
    name: str
    # Called for each item that this release cannot read
    count_unreadable: Callable[[], None] = _ignore
    # Waits for a number of seconds
    sleep: Callable[[float], None] = time.sleep

    # --- reads of items, all consistent -----------------------------------------------

    def item(self, key: str) -> Item | None:
        """Return the item with the key, or None where there is none."""
        response = self.clients.dynamodb.get_item(
            TableName=self.name,
            Key=expressions.item_key(key),
            ConsistentRead=True,
        )
        return response.get("Item")

    def items_by_key(self, keys: Iterable[str]) -> dict[str, Item]:
        """Return the items that exist, by key."""
        items: dict[str, Item] = {}

        def read(batch: Sequence[Any]) -> Any:
            request: Any = {self.name: {"Keys": batch, "ConsistentRead": True}}
            response: Any = self.clients.dynamodb.batch_get_item(
                RequestItems=request,
            )
            for item in response.get("Responses", {}).get(self.name, []):
                items[item[schema.KEY]["S"]] = item
            return (
                response.get("UnprocessedKeys", {})
                .get(self.name, {})
                .get("Keys")
            )

        keys_of_items = [expressions.item_key(key) for key in set(keys)]
        errors.in_batches(_MAX_ITEMS_READ, keys_of_items, read, self.sleep)
        return items

    def items(self, keys: Iterable[str]) -> list[Item]:
        """Return the items that exist, in the order of their keys."""
        ordered_keys = list(keys)
        items = self.items_by_key(ordered_keys)
        return [items[key] for key in ordered_keys if key in items]

    def check(self) -> None:
        """Read an item, to find out whether the table is ready.

        Raises:
            ExternalServiceError: The table is not ready.
        """
        self.item("CHECK")

    # --- reads of values --------------------------------------------------------------

    def read(self, key: str, read: ItemReader[_T]) -> _T | None:
        """Return the value of the item with the key, or None where there is none.

        Raises:
            UnreadableItemError: This release cannot read the item.
        """
        item = self.item(key)
        return None if item is None else self.parse(item, read)

    def parse(self, item: Item, read: ItemReader[_T]) -> _T:
        """Return the value of an item.

        Raises:
            UnreadableItemError: This release cannot read the item.
        """
        try:
            return read(item)
        except Exception as error:
            self.report_unreadable(item, error)
            raise UnreadableItemError(
                f"{self.name} {item[schema.KEY]['S']}",
                repr(error),
            ) from error

    def parse_all(
        self,
        items: Iterable[Item],
        read: ItemReader[_T],
    ) -> Iterator[tuple[Item, _T | None]]:
        """Yield each item and its value, or None if this release cannot read the item."""
        for item in items:
            try:
                yield item, read(item)
            except Exception as error:  # noqa: BLE001 - another release may have written anything
                self.report_unreadable(item, error)
                yield item, None

    def read_all(self, keys: Iterable[str], read: ItemReader[_T]) -> list[_T]:
        """Return the values of items in the order of their keys.

        Items that do not exist, and those that this release cannot read, are skipped.
        """
        values = self.parse_all(self.items(keys), read)
        return [value for _, value in values if value is not None]

    def read_by_name(
        self,
        names_by_key: Mapping[str, str],
        read: Callable[[str, Item | None], _T],
    ) -> dict[str, _T]:
        """Return the values of items by name, without those that cannot be read.

        ``read`` is given a name and its item, or None where there is no item.
        """
        items = self.items_by_key(names_by_key)
        values = {}
        for key, name in names_by_key.items():
            try:
                values[name] = read(name, items.get(key))
            except Exception as error:  # noqa: BLE001 - another release may have written anything
                self.report_unreadable(items[key], error)
        return values

    def report_unreadable(self, item: Item, error: Exception) -> None:
        """Log and count an item that this release cannot read."""
        _log.error(
            "item_unreadable",
            table=self.name,
            key=item[schema.KEY]["S"],
            error=repr(error)[:_MAX_LOGGED_CHARACTERS],
        )
        self.count_unreadable()

    # --- writes -----------------------------------------------------------------------

    def put(
        self,
        role: str,
        item: Item,
        condition: ConditionBase | None = None,
    ) -> Write:
        """Return the write that stores an item instead of the one with its key."""
        layout = codec.marshal({schema.SCHEMA: schema.SCHEMA_NUMBER})
        arguments = request_arguments(
            condition=condition,
            TableName=self.name,
            Item={**item, **layout},
        )
        return Write(role, "Put", arguments)

    def new(self, role: str, item: Item) -> Write:
        """Return the write that stores an item, if there is none with its key."""
        return self.put(role, item, expressions.DOES_NOT_EXIST)

    def update(
        self,
        role: str,
        key: str,
        update: Update,
        condition: ConditionBase | None = None,
    ) -> Write:
        """Return the write that changes attributes of an item, or creates the item."""
        arguments = request_arguments(
            update=update,
            condition=condition,
            TableName=self.name,
            Key=expressions.item_key(key),
        )
        return Write(role, "Update", arguments)

    def overwrite(
        self,
        role: str,
        item: Item,
        attributes: Collection[str],
        condition: ConditionBase | None = None,
    ) -> Write:
        """Return the write that makes the named attributes of an item those of this one.

        The named attributes that this item does not have are removed.
        """
        plain = codec.unmarshal(item)
        written = sorted(set(attributes) - {schema.KEY})
        update = Update(
            sets={name: plain[name] for name in written if name in plain},
            removes=[name for name in written if name not in plain],
        )
        return self.update(role, plain[schema.KEY], update, condition)

    def change(
        self,
        role: str,
        before: Item,
        after: Item,
        revision: int,
        always: Collection[str] = (),
        condition: ConditionBase | None = None,
    ) -> Write:
        """Return the write that changes an item to another, if it is at the revision.

        Revision 0 means that the item is new. Attributes that do not differ are not
        written, so that those stay which this release does not know. Only attributes
        that may have been written without a new revision are written ``always``. A
        ``condition`` must hold too, unless the item is new.
        """
        if not revision:
            return self.new(role, after)
        differing = {
            name
            for name in before.keys() | after.keys()
            if before.get(name) != after.get(name)
        }
        is_current = expressions.at_revision(revision)
        if condition is not None:
            is_current = is_current & condition
        return self.overwrite(role, after, differing | set(always), is_current)

    def delete(
        self,
        role: str,
        key: str,
        condition: ConditionBase | None = None,
    ) -> Write:
        """Return the write that deletes an item."""
        arguments = request_arguments(
            condition=condition,
            TableName=self.name,
            Key=expressions.item_key(key),
        )
        return Write(role, "Delete", arguments)

    def require(self, role: str, key: str, condition: ConditionBase) -> Write:
        """Return the write that changes nothing, and requires a condition of an item."""
        arguments = request_arguments(
            condition=condition,
            TableName=self.name,
            Key=expressions.item_key(key),
        )
        return Write(role, "ConditionCheck", arguments)

    def carry_out(self, write: Write) -> bool:
        """Carry out one write.

        Return False if its condition fails, or another writer is changing the item.
        """
        client: Any = self.clients.dynamodb
        calls = {
            "Put": client.put_item,
            "Update": client.update_item,
            "Delete": client.delete_item,
        }

        response = errors.unless(
            _CHANGED_MEANWHILE,
            calls[write.action],
            **write.arguments,
        )
        return response is not None

    def postpone(self, item: Item, attribute: str, instant: str) -> None:
        """Let an item be due at a later instant, unless the item has changed in the meantime.

        ``attribute`` holds the instant at which the item is due, as text.
        """
        plain = codec.unmarshal(item)
        update = Update(sets={attribute: instant})
        is_unchanged = Attr(attribute).eq(plain.get(attribute))
        self.carry_out(
            self.update("due", plain[schema.KEY], update, is_unchanged),
        )

    def write_all(self, requests: Iterable[Mapping[str, Any]]) -> None:
        """Carry out the requests of BatchWriteItem, as many as there are.

        Raises:
            ThrottledError: DynamoDB left some unprocessed many times.
        """

        def write(batch: Sequence[Any]) -> Any:
            response = self.clients.dynamodb.batch_write_item(
                RequestItems={self.name: batch},
            )
            return response.get("UnprocessedItems", {}).get(self.name)

        errors.in_batches(_MAX_ITEMS_WRITTEN, requests, write, self.sleep)

    # --- listings, by indexes that lag ------------------------------------------------

    def rows(
        self,
        partition: Partition,
        bound: ConditionBase | None = None,
        *,
        page_size: int | None = None,
    ) -> Iterator[_Row]:
        """Yield the rows of a partition in the order of its index.

        ``bound`` is a condition of the sort key.
        """
        return self._all_rows(
            IndexName=partition.index,
            PaginationConfig={}
            if page_size is None
            else {"PageSize": page_size},
            **request_arguments(partition=partition, bound=bound),
        )

    def page(
        self,
        partition: Partition,
        *,
        limit: int,
        start: Item | None,
        bound: ConditionBase | None = None,
        matching: ConditionBase | None = None,
        forward: bool = False,
    ) -> tuple[list[_Row], _Row | None]:
        """Return up to ``limit`` rows of a partition, the last rows first.

        The second value is the row after which the next page begins, or None at the end.
        With ``matching``, a condition of attributes other than the sort key, some
        thousands of rows are looked at. The page may then have few rows or none, even
        though more rows follow.
        """
        request = request_arguments(
            partition=partition,
            bound=bound,
            matching=matching,
            TableName=self.name,
            IndexName=partition.index,
            ScanIndexForward=forward,
        )
        rows: list[_Row] = []
        is_filtered = matching is not None
        for _ in range(_FILTERED_REQUESTS if is_filtered else limit + 1):
            # With a filter, DynamoDB's limit is of rows looked at, not of rows returned.
            request["Limit"] = (
                _FILTERED_ROWS if is_filtered else limit + 1 - len(rows)
            )
            if start:
                request["ExclusiveStartKey"] = start
            response = self.clients.dynamodb.query(**request)
            rows += [codec.unmarshal(row) for row in response["Items"]]
            start = response.get("LastEvaluatedKey")
            if len(rows) > limit:
                return rows[:limit], rows[limit - 1]
            if not start:
                return rows, None
        return rows, codec.unmarshal(start or {})

    def due_keys(
        self,
        queue: str,
        until: datetime,
        limit: int | None = None,
    ) -> list[str]:
        """Return the keys of a queue's items that are due, the longest due first."""
        is_due = Key(schema.DUE_AT).lte(codec.instant_text(until))
        shards = []
        for shard in range(schema.SHARDS):
            partition = schema.due_items(queue, shard)
            shards.append(self.rows(partition, is_due, page_size=limit))
        rows = heapq.merge(*shards, key=lambda row: str(row[schema.DUE_AT]))
        return [str(row[schema.KEY]) for row in islice(rows, limit)]

    def read_due(
        self,
        queue: str,
        until: datetime,
        limit: int,
        read: ItemReader[_T],
    ) -> list[_T]:
        """Return the values of a queue's items that are due, the longest due first.

        The items are read consistently. One that this release cannot read is postponed.
        """
        items = self.items(self.due_keys(queue, until, limit))
        latest_due_at = codec.instant_text(until)
        values = []
        for item, value in self.parse_all(items, read):
            if value is None:
                later = codec.instant_text(until + UNREADABLE_AGAIN)
                self.postpone(item, schema.DUE_AT, later)
                continue
            # The index may learn too late that an item is no longer due.
            due_at = codec.unmarshal(item).get(schema.DUE_AT)
            if due_at is not None and due_at <= latest_due_at:
                values.append(value)
        return values

    def scan(
        self,
        attributes: Sequence[str],
        condition: str,
        values: Mapping[str, str],
        after: str | None = None,
    ) -> tuple[list[_Row], str | None]:
        """Return a page of all items that meet a condition: keys and some attributes.

        The condition is an expression, and ``values`` are those of its placeholders,
        without their colons. Items that change during the scan are met in either state.
        The second value is the key after which the next page begins, or None at the
        end. ``after`` is the key that came with the page before.
        """
        placeholders = {f":{name}": value for name, value in values.items()}
        request: dict[str, Any] = {
            "TableName": self.name,
            "ProjectionExpression": ", ".join((schema.KEY, *attributes)),
            "FilterExpression": condition,
            "ExpressionAttributeValues": codec.marshal(placeholders),
        }
        if after is not None:
            request["ExclusiveStartKey"] = expressions.item_key(after)
        response = self.clients.dynamodb.scan(**request)
        rows: list[_Row] = [codec.unmarshal(row) for row in response["Items"]]
        last_key = response.get("LastEvaluatedKey")
        return rows, None if last_key is None else last_key[schema.KEY]["S"]

    def _all_rows(self, **request: Any) -> Iterator[_Row]:
        """Yield the rows of all pages. Each page is fetched when it is needed."""
        paginator: Any = self.clients.dynamodb.get_paginator("query")
        pages = iter(paginator.paginate(TableName=self.name, **request))

        @errors.maps_aws_errors
        def next_page() -> Mapping[str, Any] | None:
            return next(pages, None)

        while (page := next_page()) is not None:
            for row in page["Items"]:
                yield codec.unmarshal(row)
