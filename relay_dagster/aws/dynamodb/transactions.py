"""All-or-nothing writes to DynamoDB: conditions that failed are told apart from mere collisions.

Every write is a transaction, single ones too: its token makes a request that is sent again after a
lost answer harmless. Two transactions that touch one item at once collide, which says nothing about
the conditions, so a collision is tried again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from relay_dagster.aws.error_mapping import TRANSACTION_COLLIDED, error_code, retrying
from relay_dagster.external_errors import RequestRejectedError, ThrottledError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_OPERATION = "dynamodb.TransactWriteItems"
# Why DynamoDB cancelled a transaction for one of its items.
_ITEM_COLLIDED = frozenset(
    {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a transaction: ``Put``, ``Update``, ``Delete`` or ``ConditionCheck``."""

    role: str  # names it, to tell which condition failed
    action: str  # what it does
    arguments: Mapping[str, Any]  # of the call
    optional: bool = False  # the others are carried out without it where its condition fails
    # Returns what its failed condition means, of the item that is there
    refusal: Callable[[Mapping[str, Any] | None], Exception] | None = None
    rank: int = 1  # where several conditions fail, the meaning of the lowest counts

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
    client: DynamoDBClient, writes: Sequence[Write], *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Carry out all or none, but optional ones that fail alone; else `ConditionsFailedError`."""
    request: Any = [write.request() for write in writes]

    def try_once() -> None:
        token = str(uuid.uuid4())
        try:
            client.transact_write_items(TransactItems=request, ClientRequestToken=token)
        except ClientError as error:
            meaning = _meaning(error, writes)
            if meaning is None:
                raise
            raise meaning from error

    again = retrying(lambda error: isinstance(error, ThrottledError), sleep=sleep)
    try:
        again(try_once)
    except ConditionsFailedError as error:
        left = [write for write in writes if write.role not in error.items]
        if not all(write.optional or write in left for write in writes):
            raise
        if left:
            transact(client, left, sleep=sleep)


def _meaning(error: ClientError, writes: Sequence[Write]) -> Exception | None:
    """Return what an error response says of a transaction; a collision is a `ThrottledError`."""
    code = error_code(error)
    if code in TRANSACTION_COLLIDED:
        return ThrottledError(_OPERATION, code)
    if code != "TransactionCanceledException":
        return None
    response: Mapping[str, Any] = error.response
    reasons = [dict(reason) for reason in response.get("CancellationReasons", [])]
    codes = [str(reason.get("Code", "None")) for reason in reasons]
    failed = {
        write.role: reason.get("Item") or None
        for write, reason, each in zip(writes, reasons, codes, strict=False)
        if each == "ConditionalCheckFailed"
    }
    if failed:
        return ConditionsFailedError(failed)
    collided = [each for each in codes if each in _ITEM_COLLIDED]
    if collided:
        return ThrottledError(_OPERATION, collided[0])
    return RequestRejectedError(_OPERATION, str(error))
