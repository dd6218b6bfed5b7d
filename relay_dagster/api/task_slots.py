"""Who may have the engine do something for an answer, and until when: checks and explanations."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from relay_core.sandbox import BusyError, TaskTooSlowError
from relay_dagster.api.limits import DEFAULT_API_LIMITS, ApiLimits
from relay_dagster.api.security.rate_limits import ConcurrencyLimiter, RateLimitedError
from relay_dagster.drain import Deadline

_OF_TENANT = 1


class TaskDeadline(Deadline):
    """The instant by which a task is done."""

    def left(self) -> float:
        """Return the seconds that are left; `TaskTooSlowError` where there are none."""
        seconds = self.at - self.monotonic()
        if seconds <= 0:
            raise TaskTooSlowError
        return seconds


class TaskSlots:
    """One task of a tenant at once, and a few of all tenants; none waits but suppliers."""

    def __init__(self, limits: ApiLimits = DEFAULT_API_LIMITS) -> None:
        self._seconds = limits.task_seconds
        self._most = limits.tasks
        self._most_waiting = limits.link_checks_waiting
        self._of_tenants = ConcurrencyLimiter(_OF_TENANT)
        self._changed = threading.Condition()
        self._under_way = self._waiting = 0

    @contextmanager
    def hold(self, tenant_id: str) -> Iterator[TaskDeadline]:
        """Hold a slot within, yield until when; `BusyError`: none is free, or the tenant has it."""
        try:
            self._of_tenants.take(tenant_id)
        except RateLimitedError as error:
            raise BusyError from error
        try:
            with self._changed:
                if self._under_way >= self._most:
                    raise BusyError
                self._under_way += 1
            with self._ending():
                yield TaskDeadline.after(self._seconds)
        finally:
            self._of_tenants.give_back(tenant_id)

    @contextmanager
    def hold_behind(self) -> Iterator[TaskDeadline]:
        """Hold a slot within as `hold` does, once no task at all is under way.

        So a supplier's check is no task of its tenant, and those who have keys find a slot.

        Raises:
            BusyError: there are others all the time, or enough wait already.
        """
        with self._changed:
            if self._waiting >= self._most_waiting:
                raise BusyError
            self._waiting += 1
            is_free = self._changed.wait_for(lambda: not self._under_way, self._seconds)
            self._waiting -= 1
            if not is_free:
                raise BusyError
            self._under_way += 1
        with self._ending():
            yield TaskDeadline.after(self._seconds)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()
