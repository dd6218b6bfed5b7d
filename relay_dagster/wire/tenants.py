"""Tenants: their configs, states, uploads, pauses and deletions. Instants are UTC."""

import unicodedata
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from relay_dagster.tenants.deletion import TenantState
from relay_dagster.wire import base
from relay_dagster.wire.runs import LastRun, Reason

# Control characters, lone surrogates, what is no character, the separators of lines.
_UNPRINTABLE = ("Cc", "Cs", "Cn", "Zl", "Zp")
_State = Annotated[
    Annotated[TenantState, base.Open()],
    Field(description="Whether it is there to stay, or being deleted."),
]
_DeleteAfter = Annotated[
    datetime | None,
    Field(description="Until when it can be restored; null where nobody deletes it."),
]


class ConfigVersion(base.ResponseBody):
    """Which version a config became."""

    tenant_id: str
    config_version: int


class Tenant(ConfigVersion):
    """A tenant's config, one version of it; decimals are text, defaults are filled in."""

    state: _State = TenantState.ACTIVE
    delete_after: _DeleteAfter = None
    stored_at: datetime
    next_run_at: datetime | None = Field(
        None,
        description="When the schedule of the latest config is due next; null without one.",
    )
    tenant_config: dict[str, Any]


class ListedTenant(base.ResponseBody):
    """A tenant, as a list shows it."""

    tenant_id: str
    state: _State
    config_version: int
    published_at: datetime | None = Field(
        description="Since when its feed is in force."
    )
    last_run: LastRun | None = Field(description="The last that has ended.")


class TenantList(base.Page):
    """A page of tenants, by their ids."""

    tenants: list[ListedTenant]
    next_cursor: base.NextCursor


class Version(base.ResponseBody):
    """One version of a config."""

    config_version: int
    stored_at: datetime


class VersionList(base.Page):
    """A page of the versions of a tenant's config, the latest first."""

    tenant_id: str
    versions: list[Version]
    next_cursor: base.NextCursor


class PullStanding(base.ResponseBody):
    """The state of the pulls of a vendor's file."""

    last_success_at: datetime | None = Field(
        None, description="When a new file was pulled."
    )
    last_unchanged_at: datetime | None = Field(
        None, description="When the file was still the one that was pulled last."
    )
    last_error: str | None = Field(
        None, description="Why the last pull failed; null if it did not."
    )
    failures: int = Field(
        0, description="How many pulls have failed since one succeeded."
    )
    next_at: datetime | None = Field(
        None,
        description="When the next one is due; null while one is under way or not yet noted.",
    )


class VendorStanding(base.ResponseBody):
    """A vendor's result in the last ended run of all vendors, and its pulls."""

    vendor_id: str
    status: str | None = Field(
        None,
        description="What was used of it: `found` (its upload), `last_good`, `left_out`, "
        "`missing`; null where no run has looked at it yet.",
    )
    uploaded_at: datetime | None = Field(
        None, description="When its latest upload came."
    )
    age_hours: int | None = Field(
        None,
        description="How old what was used was when the run was asked for; or else the upload.",
    )
    rows: int | None = Field(
        None, description="Of its upload; null where that was not read."
    )
    invalid_rows: int | None = Field(
        None, description="Those of them that were refused."
    )
    skus_won: int | None = Field(
        None, description="Rows of the feed; null where there came none."
    )
    pull: PullStanding | None = Field(
        None, description="Null where the config has its file pulled from nowhere."
    )


class TenantStatus(base.ResponseBody):
    """The status of a tenant now."""

    state: _State = TenantState.ACTIVE
    delete_after: _DeleteAfter = None
    published_run_id: str | None = Field(
        None, description="The run whose feed is in force."
    )
    published_at: datetime | None = Field(None, description="Since when it is.")
    feed_age_seconds: int | None = Field(
        None, description="For how long it is, by now."
    )
    held_run_id: str | None = Field(
        None, description="The run whose feed waits for a decision."
    )
    active_run_id: str | None = Field(
        None, description="The run that is QUEUED or RUNNING."
    )
    last_run: LastRun | None = Field(
        None, description="The last run that has ended, of any vendors."
    )
    next_run_at: datetime | None = Field(
        None, description="When the schedule is due next."
    )
    vendors: list[VendorStanding] = Field(
        [],
        description="Of the last run of all vendors that has ended, and those that are pulled.",
    )


class TenantStanding(base.ResponseBody):
    """Whether a tenant is there to stay."""

    tenant_id: str
    state: Annotated[TenantState, base.Open()]


class TenantDeletion(TenantStanding):
    """How far a tenant's deletion is; of one that is over, what is left of the tenant."""

    asked_at: datetime
    asked_by: str | None = Field(
        None, description="The admin key; null once the tenant is gone."
    )
    delete_after: datetime = Field(description="Until then it can be restored.")
    deleting_since: datetime | None = None
    deleted_at: datetime | None = None
    step: str | None = Field(None, description="What is being removed.")
    removed: dict[str, int] = Field({}, description="How much each step has removed.")


# --- uploads ------------------------------------------------------------------------------------


def _file_name(text: str) -> str:
    """Return the name of a file, which no path and no form of S3 reads as anything else."""
    if not text.strip():
        raise ValueError("must name a file")
    if text in (".", ".."):
        raise ValueError("is a folder; name the file")
    if "/" in text or "\\" in text:
        raise ValueError("must be a name alone, without the folders that it lies in")
    if any(unicodedata.category(each) in _UNPRINTABLE for each in text):
        raise ValueError("has characters that cannot be printed; rename the file")
    if "${" in text:
        raise ValueError("must not hold ${, which S3 replaces; rename the file")
    return text


class UploadRequest(base.RequestBody):
    """The body of `POST /v1/tenants/{tenant_id}/uploads`."""

    vendor_id: base.Id
    file_name: Annotated[
        str,
        StringConstraints(min_length=1, max_length=1024),
        AfterValidator(_file_name),
    ] = Field(
        description="The name alone; a file that was uploaded under it before is replaced.",
        json_schema_extra={"pattern": r"^[^/\\\u0000-\u001f\u007f]+$"},
    )


class UploadLink(base.ResponseBody):
    """A form that takes one file: POST it to `url` as multipart, `fields` first and `file` last."""

    url: str
    fields: dict[str, str] = Field(
        description="All of them must be sent, before the file."
    )
    key: str = Field(description="Where the file will lie.")
    max_bytes: int = Field(description="A larger file is refused.")
    expires_at: datetime


# --- pauses -------------------------------------------------------------------------------------


class ResumeRequest(base.RequestBody):
    """The body of `DELETE /v1/admin/pause`."""

    tenant_id: base.Id | None = Field(None, description="None is all.")
    reason: Reason | None = None


class PauseRequest(ResumeRequest):
    """The body of `POST /v1/admin/pause`."""

    reason: Reason = Field(description="Shown to admins alone.")
    public_reason: Reason | None = Field(
        None, description="The reason that tenants see."
    )


class _Pause(base.ResponseBody):
    tenant_id: str | None = Field(description="None is all.")
    reason: str
    public_reason: str | None = Field(description="The reason that tenants see.")


class PauseInForce(_Pause):
    """A pause in force, as a list shows it."""

    since: datetime


class PauseList(base.Page):
    """A page of the pauses in force: that of all tenants first, then by tenant."""

    pauses: list[PauseInForce]
    next_cursor: str | None = Field(
        None,
        description="Give it as `cursor` for the next page; the last one has none.",
        exclude_if=lambda cursor: cursor is None,
    )


class Pausing(_Pause):
    """A pause in force."""

    paused_at: datetime
