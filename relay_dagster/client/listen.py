"""A receiver of webhooks for trying them out: it verifies what arrives, and shows it.

It does not use the API. `docs/WEBHOOKS.md` says how to build a permanent receiver.
"""

import json
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from relay_dagster.client.errors import BadUsageError

MAX_BYTES = 64 * 1024
"""The maximum size of a webhook's body. Relay's webhooks are under 20 KB."""
_TIMEOUT_SECONDS = 10

ShowEvent = Callable[[str, Any], None]
"""A function that shows a verified event: its id and its document."""


class Receiver(ThreadingHTTPServer):
    """Listens for signed webhooks."""

    daemon_threads = True

    def __init__(
        self,
        host: str,
        port: int,
        secret: str,
        *,
        show: ShowEvent,
        complain: Callable[[str], None],
    ) -> None:
        """Listen on a port; port 0 means any free port.

        Raises:
            BadUsageError: The secret is not valid, or the port cannot be used.
        """
        try:
            self.verifier = Webhook(secret)
        except Exception as error:
            raise BadUsageError(
                "--secret is not a webhook secret. It must be whsec_ followed by base64.",
            ) from error
        self.show = show
        self.complain = complain
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise BadUsageError(
                f"Cannot listen on {host}:{port}: {error.strerror}.",
            ) from error

    @property
    def url(self) -> str:
        """The URL of the receiver."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    timeout = _TIMEOUT_SECONDS
    server_version = "relay-webhooks-listen"
    sys_version = ""

    def do_POST(self) -> None:
        """Respond to a webhook, with 204 if it is valid."""
        length = self.headers.get("content-length", "")
        if not length.isdecimal():
            self._reject(
                HTTPStatus.LENGTH_REQUIRED,
                "The request has no Content-Length.",
            )
            return
        if int(length) > MAX_BYTES:
            self._reject(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The body is larger than {MAX_BYTES} bytes.",
            )
            return
        body = self.rfile.read(int(length))
        try:
            self.server.verifier.verify(
                body,
                dict(self.headers),
                json_parse=False,
            )
            document = json.loads(body)
        except Exception as error:  # noqa: BLE001 - a stranger's request must not end the server
            self._reject(
                HTTPStatus.BAD_REQUEST,
                str(error) or type(error).__name__,
            )
            return
        self.server.show(str(self.headers["webhook-id"]), document)
        self._respond(HTTPStatus.NO_CONTENT)

    def _reject(self, status: HTTPStatus, reason: str) -> None:
        self.server.complain(f"Rejected with {status.value}: {reason}")
        # The rest of the body is not read, so the connection cannot be used again.
        self.close_connection = True
        self._respond(status)

    def _respond(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log line: the receiver shows the events itself."""
