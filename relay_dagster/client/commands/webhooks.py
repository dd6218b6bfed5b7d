"""Commands about a tenant's webhooks: create, change, and test them, and list deliveries."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

import typer

from relay_dagster.client.api_client import ApiClient, tenant_path
from relay_dagster.client.session import (
    Limit,
    Output,
    Session,
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
    "An event that it gets: run.succeeded, run.failed, run.held, run.cancelled, "
    "feed.published, vendor.pull_failed; may be repeated."
)

webhooks = typer.Typer(
    help="Notify URLs of a tenant's runs and feeds, and see what was sent.",
    no_args_is_help=True,
)


# --- webhooks -------------------------------------------------------------------------


@command(webhooks)
def create(
    session: Session,
    tenant: Tenant,
    url: Annotated[str, argument("URL", "https, port 443 or 8443.")],
    event: Annotated[list[str], option(_EVENTS, show_default=False)],
    description: Annotated[str | None, option("What people call it.")] = None,
) -> Output:
    """Make a webhook and print its secret, this once; its id goes to standard error."""
    body: dict[str, Any] = {"url": url, "events": event}
    if description is not None:
        body["description"] = description
    webhook = session.api.request(
        wire.NewWebhook,
        "POST",
        tenant_path(tenant, "webhooks"),
        json=body,
    )
    note = (
        f"webhook {webhook.webhook_id} of {tenant}; its secret is shown this once; try it "
        f"with: relay webhooks test {tenant} {webhook.webhook_id}"
    )
    return _secret_output(session.screen, webhook, note)


@command(webhooks, "list")
def list_webhooks(session: Session, tenant: Tenant) -> Output:
    """List a tenant's webhooks: their URLs, events and states."""
    path = tenant_path(tenant, "webhooks")
    tenant_webhooks = session.api.request(wire.WebhookList, "GET", path).webhooks
    return Output(
        tenant_webhooks,
        lambda: _WEBHOOKS.show(session.screen, tenant_webhooks),
    )


@command(webhooks)
def show(session: Session, tenant: Tenant, webhook_id: WebhookId) -> Output:
    """Show a webhook."""
    path = tenant_path(tenant, "webhooks", webhook_id)
    webhook = session.api.request(wire.ListedWebhook, "GET", path)
    return _webhook_output(session, webhook)


@command(webhooks)
def update(
    session: Session,
    tenant: Tenant,
    webhook_id: WebhookId,
    url: Annotated[str | None, option("Where it leads from now on.")] = None,
    event: Annotated[list[str] | None, option(_EVENTS, show_default="as it is")] = None,
    description: Annotated[
        str | None, option("What people call it; empty takes it away.")
    ] = None,
    enabled: Annotated[
        bool | None, option("Whether anything is sent to it.", "--enable/--disable")
    ] = None,
) -> Output:
    """Change a webhook, and show it; what is not named stays as it is."""
    changes: dict[str, Any] = {}
    if url is not None:
        changes["url"] = url
    if event:
        changes["events"] = event
    if description is not None:
        changes["description"] = description or None
    if enabled is not None:
        changes["enabled"] = enabled
    path = tenant_path(tenant, "webhooks", webhook_id)
    webhook = session.api.request(wire.ListedWebhook, "PATCH", path, json=changes)
    return _webhook_output(session, webhook)


@command(webhooks)
def delete(session: Session, tenant: Tenant, webhook_id: WebhookId) -> None:
    """Delete a webhook; what waits to be sent to it is not sent."""
    session.api.send("DELETE", tenant_path(tenant, "webhooks", webhook_id))
    session.screen.say(f"webhook {webhook_id} of {tenant} is deleted")


@command(webhooks)
def rotate(session: Session, tenant: Tenant, webhook_id: WebhookId) -> Output:
    """Make a new secret of a webhook and print it, this once; for a day the old one signs too."""
    path = f"{tenant_path(tenant, 'webhooks', webhook_id)}/secret:rotate"
    secret = session.api.request(wire.NewSecret, "POST", path)
    until = instant(secret.previous_secret_until)
    note = f"the secret before signs too until {until}; verify by either until then"
    return _secret_output(session.screen, secret, note)


@command(webhooks, "test")
def send_test(session: Session, tenant: Tenant, webhook_id: WebhookId) -> None:
    """Have a webhook.test sent to a webhook, and print the delivery's id."""
    path = tenant_path(tenant, "webhooks", webhook_id, "test")
    delivery = session.api.request(wire.TrialDelivery, "POST", path)
    session.screen.say(delivery.delivery_id, whole=True)
    session.screen.complain(
        f"see what came of it with: relay webhooks deliveries {tenant} {webhook_id}"
    )


# --- deliveries -----------------------------------------------------------------------


@command(webhooks)
def deliveries(
    session: Session,
    tenant: Tenant,
    webhook_id: WebhookId,
    limit: Limit = 20,
) -> Output:
    """Show each try to deliver to a webhook in the last 30 days, the last event first."""
    attempts = list(delivery_attempts(session.api, tenant, webhook_id, limit))
    return Output(attempts, lambda: _DELIVERIES.show(session.screen, attempts))


@webhooks.command()
def listen(
    secret: Annotated[
        str,
        option(
            "The webhook's; the variable keeps it out of lists of processes.",
            show_default=False,
            envvar="RELAY_WEBHOOK_SECRET",
        ),
    ],
    port: Annotated[int, option("What to listen on.", min=0, max=65535)] = 8700,
    host: Annotated[str, option("Loopback, or an address of yours.")] = "127.0.0.1",
) -> None:
    """Show the webhooks that arrive here, where their signature is right, until Ctrl-C."""
    # Only this command needs the library that verifies webhooks.
    from relay_dagster.client.listen import Receiver

    with screen_only() as screen:

        def show_event(event_id: str, document: Any) -> None:
            event_type = document.get("type") if isinstance(document, dict) else None
            screen.say(f"{event_id} {event_type}", whole=True)
            screen.show_json(document)

        receiver = Receiver(
            host,
            port,
            secret,
            show=show_event,
            complain=screen.complain,
        )
        with receiver:
            screen.complain(f"listening on {receiver.url}; Ctrl-C ends it")
            receiver.serve_forever()


def delivery_attempts(
    api: ApiClient,
    tenant_id: str,
    webhook_id: str,
    limit: int,
) -> Iterator[wire.ListedDelivery]:
    """Yield up to `limit` delivery attempts, the latest event first."""
    path = tenant_path(tenant_id, "webhooks", webhook_id, "deliveries")
    pages = api.pages(wire.DeliveryList, path, None, limit)
    attempts = (attempt for page in pages for attempt in page.deliveries)
    return islice(attempts, limit)


# --- output ---------------------------------------------------------------------------


def _secret_output(
    screen: Screen,
    response: wire.NewWebhook | wire.NewSecret,
    note: str,
) -> Output:
    """Return an output that writes only the secret to standard output, and a note beside."""

    def show() -> None:
        screen.say(response.secret, whole=True)
        screen.complain(note)

    return Output(response, show)


def _webhook_output(session: Session, webhook: wire.ListedWebhook) -> Output:
    title = f"webhook {webhook.webhook_id}"
    return Output(
        webhook,
        lambda: session.screen.details(title, _webhook_lines(webhook)),
    )


def _webhook_lines(webhook: wire.ListedWebhook) -> Iterator[str]:
    yield f"is {_state(webhook)}"
    yield f"is sent to {webhook.url}"
    yield f"gets {', '.join(webhook.events)}"
    if webhook.description is not None:
        yield f"is described as {webhook.description}"
    creator = f" by {webhook.created_by}" if webhook.created_by is not None else ""
    yield f"was made at {instant(webhook.created_at)}{creator}"
    if webhook.failing_since is not None:
        yield f"has failed since {instant(webhook.failing_since)}, each time"


def _state(webhook: wire.ListedWebhook) -> str:
    if webhook.enabled:
        return "enabled" if webhook.failing_since is None else "enabled, failing"
    if webhook.disabled_reason is None:
        return "disabled"
    return f"disabled: {webhook.disabled_reason}"


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
        "took": lambda delivery: duration(delivery.duration_ms / 1000),
        "next": "next_attempt_at",
        "error": "error",
    },
    folded=("delivery_id", "error"),
    empty="nothing was sent to the webhook in the last 30 days",
)
