"""`relay vendors upload`: a file's way into the bucket, and what is told where there is none."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from relay_dagster.client.errors import NoResponseError, UnexpectedResponseError
from relay_dagster.client.links import send_file
from relay_dagster.wire.tenants import UploadLink
from support.api_world import TENANT
from support.builders import part_document, vendor_document
from support.client_world import ClientWorld, Told

KEY = "tenants/acme/inbound/vendor_1/stock.csv"
PART = "tenants/acme/inbound/part_prices/"
PULL = {"url": "https://files.example.com/prices.csv"}
TOO_LARGE = (
    b"<Error><Code>EntityTooLarge</Code>"
    b"<Message>Your proposed upload exceeds the maximum</Message>"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "stock.csv"
    path.write_bytes(b"sku,quantity_available\nA-1,5\n")
    return path


def upload(world: ClientWorld, path: Path, vendor_id: str = "vendor_1") -> Told:
    return world.relay("vendors", "upload", TENANT, vendor_id, str(path))


class Receiver(ThreadingHTTPServer):
    """Stands where S3 should be: takes a form, or answers as it was told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Takes)
        self.status = 204
        self.body = b""
        self.head = b""
        self.length = 0
        self.headers = dict[str, str]()

    def form(self, max_bytes: int = 1 << 40) -> UploadLink:
        return UploadLink(
            url=f"http://127.0.0.1:{self.server_port}/bucket",
            fields={"key": KEY, "policy": "p"},
            key=KEY,
            max_bytes=max_bytes,
            expires_at="2026-03-01T12:15:00Z",
        )


class _Takes(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        server = self.server
        remaining = int(self.headers["Content-Length"])
        server.length = remaining
        server.headers = {
            name.lower(): value for name, value in self.headers.items()
        }
        while remaining:
            piece = self.rfile.read(min(remaining, 1 << 16))
            server.head = server.head or piece[:2000]
            remaining -= len(piece)
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, format: str, *values: object) -> None:
        return None


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def peak_of_memory() -> Iterator[list[int]]:
    peaks: list[int] = []
    tracemalloc.start()
    try:
        yield peaks
        peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


# --- relay vendors upload -------------------------------------------------------------------------


def test_a_file_lies_under_the_key_that_is_printed(
    world: ClientWorld, file: Path
) -> None:
    world.api.store_config()
    result = upload(world, file)
    assert (result.exit_code, result.stdout) == (0, f"{KEY}\n")
    assert world.platform.objects.read(KEY) == file.read_bytes()


def test_a_file_of_a_part_is_named_vendor_and_part(
    world: ClientWorld, file: Path
) -> None:
    part = part_document(
        inbound={"type": "s3", "s3_prefix": PART, "pull": PULL}
    )
    world.api.store_config(vendor_document(parts=[part]))
    result = upload(world, file, "vendor_1/prices")
    assert (result.exit_code, result.stdout) == (0, f"{PART}stock.csv\n")
    assert world.platform.objects.read(f"{PART}stock.csv") == file.read_bytes()
    refused = upload(world, file, "vendor_1/nothing")
    assert refused.exit_code == 1
    assert "has no part 'nothing'" in refused.stderr
    pulled = world.relay("vendors", "pull", TENANT, "vendor_1/prices")
    assert pulled.exit_code == 0
    assert "The file of vendor_1/prices is being pulled." in pulled.stdout
    assert world.relay("vendors", "pull", TENANT, "vendor_1").exit_code == 1


@pytest.mark.parametrize(
    ("triggers", "sentence"),
    [
        (
            {},
            f"No run starts automatically. Start one with: relay run {TENANT}",
        ),
        ({"on_upload": {"quiet_seconds": 0}}, "A run starts immediately."),
        ({"on_upload": {}}, "A run starts 60 s after the last upload."),
        (
            {"schedule": {"cron": "0 6 1 1 *"}},
            "The schedule starts the next run at ",
        ),
    ],
)
def test_what_starts_a_run_is_told(
    world: ClientWorld, file: Path, triggers: object, sentence: str
) -> None:
    world.api.store_config(triggers=triggers)
    assert upload(world, file).stderr.startswith(sentence)


def test_a_file_that_is_too_large_is_told_and_not_sent(
    world: ClientWorld, file: Path
) -> None:
    world.api.store_config()
    limit = world.platform.settings.max_feed_bytes
    os.truncate(file, limit + 1)
    result = upload(world, file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"{file} has {limit + 1:,} bytes, but the maximum is {limit:,}. "
        "Nothing was uploaded.\n"
    )
    assert world.platform.objects.latest_object(KEY) is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("gone.csv", ": No such file"),
        (".", " is not a regular file"),
        ("folder", " is not a regular file"),
    ],
)
def test_what_is_no_file_is_bad_usage(
    world: ClientWorld, tmp_path: Path, name: str, problem: str
) -> None:
    (tmp_path / "folder").mkdir()
    result = upload(world, tmp_path / name)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{tmp_path / name}{problem}")


def test_a_pipe_is_not_waited_for(world: ClientWorld, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    result = upload(world, tmp_path / "pipe")
    assert (result.exit_code, "is not a regular file" in result.stderr) == (
        2,
        True,
    )


def test_a_name_that_is_no_text_is_bad_usage(
    world: ClientWorld, tmp_path: Path
) -> None:
    path = tmp_path / os.fsdecode(b"\xff.csv")
    path.write_bytes(b"x")
    result = upload(world, path)
    assert (result.exit_code, "Rename the file." in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("vendor_id", "error_code"),
    [("nobody", "UNKNOWN_VENDOR"), ("local", "INVALID_REQUEST")],
)
def test_what_the_api_refuses_is_told(
    world: ClientWorld, file: Path, vendor_id: str, error_code: str
) -> None:
    world.api.store_config(
        vendor_document(), vendor_document("local", inbound={"type": "local"})
    )
    result = upload(world, file, vendor_id)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{error_code}: ")


# --- to S3 ----------------------------------------------------------------------------------------


def test_the_fields_go_before_the_file_and_the_key_of_the_api_goes_nowhere(
    receiver: Receiver, file: Path
) -> None:
    send_file(receiver.form(), file)
    places = [
        receiver.head.index(f'name="{name}"'.encode())
        for name in ("key", "policy", "file")
    ]
    assert places == sorted(places)
    assert b"\r\n\r\nsku,quantity_available\nA-1,5\n\r\n" in receiver.head
    assert "x-api-key" not in receiver.headers


def test_a_large_file_is_never_in_memory_as_a_whole(
    receiver: Receiver, file: Path
) -> None:
    os.truncate(file, 64 << 20)
    with peak_of_memory() as peak:
        send_file(receiver.form(), file)
    assert receiver.length > 64 << 20
    assert peak[0] < 8 << 20


def test_what_s3_refuses_is_told_in_its_own_words(
    receiver: Receiver, file: Path
) -> None:
    receiver.status = 400
    receiver.body = TOO_LARGE
    with pytest.raises(UnexpectedResponseError) as caught:
        send_file(receiver.form(), file)
    assert str(caught.value) == (
        f"stock.csv was not uploaded: 127.0.0.1:{receiver.server_port} returned 400 Bad Request: "
        "EntityTooLarge: Your proposed upload exceeds the maximum"
    )


def test_a_host_that_is_not_reachable_is_named_with_the_variable_that_sets_it(
    file: Path,
) -> None:
    link = UploadLink(
        url="http://127.0.0.1:9/",
        fields={},
        key=KEY,
        max_bytes=9,
        expires_at="2026-03-01",
    )
    with pytest.raises(NoResponseError) as caught:
        send_file(link, file)
    assert caught.value.lines[0].startswith(
        "stock.csv was not uploaded: 127.0.0.1:9 cannot be reached"
    )
    assert "RELAY_PUBLIC_S3_ENDPOINT_URL" in caught.value.lines[1]
