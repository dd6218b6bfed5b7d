"""Upload forms: how a vendor's file gets into the bucket without a key.

This is HTTP only. A form posts the file to S3, where it starts the tenant's triggers.
"""

from typing import Annotated

from relay_core.config.inputs.tenant_inputs import Input, inputs_of
from relay_core.domain.errors import ConfigFault
from relay_core.domain.input_names import name_of
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
    """Create a form that uploads one file of a vendor, or of one of its parts.

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
        **_input_detail(body),
        expires_at=link.expires_at.isoformat(),
    )
    links_per_day = call.platform.settings.max_upload_links_per_day
    call.platform.deletions.add_link(entry, links_per_day)
    _log.info("upload_link_made", tenant_id=tenant_id, key=link.key)
    return link


def sign_upload(
    body: UploadRequest, stored_config: StoredConfig, platform: Platform
) -> UploadLink:
    """Return the signed form for a vendor's file.

    Raises:
        ProblemError: The config has no such vendor or part, it takes no uploads, or the
            file name is too long, or no run reads a file with it (422).
    """
    tenant_input = input_with_uploads(
        stored_config, platform, body.vendor_id, body.part_id
    )
    key = f"{tenant_input.prefix}{body.file_name}"
    changes = tenant_input.part.changes
    if changes is not None and not tenant_input.takes(key):
        message = (
            f'must match either changes.full ("{changes.full}") or changes.delta '
            f'("{changes.delta}"), and not both; otherwise no run reads the file'
        )
        raise invalid_request([ConfigFault("file_name", message)])
    return sign_key(key, platform)


def sign_key(
    key: str, platform: Platform, redirect: str | None = None
) -> UploadLink:
    """Return the signed form for a key.

    A key that ends in ``${filename}`` allows any name there. After the upload, S3
    redirects the browser to ``redirect`` if it is set.

    Raises:
        ProblemError: The key is too long (422).
    """
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


def input_with_uploads(
    stored_config: StoredConfig,
    platform: Platform,
    vendor_id: str,
    part_id: str | None = None,
) -> Input:
    """Return an input of a config that takes uploads: a vendor's base, or a part of it.

    Raises:
        ProblemError: The config has no such vendor or part, or it takes no uploads
            (422).
    """
    inputs = inputs_of(platform.tenants.parsed(stored_config))
    version = stored_config.version
    if vendor_id not in inputs:
        message = f"config version {version} has no vendor {vendor_id!r}"
        fault = ConfigFault("vendor_id", message)
        raise ProblemError("UNKNOWN_VENDOR", message, errors=[fault])
    tenant_input = inputs.get(name_of(vendor_id, part_id))
    if tenant_input is None:
        message = (
            f"vendor {vendor_id!r} of config version {version} has no part "
            f"{part_id!r}"
        )
        raise invalid_request([ConfigFault("part_id", message)])
    if tenant_input.prefix is None:
        field = "vendor_id" if part_id is None else "part_id"
        message = (
            "has inbound.type local, which allows no uploads; set it to s3"
        )
        raise invalid_request([ConfigFault(field, message)])
    return tenant_input


def _input_detail(body: UploadRequest) -> dict[str, str]:
    """Return the input of an upload as details of the audit log."""
    if body.part_id is None:
        return {"vendor_id": body.vendor_id}
    return {"vendor_id": body.vendor_id, "part_id": body.part_id}
