"""One CSV record at a time, exactly: headers, odd records, and fields without an end.

Arrow reads the bulk of a feed (`csv_reader`). This scanner reads the few records that
need a second look, by the same rules: a quote opens a field only as its first
character, and text after the closing quote is kept.
"""

import mmap
import re
from collections.abc import Iterator, Sequence
from itertools import compress

from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import DEFAULT_LIMITS

_LINE_END = re.compile(rb"\r\n|\r|\n")
_LINE_ENDS = re.compile(rb"[\r\n]*")
_WINDOW_BYTES = 1 << 20
"""The number of bytes that are searched at once for the numbers of their lines."""
_RARE_BYTES = (
    b"\x1f\x1e\x1d\x1c\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11"
)
"""Bytes that can replace a delimiter that Arrow does not accept."""
_QUOTE = ord('"')


class UnclosedQuoteError(ValueError):
    """The text ends inside a quoted field.

    Attributes:
        position: The offset of the opening quote.
    """

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__(f"unclosed quote at offset {position}")


class LargeFieldError(ValueError):
    """A field has more bytes than it may have.

    Attributes:
        position: The offset of the field.
        is_open: Whether the field has a quote that is not closed within the limit.
    """

    def __init__(self, position: int, *, is_open: bool) -> None:
        self.position = position
        self.is_open = is_open
        super().__init__(f"large field at offset {position}")


class RecordScanner:
    """Reads records of UTF-8 CSV text with a one-byte delimiter.

    A field has at most ``max_field_bytes``, its quotes not counted. Without
    ``quoting``, a quote is a character like any other.
    """

    def __init__(
        self,
        delimiter: bytes,
        max_field_bytes: int = DEFAULT_LIMITS.cell_bytes,
        *,
        quoting: bool = True,
    ) -> None:
        self._delimiter = delimiter
        self._delimiter_byte = delimiter[0]
        self._max_field_bytes = max_field_bytes
        self._quoting = quoting
        # Enough for both quotes, a field of doubled quotes, and one byte more.
        self._window_bytes = 2 * max_field_bytes + 3
        mark = re.escape(delimiter)
        marks = mark + rb"\r\n"
        quoted_part = b'(?:"(?:[^"]++|"")*+"|(?!"))' if quoting else b""
        no_quote = b'(?!")' if quoting else b""
        field = b"%b[^%b]*+" % (quoted_part, marks)
        delimited = b"%b%b" % (field, mark)
        line_end = _LINE_END.pattern
        record = b"(?:%b)*+%b(?:%b)" % (delimited, field, line_end)
        last_record = b"(?:%b)*+%b(?:%b|\\Z)" % (delimited, field, line_end)
        self._unquoted_field = re.compile(b"[^%b]*" % marks)
        self._quoted_field = re.compile(b'"((?:[^"]|"")*+)"')
        self._delimited_field = re.compile(delimited)
        self._record = re.compile(record)
        # A quoted field up to its first line end.
        self._broken_field = re.compile(
            rb'"(?<![^%b]")(?:[^"\r\n]++|"")*+[\r\n]' % marks,
        )
        # Each of these matches as many fields or records as there are, also none.
        self._unquoted_fields = re.compile(
            b"(?:%b[^%b]*+%b)*+" % (no_quote, marks, mark),
        )
        self._delimited_fields = re.compile(b"(?:%b)*+" % delimited)
        self._ended_fields = re.compile(b"(?:%b[%b])*+" % (field, marks))
        self._optional_record = re.compile(b"(?:%b)?" % last_record)
        self._ended_records = re.compile(b"(?:%b)*+" % record)

    def record(
        self,
        text: memoryview,
        position: int,
    ) -> tuple[list[bytes], int]:
        """Return the fields of the record at a position, and where the next one starts.

        Raises:
            UnclosedQuoteError: The text ends inside a quoted field.
            LargeFieldError: A field is too large.
        """
        fields: list[bytes] = []
        while True:
            limit = position + self._max_field_bytes + 1
            end = _match_end(self._unquoted_fields, text, position, limit)
            if end > position:
                fields += bytes(text[position : end - 1]).split(self._delimiter)
            field, position = self._field(text, end)
            fields.append(field)
            if position >= len(text) or text[position] != self._delimiter_byte:
                line_end = _LINE_END.match(text, position)
                return fields, position if line_end is None else line_end.end()
            position += 1

    def may_break(self, text: bytes) -> bool:
        """Return whether a field of a text may have a line end.

        The text starts with a record.
        """
        if not self._quoting or b'"' not in text:
            return False
        return self._broken_field.search(text) is not None

    def record_end(self, text: memoryview, position: int) -> int:
        """Return where the record after the one at ``position`` may start.

        Raises:
            UnclosedQuoteError: The text ends inside a quoted field.
            LargeFieldError: A field is too large.
        """
        end = _match_end(self._optional_record, text, position)
        return self.record(text, position)[1] if end == position else end

    def widths(self, text: memoryview) -> Iterator[int]:
        """Yield the number of fields of each record; empty lines are no records.

        Raises:
            UnclosedQuoteError: The text ends inside a quoted field.
            LargeFieldError: A field is too large.
        """
        position = 0
        while (position := after_empty_lines(text, position)) < len(text):
            end = _match_end(self._optional_record, text, position)
            if end == position:
                fields, _ = self.record(text, position)
                yield len(fields)
                return
            record = bytes(text[position:end])
            if self._quoting and b'"' in record:
                last_field = _match_end(
                    self._delimited_fields,
                    text,
                    position,
                    end,
                )
                yield 1 + self._delimited_count(text, position, last_field)
            else:
                yield 1 + record.count(self._delimiter_byte)
            position = end

    def unclosed_quote(self, text: memoryview, position: int) -> int | None:
        """Return the offset of the quote that is never closed, from a record on."""
        end = _match_end(self._ended_fields, text, position)
        if not self._quoting or bytes(text[end : end + 1]) != b'"':
            return None
        return end if self._quoted_field.match(text, end) is None else None

    def large_field(
        self,
        text: memoryview,
        position: int,
    ) -> LargeFieldError | None:
        """Return an error for the first field of at least twice the allowed bytes.

        The search starts at a record. It may pass over smaller fields, and over one
        that the text ends in.
        """
        while position + self._window_bytes < len(text):
            limit = position + self._window_bytes
            end = _match_end(self._ended_fields, text, position, limit)
            if end == position:
                is_open = self._quoting and text[end] == _QUOTE
                return LargeFieldError(end, is_open=is_open)
            position = end
        return None

    def first_large(self, record: memoryview) -> int | None:
        """Return the offset of a record's first field that is too large, or None."""
        raw = bytes(record)
        if self._quoting and b'"' in raw:
            try:
                self.record(record, 0)
            except LargeFieldError as error:
                return error.position
            return None
        start = 0
        while start + self._max_field_bytes < len(raw):
            # None of the fields before the last delimiter within the limit is too
            # large.
            limit = start + self._max_field_bytes + 1
            delimiter = raw.rfind(self._delimiter, start, limit)
            if delimiter < 0:
                return start
            start = delimiter + 1
        return None

    def numbers_at(
        self,
        text: memoryview,
        start: int,
        position: int,
    ) -> tuple[int, int]:
        """Return the numbers of the record and of the field at a position.

        Both count from 1, records from ``start`` on. Empty lines are no records.
        """
        record_start = _match_end(self._ended_records, text, start, position)
        records = self._record.finditer(text, start, record_start)
        filled = sum(text[match.start()] not in b"\r\n" for match in records)
        field_count = self._delimited_count(text, record_start, position)
        return filled + 1, field_count + 1

    def _delimited_count(self, text: memoryview, start: int, end: int) -> int:
        return sum(1 for _ in self._delimited_field.finditer(text, start, end))

    def _field(self, text: memoryview, position: int) -> tuple[bytes, int]:
        """Return the field at ``position``, and where it ends."""
        start = position
        quoted = b""
        if self._quoting and position < len(text) and text[position] == _QUOTE:
            limit = position + self._window_bytes
            match = self._quoted_field.match(text, position, limit)
            if match is None:
                if limit < len(text):
                    raise LargeFieldError(start, is_open=True)
                raise UnclosedQuoteError(position)
            quoted = bytes(match[1]).replace(b'""', b'"')
            position = match.end()
        end = _match_end(self._unquoted_field, text, position)
        if len(quoted) + end - position > self._max_field_bytes:
            raise LargeFieldError(start, is_open=False)
        return quoted + bytes(text[position:end]), end


def _match_end(
    pattern: re.Pattern[bytes],
    text: memoryview,
    start: int,
    limit: int | None = None,
) -> int:
    """Return where a pattern's match ends; the pattern also matches the empty text."""
    match = pattern.match(text, start, len(text) if limit is None else limit)
    return start if match is None else match.end()


def skip_lines(text: memoryview, count: int) -> memoryview:
    """Return ``text`` without its first physical lines."""
    position = 0
    for _ in range(count):
        line_end = _LINE_END.search(text, position)
        if line_end is None:
            return text[len(text) :]
        position = line_end.end()
    return text[position:]


def one_byte_delimiter(
    text: memoryview,
    delimiter: str,
) -> tuple[memoryview, bytes]:
    """Return the text with a delimiter of one byte, and the delimiter.

    Arrow accepts no other. No cell has the new delimiter, unless it is the given one.

    Raises:
        FeedUnreadableError: ``invalid_input`` if the text has all bytes that can
            replace a longer delimiter.
    """
    encoded = delimiter.encode("utf-8")
    if len(encoded) == 1 and encoded != b"\x00":  # Arrow does not accept NUL
        return text, encoded
    raw = bytes(text)
    replacement = unused_byte(raw)
    if replacement is None:
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            "the file contains every control character, so it cannot be split at "
            f"{delimiter!r}. Save it with an ASCII delimiter.",
        )
    return memoryview(raw.replace(encoded, replacement)), replacement


def unused_byte(raw: bytes) -> bytes | None:
    """Return a byte that can replace a longer delimiter in a text, or None."""
    for byte in _RARE_BYTES:
        if byte not in raw:
            return bytes([byte])
    return None


def line_number(text: memoryview, position: int) -> int:
    """Return the number, from 1, of the physical line with the offset ``position``."""
    return 1 + _line_ends(text, 0, position)


def after_empty_lines(text: memoryview, position: int) -> int:
    """Return where the first line that is not empty starts, from ``position`` on."""
    return _match_end(_LINE_ENDS, text, position)


# --- the lines at which records start, for the few records in reports ---------------


def physical_lines(
    text: memoryview,
    scanner: RecordScanner,
    position: int,
    ordinals: Sequence[int],
    record_count: int | None = None,
) -> list[int]:
    """Return the number of the line at which each of some records starts, from 1.

    ``position`` is where the first record, or an empty line before it, starts. The
    ordinals of the records are ascending and count from 1. ``record_count`` is the
    number of records from there on, if the caller knows it.
    """
    # Each line is a record.
    if _remaining_lines(text, position) == record_count:
        lines_before = line_number(text, position) - 1
        return [lines_before + ordinal for ordinal in ordinals]
    found_lines: list[int] = []
    records_before = 0
    for lines in _lines_of_records(text, scanner, position):
        records_so_far = records_before + len(lines)
        for ordinal in ordinals[len(found_lines) :]:
            if ordinal > records_so_far:
                break
            found_lines.append(lines[ordinal - records_before - 1])
        if len(found_lines) == len(ordinals):
            break
        records_before = records_so_far
    return found_lines


def release_mapped(data: bytes | bytearray | memoryview) -> None:
    """Give the memory of a mapped file back to the system; its pages can be read again.

    Data that can be written to is left alone: it may not come from a file, and would be
    lost.
    """
    if not isinstance(data, memoryview) or not data.readonly:
        return
    if isinstance(data.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        data.obj.madvise(mmap.MADV_DONTNEED)


def _remaining_lines(text: memoryview, position: int) -> int:
    """Return the number of lines from a position on; -1 if a line ends in CR."""
    line_count = 0 if bytes(text[-1:]) == b"\n" else 1
    for start in range(position, len(text), _WINDOW_BYTES):
        window = bytes(text[start : start + _WINDOW_BYTES])
        if b"\r" in window:
            return -1
        line_count += window.count(b"\n")
        release_mapped(text)
    return line_count


def _lines_of_records(
    text: memoryview,
    scanner: RecordScanner,
    position: int,
) -> Iterator[Sequence[int]]:
    """Yield the lines at which records start, a window of the text at a time."""
    line = line_number(text, position)
    while position < len(text):
        end = window_end(text, position)
        window = bytes(text[position:end])
        if not scanner.may_break(window):
            window_lines = window.splitlines()
            numbers = range(line, line + len(window_lines))
            # Empty lines are no records.
            yield (
                numbers
                if all(window_lines)
                else [*compress(numbers, window_lines)]
            )
            position = end
            line += len(window_lines)
            continue
        record_lines: list[int] = []
        while position < end:
            start = after_empty_lines(text, position)
            line += _line_ends(text, position, start)
            position = start
            if start < len(text):
                record_lines.append(line)
                position = scanner.record_end(text, start)
                line += _line_ends(text, start, position)
        yield record_lines


def _line_ends(text: memoryview, start: int, end: int) -> int:
    return sum(1 for _ in _LINE_END.finditer(text, start, end))


def window_end(
    text: memoryview,
    position: int,
    size: int = _WINDOW_BYTES,
) -> int:
    """Return the end of a window of about ``size`` bytes: after a line or the text."""
    while position + size < len(text):
        window = bytes(text[position : position + size])
        last_line_end = max(window.rfind(b"\n"), window.rfind(b"\r"))
        if last_line_end >= 0:
            end = position + last_line_end + 1
            is_split = bytes(text[end - 1 : end + 1]) == b"\r\n"
            return end + 1 if is_split else end
        size *= 4
    return len(text)
