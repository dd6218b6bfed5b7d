"""The first bytes of a feed, cut by the engine's own scanner where a record ends."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from relay_core.config import ParserConfig
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.ingest.charset import decode_head
from relay_core.ingest.csv_records import (
    RecordScanner,
    UnclosedQuoteError,
    line_number,
    skip_lines,
    unused_byte,
)
from relay_core.onboarding.check_results import MAX_ROWS

ZIP, OLE2, PARQUET = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"PAR1"
"""The first bytes of an archive or a workbook, of an old workbook, and of a Parquet file."""
_LINE_ENDS = re.compile(rb"[\r\n]+")
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


@dataclass(frozen=True, slots=True)
class FeedSample:
    """The first bytes of a feed.

    ``is_whole`` says that there are no more; ``rows`` is the number of rows that a check reads, 0
    for all, in a layer of compression that it may have.
    """

    data: bytes
    is_whole: bool
    rows: int = MAX_ROWS


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One record: the line of the text that it starts in, from 1, and its cells as they stand."""

    line: int
    cells: tuple[str, ...]


def is_read_whole(head: bytes) -> bool:
    """Return whether a file of this kind has its directory at its end."""
    return head.startswith((ZIP, OLE2, PARQUET))


def whole_lines(
    feed: FeedSample, parser: ParserConfig, most: int
) -> tuple[bytes, ParserConfig]:
    """Return a feed's first whole lines and the parser that reads them; or ``DECODE_ERROR``."""
    lines = _LINES.findall(_text_of(feed, parser))
    lines = lines if feed.is_whole else lines[:-1]
    data = "".join(lines[:most]).encode()
    return data, parser.model_copy(update={"encoding": "utf-8", "compression": "none"})


def whole_records(
    feed: FeedSample, parser: ParserConfig, most: int
) -> tuple[bytes, ParserConfig]:
    """Return the first records of a feed that are not cut, and the parser that reads these bytes.

    `FeedUnreadableError`: ``DECODE_ERROR``: the bytes are not in ``parser.encoding``, or a quote is
    never closed as far as can be seen.
    """
    raw, mark = _one_byte(_text_of(feed, parser), parser.delimiter)
    body = skip_lines(memoryview(raw), parser.skip_lines)
    ends: list[int] = []
    try:
        found = _records(
            body, RecordScanner(mark, quoting=parser.quoting), feed.is_whole
        )
        ends.extend(end for _, end, _ in islice(found, most))
    except UnclosedQuoteError as error:
        if feed.is_whole or not ends:
            line = parser.skip_lines + line_number(body, error.position)
            raise unreadable(
                f"the quote that opens in line {line} is never closed, as far as the file was "
                'read; close it, or write it twice ("") where it belongs to a quoted text'
            ) from error
    data = raw[: len(raw) - len(body) + (ends[-1] if ends else 0)]
    wide = parser.delimiter.encode("utf-8")
    data = data if mark == wide else data.replace(mark, wide)
    return data, parser.model_copy(update={"encoding": "utf-8", "compression": "none"})


def sample_records(
    text: str, delimiter: str, *, skip: int = 0, quoting: bool = True, is_whole: bool
) -> Iterator[SampleRecord]:
    """Yield the records of a text that may be cut at its end; lines without any text are left out.

    Where a quote is never closed the records end.
    """
    raw, mark = _one_byte(text, delimiter)
    body = skip_lines(memoryview(raw), skip)
    line, last, is_own = skip + 1, 0, mark == delimiter.encode("utf-8")
    try:
        for start, _, fields in _records(
            body, RecordScanner(mark, quoting=quoting), is_whole
        ):
            line += line_number(body[last:start], start - last) - 1
            last = start
            cells = (field.decode("utf-8") for field in fields)
            if not is_own:
                cells = (cell.replace(mark.decode(), delimiter) for cell in cells)
            yield SampleRecord(line, tuple(cells))
    except UnclosedQuoteError:
        return


def _records(
    body: memoryview, scanner: RecordScanner, is_whole: bool
) -> Iterator[tuple[int, int, list[bytes]]]:
    """Yield where each record starts and ends, and its fields; one that may be cut is left out."""
    position = 0
    while True:
        blank = _LINE_ENDS.match(body, position)
        position = position if blank is None else blank.end()
        if position >= len(body):
            return
        fields, end = scanner.record(body, position)
        if end >= len(body) and not is_whole:
            return
        yield position, end, fields
        position = end


def _one_byte(text: str, delimiter: str) -> tuple[bytes, bytes]:
    """Return UTF-8 text and a delimiter of one byte, another one where it is longer."""
    raw, wide = text.encode("utf-8", "replace"), delimiter.encode("utf-8")
    if len(wide) == 1:
        return raw, wide
    free = (
        unused_byte(raw) or b"\x1f"
    )  # of a text that holds all of them the reader says so
    return raw.replace(wide, free), free


def _text_of(feed: FeedSample, parser: ParserConfig) -> str:
    try:
        return decode_head(feed.data, parser.encoding, is_whole=feed.is_whole)
    except UnicodeError as error:
        raise unreadable(f"the bytes are not {parser.encoding}: {error}") from error


def unreadable(message: str) -> FeedUnreadableError:
    """Return the error for bytes that no parser reads."""
    return FeedUnreadableError(FailureCode.DECODE_ERROR, message)
