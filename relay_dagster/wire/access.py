"""Access to a tenant: its API keys, links and secrets; and the audit log.

Times are in UTC. The secret part of a key or a link appears only in the response that
creates it.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    SecretStr,
    Strict,
    StringConstraints,
    field_validator,
)

from relay_dagster.tenants.audit import Action, ActorKind
from relay_dagster.tenants.scopes import DEFAULT_SCOPES, Scope
from relay_dagster.wire import base

MAX_SECRET_BYTES = 16_384
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_MAX_PORT = 65_535


def _in_utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(
            "must be a date and time of the years 1 to 9999 in UTC"
        ) from None


_UtcInstant = Annotated[AwareDatetime, Strict(), AfterValidator(_in_utc)]
_Name = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        max_length=64,
        pattern=r"\S",
    ),
]
_KeyName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64),
]
_Expiry = Annotated[
    _UtcInstant | None,
    Field(description="A time in the future. By default, it never expires."),
]


# --- API keys -----------------------------------------------------------------------


class KeyRequest(base.RequestBody):
    """The body of `POST /v1/tenants/{tenant_id}/api-keys`."""

    name: _KeyName | None = Field(
        None,
        description="A name for people. The default is the key's `key_id`.",
    )
    scopes: list[Scope] = Field(
        list(DEFAULT_SCOPES),
        min_length=1,
        max_length=len(Scope),
    )
    expires_at: _Expiry = None

    _unique_scopes = field_validator("scopes")(base.unique_items("scope"))


class NewTenantKey(base.ResponseBody):
    """A new key of a tenant. The key appears only in this response."""

    key_id: str
    api_key: str


class ListedKey(base.ResponseBody):
    """A key of a tenant, without its secret part."""

    key_id: str
    name: str
    scopes: list[Annotated[Scope, base.OpenEnum()]]
    created_at: datetime
    created_by: str | None = Field(
        None,
        description="Null for a key that an earlier release created.",
    )
    expires_at: datetime | None = None
    last_used_at: datetime | None = Field(
        None,
        description="The time of the last use, recorded at most once an hour.",
    )


class KeyList(base.Page):
    """A page of a tenant's keys, sorted by ID."""

    api_keys: list[ListedKey]
    next_cursor: base.NextCursor


# --- sessions -----------------------------------------------------------------------


class ListedSession(base.ResponseBody):
    """A browser that is signed in to the pages with a key of the tenant."""

    session_id: str
    key_id: str = Field(description="The key that the browser signed in with.")
    created_at: datetime
    last_used_at: datetime | None = Field(
        description="The time of the last use, recorded at most once a minute. Null for "
        "a session that an earlier release opened.",
    )
    expires_at: datetime = Field(
        description="The time when the session ends. It ends earlier after 2 hours "
        "without use.",
    )


class SessionList(base.Page):
    """A page of a tenant's open sessions, oldest first."""

    sessions: list[ListedSession]
    next_cursor: base.NextCursor


# --- links --------------------------------------------------------------------------


class FeedLinkRequest(base.RequestBody):
    """The body of `POST /v1/tenants/{tenant_id}/feed-links`."""

    name: _Name
    channel_id: base.Id | None = Field(
        None,
        description="The channel whose file the link leads to. By default, the link leads "
        "to the feed itself.",
    )
    expires_at: _UtcInstant | None = Field(
        None,
        description="A time in the future. By default, the link expires after 400 days.",
    )


class NewFeedLink(base.ResponseBody):
    """A new link to a tenant's feed. The URL appears only in this response."""

    link_id: str
    url: str


class ListedLink(base.ResponseBody):
    """A link of a tenant, without its URL."""

    link_id: str
    name: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None = Field(
        description="Null for a link that an earlier release created without an "
        "expiry.",
    )
    last_used_at: datetime | None = Field(
        description="The time of the last use, recorded at most once an hour.",
    )


class ListedFeedLink(ListedLink):
    """A link to a tenant's feed or to one of its channels, without its URL."""

    channel_id: str | None = Field(
        description="The channel, or null for the feed itself.",
    )


class FeedLinkList(base.ResponseBody):
    """A tenant's links to its feed, oldest first."""

    feed_links: list[ListedFeedLink]


class SupplierLinkRequest(base.RequestBody):
    """The body of `POST /v1/tenants/{tenant_id}/supplier-links`."""

    vendor_id: base.Id
    name: _Name
    expires_at: _UtcInstant = Field(
        description="A time in the future, at most a year from now.",
    )


class NewSupplierLink(NewFeedLink):
    """A new link to a supplier's page. The URL appears only in this response."""


class ListedSupplierLink(ListedLink):
    """A link to a supplier's page, without its URL."""

    vendor_id: str


class SupplierLinkList(base.Page):
    """A page of a tenant's links for suppliers, oldest first."""

    supplier_links: list[ListedSupplierLink]
    next_cursor: base.NextCursor


# --- secrets ------------------------------------------------------------------------


def _lower_case_host(text: str) -> str:
    """Return a host, with its port if it has one, in lower case."""
    match = _HOST.fullmatch(text.strip())
    if match is None or not 1 <= int(match.group(2) or 1) <= _MAX_PORT:
        raise ValueError("must be a host or host:port")
    return text.strip().lower()


def _of_limited_size(secret: SecretStr) -> SecretStr:
    size = len(secret.get_secret_value().encode("utf-8", "surrogatepass"))
    if not 1 <= size <= MAX_SECRET_BYTES:
        raise ValueError(f"must have 1 to {MAX_SECRET_BYTES:,} bytes")
    return secret


class SecretRequest(base.RequestBody):
    """The body of `PUT /v1/tenants/{tenant_id}/secrets/{name}`."""

    value: Annotated[SecretStr, AfterValidator(_of_limited_size)] = Field(
        description="For HTTPS, the value of the Authorization header. For SFTP, a "
        "password or an OpenSSH private key. 1 to 16,384 bytes. No response contains "
        "it.",
        json_schema_extra={"minLength": 1, "maxLength": MAX_SECRET_BYTES},
    )
    host: Annotated[
        str,
        StringConstraints(max_length=300),
        AfterValidator(_lower_case_host),
    ] = Field(
        description="`host` or `host:port`. The secret is sent to this host only.",
    )


class ListedSecret(base.ResponseBody):
    """A secret, without its value."""

    name: str
    host: str
    created_at: datetime
    updated_at: datetime = Field(description="The time of the last change.")


class SecretList(base.ResponseBody):
    """A tenant's secrets, sorted by name."""

    secrets: list[ListedSecret]


# --- the audit log ------------------------------------------------------------------


class AuditActor(base.ResponseBody):
    """The actor of an audit entry."""

    kind: Annotated[ActorKind, base.OpenEnum()]
    id: str = Field(
        description="A key's ID, the name of an admin key, or the user who ran a "
        "command.",
    )
    name: str


class AuditItem(base.ResponseBody):
    """An entry of the audit log."""

    audit_id: str = Field(description="The entry's ID. IDs sort by time.")
    occurred_at: datetime
    action: Annotated[Action, base.OpenEnum()]
    tenant_id: str | None = Field(
        description="Null for an action that concerns all tenants.",
    )
    actor: AuditActor
    target: str | None = Field(
        description="The ID of the run, key or other object of the action.",
    )
    details: dict[str, Any]
    request_id: str | None = Field(
        None,
        description="Null for an action that no request caused.",
    )
    address: str | None = Field(
        None,
        description="The IP address of the request.",
    )


class AuditList(base.Page):
    """A page of the audit log, newest entry first."""

    audit: list[AuditItem]
    next_cursor: base.NextCursor
