from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Sequence
from ipaddress import ip_address

import pytest
import trustme

from relay_core.domain.destination import Destination, judge_url
from relay_dagster.transfers.webhook_calls import WebhookClient
from relay_dagster.webhooks.model import DeliveryAttempt
from support.fakes import NOW
from support.receivers import (
    Behavior,
    answering,
    dripping,
    listening,
    receiving,
    sending,
    waiting,
)

HEADERS = {"content-type": "application/json", "webhook-id": "msg_1"}
BODY = b'{"type":"run.succeeded"}'
SECONDS = 0.6
CALLER = WebhookClient(seconds=SECONDS)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n"


def call(url: str, caller: WebhookClient = CALLER) -> DeliveryAttempt:
    return caller.call(judge_url(url, allow_loopback=True), HEADERS, BODY, NOW)


# --- what is sent -------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_receiver_gets_the_body_and_the_headers(host: str) -> None:
    with receiving(host=host) as receiver:
        answer = call(f"{receiver.url}?a=1&b=%20")
        (request,) = receiver.requests
    assert (answer.status_code, answer.error) == (204, None)
    assert answer.duration_ms / 1000 < SECONDS
    assert (request.target, request.body) == ("/hook?a=1&b=%20", BODY)
    expected = {
        "host": receiver.url.split("/")[2],
        "content-length": str(len(BODY)),
        **HEADERS,
    }
    assert expected.items() <= request.headers.items()
    assert set(request.headers) - set(expected) == {"connection"}


def test_the_environment_names_no_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with receiving() as receiver, receiving(answering(500)) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert call(receiver.url).error is None
        assert proxy.requests == []


# --- what is answered ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_an_answer_of_success_is_one(status: int) -> None:
    with receiving(answering(status)) as receiver:
        answer = call(receiver.url)
    assert (answer.status_code, answer.error, answer.is_gone) == (
        status,
        None,
        False,
    )


@pytest.mark.parametrize(
    "status", [300, 304, 400, 401, 404, 429, 500, 503, 599]
)
def test_another_answer_is_none(status: int) -> None:
    with receiving(answering(status)) as receiver:
        answer = call(receiver.url)
    assert answer.status_code == status
    assert answer.error is not None
    assert answer.error.startswith(f"the receiver answered {status}")


def test_a_receiver_that_is_gone_says_so() -> None:
    with receiving(answering(410)) as receiver:
        answer = call(receiver.url)
    assert (answer.status_code, answer.is_gone) == (410, True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with receiving() as inside:
        moved = answering(status, headers={"location": inside.url})
        with receiving(moved) as receiver:
            answer = call(receiver.url)
        assert inside.requests == []
    assert answer.status_code == status
    assert (
        answer.error
        == f"the receiver answered {status}; redirects are not followed"
    )


def test_a_redirect_to_the_metadata_of_a_cloud_is_not_followed_either() -> None:
    moved = answering(
        302, headers={"location": "http://169.254.169.254/latest/meta-data/"}
    )
    with receiving(moved) as receiver:
        assert call(receiver.url).status_code == 302


NOT_HTTP = "the server closed the connection, or its answer was not HTTP"


@pytest.mark.parametrize(
    ("behave", "error"),
    [
        (sending(b""), NOT_HTTP),
        (sending(b"SSH-2.0-OpenSSH_9.6\r\n"), NOT_HTTP),
        (sending(b"HTTP/1.1 200"), NOT_HTTP),
        (sending(b"HTTP/1.1 99999 Huh\r\n\r\n"), NOT_HTTP),
        (
            sending(b"HTTP/1.1 200 OK\r\na: " + b"b" * 200_000),
            "the headers of the response are too large",
        ),
        (
            sending(b"HTTP/1.1 100 Continue\r\n\r\n" * 9_000),
            "the headers of the response are too large",
        ),
        (
            sending(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 30_000),
            "the headers of the response are too large",
        ),
    ],
    ids=[
        "closed",
        "ssh",
        "broken",
        "no_status",
        "long_header",
        "continues",
        "many_headers",
    ],
)
def test_what_is_no_answer_is_told_in_our_own_words(
    behave: Behavior, error: str
) -> None:
    with receiving(behave) as receiver:
        answer = call(receiver.url)
    assert (answer.status_code, answer.error) == (None, error)


def test_nobody_listening_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
    answer = call(f"http://127.0.0.1:{port}/")
    assert (answer.status_code, answer.error) == (
        None,
        "the server cannot be reached",
    )


@pytest.mark.parametrize("body", [b"", b"broken off"])
def test_the_answer_counts_whatever_becomes_of_its_body(body: bytes) -> None:
    with receiving(sending(HEAD + body)) as receiver:
        assert call(receiver.url).error is None


def test_no_more_than_a_part_of_an_endless_body_is_read() -> None:
    sent = 0

    def pour(connection: socket.socket) -> None:
        nonlocal sent
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection.sendall(HEAD)
        while True:
            sent += connection.send(b"x" * 4096)

    with receiving(pour) as receiver:
        answer = call(receiver.url, WebhookClient(seconds=10))
    assert answer.error is None
    assert answer.duration_ms / 1000 < 1
    assert sent < 20 << 20  # what the system took into its buffers


# --- how long it takes --------------------------------------------------------------------------


def test_a_receiver_that_hangs_is_left_when_the_time_is_up(
    over: threading.Event,
) -> None:
    with receiving(waiting(over)) as receiver:
        answer = call(receiver.url)
    assert (answer.status_code, answer.error) == (
        None,
        "the server did not respond within 0.6 s",
    )
    assert SECONDS <= answer.duration_ms / 1000 < SECONDS + 1


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    ],
    ids=["no_status", "headers", "interim"],
)
def test_a_head_that_never_ends_gains_no_time(
    first: bytes, drop: bytes, over: threading.Event
) -> None:
    with receiving(dripping(first, drop, 0.05, over)) as receiver:
        answer = call(receiver.url)
    assert answer.status_code is None
    assert answer.duration_ms / 1000 < SECONDS + 1


def test_a_body_that_drips_is_not_waited_for(over: threading.Event) -> None:
    with receiving(dripping(HEAD, b"x", 0.05, over)) as receiver:
        answer = call(receiver.url, WebhookClient(seconds=30))
    assert (answer.status_code, answer.error) == (200, None)
    assert answer.duration_ms / 1000 < 3


def test_a_receiver_that_reads_nothing_gains_no_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        destination = judge_url(url, allow_loopback=True)
        answer = CALLER.call(destination, HEADERS, b"x" * (30 << 20), NOW)
    assert answer.error == "the server did not respond within 0.6 s"
    assert answer.duration_ms / 1000 < SECONDS + 1


def test_a_name_that_takes_long_to_look_up_gains_no_time(
    over: threading.Event,
) -> None:
    def resolve(_host: str, _port: int) -> Sequence[str]:
        over.wait(60)
        return ["127.0.0.1"]

    caller = WebhookClient(seconds=SECONDS, resolve=resolve)
    answer = call("http://localhost:1/", caller)
    assert answer.error == "the server did not respond within 0.6 s"
    assert answer.duration_ms / 1000 < SECONDS + 1


def test_tls_that_is_never_agreed_on_gains_no_time(
    over: threading.Event,
) -> None:
    # The head of a record of 512 bytes, which then come one by one.
    behave = dripping(b"\x16\x03\x03\x02\x00", b"\x02", 0.05, over)
    with listening(behave) as port:
        answer = call(f"https://127.0.0.1:{port}/")
    assert answer.error == "the server did not respond within 0.6 s"
    assert answer.duration_ms / 1000 < SECONDS + 1


# --- where it leads -----------------------------------------------------------------------------


class Names:
    """Attempts of a name server, one after the other; the last again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


NOT_PUBLIC = "the URL's host has an address that is not public"


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "::1",
            "fd00:ec2::254",
            "fe80::1%1",
        ),
        *(
            "::ffff:127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::7f00:1",
            "2002:7f00:1::",
        ),
        *("::127.0.0.1", "224.0.0.1", "0.0.0.0", "192.0.0.8"),
    ],
)
@pytest.mark.parametrize(
    "beside", [[], ["8.8.8.8"]], ids=["alone", "beside_a_public_one"]
)
def test_a_name_with_an_address_that_is_not_public_is_not_called(
    address: str, beside: list[str]
) -> None:
    names = Names([*beside, address])
    answer = WebhookClient(resolve=names).call(
        judge_url("https://shop.example/"), HEADERS, BODY, NOW
    )
    assert (answer.status_code, answer.error) == (None, NOT_PUBLIC)


@pytest.mark.parametrize(
    "host", ["2130706433", "127.1", "0x7f.1", "0177.0.0.1"]
)
def test_a_number_that_resolvers_take_for_an_address_is_judged_as_that(
    host: str,
) -> None:
    destination = Destination("https", host, 443, "/")
    assert (
        WebhookClient().call(destination, HEADERS, BODY, NOW).error
        == NOT_PUBLIC
    )


def test_a_name_without_an_address_is_told() -> None:
    def resolve(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for names in (resolve, Names([])):
        answer = WebhookClient(resolve=names).call(
            judge_url("https://shop.example/"), HEADERS, BODY, NOW
        )
        assert answer.error == "the URL's host has no address"


def test_a_name_is_looked_up_once_a_call_and_that_address_is_connected_to() -> (
    None
):
    with receiving() as receiver:
        names = Names(["127.0.0.1"], ["10.0.0.1"])
        caller = WebhookClient(resolve=names)
        url = f"http://localhost:{receiver.port}/"
        assert call(url, caller).error is None
        assert names.asked == [("localhost", receiver.port)]
        assert call(url, caller).error == NOT_PUBLIC
        assert len(receiver.requests) == 1
    assert receiver.requests[0].headers["host"] == f"localhost:{receiver.port}"


def test_an_address_that_does_not_answer_leaves_time_for_the_next() -> None:
    with receiving() as receiver:
        names = Names(["127.0.0.2", "::1", "127.0.0.1"])
        assert (
            call(
                f"http://localhost:{receiver.port}/",
                WebhookClient(resolve=names),
            ).error
            is None
        )


def test_loopback_is_not_called_once_it_is_no_longer_allowed() -> None:
    with receiving() as receiver:
        assert not judge_url("https://shop.example/").accepts(
            ip_address("127.0.0.1")
        )
        destination = Destination(
            "http", "127.0.0.1", receiver.port, "/", allow_loopback=False
        )
        assert CALLER.call(destination, HEADERS, BODY, NOW).error == NOT_PUBLIC
        assert receiver.requests == []


# --- TLS ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_for(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return context


def trusting(authority: trustme.CA, *addresses: str) -> WebhookClient:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return WebhookClient(seconds=5, resolve=Names(addresses), given_ssl=context)


def test_tls_and_host_have_the_name_of_the_url(authority: trustme.CA) -> None:
    tls = tls_for(authority, "shop.example")
    named = []
    tls.sni_callback = lambda _socket, name, _context: named.append(name)
    with receiving(tls=tls) as receiver:
        destination = Destination(
            "https", "shop.example", receiver.port, "/", allow_loopback=True
        )
        answer = trusting(authority, "127.0.0.1").call(
            destination, HEADERS, BODY, NOW
        )
    assert (answer.status_code, answer.error) == (204, None)
    assert named == ["shop.example"]
    assert (
        receiver.requests[0].headers["host"] == f"shop.example:{receiver.port}"
    )


def test_a_certificate_of_another_name_is_refused(
    authority: trustme.CA,
) -> None:
    with receiving(tls=tls_for(authority, "other.example")) as receiver:
        destination = Destination(
            "https", "shop.example", receiver.port, "/", allow_loopback=True
        )
        answer = trusting(authority, "127.0.0.1").call(
            destination, HEADERS, BODY, NOW
        )
        assert receiver.requests == []
    assert answer.error is not None
    assert answer.error.startswith(
        "the server's certificate was refused: Hostname mismatch"
    )


def test_a_certificate_of_an_unknown_authority_is_refused(
    authority: trustme.CA,
) -> None:
    with receiving(tls=tls_for(authority, "127.0.0.1")) as receiver:
        answer = call(
            f"https://127.0.0.1:{receiver.port}/", WebhookClient(seconds=5)
        )
        assert receiver.requests == []
    assert answer.error is not None
    assert answer.error.startswith("the server's certificate was refused")


def test_a_receiver_without_tls_is_told() -> None:
    with listening(sending(b"220 mail.example ESMTP\r\n")) as port:
        answer = call(f"https://127.0.0.1:{port}/", WebhookClient(seconds=2))
    assert (answer.status_code, answer.error) == (
        None,
        "no TLS connection can be made",
    )


def test_calls_leave_no_connection_and_no_thread_behind() -> None:
    with receiving() as receiver:
        call(receiver.url)
        before = set(threading.enumerate())
        for _ in range(20):
            call(receiver.url)
        for thread in set(threading.enumerate()) - before:
            thread.join(5)
        assert threading.active_count() <= len(before)
