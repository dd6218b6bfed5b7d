"""The pages of keys, webhooks and secrets.

A key and a webhook's secret appear only on the page that answers their form.
"""

from typing import Annotated, Any

from fastapi import Response

from relay_core.domain.errors import ConfigFault
from relay_dagster.http.problems import ProblemError, invalid_request
from relay_dagster.runs.job_message import is_id
from relay_dagster.services import api_keys, secrets, tenants, webhooks
from relay_dagster.tenants.scopes import DEFAULT_SCOPES, Scope
from relay_dagster.web import frame, visits
from relay_dagster.web.settings import plain_forms
from relay_dagster.web.settings.pages import SETTINGS, settings_path
from relay_dagster.web.settings.plain_forms import (
    NO_FORM,
    FormKind,
    SentForm,
)
from relay_dagster.webhooks.model import SUBSCRIBABLE
from relay_dagster.wire import access as wire
from relay_dagster.wire.webhooks import WebhookRequest

routes = frame.page_router()

_KEY = FormKind("key", wire.KeyRequest)
_WEBHOOK = FormKind("webhook", WebhookRequest)
_SECRET = "secret"  # noqa: S105 - the name of a form
_MAX_KEYS = 50
_PEOPLE = SETTINGS + "/people"
_SCOPES = {
    Scope.READ: "View all pages",
    Scope.RUN: "Start and cancel runs",
    Scope.CONFIG: "Change settings, and override SKUs",
    Scope.RELEASE: "Release and roll back feeds, and accept prices",
    Scope.UPLOAD: "Upload files, and create links for suppliers",
    Scope.KEYS: "Create and delete keys",
}
_EVENTS = {
    "run.succeeded": "A run succeeded",
    "run.failed": "A run failed",
    "run.held": "A feed is on hold",
    "run.cancelled": "A run was canceled",
    "feed.published": "A feed was published",
    "vendor.pull_failed": "A vendor's file could not be fetched",
    "feed.delivered": "A feed was delivered",
    "feed.delivery_failed": "A feed could not be delivered",
}
MakingKeys = Annotated[
    visits.Visit, visits.with_scopes(Scope.CONFIG, Scope.KEYS)
]


# --- keys ---------------------------------------------------------------------------


@routes.get(_PEOPLE)
def show_people(visit: visits.Configuring) -> Response:
    """Show the keys and the webhooks."""
    return _people_page(visit)


@routes.post(_PEOPLE + "/keys")
def add_key(visit: MakingKeys, form: visits.OwnForm) -> Response:
    """Create a key, and show it."""
    fields: dict[str, Any] = {"scopes": form.getlist("scopes")}
    if form.get("name", "").strip():
        fields["name"] = form["name"]
    key, sent = plain_forms.create(
        visit, form, _KEY, fields, api_keys.create_api_key
    )
    return _people_page(visit, sent, api_key=key.api_key if key else "")


@routes.post(_PEOPLE + "/keys/{key_id}/delete")
def delete_key(
    key_id: str, visit: MakingKeys, form: visits.OwnForm
) -> Response:
    """Delete a key."""
    api_keys.delete_api_key(visit.tenant_id, key_id, visit)
    return frame.go_to(settings_path(visit, "people"))


# --- webhooks -----------------------------------------------------------------------


@routes.post(_PEOPLE + "/webhooks")
def add_webhook(visit: visits.Configuring, form: visits.OwnForm) -> Response:
    """Create a webhook, and show its secret."""
    fields: dict[str, Any] = {
        "url": form.get("url", "").strip(),
        "events": form.getlist("events"),
    }
    if form.get("description", "").strip():
        fields["description"] = form["description"]
    webhook, sent = plain_forms.create(
        visit, form, _WEBHOOK, fields, webhooks.create_webhook
    )
    secret = webhook.secret if webhook else ""
    return _people_page(visit, sent, webhook_secret=secret)


@routes.post(_PEOPLE + "/webhooks/{webhook_id}/delete")
def delete_webhook(
    webhook_id: str, visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Delete a webhook."""
    webhooks.delete_webhook(visit.tenant_id, webhook_id, visit)
    return frame.go_to(settings_path(visit, "people"))


@routes.post(_PEOPLE + "/webhooks/{webhook_id}/test")
def send_test(
    webhook_id: str, visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Send a test event to a webhook."""
    webhooks.send_test_delivery(visit.tenant_id, webhook_id, visit)
    return _people_page(visit, is_test_sent=True)


def _people_page(
    visit: visits.Visit,
    sent: SentForm = NO_FORM,
    *,
    api_key: str = "",
    webhook_secret: str = "",
    is_test_sent: bool = False,
) -> Response:
    tenant_id = visit.tenant_id
    stored = tenants.find_config(visit.platform, tenant_id)
    keys = api_keys.list_api_keys(tenant_id, visit, limit=_MAX_KEYS).api_keys
    return plain_forms.shown_page(
        "settings_people.html.jinja",
        visit,
        stored,
        sent,
        path=settings_path(visit, "people"),
        keys=keys,
        webhooks=webhooks.list_webhooks(tenant_id, visit).webhooks,
        scopes={scope: _SCOPES[scope] for scope in visit.caller.scopes},
        scope_words=_SCOPES,
        default_scopes=DEFAULT_SCOPES,
        events={event: _EVENTS.get(event, event) for event in SUBSCRIBABLE},
        api_key=api_key,
        webhook_secret=webhook_secret,
        is_test_sent=is_test_sent,
    )


# --- secrets ------------------------------------------------------------------------


@routes.get(SETTINGS + "/secrets")
def show_secrets(visit: visits.Configuring) -> Response:
    """Show the names of the secrets."""
    return _secrets_page(visit)


@routes.post(SETTINGS + "/secrets")
def put_secret(visit: visits.Configuring, form: visits.OwnForm) -> Response:
    """Save a secret, or replace the one with its name."""
    name = form.get("name", "").strip()
    fields = {key: form.get(key, "") for key in ("value", "host")}
    try:
        if not is_id(name):
            fault = ConfigFault("secret_name", "is not a valid id")
            raise invalid_request([fault])
        request = visits.request_of(wire.SecretRequest, fields)
    except ProblemError as problem:
        sent = plain_forms.rejected(problem, _SECRET, form)
        return _secrets_page(visit, sent)
    secrets.put_secret(visit.tenant_id, name, visit, request)
    return frame.go_to(settings_path(visit, "secrets"))


@routes.post(SETTINGS + "/secrets/{name}/delete")
def delete_secret(
    name: str, visit: visits.Configuring, form: visits.OwnForm
) -> Response:
    """Delete a secret."""
    secrets.delete_secret(visit.tenant_id, name, visit)
    return frame.go_to(settings_path(visit, "secrets"))


def _secrets_page(visit: visits.Visit, sent: SentForm = NO_FORM) -> Response:
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    return plain_forms.shown_page(
        "settings_secrets.html.jinja",
        visit,
        stored,
        sent,
        path=settings_path(visit, "secrets"),
        secrets=secrets.list_secrets(visit.tenant_id, visit).secrets,
    )
