"""Runs, releases and rollbacks; and a tenant's live feed. Times are in UTC."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from relay_core.domain.codes import FailureClass, RunStatus, Stage
from relay_core.domain.limits import DEFAULT_LIMITS
from relay_dagster.feeds.pointer import PublishedBy
from relay_dagster.runs.model import Trigger
from relay_dagster.wire import base

_ENDED_STATUSES = frozenset(status for status in RunStatus if status.has_ended)

Reason = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        max_length=500,
        pattern=r"\S",
    ),
]
"""A person's reason for an action: trimmed, and not blank."""
_Stage = Annotated[Stage, base.OpenEnum()]


class RunRequest(base.RequestBody):
    """The body of `POST /v1/runs`."""

    tenant_id: base.Id
    run_type: Literal["inventory_sync"] = "inventory_sync"
    vendors: list[base.Id] | None = Field(
        None,
        max_length=DEFAULT_LIMITS.vendors,
        description="The vendors to use, of those in the config. The default is all.",
    )

    _unique_vendors = field_validator("vendors")(base.unique_items("vendor"))


class ReleaseRequest(base.RequestBody):
    """The body of `POST /v1/runs/{run_id}/release`."""

    sha256: Annotated[str, StringConstraints(min_length=1, max_length=64)] = (
        Field(
            description="The SHA-256 of the feed that was reviewed: `hold.sha256` of the "
            "run.",
        )
    )
    guards: list[Annotated[str, StringConstraints(max_length=64)]] = Field(
        max_length=20,
        description="The names of the guards that tripped.",
    )
    reason: Reason


class RollbackRequest(base.RequestBody):
    """The body of `POST /v1/tenants/{tenant_id}/feed/rollback`."""

    run_id: base.Id
    reason: Reason


class HeldFeed(base.ResponseBody):
    """The reason why a run's feed is on hold."""

    sha256: str = Field(
        description="The feed's SHA-256, which a release must name.",
    )
    baseline_run_id: str = Field(
        description="The run of the feed that this one was compared with.",
    )
    guards: list[dict[str, Any]] = Field(
        description="The guards that tripped, which a release must name.",
    )

    @property
    def guard_names(self) -> tuple[str, ...]:
        """The names of the guards that tripped, without duplicates."""
        names = [str(guard.get("guard")) for guard in self.guards]
        return tuple(dict.fromkeys(names))


class FeedChanges(base.ResponseBody):
    """The numbers of SKUs that a feed changes, compared with the published feed.

    From `price_up` on, only SKUs that are in both feeds are counted.
    """

    baseline_run_id: str = Field(
        description="The run of the feed that this one was compared with.",
    )
    added: int
    removed: int
    changed: int = Field(
        description="SKUs with another quantity, price or vendor.",
    )
    unchanged: int
    price_up: int
    price_down: int
    came_in_stock: int
    went_out_of_stock: int
    vendor_changed: int


class Run(base.ResponseBody):
    """A run."""

    run_id: str = Field(examples=["5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11"])
    tenant_id: str
    config_version: int | None = Field(
        None,
        description="Null until the config is read.",
    )
    vendors: list[str] | None = Field(None, description="Null for all vendors.")
    trigger: Annotated[Trigger, base.OpenEnum()] = Field(
        description="The cause of the run.",
    )
    status: Annotated[RunStatus, base.OpenEnum()]
    stage: _Stage
    attempt: int = Field(description="The number of the latest attempt, or 0.")
    requested_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    next_attempt_at: datetime | None = Field(
        None,
        description="The time of the next attempt, between two attempts.",
    )
    cancel_requested_at: datetime | None = None
    failed_stage: _Stage | None = Field(
        None,
        description="The stage in which the run failed or was cancelled.",
    )
    error_code: str | None = None
    error_message: str | None = None
    failure_class: Annotated[FailureClass, base.OpenEnum()] | None = Field(
        None,
        description="Who can fix the cause of a failed run.",
    )
    next_action: str | None = Field(
        None,
        description="The next step after a failed run, in a sentence.",
    )
    baseline_run_id: str | None = Field(
        None,
        description="The run of the feed that this one was compared with.",
    )
    hold: HeldFeed | None = Field(
        None,
        description="The reason why the feed is, or was, on hold.",
    )
    released_at: datetime | None = None
    released_by: str | None = None
    release_reason: str | None = None
    changes: FeedChanges | None = Field(
        None,
        description="The changes of the feed, compared with the published feed.",
    )
    errors_artifact_key: str | None = None
    artifacts: dict[str, str] = Field(
        {},
        description="The keys of the files that the run wrote, by name.",
    )
    dagster_run_id: str | None = Field(
        None,
        description="The ID of the Dagster run. Null for tenants' keys.",
    )
    dagster_url: str | None = Field(
        None,
        description="The URL of the attempt in Dagster's UI. Null for tenants' keys, "
        "and after Dagster deleted the attempt.",
    )

    @property
    def has_ended(self) -> bool:
        """True if the run has reached its final status."""
        return self.status in _ENDED_STATUSES

    @property
    def succeeded(self) -> bool:
        """True if the run succeeded."""
        return self.status == RunStatus.SUCCEEDED

    @property
    def is_held(self) -> bool:
        """True if the run's feed is on hold."""
        return self.status == RunStatus.HELD


class PartCounts(base.ResponseBody):
    """The numbers of the rows of a vendor's part, by outcome.

    Outcomes that the rows of the part cannot have are absent.
    """

    read: int = Field(description="Records that are not blank.")
    skipped: int = Field(description="Rows that `parser.skip_rows` skips.")
    refused: int = Field(description="Rows that were rejected.")
    replaced: int | None = Field(
        None,
        description="Rows that a later file of changes replaces or deletes.",
        exclude_if=lambda count: count is None,
    )
    duplicates: int | None = Field(
        None,
        description="Rows whose key has another row that is used instead.",
        exclude_if=lambda count: count is None,
    )
    used: int | None = Field(
        None,
        description="Rows whose key a row of the base has.",
        exclude_if=lambda count: count is None,
    )
    unused: int | None = Field(
        None,
        description="Rows whose key no row of the base has.",
        exclude_if=lambda count: count is None,
    )


class RowCounts(base.ResponseBody):
    """The numbers of a vendor's rows, by outcome.

    `read` is the sum of all others. Numbers that a failed run does not know are null.
    """

    read: int = Field(description="Records that are not blank.")
    skipped: int = Field(description="Rows that `parser.skip_rows` skips.")
    refused: int = Field(description="Rows that were rejected.")
    replaced: int | None = Field(
        None,
        description="Rows that a later file of changes replaces or deletes. Only with "
        "files of changes.",
        exclude_if=lambda count: count is None,
    )
    unmatched: int | None = Field(
        None,
        description="Rows that are taken out because nothing matches them. Only with a "
        "catalog, or with a part that gives columns.",
        exclude_if=lambda count: count is None,
    )
    duplicates: int | None = Field(
        description="Rows whose SKU has another row that is used instead.",
    )
    left_out: int | None = Field(
        description="Rows that are left out with the vendor, or by a price rule or "
        "override.",
    )
    same_sku: int | None = Field(
        description="Rows with a better row of the same vendor and SKU.",
    )
    outbid: int | None = Field(
        description="Rows whose SKU another vendor wins.",
    )
    unpriced: int | None = Field(description="Rows without a price.")
    won: int | None = Field(description="Rows that are in the feed.")
    parts: dict[str, PartCounts] | None = Field(
        None,
        description="The numbers of the rows of each part. Only for a vendor with "
        "parts.",
        exclude_if=lambda parts: parts is None,
    )


class RunDetails(Run):
    """A run, with the numbers of its rows."""

    rows: dict[str, RowCounts] | None = Field(
        None,
        description="The numbers of rows, by vendor, for vendors whose files were "
        "read to the end. Null until the run has ended, and after its summary was "
        "deleted.",
    )


class RunList(base.Page):
    """A page of runs, newest first."""

    runs: list[Run]
    next_cursor: base.NextCursor


class LastRun(base.ResponseBody):
    """The latest run of a tenant that has ended."""

    run_id: str
    status: Annotated[RunStatus, base.OpenEnum()]
    error_code: str | None
    finished_at: datetime | None


class Publication(base.ResponseBody):
    """A feed that is, or was, live, and can be published again."""

    run_id: str
    published_at: datetime
    how: Annotated[PublishedBy, base.OpenEnum()] = Field(
        description="The way in which the feed was published.",
    )
    by: str | None = Field(
        description="Who published the feed. Null if its run published it.",
    )
    sha256: str
    record_count: int | None = Field(
        description="The number of rows. Null for a feed of an old release.",
    )


class PublicationList(base.ResponseBody):
    """A tenant's latest publications, newest first. The first is the live feed."""

    publications: list[Publication]


class PublishedFeed(base.ResponseBody):
    """A tenant's live feed."""

    tenant_id: str
    run_id: str
    sha256: str
    finished_at: datetime = Field(description="The time when its run ended.")
    published_at: datetime
