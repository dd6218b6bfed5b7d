"""How a supplier's file gets into the bucket: by a form, signed here, good for one file; by a pull.

HTTP alone: the file itself goes to S3, where it starts the tenant's triggers. The sensors make a
pull that is asked for before it is due. Secrets are for pulls; a value is never shown again.
"""

from typing import Annotated

from fastapi import Path, Response

from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http.error_codes import STORED_CONFIG, responds_with
from relay_dagster.api.http.problems import ProblemError, invalid_request
from relay_dagster.api.http.request_parsing import TenantId, request_body, router
from relay_dagster.api.routes.tenants import find_config, require_tenant
from relay_dagster.api.security.auth import MayConfigure, MayRead, MayRun, MayUpload
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.aws.object_store import MAX_BYTES, MAX_KEY_BYTES
from relay_dagster.aws.secrets import SecretValue
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import ID_PATTERN, is_id
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import Action
from relay_dagster.triggers.pulls import PullState, asked, noted
from relay_dagster.wire.access import ListedSecret, SecretList, SecretRequest
from relay_dagster.wire.tenants import PullStanding, UploadLink, UploadRequest
from relay_dagster.wiring import Platform

routes, secret_routes = router("uploads"), router("tenants")
_log = event_log()


@routes.post("/v1/tenants/{tenant_id}/uploads", status_code=201)
@responds_with(
    "TENANT_CLOSING", "UNKNOWN_VENDOR", *STORED_CONFIG, "UPLOAD_QUOTA_EXCEEDED"
)
def make_upload_link(
    tenant_id: TenantId,
    call: MayUpload,
    asked: Annotated[UploadRequest, request_body(UploadRequest)],
) -> UploadLink:
    """Make a link by which one file of a vendor is uploaded, within 15 minutes and without a key.

    A pause of run creation stops no uploads.
    """
    link = sign_upload(asked, find_config(call.platform, tenant_id), call.platform)
    details = {"vendor_id": asked.vendor_id, "expires_at": link.expires_at.isoformat()}
    made = Action.UPLOAD_LINK_CREATED
    entry = call.origin.entry(made, tenant_id, link.key, utc_now(), **details)
    call.platform.deletions.add_link(
        entry, call.platform.settings.max_upload_links_per_day
    )
    _log.info("upload_link_made", tenant_id=tenant_id, key=link.key)
    return link


def sign_upload(
    asked: UploadRequest,
    stored: StoredConfig,
    platform: Platform,
    redirect: str | None = None,
) -> UploadLink:
    """Return the form for a vendor's file, under its key; 422: no such vendor, too long a name."""
    key = prefix_of(asked.vendor_id, stored, platform) + asked.file_name
    if (size := len(key.encode())) > MAX_KEY_BYTES:
        message = (
            f"is too long: with the vendor's prefix it has {size:,} bytes, and S3 takes"
        )
        message = f"{message} {MAX_KEY_BYTES:,}; rename the file"
        raise invalid_request([ConfigFault("file_name", message)])
    max_bytes = min(platform.settings.max_feed_bytes, MAX_BYTES)
    form = platform.objects.upload_form(key, max_bytes, redirect)
    return UploadLink.of(form, key=key, max_bytes=max_bytes)


def prefix_of(vendor_id: str, stored: StoredConfig, platform: Platform) -> str:
    """Return the prefix of a vendor's uploads; 422: the config has no such one, or it has none."""
    vendors = platform.tenants.parsed(stored).vendors
    vendor = next((one for one in vendors if one.vendor_id == vendor_id), None)
    if vendor is None:
        message = f"config version {stored.version} has no vendor {vendor_id!r}"
        raise ProblemError(
            "UNKNOWN_VENDOR", message, errors=[ConfigFault("vendor_id", message)]
        )
    if vendor.inbound.s3_prefix is None:
        message = (
            "is a vendor of inbound.type local, which uploads nothing; set it to s3"
        )
        raise invalid_request([ConfigFault("vendor_id", message)])
    return vendor.inbound.s3_prefix


@routes.post("/v1/tenants/{tenant_id}/vendors/{vendor_id}/pull", status_code=202)
@responds_with("TENANT_CLOSING", "NO_PULL", *STORED_CONFIG)
def ask_for_pull(
    tenant_id: TenantId,
    vendor_id: Annotated[str, Path(description="As the config has it.")],
    call: MayRun,
) -> PullStanding:
    """Let a vendor's file be pulled now, or once the pull under way is over."""
    config = call.platform.tenants.parsed(find_config(call.platform, tenant_id))
    vendor = next(
        (each for each in config.vendors if each.vendor_id == vendor_id), None
    )
    if vendor is None or vendor.inbound.pull is None:
        raise ProblemError(
            "NO_PULL", "the config has no vendor of that id whose file is pulled"
        )
    pull, now = vendor.inbound.pull, utc_now()

    def rule(state: PullState) -> PullState | None:
        # One that no sensor has looked at yet is noted, too.
        return asked(now)(noted(pull, now)(state) or state)

    entry = call.origin.entry(Action.PULL_ASKED, tenant_id, vendor_id, now)
    state = call.platform.pulls.change(tenant_id, vendor_id, rule, audited=entry)
    _log.info("pull_asked", tenant_id=tenant_id, vendor_id=vendor_id)
    return PullStanding() if state is None else PullStanding.of(state)


_Name = Annotated[str, Path(description="A name like an id.", pattern=ID_PATTERN)]


@secret_routes.put("/v1/tenants/{tenant_id}/secrets/{name}", status_code=204)
@responds_with("TENANT_CLOSING", "SECRET_QUOTA_EXCEEDED", "SECRETS_UNAVAILABLE")
def put_secret(
    tenant_id: TenantId,
    name: _Name,
    call: MayConfigure,
    asked: Annotated[SecretRequest, request_body(SecretRequest)],
) -> Response:
    """Keep a secret, for one host alone, in place of one of the name."""
    require_tenant(call.platform, tenant_id)
    secret = SecretValue(asked.value.get_secret_value(), asked.host)
    call.platform.secrets.put(tenant_id, name, secret, call.origin)
    _log.info("secret_put", tenant_id=tenant_id, name=name, host=asked.host)
    return Response(status_code=204)


@secret_routes.get("/v1/tenants/{tenant_id}/secrets")
def list_secrets(tenant_id: TenantId, call: MayRead) -> SecretList:
    """List a tenant's secrets by name: the host that each is for, and since when."""
    require_tenant(call.platform, tenant_id)
    found = call.platform.secrets.of_tenant(tenant_id)
    return SecretList(secrets=[*map(ListedSecret.of, found)])


@secret_routes.delete("/v1/tenants/{tenant_id}/secrets/{name}", status_code=204)
@responds_with("SECRET_NOT_FOUND", "SECRETS_UNAVAILABLE")
def delete_secret(
    tenant_id: TenantId,
    name: Annotated[str, Path(description="As listed.")],
    call: MayConfigure,
) -> None:
    """Delete a secret, for good."""
    if not is_id(name) or not call.platform.secrets.remove(
        tenant_id, name, call.origin
    ):
        raise ProblemError(
            "SECRET_NOT_FOUND", f"tenant {tenant_id} has no secret {name}"
        )
    _log.info("secret_deleted", tenant_id=tenant_id, name=name)
