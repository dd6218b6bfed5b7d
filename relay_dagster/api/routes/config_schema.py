"""What a config may hold, for editors that complete and check one while it is written."""

from fastapi import Response

from relay_dagster.api.http.config_schema import config_schema_json
from relay_dagster.api.http.request_parsing import router

routes = router("tenants")


@routes.get("/v1/config.schema.json", include_in_schema=False)
async def get_config_schema() -> Response:
    """Return the JSON Schema of a config; like the OpenAPI document, it is open to everybody."""
    return Response(config_schema_json(), media_type="application/schema+json")
