"""Webhooks of a tenant: made, changed, tried out, and what was sent."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any

import typer

from relay_dagster.client.api_client import ApiClient, read_answer, segment
from relay_dagster.client.session import Limit, Session, Shown, Tenant, command, telling
from relay_dagster.client.terminal import Screen, duration, instant
from relay_dagster.wire.webhooks import (
    DeliveryList,
    ListedDelivery,
    ListedWebhook,
    NewSecret,
    NewWebhook,
    TrialDelivery,
    WebhookList,
)

WebhookId = Annotated[
    str, typer.Argument(metavar="WEBHOOK_ID", help="As listed.", show_default=False)
]
_EVENTS = (
    "What it is told of: run.succeeded, run.failed, run.held, run.cancelled, feed.published; may "
    "be repeated."
)

webhooks = typer.Typer()


@command(webhooks)
def create(
    session: Session,
    tenant: Tenant,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="https, port 443 or 8443.", show_default=False)
    ],
    event: Annotated[list[str], typer.Option(help=_EVENTS, show_default=False)],
    description: Annotated[str | None, typer.Option(help="What people call it.")] = None,
) -> Shown:
    """Make a webhook and print its secret, this once; its id goes to standard error."""
    order: dict[str, Any] = {"url": url, "events": event}
    if description is not None:
        order["description"] = description
    made = WebhookCalls(session.api, tenant).create(order)
    return Shown(
        made,
        _secret_shown(
            session.screen,
            made.secret,
            f"webhook {made.webhook_id} of {tenant}; its secret is shown this once; try it with: "
            f"relay webhooks test {tenant} {made.webhook_id}",
        ),
    )


@command(webhooks, "list")
def list_webhooks(session: Session, tenant: Tenant) -> Shown:
    """List a tenant's webhooks: where they lead, what they are told of, and how they do."""
    found = WebhookCalls(session.api, tenant).all().webhooks
    return Shown(found, lambda: show_webhooks(session.screen, found))


@command(webhooks)
def show(session: Session, tenant: Tenant, webhook_id: WebhookId) -> Shown:
    """Show a webhook."""
    found = WebhookCalls(session.api, tenant).get(webhook_id)
    return Shown(found, lambda: show_webhook(session.screen, found))


@command(webhooks)
def update(
    session: Session,
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
) -> Shown:
    """Change a webhook, and show it; what is not named stays as it is."""
    asked = {"url": url, "events": event, "description": description, "enabled": enabled}
    changes: dict[str, Any] = {
        name: value for name, value in asked.items() if value not in (None, [])
    }
    if description == "":
        changes["description"] = None
    changed = WebhookCalls(session.api, tenant).update(webhook_id, changes)
    return Shown(changed, lambda: show_webhook(session.screen, changed))


@command(webhooks)
def delete(session: Session, tenant: Tenant, webhook_id: WebhookId) -> None:
    """Delete a webhook; what waits to be sent to it is not sent."""
    WebhookCalls(session.api, tenant).delete(webhook_id)
    session.screen.say(f"webhook {webhook_id} of {tenant} is deleted")


@command(webhooks)
def rotate(session: Session, tenant: Tenant, webhook_id: WebhookId) -> Shown:
    """Make a new secret of a webhook and print it, this once; for a day the old one signs too."""
    made = WebhookCalls(session.api, tenant).rotate(webhook_id)
    until = instant(made.previous_secret_until)
    note = f"the secret before signs too until {until}; verify by either until then"
    return Shown(made, _secret_shown(session.screen, made.secret, note))


@command(webhooks, "test")
def send_test(session: Session, tenant: Tenant, webhook_id: WebhookId) -> None:
    """Have a webhook.test sent to a webhook, and print the delivery's id."""
    made = WebhookCalls(session.api, tenant).test(webhook_id)
    session.screen.say(made.delivery_id, whole=True)
    session.screen.complain(
        f"see what came of it with: relay webhooks deliveries {tenant} {webhook_id}"
    )


@command(webhooks)
def deliveries(session: Session, tenant: Tenant, webhook_id: WebhookId, limit: Limit = 20) -> Shown:
    """Show each try to deliver to a webhook in the last 30 days, the last event first."""
    found = list(WebhookCalls(session.api, tenant).deliveries(webhook_id, limit))
    return Shown(found, lambda: show_deliveries(session.screen, found))


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
    from relay_dagster.client.listen import Receiver, show_on  # a library of its own

    with telling() as screen:
        show, complain = show_on(screen), screen.complain
        with Receiver(host, port, secret, show=show, complain=complain) as receiver:
            screen.complain(f"listening on {receiver.url}; Ctrl-C ends it")
            receiver.serve_forever()


class WebhookCalls:
    """The webhooks of one tenant.

    Args:
        api: speaks to the API.
        tenant_id: whose webhooks they are.

    Raises:
        BadUsageError: it cannot be an id.
    """

    def __init__(self, api: ApiClient, tenant_id: str) -> None:
        self._api = api
        self._path = f"/v1/tenants/{segment(tenant_id)}/webhooks"

    def all(self) -> WebhookList:
        """Return all of them."""
        return read_answer(WebhookList, self._api.send("GET", self._path))

    def create(self, order: Mapping[str, Any]) -> NewWebhook:
        """Make one."""
        return read_answer(NewWebhook, self._api.send("POST", self._path, json=order))

    def get(self, webhook_id: str) -> ListedWebhook:
        """Return one as it stands."""
        return read_answer(ListedWebhook, self._api.send("GET", self._place(webhook_id)))

    def update(self, webhook_id: str, changes: Mapping[str, Any]) -> ListedWebhook:
        """Change what is named of one."""
        sent = self._api.send("PATCH", self._place(webhook_id), json=changes)
        return read_answer(ListedWebhook, sent)

    def delete(self, webhook_id: str) -> None:
        """Delete one."""
        self._api.send("DELETE", self._place(webhook_id))

    def rotate(self, webhook_id: str) -> NewSecret:
        """Make a new secret of one."""
        sent = self._api.send("POST", f"{self._place(webhook_id)}/secret:rotate")
        return read_answer(NewSecret, sent)

    def test(self, webhook_id: str) -> TrialDelivery:
        """Have something sent to one."""
        return read_answer(TrialDelivery, self._api.send("POST", f"{self._place(webhook_id)}/test"))

    def deliveries(self, webhook_id: str, limit: int) -> Iterator[ListedDelivery]:
        """Yield at most ``limit`` tries, the last first, over as many pages as it takes."""
        path = f"{self._place(webhook_id)}/deliveries"
        pages = self._api.pages(DeliveryList, path, None, limit)
        return islice((one for page in pages for one in page.deliveries), limit)

    def _place(self, webhook_id: str) -> str:
        return f"{self._path}/{segment(webhook_id)}"


def _secret_shown(screen: Screen, secret: str, note: str) -> Callable[[], None]:
    """Return what writes a secret alone to standard output, and a note beside it."""

    def show() -> None:
        screen.say(secret, whole=True)
        screen.complain(note)

    return show


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
