"""Assembly of the API: a new app each time, without a call to AWS, and its server."""

import uvicorn
from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from relay_core.sandbox import SandboxPool
from relay_dagster.api.docs_page import add_docs
from relay_dagster.api.openapi_document import DocumentedApp
from relay_dagster.api.routes import (
    api_keys,
    audit,
    config_checks,
    deletions,
    deliveries,
    feed_links,
    feeds,
    health,
    linked_feeds,
    overrides,
    pauses,
    pulls,
    runs,
    secrets,
    sessions,
    skus,
    statuses,
    tenants,
    uploads,
    webhooks,
)
from relay_dagster.aws.clients import SHORT_TIMEOUTS
from relay_dagster.http import problems
from relay_dagster.http.connections import server_options
from relay_dagster.http.engine_tasks import EngineTasks, TaskSlots
from relay_dagster.http.limits import DEFAULT_API_LIMITS, ApiLimits
from relay_dagster.http.middleware import RequestFrame
from relay_dagster.http.readiness import ReadinessProbe
from relay_dagster.http.security.api_keys import (
    CallerRates,
    Keyring,
    read_admin_keys,
    refuse_unsafe,
)
from relay_dagster.http.security.auth import Parts
from relay_dagster.http.security.links import LinkReaders
from relay_dagster.http.security.rate_limits import TokenBuckets, WrongKeys
from relay_dagster.http.security.sessions import Sessions
from relay_dagster.logs import event_log, log_libraries
from relay_dagster.settings import Settings
from relay_dagster.web import (
    earlier_feeds,
    overview,
    sign_in,
    suppliers,
    vendors,
)
from relay_dagster.web import runs as run_pages
from relay_dagster.web import skus as sku_pages
from relay_dagster.web.settings import (
    columns,
    history,
    items,
    links,
    pages,
    people,
    rules,
)
from relay_dagster.web.settings import deliveries as delivery_pages
from relay_dagster.web.settings import vendors as vendor_settings
from relay_dagster.wiring import Platform, connect

_ROUTERS = (
    health.routes,
    tenants.routes,
    deletions.routes,
    api_keys.routes,
    sessions.routes,
    statuses.routes,
    config_checks.routes,
    uploads.routes,
    pulls.routes,
    secrets.routes,
    feeds.tenant_routes,
    feed_links.routes,
    deliveries.routes,
    runs.routes,
    skus.routes,
    overrides.routes,
    feeds.routes,
    webhooks.routes,
    pauses.routes,
    audit.routes,
)
"""The routers of `/v1`, in the order of the OpenAPI document."""
_PAGE_ROUTERS = (
    overview.routes,
    earlier_feeds.routes,
    run_pages.routes,
    vendors.routes,
    sku_pages.routes,
    suppliers.routes,
    history.routes,
    rules.routes,
    columns.routes,
    items.routes,
    vendor_settings.routes,
    links.routes,
    delivery_pages.routes,
    people.routes,
    pages.routes,  # the last of the settings, because of its route of all slugs
    sign_in.routes,  # the last, because its route of unknown pages matches every path
)
ENGINE_MODULES = (
    "relay_core.onboarding.feed_check",
    "relay_core.publish.explaining.explanation",
)
"""The engine's modules that the sandboxes load; the API's own process stays small."""


def create_app(
    platform: Platform | None = None, *, limits: ApiLimits = DEFAULT_API_LIMITS
) -> FastAPI:
    """Return a new app, which sends nothing to AWS before its first request.

    The platform defaults to the one that the environment describes.

    Raises:
        SettingsError: An environment variable is missing or not valid.
    """
    if platform is None:
        platform = connect(Settings.from_env(require_api=True), SHORT_TIMEOUTS)
    app = DocumentedApp(
        title="Relay Inventory",
        version="1",
        summary="One exact, priced inventory feed per merchant from many vendors' "
        "feeds.",
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
    )
    app.state.parts = _parts(platform, limits)
    for router in (*_ROUTERS, *_PAGE_ROUTERS):
        app.router.routes.extend(router.routes)
    app.add_api_route(
        "/f/{token}",
        linked_feeds.read_linked_feed,
        methods=["GET", "HEAD"],
        include_in_schema=False,
    )
    add_docs(app)
    problems.install(app)
    settings = platform.settings
    app.add_middleware(
        RequestFrame, max_body_bytes=settings.max_body_bytes, limits=limits
    )
    if settings.trusted_proxies:
        proxies = list(settings.trusted_proxies)
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=proxies)
    return app


def _parts(platform: Platform, limits: ApiLimits) -> Parts:
    """Return the parts that the routes of one app share."""
    settings = platform.settings
    wrong_keys = WrongKeys(limits.wrong_keys_per_minute)
    # Any page that is open in an office's browser can send wrong cookies and links, so
    # they do not keep the office from using its keys.
    wrong_tokens = WrongKeys(
        limits.wrong_keys_per_minute,
        reason="too many wrong links or sessions from this address",
    )
    admin_keys = read_admin_keys(settings.api_keys, settings.read_only_admins)
    tests_per_minute = limits.webhook_tests_per_minute
    too_many_tests = f"a tenant may test its webhooks at most {tests_per_minute} times a minute"
    sandboxes = SandboxPool(ENGINE_MODULES, memory_bytes=limits.task_bytes)
    return Parts(
        platform,
        keyring=Keyring(admin_keys, platform.api_keys, wrong_keys),
        sessions=Sessions(platform.sessions, platform.api_keys, wrong_tokens),
        link_readers=LinkReaders(platform.links, wrong_tokens, limits),
        rates=CallerRates(
            settings.rate_limit_per_minute, limits.burst, limits.at_work
        ),
        webhook_tests=TokenBuckets(
            per_minute=tests_per_minute,
            burst=tests_per_minute,
            reason=too_many_tests,
        ),
        readiness=ReadinessProbe(platform, limits.ready_seconds),
        tasks=EngineTasks(sandboxes, TaskSlots(limits), limits),
    )


def serve(host: str, port: int) -> None:
    """Serve the API until a signal ends the process.

    Raises:
        SettingsError: An environment variable is missing or not valid, or it would let
            everyone in at an address that other machines can reach.
    """
    app = create_app()
    platform: Platform = app.state.parts.platform
    refuse_unsafe(platform.settings, host)
    # Each client is made now, so that the first requests do not wait for it.
    for service in ("dynamodb", "sqs", "s3", "s3_links"):
        getattr(platform.clients, service)
    log_libraries()
    event_log().info("api_started", host=host, port=port)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        # The app itself reads forwarded headers, and only those of trusted proxies.
        proxy_headers=False,
        timeout_graceful_shutdown=10,
        **server_options(DEFAULT_API_LIMITS),
    )
