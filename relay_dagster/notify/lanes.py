"""Calls to receivers, on threads of their own: one at a time to each, so many in all.

A receiver's calls wait in a lane, first in, first out; lanes take turns. Of a lane that is slow
little is kept waiting, and slow lanes together never take all threads: whoever hangs holds up
nobody else. Threads are daemons: a process that ends waits for no receiver.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

MOST_AT_ONCE = 32
MOST_SLOW_AT_ONCE = 16
MOST_WAITING = 200
SLOW_SECONDS = 2.0
SLOW_FOR_SECONDS = 60.0
"""A receiver that was slow counts as that for so long after its last call."""
_IDLE_SECONDS = 10.0
# What waits longer than a lane keeps it is told when to come again, so many seconds from then.
SOONEST, LATEST = 15.0, 120.0
_LEAST_CALL = 0.05


class Job(Protocol):
    """A call to be made."""

    @property
    def receiver(self) -> str:
        """Whom it goes to."""

    def run(self) -> None:
        """Make the call, and keep what came of it. Raises nothing."""


_Job = TypeVar("_Job", bound=Job)


@dataclass(eq=False)
class _Lane(Generic[_Job]):
    waiting: deque[_Job] = field(default_factory=deque)
    called_at: float | None = None
    ended_at: float = float("-inf")
    took: float = 0.0
    free_at: float = 0.0

    def is_slow(self, now: float) -> bool:
        if self.called_at is not None and now - self.called_at > SLOW_SECONDS:
            return True
        return self.took > SLOW_SECONDS and now - self.ended_at < SLOW_FOR_SECONDS

    def most_waiting(self, now: float) -> int:
        return 1 if self.is_slow(now) else MOST_WAITING

    def come_again(self, now: float) -> float:
        """Return in how many seconds a call that cannot wait here may come again: by its turn."""
        lasts = now - self.called_at if self.called_at is not None else 0.0
        self.free_at = max(self.free_at, now) + max(self.took, lasts, _LEAST_CALL)
        self.free_at = min(self.free_at, now + LATEST)
        return max(self.free_at - now, SOONEST)

    def is_of_interest(self, now: float) -> bool:
        """Tell whether anything is lost with it."""
        return bool(self.waiting) or self.called_at is not None or self.is_slow(now)


class Lanes(Generic[_Job]):
    """Makes calls, and hands those back that are made."""

    def __init__(self, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self._stopwatch = stopwatch
        self._lanes: dict[str, _Lane[_Job]] = {}
        self._ready: deque[_Lane[_Job]] = deque()
        self._made: list[_Job] = []
        self._calling: set[_Lane[_Job]] = set()
        self._threads = self._idle = 0
        lock = threading.Lock()
        self._has_ready = threading.Condition(lock)
        self._has_made = threading.Condition(lock)

    def add(self, job: _Job) -> float | None:
        """Let a call wait for its turn.

        Returns:
            None; or in how many seconds it may come again, where too many wait.
        """
        now = self._stopwatch()
        with self._has_ready:
            lane = self._lanes.setdefault(job.receiver, _Lane())
            if len(lane.waiting) >= lane.most_waiting(now):
                return lane.come_again(now)
            lane.waiting.append(job)
            if lane.called_at is None and len(lane.waiting) == 1:
                self._make_ready(lane)
            return None

    def made(self, count: int, seconds: float) -> list[_Job]:
        """Return the calls that are made, waiting for so many of them for so long."""
        with self._has_made:
            self._has_made.wait_for(lambda: len(self._made) >= count, seconds)
            made, self._made = self._made, []
            return made

    def turn_away(self) -> list[tuple[_Job, float]]:
        """Return what waits behind slow receivers, and in how many seconds each may come again.

        It waits no more; of each lane the first goes on waiting.
        """
        now, away = self._stopwatch(), []
        with self._has_ready:
            for lane in self._lanes.values():
                most = lane.most_waiting(now)
                kept = deque(lane.waiting.popleft() for _ in range(min(most, len(lane.waiting))))
                away += [(job, lane.come_again(now)) for job in lane.waiting]
                lane.waiting = kept
            dull = [name for name, each in self._lanes.items() if not each.is_of_interest(now)]
            for name in dull:
                del self._lanes[name]
        return away

    # --- on the threads, or with the lock -------------------------------------------------------

    def _make_ready(self, lane: _Lane[_Job]) -> None:
        self._ready.append(lane)
        self._has_ready.notify()
        # One that was told and has not woken up yet counts as idle still, and takes one lane only.
        if len(self._ready) > self._idle and self._threads < MOST_AT_ONCE:
            self._threads += 1
            threading.Thread(target=self._work, name="webhook_call", daemon=True).start()

    def _work(self) -> None:
        with self._has_ready:
            while (lane := self._next()) is not None:
                self._call(lane)
            self._threads -= 1

    def _next(self) -> _Lane[_Job] | None:
        """Wait for a lane whose turn it is; None where there was none for a while."""
        while True:
            now = self._stopwatch()
            has_room = sum(each.is_slow(now) for each in self._calling) < MOST_SLOW_AT_ONCE
            for place, lane in enumerate(self._ready):
                if has_room or not lane.is_slow(now):
                    del self._ready[place]
                    return lane
            self._idle += 1
            is_told = self._has_ready.wait(_IDLE_SECONDS)
            self._idle -= 1
            if not is_told and not self._ready:
                return None

    def _call(self, lane: _Lane[_Job]) -> None:
        """Make a lane's first call, without the lock."""
        job, began = lane.waiting.popleft(), self._stopwatch()
        lane.called_at = began
        self._calling.add(lane)
        self._has_ready.release()
        try:
            job.run()
        finally:
            self._has_ready.acquire()
            self._calling.remove(lane)
            lane.called_at, lane.ended_at = None, self._stopwatch()
            lane.took = lane.ended_at - began
            self._made.append(job)
            self._has_made.notify()
            if lane.waiting:
                self._ready.append(lane)
