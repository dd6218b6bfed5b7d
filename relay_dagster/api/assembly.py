"""Puts the API together, a fresh app each time without a call to AWS, and serves it."""

from functools import cache
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi_swagger import patch_fastapi
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from relay_core.sandbox import SandboxPool
from relay_dagster.api.engine_tasks import EngineTasks, TaskSlots
from relay_dagster.api.http import problems
from relay_dagster.api.http.config_schema import REFERENCE, config_schemas
from relay_dagster.api.http.connections import server_options
from relay_dagster.api.http.error_codes import described, documented
from relay_dagster.api.http.middleware import RequestFrame
from relay_dagster.api.http.request_parsing import StrictRoute
from relay_dagster.api.limits import DEFAULT_API_LIMITS, ApiLimits
from relay_dagster.api.readiness import ReadinessProbe
from relay_dagster.api.routes import (
    access,
    config_checks,
    feed_links,
    feeds,
    health,
    runs,
    skus,
    statuses,
    tenants,
    uploads,
    webhooks,
)
from relay_dagster.api.routes.feed_links import read_linked_feed
from relay_dagster.api.security.api_keys import (
    CallerRates,
    Keyring,
    read_admin_keys,
    refuse_unsafe,
)
from relay_dagster.api.security.auth import Parts
from relay_dagster.api.security.bearers import LinkReaders, Sessions
from relay_dagster.api.security.rate_limits import TokenBuckets, WrongKeys
from relay_dagster.api.web import frame, overview, suppliers, vendors
from relay_dagster.api.web import runs as run_pages
from relay_dagster.api.web import skus as sku_pages
from relay_dagster.aws.clients import SHORT_TIMEOUTS
from relay_dagster.logs import event_log, log_libraries
from relay_dagster.settings import Settings
from relay_dagster.wire.base import Problem, examples
from relay_dagster.wiring import Platform, connect

_ROUTES = (
    *(
        health.routes,
        tenants.routes,
        access.routes,
        statuses.routes,
        config_checks.routes,
    ),
    *(
        uploads.routes,
        uploads.secret_routes,
        feeds.of_tenants,
        feed_links.routes,
        runs.routes,
    ),
    *(
        skus.routes,
        feeds.routes,
        webhooks.routes,
        tenants.pause_routes,
        access.audit_routes,
    ),
)
"""In the order in which the document has them."""
_PAGES = tuple(
    each.routes for each in (overview, run_pages, vendors, sku_pages, suppliers, frame)
)
ENGINE_MODULES = ("relay_core.onboarding.feed_check", "relay_core.publish.explanation")
"""The engine's, which the sandboxes load: the API's own process stays light."""


class DescribedApp(FastAPI):
    """An app whose document also describes errors, the headers of all answers, and configs."""

    def setup(self) -> None:
        """Serve the document as bytes that are made once: anybody may ask for it, at any pace."""

        @cache
        def body() -> bytes:
            return bytes(JSONResponse(self.openapi()).body)

        async def document(_: Request) -> Response:
            return Response(body(), media_type="application/json")

        self.add_route(str(self.openapi_url), document, include_in_schema=False)
        super().setup()

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        if self.openapi_schema is None:
            for route in self.routes:
                if isinstance(route, StrictRoute):
                    route.describe()
            document = super().openapi()
            schemas = document["components"]["schemas"]
            # FastAPI's own error bodies, which this API does not answer with.
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            schemas |= {
                name: _without_defaults(each) for name, each in config_schemas().items()
            }
            problem = Problem.model_json_schema(
                ref_template=REFERENCE, mode="serialization"
            )
            schemas["Problem"] = {
                name: each for name, each in problem.items() if name != "$defs"
            }
            for name in schemas.keys() & examples().keys():
                schemas[name]["examples"] = [
                    examples()[name]
                ]  # FastAPI leaves out nulls in one
            check = document["paths"]["/v1/tenants/{tenant_id}/config:check"]["post"]
            (sent,) = check["requestBody"][
                "content"
            ].values()  # any object, which has no model
            sent["examples"] = {"config": {"value": examples()["TenantConfig"]}}
            for path in document["paths"].values():
                for operation in path.values():
                    answers = operation["responses"]
                    if "HTTPValidationError" in str(answers.get("422")):
                        del answers["422"]
                    internal = documented("INTERNAL_ERROR").items()
                    answers |= {str(status): each for status, each in internal}
                    for each in answers.values():
                        each["headers"] = {
                            **each.get("headers", {}),
                            **described("X-Request-Id"),
                        }
        return self.openapi_schema or {}


def _without_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a section of a config without defaults that are lists or mappings.

    Generators of clients drop what has one beside a null, and whatever refers to it; the document
    at ``/v1/config.schema.json`` has them all.
    """
    fields = {
        name: {
            k: v
            for k, v in each.items()
            if k != "default" or not isinstance(v, list | dict)
        }
        for name, each in schema.get("properties", {}).items()
    }
    return {**schema, "properties": fields} if fields else schema


def create_app(
    platform: Platform | None = None, *, limits: ApiLimits = DEFAULT_API_LIMITS
) -> FastAPI:
    """Return a new app; nothing is sent to AWS before the first request.

    The platform is by default the one that the environment names; `SettingsError`: it is bad.
    """
    platform = platform or connect(Settings.from_env(require_api=True), SHORT_TIMEOUTS)
    app = DescribedApp(
        title="Relay Inventory",
        version="1",
        summary="One exact, priced inventory feed per merchant from many vendors' feeds.",
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
    )
    sandboxes = SandboxPool(ENGINE_MODULES, memory_bytes=limits.task_bytes)
    settings = platform.settings
    wrong_keys, tests = (
        WrongKeys(limits.wrong_keys_per_minute),
        limits.webhook_tests_per_minute,
    )
    app.state.parts = Parts(
        platform,
        keyring=Keyring(
            read_admin_keys(settings.api_keys), platform.api_keys, wrong_keys
        ),
        sessions=Sessions(platform.sessions, platform.api_keys, wrong_keys),
        link_readers=LinkReaders(platform.links, wrong_keys, limits),
        rates=CallerRates(settings.rate_limit_per_minute, limits.burst, limits.at_work),
        webhook_tests=TokenBuckets(
            tests,
            tests,
            what=f"a tenant's webhooks are tested {tests} times a minute at the most",
        ),
        readiness=ReadinessProbe(platform, limits.ready_seconds),
        tasks=EngineTasks(sandboxes, TaskSlots(limits), limits),
    )
    for router in (*_ROUTES, *_PAGES):
        app.router.routes.extend(router.routes)
    app.add_api_route(
        "/f/{token}", read_linked_feed, methods=["GET", "HEAD"], include_in_schema=False
    )
    # Swagger UI at /docs, from files of its own: nothing is fetched from elsewhere.
    patch_fastapi(app, redirect_from_root_to_docs=False)
    problems.install(app)
    app.add_middleware(
        RequestFrame, max_body_bytes=settings.max_body_bytes, limits=limits
    )
    if settings.trusted_proxies:
        app.add_middleware(
            ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies)
        )
    return app


def serve(host: str, port: int) -> None:
    """Serve the API until a signal ends it; `SettingsError`: a variable is bad, or too unsafe."""
    app = create_app()
    platform: Platform = app.state.parts.platform
    refuse_unsafe(platform.settings, host)
    clients = platform.clients
    for _ in (clients.dynamodb, clients.sqs, clients.s3, clients.s3_links):
        pass
    log_libraries()
    event_log().info("api_started", host=host, port=port)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        # The app itself reads forwarded headers, of trusted proxies alone.
        proxy_headers=False,
        timeout_graceful_shutdown=10,
        **server_options(DEFAULT_API_LIMITS),
    )
