"""The deliveries of a config: the servers that get each publication of the feed."""

import hashlib
import re
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

import relay_core.config.cross_checks as cross_checks
import relay_core.config.values as values
import relay_core.domain.doors as doors
from relay_core.config.channels import KnownChannel
from relay_core.config.pulls import HostKey
from relay_core.config.refusals import note_id, refuse
from relay_core.domain.cell_rules import shorten
from relay_core.domain.destination import Destination, UnfitUrlError, judge_url
from relay_core.domain.limits import DEFAULT_LIMITS

WHAT = "what"
NAME_PARTS = {
    "tenant_id": 64,
    "channel_id": 64,
    "run_id": 36,
    "seq": 19,
    WHAT: 7,
    "date": 8,
    "time": 6,
}
"""The parts of a file's name in braces, with the length of the longest value of each."""
_NUMBERED_PARTS = ("run_id", "seq", "time")
_PART = re.compile(r"\{([^{}]*)\}")
WHOLE_EVERY_HOURS = 168
"""The hours from one whole file to the next, between which only changes are sent."""
# File systems allow 255 bytes, and the file has `.part` at its end while it is written.
_MAX_NAME_BYTES = 250


def _note_delivery(delivery_id: str, info: ValidationInfo) -> str:
    """Refuse a delivery's id that an earlier delivery has."""
    delivery_ids = cross_checks.context_of(info).delivery_ids
    note_id(delivery_id, delivery_ids, "delivery")
    return delivery_id


def _check_url(text: str) -> str:
    """Refuse a URL that is not a folder of a server that gets deliveries.

    An operator decides whether a URL may lead to this machine, so that is not judged.
    """
    try:
        destination = judge_url(
            text,
            allow_loopback=True,
            schemes=doors.DELIVERY_SCHEMES,
        )
    except UnfitUrlError as error:
        raise refuse(str(error)) from error
    folder = unquote(destination.target)
    if not folder.endswith("/"):
        raise refuse(
            "must be a folder and end in a slash; the name of the file is in file_name",
        )
    if "\0" in folder:
        raise refuse("must not contain %00; remove it")
    return text


def _check_file_name(pattern: str) -> str:
    """Refuse a pattern that cannot name a file in the folder."""
    fixed_text = _PART.sub("", pattern)
    if "/" in pattern or cross_checks.CONTROL.search(pattern):
        raise refuse(
            "must be the name of a file in the folder of the url, without slashes and "
            "control characters",
        )
    if "{" in fixed_text or "}" in fixed_text:
        raise refuse(
            "must use braces only in pairs around the name of a part, such as {run_id}",
        )
    names = _PART.findall(pattern)
    for name in names:
        if name not in NAME_PARTS:
            parts = ", ".join(f"{{{part}}}" for part in NAME_PARTS)
            raise refuse(
                f"{shorten(f'{{{name}}}')} is not a part of file names; use {parts}",
            )
    if not names and fixed_text in (".", ".."):
        raise refuse(f"{shorten(pattern)} is not the name of a file")
    longest = len(fixed_text.encode()) + sum(NAME_PARTS[name] for name in names)
    if longest > _MAX_NAME_BYTES:
        raise refuse(
            f"can make a name of {longest} bytes; the limit is {_MAX_NAME_BYTES}",
        )
    return pattern


class DeliveryConfig(values.Section):
    """A server that gets each publication, and the name of the file there."""

    delivery_id: Annotated[values.Id, AfterValidator(_note_delivery)]
    url: Annotated[
        values.Trimmed,
        AfterValidator(_check_url),
        Field(
            description=doors.url_forms(
                door.delivery_url for door in doors.DOORS.values()
            ),
        ),
    ]
    channel_id: KnownChannel | None = None
    what: Literal["feed", "changes"] = "feed"
    whole_every_hours: values.HoursOfYear | None = WHOLE_EVERY_HOURS
    secret: values.Id
    host_key: HostKey
    file_name: (
        Annotated[
            values.Filled,
            AfterValidator(_check_file_name),
            Field(
                description="The name of the file, with parts such as `{run_id}`.",
            ),
        ]
        | None
    ) = None

    @field_validator("file_name")
    @classmethod
    def _tells_changes_apart(
        cls,
        pattern: str | None,
        info: ValidationInfo,
    ) -> str | None:
        if pattern is None or info.data.get("what") != "changes":
            return pattern
        names = set(_PART.findall(pattern))
        if WHAT not in names or not names.intersection(_NUMBERED_PARTS):
            raise refuse(
                "must have {what} and one of {run_id}, {seq}, and {time} with what: "
                "changes, so that no file of changes is lost or taken for the whole feed",
            )
        return pattern

    def named(self, parts: dict[str, str], default: str) -> str:
        """Return the name of a file.

        ``parts`` has the value of each of `NAME_PARTS`. ``default`` is the name of the
        published copy.
        """
        if self.file_name is not None:
            return _PART.sub(lambda part: parts[part[1]], self.file_name)
        if self.what == "changes":
            return f"{parts[WHAT]}-{default}"
        return default

    def destination(self, *, allow_loopback: bool) -> Destination:
        """Return the destination of the URL.

        Raises:
            UnfitUrlError: The URL leads to this machine, and no operator allows that.
        """
        return judge_url(
            self.url,
            allow_loopback=allow_loopback,
            schemes=doors.DELIVERY_SCHEMES,
        )

    @property
    def digest(self) -> str:
        """The SHA-256 of all options, which tells a changed entry from an equal one."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


Deliveries = Annotated[
    tuple[DeliveryConfig, ...],
    Field(json_schema_extra={"maxItems": DEFAULT_LIMITS.deliveries}),
    cross_checks.at_most("deliveries"),
]
