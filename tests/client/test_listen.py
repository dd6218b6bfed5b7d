"""`relay webhooks listen`: what it shows, what it refuses, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from relay_dagster.client.errors import BadUsageError
from relay_dagster.client.listen import MAX_BYTES, Receiver
from relay_dagster.transfers.webhook_calls import request_headers
from relay_dagster.webhooks.model import new_secret

BODY = b'{"type":"run.failed","data":{"run_id":null}}'
EVENT_ID = "msg_" + "0" * 32


@dataclass
class Listening:
    """A receiver that listens, and what it has shown and complained of."""

    secret: str = field(default_factory=new_secret)
    shown: list[tuple[str, Any]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        def show(event_id: str, document: Any) -> None:
            self.shown.append((event_id, document))

        complain = self.complaints.append
        self.server = Receiver(
            "127.0.0.1", 0, self.secret, show=show, complain=complain
        )

    def post(self, body: bytes = BODY, **changes: Any) -> int:
        """Send a webhook, by default a good one; return the answer's status."""
        options = {
            "secret": self.secret,
            "at": datetime.now(UTC),
            "headers": {},
            **changes,
        }
        headers = request_headers(
            EVENT_ID, body, [options["secret"]], options["at"]
        )
        sent = httpx.post(
            self.server.url,
            content=body,
            headers={**headers, **options["headers"]},
            trust_env=False,
        )
        return sent.status_code


@pytest.fixture
def listening() -> Iterator[Listening]:
    listening = Listening()
    with listening.server:
        thread = threading.Thread(
            target=listening.server.serve_forever, args=(0.05,)
        )
        thread.start()
        yield listening
        listening.server.shutdown()
        thread.join()


def test_what_is_signed_rightly_is_shown(listening: Listening) -> None:
    assert listening.post() == 204
    assert listening.post(b'{"name":"B\xc3\xbccher"}') == 204
    assert listening.shown == [
        (EVENT_ID, {"type": "run.failed", "data": {"run_id": None}}),
        (EVENT_ID, {"name": "Bücher"}),
    ]
    assert listening.complaints == []


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": new_secret()},
        {"at": datetime.now(UTC) - timedelta(minutes=10)},
        {"headers": {"webhook-id": "msg_1"}},
        {"headers": {"webhook-signature": "nonsense"}},
        {"headers": {"webhook-signature": "v1,=="}},
        {"headers": {"webhook-timestamp": "nan"}},
        {"headers": {"webhook-signature": ""}},
        {"body": b"no json"},
    ],
    ids=["secret", "old", "id", "words", "padding", "nan", "empty", "text"],
)
def test_what_is_not_is_refused(
    listening: Listening, changes: dict[str, Any]
) -> None:
    assert listening.post(**changes) == 400
    assert listening.shown == []
    (complaint,) = listening.complaints
    assert complaint.startswith("Rejected with 400: ")


def test_a_body_of_another_size_than_ours_is_not_read(
    listening: Listening,
) -> None:
    assert listening.post(b" " * (MAX_BYTES + 1)) == 413
    with socket.create_connection(
        listening.server.server_address[:2], 5
    ) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.0 411 ")


def test_another_method_is_refused(listening: Listening) -> None:
    assert httpx.get(listening.server.url, trust_env=False).status_code == 501


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_?", "whsec_a"])
def test_a_secret_that_is_none_is_told(secret: str) -> None:
    with pytest.raises(BadUsageError, match="--secret"):
        Receiver("127.0.0.1", 0, secret, show=print, complain=print)


def test_a_port_that_is_taken_is_told(listening: Listening) -> None:
    port = listening.server.server_address[1]
    with pytest.raises(
        BadUsageError, match=f"Cannot listen on 127.0.0.1:{port}"
    ):
        Receiver(
            "127.0.0.1", int(port), listening.secret, show=print, complain=print
        )


def take_interrupts() -> None:
    """Have a process interrupted by the signal, also where who started the tests ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_the_command_shows_what_arrives_until_it_is_interrupted() -> None:
    secret = new_secret()
    command = [
        sys.executable,
        "-m",
        "relay_dagster.cli",
        "webhooks",
        "listen",
        "--port",
        "0",
    ]
    with subprocess.Popen(
        command,
        env={**os.environ, "RELAY_WEBHOOK_SECRET": secret},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=take_interrupts,
    ) as process:
        try:
            assert process.stderr is not None
            greeting = process.stderr.readline()
            url = greeting.partition("Listening on ")[2].partition(". ")[0]
            headers = request_headers(
                EVENT_ID, BODY, [secret], datetime.now(UTC)
            )
            answer = httpx.post(
                url, content=BODY, headers=headers, trust_env=False
            )
            assert answer.status_code == 204
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    first, _, document = out.partition("\n")
    assert first == f"{EVENT_ID} run.failed"
    assert json.loads(document) == json.loads(BODY)
    assert process.returncode == 130
