"""Parses messages of the queue of uploads: bodies from S3, directly, through SNS or EventBridge.

Pure. Anybody may send a message, so every value is checked.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from relay_dagster.runs.identifiers import is_id

_CREATED, _CREATED_DETAIL = "ObjectCreated:", "Object Created"
_TENANTS = "tenants"
_MAX_SHOWN = 100


class NotAnEventError(ValueError):
    """A message body that is no event of S3; the message says why."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An object that was created; ``at`` is the event's time, aware."""

    bucket: str
    key: str
    at: datetime

    @property
    def tenant_id(self) -> str | None:
        """The tenant that its key names; None for a folder and for an object that is no upload."""
        top, _, rest = self.key.partition("/")
        tenant_id, slash, _ = rest.partition("/")
        is_upload = top == _TENANTS and slash and not self.key.endswith("/")
        return tenant_id if is_upload and is_id(tenant_id) else None


def uploads_in(body: str) -> list[Upload]:
    """Return the objects created according to a body; other events of S3 have none.

    Raises:
        NotAnEventError: it is no event of S3.
    """
    document = _read_object(body)
    if document.get("Type") == "Notification":
        document = _read_object(document.get("Message"))
    try:
        if document.get("Event") == "s3:TestEvent":
            return []
        if document.get("source") == "aws.s3":
            return list(_of_event_bridge(document))
        if isinstance(document.get("Records"), list):
            return [upload for record in document["Records"] for upload in _of_record(record)]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise NotAnEventError(f"an event lacks what it must have: {error!r}") from error
    keys = ", ".join(map(str, document))[:_MAX_SHOWN] or "none"
    raise NotAnEventError(f"it is no event of S3; its keys are {keys}")


def _of_record(record: Mapping[str, Any]) -> Iterator[Upload]:
    name = record["eventName"].removeprefix("s3:")
    if record["eventSource"] != "aws:s3":
        raise NotAnEventError(f"it is an event of {record['eventSource']!r}, not of S3")
    if name.startswith(_CREATED):
        detail = record["s3"]
        key = unquote_plus(detail["object"]["key"])
        yield Upload(_text(detail["bucket"]["name"]), key, _instant(record["eventTime"]))


def _of_event_bridge(document: Mapping[str, Any]) -> Iterator[Upload]:
    """Yield the upload, under its decoded key too if that differs: EventBridge encodes no key."""
    if document["detail-type"] == _CREATED_DETAIL:
        detail = document["detail"]
        key = _text(detail["object"]["key"])
        for each in dict.fromkeys((key, unquote_plus(key))):
            yield Upload(_text(detail["bucket"]["name"]), each, _instant(document["time"]))


def _read_object(body: object) -> Mapping[str, Any]:
    try:
        document = json.loads(_text(body))
    except (TypeError, ValueError, RecursionError) as error:
        raise NotAnEventError(f"the body is not JSON: {str(error)[:_MAX_SHOWN]}") from error
    if not isinstance(document, dict):
        raise NotAnEventError("the body is not a JSON object")
    return document


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is wanted, not {type(value).__name__}")
    return value


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
