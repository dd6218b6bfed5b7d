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

WebhookId = Annotated[str, argument("WEBHOOK_ID", "Webhook ID, as listed.")]
_EVENTS = (
    "Event to send: run.succeeded, run.failed, run.held, run.cancelled, feed.published, "
    "vendor.pull_failed, feed.delivered or feed.delivery_failed; can be repeated."
)

webhooks = typer.Typer(
    help="Manage the webhooks that notify your endpoints of runs and feeds.",
    no_args_is_help=True,
)


# --- webhooks -------------------------------------------------------------------------


@command(webhooks)
def create(
    session: Session,
    tenant: Tenant,
    url: Annotated[str, argument("URL", "HTTPS URL with port 443 or 8443.")],
    event: Annotated[list[str], option(_EVENTS, show_default=False)],
    description: Annotated[
        str | None,
        option("Description for people."),
    ] = None,
) -> Output:
    """Create a webhook and print its secret.

    The secret is shown only this once. The webhook's ID goes to standard error.
    """
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
        f"The secret of webhook {webhook.webhook_id} of {tenant} is shown only this once. "
        f"Test the webhook with: relay webhooks test {tenant} {webhook.webhook_id}"
    )
    return _secret_output(session.screen, webhook, note)


@command(webhooks, "list")
def list_webhooks(session: Session, tenant: Tenant) -> Output:
    """List a tenant's webhooks with their URLs, events, and states."""
    path = tenant_path(tenant, "webhooks")
    tenant_webhooks = session.api.request(
        wire.WebhookList,
        "GET",
        path,
    ).webhooks
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
    url: Annotated[str | None, option("New URL.")] = None,
    event: Annotated[
        list[str] | None,
        option(_EVENTS, show_default="unchanged"),
    ] = None,
    description: Annotated[
        str | None,
        option("New description; an empty text removes it."),
    ] = None,
    enabled: Annotated[
        bool | None,
        option("Enable or disable the webhook.", "--enable/--disable"),
    ] = None,
) -> Output:
    """Change a webhook and show it. Other settings stay unchanged."""
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
    webhook = session.api.request(
        wire.ListedWebhook,
        "PATCH",
        path,
        json=changes,
    )
    return _webhook_output(session, webhook)


@command(webhooks)
def delete(session: Session, tenant: Tenant, webhook_id: WebhookId) -> None:
    """Delete a webhook. Pending events are not sent to it."""
    session.api.send("DELETE", tenant_path(tenant, "webhooks", webhook_id))
    session.screen.say(f"Webhook {webhook_id} of {tenant} is deleted.")


@command(webhooks)
def rotate(session: Session, tenant: Tenant, webhook_id: WebhookId) -> Output:
    """Create a new secret for a webhook and print it.

    The secret is shown only this once. For a day, events are signed with the old
    secret, too.
    """
    path = f"{tenant_path(tenant, 'webhooks', webhook_id)}/secret:rotate"
    secret = session.api.request(wire.NewSecret, "POST", path)
    until = instant(secret.previous_secret_until)
    note = f"Until {until}, events are signed with the old secret, too."
    return _secret_output(session.screen, secret, note)


@command(webhooks, "test")
def send_test(session: Session, tenant: Tenant, webhook_id: WebhookId) -> None:
    """Send a webhook.test event to a webhook, and print the ID of the delivery."""
    path = tenant_path(tenant, "webhooks", webhook_id, "test")
    delivery = session.api.request(wire.TrialDelivery, "POST", path)
    session.screen.say(delivery.delivery_id, whole=True)
    session.screen.complain(
        f"For the result: relay webhooks deliveries {tenant} {webhook_id}",
    )


# --- deliveries -----------------------------------------------------------------------


@command(webhooks)
def deliveries(
    session: Session,
    tenant: Tenant,
    webhook_id: WebhookId,
    limit: Limit = 20,
) -> Output:
    """List the delivery attempts of the last 30 days, the latest event first."""
    attempts = list(delivery_attempts(session.api, tenant, webhook_id, limit))
    return Output(attempts, lambda: _DELIVERIES.show(session.screen, attempts))


@webhooks.command()
def listen(
    secret: Annotated[
        str,
        option(
            "Secret of the webhook. Prefer the environment variable: other users of this "
            "machine can see command lines.",
            show_default=False,
            envvar="RELAY_WEBHOOK_SECRET",
        ),
    ],
    port: Annotated[int, option("Port to listen on.", min=0, max=65535)] = 8700,
    host: Annotated[str, option("Address to listen on.")] = "127.0.0.1",
) -> None:
    """Receive webhooks on this machine, verify them, and show them until Ctrl-C."""
    # Only this command needs the library that verifies webhooks.
    from relay_dagster.client.listen import Receiver

    with screen_only() as screen:

        def show_event(event_id: str, document: Any) -> None:
            event_type = (
                document.get("type") if isinstance(document, dict) else None
            )
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
            screen.complain(
                f"Listening on {receiver.url}. Press Ctrl-C to stop.",
            )
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
    yield f"state: {_state(webhook)}"
    yield f"URL: {webhook.url}"
    yield f"events: {', '.join(webhook.events)}"
    if webhook.description is not None:
        yield f"description: {webhook.description}"
    creator = (
        f" by {webhook.created_by}" if webhook.created_by is not None else ""
    )
    yield f"created: {instant(webhook.created_at)}{creator}"
    if webhook.failing_since is not None:
        yield f"failing since: {instant(webhook.failing_since)}"


def _state(webhook: wire.ListedWebhook) -> str:
    if webhook.enabled:
        return (
            "enabled" if webhook.failing_since is None else "enabled, failing"
        )
    if webhook.disabled_reason is None:
        return "disabled"
    return f"disabled ({webhook.disabled_reason})"


_WEBHOOKS = TableView(
    {
        "webhook_id": "webhook_id",
        "state": _state,
        "url": "url",
        "events": "events",
        "description": "description",
    },
    folded=("url", "events", "description"),
    empty="The tenant has no webhooks.",
)
_DELIVERIES = TableView(
    {
        "at": "at",
        "delivery_id": "delivery_id",
        "event": "event",
        "attempt": "attempt",
        "response": "status_code",
        "took": lambda delivery: duration(delivery.duration_ms / 1000),
        "next": "next_attempt_at",
        "error": "error",
    },
    folded=("delivery_id", "error"),
    empty="Nothing was sent to the webhook in the last 30 days.",
)
