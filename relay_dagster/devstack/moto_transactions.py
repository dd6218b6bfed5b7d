"""moto's transactions, without a copy of whole tables.

Before each transaction, moto copies its tables with all items, to restore them if the
transaction is canceled. The copies take longer with each item, and are more than half of
what moto does during a run. Here they share all items but those that the transaction
names, which are the only ones that it can change.
"""

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from functools import cache
from typing import Any

_Operations = Sequence[Mapping[str, Mapping[str, Any]]]
"""The operations of a transaction, each by its kind: ``{"Put": {"TableName": ...}}``."""

_current: ContextVar[_Operations | None] = ContextVar(
    "operations",
    default=None,
)


@cache
def copy_named_items_only() -> None:
    """Change moto in this process, once."""
    from moto.dynamodb.models import DynamoDBBackend
    from moto.dynamodb.models.table import Table

    backend_class: Any = DynamoDBBackend
    table_class: Any = Table
    write_items = backend_class.transact_write_items

    def transact_write_items(backend: Any, operations: _Operations) -> None:
        token = _current.set(operations)
        try:
            write_items(backend, operations)
        finally:
            _current.reset(token)

    backend_class.transact_write_items = transact_write_items
    table_class.__deepcopy__ = _copy_of_table


def _copy_of_table(table: Any, memo: dict[int, Any]) -> Any:
    """Return a copy of a table; in a transaction, it shares the items that stay."""
    table_copy = copy.copy(table)
    memo[id(table)] = table_copy
    operations = _current.get()
    if operations is None:
        vars(table_copy).update(copy.deepcopy(vars(table), memo))
        return table_copy
    items = defaultdict(dict, table.items)
    if table.has_range_key:
        for hash_key, items_of_key in table.items.items():
            items[hash_key] = dict(items_of_key)
    table_copy.items = items
    for operation in operations:
        for request in operation.values():
            if request.get("TableName") == table.name:
                _copy_item(table_copy, request.get("Key", request.get("Item")))
    return table_copy


def _copy_item(table: Any, key: Any) -> None:
    """Give a table a copy of its item with a key, if it has one."""
    from moto.dynamodb.models.dynamo_type import DynamoType

    names = [table.hash_key_attr]
    if table.has_range_key:
        names.append(table.range_key_attr)
    if not isinstance(key, Mapping) or not all(name in key for name in names):
        # moto rejects the request before it changes anything.
        return
    *outer_keys, last_key = (DynamoType(key[name]) for name in names)
    items = table.items
    for outer_key in outer_keys:
        items = items[outer_key]
    if last_key in items:
        items[last_key] = copy.deepcopy(items[last_key])
