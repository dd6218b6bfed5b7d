"""Builds the expressions of DynamoDB requests, with placeholders for names and values.

Conditions come from `boto3.dynamodb.conditions`. boto3 has nothing of the kind for
updates, so `Update` describes the changes of an item's attributes.
"""

from collections.abc import Collection, Mapping
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
    epoch_seconds,
    marshal,
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


def request_arguments(
    *,
    partition: schema.Partition | None = None,
    bound: ConditionBase | None = None,
    matching: ConditionBase | None = None,
    update: Update | None = None,
    condition: ConditionBase | None = None,
    **further_arguments: Any,
) -> dict[str, Any]:
    """Return the arguments of a request: its expressions, and the further arguments.

    A query looks at the rows of a ``partition`` whose sort key meets ``bound``, and returns
    those that are ``matching``. A write makes an ``update`` if a ``condition`` holds. None
    adds no expression.
    """
    key_condition: ConditionBase | None = None
    if partition is not None:
        key_condition = Key(partition.attribute).eq(partition.value)
        if bound is not None:
            key_condition = key_condition & bound
    arguments = further_arguments
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    if update is not None:
        written = {
            schema.SCHEMA: schema.SCHEMA_NUMBER,
            **update.sets,
            **update.adds,
            **update.deletes,
        }
        names = {f"#{name}": name for name in (*written, *update.removes)}
        values = {f":{name}": value for name, value in written.items()}
        arguments["UpdateExpression"] = _update_expression(update)
    conditions = (
        ("KeyConditionExpression", key_condition, True),
        ("FilterExpression", matching, False),
        ("ConditionExpression", condition, False),
    )
    builder = ConditionExpressionBuilder()
    for parameter, required, is_of_keys in conditions:
        if required is not None:
            built = builder.build_expression(required, is_of_keys)
            arguments[parameter] = built.condition_expression
            names.update(built.attribute_name_placeholders)
            values.update(built.attribute_value_placeholders)
    if names:
        arguments["ExpressionAttributeNames"] = names
    if values:
        arguments["ExpressionAttributeValues"] = marshal(values)
    return arguments


def _update_expression(update: Update) -> str:
    """Return the text of an update, which numbers the item's layout if it has no number."""
    number_layout = (
        f"#{schema.SCHEMA} = if_not_exists(#{schema.SCHEMA}, :{schema.SCHEMA})"
    )
    assignments = [f"#{name} = :{name}" for name in update.sets]
    clauses = ["SET " + ", ".join([number_layout, *assignments])]
    if update.removes:
        attributes = [f"#{name}" for name in update.removes]
        clauses.append("REMOVE " + ", ".join(attributes))
    if update.adds:
        operands = [f"#{name} :{name}" for name in update.adds]
        clauses.append("ADD " + ", ".join(operands))
    if update.deletes:
        operands = [f"#{name} :{name}" for name in update.deletes]
        clauses.append("DELETE " + ", ".join(operands))
    return " ".join(clauses)


def item_key(key: str) -> Any:
    """Return a key as the calls of DynamoDB take it."""
    return marshal({schema.KEY: key})


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
