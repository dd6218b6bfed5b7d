"""Runs: asked for, looked at, released; and the feed that is in force. Instants are UTC."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from relay_core.domain.codes import FailureClass, RunStatus, Stage
from relay_core.domain.limits import DEFAULT_LIMITS
from relay_dagster.feeds.pointer import PublishedBy
from relay_dagster.runs.model import Trigger
from relay_dagster.wire import base

_ENDED = frozenset(status for status in RunStatus if status.has_ended)

Reason = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=500, pattern=r"\S"
    ),
]
"""Why a person did something: trimmed, not blank."""
_Stage = Annotated[Stage, base.Open()]


class RunRequest(base.RequestBody):
    """The body of `POST /v1/runs`."""

    tenant_id: base.Id
    run_type: Literal["inventory_sync"] = "inventory_sync"
    vendors: list[base.Id] | None = Field(
        None,
        max_length=DEFAULT_LIMITS.vendors,
        description="Some of the config's vendors; none named is all.",
    )

    _no_repeats = field_validator("vendors")(base.each_once("vendor"))


class ReleaseRequest(base.RequestBody):
    """The body of `POST /v1/runs/{run_id}/release`."""

    sha256: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    guards: list[Annotated[str, StringConstraints(max_length=64)]] = Field(
        max_length=20, description="The names of the guards that tripped."
    )
    reason: Reason


class RollbackRequest(base.RequestBody):
    """The body of `POST /v1/tenants/{tenant_id}/feed/rollback`."""

    run_id: base.Id
    reason: Reason


class HeldFeed(base.ResponseBody):
    """Why a run's feed is held back."""

    sha256: str = Field(description="Of the feed; a release names it.")
    baseline_run_id: str = Field(description="The run whose feed it was compared with.")
    guards: list[dict[str, Any]] = Field(
        description="Those that tripped; a release names them."
    )

    @property
    def guard_names(self) -> tuple[str, ...]:
        """The names of the guards that tripped, each once."""
        return tuple(dict.fromkeys(str(each.get("guard")) for each in self.guards))


class FeedChanges(base.ResponseBody):
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


class Run(base.ResponseBody):
    """One run, as it stands."""

    run_id: str = Field(examples=["5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11"])
    tenant_id: str
    config_version: int | None = Field(
        None, description="None before a config is found."
    )
    vendors: list[str] | None = Field(None, description="None is all.")
    trigger: Annotated[Trigger, base.Open()] = Field(description="What started it.")
    status: Annotated[RunStatus, base.Open()]
    stage: _Stage
    attempt: int = Field(description="The latest attempt; 0 before the first.")
    requested_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    next_attempt_at: datetime | None = Field(
        None, description="Set between two attempts."
    )
    cancel_requested_at: datetime | None = None
    failed_stage: _Stage | None = Field(
        None, description="The stage that the run ended in."
    )
    error_code: str | None = None
    error_message: str | None = None
    failure_class: Annotated[FailureClass, base.Open()] | None = Field(
        None, description="Whose it is to mend a failed run."
    )
    next_action: str | None = Field(
        None, description="What to do about a failed run, in a sentence."
    )
    baseline_run_id: str | None = Field(
        None, description="The run whose feed it was compared with."
    )
    hold: HeldFeed | None = Field(
        None, description="Why its feed is, or was, held back."
    )
    released_at: datetime | None = None
    released_by: str | None = None
    release_reason: str | None = None
    changes: FeedChanges | None = Field(
        None, description="What its feed changes against the published one."
    )
    errors_artifact_key: str | None = None
    artifacts: dict[str, str] = Field(
        {}, description="Names and keys of what the run has written."
    )
    dagster_run_id: str | None = Field(None, description="Null for tenants' keys.")
    dagster_url: str | None = Field(
        None,
        description="Opens the attempt in Dagster's UI; null for tenants' keys, and once it is "
        "deleted there.",
    )

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended for good."""
        return self.status in _ENDED

    @property
    def succeeded(self) -> bool:
        """Whether the run has published a feed."""
        return self.status == RunStatus.SUCCEEDED

    @property
    def is_held(self) -> bool:
        """Whether the run's feed waits for a decision."""
        return self.status == RunStatus.HELD


class RowCounts(base.ResponseBody):
    """Where a vendor's rows went: `read` is the sum of all others; null in a failed run."""

    read: int = Field(description="Its records that are not blank.")
    skipped: int = Field(description="Named by `parser.skip_rows`.")
    refused: int
    duplicates: int | None = Field(description="Another row stands for their SKU.")
    left_out: int | None = Field(
        description="With the vendor, by a price rule or an override."
    )
    same_sku: int | None = Field(
        description="Beside a better row of the same vendor and SKU."
    )
    outbid: int | None = Field(description="Another vendor wins their SKU.")
    unpriced: int | None
    won: int | None = Field(description="In the feed.")


class RunDetails(Run):
    """One run, as it stands, with where its rows went."""

    rows: dict[str, RowCounts] | None = Field(
        None,
        description="By vendor whose records were all read; null before the run's end, and once "
        "its summary is gone.",
    )


class RunList(base.Page):
    """A page of runs, newest first."""

    runs: list[Run]
    next_cursor: base.NextCursor


class LastRun(base.ResponseBody):
    """The last run of a tenant that has ended."""

    run_id: str
    status: Annotated[RunStatus, base.Open()]
    error_code: str | None
    finished_at: datetime | None


class Publication(base.ResponseBody):
    """A feed that is, or was, in force, and can be published again."""

    run_id: str
    published_at: datetime
    how: Annotated[PublishedBy, base.Open()] = Field(description="It came into force.")
    by: str | None = Field(
        description="Who has published it; null of a run's own publication."
    )
    sha256: str
    record_count: int | None = Field(
        description="Its rows; null where an old release left none."
    )


class PublicationList(base.ResponseBody):
    """A tenant's last publications, newest first; the first is in force."""

    publications: list[Publication]


class PublishedFeed(base.ResponseBody):
    """A tenant's feed that is in force."""

    tenant_id: str
    run_id: str
    sha256: str
    finished_at: datetime = Field(description="When its run ended.")
    published_at: datetime
