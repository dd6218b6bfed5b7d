"""What a sender has in hand: an event with its open calls, and each call with what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from relay_dagster.notify.calls import Answer, Caller
from relay_dagster.notify.signing import request_headers
from relay_dagster.runs.webhooks.destination import Destination, UnfitUrlError, judge_url
from relay_dagster.runs.webhooks.model import Attempt, Event, Webhook
from relay_dagster.runs.webhooks.rules import put_off

LEASE = timedelta(seconds=30)
"""An event that is written while calls of it are open is looked at again after that, in case that
their sender dies."""


@dataclass(frozen=True, slots=True)
class Means:
    """What calls are made with.

    Args:
        caller: makes one.
        clock: tells the time, aware.
        stopwatch: tells how long things last, in seconds.
        allow_loopback: whether this machine may be called.
        gone: when webhooks' receivers have said that they want no more, on the stopwatch.
    """

    caller: Caller
    clock: Callable[[], datetime]
    stopwatch: Callable[[], float]
    allow_loopback: bool
    gone: dict[str, float] = field(default_factory=dict)


@dataclass
class Call:
    """An event on its way to one webhook: signed when its turn comes.

    Args:
        event: what is sent.
        webhook: whom to, as it was read.
        means: what the call is made with.
        read_at: when the webhook was read, on the stopwatch.
        answer: what came of it; None of a call that was not made after all.
        attempt: the same, as it is kept.
        defect: why we failed ourselves.
    """

    event: Event
    webhook: Webhook
    means: Means
    read_at: float
    answer: Answer | None = None
    attempt: Attempt | None = None
    defect: Exception | None = None
    _destination: Destination | str = field(init=False)

    def __post_init__(self) -> None:
        """Judge the URL: the rule may be another than when it was stored."""
        allow_loopback = self.means.allow_loopback
        try:
            self._destination = judge_url(self.webhook.url, allow_loopback=allow_loopback)
        except UnfitUrlError as error:
            self._destination = f"the URL {error}"

    @property
    def receiver(self) -> str:
        """Whom it goes to: calls to one receiver follow each other."""
        if isinstance(self._destination, str):
            return self.webhook.webhook_id  # nobody is called
        return self._destination.receiver

    def run(self) -> None:
        """Make the call, and keep what came of it; make none where the receiver wants no more."""
        webhook_id, gone = self.webhook.webhook_id, self.means.gone
        if self.read_at <= gone.get(webhook_id, self.read_at - 1):
            return
        at = self.means.clock()
        try:
            self.answer = self._answer(at)
        except Exception as error:  # noqa: BLE001 - told by whoever takes it back
            self.defect, self.answer = error, Answer(None, "the sender failed", 0.0)
        if self.answer.is_gone:
            gone[webhook_id] = self.means.stopwatch()
        milliseconds = round(self.answer.seconds * 1000)
        self.attempt = Attempt(at, self.answer.status_code, milliseconds, self.answer.error)

    def _answer(self, at: datetime) -> Answer:
        if isinstance(self._destination, str):
            return Answer(None, self._destination, 0.0)
        body, secrets = self.event.body, self.webhook.signing_secrets(at)
        headers = request_headers(self.event.event_id, body, secrets, at)
        return self.means.caller.call(self._destination, headers, body)


@dataclass
class Parcel:
    """An event in hand.

    Args:
        stored: the event as it is stored.
        event: as it is to be.
        open: the webhooks whose calls are not made yet.
        changed_at: since when there is something to write, on a stopwatch; None for nothing.
    """

    stored: Event
    event: Event
    open: set[str] = field(default_factory=set)
    changed_at: float | None = None

    def change(self, event: Event, at: float) -> None:
        """Have the event as it is to be."""
        self.event = event
        self.changed_at = at if self.changed_at is None else self.changed_at

    def is_leased(self, webhook_id: str, now: datetime) -> bool:
        """Tell whether it is stored as it is to be, with a later look for a webhook."""
        delivery = (self.stored.deliveries or {}).get(webhook_id)
        at = None if delivery is None else delivery.next_attempt_at
        return self.changed_at is None and at is not None and at > now

    def to_write(self, now: datetime) -> Event:
        """Return what is to be stored: whose call is open is looked at later."""
        return put_off(self.event, dict.fromkeys(self.open, now + LEASE))

    def written(self, stored: Event) -> None:
        """Note that it is stored as it is to be."""
        self.stored = self.event = stored
        self.changed_at = None
