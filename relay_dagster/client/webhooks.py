"""Webhooks of a tenant: made, changed, tried out, and what was sent."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

import typer

from relay_dagster.client.api_client import ApiClient, tenant_path
from relay_dagster.client.session import (
    Limit,
    Session,
    Shown,
    Tenant,
    argument,
    command,
    option,
    screen_only,
)
from relay_dagster.client.terminal import Screen, TableView, duration, instant
from relay_dagster.wire import webhooks as wire

WebhookId = Annotated[str, argument("WEBHOOK_ID", "As listed.")]
_EVENTS = (
    "An event that it gets: run.succeeded, run.failed, run.held, run.cancelled, feed.published, "
    "vendor.pull_failed; may be repeated."
)

webhooks = typer.Typer()


@command(webhooks)
def create(
    session: Session,
    tenant: Tenant,
    url: Annotated[str, argument("URL", "https, port 443 or 8443.")],
    event: Annotated[list[str], option(_EVENTS, default=False)],
    description: Annotated[str | None, option("What people call it.")] = None,
) -> Shown:
    """Make a webhook and print its secret, this once; its id goes to standard error."""
    order: dict[str, Any] = {"url": url, "events": event}
    if description is not None:
        order["description"] = description
    made = session.api.ask(
        wire.NewWebhook, "POST", tenant_path(tenant, "webhooks"), json=order
    )
    note = (
        f"webhook {made.webhook_id} of {tenant}; its secret is shown this once; try it with: "
        f"relay webhooks test {tenant} {made.webhook_id}"
    )
    return _secret_shown(session.screen, made, note)


@command(webhooks, "list")
def list_webhooks(session: Session, tenant: Tenant) -> Shown:
    """List a tenant's webhooks: their URLs, events and states."""
    found = session.api.ask(
        wire.WebhookList, "GET", tenant_path(tenant, "webhooks")
    ).webhooks
    return Shown(found, lambda: _WEBHOOKS.show(session.screen, found))


@command(webhooks)
def show(session: Session, tenant: Tenant, webhook_id: WebhookId) -> Shown:
    """Show a webhook."""
    found = session.api.ask(
        wire.ListedWebhook, "GET", tenant_path(tenant, "webhooks", webhook_id)
    )
    return _shown(session, found)


@command(webhooks)
def update(
    session: Session,
    tenant: Tenant,
    webhook_id: WebhookId,
    url: Annotated[str | None, option("Where it leads from now on.")] = None,
    event: Annotated[list[str] | None, option(_EVENTS, default="as it is")] = None,
    description: Annotated[
        str | None, option("What people call it; empty takes it away.")
    ] = None,
    enabled: Annotated[
        bool | None, option("Whether anything is sent to it.", "--enable/--disable")
    ] = None,
) -> Shown:
    """Change a webhook, and show it; what is not named stays as it is."""
    asked = {
        "url": url,
        "events": event,
        "description": description,
        "enabled": enabled,
    }
    changes: dict[str, Any] = {
        name: value for name, value in asked.items() if value not in (None, [])
    }
    if description == "":
        changes["description"] = None
    path = tenant_path(tenant, "webhooks", webhook_id)
    return _shown(
        session, session.api.ask(wire.ListedWebhook, "PATCH", path, json=changes)
    )


@command(webhooks)
def delete(session: Session, tenant: Tenant, webhook_id: WebhookId) -> None:
    """Delete a webhook; what waits to be sent to it is not sent."""
    session.api.send("DELETE", tenant_path(tenant, "webhooks", webhook_id))
    session.screen.say(f"webhook {webhook_id} of {tenant} is deleted")


@command(webhooks)
def rotate(session: Session, tenant: Tenant, webhook_id: WebhookId) -> Shown:
    """Make a new secret of a webhook and print it, this once; for a day the old one signs too."""
    path = f"{tenant_path(tenant, 'webhooks', webhook_id)}/secret:rotate"
    made = session.api.ask(wire.NewSecret, "POST", path)
    until = instant(made.previous_secret_until)
    note = f"the secret before signs too until {until}; verify by either until then"
    return _secret_shown(session.screen, made, note)


@command(webhooks, "test")
def send_test(session: Session, tenant: Tenant, webhook_id: WebhookId) -> None:
    """Have a webhook.test sent to a webhook, and print the delivery's id."""
    path = tenant_path(tenant, "webhooks", webhook_id, "test")
    made = session.api.ask(wire.TrialDelivery, "POST", path)
    session.screen.say(made.delivery_id, whole=True)
    session.screen.complain(
        f"see what came of it with: relay webhooks deliveries {tenant} {webhook_id}"
    )


@command(webhooks)
def deliveries(
    session: Session, tenant: Tenant, webhook_id: WebhookId, limit: Limit = 20
) -> Shown:
    """Show each try to deliver to a webhook in the last 30 days, the last event first."""
    found = list(tries(session.api, tenant, webhook_id, limit))
    return Shown(found, lambda: _DELIVERIES.show(session.screen, found))


@webhooks.command()
def listen(
    secret: Annotated[
        str,
        option(
            "The webhook's; the variable keeps it out of lists of processes.",
            default=False,
            envvar="RELAY_WEBHOOK_SECRET",
        ),
    ],
    port: Annotated[int, option("What to listen on.", min=0, max=65535)] = 8700,
    host: Annotated[str, option("Loopback, or an address of yours.")] = "127.0.0.1",
) -> None:
    """Show the webhooks that arrive here, where their signature is right, until Ctrl-C."""
    from relay_dagster.client.listen import Receiver  # a library of its own

    with screen_only() as screen:

        def show(event_id: str, document: Any) -> None:
            kind = document.get("type") if isinstance(document, dict) else None
            screen.say(f"{event_id} {kind}", whole=True)
            screen.show_json(document)

        with Receiver(
            host, port, secret, show=show, complain=screen.complain
        ) as receiver:
            screen.complain(f"listening on {receiver.url}; Ctrl-C ends it")
            receiver.serve_forever()


def tries(
    api: ApiClient, tenant_id: str, webhook_id: str, limit: int
) -> Iterator[wire.ListedDelivery]:
    """Yield at most ``limit`` tries, the last first, over as many pages as it takes."""
    path = tenant_path(tenant_id, "webhooks", webhook_id, "deliveries")
    pages = api.pages(wire.DeliveryList, path, None, limit)
    return islice((one for page in pages for one in page.deliveries), limit)


def _secret_shown(
    screen: Screen, made: wire.NewWebhook | wire.NewSecret, note: str
) -> Shown:
    """Return the function that writes a secret alone to standard output, and a note beside it."""

    def show() -> None:
        screen.say(made.secret, whole=True)
        screen.complain(note)

    return Shown(made, show)


def _shown(session: Session, webhook: wire.ListedWebhook) -> Shown:
    title = f"webhook {webhook.webhook_id}"
    return Shown(webhook, lambda: session.screen.details(title, _facts(webhook)))


def _facts(webhook: wire.ListedWebhook) -> Iterator[str]:
    yield f"is {_state(webhook)}"
    yield f"is sent to {webhook.url}"
    yield f"gets {', '.join(webhook.events)}"
    if webhook.description is not None:
        yield f"is described as {webhook.description}"
    by = "" if webhook.created_by is None else f" by {webhook.created_by}"
    yield f"was made at {instant(webhook.created_at)}{by}"
    if webhook.failing_since is not None:
        yield f"has failed since {instant(webhook.failing_since)}, each time"


def _state(webhook: wire.ListedWebhook) -> str:
    if webhook.enabled:
        return "enabled" if webhook.failing_since is None else "enabled, failing"
    return (
        "disabled"
        if webhook.disabled_reason is None
        else f"disabled: {webhook.disabled_reason}"
    )


_WEBHOOKS = TableView(
    {
        "webhook_id": "webhook_id",
        "state": _state,
        "url": "url",
        "events": "events",
        "description": "description",
    },
    folded=("url", "events", "description"),
    empty="the tenant has no webhooks",
)
_DELIVERIES = TableView(
    {
        "at": "at",
        "delivery_id": "delivery_id",
        "event": "event",
        "try": "attempt",
        "answer": "status_code",
        "took": lambda each: duration(each.duration_ms / 1000),
        "next": "next_attempt_at",
        "error": "error",
    },
    folded=("delivery_id", "error"),
    empty="nothing was sent to the webhook in the last 30 days",
)
