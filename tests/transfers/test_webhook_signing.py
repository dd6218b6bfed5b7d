from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from relay_dagster.transfers.webhook_calls import request_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "QUJD" * 11
EVENT_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
BODY = b'{"test": 2432232314}'
KNOWN = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
AT = datetime.fromtimestamp(1614265330, UTC)


@pytest.mark.parametrize("hours", [0, 2, -9], ids=["utc", "east", "west"])
def test_a_known_request_has_its_known_signature(hours: int) -> None:
    at = AT.astimezone(timezone(timedelta(hours=hours)))
    assert request_headers(EVENT_ID, BODY, [SECRET], at) == {
        "content-type": "application/json",
        "user-agent": "Relay-Inventory-Webhooks/1",
        "webhook-id": EVENT_ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": KNOWN,
    }


def test_a_part_of_a_second_is_left_out_of_both() -> None:
    headers = request_headers(
        EVENT_ID, BODY, [SECRET], AT + timedelta(milliseconds=999)
    )
    assert (headers["webhook-timestamp"], headers["webhook-signature"]) == (
        "1614265330",
        KNOWN,
    )


@pytest.mark.parametrize("secret", [SECRET, OTHER], ids=["new", "old"])
def test_while_a_secret_is_rotated_a_receiver_may_know_either(
    secret: str,
) -> None:
    body = '{"name":"Bücher…"}'.encode()
    headers = request_headers(
        EVENT_ID, body, [SECRET, OTHER], datetime.now(UTC)
    )
    assert len(headers["webhook-signature"].split()) == 2
    assert Webhook(secret).verify(body, headers) == {"name": "Bücher…"}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers)


def test_a_secret_that_signs_no_more_is_refused() -> None:
    headers = request_headers(EVENT_ID, BODY, [SECRET], datetime.now(UTC))
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(BODY, headers)
