"""Events on their way: the calls that send them, the results, and a run's outcome."""

from dataclasses import dataclass, field

from relay_dagster.transfers.webhook_health import log_facts
from relay_dagster.webhooks.model import DeliveryAttempt, Event, Webhook
from relay_dagster.work.queue import LeasedItem


@dataclass(eq=False)
class InFlight:
    """An event that is being sent."""

    leased: LeasedItem[Event]
    event: Event  # the event as it is to be stored
    # The webhooks whose calls have not come back yet
    open_webhook_ids: set[str] = field(default_factory=set)
    # Since when there is something to store, on a monotonic clock; None for nothing
    changed_at: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class WebhookCall:
    """A call that sends an event to one webhook."""

    flight: InFlight
    webhook: Webhook  # as it was read
    read_at: float  # when it was read, on a monotonic clock

    @property
    def facts(self) -> dict[str, str]:
        """The call's fields for the log."""
        return log_facts(self.webhook, event_id=self.flight.event.event_id)


@dataclass(frozen=True, slots=True)
class CallResult:
    """The outcome of a call."""

    attempt: DeliveryAttempt | None  # None if no call was made after all
    defect: Exception | None = None  # why the sender itself failed
    has_disabled: bool = False  # whether the webhook was disabled because of it


@dataclass
class Sent:
    """The outcome of a run; false if nothing was sent and nothing is in progress."""

    delivered: int = 0
    failed: int = 0
    given_up: int = 0
    disabled: int = 0
    open: int = 0
    # Whether another run of the same sender is in progress.
    is_elsewhere: bool = False

    def __bool__(self) -> bool:
        """Return True if the run did something, or left calls in progress."""
        return self.is_elsewhere or bool(
            self.delivered or self.failed or self.open
        )

    def __str__(self) -> str:
        """Return the outcome in a line."""
        if self.is_elsewhere:
            return "another tick sends"
        return f"{self.delivered} delivered, {self.failed} failed, {self.open} open"
