"""docs/WEBHOOKS.md: its snippets verify what is sent, and its tables say what is done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay_dagster.transfers.webhook_calls import (
    CALL_SECONDS,
    RESPONSE_BYTES,
    request_headers,
)
from relay_dagster.webhooks.model import EventType, new_secret
from relay_dagster.webhooks.run_events import trial_event
from relay_dagster.webhooks.webhook_schedule import WAITS
from support.pages import PAGES

PAGE = PAGES["docs/WEBHOOKS.md"]
SNIPPETS = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
NAMES = ("library", "by_hand")
BODY = '{"type":"run.failed","data":{"error_message":"Bücher…"}}'.encode()

Read = Callable[[str, dict[str, str], bytes], Any]


@pytest.fixture(params=NAMES)
def read(request: pytest.FixtureRequest) -> Read:
    space: dict[str, Any] = {}
    exec(SNIPPETS[NAMES.index(request.param)], space)  # noqa: S102 - the page's own code
    return space["read_webhook"]


def test_a_snippet_reads_what_is_sent(read: Read) -> None:
    old = new_secret()
    new = new_secret()
    headers = request_headers("msg_1", BODY, [new, old], datetime.now(UTC))
    for secret in (old, new):
        assert read(secret, headers, BODY) == json.loads(BODY)


@pytest.mark.parametrize("what", ["secret", "body", "time", "old"])
def test_a_snippet_refuses_what_somebody_else_sends(
    read: Read, what: str
) -> None:
    secret = new_secret()
    at = datetime.now(UTC)
    if what == "old":
        at -= timedelta(minutes=6)
    headers = request_headers("msg_1", BODY, [secret], at)
    if what == "time":
        headers["webhook-timestamp"] = str(int(at.timestamp()) + 1)
    used_secret = new_secret() if what == "secret" else secret
    with pytest.raises(Exception, match=r"(?i)signed|signature|old|ago"):
        read(used_secret, headers, BODY + b" " if what == "body" else BODY)


def test_the_tries_are_those_that_are_made() -> None:
    rows = re.findall(r"^\| (\d) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(
        range(1, len(WAITS) + 1)
    )
    assert [seconds(wait) for _, wait, _ in rows] == [
        wait.total_seconds() for wait in WAITS
    ]
    sums = [
        sum(wait.total_seconds() for wait in WAITS[: number + 1])
        for number in range(8)
    ]
    # Told to the minute, where there are minutes.
    assert [seconds(text) for *_, text in rows] == [
        s if s < 60 else s // 60 * 60 for s in sums
    ]


def seconds(text: str) -> int:
    units = {"s": 1, "min": 60, "h": 3600}
    return sum(
        int(n) * units[unit]
        for n, unit in re.findall(r"(\d+) (s|min|h)\b", text)
    )


def test_the_body_that_is_shown_has_the_fields_of_one_that_is_sent() -> None:
    (example,) = (
        json.loads(text)
        for text in re.findall(r"```json\n(.+?)```", PAGE, re.DOTALL)
    )
    sent = json.loads(trial_event("acme", "wh_1", datetime.now(UTC)).body)
    assert list(example) == list(sent)
    assert list(example["data"]) == list(sent["data"])


def test_every_event_is_explained() -> None:
    table = PAGE.partition("| `type` | sent when |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`((?:run|feed|vendor|webhook)\.\w+)`", table)) == {
        *map(str, EventType)
    }


def test_the_limits_of_a_call_are_those_that_are_told() -> None:
    assert f"within {CALL_SECONDS:g} seconds" in PAGE
    assert f"{RESPONSE_BYTES // 1024} KiB of it" in PAGE
    assert "`Relay-Inventory-Webhooks/1`" in PAGE
