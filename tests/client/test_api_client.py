"""The API's calls over HTTP: where the key goes, and what is not the API's answer."""

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from relay_dagster.client.api_client import ApiClient
from relay_dagster.client.errors import (
    BadUsageError,
    NoResponseError,
    UnexpectedResponseError,
)
from relay_dagster.client.links import download, download_to
from support.api_world import ADMIN
from support.client_world import ClientWorld


class Stranger(ThreadingHTTPServer):
    """Another server: answers as it was told to, and keeps the headers that it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.status = 200
        self.headers = {"Content-Type": "text/html"}
        self.body = b"<html>"
        self.seen: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: Stranger

    def do_GET(self) -> None:
        self.server.seen.append(
            {name.lower(): value for name, value in self.headers.items()}
        )
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *values: object) -> None:
        return None


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    with Stranger() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_runs_follow_the_cursor_up_to_the_limit_and_no_further(
    world: ClientWorld,
) -> None:
    run_ids = [
        world.api.post_run(tenant_id=f"t{number}").json()["run_id"]
        for number in range(5)
    ][::-1]
    with ApiClient(world.url, ADMIN, page_size=2) as api:
        for limit in (1, 2, 3, 5, 9):
            listed = [run.run_id for run in api.runs(None, None, limit)]
            assert listed == run_ids[:limit]


def test_the_key_is_not_sent_to_where_a_link_leads(stranger: Stranger) -> None:
    assert (
        download("errors.json", f"{stranger.url}/errors.json?X-Amz-Signature=1")
        == b"<html>"
    )
    (headers,) = stranger.seen
    assert "x-api-key" not in headers


def test_the_key_is_not_sent_on_to_where_a_redirect_leads(
    stranger: Stranger,
) -> None:
    stranger.status = 307
    stranger.headers = {"Location": f"{stranger.url}/elsewhere"}
    with (
        ApiClient(stranger.url, ADMIN) as api,
        pytest.raises(UnexpectedResponseError) as caught,
    ):
        api.run("r")
    assert f"{stranger.url}/elsewhere" in str(caught.value)
    assert [headers["x-api-key"] for headers in stranger.seen] == [ADMIN]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"),
        (200, b"[]"),
        (200, json.dumps({"status": "ok"}).encode()),
        (502, b"<html>bad gateway"),
        (404, json.dumps({"detail": "Not Found"}).encode()),
    ],
    ids=["page", "list", "other-json", "gateway", "other-problem"],
)
def test_what_is_no_answer_of_the_api_is_told_as_that(
    stranger: Stranger, status: int, body: bytes
) -> None:
    stranger.status = status
    stranger.body = body
    with (
        ApiClient(stranger.url, None) as api,
        pytest.raises(UnexpectedResponseError) as caught,
    ):
        api.run("r")
    assert "not a response of the Relay API" in str(caught.value)


def test_a_link_that_has_expired_is_told_with_its_status(
    stranger: Stranger,
) -> None:
    stranger.status = 403
    with pytest.raises(
        UnexpectedResponseError,
        match=r"errors\.json cannot be .* 403 Forbidden",
    ):
        download("errors.json", f"{stranger.url}/errors.json")


def test_a_links_host_that_is_not_reachable_is_named_with_the_variable_that_sets_it() -> (
    None
):
    with pytest.raises(
        NoResponseError, match=r"127\.0\.0\.1:9 .* RELAY_PUBLIC_S3_ENDPOINT_URL"
    ):
        download("errors.json", "http://127.0.0.1:9/errors.json")


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host", "http://", "", "http://[::1"]
)
def test_an_address_that_is_none_is_refused_before_anything_is_sent(
    url: str,
) -> None:
    with pytest.raises(BadUsageError, match="RELAY_API_URL"):
        ApiClient(url, None)


def test_a_file_is_written_as_it_is_stored_whatever_encoding_its_upload_named(
    stranger: Stranger, tmp_path: Path
) -> None:
    stranger.body = gzip.compress(b"sku,quantity_available\n")
    stranger.headers = {"Content-Encoding": "gzip"}
    sha256 = download_to(
        tmp_path / "feed", "inbound_vendor_1", f"{stranger.url}/feed"
    )
    assert (tmp_path / "feed").read_bytes() == stranger.body
    assert sha256 == hashlib.sha256(stranger.body).hexdigest()
