"""AWS in this process as `relay server bootstrap` leaves it: made once, put back for each test."""

from __future__ import annotations

import copy
import copyreg
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from threading import Condition, RLock
from typing import Any
from unittest.mock import patch

from moto import mock_aws
from moto.backends import get_backend
from moto.core.botocore_stubber import BotocoreStubber
from moto.dynamodb.parsing.expressions import UpdateExpressionParser

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.provisioning.bootstrap import Names, bootstrap

# A queue waits for its messages by one; a copy of the queue has its own.
copyreg.pickle(Condition, lambda _: (Condition, ()))

_SERVICES = ("dynamodb", "s3", "sqs")
State = Mapping[tuple[str, str, str], Mapping[str, Any]]
"""What a service, an account and a region each hold."""


_parsed_once = cache(UpdateExpressionParser.make)
"""moto works on a copy of what it has parsed; our expressions are few, and long."""


@contextmanager
def bootstrapped_aws() -> Iterator[Mapping[str, str]]:
    """Yield the variables that the command says to export; nothing is stored yet."""
    variables, states = bootstrapped()
    # boto3 alone calls AWS here: moto need not enter its addresses for other clients at each start.
    for_boto3 = patch("moto.core.models.RESPONSES_METHODS", ())
    parses_once = patch.object(UpdateExpressionParser, "make", _parsed_once)
    with _one_write_at_a_time(), for_boto3, parses_once, mock_aws():
        put_back(states)
        yield variables


@contextmanager
def _one_write_at_a_time() -> Iterator[None]:
    """Let the calls of DynamoDB wait for each other: a transaction copies what others write."""
    lock = RLock()
    answer = BotocoreStubber.__call__

    def in_turn(
        self: BotocoreStubber, event_name: str, *args: Any, **kwargs: Any
    ) -> Any:
        if not event_name.startswith("before-send.dynamodb."):
            return answer(self, event_name, *args, **kwargs)
        with lock:
            return answer(self, event_name, *args, **kwargs)

    with patch.object(BotocoreStubber, "__call__", in_turn):
        yield


@cache
def bootstrapped() -> tuple[Mapping[str, str], State]:
    """Return the variables, and what each service holds then."""
    with mock_aws():
        variables = dict(
            bootstrap(Names(region="us-east-1"), Clients("us-east-1"))
        )
        return variables, copy_of_all()


def copy_of_all() -> State:
    """Return a copy of all that is stored in this process."""
    return {
        (service, account, region): copy.deepcopy(vars(backend))
        for service in _SERVICES
        for account, region, backend in get_backend(service).iter_backends()
    }


def put_back(states: State) -> None:
    """Store a copy again, where nothing else is stored."""
    for (service, account, region), state in states.items():
        backend: Any = get_backend(service)[account][region]
        vars(backend).update(copy.deepcopy(state))
