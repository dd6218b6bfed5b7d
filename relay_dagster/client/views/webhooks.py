"""Webhooks and their deliveries as people read them."""

from collections.abc import Iterator, Sequence

from relay_dagster.client.terminal import Screen, duration, instant
from relay_dagster.wire.webhooks import ListedDelivery, ListedWebhook


def show_webhooks(screen: Screen, webhooks: Sequence[ListedWebhook]) -> None:
    """Write a table of webhooks, in the order given."""
    if not webhooks:
        screen.complain("the tenant has no webhooks")
        return
    names = ("webhook_id", "state", "url", "events", "description")
    rows = [
        (each.webhook_id, _state(each), each.url, " ".join(each.events), each.description or "-")
        for each in webhooks
    ]
    screen.table(names, rows, folded=("url", "events", "description"))


def show_webhook(screen: Screen, webhook: ListedWebhook) -> None:
    """Write what there is to know of a webhook."""
    screen.say(f"webhook {webhook.webhook_id}")
    for line in _facts(webhook):
        screen.say(line, indent=2)


def show_deliveries(screen: Screen, deliveries: Sequence[ListedDelivery]) -> None:
    """Write a table of tries, in the order given."""
    if not deliveries:
        screen.complain("nothing was sent to the webhook in the last 30 days")
        return
    names = ("at", "delivery_id", "event", "try", "answer", "took", "next", "error")
    rows = [
        (
            instant(each.at),
            each.delivery_id,
            each.event,
            str(each.attempt),
            "-" if each.status_code is None else str(each.status_code),
            duration(each.duration_ms / 1000),
            instant(each.next_attempt_at),
            each.error or "-",
        )
        for each in deliveries
    ]
    screen.table(names, rows, folded=("delivery_id", "error"))


def _facts(webhook: ListedWebhook) -> Iterator[str]:
    yield f"is {_state(webhook)}"
    yield f"is sent to {webhook.url}"
    yield f"is told of {', '.join(webhook.events)}"
    if webhook.description is not None:
        yield f"is described as {webhook.description}"
    by = "" if webhook.created_by is None else f" by {webhook.created_by}"
    yield f"was made at {instant(webhook.created_at)}{by}"
    if webhook.failing_since is not None:
        yield f"has failed since {instant(webhook.failing_since)}, each time"


def _state(webhook: ListedWebhook) -> str:
    if webhook.enabled:
        return "enabled" if webhook.failing_since is None else "enabled, failing"
    return "disabled" if webhook.disabled_reason is None else f"disabled: {webhook.disabled_reason}"
