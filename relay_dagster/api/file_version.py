"""Conditional requests and byte ranges (RFC 9110) for one version of a file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

_RANGE = re.compile(
    r"bytes=\s*([0-9]{0,99})\s*-\s*([0-9]{0,99})\s*", re.IGNORECASE
)


class NotSatisfiableError(Exception):
    """The requested range has no byte of the file (416)."""


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One version of a file."""

    etag: str  # the strong entity tag, with its quotes
    # The aware instant from which the file has this version.
    modified_at: datetime

    @property
    def last_modified(self) -> str:
        """The ``Last-Modified`` header, in whole seconds."""
        return format_datetime(self._modified_second, usegmt=True)

    @property
    def _modified_second(self) -> datetime:
        return self.modified_at.astimezone(UTC).replace(microsecond=0)

    def matches(self, headers: Mapping[str, str]) -> bool:
        """Return True if the client already has this version, so that 304 is enough."""
        if_none_match = headers.get("if-none-match")
        if if_none_match is not None:
            tags = [
                tag.strip().removeprefix("W/")
                for tag in if_none_match.split(",")
            ]
            return if_none_match.strip() == "*" or self.etag in tags
        since = _http_date(headers.get("if-modified-since"))
        return since is not None and self._modified_second <= since

    def requested_range(
        self, headers: Mapping[str, str], size: int
    ) -> tuple[int, int] | None:
        """Return the range that a request asks for, or None for the whole file.

        The range is the offset of its first byte, and the offset after its last byte. A
        header with several ranges, or with anything else than bytes, asks for the
        whole.

        Raises:
            NotSatisfiableError: The range begins after the end of the file.
        """
        match = _RANGE.fullmatch(headers.get("range", "").strip())
        if match is None or not self._may_be_partial(headers.get("if-range")):
            return None
        first, last = match.groups()
        if not first and not last:
            return None
        if not first:
            # `bytes=-N` asks for the last N bytes.
            start = max(size - int(last), 0)
            stop = size
        else:
            start = int(first)
            stop = min(int(last) + 1, size) if last else size
            if last and int(last) < start:
                return None
        if start >= size or start >= stop:
            raise NotSatisfiableError
        return start, stop

    def _may_be_partial(self, if_range: str | None) -> bool:
        """Return True if the part that the client already has is of this version."""
        if if_range is None or if_range.strip() == self.etag:
            return True
        return _http_date(if_range) == self._modified_second


def _http_date(text: str | None) -> datetime | None:
    """Return the date of a header, in UTC by default; None if it is not a date."""
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date
