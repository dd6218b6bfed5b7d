"""The tables as they must be: on demand, with point-in-time recovery and, for runs, expiry.

`bootstrap` makes them and reports how they differ; their keys and indexes are
``aws/dynamodb/schema.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.error_mapping import has_answered, maps_aws_errors
from relay_dagster.aws.provisioning.desired_state import Feature
from relay_dagster.aws.retries import retrying

_WAIT = {"Delay": 1, "MaxAttempts": 120}
_RECOVERY_TRIES = 30
# An index of a table that has items is filled first.
_INDEX_TRIES = 360
_ON = {"ENABLED", "ENABLING"}


@maps_aws_errors
def table_exists(clients: Clients, name: str) -> bool:
    """Tell whether the table is there."""
    try:
        clients.dynamodb.describe_table(TableName=name)
    except clients.dynamodb.exceptions.ResourceNotFoundException:
        return False
    return True


@maps_aws_errors
def create_table(clients: Clients, definition: Mapping[str, Any]) -> None:
    """Create a table; `await_table` waits until it can be used."""
    clients.dynamodb.create_table(**definition)


@maps_aws_errors
def await_table(clients: Clients, name: str) -> None:
    """Wait until a table can be used, whoever is creating it."""
    wait: Any = _WAIT
    clients.dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig=wait)


def table_features(
    clients: Clients, definition: Mapping[str, Any], *, expires: bool
) -> list[Feature]:
    """Return what a table must be like.

    Args:
        clients: AWS.
        definition: the arguments that it was created with.
        expires: whether its items can expire.
    """
    name = definition["TableName"]
    features = [
        Feature(f"key of table {name}", _keys(definition), lambda: _keys(_table(clients, name))),
        *(
            _index(clients, definition, index)
            for index in definition.get("GlobalSecondaryIndexes", ())
        ),
        Feature(
            f"billing of table {name}", "PAY_PER_REQUEST", lambda: _billing(_table(clients, name))
        ),
        Feature(
            f"point-in-time recovery of table {name}",
            "ENABLED",
            lambda: _recovery(clients, name),
            lambda: _enable_recovery(clients, name),
        ),
    ]
    return [*features, _expiry(clients, name)] if expires else features


def _expiry(clients: Clients, name: str) -> Feature:
    return Feature(
        f"expiry of items of table {name}",
        f"by {schema.EXPIRY}",
        lambda: _expires_by(clients, name),
        lambda: clients.dynamodb.update_time_to_live(
            TableName=name,
            TimeToLiveSpecification={"Enabled": True, "AttributeName": schema.EXPIRY},
        ),
    )


def _table(clients: Clients, name: str) -> Mapping[str, Any]:
    return clients.dynamodb.describe_table(TableName=name)["Table"]


def _index(clients: Clients, definition: Mapping[str, Any], index: Mapping[str, Any]) -> Feature:
    """Return an index as a feature.

    One that a table of an older release lacks is added; one that has other keys, or would be of a
    table that is none of ours, is told alone.
    """
    name, table = index["IndexName"], definition["TableName"]
    found = _table(clients, table)
    can_add = _keys(found) == _keys(definition) and _keys_of_index(found, name) is None
    return Feature(
        f"index {name} of table {table}",
        _keys(index),
        lambda: _keys_of_index(_table(clients, table), name),
        (lambda: _add_index(clients, definition, index)) if can_add else None,
    )


def _keys_of_index(table: Mapping[str, Any], name: str) -> str | None:
    found = {each["IndexName"]: each for each in table.get("GlobalSecondaryIndexes", [])}
    return _keys(found[name]) if name in found else None


def _add_index(clients: Clients, definition: Mapping[str, Any], index: Mapping[str, Any]) -> None:
    """Add an index to a table that has items, and wait until it can be used."""
    name, table = index["IndexName"], definition["TableName"]
    change: Any = {"Create": dict(index)}
    keys = {key["AttributeName"] for key in index["KeySchema"]}
    attributes: Any = [
        each for each in definition["AttributeDefinitions"] if each["AttributeName"] in keys
    ]
    clients.dynamodb.update_table(
        TableName=table, AttributeDefinitions=attributes, GlobalSecondaryIndexUpdates=[change]
    )
    not_ready = retrying(_is_not_ready, tries=_INDEX_TRIES, longest_seconds=5)
    not_ready(_refuse_unready, clients, table, name)


class _NotReadyError(Exception):
    """An index is still being made."""


def _is_not_ready(error: BaseException) -> bool:
    return isinstance(error, _NotReadyError)


def _refuse_unready(clients: Clients, table: str, index: str) -> None:
    described: Any = _table(clients, table).get("GlobalSecondaryIndexes", [])
    status = {each["IndexName"]: each.get("IndexStatus", "ACTIVE") for each in described}
    if status.get(index) != "ACTIVE":
        raise _NotReadyError(f"index {index} of table {table} is {status.get(index)}")


def _keys(described: Mapping[str, Any]) -> str:
    keys = sorted(described["KeySchema"], key=lambda key: str(key["KeyType"]))
    return ", ".join(key["AttributeName"] for key in keys)


def _billing(table: Mapping[str, Any]) -> str:
    # A table that was never on demand has no summary of its billing.
    mode: str = table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
    return mode


def _recovery(clients: Clients, name: str) -> str | None:
    answer = clients.dynamodb.describe_continuous_backups(TableName=name)
    described = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    on = described.get("PointInTimeRecoveryStatus") in _ON
    return "ENABLED" if on else None


def _enable_recovery(clients: Clients, name: str) -> None:
    """Switch recovery on; a table that was just made is not ready for it at once."""
    not_ready = has_answered("ContinuousBackupsUnavailableException")
    retrying(not_ready, tries=_RECOVERY_TRIES, longest_seconds=2)(
        clients.dynamodb.update_continuous_backups,
        TableName=name,
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
    )


def _expires_by(clients: Clients, name: str) -> str | None:
    answer = clients.dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if answer.get("TimeToLiveStatus") not in _ON:
        return None
    return f"by {answer.get('AttributeName')}"
