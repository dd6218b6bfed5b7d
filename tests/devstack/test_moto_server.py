"""The embedded AWS: transactions are all or nothing, and copy no more than they change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from relay_dagster.devstack.moto_server import serving
from relay_dagster.devstack.processes import embedded_aws_environment

ACCOUNT = "123456789012"
REGION = "us-east-1"


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with serving() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in embedded_aws_environment(url).items():
            patch.setenv(name, value)
        client = boto3.client("dynamodb")
        yield client
        client.close()


@pytest.fixture(params=[False, True], ids=["one key", "two keys"])
def table(dynamodb: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """Make a table of the items a, b and c, with a range key or without one."""
    keys = ["id", "part"] if request.param else ["id"]
    kinds = zip(keys, ("HASH", "RANGE"), strict=False)
    dynamodb.create_table(
        TableName="items",
        KeySchema=[
            {"AttributeName": name, "KeyType": kind} for name, kind in kinds
        ],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in keys
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    for letter in "abc":
        dynamodb.put_item(TableName="items", Item=item(letter))
    yield "items"
    dynamodb.delete_table(TableName="items")


def item(letter: str, **attributes: str) -> dict[str, Any]:
    values = {"id": letter, "part": "1", "value": "before", **attributes}
    return {name: {"S": value} for name, value in values.items()}


def items(dynamodb: Any) -> dict[str, str]:
    rows = dynamodb.scan(TableName="items")["Items"]
    return {row["id"]["S"]: row["value"]["S"] for row in rows}


def stored(table: str) -> Any:
    from moto.dynamodb.models import dynamodb_backends

    return dynamodb_backends[ACCOUNT][REGION].tables[table]


def operations(dynamodb: Any, *, are_allowed: bool) -> list[dict[str, Any]]:
    """Return one operation of each kind; the last one's condition may fail."""
    schema = dynamodb.describe_table(TableName="items")["Table"]["KeySchema"]
    names = [key_part["AttributeName"] for key_part in schema]

    def key(letter: str) -> dict[str, Any]:
        return {name: item(letter)[name] for name in names}

    update = {
        "TableName": "items",
        "Key": key("a"),
        "UpdateExpression": "SET #value = :after",
        "ExpressionAttributeNames": {"#value": "value"},
        "ExpressionAttributeValues": {":after": {"S": "after"}},
    }
    exists = f"attribute_{'not_' * (not are_allowed)}exists(id)"
    check = {
        "TableName": "items",
        "Key": key("c"),
        "ConditionExpression": exists,
    }
    return [
        {"Update": update},
        {"Delete": {"TableName": "items", "Key": key("b")}},
        {"Put": {"TableName": "items", "Item": item("d", value="after")}},
        {"ConditionCheck": check},
    ]


def test_a_transaction_writes_all_its_items(dynamodb: Any, table: str) -> None:
    dynamodb.transact_write_items(
        TransactItems=operations(dynamodb, are_allowed=True),
    )
    assert items(dynamodb) == {"a": "after", "c": "before", "d": "after"}


def test_a_canceled_transaction_leaves_every_item_as_it_was(
    dynamodb: Any,
    table: str,
) -> None:
    with pytest.raises(ClientError, match="TransactionCanceledException"):
        dynamodb.transact_write_items(
            TransactItems=operations(dynamodb, are_allowed=False),
        )
    assert items(dynamodb) == dict.fromkeys("abc", "before")


def test_a_transaction_copies_no_item_that_it_does_not_name(
    dynamodb: Any,
    table: str,
) -> None:
    dynamodb.put_item(TableName=table, Item=item("unnamed"))
    before = {id(item) for item in stored(table).all_items()}
    with pytest.raises(ClientError):
        dynamodb.transact_write_items(
            TransactItems=operations(dynamodb, are_allowed=False),
        )
    after = {id(item): item for item in stored(table).all_items()}
    copied = {
        after[number].attrs["id"].value for number in after.keys() & before
    }
    assert copied == {"unnamed"}


def test_a_backup_of_a_table_stays_as_it_is(dynamodb: Any, table: str) -> None:
    backup = dynamodb.create_backup(TableName=table, BackupName="backup")
    dynamodb.put_item(TableName=table, Item=item("a", value="after"))
    dynamodb.restore_table_from_backup(
        TargetTableName="restored",
        BackupArn=backup["BackupDetails"]["BackupArn"],
    )
    restored = dynamodb.scan(TableName="restored")["Items"]
    dynamodb.delete_table(TableName="restored")
    assert {row["value"]["S"] for row in restored} == {"before"}
