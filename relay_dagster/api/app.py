"""Puts the API together, and serves it. Makes a fresh app each time; nothing is global."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from fastapi_swagger import patch_fastapi

from relay_dagster.api.http import problems
from relay_dagster.api.http.middleware import RequestFrame
from relay_dagster.api.openapi.document import DescribedApp
from relay_dagster.api.routes import admin, config_checks, health
from relay_dagster.api.routes import feeds as feeds_routes
from relay_dagster.api.routes import runs as runs_routes
from relay_dagster.api.routes import tenants as tenants_routes
from relay_dagster.api.security.api_keys import Keyring
from relay_dagster.api.services import ApiServices
from relay_dagster.aws.clients import BRISK, Clients
from relay_dagster.aws.dynamodb.api_key_store import KeyStore
from relay_dagster.aws.dynamodb.pause_store import PauseStore
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.aws.dynamodb.tenant_store import TenantStore
from relay_dagster.aws.s3.object_store import ObjectStore
from relay_dagster.aws.sqs.job_queue import JobQueue
from relay_dagster.logs import event_log, tell_of_libraries
from relay_dagster.runs.ledger import RunLedger
from relay_dagster.settings import Settings, SettingsError
from relay_dagster.wiring import connect, retry_policy

_BAD_USAGE = 2


def create_app(
    settings: Settings | None = None,
    *,
    runs: RunStore | None = None,
    tenants: TenantStore | None = None,
    queue: JobQueue | None = None,
    feeds: ObjectStore | None = None,
    ledger: RunLedger | None = None,
) -> FastAPI:
    """Return a new app; nothing is sent to AWS before the first request.

    Args:
        settings: read from the environment where they are not given.
        runs: in place of the store that the settings name, as are the others.
        tenants: likewise.
        queue: likewise.
        feeds: likewise.
        ledger: likewise; by default that of ``runs``.

    Raises:
        SettingsError: a variable is missing or bad.
    """
    settings = settings or Settings.from_env(require_api=True)
    platform = connect(settings, BRISK)
    if runs is not None and ledger is None:
        ledger = RunLedger(runs, retry_policy(settings))
    key_store = KeyStore(platform.clients, settings.tenants_table)
    services = ApiServices(
        settings=settings,
        runs=runs or platform.runs,
        tenants=tenants or platform.tenants,
        queue=queue or platform.queue,
        feeds=feeds or platform.feeds,
        ledger=ledger or platform.ledger,
        keyring=Keyring(settings.api_keys, key_store),
        pauses=PauseStore(platform.clients, settings.tenants_table),
    )
    return _assemble(services, platform.clients)


def serve(host: str, port: int) -> None:
    """Serve the API until it is told to stop.

    Raises:
        SystemExit: 2, with one line on standard error, for a variable that is missing or bad.
    """
    try:
        app = create_app()
        _make_clients(app.state.clients)
    except SettingsError as error:
        print(error, file=sys.stderr)
        raise SystemExit(_BAD_USAGE) from None
    tell_of_libraries()
    event_log().info("api_started", host=host, port=port)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )


def _make_clients(clients: Clients) -> None:
    """Make the clients before the first request; a bad region or endpoint shows here."""
    for _ in (clients.dynamodb, clients.sqs, clients.s3, clients.s3_links):
        pass


def _assemble(services: ApiServices, clients: Clients) -> FastAPI:
    app = DescribedApp(
        title="Relay Inventory",
        version="1",
        summary="One exact, priced inventory feed per merchant from many vendors' feeds.",
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    app.state.clients = clients
    for module in (health, tenants_routes, config_checks, feeds_routes, runs_routes, admin):
        app.include_router(module.router)
    # Swagger UI at /docs, from files of its own: nothing is fetched from elsewhere.
    patch_fastapi(app, redirect_from_root_to_docs=False)
    problems.install(app)
    app.add_middleware(RequestFrame)
    return app
