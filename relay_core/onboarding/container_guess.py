"""The guess of what an upload is: its compression and its file format."""

import re
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from relay_core.config import ParserConfig
from relay_core.domain.formats import (
    FORMATS,
    OLE2,
    PARQUET,
    WORKBOOK_FORMATS,
    ZIP,
)
from relay_core.domain.limits import DEFAULT_LIMITS
from relay_core.ingest import compression
from relay_core.ingest.charset import decode_head, likely_encodings
from relay_core.ingest.jsonl import read_object
from relay_core.ingest.workbooks import workbook_format
from relay_core.onboarding.document_guess import guess_document
from relay_core.onboarding.feed_sample import FeedSample, unreadable

SAMPLE_LIMITS = replace(DEFAULT_LIMITS, feed_bytes=256 << 20)
"""The limits of a file that has to be unpacked as a whole."""
_ZEROS_FORMAT = re.compile(rb"formatCode\s*=\s*.00")
_SAMPLE_BYTES = 1 << 20  # the size of the sample of a compressed text


def unpacked(feed: FeedSample) -> FeedSample:
    """Return an upload without its compression, as far as its first bytes can show it.

    Raises:
        FeedUnreadableError: The file is damaged, or too large to look into.
    """
    outer = compression.compression_of(feed.data)
    if outer == "gzip":
        return _unpacked_gzip(feed)
    if outer == "zip" or feed.data.startswith((PARQUET, OLE2)):
        if not feed.is_whole:
            raise unreadable(
                "the file is too large to be checked. A run can read it."
            )
        if outer == "zip" and workbook_format(feed.data) is None:
            return _unpacked_zip(feed)
    return feed


def container_changes(
    feed: FeedSample,
    inner: FeedSample,
    parser: ParserConfig,
) -> Mapping[str, Any]:
    """Return the parser options to change so that the parser fits an upload's container.

    Args:
        feed: The upload.
        inner: The same upload as `unpacked` returns it.
        parser: The vendor's parser.
    """
    document = guess_document(inner, parser)
    actual_format = document[0] if document else _format_of(inner, parser)
    changes: dict[str, Any] = {}
    if actual_format != parser.format:
        changes["format"] = actual_format
        for option in FORMATS[parser.format].options:
            default = ParserConfig.model_fields[option].default
            is_idle = option not in FORMATS[actual_format].options
            if is_idle and getattr(parser, option) != default:
                changes[option] = default
    if document and document[1] != parser.record:
        changes["record"] = document[1]
    outer = compression.compression_of(feed.data)
    is_workbook = actual_format in WORKBOOK_FORMATS
    if not is_workbook and parser.compression not in ("auto", outer):
        changes["compression"] = "auto"
    return changes


def has_padded_formats(data: bytes) -> bool:
    """Return True if a workbook has a number format of zeros, such as `000000`."""
    with suppress(*compression.ARCHIVE_ERRORS, KeyError, RuntimeError):
        with compression.open_archive(data) as archive:
            styles = archive.read("xl/styles.xml")
        return _ZEROS_FORMAT.search(styles) is not None
    return True


def _unpacked_zip(feed: FeedSample) -> FeedSample:
    try:
        compression.open_archive(feed.data).close()
    except compression.ARCHIVE_ERRORS as error:
        raise unreadable(
            "the file starts like a ZIP archive or an Excel workbook, but it is damaged: "
            f"{error}. Ask the vendor to send it again."
        ) from error
    pieces = compression.pieces(feed.data, "zip")
    data = next(pieces, b"")
    is_whole = next(pieces, None) is None
    if not is_whole and data.startswith(PARQUET):
        # The directory of a Parquet file is at its end.
        data = bytes(compression.unpack(feed.data, "zip", SAMPLE_LIMITS))
        is_whole = True
    return replace(feed, data=data, is_whole=is_whole)


def _unpacked_gzip(feed: FeedSample) -> FeedSample:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(feed.data, _SAMPLE_BYTES)
    except zlib.error as error:
        raise unreadable(
            f"the file starts like a gzip file, but it is damaged: {error}. Ask the "
            "vendor to send it again."
        ) from error
    is_whole = feed.is_whole and unpacker.eof and not unpacker.unused_data
    return replace(feed, data=data, is_whole=is_whole)


def _format_of(feed: FeedSample, parser: ParserConfig) -> str:
    """Return the format of a feed that is not compressed."""
    head = feed.data
    if not head:
        return parser.format
    if head.startswith((ZIP, OLE2)):
        return workbook_format(head) or parser.format
    if head.startswith(PARQUET):
        return "parquet"
    with suppress(UnicodeError):
        encoding = likely_encodings(head)[0]
        text = decode_head(head, encoding, is_whole=feed.is_whole)
        first_line = text.lstrip().split("\n", 1)[0]
        if first_line.startswith("{") and read_object(first_line) is not None:
            return "jsonl"
    return "csv"
