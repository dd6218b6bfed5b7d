"""Clients against the API on a port, with embedded AWS behind it; empty for each test."""

from collections.abc import Iterator

import httpx
import pytest

from relay_dagster.aws.provisioning.bootstrap import Names, bootstrap
from support.api_world import ApiWorld
from support.client_world import ClientWorld, served
from support.fakes import served_platform


@pytest.fixture(scope="module")
def served_world() -> Iterator[ClientWorld]:
    """Start both servers once; starting and ending them takes longer than a test."""
    with served_platform() as platform:
        api = ApiWorld(platform)
        with served(api) as url:
            yield ClientWorld(api, url)


@pytest.fixture
def world(served_world: ClientWorld, monkeypatch: pytest.MonkeyPatch) -> ClientWorld:
    clients = served_world.platform.clients
    endpoint = clients.s3.meta.endpoint_url
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    httpx.post(f"{endpoint}/moto-api/reset", trust_env=False)
    bootstrap(Names(region="us-east-1"), clients)
    return served_world
