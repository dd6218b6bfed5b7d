"""The faults that the proxy can bring about, and which requests each is for.

A rule takes the requests that fit it, as often as it was told to, and does one thing with each.
The test that made it can wait for a hit and release what is held.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from integration.aws_requests import AwsRequest

HIT_SECONDS = 60
SLOW_SECONDS = 15.0
"""Less than the product's clients wait for an answer."""


class Action(Enum):
    """What is done with a request."""

    THROTTLE = "throttle"
    """Answer as the service does that wants fewer requests; nothing is forwarded."""
    FAIL = "fail"
    """Answer 500; nothing is forwarded."""
    HANG = "hang"
    """Never answer, forward nothing."""
    SWALLOW = "swallow"
    """Forward, and never answer: the work is done, and the client cannot know."""
    DROP_BEFORE = "drop before"
    """Close the connection, forward nothing."""
    DROP_AFTER = "drop after"
    """Forward, then close the connection."""
    HOLD = "hold"
    """Wait for the release, then forward."""
    SLOW = "slow"
    """Wait for the release, but no longer than clients have patience; then forward."""
    HOLD_ANSWER = "hold answer"
    """Forward, and wait with the answer for the release."""


@dataclass(eq=False)
class Rule:
    """Which requests are struck, how often, and what has come of it.

    Empty texts fit everything; those of ``containing`` and ``answer_containing`` must all be there.
    ``times`` None is for ever.
    """

    action: Action
    service: str = ""
    operations: frozenset[str] = frozenset()
    containing: Sequence[str] = ()
    answer_containing: Sequence[str] = ()
    times: int | None = None
    hits: int = 0
    _released: threading.Event = field(default_factory=threading.Event)
    _discarded: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def fits(self, request: AwsRequest) -> bool:
        """Return whether a request is one of those meant."""
        return (
            (not self.service or request.service == self.service)
            and (not self.operations or request.operation in self.operations)
            and all(text in request.text for text in self.containing)
        )

    def take(self, request: AwsRequest, answer: str | None = None) -> bool:
        """Count a hit and return True where the request, or its answer, is to be struck."""
        if bool(self.answer_containing) is (answer is None) or not self.fits(
            request
        ):
            return False
        if answer is not None and not all(
            text in answer for text in self.answer_containing
        ):
            return False
        with self._changed:
            if self.is_over or (
                self.times is not None and self.hits >= self.times
            ):
                return False
            self.hits += 1
            self._changed.notify_all()
            return True

    @property
    def is_over(self) -> bool:
        """Whether it was released or removed: it strikes no more."""
        return self._released.is_set()

    @property
    def was_discarded(self) -> bool:
        """Whether what it holds is to be dropped rather than let go on."""
        return self._discarded.is_set()

    def wait_for_hits(
        self, count: int = 1, within: float = HIT_SECONDS
    ) -> None:
        """Return once that many requests were struck.

        Raises:
            TimeoutError: they were not.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.hits >= count, within):
                raise TimeoutError(
                    f"{self} was hit {self.hits} times, not {count}, in {within} s"
                )

    def wait_for_release(self, seconds: float) -> bool:
        """Wait as the request that is held."""
        return self._released.wait(seconds)

    def release(self) -> None:
        """Let all that is held go on, and strike no more."""
        self._released.set()

    def discard(self) -> None:
        """Drop all that is held, and strike no more."""
        self._discarded.set()
        self._released.set()

    def __str__(self) -> str:
        operations = "/".join(sorted(self.operations)) or "any request"
        requests = f"{self.service or 'AWS'} {operations} {self.containing}"
        return f"rule '{self.action.value}' for {requests}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, ready to be sent."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


_THROTTLES = {
    "s3": (503, "SlowDown"),
    "dynamodb": (400, "ProvisionedThroughputExceededException"),
    "sqs": (403, "RequestThrottled"),
}
_FAILURES = {
    "s3": (500, "InternalError"),
    "dynamodb": (500, "InternalServerError"),
    "sqs": (500, "InternalFailure"),
}


def throttled(request: AwsRequest) -> Answer:
    """Return the answer of a service that asks for fewer requests."""
    return _error(
        request, *_THROTTLES.get(request.service, (400, "Throttling"))
    )


def failed(request: AwsRequest) -> Answer:
    """Return the answer of a service that failed itself."""
    return _error(
        request, *_FAILURES.get(request.service, (500, "InternalFailure"))
    )


def _error(request: AwsRequest, status: int, code: str) -> Answer:
    if request.service in ("dynamodb", "sqs"):
        body = json.dumps(
            {"__type": f"relay.tests#{code}", "message": "by the fault proxy"}
        )
        kind = "application/x-amz-json-1.0"
        headers = (
            [("x-amzn-query-error", f"{code};Receiver")]
            if request.service == "sqs"
            else []
        )
    else:
        body = f"<Error><Code>{code}</Code><Message>by the fault proxy</Message></Error>"
        kind = "application/xml"
        headers = []
    if request.method == "HEAD":
        body = ""
    return Answer(status, [("Content-Type", kind), *headers], body.encode())
