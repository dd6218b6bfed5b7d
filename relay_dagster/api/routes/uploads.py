"""Upload forms: how a vendor's file gets into the bucket without a key.

This is HTTP only. A form posts the file to S3, where it starts the tenant's triggers.
"""

from typing import Annotated

from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http.error_codes import STORED_CONFIG, responds_with
from relay_dagster.api.http.problems import ProblemError, invalid_request
from relay_dagster.api.http.request_parsing import (
    TenantId,
    request_body,
    router,
)
from relay_dagster.api.routes.tenants import find_config
from relay_dagster.api.security.auth import MayUpload
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.aws.object_store import MAX_BYTES, MAX_KEY_BYTES
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import Action
from relay_dagster.wire.tenants import UploadLink, UploadRequest
from relay_dagster.wiring import Platform

routes = router("uploads")
_log = event_log()


@routes.post("/v1/tenants/{tenant_id}/uploads", status_code=201)
@responds_with(
    "TENANT_CLOSING", "UNKNOWN_VENDOR", *STORED_CONFIG, "UPLOAD_QUOTA_EXCEEDED"
)
def make_upload_link(
    tenant_id: TenantId,
    call: MayUpload,
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
            f"is too long: the name and the vendor's prefix have {size:,} bytes, "
            f"but the limit is {MAX_KEY_BYTES:,}; rename the file"
        )
        raise invalid_request([ConfigFault("file_name", message)])
    max_bytes = min(platform.settings.max_feed_bytes, MAX_BYTES)
    form = platform.objects.upload_form(key, max_bytes, redirect)
    return UploadLink.of(form, key=key, max_bytes=max_bytes)


def prefix_of(
    vendor_id: str, stored_config: StoredConfig, platform: Platform
) -> str:
    """Return the prefix of a vendor's uploads in the bucket.

    Raises:
        ProblemError: The config has no such vendor, or the vendor does not upload
            (422).
    """
    config = platform.tenants.parsed(stored_config)
    vendors = {vendor.vendor_id: vendor for vendor in config.vendors}
    vendor = vendors.get(vendor_id)
    if vendor is None:
        message = f"config version {stored_config.version} has no vendor {vendor_id!r}"
        fault = ConfigFault("vendor_id", message)
        raise ProblemError("UNKNOWN_VENDOR", message, errors=[fault])
    if vendor.inbound.s3_prefix is None:
        message = (
            "has inbound.type local, which allows no uploads; set it to s3"
        )
        raise invalid_request([ConfigFault("vendor_id", message)])
    return vendor.inbound.s3_prefix
