"""Bytes of a feed to UTF-8 text, and what to say when they are in another encoding."""

import codecs

import numpy as np
import pyarrow as pa

from relay_core.columnar.growing_columns import GrowingArray
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.ingest.charset import likely_encodings

Buffer = bytes | bytearray | memoryview

_BOM = "\ufeff".encode()
_PIECE = 1 << 20


def decode_feed(data: Buffer, encoding: str) -> memoryview:
    """Return the feed's text as UTF-8 without a leading U+FEFF.

    A feed that is UTF-8 already is checked and not copied; any other is held twice at the most.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR`` with the byte offset and the likeliest encodings.
    """
    try:
        text = _as_utf8(data, encoding)
    except UnicodeError as error:
        where = f" at byte offset {error.start}" if isinstance(error, UnicodeDecodeError) else ""
        why = getattr(error, "reason", None) or str(error)
        others = (name for name in likely_encodings(data) if name != encoding)
        raise FeedUnreadableError(
            FailureCode.DECODE_ERROR,
            f"the bytes are not {encoding}{where} ({why}); likeliest encodings: "
            f"{', '.join(others) or 'none found'}; set parser.encoding to the file's encoding, or "
            "save the file again in that one",
        ) from error
    return text[len(_BOM) :] if bytes(text[: len(_BOM)]) == _BOM else text


def _as_utf8(data: Buffer, encoding: str) -> memoryview:
    if codecs.lookup(encoding).name == "utf-8":
        view = memoryview(data)
        if len(view):
            offsets = pa.array([0, len(view)], pa.int64()).buffers()[1]
            whole = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(view)])
            try:
                whole.cast(pa.large_string())
            except pa.ArrowInvalid:
                str(view, "utf-8")
                raise
        return view
    view, decoder = memoryview(data), codecs.getincrementaldecoder(encoding)()
    text = GrowingArray(np.uint8)
    for start in range(0, max(1, len(view)), _PIECE):
        left = decoder.getstate()[0]
        end = start + _PIECE
        try:
            piece = decoder.decode(view[start:end], final=end >= len(view)).encode("utf-8")
        except UnicodeDecodeError as error:
            # The decoder counts from what it had left of the pieces before.
            error.start += start - len(left)
            raise
        text.append(np.frombuffer(piece, np.uint8))
    return memoryview(text.array().data)
