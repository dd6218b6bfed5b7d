"""Describes the writes of a transaction, and what their failed conditions mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Any

from relay_dagster.aws.dynamodb.codec import Item


class Precondition(IntEnum):
    """What the condition of a write ensures.

    Where several conditions of a transaction fail, the first member of this list that is
    among them is reported.
    """

    TENANT_ACTIVE = auto()  # the tenant is not being deleted
    UNCHANGED = auto()  # the item is as it was read
    TENANT_IDLE = auto()  # no other run has the tenant's lock
    WITHIN_QUOTA = auto()  # the tenant has not reached a quota
    NOT_AUDITED = auto()  # the audit does not have the entry yet


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a transaction: ``Put``, ``Update``, ``Delete`` or ``ConditionCheck``."""

    # The write's name in its transaction, which tells the failed conditions apart
    role: str
    # The name of the write in TransactItems
    action: str
    # The arguments of the call
    arguments: Mapping[str, Any]
    # True if the other writes are carried out without it when its condition fails
    optional: bool = False
    # What the condition ensures
    precondition: Precondition = Precondition.UNCHANGED
    # Makes the error of the failed condition, given the stored item; None where the
    # record of the transaction was changed by another writer
    refusal: Callable[[Item | None], Exception] | None = None

    def request(self) -> dict[str, Any]:
        """Return the entry of TransactItems; a failed condition returns the stored item."""
        arguments = dict(self.arguments)
        if "ConditionExpression" in arguments:
            arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return {self.action: arguments}
