"""One call to a receiver: a signed POST, and what is made of the answer.

Nothing of what a receiver says is kept but its status code, and nothing that it does takes longer
or more memory than a call may: it may hang, answer for ever, or lead elsewhere. Signatures are
those of Standard Webhooks 1.0.0, which receivers have libraries for.
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
from relay_dagster.transfers.streams import (
    Allowance,
    CallError,
    JudgedBackend,
    Resolver,
    exchange,
    system_addresses,
)
from relay_dagster.webhooks.model import DeliveryAttempt

CALL_SECONDS = 15.0
ANSWER_BYTES = 64 * 1024
# Whoever has answered may finish its sentence; what it says is of no interest.
_REST_SECONDS = 1.0
USER_AGENT = "Relay-Inventory-Webhooks/1"


@dataclass(frozen=True)
class WebhookClient:
    """Makes calls; shared by threads."""

    seconds: float = CALL_SECONDS  # that a call may take, whatever it does meanwhile
    answer_bytes: int = ANSWER_BYTES  # that are read of an answer
    resolve: Resolver = system_addresses  # looks a name up
    # How receivers' certificates are judged; None by the machine's authorities
    given_ssl: SSLContext | None = None

    @cached_property
    def judged_by(self) -> SSLContext:
        """How receivers' certificates are judged; read when a call is first made."""
        return self.given_ssl or httpcore.default_ssl_context()

    def call(
        self,
        destination: Destination,
        headers: Mapping[str, str],
        body: bytes,
        at: datetime,
    ) -> DeliveryAttempt:
        """Send a body to a destination, now (``at``); an answer other than 2xx is an error, too."""
        began = time.monotonic()
        status_code = None
        allowance = Allowance(self.seconds, self.answer_bytes)
        backend = JudgedBackend(destination, allowance, self.resolve)
        try:
            trust = self.judged_by
            with exchange(
                "POST", backend, headers, ssl_context=trust, body=body
            ) as response:
                allowance.shorten(_REST_SECONDS)
                with suppress(
                    CallError, httpcore.ProtocolError, httpcore.NetworkError, OSError
                ):
                    for _ in response.iter_stream():
                        pass
                status_code = int(response.status)
            error = (
                None
                if status_code // 100 == 2
                else f"the receiver answered {status_code}"
            )
            if status_code // 100 == 3:
                error = f"{error}; redirects are not followed"
            elif status_code == HTTPStatus.GONE:
                error = f"{error}; the webhook is disabled"
        except CallError as caught:
            error = str(caught)
        milliseconds = round((time.monotonic() - began) * 1000)
        return DeliveryAttempt(at, status_code, milliseconds, error)


def request_headers(
    event_id: str, body: bytes, secrets: Sequence[str], at: datetime
) -> dict[str, str]:
    """Return the headers of one try; every secret signs the body and the id, which has no dot."""
    # The signer takes a clock's reading for UTC, whatever zone it is of.
    at = at.astimezone(UTC)
    signatures = [
        Signer(secret).sign(event_id, at, body.decode()) for secret in secrets
    ]
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
