"""Keys and the audit, as far as the commands look at them."""

from typing import Any

from relay_dagster.client.api_models import Answer, Page


class ListedKey(Answer):
    """A key of a tenant, without its secret."""

    key_id: str
    name: str
    scopes: list[str]
    created_at: str
    created_by: str | None = None
    expires_at: str | None = None
    last_used_at: str | None = None


class KeyPage(Page):
    """Some keys of a tenant; ``next_cursor`` leads to the next ones."""

    api_keys: list[ListedKey]


class NewKey(Answer):
    """A key, shown this once."""

    key_id: str
    api_key: str


class Actor(Answer):
    """Who acted."""

    kind: str
    id: str
    name: str


class AuditItem(Answer):
    """One act."""

    occurred_at: str
    action: str
    tenant_id: str | None
    actor: Actor
    target: str | None
    details: dict[str, Any]
    address: str | None = None


class AuditPage(Page):
    """Some acts, newest first; ``next_cursor`` leads to the next ones."""

    audit: list[AuditItem]
