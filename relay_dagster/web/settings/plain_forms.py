"""Forms of links, keys, webhooks and secrets, which the config does not have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any, NamedTuple, TypeVar

from fastapi import Response
from starlette.datastructures import QueryParams

from relay_core.domain.errors import ConfigFault
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.http.problems import ProblemError, invalid_request
from relay_dagster.services import tenants
from relay_dagster.web import frame, visits
from relay_dagster.web.error_words import FieldError
from relay_dagster.web.settings.groups import PAGES
from relay_dagster.web.settings.pages import settings_path
from relay_dagster.web.shop import shop_of
from relay_dagster.wire.base import RequestBody

_Created = TypeVar("_Created")
_FIELD_ERRORS: Mapping[str, FieldError] = {
    "name": FieldError("Enter a name of 1 to 64 characters."),
    "secret_name": FieldError(
        "Enter 1 to 64 letters, digits, underscores, and hyphens."
    ),
    "expires_at": FieldError("Enter a later date, at most a year from now."),
    "scopes": FieldError("Select at least one permission that you have."),
    "vendor_id": FieldError("Choose a vendor."),
    "channel_id": FieldError("Choose a channel."),
    "url": FieldError(
        "Enter a valid address.",
        "It begins with https:// and leads to a public server.",
    ),
    "events": FieldError("Select at least one event."),
    "description": FieldError("Enter at most 200 characters."),
    "host": FieldError(
        "Enter the name of a server.", "For example, files.example.com."
    ),
    "value": FieldError("Enter the secret."),
}


class FormKind(NamedTuple):
    """A form that creates an object of the API."""

    name: str  # the name of the form on its page
    request: type[RequestBody]


@dataclass(frozen=True, slots=True)
class SentForm:
    """A form as it was sent, with its errors; without fields before it is sent."""

    name: str = ""  # the name of the form on its page
    values: QueryParams = field(default_factory=QueryParams)
    errors: Mapping[str, FieldError] = field(default_factory=dict)

    def text(self, name: str, key: str) -> str:
        """Return the text of a field; "" if another form was sent."""
        return str(self.values.get(key, "")) if name == self.name else ""

    def error(self, name: str, key: str) -> FieldError | None:
        """Return the error of a field, or None."""
        return self.errors.get(key) if name == self.name else None


NO_FORM = SentForm()
"""The forms of a page before one is sent."""


def rejected(problem: ProblemError, name: str, form: QueryParams) -> SentForm:
    """Return a form with the errors of its fields.

    Raises:
        ProblemError: The errors are not of fields that people fill in.
    """
    errors: dict[str, FieldError] = {}
    for fault in problem.errors:
        key = fault.path.partition(".")[0]
        if key not in _FIELD_ERRORS:
            raise problem
        errors[key] = _FIELD_ERRORS[key]
    if not errors:
        raise problem
    return SentForm(name, form, errors)


def create(
    visit: visits.Visit,
    form: QueryParams,
    kind: FormKind,
    fields: Mapping[str, Any],
    service: Callable[[str, visits.Visit, Any], _Created],
) -> tuple[_Created | None, SentForm]:
    """Return the object that a form creates, or None and the form with its errors.

    Args:
        visit: The visit.
        form: The form.
        kind: The name of the form, and the request that it makes.
        fields: The fields of the request. A form with a last day has it in addition.
        service: The service that creates the object.

    Raises:
        ProblemError: The errors are not of fields that people fill in.
    """
    request_fields = dict(fields)
    try:
        expires_at = last_day(form, visit)
        if expires_at is not None:
            request_fields["expires_at"] = expires_at
        request = visits.request_of(kind.request, request_fields)
        return service(visit.tenant_id, visit, request), NO_FORM
    except ProblemError as problem:
        return None, rejected(problem, kind.name, form)


def shown_page(
    template: str,
    visit: visits.Visit,
    stored: StoredConfig,
    sent: SentForm = NO_FORM,
    **context: Any,
) -> Response:
    """Return a page with forms, one of which may have been rejected."""
    return frame.page(
        template,
        visit,
        status=422 if sent.errors else 200,
        pages=PAGES.values(),
        root=settings_path(visit),
        shop=shop_of(visit.platform, stored),
        sent=sent,
        **context,
    )


def last_day(form: QueryParams, visit: visits.Visit) -> datetime | None:
    """Return the end of the day that a form names, or None for an empty field.

    Raises:
        ProblemError: The text is not a date (422).
    """
    text = form.get("expires_on", "").strip()
    if not text:
        return None
    stored = tenants.find_config(visit.platform, visit.tenant_id)
    zone = shop_of(visit.platform, stored).zone
    try:
        return _midnight_after(date.fromisoformat(text), zone)
    except (ValueError, OverflowError) as error:
        fault = ConfigFault("expires_at", "must be a date")
        raise invalid_request([fault]) from error


def _midnight_after(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), zone)
