"""`relay webhooks`: options and flow, as in ``client/commands.py``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay_dagster.client.commands import LOCAL_API, ApiKey, ApiUrl, Json

if TYPE_CHECKING:
    from relay_dagster.client.terminal import Screen
    from relay_dagster.client.webhooks.calls import WebhookCalls
    from relay_dagster.wire.webhooks import ListedWebhook

Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Whose.", show_default=False)]
WebhookId = Annotated[
    str, typer.Argument(metavar="WEBHOOK_ID", help="As listed.", show_default=False)
]
_EVENTS = (
    "What it is told of: run.succeeded, run.failed, run.held, run.cancelled, feed.published; may "
    "be repeated."
)

webhooks = typer.Typer(help="Have URLs told of a tenant's runs and feeds, and see what was sent.")


def add_to(app: typer.Typer) -> None:
    """Give an application the commands about webhooks."""
    app.add_typer(webhooks, name="webhooks", no_args_is_help=True)


@contextmanager
def _webhooks_of(
    tenant: str, api_url: str, api_key: str | None
) -> Iterator[tuple[WebhookCalls, Screen]]:
    """Lend the calls about a tenant's webhooks, and the screen; end the command in good order."""
    from relay_dagster.client.session import connected
    from relay_dagster.client.webhooks.calls import WebhookCalls

    with connected(api_url, api_key) as session:
        yield WebhookCalls(session.api, tenant), session.screen


def _show(screen: Screen, webhook: ListedWebhook, *, as_json: bool) -> None:
    from relay_dagster.client.views.webhooks import show_webhook

    if as_json:
        screen.show_json(webhook.as_json())
    else:
        show_webhook(screen, webhook)


@webhooks.command()
def create(
    tenant: Tenant,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="https, port 443 or 8443.", show_default=False)
    ],
    event: Annotated[list[str], typer.Option(help=_EVENTS, show_default=False)],
    description: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    as_json: Json = False,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Make a webhook and print its secret, this once; its id goes to standard error."""
    order: dict[str, Any] = {"url": url, "events": event}
    if description is not None:
        order["description"] = description
    with _webhooks_of(tenant, api_url, api_key) as (calls, screen):
        made = calls.create(order)
        if as_json:
            screen.show_json(made.as_json())
            return
        screen.say(made.secret, whole=True)
        screen.complain(
            f"webhook {made.webhook_id} of {tenant}; its secret is shown this once; try it with: "
            f"relay webhooks test {tenant} {made.webhook_id}"
        )


@webhooks.command("list")
def list_webhooks(
    tenant: Tenant, as_json: Json = False, api_url: ApiUrl = LOCAL_API, api_key: ApiKey = None
) -> None:
    """List a tenant's webhooks: where they lead, what they are told of, and how they do."""
    from relay_dagster.client.views.webhooks import show_webhooks

    with _webhooks_of(tenant, api_url, api_key) as (calls, screen):
        found = calls.all().webhooks
        if as_json:
            screen.show_json([each.as_json() for each in found])
        else:
            show_webhooks(screen, found)


@webhooks.command()
def show(
    tenant: Tenant,
    webhook_id: WebhookId,
    as_json: Json = False,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Show a webhook."""
    with _webhooks_of(tenant, api_url, api_key) as (calls, screen):
        found = calls.get(webhook_id)
        _show(screen, found, as_json=as_json)


@webhooks.command()
def update(
    tenant: Tenant,
    webhook_id: WebhookId,
    url: Annotated[str | None, typer.Option(help="Where it leads from now on.")] = None,
    event: Annotated[list[str] | None, typer.Option(help=_EVENTS, show_default="as it is")] = None,
    description: Annotated[
        str | None, typer.Option(help="What people call it; empty takes it away.")
    ] = None,
    enabled: Annotated[
        bool | None,
        typer.Option("--enable/--disable", help="Whether anything is sent to it."),
    ] = None,
    as_json: Json = False,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Change a webhook, and show it; what is not named stays as it is."""
    asked = {"url": url, "events": event, "description": description, "enabled": enabled}
    changes: dict[str, Any] = {
        name: value for name, value in asked.items() if value not in (None, [])
    }
    if description == "":
        changes["description"] = None
    with _webhooks_of(tenant, api_url, api_key) as (calls, screen):
        changed = calls.update(webhook_id, changes)
        _show(screen, changed, as_json=as_json)


@webhooks.command()
def delete(
    tenant: Tenant, webhook_id: WebhookId, api_url: ApiUrl = LOCAL_API, api_key: ApiKey = None
) -> None:
    """Delete a webhook; what waits to be sent to it is not sent."""
    with _webhooks_of(tenant, api_url, api_key) as (calls, screen):
        calls.delete(webhook_id)
        screen.say(f"webhook {webhook_id} of {tenant} is deleted")


@webhooks.command()
def rotate(
    tenant: Tenant,
    webhook_id: WebhookId,
    as_json: Json = False,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Make a new secret of a webhook and print it, this once; for a day the old one signs too."""
    from relay_dagster.client.terminal import instant

    with _webhooks_of(tenant, api_url, api_key) as (calls, screen):
        made = calls.rotate(webhook_id)
        if as_json:
            screen.show_json(made.as_json())
            return
        screen.say(made.secret, whole=True)
        until = instant(made.previous_secret_until)
        screen.complain(f"the secret before signs too until {until}; verify by either until then")


@webhooks.command("test")
def send_test(
    tenant: Tenant, webhook_id: WebhookId, api_url: ApiUrl = LOCAL_API, api_key: ApiKey = None
) -> None:
    """Have a webhook.test sent to a webhook, and print the delivery's id."""
    with _webhooks_of(tenant, api_url, api_key) as (calls, screen):
        made = calls.test(webhook_id)
        screen.say(made.delivery_id, whole=True)
        screen.complain(
            f"see what came of it with: relay webhooks deliveries {tenant} {webhook_id}"
        )


@webhooks.command()
def deliveries(
    tenant: Tenant,
    webhook_id: WebhookId,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 20,
    as_json: Json = False,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Show each try to deliver to a webhook in the last 30 days, the last event first."""
    from relay_dagster.client.views.webhooks import show_deliveries

    with _webhooks_of(tenant, api_url, api_key) as (calls, screen):
        found = list(calls.deliveries(webhook_id, limit))
        if as_json:
            screen.show_json([each.as_json() for each in found])
        else:
            show_deliveries(screen, found)


@webhooks.command()
def listen(
    secret: Annotated[
        str,
        typer.Option(
            help="The webhook's; the variable keeps it out of lists of processes.",
            envvar="RELAY_WEBHOOK_SECRET",
            show_default=False,
        ),
    ],
    port: Annotated[int, typer.Option(help="What to listen on.", min=0, max=65535)] = 8700,
    host: Annotated[str, typer.Option(help="Loopback, or an address of yours.")] = "127.0.0.1",
) -> None:
    """Show the webhooks that arrive here, where their signature is right, until Ctrl-C."""
    from relay_dagster.client.session import telling
    from relay_dagster.client.webhooks.listen import Receiver, show_on

    with telling() as screen:
        show, complain = show_on(screen), screen.complain
        with Receiver(host, port, secret, show=show, complain=complain) as receiver:
            screen.complain(f"listening on {receiver.url}; Ctrl-C ends it")
            receiver.serve_forever()
