"""How a vendor's file gets into the bucket: upload forms and pulls; and secrets.

This is HTTP only. A form posts the file to S3, where it starts the tenant's triggers.
The sensors make a pull that is requested here. Secrets are for pulls, and no response
contains the value of one.
"""

from typing import Annotated

from fastapi import Path, Response

from relay_core.config import VendorConfig
from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http.error_codes import STORED_CONFIG, responds_with
from relay_dagster.api.http.problems import ProblemError, invalid_request
from relay_dagster.api.http.request_parsing import TenantId, request_body, router
from relay_dagster.api.routes.tenants import find_config, require_tenant
from relay_dagster.api.security import auth
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.aws.object_store import MAX_BYTES, MAX_KEY_BYTES
from relay_dagster.aws.secrets import SecretValue
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import ID_PATTERN, is_id
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import Action
from relay_dagster.triggers import pulls
from relay_dagster.wire.access import ListedSecret, SecretList, SecretRequest
from relay_dagster.wire.tenants import PullStanding, UploadLink, UploadRequest
from relay_dagster.wiring import Platform

routes = router("uploads")
secret_routes = router("tenants")
_log = event_log()


# --- upload forms -------------------------------------------------------------------


@routes.post("/v1/tenants/{tenant_id}/uploads", status_code=201)
@responds_with(
    "TENANT_CLOSING", "UNKNOWN_VENDOR", *STORED_CONFIG, "UPLOAD_QUOTA_EXCEEDED"
)
def make_upload_link(
    tenant_id: TenantId,
    call: auth.MayUpload,
    body: Annotated[UploadRequest, request_body(UploadRequest)],
) -> UploadLink:
    """Create a form that uploads one file of a vendor.

    The form works without a key, and expires after 15 minutes. Uploads also work while
    run creation is paused.
    """
    stored_config = find_config(call.platform, tenant_id)
    link = sign_upload(body, stored_config, call.platform)
    entry = call.origin.entry(
        Action.UPLOAD_LINK_CREATED,
        tenant_id,
        link.key,
        utc_now(),
        vendor_id=body.vendor_id,
        expires_at=link.expires_at.isoformat(),
    )
    links_per_day = call.platform.settings.max_upload_links_per_day
    call.platform.deletions.add_link(entry, links_per_day)
    _log.info("upload_link_made", tenant_id=tenant_id, key=link.key)
    return link


def sign_upload(
    body: UploadRequest,
    stored_config: StoredConfig,
    platform: Platform,
    redirect: str | None = None,
) -> UploadLink:
    """Return the signed form for a vendor's file.

    After the upload, S3 redirects the browser to ``redirect`` if it is set.

    Raises:
        ProblemError: The config has no such vendor, the vendor does not upload, or the
            file name is too long (422).
    """
    key = prefix_of(body.vendor_id, stored_config, platform) + body.file_name
    size = len(key.encode())
    if size > MAX_KEY_BYTES:
        message = (
            f"is too long: with the vendor's prefix it has {size:,} bytes, "
            f"and S3 takes {MAX_KEY_BYTES:,}; rename the file"
        )
        raise invalid_request([ConfigFault("file_name", message)])
    max_bytes = min(platform.settings.max_feed_bytes, MAX_BYTES)
    form = platform.objects.upload_form(key, max_bytes, redirect)
    return UploadLink.of(form, key=key, max_bytes=max_bytes)


def prefix_of(vendor_id: str, stored_config: StoredConfig, platform: Platform) -> str:
    """Return the prefix of a vendor's uploads in the bucket.

    Raises:
        ProblemError: The config has no such vendor, or the vendor does not upload
            (422).
    """
    config = platform.tenants.parsed(stored_config)
    vendor = _vendor_named(vendor_id, config.vendors)
    if vendor is None:
        message = f"config version {stored_config.version} has no vendor {vendor_id!r}"
        fault = ConfigFault("vendor_id", message)
        raise ProblemError("UNKNOWN_VENDOR", message, errors=[fault])
    if vendor.inbound.s3_prefix is None:
        message = (
            "is a vendor of inbound.type local, which uploads nothing; set it to s3"
        )
        raise invalid_request([ConfigFault("vendor_id", message)])
    return vendor.inbound.s3_prefix


def _vendor_named(
    vendor_id: str, vendors: tuple[VendorConfig, ...]
) -> VendorConfig | None:
    for vendor in vendors:
        if vendor.vendor_id == vendor_id:
            return vendor
    return None


# --- pulls --------------------------------------------------------------------------


@routes.post("/v1/tenants/{tenant_id}/vendors/{vendor_id}/pull", status_code=202)
@responds_with("TENANT_CLOSING", "NO_PULL", *STORED_CONFIG)
def ask_for_pull(
    tenant_id: TenantId,
    vendor_id: Annotated[
        str, Path(description="The vendor's ID, as in the tenant's config.")
    ],
    call: auth.MayRun,
) -> PullStanding:
    """Pull a vendor's file now.

    If a pull of the file is already running, the next one starts when it is finished.
    """
    config = call.platform.tenants.parsed(find_config(call.platform, tenant_id))
    vendor = _vendor_named(vendor_id, config.vendors)
    if vendor is None or vendor.inbound.pull is None:
        message = "the config has no vendor of that id whose file is pulled"
        raise ProblemError("NO_PULL", message)
    now = utc_now()
    note_pull = pulls.noted(vendor.inbound.pull, now)
    request_pull = pulls.asked(now)

    def rule(state: pulls.PullState) -> pulls.PullState | None:
        # The sensor may not have noted the pull yet.
        return request_pull(note_pull(state) or state)

    entry = call.origin.entry(Action.PULL_ASKED, tenant_id, vendor_id, now)
    state = call.platform.pulls.change(tenant_id, vendor_id, rule, audited=entry)
    _log.info("pull_asked", tenant_id=tenant_id, vendor_id=vendor_id)
    return PullStanding() if state is None else PullStanding.of(state)


# --- secrets ------------------------------------------------------------------------


@secret_routes.put("/v1/tenants/{tenant_id}/secrets/{name}", status_code=204)
@responds_with("TENANT_CLOSING", "SECRET_QUOTA_EXCEEDED", "SECRETS_UNAVAILABLE")
def put_secret(
    tenant_id: TenantId,
    name: Annotated[
        str,
        Path(
            description="The secret's name, in the same format as an ID.",
            pattern=ID_PATTERN,
        ),
    ],
    call: auth.MayConfigure,
    body: Annotated[SecretRequest, request_body(SecretRequest)],
) -> Response:
    """Store a secret for one host, or replace the secret of that name."""
    require_tenant(call.platform, tenant_id)
    secret = SecretValue(body.value.get_secret_value(), body.host)
    call.platform.secrets.put(tenant_id, name, secret, call.origin)
    _log.info("secret_put", tenant_id=tenant_id, name=name, host=body.host)
    return Response(status_code=204)


@secret_routes.get("/v1/tenants/{tenant_id}/secrets")
def list_secrets(tenant_id: TenantId, call: auth.MayRead) -> SecretList:
    """List a tenant's secrets, sorted by name. Their values are never returned."""
    require_tenant(call.platform, tenant_id)
    secrets = call.platform.secrets.of_tenant(tenant_id)
    return SecretList(secrets=[ListedSecret.of(secret) for secret in secrets])


@secret_routes.delete("/v1/tenants/{tenant_id}/secrets/{name}", status_code=204)
@responds_with("SECRET_NOT_FOUND", "SECRETS_UNAVAILABLE")
def delete_secret(
    tenant_id: TenantId,
    name: Annotated[str, Path(description="The secret's name.")],
    call: auth.MayConfigure,
) -> None:
    """Delete a secret. This cannot be undone."""
    is_deleted = False
    if is_id(name):
        is_deleted = call.platform.secrets.remove(tenant_id, name, call.origin)
    if not is_deleted:
        message = f"tenant {tenant_id} has no secret {name}"
        raise ProblemError("SECRET_NOT_FOUND", message)
    _log.info("secret_deleted", tenant_id=tenant_id, name=name)
