"""Connections over real sockets: slow ones, large heads, too many; each is told why and closed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from relay_dagster.http.limits import DEFAULT_API_LIMITS
from relay_dagster.http.middleware import RequestFrame
from support.api_world import ADMIN, ApiWorld, served

SMALL = replace(
    DEFAULT_API_LIMITS,
    connections=3,
    head_bytes=2048,
    head_seconds=0.3,
    body_seconds=0.3,
)
# Longer than any limit of these tests, shorter than uvicorn's own time for an idle connection.
PATIENCE = 4
HEALTH = b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n"
POST = (
    "POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n"
    "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
)


@contextmanager
def serving(
    world: ApiWorld, **changes: Any
) -> Iterator[Callable[[], socket.socket]]:
    """Serve a world's app with small limits; yield what opens a connection to it."""
    limits = replace(SMALL, **changes)
    app = ApiWorld(world.platform, limits=limits).app
    with ExitStack() as opened:
        port = opened.enter_context(served(app, limits))
        yield lambda: opened.enter_context(
            socket.create_connection(("127.0.0.1", port), PATIENCE)
        )


def rest_of(line: socket.socket) -> bytes:
    """Return what comes until the other side closes; fail where it does not."""
    return b"".join(iter(lambda: line.recv(65536), b""))


def answer_of(line: socket.socket) -> bytes:
    """Return one answer with its body, which has a length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += line.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [
        row[15:]
        for row in head.lower().split(b"\r\n")
        if row[:15] == b"content-length:"
    ]
    while len(body) < int(lengths[0]):
        body += line.recv(65536)
    return head + b"\r\n\r\n" + body


def problem_in(answer: bytes, status: int, error_code: str) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert b"application/problem+json" in head
    assert b"connection: close" in head.lower()
    problem: dict[str, Any] = json.loads(body)
    assert (problem["status"], problem["error_code"]) == (status, error_code)
    assert problem["request_id"].encode() in head
    return problem


# --- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent", [b"", HEALTH[:-2]], ids=["nothing", "half a head"]
)
def test_a_head_that_does_not_come_in_time_is_told_and_closed(
    unplugged: ApiWorld, sent: bytes
) -> None:
    with serving(unplugged) as connect:
        line = connect()
        line.sendall(sent)
        problem = problem_in(rest_of(line), 408, "REQUEST_TIMEOUT")
    assert "0.3 seconds" in problem["detail"]


def test_the_next_head_on_a_connection_has_its_time_too(
    unplugged: ApiWorld,
) -> None:
    with serving(unplugged) as connect:
        line = connect()
        line.sendall(HEALTH)
        assert answer_of(line).startswith(b"HTTP/1.1 200 ")
        line.sendall(HEALTH[:20])
        problem_in(rest_of(line), 408, "REQUEST_TIMEOUT")


def test_a_body_that_does_not_come_in_time_is_told_logged_and_closed(
    unplugged: ApiWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(unplugged) as connect:
        line = connect()
        line.sendall(POST.format(path="/v1/runs", key=ADMIN).encode())
        problem = problem_in(rest_of(line), 408, "REQUEST_TIMEOUT")
    logged = [json.loads(row) for row in capfd.readouterr().err.splitlines()]
    (request,) = [row for row in logged if row["event"] == "request"]
    assert (request["status"], request["request_id"]) == (
        408,
        problem["request_id"],
    )


def test_a_body_that_nobody_reads_does_not_keep_a_connection_open(
    unplugged: ApiWorld,
) -> None:
    with serving(unplugged) as connect:
        line = connect()
        line.sendall(POST.format(path="/v1/runs", key="wrong").encode())
        assert answer_of(line).startswith(b"HTTP/1.1 401 ")
        line.settimeout(0.1)
        # Each byte would put the end of an idle connection off.
        for _ in range(10 * PATIENCE):
            try:
                if line.recv(1) == b"":
                    return
            except TimeoutError:
                line.sendall(b" ")
            except ConnectionError:
                return
    pytest.fail("the connection is still open")


def test_a_request_that_is_whole_takes_as_long_as_it_takes(
    unplugged: ApiWorld,
) -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        message = {"more_body": True}
        while message.get("more_body"):
            message = await receive()
        # A client that stays is what an app may go on waiting for.
        waiting = asyncio.create_task(receive())
        finished, _ = await asyncio.wait(
            [waiting], timeout=3 * SMALL.body_seconds
        )
        waiting.cancel()
        await send(
            {
                "type": "http.response.start",
                "status": 500 if finished else 204,
                "headers": [],
            }
        )
        await send({"type": "http.response.body"})

    app: Any = RequestFrame(slow, max_body_bytes=10, limits=SMALL)
    with (
        served(app, SMALL) as port,
        socket.create_connection(("127.0.0.1", port), PATIENCE) as line,
    ):
        line.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
        )
        assert line.recv(65536).startswith(b"HTTP/1.1 204 ")


def test_an_answer_that_is_not_taken_does_not_keep_a_connection_open() -> None:
    async def generous(scope: Any, receive: Any, send: Any) -> None:
        body = bytes(64 << 20) if scope["path"] == "/large" else b""
        await send(
            {"type": "http.response.start", "status": 200, "headers": []}
        )
        await send({"type": "http.response.body", "body": body})

    app: Any = generous
    limits = replace(SMALL, connections=1)
    with served(app, limits) as port, ExitStack() as opened:

        def asked(path: str) -> socket.socket:
            line = opened.enter_context(
                socket.create_connection(("127.0.0.1", port), PATIENCE)
            )
            line.sendall(HEALTH.replace(b"/v1/health", path.encode()))
            return line

        asked("/large")
        started = time.monotonic()
        answers = [asked("/").recv(12)]
        while (
            answers[-1] != b"HTTP/1.1 200"
            and time.monotonic() < started + PATIENCE
        ):
            answers.append(asked("/").recv(12))
    assert (answers[0], answers[-1]) == (b"HTTP/1.1 503", b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("bytes_at_once", "is_closed"), [(512, True), (65536, False)]
)
def test_who_reads_too_slowly_is_closed(
    bytes_at_once: int, is_closed: bool
) -> None:
    async def long(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        closing = asyncio.create_task(receive())
        start = {"type": "http.response.start", "status": 200, "headers": []}
        await send(start)
        message = {"type": "http.response.body", "more_body": True}
        while not closing.done():
            await send({**message, "body": bytes(64 << 10)})
            await asyncio.sleep(0)
        disconnected.set()

    disconnected = threading.Event()
    app: Any = long
    limits = replace(SMALL, reader_bytes=64 << 10)
    with (
        served(app, limits) as port,
        socket.create_connection(("127.0.0.1", port), PATIENCE) as line,
    ):
        line.sendall(HEALTH)
        until = time.monotonic() + PATIENCE
        while not disconnected.is_set() and time.monotonic() < until:
            line.recv(bytes_at_once)
            disconnected.wait(0.01)
        assert disconnected.is_set() is is_closed


# --- size ---------------------------------------------------------------------------------------


def padded(size: int) -> bytes:
    """Return a request whose head counts ``size`` bytes: path, and each header with its marks."""
    start = b"GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Filler: "
    counted = len("/v1/health") + len("Host: x\r\n") + len("X-Filler: \r\n")
    return start + b"a" * (size - counted) + b"\r\n\r\n"


def test_a_head_of_64_kib_is_read_and_a_longer_one_is_told_and_closed(
    unplugged: ApiWorld,
) -> None:
    limit = DEFAULT_API_LIMITS.head_bytes
    assert limit == 64 * 1024
    with serving(unplugged, head_bytes=limit, head_seconds=PATIENCE) as connect:
        line = connect()
        line.sendall(padded(limit))
        assert answer_of(line).startswith(b"HTTP/1.1 200 ")
        line.sendall(padded(limit + 1))
        problem_in(rest_of(line), 431, "HEAD_TOO_LARGE")


@pytest.mark.parametrize(("headers", "status"), [(900, 200), (1000, 431)])
def test_a_head_of_many_lines_is_refused_before_it_is_read(
    unplugged: ApiWorld, headers: int, status: int
) -> None:
    with serving(unplugged, head_bytes=64 << 10) as connect:
        line = connect()
        head = HEALTH[:-2] + b"x:\r\n" * headers + b"\r\n"
        for _ in range(2 if status == 200 else 1):
            line.sendall(head[:2000])
            line.sendall(head[2000:])
            if status == 200:
                assert answer_of(line).startswith(b"HTTP/1.1 200 ")
            else:
                problem_in(rest_of(line), 431, "HEAD_TOO_LARGE")


def test_a_head_without_an_end_is_told_and_closed(unplugged: ApiWorld) -> None:
    with serving(unplugged, head_seconds=10 * PATIENCE) as connect:
        line = connect()
        line.sendall(
            b"GET /v1/health HTTP/1.1\r\nX-Filler: " + b"a" * SMALL.head_bytes
        )
        problem_in(rest_of(line), 431, "HEAD_TOO_LARGE")


def test_who_is_still_sending_an_endless_head_reads_why_it_is_refused(
    unplugged: ApiWorld,
) -> None:
    with serving(unplugged, head_seconds=10 * PATIENCE) as connect:
        line = connect()
        line.sendall(b"GET /v1/health HTTP/1.1\r\nX-Filler: ")
        for _ in range(64):
            line.sendall(b"a" * 65536)
        problem_in(rest_of(line), 431, "HEAD_TOO_LARGE")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HELLO\r\n\r\n",
    ],
    ids=["TLS", "NUL", "no HTTP"],
)
def test_what_is_no_http_is_told_and_closed(
    unplugged: ApiWorld, sent: bytes
) -> None:
    with serving(unplugged) as connect:
        line = connect()
        line.sendall(sent)
        problem_in(rest_of(line), 400, "INVALID_REQUEST")


def test_a_body_that_turns_out_to_be_no_http_ends_its_request(
    unplugged: ApiWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    head = POST.format(path="/v1/runs", key=ADMIN).replace(
        "Content-Length: 1000", "Transfer-Encoding: chunked"
    )
    with serving(unplugged, body_seconds=PATIENCE) as connect:
        line = connect()
        line.sendall(head.encode() + b"no length\r\n")
        problem_in(rest_of(line), 400, "INVALID_REQUEST")
    assert "Traceback" not in capfd.readouterr().err


def test_who_answers_a_request_that_was_refused_answers_nobody() -> None:
    answered = threading.Event()

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(SMALL.body_seconds)
        await send(
            {"type": "http.response.start", "status": 200, "headers": []}
        )
        await send({"type": "http.response.body"})
        answered.set()

    app: Any = late
    with (
        served(app, SMALL) as port,
        socket.create_connection(("127.0.0.1", port), PATIENCE) as line,
    ):
        line.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n"
        )
        problem_in(rest_of(line), 400, "INVALID_REQUEST")
        assert answered.wait(PATIENCE)


def test_no_connection_leaves_the_limits_by_becoming_a_web_socket(
    unplugged: ApiWorld,
) -> None:
    upgrade = (
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with serving(unplugged) as connect:
        line = connect()
        line.sendall(HEALTH[:-2] + upgrade)
        assert answer_of(line).startswith(b"HTTP/1.1 200 ")


def test_a_query_of_too_many_fields_is_refused_before_it_is_read(
    unplugged: ApiWorld,
) -> None:
    few = unplugged.with_key(None).get("/app?" + "a&" * 1099)
    assert few.status_code == 200
    for path in ("/app", "/v1/runs", "/f/x"):
        response = unplugged.with_key(None).get(f"{path}?" + "a&" * 1100)
        assert response.status_code == 431
        assert response.json()["error_code"] == "HEAD_TOO_LARGE"


# --- how many -----------------------------------------------------------------------------------


def test_one_connection_too_many_is_told_and_closed_and_the_others_live(
    unplugged: ApiWorld, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(unplugged, head_seconds=10 * PATIENCE) as connect:
        lines = [connect() for _ in range(SMALL.connections)]
        for line in lines:
            line.sendall(HEALTH)
            assert answer_of(line).startswith(b"HTTP/1.1 200 ")
        refused = connect()
        refused.sendall(HEALTH)
        answer = rest_of(refused)
        problem_in(answer, 503, "TOO_MANY_CONNECTIONS")
        assert b"retry-after: " in answer.lower()
        lines[0].close()
        lines[1].sendall(HEALTH)
        assert answer_of(lines[1]).startswith(b"HTTP/1.1 200 ")
        next_one = connect()
        next_one.sendall(HEALTH)
        assert answer_of(next_one).startswith(b"HTTP/1.1 200 ")
    assert [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.ERROR
    ] == []


def test_who_goes_on_sending_to_a_connection_that_was_refused_is_cut_off(
    unplugged: ApiWorld,
) -> None:
    with serving(unplugged, connections=0) as connect:
        line = connect()
        problem_in(rest_of(line), 503, "TOO_MANY_CONNECTIONS")
        started = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() < started + PATIENCE:
                line.sendall(b"a")
            pytest.fail("the connection is still open")


def test_a_crowd_is_told_and_none_of_it_is_kept(unplugged: ApiWorld) -> None:
    with serving(
        unplugged, connections=1, head_seconds=10 * PATIENCE
    ) as connect:
        line = connect()
        line.sendall(HEALTH)
        answer_of(line)
        for refused in [connect() for _ in range(80)]:
            problem_in(rest_of(refused), 503, "TOO_MANY_CONNECTIONS")
        line.sendall(HEALTH)
        assert answer_of(line).startswith(b"HTTP/1.1 200 ")


def test_answers_are_data_and_only_pages_are_shown(unplugged: ApiWorld) -> None:
    for path, policy in (
        ("/v1/health", "default-src 'none'"),
        ("/docs", "default-src 'self'; script-src 'self' 'sha256-"),
    ):
        headers = unplugged.client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Strict-Transport-Security"] == "max-age=31536000"
        assert headers["Content-Security-Policy"].startswith(policy)


def test_the_page_of_the_api_runs_no_other_script_than_its_own(
    unplugged: ApiWorld,
) -> None:
    response = unplugged.client.get("/docs")
    (script,) = re.findall("<script>(.*?)</script>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest())
    policy = response.headers["Content-Security-Policy"]
    directives = [part.split() for part in policy.split(";")]
    scripts = next(part for part in directives if part[0] == "script-src")
    assert scripts == ["script-src", "'self'", f"'sha256-{digest.decode()}'"]


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/tenants/acme/feed", "/v1/x"])
def test_no_cache_keeps_an_answer(unplugged: ApiWorld, path: str) -> None:
    for key in ("wrong", None):
        answer = unplugged.with_key(key).get(path)
        assert answer.headers["Cache-Control"] == "no-store"


def test_the_document_is_made_once(unplugged: ApiWorld) -> None:
    first = unplugged.client.get("/openapi.json")
    unplugged.app.openapi_schema = {}
    again = unplugged.client.get("/openapi.json")
    assert (again.content, again.headers["Content-Type"]) == (
        first.content,
        "application/json",
    )
    assert first.json()["paths"]


def test_limits_are_those_of_the_contract() -> None:
    limits = DEFAULT_API_LIMITS
    assert (limits.connections, limits.head_seconds, limits.body_seconds) == (
        512,
        10,
        30,
    )
