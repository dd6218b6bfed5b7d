"""The bodies that go in and out, as the OpenAPI document shows them. Instants are UTC.

Only shapes: nothing here reads a store, and no route's rule stands here.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from relay_core.domain.codes import FailureClass, RunStatus, Stage
from relay_core.domain.limits import DEFAULT_LIMITS
from relay_dagster.api.models.deletions import DeleteAfter, State
from relay_dagster.api.models.holds import HeldFeed, Reason
from relay_dagster.api.openapi.config_schema import CONFIG_EXAMPLE
from relay_dagster.runs.identifiers import ID_PATTERN
from relay_dagster.runs.model import RunRecord, Trigger

_EXAMPLE_RUN = "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11"
_MOST_NAMED = 10
CURSOR = "`next_cursor` of the page before."
_RUN = {
    "run_id": _EXAMPLE_RUN,
    "tenant_id": "acme_parts",
    "config_version": 3,
    "vendors": None,
    "trigger": "queue",
    "status": "FAILED",
    "stage": "NORMALIZE",
    "attempt": 1,
    "requested_at": "2026-03-01T12:00:00Z",
    "started_at": "2026-03-01T12:00:02.1Z",
    "finished_at": "2026-03-01T12:00:03.4Z",
    "next_attempt_at": None,
    "cancel_requested_at": None,
    "failed_stage": "NORMALIZE",
    "error_code": "DECODE_ERROR",
    "error_message": "decode error: vendor granite_supply: stock.csv is not utf-8 at byte 311",
    "failure_class": "vendor_data",
    "next_action": "Set parser.encoding of vendor granite_supply to that of the file, or upload "
    "the file mended where error_message says, then start a new run.",
    "baseline_run_id": None,
    "hold": None,
    "released_at": None,
    "released_by": None,
    "release_reason": None,
    "changes": None,
    "errors_artifact_key": f"{_EXAMPLE_RUN}/tenants/acme_parts/reports/errors.json",
    "artifacts": {"errors": f"{_EXAMPLE_RUN}/tenants/acme_parts/reports/errors.json"},
    "dagster_run_id": "0d5cf2ad-3d2c-4d50-a9d8-bb0ad1a0ad5c",
    "dagster_url": "https://dagster.example.com/runs/0d5cf2ad-3d2c-4d50-a9d8-bb0ad1a0ad5c",
}


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


_Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]


class RunOrder(BaseModel):
    """What `POST /v1/runs` takes."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [{"tenant_id": "acme_parts", "run_type": "inventory_sync"}],
        },
    )

    tenant_id: _Id
    run_type: Literal["inventory_sync"]
    vendors: list[_Id] | None = Field(
        None,
        max_length=DEFAULT_LIMITS.vendors,
        description="Some of the config's vendors; none named is all.",
    )

    @field_validator("vendors")
    @classmethod
    def _refuse_repeated(cls, vendors: list[str] | None) -> list[str] | None:
        counts = Counter(vendors or ())
        if repeated := sorted(vendor for vendor, count in counts.items() if count > 1):
            rest = f" and {len(repeated) - _MOST_NAMED} more" if repeated[_MOST_NAMED:] else ""
            named = ", ".join(repeated[:_MOST_NAMED])
            raise ValueError(f"each vendor once; named again: {named}{rest}")
        return vendors

    @property
    def chosen(self) -> tuple[str, ...] | None:
        """The vendors named, None for all."""
        return tuple(self.vendors) if self.vendors else None


class FeedChanges(BaseModel):
    """How many SKUs a feed changes against the published one; from `price_up` on, of both."""

    baseline_run_id: str = Field(description="The run whose feed it was compared with.")
    added: int
    removed: int
    changed: int = Field(description="Of another quantity, price or vendor.")
    unchanged: int
    price_up: int
    price_down: int
    came_in_stock: int
    went_out_of_stock: int
    vendor_changed: int

    @classmethod
    def of(cls, record: RunRecord) -> FeedChanges:
        """Return what those outside see of a record that has changes."""
        return cls(baseline_run_id=str(record.baseline_run_id), **(record.changes or {}))


class Run(BaseModel):
    """One run, as it stands."""

    model_config = _example(**_RUN)

    run_id: str = Field(examples=[_EXAMPLE_RUN])
    tenant_id: str
    config_version: int | None = Field(description="None before a config is found.")
    vendors: list[str] | None = Field(description="None is all.")
    trigger: Trigger = Field(description="What started it.")
    status: RunStatus
    stage: Stage
    attempt: int = Field(description="The latest attempt; 0 before the first.")
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    next_attempt_at: datetime | None = Field(description="Set between two attempts.")
    cancel_requested_at: datetime | None
    failed_stage: Stage | None = Field(description="The stage that the run ended in.")
    error_code: str | None
    error_message: str | None
    failure_class: FailureClass | None = Field(description="Whose it is to mend a failed run.")
    next_action: str | None = Field(description="What to do about a failed run, in a sentence.")
    baseline_run_id: str | None = Field(description="The run whose feed it was compared with.")
    hold: HeldFeed | None = Field(description="Why its feed is, or was, held back.")
    released_at: datetime | None
    released_by: str | None
    release_reason: str | None
    changes: FeedChanges | None = Field(
        description="What its feed changes against the published one."
    )
    errors_artifact_key: str | None
    artifacts: dict[str, str] = Field(description="Names and keys of what the run has written.")
    dagster_run_id: str | None = Field(description="Null for tenants' keys.")
    dagster_url: str | None = Field(
        description="Opens the attempt in Dagster's UI; null for tenants' keys."
    )

    @classmethod
    def of(cls, record: RunRecord, dagster_webserver_url: str | None, *, for_admin: bool) -> Run:
        """Return what those outside see of a record; where it executes is shown to admins alone."""
        dagster_run_id = record.dagster_run_id if for_admin else None
        url = None
        if dagster_webserver_url and dagster_run_id:
            url = f"{dagster_webserver_url}/runs/{dagster_run_id}"
        own = {name: getattr(record, name) for name in cls.model_fields if name != "dagster_url"}
        vendors = None if record.vendors is None else list(record.vendors)
        hold = None if record.hold is None else HeldFeed.of(record.hold)
        changes = None if record.changes is None else FeedChanges.of(record)
        own |= {"vendors": vendors, "changes": changes, "hold": hold}
        return cls(**{**own, "dagster_run_id": dagster_run_id, "dagster_url": url})


class RunList(BaseModel):
    """A page of runs, newest first."""

    model_config = _example(runs=[_RUN], next_cursor=None)

    runs: list[Run]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page.")


class ConfigVersion(BaseModel):
    """Which version a config became."""

    model_config = _example(tenant_id="acme_parts", config_version=3)

    tenant_id: str
    config_version: int


class Tenant(ConfigVersion):
    """A tenant's config, one version of it; decimals are text, defaults are filled in."""

    model_config = _example(
        tenant_id="acme_parts",
        config_version=3,
        state="ACTIVE",
        delete_after=None,
        stored_at="2026-03-01T11:00:00Z",
        next_run_at=None,
        tenant_config=CONFIG_EXAMPLE,
    )

    state: State
    delete_after: DeleteAfter
    stored_at: datetime
    next_run_at: datetime | None = Field(
        description="When the schedule of the latest config is due next; null without one."
    )
    tenant_config: dict[str, Any]


class Version(BaseModel):
    """One version of a config."""

    config_version: int
    stored_at: datetime


class VersionList(BaseModel):
    """A page of the versions of a tenant's config, the latest first."""

    model_config = _example(
        tenant_id="acme_parts",
        versions=[
            {"config_version": 2, "stored_at": "2026-03-01T11:00:00Z"},
            {"config_version": 1, "stored_at": "2026-02-27T09:30:00Z"},
        ],
        next_cursor=None,
    )

    tenant_id: str
    versions: list[Version]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page.")


class ResumeOrder(BaseModel):
    """What `DELETE /v1/admin/pause` takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant_id: _Id | None = Field(None, description="None is all.")
    reason: Reason | None = None


class PauseOrder(ResumeOrder):
    """What `POST /v1/admin/pause` takes."""

    reason: Reason = Field(description="Shown to admins alone.")
    public_reason: Reason | None = Field(None, description="What tenants are told.")


class Pausing(BaseModel):
    """A pause in force."""

    model_config = _example(
        tenant_id=None,
        reason="the backlog keeps growing",
        public_reason="maintenance until noon",
        paused_at="2026-03-01T12:00:00Z",
    )

    tenant_id: str | None = Field(description="None is all.")
    reason: str
    public_reason: str | None = Field(description="What tenants are told.")
    paused_at: datetime


class Health(BaseModel):
    """The process answers."""

    model_config = _example(status="ok")

    status: Literal["ok"] = "ok"


class Dependency(BaseModel):
    """How one thing stands that the API needs."""

    state: str = Field(examples=["ok", "unreachable", "queue_misconfigured"])
    details: list[str] = []


class Readiness(BaseModel):
    """All dependencies answer as they must."""

    model_config = _example(
        status="ready",
        dependencies={
            name: {"state": "ok", "details": []}
            for name in ("runs_table", "tenants_table", "audit_table", "artifact_bucket", "queue")
        },
    )

    status: Literal["ready"] = "ready"
    dependencies: dict[str, Dependency]


class Fault(BaseModel):
    """One thing wrong with what was sent."""

    path: str = Field(examples=["vendors.1.parser.delimiter"])
    message: str


class Problem(BaseModel):
    """What every error answers with (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    error_code: str
    request_id: str
    errors: list[Fault] = []
    active_run_id: str | None = Field(None, description="With `TENANT_ALREADY_RUNNING`.")
