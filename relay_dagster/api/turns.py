"""Turns: requests of one tenant that write to the same items go one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Request

_STRIPES = 64


class Turns:
    """Lets one request at a time write for a tenant, in this process.

    Nothing rests on it but speed: requests of one tenant at once would all write to its lock or its
    latest version, and DynamoDB refuses transactions that meet on an item. Whoever waited too long
    goes ahead.

    Args:
        seconds: how long a request waits for its turn before it goes ahead without one.
    """

    def __init__(self, seconds: float = 2.0) -> None:
        self._seconds = seconds
        self._stripes = tuple(threading.Lock() for _ in range(_STRIPES))

    @contextmanager
    def of(self, tenant_id: str) -> Iterator[None]:
        """Wait for the tenant's turn, a little, and hold it."""
        stripe = self._stripes[hash(tenant_id) % _STRIPES]
        is_mine = stripe.acquire(timeout=self._seconds)
        try:
            yield
        finally:
            if is_mine:
                stripe.release()


def _turns(request: Request) -> Turns:
    turns: Turns = request.app.state.turns
    return turns


TurnsOfTenants = Annotated[Turns, Depends(_turns)]
