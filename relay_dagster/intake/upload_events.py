"""The events by which S3 tells of created objects, read from the bodies of messages.

They come from S3 directly, through SNS, or through EventBridge. Anybody may send a
message, so every value is checked.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from relay_dagster.runs.job_message import is_id

_CREATED = "ObjectCreated:"
_CREATED_DETAIL = "Object Created"
_UPLOADS_FOLDER = "tenants"
_MAX_SHOWN = 100


class NotAnEventError(ValueError):
    """The body of a message is not an event of S3; the text of the error says why."""


@dataclass(frozen=True, slots=True)
class CreatedObject:
    """An object that was created."""

    bucket: str
    key: str
    at: datetime  # the time of the event, aware

    @property
    def tenant_id(self) -> str | None:
        """The tenant whose upload it is; None for folders and for other objects."""
        top_folder, _, path = self.key.partition("/")
        tenant_id, slash, _ = path.partition("/")
        is_file = bool(slash) and not self.key.endswith("/")
        is_upload = top_folder == _UPLOADS_FOLDER and is_file
        return tenant_id if is_upload and is_id(tenant_id) else None


def uploads_in(body: str) -> list[CreatedObject]:
    """Return the created objects that a message's body tells of.

    Raises:
        NotAnEventError: The body is not an event of S3.
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
            uploads: list[CreatedObject] = []
            for record in document["Records"]:
                uploads += _of_record(record)
            return uploads
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise NotAnEventError(
            f"a required part of an event is missing or invalid: {error!r}"
        ) from error
    keys = ", ".join(map(str, document))[:_MAX_SHOWN] or "none"
    raise NotAnEventError(f"it is not an event of S3; its keys are {keys}")


def _of_record(record: Mapping[str, Any]) -> Iterator[CreatedObject]:
    name = _text(record["eventName"]).removeprefix("s3:")
    source = record["eventSource"]
    if source != "aws:s3":
        raise NotAnEventError(f"it is an event of {source!r}, not of S3")
    if name.startswith(_CREATED):
        detail = record["s3"]
        bucket = _text(detail["bucket"]["name"])
        key = unquote_plus(_text(detail["object"]["key"]))
        yield CreatedObject(bucket, key, _instant(record["eventTime"]))


def _of_event_bridge(document: Mapping[str, Any]) -> Iterator[CreatedObject]:
    """Yield the upload, and once more under its decoded key if that differs.

    EventBridge encodes no key, so a key that looks encoded may be meant literally.
    """
    if document["detail-type"] != _CREATED_DETAIL:
        return
    detail = document["detail"]
    bucket = _text(detail["bucket"]["name"])
    key = _text(detail["object"]["key"])
    for possible_key in dict.fromkeys((key, unquote_plus(key))):
        yield CreatedObject(bucket, possible_key, _instant(document["time"]))


def _read_object(body: object) -> Mapping[str, Any]:
    try:
        document = json.loads(_text(body))
    except (TypeError, ValueError, RecursionError) as error:
        reason = str(error)[:_MAX_SHOWN]
        raise NotAnEventError(f"the body is not JSON: {reason}") from error
    if not isinstance(document, dict):
        raise NotAnEventError("the body is not a JSON object")
    return document


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is wanted, not {type(value).__name__}")
    return value


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return instant.astimezone(UTC)
