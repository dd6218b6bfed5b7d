"""The first records of a feed, read from its first bytes by the rules of the engine.

Plain Python, for a look at a feed without its whole and without Arrow: `parsing` reads feeds. What
the cells are worth is judged in `feed_check`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from relay_core.config import ParserConfig
from relay_core.domain.cell_rules import strip
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.models import FailureCode
from relay_core.ingest.charset import decode_head
from relay_core.ingest.csv_records import RecordScanner, UnclosedQuoteError, line_number, skip_lines

_LINE_ENDS = re.compile(rb"[\r\n]+")
_STAND_INS = b"\x1f\x1e\x1d\x1c\x01\x02\x03\x04\x05\x06\x07\x08"


@dataclass(frozen=True, slots=True)
class FeedBytes:
    """The first bytes of a feed; ``is_whole`` tells that there are no more."""

    data: bytes
    is_whole: bool


@dataclass(frozen=True, slots=True)
class HeadRecord:
    """One record: the line of the text that it starts in, from 1, and its cells as they stand."""

    line: int
    cells: tuple[str, ...]

    @property
    def is_blank(self) -> bool:
        """Whether no cell holds anything."""
        return not any(map(strip, self.cells))


@dataclass(frozen=True, slots=True)
class FeedHead:
    """A feed's headers and its first records with their numbers; None where it has no record."""

    headers: tuple[str, ...] | None
    rows: Sequence[tuple[int, tuple[str, ...]]] = ()


def read_head(feed: FeedBytes, parser: ParserConfig, *, most_rows: int) -> FeedHead:
    """Read the first records of a feed; one that the bytes cut is left out.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``: the bytes are not in ``parser.encoding``, or a quote
            is never closed as far as can be seen.
    """
    try:
        text = decode_head(feed.data, parser.encoding, is_whole=feed.is_whole)
    except UnicodeError as error:
        raise _unreadable(f"the bytes are not {parser.encoding}: {error}") from error
    records = head_records(
        text, parser.delimiter, skip=parser.skip_lines, is_whole=feed.is_whole, strict=True
    )
    if parser.columns is not None:
        return FeedHead(tuple(parser.columns), _numbered(records, 1, most_rows))
    header = next((each for each in records if not each.is_blank), None)
    return (
        FeedHead(None)
        if header is None
        else FeedHead(header.cells, _numbered(records, 2, most_rows))
    )


def head_records(
    text: str, delimiter: str, *, skip: int = 0, is_whole: bool, strict: bool = False
) -> Iterator[HeadRecord]:
    """Yield the records of a text that may be cut at its end; lines without any text are left out.

    Raises:
        FeedUnreadableError: where ``strict``, and a quote that opens in the first record that is
            cut, or in a whole text, is never closed. Else the records simply end there.
    """
    raw, mark = _one_byte(text, delimiter)
    view = memoryview(raw)
    body = skip_lines(view, skip)
    scanner = RecordScanner(mark)
    position, line, last, is_first = 0, skip + 1, 0, True
    while (position := _after_blank_lines(body, position)) < len(body):
        try:
            fields, end = scanner.record(body, position)
        except UnclosedQuoteError as error:
            if strict and (is_whole or is_first):
                raise _unclosed(skip + line_number(body, error.position)) from error
            return
        if end >= len(body) and not is_whole:
            return
        line += line_number(body[last:position], position - last) - 1
        last, is_first = position, False
        cells = (field.decode("utf-8") for field in fields)
        yield HeadRecord(line, tuple(_restored(cell, mark, delimiter) for cell in cells))
        position = end


def _after_blank_lines(body: memoryview, position: int) -> int:
    found = _LINE_ENDS.match(body, position)
    return position if found is None else found.end()


def _numbered(
    records: Iterator[HeadRecord], first: int, most: int
) -> list[tuple[int, tuple[str, ...]]]:
    numbered: list[tuple[int, tuple[str, ...]]] = []
    for number, record in enumerate(records, first):
        if len(numbered) >= most:
            break
        if not record.is_blank:
            numbered.append((number, record.cells))
    return numbered


def _one_byte(text: str, delimiter: str) -> tuple[bytes, bytes]:
    """Return UTF-8 text and a delimiter of one byte, another one where it is longer."""
    raw, wide = text.encode("utf-8", "replace"), delimiter.encode("utf-8")
    if len(wide) == 1:
        return raw, wide
    free = next((mark for mark in _STAND_INS if mark not in raw), _STAND_INS[0])
    return raw.replace(wide, bytes([free])), bytes([free])


def _restored(cell: str, mark: bytes, delimiter: str) -> str:
    return cell if mark == delimiter.encode("utf-8") else cell.replace(mark.decode(), delimiter)


def _unclosed(line: int) -> FeedUnreadableError:
    return _unreadable(
        f"the quote that opens in line {line} is never closed, as far as the file was read; close "
        'it, or write it twice ("") where it belongs to a quoted text'
    )


def _unreadable(message: str) -> FeedUnreadableError:
    return FeedUnreadableError(FailureCode.DECODE_ERROR, message)
