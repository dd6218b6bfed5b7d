"""One call to a receiver: a signed POST, and the outcome.

Of what a receiver says nothing is kept but its status code. Nothing that it does takes
longer, or more memory, than a call may: it may hang, answer for ever, or lead elsewhere.
Signatures are those of Standard Webhooks 1.0.0, for which receivers have libraries.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from ssl import SSLContext

import httpcore
from standardwebhooks import Webhook as Signer

from relay_core.domain.destination import Destination
from relay_dagster.transfers import streams
from relay_dagster.transfers.allowance import Allowance, CallError
from relay_dagster.transfers.streams import Resolver
from relay_dagster.webhooks.model import DeliveryAttempt

CALL_SECONDS = 15.0
RESPONSE_BYTES = 64 * 1024
# A receiver that has answered may finish its sentence, which is of no interest.
_BODY_SECONDS = 1.0
USER_AGENT = "Relay-Inventory-Webhooks/1"


@dataclass(frozen=True)
class WebhookClient:
    """Makes calls; used by many threads."""

    seconds: float = CALL_SECONDS  # the longest that a call may take
    # The most bytes that are read of a response.
    response_bytes: int = RESPONSE_BYTES
    resolve: Resolver = streams.system_addresses  # looks a name up
    # How receivers' certificates are judged; None for the machine's authorities
    given_ssl: SSLContext | None = None

    @cached_property
    def ssl_context(self) -> SSLContext:
        """The judge of receivers' certificates, made when a call is first made."""
        return self.given_ssl or httpcore.default_ssl_context()

    def call(
        self,
        destination: Destination,
        headers: Mapping[str, str],
        body: bytes,
        at: datetime,
    ) -> DeliveryAttempt:
        """Send a body to a destination now, at ``at``, and return the outcome.

        A response other than 2xx is an error.
        """
        began = time.monotonic()
        status_code = None
        try:
            status_code = self._post(destination, headers, body)
            error = _error_of_status(status_code)
        except CallError as call_error:
            error = str(call_error)
        milliseconds = round((time.monotonic() - began) * 1000)
        return DeliveryAttempt(at, status_code, milliseconds, error)

    def _post(
        self, destination: Destination, headers: Mapping[str, str], body: bytes
    ) -> int:
        """Return the status code of the response.

        Raises:
            CallError: There is no response.
        """
        allowance = Allowance(self.seconds, self.response_bytes)
        backend = streams.JudgedBackend(destination, allowance, self.resolve)
        with streams.exchange(
            "POST", backend, headers, ssl_context=self.ssl_context, body=body
        ) as response:
            allowance.shorten(_BODY_SECONDS)
            with suppress(
                CallError,
                httpcore.ProtocolError,
                httpcore.NetworkError,
                OSError,
            ):
                for _ in response.iter_stream():
                    pass
            return int(response.status)


def _error_of_status(status_code: int) -> str | None:
    """Return the error of a status code, or None for a success."""
    status_class = status_code // 100
    if status_class == 2:
        return None
    error = f"the receiver answered {status_code}"
    if status_class == 3:
        return f"{error}; redirects are not followed"
    if status_code == HTTPStatus.GONE:
        return f"{error}; the webhook is disabled"
    return error


def request_headers(
    event_id: str, body: bytes, secrets: Sequence[str], at: datetime
) -> dict[str, str]:
    """Return the headers of one try, with a signature by every secret.

    A signature is of the body, the event's id and the time.
    """
    # The signer takes a time for UTC, whatever its zone is.
    at = at.astimezone(UTC)
    text = body.decode()
    signatures = [Signer(secret).sign(event_id, at, text) for secret in secrets]
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
