"""The tables of an installation, by ``aws/dynamodb/schema.py``: whether they exist, features."""

from collections.abc import Mapping
from typing import Any

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.errors import has_answered, retrying
from relay_dagster.aws.provisioning.resources import Feature

_RECOVERY_TRIES = 30
# An index of a table that has items is filled first.
_INDEX_TRIES = 360
_ON = {"ENABLED", "ENABLING"}


def table_exists(clients: Clients, name: str) -> bool:
    """Return whether the table exists."""
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
    """Return the features of a table: keys, indexes, billing, recovery, and expiry of items."""
    name = definition["TableName"]
    dynamodb = clients.dynamodb
    expiry: Any = {"Enabled": True, "AttributeName": schema.EXPIRY}
    unready = has_answered("ContinuousBackupsUnavailableException")

    def recovery() -> str | None:
        answer = dynamodb.describe_continuous_backups(TableName=name)
        described = answer["ContinuousBackupsDescription"]
        found = described.get("PointInTimeRecoveryDescription", {})
        return "ENABLED" if found.get("PointInTimeRecoveryStatus") in _ON else None

    def expires_by() -> str | None:
        found = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        return (
            f"by {found.get('AttributeName')}"
            if found["TimeToLiveStatus"] in _ON
            else None
        )

    features = [
        Feature(
            f"key of table {name}",
            _keys(definition),
            lambda: _keys(_table(clients, name)),
        ),
        *(
            _index(clients, definition, each)
            for each in definition["GlobalSecondaryIndexes"]
        ),
        Feature(
            f"billing of table {name}",
            "PAY_PER_REQUEST",
            # A table that was never on demand has no summary of its billing.
            lambda: (
                _table(clients, name)
                .get("BillingModeSummary", {})
                .get("BillingMode", "PROVISIONED")
            ),
        ),
        Feature(
            f"point-in-time recovery of table {name}",
            "ENABLED",
            recovery,
            # A table that was just made is not ready for it at once.
            lambda: retrying(unready, tries=_RECOVERY_TRIES, max_pause_seconds=2)(
                dynamodb.update_continuous_backups,
                TableName=name,
                PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
            ),
        ),
        Feature(
            f"expiry of items of table {name}",
            f"by {schema.EXPIRY}",
            expires_by,
            lambda: dynamodb.update_time_to_live(
                TableName=name, TimeToLiveSpecification=expiry
            ),
        ),
    ]
    return features if expires else features[:-1]


def _table(clients: Clients, name: str) -> Mapping[str, Any]:
    return clients.dynamodb.describe_table(TableName=name)["Table"]


def _index(
    clients: Clients, definition: Mapping[str, Any], index: Mapping[str, Any]
) -> Feature:
    """Return an index as a feature; one that our table lacks is added, others are reported."""
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


def _add_index(
    clients: Clients, definition: Mapping[str, Any], index: Mapping[str, Any]
) -> None:
    """Add an index to a table that has items, and wait until it can be used."""
    name, table = index["IndexName"], definition["TableName"]
    change: Any = {"Create": dict(index)}
    keys = {key["AttributeName"] for key in index["KeySchema"]}
    attributes = [
        one
        for one in definition["AttributeDefinitions"]
        if one["AttributeName"] in keys
    ]
    clients.dynamodb.update_table(
        TableName=table,
        AttributeDefinitions=attributes,
        GlobalSecondaryIndexUpdates=[change],
    )

    def refuse_unready() -> None:
        status = _indexes(clients, table).get(name, {}).get("IndexStatus", "ACTIVE")
        if status != "ACTIVE":
            raise _NotReadyError(f"index {name} of table {table} is {status}")

    unready = retrying(
        lambda error: isinstance(error, _NotReadyError),
        tries=_INDEX_TRIES,
        max_pause_seconds=5,
    )
    unready(refuse_unready)


class _NotReadyError(Exception):
    """An index is still being made."""


def _keys(described: Mapping[str, Any]) -> str:
    keys = sorted(described["KeySchema"], key=lambda key: str(key["KeyType"]))
    return ", ".join(key["AttributeName"] for key in keys)
