"""Clients against the API on a port, with embedded AWS behind it; empty for each test."""

import os
from collections.abc import Iterator

import httpx
import pytest

from support.api_world import ApiWorld
from support.bootstrapped_aws import bootstrapped, put_back
from support.client_world import ClientWorld, served
from support.fakes import served_platform


@pytest.fixture(scope="module")
def served_world() -> Iterator[ClientWorld]:
    """Start both servers once; starting and ending them takes longer than a test."""
    with served_platform(public_url="https://relay.test") as platform:
        api = ApiWorld(platform)
        with served(api) as url:
            yield ClientWorld(api, url, os.environ["AWS_ENDPOINT_URL"])


@pytest.fixture
def world(
    served_world: ClientWorld, monkeypatch: pytest.MonkeyPatch
) -> ClientWorld:
    monkeypatch.setenv("AWS_ENDPOINT_URL", served_world.aws_url)
    httpx.post(f"{served_world.aws_url}/moto-api/reset", trust_env=False)
    _, states = bootstrapped()
    put_back(states)
    return served_world
