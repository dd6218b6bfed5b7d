"""Who may do what, and who did: tenants' keys, and the audit. Instants are UTC.

A key's secret is shown where the key is made, and once.
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


def _in_utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("is no instant of the years 1 to 9999 in UTC") from None


_Name = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=64, pattern=r"\S"
    ),
]
_Expiry = Annotated[
    Annotated[AwareDatetime, Strict(), AfterValidator(_in_utc)] | None,
    Field(description="In the future; null is never."),
]


class KeyRequest(base.RequestBody):
    """The body of `POST /v1/tenants/{tenant_id}/api-keys`."""

    name: (
        Annotated[
            str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)
        ]
        | None
    ) = Field(None, description="By default its `key_id`.")
    scopes: list[Scope] = Field(
        list(DEFAULT_SCOPES), min_length=1, max_length=len(Scope)
    )
    expires_at: _Expiry = None

    _no_repeats = field_validator("scopes")(base.each_once("scope"))


class NewTenantKey(base.ResponseBody):
    """A key of a tenant, shown this once."""

    key_id: str
    api_key: str


class ListedKey(base.ResponseBody):
    """A key of a tenant, without its secret."""

    key_id: str
    name: str
    scopes: list[Annotated[Scope, base.Open()]]
    created_at: datetime
    created_by: str | None = Field(
        None, description="Null of a key that an earlier release has made."
    )
    expires_at: datetime | None = None
    last_used_at: datetime | None = Field(
        None, description="Noted at most once an hour."
    )


class KeyList(base.Page):
    """A page of a tenant's keys, by their ids."""

    api_keys: list[ListedKey]
    next_cursor: base.NextCursor


class FeedLinkRequest(base.RequestBody):
    """The body of `POST /v1/tenants/{tenant_id}/feed-links`."""

    name: _Name
    expires_at: _Expiry = None


class NewFeedLink(base.ResponseBody):
    """A link to a tenant's feed, shown this once."""

    link_id: str
    url: str


class ListedFeedLink(base.ResponseBody):
    """A link to a tenant's feed, without its token."""

    link_id: str
    name: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="Noted at most once an hour.")


class FeedLinkList(base.ResponseBody):
    """A tenant's links to its feed, the oldest first."""

    feed_links: list[ListedFeedLink]


class SupplierLinkRequest(base.RequestBody):
    """The body of `POST /v1/tenants/{tenant_id}/supplier-links`."""

    vendor_id: base.Id
    name: _Name
    expires_at: Annotated[AwareDatetime, Strict(), AfterValidator(_in_utc)] = Field(
        description="In the future, at most a year ahead."
    )


class NewSupplierLink(NewFeedLink):
    """A link to a supplier's page, shown this once."""


class ListedSupplierLink(ListedFeedLink):
    """A link to a supplier's page, without its token."""

    vendor_id: str


class SupplierLinkList(base.Page):
    """A page of a tenant's links for suppliers, the oldest first."""

    supplier_links: list[ListedSupplierLink]
    next_cursor: base.NextCursor


def _host(text: str) -> str:
    """Return a host, and its port if it is named, in small letters."""
    found = re.fullmatch(
        r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?", text.strip()
    )
    if found is None or not 0 < int(found.group(2) or 1) < 65_536:
        raise ValueError("must be a host, or host:port")
    return text.strip().lower()


def _of_bytes(value: SecretStr) -> SecretStr:
    size = len(value.get_secret_value().encode("utf-8", "surrogatepass"))
    if not 1 <= size <= MAX_SECRET_BYTES:
        raise ValueError(f"must have 1 to {MAX_SECRET_BYTES:,} bytes")
    return value


class SecretRequest(base.RequestBody):
    """The body of `PUT` of a secret."""

    value: Annotated[SecretStr, AfterValidator(_of_bytes)] = Field(
        description="For HTTPS the text of the Authorization header, for SFTP a password or an "
        "OpenSSH private key; 1 to 16,384 bytes. It is never shown again.",
        json_schema_extra={"minLength": 1, "maxLength": MAX_SECRET_BYTES},
    )
    host: Annotated[str, StringConstraints(max_length=300), AfterValidator(_host)] = (
        Field(description="`host` or `host:port`: it is sent nowhere else.")
    )


class ListedSecret(base.ResponseBody):
    """A secret, without its value."""

    name: str
    host: str
    created_at: datetime
    updated_at: datetime = Field(description="Since when it has its value.")


class SecretList(base.ResponseBody):
    """A tenant's secrets, by name."""

    secrets: list[ListedSecret]


class AuditActor(base.ResponseBody):
    """Who acted; `id` is the key's id, an admin key's name, or who ran the command."""

    kind: Annotated[ActorKind, base.Open()]
    id: str
    name: str


class AuditItem(base.ResponseBody):
    """One act."""

    audit_id: str = Field(description="Ids sort by time.")
    occurred_at: datetime
    action: Annotated[Action, base.Open()]
    tenant_id: str | None = Field(description="Null of an act on all tenants.")
    actor: AuditActor
    target: str | None = Field(
        description="What was acted on: the id of a run, a key, a tenant."
    )
    details: dict[str, Any]
    request_id: str | None = Field(
        None, description="Null of what no request has asked for."
    )
    address: str | None = Field(None, description="Where the request came from.")


class AuditList(base.Page):
    """A page of the audit, newest first."""

    audit: list[AuditItem]
    next_cursor: base.NextCursor
