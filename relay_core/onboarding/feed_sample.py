"""The first bytes of a feed, cut at the end of a record by the engine's own scanner."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from relay_core.config import ParserConfig
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.formats import OLE2, PARQUET, ZIP
from relay_core.ingest import csv_records
from relay_core.ingest.charset import decode_head
from relay_core.ingest.csv_records import RecordScanner, UnclosedQuoteError
from relay_core.onboarding.check_results import MAX_ROWS

_LINE_ENDS = re.compile(rb"[\r\n]+")
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_PLAIN_TEXT = {"encoding": "utf-8", "compression": "none"}
"""The parser options that read the bytes this module returns."""


@dataclass(frozen=True, slots=True)
class FeedSample:
    """The first bytes of a feed.

    Attributes:
        data: The bytes, still compressed if the feed is.
        is_whole: Whether `data` is the whole feed.
        rows: The maximum number of rows that a check reads; 0 means all rows.
    """

    data: bytes
    is_whole: bool
    rows: int = MAX_ROWS


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One record of a text.

    Attributes:
        line: The line of the text that the record starts in, from 1.
        cells: The cells of the record, not trimmed.
    """

    line: int
    cells: tuple[str, ...]


def is_read_whole(head: bytes) -> bool:
    """Return whether a file that starts with `head` has its directory at its end."""
    return head.startswith((ZIP, OLE2, PARQUET))


def whole_lines(
    feed: FeedSample,
    parser: ParserConfig,
    max_lines: int,
) -> tuple[bytes, ParserConfig]:
    """Return a feed's first whole lines as UTF-8, and the parser that reads them.

    Raises:
        FeedUnreadableError: `DECODE_ERROR`, if the bytes are not in `parser.encoding`.
    """
    lines = _LINES.findall(_text_of(feed, parser.encoding))
    if not feed.is_whole:
        # The last line may be cut.
        lines = lines[:-1]
    data = "".join(lines[:max_lines]).encode()
    return data, parser.model_copy(update=_PLAIN_TEXT)


def whole_records(
    feed: FeedSample,
    parser: ParserConfig,
    max_records: int,
) -> tuple[bytes, ParserConfig]:
    """Return a feed's first whole records as UTF-8, and the parser that reads them.

    Raises:
        FeedUnreadableError: `DECODE_ERROR`, if the bytes are not in `parser.encoding`,
            or if a quote is never closed in the bytes at hand.
    """
    data = _cut_records(
        feed,
        parser.encoding,
        parser.delimiter,
        parser.skip_lines,
        max_records,
        quoting=parser.quoting,
    )
    return data, parser.model_copy(update=_PLAIN_TEXT)


@lru_cache(maxsize=8)
def _cut_records(
    feed: FeedSample,
    encoding: str,
    delimiter_text: str,
    skip_lines: int,
    max_records: int,
    *,
    quoting: bool,
) -> bytes:
    """Return a feed's first whole records as UTF-8.

    They are cached, since a check reads the same records several times.
    """
    text, delimiter = _with_one_byte_delimiter(
        _text_of(feed, encoding), delimiter_text
    )
    body = csv_records.skip_lines(memoryview(text), skip_lines)
    scanner = RecordScanner(delimiter, quoting=quoting)
    records = _records(body, scanner, is_whole=feed.is_whole)
    body_end = 0
    try:
        for _, record_end, _ in islice(records, max_records):
            body_end = record_end
    except UnclosedQuoteError as error:
        if feed.is_whole or not body_end:
            line_in_body = csv_records.line_number(body, error.position)
            raise unreadable(
                f"the quote that opens in line {skip_lines + line_in_body} is "
                "never closed in the part of the file that was read. Close it, or double "
                'it ("") if it belongs to a quoted text.'
            ) from error
    body_start = len(text) - len(body)
    data = text[: body_start + body_end]
    configured_delimiter = delimiter_text.encode("utf-8")
    if delimiter != configured_delimiter:
        data = data.replace(delimiter, configured_delimiter)
    return data


def sample_records(
    text: str,
    delimiter: str,
    *,
    skip: int = 0,
    quoting: bool = True,
    is_whole: bool,
) -> Iterator[SampleRecord]:
    """Yield the records of a text, without empty lines.

    A text that is not whole may end inside a record, and that record is left out. The
    records end early at a quote that is never closed.
    """
    data, one_byte_delimiter = _with_one_byte_delimiter(text, delimiter)
    body = csv_records.skip_lines(memoryview(data), skip)
    scanner = RecordScanner(one_byte_delimiter, quoting=quoting)
    is_replaced = one_byte_delimiter != delimiter.encode("utf-8")
    line = skip + 1
    previous_start = 0
    try:
        for start, _, fields in _records(body, scanner, is_whole=is_whole):
            previous_record = body[previous_start:start]
            line += (
                csv_records.line_number(previous_record, len(previous_record))
                - 1
            )
            previous_start = start
            cells = [field.decode("utf-8") for field in fields]
            if is_replaced:
                stand_in = one_byte_delimiter.decode()
                cells = [cell.replace(stand_in, delimiter) for cell in cells]
            yield SampleRecord(line, tuple(cells))
    except UnclosedQuoteError:
        return


def unreadable(message: str) -> FeedUnreadableError:
    """Return the error for bytes that no parser can read."""
    return FeedUnreadableError(FailureCode.DECODE_ERROR, message)


def _records(
    body: memoryview,
    scanner: RecordScanner,
    *,
    is_whole: bool,
) -> Iterator[tuple[int, int, list[bytes]]]:
    """Yield the start, the end and the fields of each record.

    If the body is not whole, the record at its end may be cut and is left out.
    """
    position = 0
    while True:
        empty_lines = _LINE_ENDS.match(body, position)
        if empty_lines is not None:
            position = empty_lines.end()
        if position >= len(body):
            return
        fields, end = scanner.record(body, position)
        if end >= len(body) and not is_whole:
            return
        yield position, end, fields
        position = end


def _with_one_byte_delimiter(text: str, delimiter: str) -> tuple[bytes, bytes]:
    """Return a text as UTF-8, and its delimiter of one byte.

    A delimiter that takes several bytes is replaced with a byte that the text does not
    have, because the scanner reads delimiters of one byte only.
    """
    data = text.encode("utf-8", "replace")
    delimiter_bytes = delimiter.encode("utf-8")
    if len(delimiter_bytes) == 1:
        return data, delimiter_bytes
    # If the text uses every rare byte, the reader rejects it with a message of its own.
    stand_in = csv_records.unused_byte(data) or b"\x1f"
    return data.replace(delimiter_bytes, stand_in), stand_in


def _text_of(feed: FeedSample, encoding: str) -> str:
    try:
        return decode_head(feed.data, encoding, is_whole=feed.is_whole)
    except UnicodeDecodeError as error:
        offset = f"{error.start:,}"
        reason = f"the byte at offset {offset} is not valid {encoding}"
        raise unreadable(f"{reason}. The file has another encoding.") from error
    except UnicodeError as error:
        raise unreadable(f"the file is not valid {encoding}") from error
