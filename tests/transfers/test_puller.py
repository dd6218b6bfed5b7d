"""Vendors' files that are pulled: due times, what is new, what fails, and who is at it."""

from __future__ import annotations

import gzip
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from integration.waiting import wait_for
from relay_dagster.aws.dynamodb.work_queue import TableQueue
from relay_dagster.aws.secrets import SecretValue
from relay_dagster.drain import AFTER_A_FAULT
from relay_dagster.transfers import room as room_module
from relay_dagster.transfers.room import TRANSFER_SECONDS, TransferRoom
from relay_dagster.triggers import pulls as rules
from relay_dagster.triggers.pulled_files import StagedFile
from relay_dagster.webhooks.model import EventType
from relay_dagster.work.item import LEASE, WorkItem
from support.api_world import ApiWorld
from support.pulls_world import (
    CSV,
    NOON,
    VENDOR,
    Answering,
    FileServer,
    PullsWorld,
    file,
    file_server,
    pull_all,
    redirect,
    unless_known,
)
from support.receivers import Received

MAX_FEED_BYTES = 1 << 20
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NAME = "20260301T120000Z-feed.csv"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as server:
        yield server


# --- what is new ----------------------------------------------------------------------------------


def test_a_new_file_becomes_an_upload_like_any_other(
    world: PullsWorld, server: FileServer
) -> None:
    world.store({"url": server.url(), "every_minutes": 10})
    state = world.pull()
    assert world.files() == [NAME]
    assert world.uploads() == [CSV]
    assert state.sha256 == hashlib.sha256(CSV).hexdigest()
    assert (state.last_success_at, state.last_unchanged_at) == (NOON, None)
    assert (state.failures, state.last_error) == (0, None)
    assert state.next_at == NOON + 10 * MINUTE
    assert world.staged() == []
    latest = world.platform.objects.latest_object(
        f"tenants/{world.tenant_id}/inbound/{VENDOR}/"
    )
    assert latest is not None
    assert latest.key == world.key(NAME)
    (request,) = server.requests
    assert (request.method, request.headers["accept-encoding"]) == (
        "GET",
        "identity",
    )
    assert "authorization" not in request.headers
    assert "if-none-match" not in request.headers


def test_nothing_is_pulled_before_it_is_due(
    world: PullsWorld, server: FileServer
) -> None:
    world.store({"url": server.url(), "every_minutes": 10})
    world.pull()
    world.pull(after=9 * MINUTE)
    assert len(server.requests) == 1
    world.pull(after=MINUTE)
    assert len(server.requests) == 2


def test_a_tag_spares_the_transfer(
    world: PullsWorld, server: FileServer
) -> None:
    server.answers["/feed.csv"] = unless_known(CSV, '"v1"')
    world.store({"url": server.url()})
    world.pull()
    state = world.pull(after=HOUR)
    assert server.requests[1].headers["if-none-match"] == '"v1"'
    assert (state.last_success_at, state.last_unchanged_at) == (
        NOON,
        NOON + HOUR,
    )
    assert world.files() == [NAME]


@pytest.mark.parametrize(
    "date",
    [
        "Sun, 01 Mar 2026 08:00:00 GMT",
        "Fri, 01 Jan 2100 00:00:00 GMT",
        "yesterday, about noon",
    ],
)
def test_a_date_spares_the_transfer_whatever_the_servers_clock_says(
    world: PullsWorld, server: FileServer, date: str
) -> None:
    named = {"last-modified": date}
    server.answers["/feed.csv"] = file(headers=named)
    world.store({"url": server.url()})
    world.pull()
    server.answers["/feed.csv"] = file(b"", 304)
    state = world.pull(after=HOUR)
    assert (
        server.requests[1].headers["if-modified-since"]
        == named["last-modified"]
    )
    assert state.last_unchanged_at == NOON + HOUR


def test_the_same_bytes_under_another_tag_are_no_upload(
    world: PullsWorld, server: FileServer
) -> None:
    server.answers["/feed.csv"] = file(headers={"etag": '"v1"'})
    world.store({"url": server.url()})
    world.pull()
    server.answers["/feed.csv"] = file(headers={"etag": '"v2"'})
    state = world.pull(after=HOUR)
    assert state.last_unchanged_at == NOON + HOUR
    assert world.files() == [NAME]
    assert world.staged() == []
    assert state.mark.etag == '"v2"'


def test_the_newest_five_stay(world: PullsWorld, server: FileServer) -> None:
    world.store({"url": server.url()})
    for number in range(7):
        server.answers["/feed.csv"] = file(CSV + bytes([65 + number]))
        world.pull(after=HOUR)
    assert world.uploads() == [
        CSV + bytes([65 + number]) for number in range(2, 7)
    ]


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/a/price%20list.csv?token=abc", "price_list.csv"),
        ("/", "feed"),
        ("/a/", "feed"),
        ("/a%2Fb%00c..csv", "a_b_c..csv"),
        ("/%2e%2e", ".."),
        ("/Preise-%C3%84.csv", "Preise-_.csv"),
        (f"/{'x' * 150}.csv", f"{'x' * 96}.csv"),
    ],
)
def test_a_file_keeps_the_safe_part_of_its_name(
    world: PullsWorld, server: FileServer, target: str, name: str
) -> None:
    server.answers[target] = file()
    world.store({"url": server.url(target)})
    world.pull()
    assert world.files() == [f"20260301T120000Z-{name}"]


def test_a_file_of_many_parts_is_whole(
    world: PullsWorld, server: FileServer
) -> None:
    body = bytes(range(256)) * (20 << 12)
    server.answers["/feed.csv"] = file(body)
    settings = world.platform.settings.model_copy(
        update={"max_feed_bytes": 1 << 30}
    )
    pull_world = replace(world.platform, settings=settings)
    world.store({"url": server.url()})
    pull_all(world.another(platform=pull_world))
    assert world.uploads() == [body]
    assert world.staged() == []


# --- configs --------------------------------------------------------------------------------------


def test_another_url_is_pulled_at_once_and_its_bytes_are_known(
    world: PullsWorld, server: FileServer
) -> None:
    server.answers["/feed.csv"] = unless_known(CSV, '"v1"')
    world.store({"url": server.url()})
    world.pull()
    server.answers["/other.csv"] = file()
    world.clock.advance(minutes=1)
    world.store({"url": server.url("/other.csv")})
    state = world.pull()
    assert [request.target for request in server.requests] == [
        "/feed.csv",
        "/other.csv",
    ]
    assert "if-none-match" not in server.requests[1].headers
    assert state.last_unchanged_at == NOON + MINUTE
    assert world.files() == [NAME]


def test_a_pull_that_the_config_has_no_more_is_forgotten(
    world: PullsWorld, server: FileServer
) -> None:
    world.store({"url": server.url()})
    world.pull()
    world.store(None)
    world.clock.advance(hours=1)
    pull_all(world.puller)
    assert world.platform.pulls.of_names(world.tenant_id, [VENDOR]) == {}
    assert len(server.requests) == 1


@pytest.mark.parametrize("is_vendor_left", [True, False])
def test_a_pull_that_is_taken_out_and_put_back_is_due_at_once(
    world: PullsWorld, server: FileServer, *, is_vendor_left: bool
) -> None:
    other_pull = {"url": server.url("/other.csv")}
    pull = {"url": server.url(), "every_minutes": 1440}
    world.store(other_pull, pull)
    world.pull()
    world.store(*([other_pull, None] if is_vendor_left else [other_pull]))
    world.pull(after=MINUTE)
    world.store(other_pull, pull)
    world.pull(after=MINUTE)
    assert [request.target for request in server.requests].count(
        "/feed.csv"
    ) == 2
    state = world.state("vendor_2")
    assert (state.last_success_at, state.last_unchanged_at) == (
        NOON,
        NOON + 2 * MINUTE,
    )


def test_a_paused_tenants_pulls_go_on(
    world: PullsWorld, server: FileServer
) -> None:
    world.platform.pauses.begin(world.tenant_id, "a reason")
    world.store({"url": server.url()})
    world.pull()
    assert world.files() == [NAME]


def test_nothing_is_pulled_of_a_tenant_that_is_being_deleted(
    world: PullsWorld, server: FileServer
) -> None:
    world.store({"url": server.url()})
    world.platform.closing.ask(world.tenant_id)
    state = world.pull()
    assert server.requests == []
    assert state.next_at == NOON + 5 * MINUTE
    world.platform.deletions.restore(world.tenant_id)
    world.pull(after=5 * MINUTE)
    assert len(world.files()) == 1


# --- what is no file ------------------------------------------------------------------------------


def _broken_off(connection: socket.socket, _: Received) -> None:
    connection.sendall(
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsku,quantity_available\n"
    )


def _endless(connection: socket.socket, _: Received) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"A1,5\n" * 10_000)


def _slow(connection: socket.socket, _: Received) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not threading.Event().wait(0.05):
        connection.sendall(b"A")


def _no_http(connection: socket.socket, _: Received) -> None:
    connection.sendall(b"220 ftp.example.com ready\r\n")


PAGE = b"<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>...</body></html>"
NO_FILES: dict[str, tuple[Answering, str]] = {
    "a status": (file(b"busy", 503), "the server answered 503"),
    "another success": (file(status=206), "the server answered 206"),
    "304 to who knows nothing": (file(b"", 304), "the server answered 304"),
    "a log-in page": (
        file(PAGE, headers={"content-type": "text/html"}),
        "is an HTML page",
    ),
    "a log-in page that says csv": (
        file(PAGE, headers={"content-type": "text/csv"}),
        "HTML",
    ),
    "a packed log-in page": (file(gzip.compress(PAGE)), "is an HTML page"),
    "nothing": (file(b""), "the file is empty"),
    "too little": (_broken_off, "closed the connection"),
    "too much": (
        file(b"x" * (1 << 20) + b"y"),
        "has more than 1,048,576 bytes",
    ),
    "no end": (_endless, "has more than 1,048,576 bytes"),
    "a bomb": (
        file(
            gzip.compress(bytes(2 << 20)), headers={"content-encoding": "gzip"}
        ),
        "has more than 1,048,576 bytes",
    ),
    "half of what is packed": (
        file(gzip.compress(CSV)[:-9], headers={"content-encoding": "gzip"}),
        "compressed with gzip and incomplete",
    ),
    "packed as nobody asked": (
        file(headers={"content-encoding": "br"}),
        "compresses the file",
    ),
    "no HTTP": (_no_http, "its answer was not HTTP"),
    "a redirect to nowhere": (file(b"", 302), "without a Location header"),
    "a redirect to http": (
        redirect("http://example.com/feed.csv"),
        "must begin with https://",
    ),
    "a redirect to a private address": (
        redirect("https://10.0.0.1/f"),
        "a public address",
    ),
    "a redirect to metadata": (
        redirect("https://169.254.169.254/"),
        "a public address",
    ),
    "a redirect to SFTP": (
        redirect("sftp://a@example.com/f"),
        "must begin with https://",
    ),
    "a redirect to another port": (
        redirect("https://example.com:9200/"),
        "must have port",
    ),
    "a loop": (redirect("/feed.csv"), "redirects more than 5 times"),
}


@pytest.mark.parametrize("what", NO_FILES)
def test_what_is_no_file_changes_nothing(
    world: PullsWorld, server: FileServer, what: str
) -> None:
    answer, sentence = NO_FILES[what]
    world.store({"url": server.url("/feed.csv?key=s3cr3t")})
    server.answers["/feed.csv?key=s3cr3t"] = file()
    before = world.pull()
    server.answers["/feed.csv?key=s3cr3t"] = answer
    server.answers["/feed.csv"] = answer
    state = world.pull(after=HOUR)
    assert state.last_error is not None
    assert sentence in state.last_error
    assert "s3cr3t" not in state.last_error
    assert (state.failures, state.next_at) == (1, NOON + HOUR + 5 * MINUTE)
    assert (state.sha256, state.last_success_at) == (before.sha256, NOON)
    assert world.uploads() == [CSV]
    assert world.staged() == []


def test_a_file_that_takes_too_long_is_none(
    world: PullsWorld, server: FileServer
) -> None:
    server.answers["/feed.csv"] = _slow
    world.store({"url": server.url()})
    pull_all(world.another(room=TransferRoom(0.5)))
    state = world.state()
    assert state.last_error == "the server did not respond within 0.5 s"
    assert world.files() == []
    assert TRANSFER_SECONDS == 15 * 60


def test_what_a_server_packs_unasked_is_unpacked(
    world: PullsWorld, server: FileServer
) -> None:
    body = CSV * 30_000
    packed = gzip.compress(body[:100]) + gzip.compress(body[100:])
    server.answers["/feed.csv"] = file(
        packed, headers={"content-encoding": "gzip"}
    )
    world.store({"url": server.url()})
    world.pull()
    assert world.uploads() == [body]


def test_a_packed_file_stays_packed(
    world: PullsWorld, server: FileServer
) -> None:
    packed = gzip.compress(CSV)
    server.answers["/feed.csv"] = file(
        packed, headers={"content-type": "application/gzip"}
    )
    world.store({"url": server.url()})
    world.pull()
    assert world.uploads() == [packed]


def test_tries_wait_longer_and_longer_until_one_succeeds(
    world: PullsWorld, server: FileServer
) -> None:
    server.answers["/feed.csv"] = file(b"", 500)
    world.store({"url": server.url()})
    waits = []
    state = world.pull()
    for _ in range(9):
        assert state.next_at is not None
        waits.append((state.next_at - world.clock()) / MINUTE)
        state = world.pull(after=state.next_at - world.clock())
    assert waits == [5, 10, 20, 40, 80, 160, 320, 360, 360]
    server.answers["/feed.csv"] = file()
    assert state.next_at is not None
    state = world.pull(after=state.next_at - world.clock())
    assert (state.failures, state.last_error) == (0, None)
    assert state.next_at == world.clock() + HOUR


def test_three_failures_in_a_row_are_one_event_until_a_pull_succeeds(
    world: PullsWorld, server: FileServer
) -> None:
    server.answers["/feed.csv"] = file(b"", 500)
    world.store({"url": server.url()})
    for number in range(1, 6):
        world.pull(after=6 * HOUR)
        assert len(world.events()) == (number >= 3)
    (event,) = world.events()
    assert event.type is EventType.VENDOR_PULL_FAILED == "vendor.pull_failed"
    assert event.data == {
        "tenant_id": world.tenant_id,
        "vendor_id": VENDOR,
        "failures": 3,
        "last_error": "the server answered 500",
    }
    server.answers["/feed.csv"] = file()
    world.pull(after=6 * HOUR)
    server.answers["/feed.csv"] = file(b"", 500)
    for _ in range(3):
        world.pull(after=6 * HOUR)
    assert len(world.events()) == 2


def test_a_supplier_that_is_down_for_a_week_is_one_event_and_the_feed_stays(
    world: PullsWorld, server: FileServer
) -> None:
    api = ApiWorld(world.platform)
    world.store({"url": server.url("/feed.csv?key=s3cr3t")})
    server.answers["/feed.csv?key=s3cr3t"] = file()
    world.pull()
    run_id = api.post_run(tenant_id=world.tenant_id).json()["run_id"]
    feed = api.succeed(run_id).feed_key
    server.answers["/feed.csv?key=s3cr3t"] = file(b"busy", 503)
    tries = 0
    state = world.pull(after=HOUR)
    while world.clock() < NOON + timedelta(days=7):
        assert state.next_at is not None
        tries = tries + 1
        state = world.pull(after=state.next_at - world.clock())
    assert 30 <= tries <= 40
    failures = [
        event
        for event in world.events()
        if event.type is EventType.VENDOR_PULL_FAILED
    ]
    assert len(failures) == 1
    standing = world.platform.runs.feed(world.tenant_id)
    assert standing is not None
    assert standing.in_force.key == feed
    assert world.uploads() == [CSV]
    status = api.client.get(f"/v1/tenants/{world.tenant_id}/status")
    (vendor,) = status.json()["vendors"]
    assert vendor["pull"] == {
        "last_success_at": "2026-03-01T12:00:00Z",
        "last_unchanged_at": None,
        "last_error": "the server answered 503",
        "failures": tries + 1,
        "next_at": f"{state.next_at:%Y-%m-%dT%H:%M:%SZ}",
    }
    assert "s3cr3t" not in status.text


# --- redirects ------------------------------------------------------------------------------------


def _hops(count: int) -> dict[str, Answering]:
    ways = {
        f"/{number}": redirect(f"/{number + 1}", 307) for number in range(count)
    }
    return {**ways, f"/{count}": file()}


@pytest.mark.parametrize(("count", "is_followed"), [(5, True), (6, False)])
def test_five_redirects_are_followed_and_no_more(
    world: PullsWorld, server: FileServer, count: int, is_followed: bool
) -> None:
    server.answers |= _hops(count)
    world.store({"url": server.url("/0")})
    state = world.pull()
    assert (state.last_error is None) == is_followed
    assert world.files() == ["20260301T120000Z-0"] * is_followed


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_kind_of_redirect_is_followed(
    world: PullsWorld, server: FileServer, status: int
) -> None:
    server.answers["/feed.csv"] = redirect("../there.csv#part", status)
    server.answers["/there.csv"] = file()
    world.store({"url": server.url()})
    world.pull()
    assert world.uploads() == [CSV]


# --- addresses and secrets ------------------------------------------------------------------------


def test_this_machine_is_pulled_from_only_where_an_operator_allows_it(
    world: PullsWorld, server: FileServer
) -> None:
    settings = world.platform.settings.model_copy(
        update={"pull_allow_loopback": False}
    )
    world.store({"url": server.url()})
    pull_all(world.another(platform=replace(world.platform, settings=settings)))
    assert (
        world.state().last_error
        == "the URL must begin with https:// or sftp://"
    )
    assert server.requests == []


def _keep(world: PullsWorld, host: str, value: str = "Bearer s3cr3t") -> None:
    world.platform.secrets.put(
        world.tenant_id, "granite", SecretValue(value, host)
    )


def test_a_secret_is_the_header_authorization(
    world: PullsWorld, server: FileServer
) -> None:
    server.answers["/feed.csv"] = redirect("/there.csv")
    server.answers["/there.csv"] = file()
    world.store({"url": server.url(), "secret": "granite"})
    _keep(world, f"127.0.0.1:{server.port}")
    assert world.pull().last_error is None
    sent = [request.headers.get("authorization") for request in server.requests]
    assert sent == ["Bearer s3cr3t", "Bearer s3cr3t"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:1", "files.example.com", "localhost"]
)
def test_a_secret_for_another_host_is_sent_nowhere(
    world: PullsWorld, server: FileServer, host: str
) -> None:
    world.store({"url": server.url(), "secret": "granite"})
    _keep(world, host)
    state = world.pull()
    assert state.last_error is not None
    assert state.last_error.startswith("SECRET_NOT_FOR_HOST: ")
    assert server.requests == []


def test_a_secret_is_not_sent_behind_a_redirect_to_another_host_nor_after_one_back(
    world: PullsWorld, server: FileServer
) -> None:
    with file_server() as other_server:
        server.answers["/feed.csv"] = redirect(other_server.url("/away"))
        other_server.answers["/away"] = redirect(server.url("/back.csv"))
        server.answers["/back.csv"] = file()
        world.store({"url": server.url(), "secret": "granite"})
        _keep(world, f"127.0.0.1:{server.port}")
        world.pull()
        assert world.uploads() == [CSV]
        sent = [
            request.headers.get("authorization")
            for request in server.requests + other_server.requests
        ]
    assert sent == ["Bearer s3cr3t", None, None]


def test_a_secret_that_is_not_there_or_no_header_is_said(
    world: PullsWorld, server: FileServer
) -> None:
    world.store({"url": server.url(), "secret": "granite"})
    state = world.pull()
    assert (
        state.last_error == "SECRET_NOT_FOUND: the tenant has no secret granite"
    )
    _keep(world, f"127.0.0.1:{server.port}", "two\nlines")
    state = world.pull(after=HOUR)
    assert state.last_error is not None
    assert "that a header cannot have" in state.last_error
    assert "two" not in state.last_error
    assert server.requests == []


# --- who is at it ---------------------------------------------------------------------------------


class Gate:
    """An answer that waits until it may go on."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.may_go = threading.Event()
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket, request: Received) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.asked.set()
        assert self.may_go.wait(30)
        with self._lock:
            self.now -= 1
        file()(connection, request)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.may_go.set()


def test_no_tick_waits_for_a_transfer_and_two_processes_make_one(
    world: PullsWorld, server: FileServer, gate: Gate
) -> None:
    server.answers["/feed.csv"] = gate
    world.store({"url": server.url()})
    assert world.puller.run() == 1
    assert gate.asked.wait(20)
    assert world.state().next_at is None
    other_process = world.another()
    assert other_process.run() == 0
    gate.may_go.set()
    world.puller.wait(20)
    assert len(server.requests) == 1
    assert world.uploads() == [CSV]


def test_no_tick_waits_for_tables_that_answer_slowly(
    world: PullsWorld, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.store({"url": server.url()})
    read_due = TableQueue.due
    may_go = threading.Event()

    def slow(*asked: Any) -> list[WorkItem[Any]]:
        assert may_go.wait(30)
        return read_due(*asked)

    monkeypatch.setattr(TableQueue, "due", slow)
    puller = world.another(wait_seconds=0.1)
    began = time.monotonic()
    assert [puller.run() for _ in range(3)] == [0, 0, 0]
    assert time.monotonic() - began < 5
    may_go.set()
    wait_for(
        "what is due is pulled",
        lambda: puller.run() or world.uploads() == [CSV],
        within=30,
    )
    puller.wait(30)
    assert world.uploads() == [CSV]
    assert room_module.WAIT_SECONDS == 1


def test_a_lease_is_kept_as_long_as_a_transfer_lasts(
    world: PullsWorld, server: FileServer, gate: Gate
) -> None:
    server.answers["/feed.csv"] = gate
    world.store({"url": server.url()})
    world.puller.run()
    assert gate.asked.wait(20)
    for _ in range(6):
        world.clock.advance(seconds=LEASE.total_seconds() / 2)
        world.puller.run()
        assert world.another().run() == 0
    gate.may_go.set()
    world.puller.wait(20)
    assert world.uploads() == [CSV]
    assert len(server.requests) == 1


def test_a_process_that_is_gone_is_followed_and_what_it_still_does_is_void(
    world: PullsWorld, server: FileServer, gate: Gate
) -> None:
    server.answers["/feed.csv"] = gate
    world.store({"url": server.url()})
    world.puller.run()
    assert gate.asked.wait(20)
    world.clock.advance(seconds=LEASE.total_seconds() + 1)
    server.answers["/feed.csv"] = file()
    other_process = world.another()
    pull_all(other_process)
    gate.may_go.set()
    world.puller.wait(20)
    # The death counts as a failure: the server may have caused it.
    state = world.state()
    assert (state.failures, world.files()) == (1, [])
    assert state.last_error is not None
    assert state.last_error.startswith("the process that pulled the file ended")
    assert state.next_at == world.clock() + 5 * MINUTE
    assert len(server.requests) == 1
    world.clock.advance(minutes=5)
    pull_all(other_process)
    assert (world.uploads(), world.state().failures) == ([CSV], 0)


def test_a_file_that_a_dead_process_has_staged_becomes_one_upload(
    world: PullsWorld, server: FileServer
) -> None:
    world.store({"url": server.url()})
    staging = f"published/{world.tenant_id}/pulls/{VENDOR}/"
    for is_copied in (False, True):
        world.platform.objects.put(f"{staging}dead", CSV)
        if is_copied:
            world.platform.objects.copy(f"{staging}dead", world.key(NAME))
        sha256 = hashlib.sha256(CSV).hexdigest()
        staged_file = StagedFile(
            key=f"{staging}dead",
            source=world.state().source,
            target=world.key(NAME),
            sha256=sha256,
            mark=world.state().mark,
        )
        world.platform.pulls.change(
            world.tenant_id,
            VENDOR,
            lambda each, left=staged_file: replace(
                each, staged=left, due_at=NOON
            ),
        )
        world.pull()
        assert world.files() == [NAME]
        assert world.uploads() == [CSV]
        assert world.staged() == []
        # The next look finds the same bytes.
        assert world.pull().last_unchanged_at == NOON
        assert world.files() == [NAME]


def test_what_a_dead_process_has_left_is_swept(
    world: PullsWorld, server: FileServer
) -> None:
    world.store({"url": server.url()})
    staging = f"published/{world.tenant_id}/pulls/{VENDOR}/"
    world.platform.objects.put(f"{staging}dead", b"half")
    bucket = world.platform.objects.bucket
    world.platform.clients.s3.create_multipart_upload(
        Bucket=bucket, Key=f"{staging}parts"
    )
    assert len(world.staged()) == 2
    queue = world.platform.pulls.queue
    (item,) = queue.due(world.clock(), 9)
    assert queue.take(item, world.clock()) is not None
    assert world.pull(after=LEASE).failures == 1
    assert world.staged() == []
    world.pull(after=5 * MINUTE)
    assert world.uploads() == [CSV]


def test_the_death_of_the_process_at_each_try_is_reported_after_three(
    world: PullsWorld, server: FileServer
) -> None:
    world.store({"url": server.url()})
    queue = world.platform.pulls.queue
    for number in range(3):
        (item,) = queue.due(world.clock(), 9)
        assert queue.take(item, world.clock()) is not None
        state = world.pull(after=LEASE)
        assert state.failures == number + 1
        assert state.next_at is not None
        world.clock.advance(
            seconds=(state.next_at - world.clock()).total_seconds()
        )
    (event,) = world.events()
    assert event.data["failures"] == 3
    assert server.requests == []


def test_a_pull_that_is_asked_for_during_one_follows_it(
    world: PullsWorld, server: FileServer, gate: Gate
) -> None:
    server.answers["/feed.csv"] = gate
    world.store({"url": server.url()})
    world.puller.run()
    assert gate.asked.wait(20)
    rule = rules.asked(world.clock())
    world.platform.pulls.change(world.tenant_id, VENDOR, rule)
    assert world.another().run() == 0
    gate.may_go.set()
    world.puller.wait(20)
    assert world.state().next_at == NOON
    world.pull()
    assert len(server.requests) == 2


def test_a_store_that_fails_is_no_fault_of_the_server(
    world: PullsWorld, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionResetError

    world.store({"url": server.url()})
    with monkeypatch.context() as patched:
        patched.setattr(type(world.platform.objects), "copy", refuse)
        state = world.pull()
    assert (state.failures, state.next_at) == (0, world.clock() + AFTER_A_FAULT)
    assert world.files() == []
    world.pull(after=MINUTE)
    assert world.uploads() == [CSV]
    assert world.staged() == []


def test_one_transfer_at_a_time_of_a_host_and_tenant_and_eight_in_all(
    world: PullsWorld, server: FileServer, gate: Gate
) -> None:
    server.answers["/feed.csv"] = gate
    for number in range(10):
        pull = {"url": server.url()}
        world.store(pull, pull, tenant_id=f"{world.tenant_id}-{number}")
    assert world.puller.run() == 20
    wait_for("eight are under way", lambda: gate.now == 8, within=60)
    gate.may_go.set()
    world.puller.wait(60)
    assert gate.most == 8
    assert len(server.requests) == 20
