"""What a message of the queue of uploads says: bodies from S3, through SNS and EventBridge.

Pure. Anybody may send one, so what is read is judged value by value.
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
_MOST_SHOWN = 100


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
        """The tenant whose it is, by its key; None for a folder and for what is no upload."""
        top, _, rest = self.key.partition("/")
        tenant_id, slash, _ = rest.partition("/")
        is_upload = top == _TENANTS and slash and not self.key.endswith("/")
        return tenant_id if is_upload and is_id(tenant_id) else None


def uploads_in(body: str) -> list[Upload]:
    """Return the objects that a body says were created; of other events of S3, none.

    Raises:
        NotAnEventError: it is no event of S3.
    """
    document = _read_object(body)
    if document.get("Type") == "Notification":
        document = _read_object(document.get("Message"))
    try:
        return list(_uploads(document))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise NotAnEventError(f"an event lacks what it must have: {error!r}") from error


def _uploads(document: Mapping[str, Any]) -> Iterator[Upload]:
    if document.get("Event") == "s3:TestEvent":
        return
    if document.get("source") == "aws.s3":
        yield from _of_event_bridge(document)
    elif isinstance(document.get("Records"), list):
        for record in document["Records"]:
            yield from _of_record(record)
    else:
        raise NotAnEventError(f"it is no event of S3; its keys are {_shown(document)}")


def _of_record(record: Mapping[str, Any]) -> Iterator[Upload]:
    name = record["eventName"].removeprefix("s3:")
    if record["eventSource"] != "aws:s3":
        raise NotAnEventError(f"it is an event of {record['eventSource']!r}, not of S3")
    if name.startswith(_CREATED):
        told = record["s3"]
        key = unquote_plus(told["object"]["key"])
        yield Upload(_text(told["bucket"]["name"]), key, _instant(record["eventTime"]))


def _of_event_bridge(document: Mapping[str, Any]) -> Iterator[Upload]:
    """Yield the upload, under both keys where they differ: EventBridge does not encode it."""
    if document["detail-type"] == _CREATED_DETAIL:
        told = document["detail"]
        key = _text(told["object"]["key"])
        for each in dict.fromkeys((key, unquote_plus(key))):
            yield Upload(_text(told["bucket"]["name"]), each, _instant(document["time"]))


def _read_object(body: object) -> Mapping[str, Any]:
    try:
        document = json.loads(_text(body))
    except (TypeError, ValueError, RecursionError) as error:
        raise NotAnEventError(f"the body is not JSON: {str(error)[:_MOST_SHOWN]}") from error
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


def _shown(document: Mapping[str, Any]) -> str:
    return ", ".join(map(str, document))[:_MOST_SHOWN] or "none"
