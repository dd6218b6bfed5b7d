"""The API on embedded AWS: in this process, or behind a server for tests that do much at once."""

from collections.abc import Iterator

import httpx
import pytest
from moto.server import ThreadedMotoServer

from api_world import ApiWorld
from fakes import embedded_platform
from relay_dagster.aws.bootstrap import Names, bootstrap
from relay_dagster.aws.clients import Patience
from relay_dagster.aws.platform import connect
from relay_dagster.settings import Settings


@pytest.fixture
def world() -> Iterator[ApiWorld]:
    with embedded_platform(dagster_webserver_url="http://dagster.test") as platform:
        yield ApiWorld(platform)


@pytest.fixture
def unplugged(monkeypatch: pytest.MonkeyPatch) -> ApiWorld:
    """An app with nothing behind it: nothing listens where its stores should be."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    settings = Settings(
        artifact_bucket="bucket",
        runs_table="runs",
        tenants_table="tenants",
        queue_url="http://127.0.0.1:9/jobs",
        dlq_url="http://127.0.0.1:9/dlq",
        region="us-east-1",
        api_keys=("admin-key",),
    )
    return ApiWorld(connect(settings, Patience(connect_seconds=1, read_seconds=1, tries=1)))


@pytest.fixture
def served_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiWorld]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # Its state is this process's, and outlives it.
    httpx.post(f"http://{host}:{port}/moto-api/reset", trust_env=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    variables = dict(bootstrap(Names(region="us-east-1")))
    settings = Settings.from_env({**variables, "AWS_REGION": "us-east-1", "API_KEYS": "admin-key"})
    yield ApiWorld(connect(settings))
    server.stop()
