"""Conditions and ranges of requests for a file whose strong ETag and time are known (RFC 9110)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

_RANGE = re.compile(r"bytes=\s*([0-9]{0,99})\s*-\s*([0-9]{0,99})\s*", re.IGNORECASE)


class NotSatisfiableError(Exception):
    """No byte of the file lies in the range that is asked for."""


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One version of a file."""

    etag: str  # strong, with its quotes
    modified_at: datetime  # since when it is this one

    @property
    def last_modified(self) -> str:
        """The instant as a header has it, in whole seconds."""
        return format_datetime(self._second, usegmt=True)

    @property
    def _second(self) -> datetime:
        return self.modified_at.astimezone(UTC).replace(microsecond=0)

    def is_known(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request names this version: 304 will do."""
        given = headers.get("if-none-match")
        if given is not None:
            tags = (tag.strip().removeprefix("W/") for tag in given.split(","))
            return given.strip() == "*" or self.etag in tags
        since = _instant(headers.get("if-modified-since"))
        return since is not None and self._second <= since

    def wanted(self, headers: Mapping[str, str], size: int) -> tuple[int, int] | None:
        """Return the part that a request asks for, from and up to; None for the whole.

        Several ranges, and what is no range of bytes, ask for the whole.

        Raises:
            NotSatisfiableError: the file ends before the range begins.
        """
        asked = _RANGE.fullmatch(headers.get("range", "").strip())
        if asked is None or not any(asked.groups()) or not self._still(headers.get("if-range")):
            return None
        first, last = asked.groups()
        if not first:
            start, stop = max(size - int(last), 0), size
        else:
            start, stop = int(first), min(int(last) + 1 if last else size, size)
            if last and int(last) < int(first):
                return None
        if start >= size or start >= stop:
            raise NotSatisfiableError
        return start, stop

    def _still(self, if_range: str | None) -> bool:
        """Tell whether the part that a client has is of this version."""
        if if_range is None:
            return True
        return if_range.strip() == self.etag or _instant(if_range) == self._second


def _instant(text: str | None) -> datetime | None:
    try:
        found = None if text is None else parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found
