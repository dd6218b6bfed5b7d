"""Waiting for what must come about, with a deadline; nothing here sleeps for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")
POLL_SECONDS = 0.3


def wait_for(
    what: str,
    look: Callable[[], _T | None],
    *,
    within: float,
    every: float = POLL_SECONDS,
) -> _T:
    """Return the first truthy answer of ``look``.

    Raises:
        AssertionError: it did not come; the message has the last answer.
    """
    deadline = time.monotonic() + within
    while True:
        result = look()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(
                f"not within {within:.0f} s: {what}; at last: {result!r}"
            )
        time.sleep(every)


def stays(what: str, look: Callable[[], object], *, seconds: float) -> None:
    """Watch that ``look`` is truthy all the time.

    Raises:
        AssertionError: it was not once.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = look()
        if not result:
            raise AssertionError(
                f"did not hold for {seconds:.0f} s: {what}; it was {result!r}"
            )
        time.sleep(POLL_SECONDS)
