"""The wire between a process and AWS: every call passes here, and a plan says what becomes of it.

A wire belongs to one process of a world: the plan can let that process die at a call, lose an
answer, throttle, or let somebody else act first.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

Send = Callable[[], Any]


class ProcessDiedError(BaseException):
    """The process is dead: nothing of it catches this, and none of its calls goes out any more."""


@dataclass(frozen=True)
class Call:
    """One call to AWS: the how-manieth of its process, and what it asks for."""

    number: int
    operation: str
    params: dict[str, Any]
    client: Any

    def __str__(self) -> str:
        return f"call {self.number} {self.operation}"


Plan = Callable[[Call, Send], Any]
"""Makes a call, or lets something else happen."""


def untouched(_: Call, send: Send) -> Any:
    """Make the call."""
    return send()


class Wire:
    """The calls of one process, numbered from 0."""

    def __init__(self, clients: Sequence[Any]) -> None:
        self.calls: list[str] = []
        self.made = 0
        self.is_dead = False
        self.plan: Plan = untouched
        self.sabotage: Callable[[Call, Callable[[Call], Any]], Any] | None = (
            None
        )
        self.before_write: Callable[[Call], Callable[[], None]] = lambda _: (
            lambda: None
        )
        self.shortcut: Callable[[str, dict[str, Any]], Any] = (
            lambda _name, _params: None
        )
        for client in clients:
            self._tap(client)

    def reset(self, plan: Plan = untouched) -> None:
        """Begin a new process, whose calls go by a plan."""
        self.calls = []
        self.is_dead = False
        self.plan = plan

    def _tap(self, client: Any) -> None:
        make = client._make_api_call

        def tapped(operation: str, params: dict[str, Any]) -> Any:
            def pass_on(call: Call) -> Any:
                return self._pass(
                    call, lambda: make(call.operation, call.params)
                )

            call = Call(-1, operation, dict(params), client)
            return (
                pass_on(call)
                if self.sabotage is None
                else self.sabotage(call, pass_on)
            )

        client._make_api_call = tapped

    def _pass(self, call: Call, make: Send) -> Any:
        if self.is_dead:
            raise ProcessDiedError(call.operation)
        numbered = Call(
            len(self.calls), call.operation, call.params, call.client
        )
        self.calls.append(call.operation)
        self.made += 1

        def send() -> Any:
            if call.operation == "ReceiveMessage":
                # Nobody else would send meanwhile.
                call.params["WaitTimeSeconds"] = 0
            answer = self.shortcut(call.operation, call.params)
            if answer is None:
                note = self.before_write(numbered)
                answer = make()
                note()
            return answer

        try:
            return self.plan(numbered, send)
        except ProcessDiedError:
            self.is_dead = True
            raise


# --- plans --------------------------------------------------------------------------------------


def dies(at: int, *, after: bool) -> Plan:
    """Let the process die before a call, or after it has taken effect."""

    def plan(call: Call, send: Send) -> Any:
        if call.number != at:
            return send()
        if after:
            send()
        raise ProcessDiedError(str(call))

    return plan


def loses(at: int) -> Plan:
    """Let a call take effect, and its answer be lost, however often it is asked for."""

    def plan(call: Call, send: Send) -> Any:
        answer = send()
        if call.number == at:
            raise ReadTimeoutError(endpoint_url="https://aws.example.com")
        return answer

    return plan


def repeats(at: int) -> Plan:
    """Let a call take effect, and be made again by who has not heard its answer."""

    def plan(call: Call, send: Send) -> Any:
        if call.number == at:
            send()
        return send()

    return plan


def interrupted(at: int, act: Callable[[], None]) -> Plan:
    """Let somebody else act just before a call."""

    def plan(call: Call, send: Send) -> Any:
        if call.number == at:
            act()
        return send()

    return plan


def unreliable(rng: random.Random, share: float) -> Plan:
    """Throttle some calls, lose some answers, and let the process die now and then."""

    def plan(call: Call, send: Send) -> Any:
        dice = rng.random()
        if dice > share:
            return send()
        kind = rng.choice(("throttle", "throttle", "lose", "before", "after"))
        if kind == "throttle":
            raise throttled(call.operation)
        if kind == "before":
            raise ProcessDiedError(str(call))
        send()
        if kind == "lose":
            raise ReadTimeoutError(endpoint_url="https://aws.example.com")
        raise ProcessDiedError(str(call))

    return plan


def throttled(operation: str) -> ClientError:
    """Return the answer of a service that has too much to do."""
    error = {"Error": {"Code": "ThrottlingException", "Message": "slow down"}}
    return ClientError(
        {**error, "ResponseMetadata": {"HTTPStatusCode": 400}}, operation
    )
