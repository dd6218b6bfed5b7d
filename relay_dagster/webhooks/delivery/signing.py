"""What a webhook's request carries beside its body: who it is, when it was sent, and signatures.

They are those of Standard Webhooks 1.0.0, which receivers have libraries for.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook as Signer

USER_AGENT = "Relay-Inventory-Webhooks/1"


def request_headers(
    event_id: str, body: bytes, secrets: Sequence[str], at: datetime
) -> dict[str, str]:
    """Return the headers of one try; every secret signs the body and the id, which has no dot."""
    # The signer takes a clock's reading for UTC, whatever zone it is of.
    at = at.astimezone(UTC)
    signatures = [Signer(secret).sign(event_id, at, body.decode()) for secret in secrets]
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
