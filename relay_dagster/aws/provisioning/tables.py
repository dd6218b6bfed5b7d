"""The tables of an installation: whether they are there, and their features.

Their keys and indexes are ``aws/dynamodb/schema.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.error_mapping import has_answered
from relay_dagster.aws.provisioning.desired_state import Feature
from relay_dagster.aws.retries import retrying

_RECOVERY_TRIES = 30
# An index of a table that has items is filled first.
_INDEX_TRIES = 360
_ON = {"ENABLED", "ENABLING"}


def table_exists(clients: Clients, name: str) -> bool:
    """Return whether the table is there."""
    try:
        clients.dynamodb.describe_table(TableName=name)
    except clients.dynamodb.exceptions.ResourceNotFoundException:
        return False
    return True


def await_table(clients: Clients, name: str) -> None:
    """Wait until a table can be used, whoever is creating it."""
    waiter = clients.dynamodb.get_waiter("table_exists")
    waiter.wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})


def table_features(
    clients: Clients, definition: Mapping[str, Any], *, expires: bool
) -> list[Feature]:
    """Return the features of a table: its layout, on demand, recovery, and expiry of items.

    Args:
        clients: AWS.
        definition: the arguments that it is created with.
        expires: whether its items can expire.
    """
    name = definition["TableName"]
    dynamodb = clients.dynamodb
    expiry: Any = {"Enabled": True, "AttributeName": schema.EXPIRY}
    features = [
        Feature(f"key of table {name}", _keys(definition), lambda: _keys(_table(clients, name))),
        *(_index(clients, definition, each) for each in definition["GlobalSecondaryIndexes"]),
        Feature(
            f"billing of table {name}", "PAY_PER_REQUEST", lambda: _billing(_table(clients, name))
        ),
        Feature(
            f"point-in-time recovery of table {name}",
            "ENABLED",
            lambda: _recovery(dynamodb.describe_continuous_backups(TableName=name)),
            lambda: _enable_recovery(clients, name),
        ),
        Feature(
            f"expiry of items of table {name}",
            f"by {schema.EXPIRY}",
            lambda: _expires_by(dynamodb.describe_time_to_live(TableName=name)),
            lambda: dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=expiry),
        ),
    ]
    return features if expires else features[:-1]


def _table(clients: Clients, name: str) -> Mapping[str, Any]:
    return clients.dynamodb.describe_table(TableName=name)["Table"]


def _index(clients: Clients, definition: Mapping[str, Any], index: Mapping[str, Any]) -> Feature:
    """Return an index as a feature.

    An index that a table lacks is added. An index with other keys, or of a table that is none of
    ours, is reported alone.
    """
    name, table = index["IndexName"], definition["TableName"]

    def read() -> str | None:
        found = _indexes(clients, table)
        return _keys(found[name]) if name in found else None

    can_add = _keys(_table(clients, table)) == _keys(definition) and read() is None
    return Feature(
        f"index {name} of table {table}",
        _keys(index),
        read,
        (lambda: _add_index(clients, definition, index)) if can_add else None,
    )


def _indexes(clients: Clients, table: str) -> dict[str, Mapping[str, Any]]:
    described = _table(clients, table).get("GlobalSecondaryIndexes", [])
    return {each["IndexName"]: each for each in described}


def _add_index(clients: Clients, definition: Mapping[str, Any], index: Mapping[str, Any]) -> None:
    """Add an index to a table that has items, and wait until it can be used."""
    name, table = index["IndexName"], definition["TableName"]
    change: Any = {"Create": dict(index)}
    keys = {key["AttributeName"] for key in index["KeySchema"]}
    attributes = [
        each for each in definition["AttributeDefinitions"] if each["AttributeName"] in keys
    ]
    clients.dynamodb.update_table(
        TableName=table, AttributeDefinitions=attributes, GlobalSecondaryIndexUpdates=[change]
    )

    def refuse_unready() -> None:
        status = _indexes(clients, table).get(name, {}).get("IndexStatus", "ACTIVE")
        if status != "ACTIVE":
            raise _NotReadyError(f"index {name} of table {table} is {status}")

    unready = retrying(
        lambda error: isinstance(error, _NotReadyError), tries=_INDEX_TRIES, longest_seconds=5
    )
    unready(refuse_unready)


class _NotReadyError(Exception):
    """An index is still being made."""


def _keys(described: Mapping[str, Any]) -> str:
    keys = sorted(described["KeySchema"], key=lambda key: str(key["KeyType"]))
    return ", ".join(key["AttributeName"] for key in keys)


def _billing(table: Mapping[str, Any]) -> str:
    # A table that was never on demand has no summary of its billing.
    mode: str = table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
    return mode


def _recovery(answer: Mapping[str, Any]) -> str | None:
    described = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    return "ENABLED" if described.get("PointInTimeRecoveryStatus") in _ON else None


def _enable_recovery(clients: Clients, name: str) -> None:
    """Switch recovery on; a table that was just made is not ready for it at once."""
    unready = has_answered("ContinuousBackupsUnavailableException")
    retrying(unready, tries=_RECOVERY_TRIES, longest_seconds=2)(
        clients.dynamodb.update_continuous_backups,
        TableName=name,
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
    )


def _expires_by(answer: Mapping[str, Any]) -> str | None:
    described = answer["TimeToLiveDescription"]
    return f"by {described.get('AttributeName')}" if described["TimeToLiveStatus"] in _ON else None
