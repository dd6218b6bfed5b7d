"""Upload forms: how a vendor's file gets into the bucket without a key.

This is HTTP only. A form posts the file to S3, where it starts the tenant's triggers.
"""

from typing import Annotated

from relay_core.domain.errors import ConfigFault
from relay_dagster.api.documented_responses import STORED_CONFIG, responds_with
from relay_dagster.api.request_parsing import (
    TenantId,
    request_body,
    router,
)
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.http.problems import invalid_request
from relay_dagster.http.security.auth import MayUpload
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.services.tenants import find_config
from relay_dagster.services.uploads import input_with_uploads, sign_key
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


def _input_detail(body: UploadRequest) -> dict[str, str]:
    """Return the input of an upload as details of the audit log."""
    if body.part_id is None:
        return {"vendor_id": body.vendor_id}
    return {"vendor_id": body.vendor_id, "part_id": body.part_id}
