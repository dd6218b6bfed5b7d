from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from relay_dagster.aws.dynamodb.database import ConditionsFailedError, Database
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.external_errors import (
    RequestRejectedError,
    ServiceFailedError,
    ThrottledError,
)

WRITES = [
    Write("record", "Put", {"ConditionExpression": "attribute_not_exists(pk)"}),
    Write("lock", "Update", {}),
]


def cancelled(*codes: str, item: dict[str, Any] | None = None) -> ClientError:
    reasons = [
        {"Code": code, **({"Item": item} if item else {})} for code in codes
    ]
    answer = {
        "Error": {"Code": "TransactionCanceledException"},
        "CancellationReasons": reasons,
    }
    return ClientError(answer, "TransactWriteItems")  # type: ignore[arg-type]


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "TransactWriteItems")


class ScriptedDynamoDB:
    """Answers each transaction with the next of its errors, and with success after the last."""

    def __init__(self, *errors: ClientError) -> None:
        self.errors = list(errors)
        self.calls: list[dict[str, Any]] = []
        self.pauses: list[float] = []

    def transact_write_items(self, **arguments: Any) -> None:
        self.calls.append(arguments)
        if self.errors:
            raise self.errors.pop(0)

    def run(self) -> None:
        clients: Any = SimpleNamespace(dynamodb=self)
        table = Table(clients, "table", sleep=self.pauses.append)
        Database(clients, table, table, table).transact(*WRITES)


@pytest.mark.parametrize(
    "error",
    [
        cancelled("None", "TransactionConflict"),
        cancelled("ThrottlingError", "None"),
        cancelled("ProvisionedThroughputExceeded", "None"),
        refused("TransactionConflictException"),
        refused("TransactionInProgressException"),
    ],
    ids=[
        "conflict",
        "throttled",
        "throughput",
        "conflict of all",
        "in progress",
    ],
)
def test_a_collision_is_tried_again_with_a_new_token(
    error: ClientError,
) -> None:
    dynamodb = ScriptedDynamoDB(error, error)
    dynamodb.run()
    assert len({call["ClientRequestToken"] for call in dynamodb.calls}) == 3
    assert len(dynamodb.pauses) == 2


def test_collisions_without_end_are_a_throttle() -> None:
    dynamodb = ScriptedDynamoDB(
        *[cancelled("None", "TransactionConflict")] * 100
    )
    with pytest.raises(ThrottledError, match="TransactionConflict"):
        dynamodb.run()
    assert sum(dynamodb.pauses) < 6


def test_a_condition_that_failed_is_named_by_its_role_even_beside_a_collision() -> (
    None
):
    item = {"pk": {"S": "LOCK#acme"}}
    dynamodb = ScriptedDynamoDB(
        cancelled("TransactionConflict", "ConditionalCheckFailed", item=item)
    )
    with pytest.raises(ConditionsFailedError) as caught:
        dynamodb.run()
    assert caught.value.items == {"lock": item}
    assert dynamodb.pauses == []


def test_an_item_that_dynamodb_refuses_is_no_collision() -> None:
    dynamodb = ScriptedDynamoDB(cancelled("ValidationError", "None"))
    with pytest.raises(RequestRejectedError):
        dynamodb.run()


def test_another_error_is_one_of_the_service() -> None:
    dynamodb = ScriptedDynamoDB(refused("InternalServerError"))
    with pytest.raises(ServiceFailedError, match="InternalServerError"):
        dynamodb.run()


def test_conditions_ask_for_the_item_that_broke_them() -> None:
    dynamodb = ScriptedDynamoDB()
    dynamodb.run()
    put, update = dynamodb.calls[0]["TransactItems"]
    assert put["Put"]["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
    assert update == {"Update": {}}
