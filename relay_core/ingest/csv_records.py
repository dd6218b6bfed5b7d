"""One CSV record at a time, exactly: the header, the records that do not fit, an unclosed quote.

The bulk of a feed is read by Arrow (`csv_reader`); this scanner reads the few records that need a
second look, by the same rules: a quote opens a field only as its first character, and text after
the closing quote is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError

_LINE_END = re.compile(rb"\r\n|\r|\n")
_STAND_INS = b"\x1f\x1e\x1d\x1c\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11"
"""Bytes that can stand in for a delimiter that Arrow does not take."""


class UnclosedQuoteError(ValueError):
    """A quoted field that the text ends in; ``position`` is the offset of its opening quote."""

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__(f"unclosed quote at offset {position}")


class RecordScanner:
    """Read records of UTF-8 CSV text with a one-byte delimiter."""

    def __init__(self, delimiter: bytes) -> None:
        self._delimiter = delimiter[0]
        self._plain = re.compile(b"[^" + re.escape(delimiter) + b"\r\n]*")
        self._quoted = re.compile(b'"((?:[^"]|"")*+)"')
        ends = re.escape(delimiter) + rb"\r\n"
        # Fields that come to their end, as many as do so one after another.
        self._ended = re.compile(b'(?:(?:"(?:[^"]++|"")*+"|(?!"))[^%b]*+[%b])*+' % (ends, ends))

    def record(self, text: memoryview, position: int) -> tuple[list[bytes], int]:
        """Return the fields of the record at ``position`` and where the next one starts.

        Raises:
            UnclosedQuoteError: the text ends inside a quoted field of this record.
        """
        fields = []
        while True:
            field, position = self._field(text, position)
            fields.append(field)
            if position >= len(text) or text[position] != self._delimiter:
                return fields, _after_line_end(text, position)
            position += 1

    def records(self, text: memoryview, position: int = 0) -> Iterator[list[bytes]]:
        """Yield the fields of every record from ``position`` on; empty lines are left out."""
        while position < len(text):
            start = position
            fields, position = self.record(text, position)
            if text[start] not in b"\r\n":
                yield fields

    def unclosed_quote(self, text: memoryview, position: int) -> int | None:
        """Return the offset of the quote that is never closed, in the records from there on."""
        found = self._ended.match(text, position)
        last = position if found is None else found.end()
        is_open = bytes(text[last : last + 1]) == b'"' and self._quoted.match(text, last) is None
        return last if is_open else None

    def _field(self, text: memoryview, position: int) -> tuple[bytes, int]:
        quoted = b""
        if position < len(text) and text[position] == ord('"'):
            found = self._quoted.match(text, position)
            if found is None:
                raise UnclosedQuoteError(position)
            quoted, position = bytes(found[1]).replace(b'""', b'"'), found.end()
        rest = self._plain.match(text, position)
        if rest is None:  # the pattern matches the empty string too
            return quoted, position
        return quoted + bytes(rest[0]), rest.end()


def skip_lines(text: memoryview, lines: int) -> memoryview:
    """Return ``text`` without its first ``lines`` physical lines."""
    position = 0
    for _ in range(lines):
        found = _LINE_END.search(text, position)
        if found is None:
            return text[len(text) :]
        position = found.end()
    return text[position:]


def one_byte_delimiter(text: memoryview, delimiter: str) -> tuple[memoryview, bytes, str | None]:
    """Return text and a delimiter of one byte, and what stands for that byte in the cells."""
    wide = delimiter.encode("utf-8")
    if len(wide) == 1 and wide != b"\x00":  # Arrow takes no NUL
        return text, wide, None
    raw = bytes(text)
    free = stand_in(raw)
    if free is None:
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            f"the feed holds every control character, so it cannot be split at {delimiter!r}; "
            "save it with an ASCII delimiter",
        )
    return memoryview(raw.replace(wide, free)), free, delimiter


def stand_in(raw: bytes) -> bytes | None:
    """Return a byte that a text does not hold, to stand for a longer delimiter; None for none."""
    return next((bytes([mark]) for mark in _STAND_INS if mark not in raw), None)


def line_number(text: memoryview, position: int) -> int:
    """Return the 1-based number of the physical line that holds ``position``."""
    return 1 + sum(1 for _ in _LINE_END.finditer(text, 0, position))


def _after_line_end(text: memoryview, position: int) -> int:
    found = _LINE_END.match(text, position)
    return position if found is None else found.end()
