"""Tenants: their configs, statuses, deletions, uploads and pauses. Times are in UTC."""

import unicodedata
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from relay_dagster.tenants.deletion import TenantState
from relay_dagster.wire import base
from relay_dagster.wire.runs import LastRun, Reason

# Control characters, lone surrogates, unassigned code points, and line separators.
_UNPRINTABLE_CATEGORIES = ("Cc", "Cs", "Cn", "Zl", "Zp")
_State = Annotated[
    Annotated[TenantState, base.OpenEnum()],
    Field(description="Whether the tenant is active or being deleted."),
]
_DeleteAfter = Annotated[
    datetime | None,
    Field(
        description="The time until which the tenant can be restored. Null if it is "
        "not being deleted.",
    ),
]


class ConfigVersion(base.ResponseBody):
    """The version of a config that was stored."""

    tenant_id: str
    config_version: int


class Tenant(ConfigVersion):
    """A version of a tenant's config. Decimals are text, and defaults are filled in."""

    state: _State = TenantState.ACTIVE
    delete_after: _DeleteAfter = None
    stored_at: datetime
    next_run_at: datetime | None = Field(
        None,
        description="The next time of the schedule in the latest config. Null without "
        "a schedule, or without vendors.",
    )
    tenant_config: dict[str, Any]


class ListedTenant(base.ResponseBody):
    """A tenant, as listed."""

    tenant_id: str
    state: _State
    config_version: int
    published_at: datetime | None = Field(
        description="The time when the live feed was published.",
    )
    last_run: LastRun | None = Field(
        description="The latest run that has ended.",
    )


class TenantList(base.Page):
    """A page of tenants, sorted by ID."""

    tenants: list[ListedTenant]
    next_cursor: base.NextCursor


class Version(base.ResponseBody):
    """A version of a config."""

    config_version: int
    stored_at: datetime


class VersionList(base.Page):
    """A page of the versions of a tenant's config, latest first."""

    tenant_id: str
    versions: list[Version]
    next_cursor: base.NextCursor


class PullStanding(base.ResponseBody):
    """The status of the pulls of a vendor's file."""

    last_success_at: datetime | None = Field(
        None,
        description="The time when a new file was last pulled.",
    )
    last_unchanged_at: datetime | None = Field(
        None,
        description="The time when a pull last found the file unchanged.",
    )
    last_error: str | None = Field(
        None,
        description="The error of the last pull. Null if it succeeded.",
    )
    failures: int = Field(
        0,
        description="The number of failed pulls since the last that succeeded.",
    )
    next_at: datetime | None = Field(
        None,
        description="The time of the next pull. Null while a pull is running, or "
        "before the first is scheduled.",
    )


class PartStanding(base.ResponseBody):
    """The latest file of a vendor's part in that run, and the pulls of the part."""

    part_id: str | None = Field(description="Null for the vendor's own file.")
    uploaded_at: datetime | None = Field(
        None,
        description="The time when the part's newest file was uploaded.",
    )
    age_hours: int | None = Field(
        None,
        description="The age of that file when the run was requested.",
    )
    pull: PullStanding | None = Field(
        None,
        description="Null if the config does not pull the part's files.",
    )


class VendorStanding(base.ResponseBody):
    """A vendor's result in the latest ended run of all vendors, and its pulls."""

    OPTIONAL_FIELDS = frozenset({"parts"})

    vendor_id: str
    status: str | None = Field(
        None,
        description="The file that was used: `found` (the vendor's upload), "
        "`last_good`, `left_out` or `missing`. Null if no run has looked for a file "
        "yet.",
    )
    uploaded_at: datetime | None = Field(
        None,
        description="The time of the latest upload.",
    )
    age_hours: int | None = Field(
        None,
        description="The age of the file that was used, or else of the upload, when "
        "the run was requested.",
    )
    rows: int | None = Field(
        None,
        description="The number of rows of the upload. Null if it was not read.",
    )
    invalid_rows: int | None = Field(
        None,
        description="The number of rejected rows.",
    )
    skus_won: int | None = Field(
        None,
        description="The number of rows in the feed. Null if there is no feed.",
    )
    pull: PullStanding | None = Field(
        None,
        description="Null if the config does not pull the vendor's file.",
    )
    parts: list[PartStanding] | None = Field(
        None,
        description="The vendor's own file and its parts, in the order of the config. "
        "Only a vendor with `parts` or `changes` has this field.",
        exclude_if=lambda parts: parts is None,
    )


class CatalogStanding(base.ResponseBody):
    """The catalog of the latest ended run, and its pulls."""

    uploaded_at: datetime | None = Field(
        None,
        description="The time of the upload that the run used.",
    )
    age_hours: int | None = Field(
        None,
        description="The age of that file when the run was requested.",
    )
    pull: PullStanding | None = Field(
        None,
        description="Null if the config does not pull the catalog's file.",
    )


class TenantStatus(base.ResponseBody):
    """The status of a tenant."""

    state: _State = TenantState.ACTIVE
    delete_after: _DeleteAfter = None
    published_run_id: str | None = Field(
        None,
        description="The run of the live feed.",
    )
    published_at: datetime | None = Field(
        None,
        description="The time when the live feed was published.",
    )
    feed_age_seconds: int | None = Field(
        None,
        description="The time since the live feed was published.",
    )
    held_run_id: str | None = Field(
        None,
        description="The run whose feed is on hold.",
    )
    active_run_id: str | None = Field(
        None,
        description="The run that is `QUEUED` or `RUNNING`.",
    )
    last_run: LastRun | None = Field(
        None,
        description="The latest run that has ended, also of some vendors only.",
    )
    next_run_at: datetime | None = Field(
        None,
        description="The next time of the schedule.",
    )
    vendors: list[VendorStanding] = Field(
        [],
        description="The vendors of the latest ended run of all vendors, and other "
        "vendors whose files are pulled.",
    )
    catalog: CatalogStanding | None = Field(
        None,
        description="The merchant's own list of products. Only a tenant with `catalog` "
        "has this field.",
        exclude_if=lambda catalog: catalog is None,
    )


class TenantStanding(base.ResponseBody):
    """The state of a tenant."""

    tenant_id: str
    state: Annotated[TenantState, base.OpenEnum()]


class TenantDeletion(TenantStanding):
    """The progress of a tenant's deletion.

    After the deletion, this is all that remains of the tenant.
    """

    asked_at: datetime
    asked_by: str | None = Field(
        None,
        description="The admin key. Null after the tenant was deleted.",
    )
    delete_after: datetime = Field(
        description="The time until which the tenant can be restored.",
    )
    deleting_since: datetime | None = None
    deleted_at: datetime | None = None
    step: str | None = Field(
        None,
        description="The data that is being removed.",
    )
    removed: dict[str, int] = Field(
        {},
        description="The number of objects that each step removed.",
    )


# --- uploads ------------------------------------------------------------------------


def _file_name(text: str) -> str:
    """Return the name of a file, if it is safe in a path and in a form of S3."""
    if not text.strip():
        raise ValueError("must be the name of a file")
    if text in (".", ".."):
        raise ValueError("is the name of a folder; enter the name of a file")
    if "/" in text or "\\" in text:
        raise ValueError("must be only a name, without folders")
    categories = {unicodedata.category(character) for character in text}
    if not categories.isdisjoint(_UNPRINTABLE_CATEGORIES):
        raise ValueError(
            "contains characters that cannot be printed; rename the file"
        )
    if "${" in text:
        raise ValueError(
            "must not contain ${, which S3 would replace; rename the file"
        )
    return text


class UploadRequest(base.RequestBody):
    """The body of `POST /v1/tenants/{tenant_id}/uploads`."""

    vendor_id: base.Id
    part_id: base.Id | None = Field(
        None,
        description="The part of the vendor that the file is for. The default is the "
        "vendor's own file.",
    )
    file_name: Annotated[
        str,
        StringConstraints(min_length=1, max_length=1024),
        AfterValidator(_file_name),
    ] = Field(
        description="The file's name, without folders. It replaces an earlier upload "
        "of the same name.",
        json_schema_extra={"pattern": r"^[^/\\\u0000-\u001f\u007f]+$"},
    )


class UploadLink(base.ResponseBody):
    """A form that uploads one file.

    Send it to `url` by `POST` as `multipart/form-data`: all `fields` first, `file`
    last.
    """

    url: str
    fields: dict[str, str] = Field(
        description="The fields of the form. All are required, before the file.",
    )
    key: str = Field(description="The key of the file in the bucket.")
    max_bytes: int = Field(description="The maximum size of the file.")
    expires_at: datetime


# --- pauses -------------------------------------------------------------------------


class ResumeRequest(base.RequestBody):
    """The body of `DELETE /v1/admin/pause`."""

    tenant_id: base.Id | None = Field(
        None,
        description="The tenant. The default is all tenants.",
    )
    reason: Reason | None = None


class PauseRequest(ResumeRequest):
    """The body of `POST /v1/admin/pause`."""

    reason: Reason = Field(description="The reason that only admins see.")
    public_reason: Reason | None = Field(
        None,
        description="The reason that tenants see.",
    )


class _Pause(base.ResponseBody):
    tenant_id: str | None = Field(description="Null for all tenants.")
    reason: str
    public_reason: str | None = Field(
        description="The reason that tenants see.",
    )


class PauseInForce(_Pause):
    """A pause in effect, as listed."""

    since: datetime


class PauseList(base.Page):
    """A page of the pauses in effect, that of all tenants first, then by tenant."""

    pauses: list[PauseInForce]
    next_cursor: str | None = Field(
        None,
        description="The `cursor` of the next page. The last page does not have it.",
        exclude_if=lambda cursor: cursor is None,
    )


class Pausing(_Pause):
    """A pause in effect."""

    paused_at: datetime
