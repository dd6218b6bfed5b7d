"""Sends webhooks: takes what is due, has it called, and writes down what came of it.

One sender lives as long as its process. Calls are made on threads of their own and are in nobody's
way; a tick takes in events, notes results, and writes each event as seldom as it can. Whatever is
not written yet is due still: a process that dies loses nothing, and at worst sends once more what
it has sent, by the same id.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from relay_dagster.aws.cloudwatch.metrics import report_fault
from relay_dagster.logs import event_log
from relay_dagster.notify.calls import Answer, Caller
from relay_dagster.notify.lanes import Lanes
from relay_dagster.notify.parcels import Call, Means, Parcel
from relay_dagster.notify.standing import Standings
from relay_dagster.runs.ports import utc_now
from relay_dagster.runs.webhooks.model import Event
from relay_dagster.runs.webhooks.rules import (
    addressed,
    due,
    ended,
    is_given_up,
    put_off,
    tried,
)
from relay_dagster.wiring import Platform

MAX_SECONDS = 20.0
MOST_IN_HAND, PAGE = 1000, 500
THREADS = 8
# Between two looks for what is due, where the last has found nothing.
LOOK_SECONDS = 1.0
# A tick in which nothing has moved for so long is over: what hangs is left to the next.
QUIET_SECONDS = 1.0
# Results of one event that come within that are one write; so many of any are taken at a time.
GATHER_SECONDS = 1.0
MANY, MANY_SECONDS = 100, 0.05

log = event_log()


@dataclass
class _Count:
    """What a tick has done."""

    delivered: int = 0
    failed: int = 0
    given_up: int = 0
    disabled: int = 0

    def __str__(self) -> str:
        return f"{self.delivered} delivered, {self.failed} failed"


class Sender:
    """Sends what is due, tick by tick.

    Args:
        platform: the stores and the metrics.
        caller: makes the calls.
        clock: tells the time, aware.
        stopwatch: tells how long things last, in seconds.
        chance: returns a random number from 0 to 1 for each wait.
    """

    def __init__(
        self,
        platform: Platform,
        caller: Caller | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        stopwatch: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._platform = platform
        allow_loopback = platform.settings.webhook_allow_loopback
        self._means = Means(caller or Caller(), clock, stopwatch, allow_loopback)
        self._clock = clock
        self._stopwatch = stopwatch
        self._chance = chance
        self._lanes: Lanes[Call] = Lanes(stopwatch)
        self._standings = Standings(platform.webhooks, platform.metrics)
        self._parcels: dict[str, Parcel] = {}
        self._changed: dict[str, Parcel] = {}
        self._turn = threading.Lock()
        self._count = _Count()

    def tick(self, seconds: float = MAX_SECONDS) -> str:
        """Send for so long at the most, and no longer than anything moves; return what came of it.

        Raises:
            ExternalServiceError: what is due could not be read, or a result not written; it is
                kept, and the next tick goes on.
        """
        if not self._turn.acquire(blocking=False):
            return "another tick sends"
        self._count = _Count()
        try:
            self._send(seconds)
        finally:
            failed = self._count.given_up + self._count.disabled
            if failed:
                self._platform.metrics.webhooks_failed(failed)
            self._turn.release()
        return f"{self._count}, {sum(len(each.open) for each in self._parcels.values())} open"

    def _send(self, seconds: float) -> None:
        look_at = moved_at = self._stopwatch()
        until = look_at + seconds
        while True:
            taken = 0
            if self._stopwatch() >= look_at:
                taken = self._take_all(until)
                look_at = self._stopwatch() + (0 if taken else LOOK_SECONDS)
            made = self._collect()
            now = self._stopwatch()
            is_quiet = not taken and not made and now >= moved_at + QUIET_SECONDS
            is_last = is_quiet or now >= until
            if self._write(all_of_it=is_last) or taken or made:
                moved_at = self._stopwatch()
            if is_last or (not self._parcels and not taken):
                return

    # --- in -------------------------------------------------------------------------------------

    def _take_all(self, until: float) -> int:
        """Take in all that is due, as far as there is room: calls come before what is written."""
        count = taken = self._take_in()
        while taken == PAGE and self._stopwatch() < until:
            taken = self._take_in()
            count += taken
        return count

    def _take_in(self) -> int:
        """Take in what is due, as far as there is room; return how many events that were."""
        room = min(MOST_IN_HAND - len(self._parcels), PAGE)
        if room <= 0:
            return 0
        now, read_at, store = self._clock(), self._stopwatch(), self._platform.webhooks
        events = store.due_events(now, room, besides=self._parcels)
        webhooks = store.of_tenants({each.tenant_id for each in events})
        for event in events:
            parcel = Parcel(event, addressed(event, webhooks[event.tenant_id], now))
            by_id = {each.webhook_id: each for each in webhooks[event.tenant_id]}
            meant = [by_id[webhook_id] for webhook_id in due(parcel.event, now)]
            self._take(parcel, [Call(event, each, self._means, read_at) for each in meant])
        return len(events)

    def _take(self, parcel: Parcel, calls: Sequence[Call]) -> None:
        self._parcels[parcel.event.event_id] = parcel
        for call in calls:
            seconds = self._lanes.add(call)
            if seconds is None:
                parcel.open.add(call.webhook.webhook_id)
            else:
                self._put_off(parcel, call.webhook.webhook_id, seconds)
        if not parcel.open:
            self._change(parcel, parcel.event)

    # --- what comes of it -----------------------------------------------------------------------

    def _collect(self) -> int:
        """Note the calls that are made by now, or soon; return how many those were."""
        is_any_open = any(each.open for each in self._parcels.values())
        made = self._lanes.made(MANY, MANY_SECONDS) if is_any_open else []
        for call in made:
            self._note(call)
        for call, seconds in self._lanes.turn_away():
            parcel = self._parcels.get(call.event.event_id)
            if parcel is not None:
                self._put_off(parcel, call.webhook.webhook_id, seconds)
        return len(made)

    def _note(self, call: Call) -> None:
        """Note what came of a call: of its webhook, and of its event where that is in hand still.

        Another sender may have written the event meanwhile.
        """
        webhook_id, parcel = call.webhook.webhook_id, self._parcels.get(call.event.event_id)
        if parcel is not None:
            parcel.open.discard(webhook_id)
        if call.answer is None or call.attempt is None:
            if parcel is not None:
                self._change(parcel, ended(parcel.event, {webhook_id}))
            return
        self._judge(call, call.answer, call.attempt.at)
        if parcel is None:
            return
        after = tried(parcel.event, webhook_id, call.attempt, self._chance())
        if call.answer.is_gone:
            after = ended(after, {webhook_id})
        elif is_given_up(after, webhook_id):
            self._count.given_up += 1
            _tell(log.error, "webhook_given_up", call, error=call.answer.error)
        self._change(parcel, after)

    def _judge(self, call: Call, answer: Answer, at: datetime) -> None:
        """Note what a try says of its webhook."""
        if call.defect is not None:
            report = partial(report_fault, self._platform.metrics)
            _tell(report, "webhook_not_sent", call, error=call.defect)
        if answer.error is None:
            self._count.delivered += 1
            self._standings.note_success(call.webhook, at)
        else:
            self._count.failed += 1
            self._standings.note_failure(call.webhook, at, is_gone=answer.is_gone)

    def _put_off(self, parcel: Parcel, webhook_id: str, seconds: float) -> None:
        """Look at a delivery later: others of its receiver come first."""
        parcel.open.discard(webhook_id)
        now = self._clock()
        if not parcel.is_leased(webhook_id, now):
            at = now + timedelta(seconds=seconds)
            self._change(parcel, put_off(parcel.event, {webhook_id: at}))
        elif not parcel.open:
            del self._parcels[parcel.event.event_id]

    def _change(self, parcel: Parcel, event: Event) -> None:
        parcel.change(event, self._stopwatch())
        self._changed[event.event_id] = parcel

    # --- out ------------------------------------------------------------------------------------

    def _write(self, *, all_of_it: bool) -> int:
        """Write down what has changed, or of that what changes no more; return how many events."""
        self._count.disabled += self._standings.write()
        before = self._stopwatch() - GATHER_SECONDS
        ripe = [
            each
            for each in self._changed.values()
            if all_of_it or not each.open or (each.changed_at or 0) <= before
        ]
        if ripe:
            with ThreadPoolExecutor(min(THREADS, len(ripe))) as pool:
                self._settle(ripe, list(pool.map(self._store, ripe)))
        return len(ripe)

    def _store(self, parcel: Parcel) -> Event | Exception | None:
        """Store an event; return it, the fault, or None where another sender has changed it."""
        after = parcel.to_write(self._clock())
        try:
            return self._platform.webhooks.put_event(parcel.stored, after)
        except Exception as error:  # noqa: BLE001 - the others must not be lost by this one
            return error

    def _settle(
        self, parcels: Sequence[Parcel], results: Sequence[Event | Exception | None]
    ) -> None:
        """Let go of what is done with.

        Raises:
            Exception: the first fault; what is not stored is kept for the next time.
        """
        for parcel, result in zip(parcels, results, strict=True):
            if isinstance(result, Exception):
                continue
            event_id = parcel.event.event_id
            del self._changed[event_id]
            if result is not None:
                parcel.written(result)
            if result is None or not parcel.open:
                del self._parcels[event_id]
        faults = [each for each in results if isinstance(each, Exception)]
        if faults:
            raise faults[0]


def _tell(tell: Callable[..., None], event: str, call: Call, **facts: object) -> None:
    """Tell of a call: whose it was, of which webhook and of what."""
    tell(
        event,
        tenant_id=call.webhook.tenant_id,
        webhook_id=call.webhook.webhook_id,
        event_id=call.event.event_id,
        **facts,
    )
