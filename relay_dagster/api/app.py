"""Puts the API together, a fresh app each time without a call to AWS, and serves it."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI
from fastapi_swagger import patch_fastapi
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from relay_core.sandbox import SandboxPool
from relay_dagster.api.engine_tasks import Explainer, FeedChecker, TaskSlots
from relay_dagster.api.http import problems
from relay_dagster.api.http.connections import server_options
from relay_dagster.api.http.middleware import RequestFrame
from relay_dagster.api.http.openapi_document import DescribedApp
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
from relay_dagster.api.security.api_keys import CallerRates, Keyring, read_admin_keys, refuse_unsafe
from relay_dagster.api.security.bearers import LinkReaders, Sessions
from relay_dagster.api.security.rate_limits import TokenBuckets, WrongKeys
from relay_dagster.api.web import overview, sign_in, suppliers, vendors
from relay_dagster.api.web import runs as run_pages
from relay_dagster.api.web import skus as sku_pages
from relay_dagster.aws.clients import SHORT_TIMEOUTS
from relay_dagster.logs import event_log, log_libraries
from relay_dagster.settings import Settings
from relay_dagster.wiring import Platform, connect

_ROUTES = (
    *(health.routes, tenants.routes, access.routes, statuses.routes, config_checks.routes),
    *(uploads.routes, uploads.secret_routes, feeds.of_tenants, feed_links.routes, runs.routes),
    *(skus.routes, feeds.routes, webhooks.routes, tenants.pause_routes, access.audit_routes),
)
"""In the order in which the document has them."""
_PAGES = tuple(
    each.routes for each in (overview, run_pages, vendors, sku_pages, suppliers, sign_in)
)
ENGINE_MODULES = ("relay_core.onboarding.feed_check", "relay_core.publish.explanation")
"""The engine's, which the sandboxes load: the API's own process stays light."""


def create_app(
    platform: Platform | None = None, *, limits: ApiLimits = DEFAULT_API_LIMITS
) -> FastAPI:
    """Return a new app; nothing is sent to AWS before the first request.

    It works with a platform, by default with the one that the environment names.

    Raises:
        SettingsError: a variable is missing or bad.
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
    app.state.platform = platform
    app.state.readiness = ReadinessProbe(platform, limits.ready_seconds)
    sandboxes = SandboxPool(ENGINE_MODULES, memory_bytes=limits.task_bytes)
    slots = TaskSlots(limits)
    app.state.feed_checker = FeedChecker(sandboxes, slots, limits)
    app.state.explainer = Explainer(sandboxes, slots, limits)
    settings = platform.settings
    wrong_keys = WrongKeys(limits.wrong_keys_per_minute)
    app.state.keyring = Keyring(read_admin_keys(settings.api_keys), platform.api_keys, wrong_keys)
    app.state.sessions = Sessions(platform.sessions, platform.api_keys, wrong_keys)
    app.state.link_readers = LinkReaders(platform.links, wrong_keys, limits)
    app.state.rates = CallerRates(settings.rate_limit_per_minute, limits.burst, limits.at_work)
    tests = limits.webhook_tests_per_minute
    app.state.webhook_tests = TokenBuckets(
        tests, tests, what=f"a tenant's webhooks are tested {tests} times a minute at the most"
    )
    for router in (*_ROUTES, *_PAGES):
        app.router.routes.extend(router.routes)
    app.add_api_route(
        "/f/{token}", read_linked_feed, methods=["GET", "HEAD"], include_in_schema=False
    )
    # Swagger UI at /docs, from files of its own: nothing is fetched from elsewhere.
    patch_fastapi(app, redirect_from_root_to_docs=False)
    problems.install(app)
    app.add_middleware(RequestFrame, max_body_bytes=settings.max_body_bytes, limits=limits)
    if settings.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))
    return app


def serve(host: str, port: int) -> None:
    """Serve the API until it is told to stop; `SettingsError`: a variable is bad, or too unsafe."""
    app = create_app()
    refuse_unsafe(app.state.platform.settings, host)
    clients = app.state.platform.clients
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
        # The app itself looks at them, and believes those it is told to.
        proxy_headers=False,
        timeout_graceful_shutdown=10,
        **server_options(DEFAULT_API_LIMITS),
    )
