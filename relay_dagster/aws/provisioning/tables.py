"""Creates the tables of an installation, and sets the protections that they lack.

``aws/dynamodb/schema.py`` defines the tables.
"""

from collections.abc import Mapping
from typing import Any

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.errors import has_answered, retrying

_RECOVERY_TRIES = 30
# DynamoDB fills a new index of a table that has items.
_INDEX_TRIES = 360
_ON = frozenset({"ENABLED", "ENABLING"})


class _IndexNotReadyError(Exception):
    """DynamoDB is still creating an index."""


def table_exists(clients: Clients, name: str) -> bool:
    """Return True if the table exists."""
    try:
        clients.dynamodb.describe_table(TableName=name)
    except clients.dynamodb.exceptions.ResourceNotFoundException:
        return False
    return True


def await_table(clients: Clients, name: str) -> None:
    """Wait until a table can be used, even if another process creates it."""
    waiter = clients.dynamodb.get_waiter("table_exists")
    waiter.wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})


def add_missing_indexes(
    clients: Clients,
    definition: Mapping[str, Any],
) -> list[str]:
    """Add the indexes that a table lacks, and wait until they can be used.

    Return a sentence for each. Another release may have created the table. A table with
    another key is none of ours and stays as it is.
    """
    table = definition["TableName"]
    described = clients.dynamodb.describe_table(TableName=table)["Table"]
    if _keys(described) != _keys(definition):
        return []
    existing_names = set(_indexes(clients, table))
    changes = []
    for index in definition["GlobalSecondaryIndexes"]:
        name = index["IndexName"]
        if name not in existing_names:
            _add_index(clients, definition, index)
            changes.append(
                f"set index {name} of table {table} to {_keys(index)}",
            )
    return changes


def protect_table(clients: Clients, name: str, *, expires: bool) -> list[str]:
    """Set point-in-time recovery, and the expiry of items, if they are not set.

    Return a sentence for each. ``expires`` is False for a table whose items stay.
    """
    dynamodb = clients.dynamodb
    changes = []
    if not _has_recovery(clients, name):
        # DynamoDB takes a while to prepare a new table for it.
        again = retrying(
            has_answered("ContinuousBackupsUnavailableException"),
            tries=_RECOVERY_TRIES,
            max_pause_seconds=2,
        )
        again(
            dynamodb.update_continuous_backups,
            TableName=name,
            PointInTimeRecoverySpecification={
                "PointInTimeRecoveryEnabled": True,
            },
        )
        changes.append(f"set point-in-time recovery of table {name} to ENABLED")
    if expires and not _has_expiry(clients, name):
        dynamodb.update_time_to_live(
            TableName=name,
            TimeToLiveSpecification={
                "Enabled": True,
                "AttributeName": schema.EXPIRY,
            },
        )
        changes.append(
            f"set expiry of items of table {name} to by {schema.EXPIRY}",
        )
    return changes


def _has_recovery(clients: Clients, name: str) -> bool:
    response = clients.dynamodb.describe_continuous_backups(TableName=name)
    backups = response["ContinuousBackupsDescription"]
    recovery = backups.get("PointInTimeRecoveryDescription", {})
    return recovery.get("PointInTimeRecoveryStatus") in _ON


def _has_expiry(clients: Clients, name: str) -> bool:
    response = clients.dynamodb.describe_time_to_live(TableName=name)
    return response["TimeToLiveDescription"]["TimeToLiveStatus"] in _ON


def _add_index(
    clients: Clients,
    definition: Mapping[str, Any],
    index: Mapping[str, Any],
) -> None:
    """Add an index to a table, and wait until it can be used."""
    name = index["IndexName"]
    table = definition["TableName"]
    key_attributes = {key["AttributeName"] for key in index["KeySchema"]}
    attribute_definitions = [
        attribute
        for attribute in definition["AttributeDefinitions"]
        if attribute["AttributeName"] in key_attributes
    ]
    update: Any = {"Create": dict(index)}
    clients.dynamodb.update_table(
        TableName=table,
        AttributeDefinitions=attribute_definitions,
        GlobalSecondaryIndexUpdates=[update],
    )

    def require_ready() -> None:
        status = (
            _indexes(clients, table).get(name, {}).get("IndexStatus", "ACTIVE")
        )
        if status != "ACTIVE":
            raise _IndexNotReadyError(
                f"index {name} of table {table} is {status}",
            )

    again = retrying(
        lambda error: isinstance(error, _IndexNotReadyError),
        tries=_INDEX_TRIES,
        max_pause_seconds=5,
    )
    again(require_ready)


def _indexes(clients: Clients, table: str) -> dict[str, Mapping[str, Any]]:
    """Return the indexes that a table has, by name."""
    described: Any = clients.dynamodb.describe_table(TableName=table)["Table"]
    indexes = described.get("GlobalSecondaryIndexes", [])
    return {index["IndexName"]: index for index in indexes}


def _keys(described: Mapping[str, Any]) -> str:
    """Return the key attributes of a table or an index, the partition key first."""
    keys = sorted(described["KeySchema"], key=lambda key: str(key["KeyType"]))
    return ", ".join(key["AttributeName"] for key in keys)
