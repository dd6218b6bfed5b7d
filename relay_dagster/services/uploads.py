"""Uploads of vendors' files: the signed forms, and the inputs that take them."""

from relay_core.config.inputs.tenant_inputs import Input, inputs_of
from relay_core.domain.errors import ConfigFault
from relay_core.domain.input_names import name_of
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.aws.object_store import MAX_BYTES, MAX_KEY_BYTES
from relay_dagster.http.problems import ProblemError, invalid_request
from relay_dagster.wire.tenants import UploadLink
from relay_dagster.wiring import Platform


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
