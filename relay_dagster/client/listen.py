"""A receiver of webhooks for trying out: verifies what arrives, and shows it.

It asks no API. One that is to receive for good is somebody's own; `docs/WEBHOOKS.md` says how.
"""

import json
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from relay_dagster.client.errors import BadUsageError

# Ours are under 20 KB.
MAX_BYTES = 64 * 1024
_TIMEOUT_SECONDS = 10

Show = Callable[[str, Any], None]
"""Shows what has arrived, verified: its id and its document."""


class Receiver(ThreadingHTTPServer):
    """Listens for signed webhooks, port 0 is any; `BadUsageError`: bad secret, or no such port."""

    daemon_threads = True

    def __init__(
        self,
        host: str,
        port: int,
        secret: str,
        *,
        show: Show,
        complain: Callable[[str], None],
    ) -> None:
        try:
            self.verifier = Webhook(secret)
        except Exception as error:
            raise BadUsageError(
                "--secret is not one of a webhook: whsec_ and base64"
            ) from error
        self.show = show
        self.complain = complain
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise BadUsageError(
                f"cannot listen on {host}:{port}: {error.strerror}"
            ) from error

    @property
    def url(self) -> str:
        """Where it is reached."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    timeout = _TIMEOUT_SECONDS
    server_version = "relay-webhooks-listen"
    sys_version = ""

    def do_POST(self) -> None:
        """Answer a webhook: 204 where it is good."""
        length = self.headers.get("content-length", "")
        if not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "it has no Content-Length")
        elif int(length) > MAX_BYTES:
            self._refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"it has over {MAX_BYTES} bytes"
            )
        else:
            body = self.rfile.read(int(length))
            try:
                self.server.verifier.verify(body, dict(self.headers), json_parse=False)
                document = json.loads(body)
            except Exception as error:  # noqa: BLE001 - what a stranger sends is no fault of ours
                self._refuse(HTTPStatus.BAD_REQUEST, str(error) or type(error).__name__)
                return
            self.server.show(str(self.headers["webhook-id"]), document)
            self._answer(HTTPStatus.NO_CONTENT)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.server.complain(f"refused with {status.value}: {why}")
        # What is left of the body is not read.
        self.close_connection = True
        self._answer(status)

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Leave the log to who shows."""
