"""All-or-nothing writes to DynamoDB: conditions that failed are told apart from mere collisions.

Every write is a transaction, single ones too: its token makes a request that is sent again after a
lost answer harmless. Two transactions that touch one item at once collide, which says nothing about
the conditions, so a collision is tried again.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from relay_dagster.aws.error_mapping import TRANSACTION_COLLIDED, error_code
from relay_dagster.external_errors import RequestRejectedError, ThrottledError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_TRIES = 12
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.5
# Why DynamoDB cancelled a transaction for one of its items.
_ITEM_COLLIDED = frozenset(
    {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a transaction: ``Put``, ``Update`` or ``Delete`` with its arguments.

    ``role`` names it, to tell which condition failed.
    """

    role: str
    action: str
    arguments: Mapping[str, Any]

    def request(self) -> dict[str, Any]:
        """Return the entry of TransactItems; a failed condition answers with the item."""
        arguments = dict(self.arguments)
        if "ConditionExpression" in arguments:
            arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return {self.action: arguments}


class ConditionsFailedError(Exception):
    """Conditions of a transaction did not hold; nothing was written.

    ``items`` maps the role of each write whose condition failed to the item found, if there is one.
    """

    def __init__(self, items: Mapping[str, Mapping[str, Any] | None]) -> None:
        self.items = dict(items)
        super().__init__(f"conditions failed: {', '.join(self.items)}")


def transact(
    client: DynamoDBClient,
    writes: Sequence[Write],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Carry out all writes or none.

    Raises:
        ConditionsFailedError: a condition did not hold.
        ThrottledError: the items were busy in every try.
        RequestRejectedError: DynamoDB refuses an item.
    """
    request: Any = [write.request() for write in writes]
    last = ""
    for attempt in range(_TRIES):
        try:
            client.transact_write_items(TransactItems=request, ClientRequestToken=str(uuid.uuid4()))
            return
        except ClientError as error:
            last = _judge(error, writes)
        sleep(_pause(attempt))
    raise ThrottledError("dynamodb.TransactWriteItems", f"{last}, {_TRIES} times running")


def _judge(error: ClientError, writes: Sequence[Write]) -> str:
    """Return what collided, or raise what will not go away by itself."""
    code = error_code(error)
    if code in TRANSACTION_COLLIDED:
        return code
    if code != "TransactionCanceledException":
        raise error
    response: Mapping[str, Any] = error.response
    reasons = [dict(reason) for reason in response.get("CancellationReasons", [])]
    codes = [str(reason.get("Code", "None")) for reason in reasons]
    failed = {
        write.role: reason.get("Item") or None
        for write, reason, each in zip(writes, reasons, codes, strict=False)
        if each == "ConditionalCheckFailed"
    }
    if failed:
        raise ConditionsFailedError(failed) from error
    collided = [each for each in codes if each in _ITEM_COLLIDED]
    if not collided:
        raise RequestRejectedError("dynamodb.TransactWriteItems", str(error)) from error
    return collided[0]


def _pause(attempt: int) -> float:
    longest = min(_FIRST_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads writers, guards nothing
