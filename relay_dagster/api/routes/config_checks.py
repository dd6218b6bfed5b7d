"""Checks of a config that is not stored, and the schema that editors complete it with."""

from typing import Annotated

from fastapi import Response

from relay_core.config import parse_document
from relay_dagster.api import documented_responses
from relay_dagster.api.request_parsing import TenantId, json_body, router
from relay_dagster.http import error_codes
from relay_dagster.http.config_schema import config_schema_json
from relay_dagster.http.security.auth import MayConfigure
from relay_dagster.services.config_checks import check_document
from relay_dagster.services.tenants import require_id
from relay_dagster.wire import config_checks as wire

routes = router("tenants")

# Any JSON object is accepted: the response lists its errors.
_ANY_CONFIG_SCHEMA = {
    "type": "object",
    "additionalProperties": True,
    "description": "A tenant config.",
    "title": "Body",
}
_AnyConfig = Annotated[bytes, json_body(_ANY_CONFIG_SCHEMA)]


@routes.post("/v1/tenants/{tenant_id}/config:check")
@documented_responses.responds_with(
    "PAYLOAD_TOO_LARGE",
    "CONFIG_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    "invalid_config",
    error_codes.INVALID_REQUEST,
    "CHECK_TOO_SLOW",
    "CHECKS_BUSY",
)
def check_config(
    tenant_id: TenantId, call: MayConfigure, body: _AnyConfig
) -> wire.ConfigCheck:
    """Check a config against its rules and against each vendor's latest upload.

    Nothing is stored. The status is also 200 if the config has errors: the response
    lists them.
    """
    require_id(tenant_id)
    document = parse_document(
        body, format="json", limits=call.platform.settings.limits
    )
    return check_document(tenant_id, document, call.parts)


@routes.get("/v1/config.schema.json", include_in_schema=False)
async def get_config_schema() -> Response:
    """Return the JSON Schema of a config. No key is needed for it."""
    return Response(config_schema_json(), media_type="application/schema+json")


# --- the response -------------------------------------------------------------------
