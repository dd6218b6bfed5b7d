"""Builds the expressions of DynamoDB requests, with placeholders for names and values.

Conditions come from `boto3.dynamodb.conditions`. boto3 has nothing of the kind for
updates, so `Update` describes the changes of an item's attributes.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from boto3.dynamodb.conditions import (
    Attr,
    ConditionBase,
    ConditionExpressionBuilder,
    Key,
)

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import (
    Item,
    epoch_seconds,
    instant_text,
    marshal,
    unmarshal,
)

EXISTS = Attr(schema.KEY).exists()
"""The condition that there is an item with the key."""

DOES_NOT_EXIST = Attr(schema.KEY).not_exists()
"""The condition that there is no item with the key."""


def at_revision(revision: int) -> ConditionBase:
    """Return the condition that an item is at a revision."""
    return Attr("revision").eq(revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Changes of an item's attributes. Values are plain, and mapped by attribute."""

    # Values to store
    sets: Mapping[str, Any] = field(default_factory=dict)
    # Attributes to remove
    removes: Collection[str] = ()
    # Numbers to add to numbers, and members to add to sets
    adds: Mapping[str, Any] = field(default_factory=dict)
    # Members to remove from sets
    deletes: Mapping[str, Any] = field(default_factory=dict)


class Expressions:
    """Collects the expressions of one request, which share their placeholders."""

    def __init__(self) -> None:
        """Begin with no expression."""
        self._builder = ConditionExpressionBuilder()
        self._texts: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def add_condition(self, condition: ConditionBase | None) -> None:
        """Add the condition of a write; None adds nothing."""
        if condition is not None:
            self._add("ConditionExpression", condition, is_key_condition=False)

    def add_filter(self, condition: ConditionBase | None) -> None:
        """Add the condition of the rows that a query returns; None adds nothing."""
        if condition is not None:
            self._add("FilterExpression", condition, is_key_condition=False)

    def add_key_condition(self, condition: ConditionBase) -> None:
        """Add the condition of the keys that a query looks at."""
        self._add("KeyConditionExpression", condition, is_key_condition=True)

    def _add(
        self,
        parameter: str,
        condition: ConditionBase,
        *,
        is_key_condition: bool,
    ) -> None:
        built = self._builder.build_expression(condition, is_key_condition)
        self._texts[parameter] = built.condition_expression
        self._names.update(built.attribute_name_placeholders)
        self._values.update(marshal(built.attribute_value_placeholders))

    def add_update(self, update: Update) -> None:
        """Add the changes of an item, and the number of the layout if it has none yet."""
        self._add_names([schema.SCHEMA])
        self._add_values({schema.SCHEMA: schema.SCHEMA_NUMBER})
        assignments = [
            f"#{schema.SCHEMA} = if_not_exists(#{schema.SCHEMA}, :{schema.SCHEMA})",
            *(f"#{name} = :{name}" for name in update.sets),
        ]
        clauses = ["SET " + ", ".join(assignments)]
        if update.removes:
            attributes = [f"#{name}" for name in update.removes]
            clauses.append("REMOVE " + ", ".join(attributes))
        if update.adds:
            operands = [f"#{name} :{name}" for name in update.adds]
            clauses.append("ADD " + ", ".join(operands))
        if update.deletes:
            operands = [f"#{name} :{name}" for name in update.deletes]
            clauses.append("DELETE " + ", ".join(operands))
        self._add_names(update.removes)
        for changes in (update.sets, update.adds, update.deletes):
            self._add_names(changes)
            self._add_values(changes)
        self._texts["UpdateExpression"] = " ".join(clauses)

    def _add_names(self, attributes: Iterable[str]) -> None:
        self._names.update({f"#{name}": name for name in attributes})

    def _add_values(self, values: Mapping[str, Any]) -> None:
        self._values.update(
            marshal({f":{name}": values[name] for name in values}),
        )

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the request, each of them only where it is not empty."""
        arguments: dict[str, Any] = dict(self._texts)
        if self._names:
            arguments["ExpressionAttributeNames"] = self._names
        if self._values:
            arguments["ExpressionAttributeValues"] = self._values
        return arguments


def item_key(key: str) -> Any:
    """Return a key as the calls of DynamoDB take it."""
    return marshal({schema.KEY: key})


def in_partition(
    partition: schema.Partition,
    bound: ConditionBase | None,
) -> ConditionBase:
    """Return the condition of a partition's rows, and of their sort key if it is bound."""
    condition = Key(partition.attribute).eq(partition.value)
    return condition if bound is None else condition & bound


def is_due(item: Item, until: datetime) -> bool:
    """Return True if an item is still due, which its index may know too late."""
    due_at = unmarshal(item).get(schema.DUE_AT)
    return due_at is not None and due_at <= instant_text(until)


def count_up(
    attribute: str,
    limit: int,
    until: datetime,
) -> tuple[Update, ConditionBase]:
    """Return the update that adds 1 to a count, and the condition that it is below a limit.

    The item of the count expires at ``until``.
    """
    update = Update(
        adds={attribute: 1},
        sets={schema.EXPIRY: epoch_seconds(until)},
    )
    is_below = Attr(attribute).not_exists() | Attr(attribute).lt(limit)
    return update, is_below
