"""Errors, and how the API itself stands."""

from typing import Literal

from pydantic import ConfigDict, Field

from relay_dagster.wire.base import Answer


class Fault(Answer):
    """One thing wrong with what was sent."""

    path: str = Field(examples=["vendors.1.parser.delimiter"])
    message: str


class Problem(Answer):
    """What every error answers with (RFC 9457)."""

    model_config = ConfigDict(extra="allow", json_schema_serialization_defaults_required=False)

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    error_code: str
    request_id: str
    errors: list[Fault] = Field([])
    active_run_id: str | None = Field(None, description="With `TENANT_ALREADY_RUNNING`.")


class Health(Answer):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Dependency(Answer):
    """How one thing stands that the API needs."""

    state: str = Field(examples=["ok", "unreachable", "queue_misconfigured"])
    details: list[str] = Field([])


class Readiness(Answer):
    """All dependencies answer as they must."""

    status: Literal["ready"] = "ready"
    dependencies: dict[str, Dependency]
