"""Tenants: their configs, how they stand, uploads, pauses, deletion. Instants are UTC."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from relay_dagster.tenants.deletion import TenantState
from relay_dagster.wire import base
from relay_dagster.wire.runs import LastRun, Reason

CONFIG_EXAMPLE: dict[str, Any] = {
    "schema_version": 1,
    "tenant_id": "acme_parts",
    "timezone": "America/Chicago",
    "default_currency": "USD",
    "vendors": [
        {
            "vendor_id": "granite_supply",
            "inbound": {"type": "s3", "s3_prefix": "tenants/acme_parts/inbound/granite_supply/"},
            "parser": {"format": "csv", "column_map": {"sku": "Part No", "cost": "Net"}},
        }
    ],
    "pricing": {"base_margin_pct": "0.20", "min_price": "1.00", "shipping_handling_flat": "4.95"},
    "merge": {"strategy": "best_offer"},
    "output": {"columns": ["sku", "quantity_available", "price"]},
}

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


class ConfigVersion(base.Answer):
    """Which version a config became."""

    model_config = base.example(tenant_id="acme_parts", config_version=3)

    tenant_id: str
    config_version: int


class Tenant(ConfigVersion):
    """A tenant's config, one version of it; decimals are text, defaults are filled in."""

    model_config = base.example(
        tenant_id="acme_parts",
        config_version=3,
        state="ACTIVE",
        delete_after=None,
        stored_at="2026-03-01T11:00:00Z",
        next_run_at=None,
        tenant_config=CONFIG_EXAMPLE,
    )

    state: _State = TenantState.ACTIVE
    delete_after: _DeleteAfter = None
    stored_at: datetime
    next_run_at: datetime | None = Field(
        None, description="When the schedule of the latest config is due next; null without one."
    )
    tenant_config: dict[str, Any]


class ListedTenant(base.Answer):
    """A tenant, as a list shows it."""

    model_config = base.example(
        tenant_id="acme_parts",
        state="ACTIVE",
        config_version=3,
        published_at="2026-03-01T12:06:04Z",
        last_run=base.examples_of(LastRun)[0],
    )

    tenant_id: str
    state: _State
    config_version: int
    published_at: datetime | None = Field(description="Since when its feed is in force.")
    last_run: LastRun | None = Field(description="The last that has ended.")


class TenantList(base.Page):
    """A page of tenants, by their ids."""

    model_config = base.page_example("tenants", ListedTenant)

    tenants: list[ListedTenant]
    next_cursor: base.NextCursor


class Version(base.Answer):
    """One version of a config."""

    config_version: int
    stored_at: datetime


class VersionList(base.Page):
    """A page of the versions of a tenant's config, the latest first."""

    model_config = base.example(
        tenant_id="acme_parts",
        versions=[
            {"config_version": 2, "stored_at": "2026-03-01T11:00:00Z"},
            {"config_version": 1, "stored_at": "2026-02-27T09:30:00Z"},
        ],
        next_cursor=None,
    )

    tenant_id: str
    versions: list[Version]
    next_cursor: base.NextCursor


class PullStanding(base.Answer):
    """What the pulls of a vendor's file have come to."""

    model_config = base.example(
        last_success_at="2026-03-01T11:00:02Z",
        last_unchanged_at="2026-03-01T12:00:01Z",
        last_error=None,
        failures=0,
        next_at="2026-03-01T13:00:01Z",
    )

    last_success_at: datetime | None = Field(None, description="When a new file was pulled.")
    last_unchanged_at: datetime | None = Field(
        None, description="When the file was still the one that was pulled last."
    )
    last_error: str | None = Field(
        None, description="Why the last pull failed; null if it did not."
    )
    failures: int = Field(0, description="How many pulls have failed since one succeeded.")
    next_at: datetime | None = Field(
        None, description="When the next one is due; null while one is under way or not yet noted."
    )


class VendorStanding(base.Answer):
    """What the last ended run of all vendors has come to with one of them, and its pulls."""

    vendor_id: str
    status: str | None = Field(
        None,
        description="What was used of it: `found` (its upload), `last_good`, `left_out`, "
        "`missing`; null where no run has looked at it yet.",
    )
    uploaded_at: datetime | None = Field(None, description="When its latest upload came.")
    age_hours: int | None = Field(
        None,
        description="How old what was used was when the run was asked for; or else the upload.",
    )
    rows: int | None = Field(None, description="Of its upload; null where that was not read.")
    invalid_rows: int | None = Field(None, description="Those of them that were refused.")
    skus_won: int | None = Field(None, description="Rows of the feed; null where there came none.")
    pull: PullStanding | None = Field(
        None, description="Null where the config has its file pulled from nowhere."
    )


class TenantStatus(base.Answer):
    """How a tenant stands now."""

    model_config = base.example(
        state="ACTIVE",
        delete_after=None,
        published_run_id=base.EXAMPLE_RUN_ID,
        published_at="2026-03-01T12:06:04Z",
        feed_age_seconds=3236,
        held_run_id=None,
        active_run_id=None,
        last_run=base.examples_of(LastRun)[0],
        next_run_at="2026-03-01T14:00:00Z",
        vendors=[
            {
                "vendor_id": "granite_supply",
                "status": "found",
                "uploaded_at": "2026-03-01T11:58:00Z",
                "age_hours": 0,
                "rows": 2000,
                "invalid_rows": 12,
                "skus_won": 1370,
                "pull": base.examples_of(PullStanding)[0],
            }
        ],
    )

    state: _State = TenantState.ACTIVE
    delete_after: _DeleteAfter = None
    published_run_id: str | None = Field(None, description="The run whose feed is in force.")
    published_at: datetime | None = Field(None, description="Since when it is.")
    feed_age_seconds: int | None = Field(None, description="For how long it is, by now.")
    held_run_id: str | None = Field(None, description="The run whose feed waits for a decision.")
    active_run_id: str | None = Field(None, description="The run that is QUEUED or RUNNING.")
    last_run: LastRun | None = Field(
        None, description="The last run that has ended, of any vendors."
    )
    next_run_at: datetime | None = Field(None, description="When the schedule is due next.")
    vendors: list[VendorStanding] = Field(
        [], description="Of the last run of all vendors that has ended, and those that are pulled."
    )


class TenantStanding(base.Answer):
    """Whether a tenant is there to stay."""

    model_config = base.example(tenant_id="acme_parts", state="ACTIVE")

    tenant_id: str
    state: Annotated[TenantState, base.Open()]


class TenantDeletion(TenantStanding):
    """How far a tenant's deletion is; of one that is over, what is left of the tenant."""

    model_config = base.example(
        tenant_id="acme_parts",
        state="CLOSING",
        asked_at="2026-03-01T12:00:00Z",
        asked_by="operations",
        delete_after="2026-03-08T12:00:00Z",
        deleting_since=None,
        deleted_at=None,
        step=None,
        removed={},
    )

    asked_at: datetime
    asked_by: str | None = Field(None, description="The admin key; null once the tenant is gone.")
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


class UploadOrder(base.Order):
    """What `POST /v1/tenants/{tenant_id}/uploads` takes."""

    model_config = base.example(vendor_id="granite_supply", file_name="stock.csv")

    vendor_id: base.Id
    file_name: Annotated[
        str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_file_name)
    ] = Field(
        description="The name alone; a file that was uploaded under it before is replaced.",
        json_schema_extra={"pattern": r"^[^/\\\u0000-\u001f\u007f]+$"},
    )


class UploadLink(base.Answer):
    """A form that takes one file: POST it to `url` as multipart, `fields` first and `file` last."""

    model_config = base.example(
        url="https://relay-inventory.s3.eu-central-1.amazonaws.com/",
        fields={
            "key": "tenants/acme_parts/inbound/granite_supply/stock.csv",
            "policy": "eyJleHBpcmF0aW9uIjogIjIwMjYtMDMtMDFUMTI6MTU6MDBaIiwgLi4ufQ==",
            "x-amz-algorithm": "AWS4-HMAC-SHA256",
            "x-amz-credential": "AKIA.../20260301/eu-central-1/s3/aws4_request",
            "x-amz-date": "20260301T120000Z",
            "x-amz-signature": "6e6f...",
        },
        key="tenants/acme_parts/inbound/granite_supply/stock.csv",
        max_bytes=2147483648,
        expires_at="2026-03-01T12:15:00Z",
    )

    url: str
    fields: dict[str, str] = Field(description="All of them must be sent, before the file.")
    key: str = Field(description="Where the file will lie.")
    max_bytes: int = Field(description="A larger file is refused.")
    expires_at: datetime


# --- pauses -------------------------------------------------------------------------------------


_PAUSE = {"reason": "the backlog keeps growing", "public_reason": "maintenance until noon"}


class ResumeOrder(base.Order):
    """What `DELETE /v1/admin/pause` takes."""

    model_config = base.example(tenant_id="acme_parts")

    tenant_id: base.Id | None = Field(None, description="None is all.")
    reason: Reason | None = None


class PauseOrder(ResumeOrder):
    """What `POST /v1/admin/pause` takes."""

    model_config = base.example(tenant_id="acme_parts", **_PAUSE)

    reason: Reason = Field(description="Shown to admins alone.")
    public_reason: Reason | None = Field(None, description="What tenants are told.")


class _Pause(base.Answer):
    tenant_id: str | None = Field(description="None is all.")
    reason: str
    public_reason: str | None = Field(description="What tenants are told.")


class PauseInForce(_Pause):
    """A pause in force, as a list shows it."""

    model_config = base.example(tenant_id=None, **_PAUSE, since="2026-03-01T12:00:00Z")

    since: datetime


class PauseList(base.Answer):
    """The pauses in force: that of all tenants first, then by tenant."""

    model_config = base.example(pauses=base.examples_of(PauseInForce))

    pauses: list[PauseInForce]


class Pausing(_Pause):
    """A pause in force."""

    model_config = base.example(tenant_id=None, **_PAUSE, paused_at="2026-03-01T12:00:00Z")

    paused_at: datetime
