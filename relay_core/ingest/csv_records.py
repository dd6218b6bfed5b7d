"""One CSV record at a time, exactly: the header, records that do not fit, fields without an end.

The bulk of a feed is read by Arrow (`csv_reader`); this scanner reads the few records that need a
second look, by the same rules: a quote opens a field only as its first character, and text after
the closing quote is kept.
"""

import mmap
import re
from collections.abc import Iterator, Sequence
from itertools import compress

from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import DEFAULT_LIMITS

_LINE_END = re.compile(rb"\r\n|\r|\n")
_WINDOW = 1 << 20  # so many bytes are walked at once for the numbers of their lines
_LINE_ENDS = re.compile(rb"[\r\n]*")
_RARE_BYTES = (
    b"\x1f\x1e\x1d\x1c\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11"
)
"""Bytes that can stand in for a delimiter that Arrow does not take."""


class UnclosedQuoteError(ValueError):
    """A quoted field that the text ends in; ``position`` is the offset of its opening quote."""

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__(f"unclosed quote at offset {position}")


class LargeFieldError(ValueError):
    """A field of more bytes than one may have; ``is_open``: a quote is left open for longer."""

    def __init__(self, position: int, *, is_open: bool) -> None:
        self.position = position
        self.is_open = is_open
        super().__init__(f"large field at offset {position}")


class RecordScanner:
    """Read records of UTF-8 CSV text with a one-byte delimiter.

    A field has at most ``longest`` bytes, without its quotes; with ``quoting`` a quote opens one.
    """

    def __init__(
        self,
        delimiter: bytes,
        longest: int = DEFAULT_LIMITS.cell_bytes,
        *,
        quoting: bool = True,
    ) -> None:
        self._quoting = quoting
        opened = b'(?:"(?:[^"]++|"")*+"|(?!"))' if quoting else b""
        unopened = b'(?!")' if quoting else b""
        self._delimiter, self._mark = delimiter[0], delimiter
        self._longest = longest
        self._window = (
            2 * longest + 3
        )  # both quotes, each byte a doubled one, and one more
        ends = re.escape(delimiter) + rb"\r\n"
        self._plain = re.compile(b"[^%b]*" % ends)
        self._plain_delimited = re.compile(
            b"(?:%b[^%b]*+%b)*+" % (unopened, ends, re.escape(delimiter))
        )
        self._quoted = re.compile(b'"((?:[^"]|"")*+)"')
        # A quoted field, as far as its first line end.
        self._broken = re.compile(rb'"(?<![^%b]")(?:[^"\r\n]++|"")*+[\r\n]' % ends)
        field = b"%b[^%b]*+" % (opened, ends)
        self._delimited = re.compile(b"%b%b" % (field, re.escape(delimiter)))
        self._all_delimited = re.compile(b"(?:%b)*+" % self._delimited.pattern)
        record = b"(?:%b)*+%b(?:%b)" % (
            self._delimited.pattern,
            field,
            _LINE_END.pattern,
        )
        self._record = re.compile(record)
        # Fields, and records, that come to their end, as many as do so one after another.
        self._ended = re.compile(b"(?:%b[%b])*+" % (field, ends))
        self._whole_record = re.compile(
            rb"(?:(?:%b)*+%b(?:%b|\Z))?"
            % (self._delimited.pattern, field, _LINE_END.pattern)
        )
        self._ended_records = re.compile(b"(?:%b)*+" % record)

    def record(self, text: memoryview, position: int) -> tuple[list[bytes], int]:
        """Return a record's fields and where the next one starts.

        `UnclosedQuoteError`: the text ends inside a quoted field; `LargeFieldError`: one is large.
        """
        fields = []
        while True:
            last = _end(
                self._plain_delimited, text, position, position + self._longest + 1
            )
            if last > position:
                fields += bytes(text[position : last - 1]).split(self._mark)
            field, position = self._field(text, last)
            fields.append(field)
            if position >= len(text) or text[position] != self._delimiter:
                found = _LINE_END.match(text, position)
                return fields, (position if found is None else found.end())
            position += 1

    def may_break(self, text: bytes) -> bool:
        """Return whether a field of a text that begins with a record may hold a line end."""
        return self._quoting and b'"' in text and self._broken.search(text) is not None

    def record_end(self, text: memoryview, position: int) -> int:
        """Return where the record behind the one at ``position`` may begin."""
        end = _end(self._whole_record, text, position)
        return self.record(text, position)[1] if end == position else end

    def widths(self, text: memoryview) -> Iterator[int]:
        """Yield how many fields each record has, but empty lines; at last errors of `record`."""
        position = 0
        while (position := after_empty_lines(text, position)) < len(text):
            end = _end(self._whole_record, text, position)
            if end == position:
                yield len(self.record(text, position)[0])
                return
            record = bytes(text[position:end])
            if self._quoting and b'"' in record:
                last = _end(self._all_delimited, text, position, end)
                yield 1 + sum(1 for _ in self._delimited.finditer(text, position, last))
            else:
                yield 1 + record.count(self._delimiter)
            position = end

    def unclosed_quote(self, text: memoryview, position: int) -> int | None:
        """Return the offset of the quote that is never closed, in the records from there on."""
        last = _end(self._ended, text, position)
        is_open = (
            self._quoting
            and bytes(text[last : last + 1]) == b'"'
            and self._quoted.match(text, last) is None
        )
        return last if is_open else None

    def large_field(self, text: memoryview, position: int) -> LargeFieldError | None:
        """Return the first field from there on of twice as many bytes as one may have, or more.

        One with fewer, or one that the text ends in, may be passed over.
        """
        while position + self._window < len(text):
            last = _end(self._ended, text, position, position + self._window)
            if last == position:
                return LargeFieldError(
                    last, is_open=self._quoting and text[last] == ord('"')
                )
            position = last
        return None

    def first_large(self, record: memoryview) -> int | None:
        """Return the offset of the first field of a record that is too large; None for none."""
        if self._quoting and b'"' in bytes(record):
            try:
                self.record(record, 0)
            except LargeFieldError as error:
                return error.position
            return None
        raw, mark, start = bytes(record), self._mark, 0
        while start + self._longest < len(raw):
            # None of the fields up to the last delimiter that is so near is any larger.
            last = raw.rfind(mark, start, start + self._longest + 1)
            if last < 0:
                return start
            start = last + 1
        return None

    def place_of(self, text: memoryview, start: int, position: int) -> tuple[int, int]:
        """Return which record from ``start`` on, and which field of it, begins at ``position``.

        Both count from 1; empty lines are no records.
        """
        begin = _end(self._ended_records, text, start, position)
        records = self._record.finditer(text, start, begin)
        filled = sum(1 for each in records if text[each.start()] not in b"\r\n")
        return filled + 1, 1 + sum(
            1 for _ in self._delimited.finditer(text, begin, position)
        )

    def _field(self, text: memoryview, position: int) -> tuple[bytes, int]:
        start, quoted = position, b""
        if self._quoting and position < len(text) and text[position] == ord('"'):
            found = self._quoted.match(text, position, position + self._window)
            if found is None and position + self._window < len(text):
                raise LargeFieldError(start, is_open=True)
            if found is None:
                raise UnclosedQuoteError(position)
            quoted, position = bytes(found[1]).replace(b'""', b'"'), found.end()
        end = _end(self._plain, text, position)
        if len(quoted) + end - position > self._longest:
            raise LargeFieldError(start, is_open=False)
        return quoted + bytes(text[position:end]), end


def _end(
    pattern: re.Pattern[bytes], text: memoryview, start: int, limit: int | None = None
) -> int:
    """Return where the match ends of a pattern that matches the empty text too."""
    found = pattern.match(text, start, len(text) if limit is None else limit)
    return start if found is None else found.end()


def skip_lines(text: memoryview, lines: int) -> memoryview:
    """Return ``text`` without its first ``lines`` physical lines."""
    position = 0
    for _ in range(lines):
        found = _LINE_END.search(text, position)
        if found is None:
            return text[len(text) :]
        position = found.end()
    return text[position:]


def one_byte_delimiter(text: memoryview, delimiter: str) -> tuple[memoryview, bytes]:
    """Return text with a delimiter of one byte, which no cell holds unless it was the delimiter."""
    wide = delimiter.encode("utf-8")
    if len(wide) == 1 and wide != b"\x00":  # Arrow takes no NUL
        return text, wide
    raw = bytes(text)
    free = unused_byte(raw)
    if free is None:
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            f"the feed holds every control character, so it cannot be split at {delimiter!r}; "
            "save it with an ASCII delimiter",
        )
    return memoryview(raw.replace(wide, free)), free


def unused_byte(raw: bytes) -> bytes | None:
    """Return a byte that a text does not hold, to stand for a longer delimiter; None for none."""
    return next((bytes([mark]) for mark in _RARE_BYTES if mark not in raw), None)


def line_number(text: memoryview, position: int) -> int:
    """Return the 1-based number of the physical line that holds ``position``."""
    return 1 + _ends(text, 0, position)


def after_empty_lines(text: memoryview, position: int) -> int:
    """Return where the first line begins, from ``position`` on, that is not empty."""
    return _end(_LINE_ENDS, text, position)


# --- the lines in which records begin, for the few that reports show ---------------------------


def physical_lines(
    text: memoryview,
    scanner: RecordScanner,
    position: int,
    ordinals: Sequence[int],
    records: int | None = None,
) -> list[int]:
    """Return the lines, from 1, of the records of these ordinals, which are in order and from 1.

    ``position`` is where the first record, or an empty line before it, begins; ``records`` how many
    there are from there on, where that is known.
    """
    if _lines_left(text, position) == records:  # each line is a record
        first = line_number(text, position)
        return [first - 1 + ordinal for ordinal in ordinals]
    found: list[int] = []
    passed = 0
    for lines in _lines_of_records(text, scanner, position):
        while len(found) < len(ordinals) and ordinals[len(found)] <= passed + len(
            lines
        ):
            found.append(lines[ordinals[len(found)] - passed - 1])
        passed += len(lines)
        if len(found) == len(ordinals):
            break
    return found


def release_mapped(data: bytes | bytearray | memoryview) -> None:
    """Give the memory of a mapped file back to the system; pages still in use are read again."""
    # What can be written to may be mapped from no file, and would be lost.
    mapped = data.obj if isinstance(data, memoryview) and data.readonly else None
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _lines_left(text: memoryview, position: int) -> int:
    """Count the lines from a position on; return -1 if any of them ends in a carriage return."""
    lines = 0 if bytes(text[-1:]) == b"\n" else 1
    for start in range(position, len(text), _WINDOW):
        window = bytes(text[start : start + _WINDOW])
        if b"\r" in window:
            return -1
        lines += window.count(b"\n")
        release_mapped(text)
    return lines


def _lines_of_records(
    text: memoryview, scanner: RecordScanner, position: int
) -> Iterator[Sequence[int]]:
    """Yield the lines in which records begin, those of a window of the text at a time."""
    line = line_number(text, position)
    while position < len(text):
        end = window_end(text, position)
        window = bytes(text[position:end])
        if scanner.may_break(window):
            lines: list[int] = []
            while position < end:
                start = after_empty_lines(text, position)
                line += _ends(text, position, start)
                if start < len(text):
                    lines.append(line)
                    position = scanner.record_end(text, start)
                    line += _ends(text, start, position)
                else:
                    position = start
            yield lines
            continue
        parts = window.splitlines()
        numbers = range(line, line + len(parts))
        yield numbers if all(parts) else [*compress(numbers, parts)]
        position, line = end, line + len(parts)


def _ends(text: memoryview, start: int, end: int) -> int:
    return sum(1 for _ in _LINE_END.finditer(text, start, end))


def window_end(text: memoryview, position: int, size: int = _WINDOW) -> int:
    """Return where a window of about so many bytes ends: behind a line end, or with the text."""
    while position + size < len(text):
        window = bytes(text[position : position + size])
        last = max(window.rfind(b"\n"), window.rfind(b"\r"))
        if last >= 0:
            end = position + last + 1
            is_split = bytes(text[end - 1 : end + 1]) == b"\r\n"
            return end + 1 if is_split else end
        size *= 4
    return len(text)
