"""Tenants' keys as callers order and see them; a secret is shown where a key is made, and once."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from relay_dagster.aws.dynamodb.api_key_store import DEFAULT_SCOPES, Scope, TenantKey

_NAME_LENGTH = 64
_Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=_NAME_LENGTH)
]
_KEY: dict[str, Any] = {
    "key_id": "8c1d6f0a2b3e4c5d",
    "name": "shop frontend",
    "scopes": ["read"],
    "created_at": "2026-03-01T12:00:00Z",
    "created_by": "admin:ops",
    "expires_at": "2027-03-01T12:00:00Z",
    "last_used_at": None,
}


class KeyOrder(BaseModel):
    """What `POST /v1/tenants/{tenant_id}/api-keys` takes."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"name": "shop frontend", "scopes": ["read"]}]},
    )

    name: _Name | None = Field(None, description="By default its `key_id`.")
    scopes: list[Scope] = Field(list(DEFAULT_SCOPES), min_length=1, max_length=len(Scope))
    expires_at: AwareDatetime | None = Field(
        None, strict=True, description="In the future; null is never."
    )

    @field_validator("scopes")
    @classmethod
    def _refuse_repeated(cls, scopes: list[Scope]) -> list[Scope]:
        if repeated := [scope for scope, count in Counter(scopes).items() if count > 1]:
            raise ValueError(f"each scope once; named again: {', '.join(repeated)}")
        return scopes

    @field_validator("expires_at")
    @classmethod
    def _in_utc(cls, instant: datetime | None) -> datetime | None:
        try:
            return None if instant is None else instant.astimezone(UTC)
        except OverflowError:
            raise ValueError("is no instant of the years 1 to 9999 in UTC") from None


class NewTenantKey(BaseModel):
    """A key of a tenant, shown this once."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"key_id": "8c1d6f0a2b3e4c5d", "api_key": "rk_8c1d6f0a2b3e4c5d_..."}]
        }
    )

    key_id: str
    api_key: str


class ListedKey(BaseModel):
    """A key of a tenant, without its secret."""

    key_id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    created_by: str | None = Field(description="Null of a key that an earlier release has made.")
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="Noted at most once an hour.")

    @classmethod
    def of(cls, key: TenantKey) -> ListedKey:
        """Return what those outside see of a key."""
        return cls(**{name: getattr(key, name) for name in cls.model_fields})


class KeyList(BaseModel):
    """A page of a tenant's keys, by their ids."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"api_keys": [_KEY], "next_cursor": None}]}
    )

    api_keys: list[ListedKey]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page.")
