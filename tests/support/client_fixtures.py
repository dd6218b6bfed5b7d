"""Clients against the API on a port, with embedded AWS behind it; empty for each test."""

from collections.abc import Iterator

import httpx
import pytest

from support.api_world import ApiWorld
from support.bootstrapped_aws import State, copy_of_all, put_back
from support.client_world import ClientWorld, served
from support.fakes import served_platform


@pytest.fixture(scope="module")
def served_world() -> Iterator[ClientWorld]:
    """Start both servers once; starting and ending them takes longer than a test."""
    with served_platform(public_url="https://relay.test") as platform:
        api = ApiWorld(platform)
        with served(api) as url:
            yield ClientWorld(api, url)


@pytest.fixture(scope="module")
def bootstrapped(served_world: ClientWorld) -> State:
    """What the platform stores before anything happens: bootstrapped once a module."""
    return copy_of_all()


@pytest.fixture
def world(
    served_world: ClientWorld, bootstrapped: State, monkeypatch: pytest.MonkeyPatch
) -> ClientWorld:
    endpoint = served_world.platform.clients.s3.meta.endpoint_url
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    httpx.post(f"{endpoint}/moto-api/reset", trust_env=False)
    put_back(bootstrapped)
    return served_world
