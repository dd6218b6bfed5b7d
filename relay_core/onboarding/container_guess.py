"""The container of an upload: its compression and its format."""

import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from relay_core.config import ParserConfig
from relay_core.config.cross_checks import FORMATS_WITH
from relay_core.domain.codes import WORKBOOK_FORMATS
from relay_core.domain.limits import DEFAULT_LIMITS
from relay_core.ingest import compression
from relay_core.ingest.charset import decode_head, likely_encodings
from relay_core.ingest.json_objects import read_object
from relay_core.ingest.workbooks import workbook_format
from relay_core.onboarding.feed_sample import OLE2, PARQUET, ZIP, FeedSample, unreadable

_UNPACKED = 1 << 20
"""So much of a packed text is looked at."""
SAMPLE_LIMITS = replace(DEFAULT_LIMITS, feed_bytes=256 << 20)
"""What a file that must be unpacked whole may unpack to."""


def unpacked(feed: FeedSample) -> FeedSample:
    """Return an upload without its layer of compression, as far as its first bytes tell.

    `FeedUnreadableError`: it is of no kind that can be read, too large to be looked at, damaged.
    """
    packed = compression.compression_of(feed.data, "auto")
    if packed == "zip" or feed.data.startswith((PARQUET, OLE2)):
        if not feed.is_whole:
            raise unreadable("the file is too large to be looked at; a run reads it")
        if packed != "zip" or workbook_format(feed.data) is not None:
            return feed
        try:
            compression.open_archive(feed.data).close()
        except compression.BROKEN as error:
            what = "a ZIP archive's or an Excel workbook's"
            raise unreadable(f"the file begins as {what} do, and is damaged: {error}") from error
        data, is_all = compression.unpack_head(feed.data, "zip", _UNPACKED)
        if not is_all and data.startswith(PARQUET):
            data, is_all = bytes(compression.unpack(feed.data, "zip", SAMPLE_LIMITS)), True
        return replace(feed, data=data, is_whole=is_all)
    if packed != "gzip":
        return feed
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(feed.data, _UNPACKED)
    except zlib.error as error:
        raise unreadable(f"the file begins as gzip's do, and is damaged: {error}") from error
    is_all = feed.is_whole and unpacker.eof and not unpacker.unused_data
    return replace(feed, data=data, is_whole=is_all)


def container_changes(
    feed: FeedSample, inner: FeedSample, parser: ParserConfig
) -> Mapping[str, Any]:
    """Return what to change in a parser for an upload that `unpacked` has made ``inner`` of."""
    head, found = inner.data, "csv"
    if not head:
        found = parser.format
    elif head.startswith((ZIP, OLE2)):
        found = workbook_format(head) or parser.format
    elif head.startswith(PARQUET):
        found = "parquet"
    else:
        with suppress(UnicodeError):
            text = decode_head(head, likely_encodings(head)[0], is_whole=inner.is_whole)
            line = text.lstrip().split("\n", 1)[0]
            is_object = line.startswith("{") and read_object(line) is not None
            found = "jsonl" if is_object else "csv"
    changes: dict[str, Any] = {}
    if found != parser.format:
        changes["format"] = found
        for option, formats in FORMATS_WITH.items():
            default = ParserConfig.model_fields[option].default
            if found not in formats and getattr(parser, option) != default:
                changes[option] = default
    packed = compression.compression_of(feed.data, "auto")
    if found not in WORKBOOK_FORMATS and parser.compression not in ("auto", packed):
        changes["compression"] = "auto"
    return changes
