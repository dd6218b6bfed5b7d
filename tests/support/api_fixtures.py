"""The API on embedded AWS: in this process, or behind a server for tests that do much at once."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from relay_dagster.aws.clients import Timeouts
from relay_dagster.server.app import create_app
from relay_dagster.settings import Settings
from relay_dagster.wiring import Platform, connect
from support.api_world import ApiWorld
from support.fakes import embedded_platform, served_platform


@pytest.fixture(autouse=True, scope="session")
def one_event_loop() -> Iterator[None]:
    """Let all clients share an event loop with its threads; they would start one a call."""
    with TestClient(FastAPI()) as client, pytest.MonkeyPatch.context() as patch:
        patch.setattr(TestClient, "portal", client.portal)
        yield


@pytest.fixture
def world() -> Iterator[ApiWorld]:
    with embedded_platform(
        dagster_webserver_url="http://dagster.test"
    ) as platform:
        yield ApiWorld(platform)


@pytest.fixture(scope="session")
def unplugged_platform() -> Platform:
    """A platform with nothing behind it, made once: clients take longer to make than a test."""
    settings = Settings(
        artifact_bucket="bucket",
        runs_table="runs",
        tenants_table="tenants",
        queue_url="http://127.0.0.1:9/jobs",
        dlq_url="http://127.0.0.1:9/dlq",
        region="us-east-1",
        api_keys=("admin-key",),
    )
    return connect(
        settings, Timeouts(connect_seconds=1, read_seconds=1, tries=1)
    )


@pytest.fixture
def unplugged(
    unplugged_platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> ApiWorld:
    """An app with nothing behind it: nothing listens where its stores should be."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    return ApiWorld(unplugged_platform)


@pytest.fixture(scope="session")
def document(unplugged_platform: Platform) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    return create_app(unplugged_platform).openapi()


@pytest.fixture
def served_world() -> Iterator[ApiWorld]:
    with served_platform() as platform:
        yield ApiWorld(platform)
