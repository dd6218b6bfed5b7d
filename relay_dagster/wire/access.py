"""Who may do what, and who did: tenants' keys, and the audit. Instants are UTC.

A key's secret is shown where the key is made, and once.
"""

import re
from collections import Counter
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
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=r"\S")
]
_Expiry = Annotated[
    Annotated[AwareDatetime, Strict(), AfterValidator(_in_utc)] | None,
    Field(description="In the future; null is never."),
]


class KeyOrder(base.Order):
    """What `POST /v1/tenants/{tenant_id}/api-keys` takes."""

    model_config = base.example(name="shop frontend", scopes=["read"])

    name: (
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)] | None
    ) = Field(None, description="By default its `key_id`.")
    scopes: list[Scope] = Field(list(DEFAULT_SCOPES), min_length=1, max_length=len(Scope))
    expires_at: _Expiry = None

    @field_validator("scopes")
    @classmethod
    def _refuse_repeated(cls, scopes: list[Scope]) -> list[Scope]:
        if repeated := [scope for scope, count in Counter(scopes).items() if count > 1]:
            raise ValueError(f"each scope once; named again: {', '.join(repeated)}")
        return scopes


class NewTenantKey(base.Answer):
    """A key of a tenant, shown this once."""

    model_config = base.example(key_id="8c1d6f0a2b3e4c5d", api_key="rk_8c1d6f0a2b3e4c5d_...")

    key_id: str
    api_key: str


class ListedKey(base.Answer):
    """A key of a tenant, without its secret."""

    model_config = base.example(
        key_id="8c1d6f0a2b3e4c5d",
        name="shop frontend",
        scopes=["read"],
        created_at="2026-03-01T12:00:00Z",
        created_by="admin:ops",
        expires_at="2027-03-01T12:00:00Z",
        last_used_at=None,
    )

    key_id: str
    name: str
    scopes: list[Annotated[Scope, base.Open()]]
    created_at: datetime
    created_by: str | None = Field(
        None, description="Null of a key that an earlier release has made."
    )
    expires_at: datetime | None = None
    last_used_at: datetime | None = Field(None, description="Noted at most once an hour.")


class KeyList(base.Page):
    """A page of a tenant's keys, by their ids."""

    model_config = base.page_example("api_keys", ListedKey)

    api_keys: list[ListedKey]
    next_cursor: base.NextCursor


class FeedLinkOrder(base.Order):
    """What `POST /v1/tenants/{tenant_id}/feed-links` takes."""

    model_config = base.example(name="Google Merchant Center")

    name: _Name
    expires_at: _Expiry = None


class NewFeedLink(base.Answer):
    """A link to a tenant's feed, shown this once."""

    model_config = base.example(
        link_id="8c1d6f0a2b3e4c5d", url="https://relay.example.com/f/Zk3t..."
    )

    link_id: str
    url: str


class ListedFeedLink(base.Answer):
    """A link to a tenant's feed, without its token."""

    model_config = base.example(
        link_id="8c1d6f0a2b3e4c5d",
        name="Google Merchant Center",
        created_at="2026-03-01T12:00:00Z",
        created_by="admin:ops",
        expires_at=None,
        last_used_at=None,
    )

    link_id: str
    name: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="Noted at most once an hour.")


class FeedLinkList(base.Answer):
    """A tenant's links to its feed, the oldest first."""

    model_config = base.example(feed_links=base.examples_of(ListedFeedLink))

    feed_links: list[ListedFeedLink]


class SupplierLinkOrder(base.Order):
    """What `POST /v1/tenants/{tenant_id}/supplier-links` takes."""

    model_config = base.example(
        vendor_id="granite_supply", name="Anna of Granite", expires_at="2027-03-01T12:00:00Z"
    )

    vendor_id: base.Id
    name: _Name
    expires_at: Annotated[AwareDatetime, Strict(), AfterValidator(_in_utc)] = Field(
        description="In the future, at most a year ahead."
    )


class NewSupplierLink(NewFeedLink):
    """A link to a supplier's page, shown this once."""

    model_config = base.example(
        link_id="8c1d6f0a2b3e4c5d", url="https://relay.example.com/s/Zk3t..."
    )


class ListedSupplierLink(ListedFeedLink):
    """A link to a supplier's page, without its token."""

    model_config = base.example(
        link_id="8c1d6f0a2b3e4c5d",
        name="Anna of Granite",
        created_at="2026-03-01T12:00:00Z",
        created_by="key:0f8f7d0e58a14a8e",
        expires_at="2027-03-01T12:00:00Z",
        last_used_at=None,
        vendor_id="granite_supply",
    )

    vendor_id: str


class SupplierLinkList(base.Answer):
    """A tenant's links for suppliers, the oldest first."""

    model_config = base.example(supplier_links=base.examples_of(ListedSupplierLink))

    supplier_links: list[ListedSupplierLink]


def _host(text: str) -> str:
    """Return a host, and its port if it is named, in small letters."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?", text.strip())
    if found is None or not 0 < int(found.group(2) or 1) < 65_536:
        raise ValueError("must be a host, or host:port")
    return text.strip().lower()


def _of_bytes(value: SecretStr) -> SecretStr:
    size = len(value.get_secret_value().encode("utf-8", "surrogatepass"))
    if not 1 <= size <= MAX_SECRET_BYTES:
        raise ValueError(f"must have 1 to {MAX_SECRET_BYTES:,} bytes")
    return value


class SecretOrder(base.Order):
    """What `PUT` of a secret takes."""

    model_config = base.example(value="Bearer 0f8f7d0e...", host="files.granite.example.com")

    value: Annotated[SecretStr, AfterValidator(_of_bytes)] = Field(
        description="For HTTPS the text of the Authorization header, for SFTP a password or an "
        "OpenSSH private key; 1 to 16,384 bytes. It is never shown again.",
        json_schema_extra={"minLength": 1, "maxLength": MAX_SECRET_BYTES},
    )
    host: Annotated[str, StringConstraints(max_length=300), AfterValidator(_host)] = Field(
        description="`host` or `host:port`: it is sent nowhere else."
    )


class ListedSecret(base.Answer):
    """A secret, without its value."""

    model_config = base.example(
        name="granite",
        host="files.granite.example.com",
        created_at="2026-03-01T12:00:00Z",
        updated_at="2026-03-01T12:00:00Z",
    )

    name: str
    host: str
    created_at: datetime
    updated_at: datetime = Field(description="Since when it has its value.")


class SecretList(base.Answer):
    """A tenant's secrets, by name."""

    model_config = base.example(secrets=base.examples_of(ListedSecret))

    secrets: list[ListedSecret]


class AuditActor(base.Answer):
    """Who acted; `id` is the key's id, an admin key's name, or who ran the command."""

    kind: Annotated[ActorKind, base.Open()]
    id: str
    name: str


class AuditItem(base.Answer):
    """One act."""

    model_config = base.example(
        audit_id="20260301T120000.123456Z-8c1d6f0a2b3e4c5d",
        occurred_at="2026-03-01T12:00:00.123456Z",
        action="config.put",
        tenant_id="acme_parts",
        actor={"kind": "admin_key", "id": "ops", "name": "ops"},
        target="acme_parts",
        details={
            "config_version_before": 2,
            "config_version_after": 3,
            "changed_count": 1,
            "changed_paths": ["pricing.base_margin_pct"],
        },
        request_id="0f8f7d0e-58a1-4a8e-8f5b-3f1c2f1f7c55",
        address="198.51.100.7",
    )

    audit_id: str = Field(description="Ids sort by time.")
    occurred_at: datetime
    action: Annotated[Action, base.Open()]
    tenant_id: str | None = Field(description="Null of an act on all tenants.")
    actor: AuditActor
    target: str | None = Field(description="What was acted on: the id of a run, a key, a tenant.")
    details: dict[str, Any]
    request_id: str | None = Field(None, description="Null of what no request has asked for.")
    address: str | None = Field(None, description="Where the request came from.")


class AuditList(base.Page):
    """A page of the audit, newest first."""

    model_config = base.page_example("audit", AuditItem)

    audit: list[AuditItem]
    next_cursor: base.NextCursor
