"""Who may have the engine do something for an answer, and until when: checks and explanations."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from relay_core.sandbox import BusyError, TaskTooSlowError, hold
from relay_dagster.api.limits import DEFAULT_API_LIMITS, ApiLimits
from relay_dagster.api.security.rate_limits import ConcurrencyLimiter, RateLimitedError
from relay_dagster.drain import Deadline

_OF_TENANT = 1


class TaskDeadline(Deadline):
    """The instant by which a task is done."""

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            TaskTooSlowError: there are none.
        """
        seconds = self.at - self.monotonic()
        if seconds <= 0:
            raise TaskTooSlowError
        return seconds


class TaskSlots:
    """One task of a tenant at once, and a few of all tenants; nobody waits for a slot.

    Args:
        limits: how many tasks there are at once, and how long each takes.
    """

    def __init__(self, limits: ApiLimits = DEFAULT_API_LIMITS) -> None:
        self._seconds = limits.task_seconds
        self._all = threading.Semaphore(limits.tasks)
        self._of_tenants = ConcurrencyLimiter(_OF_TENANT)

    @contextmanager
    def hold(self, tenant_id: str) -> Iterator[TaskDeadline]:
        """Hold a slot within, and yield until when.

        Raises:
            BusyError: none is free, or the tenant has one.
        """
        try:
            self._of_tenants.take(tenant_id)
        except RateLimitedError as error:
            raise BusyError from error
        try:
            with hold(self._all):
                yield TaskDeadline.after(self._seconds)
        finally:
            self._of_tenants.give_back(tenant_id)
