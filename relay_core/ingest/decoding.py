"""Bytes of a feed to UTF-8 text, and what to say when they are in another encoding.

No CSV here: records and fields are the matter of ``scanning`` and ``parsing``.
"""

from __future__ import annotations

import codecs

import pyarrow as pa

from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.models import FailureCode
from relay_core.ingest.charset import likely_encodings

Buffer = bytes | bytearray | memoryview

_BOM = "\ufeff".encode()


def decode_feed(data: Buffer, encoding: str) -> memoryview:
    """Return the feed's text as UTF-8 without a leading U+FEFF.

    A feed that is UTF-8 already is checked and not copied.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR`` with the byte offset and the likeliest encodings.
    """
    try:
        text = _as_utf8(data, encoding)
    except UnicodeError as error:
        raise FeedUnreadableError(
            FailureCode.DECODE_ERROR, _explain(error, data, encoding)
        ) from error
    return text[len(_BOM) :] if bytes(text[: len(_BOM)]) == _BOM else text


def _as_utf8(data: Buffer, encoding: str) -> memoryview:
    if codecs.lookup(encoding).name == "utf-8":
        return _checked_utf8(data)
    return memoryview(str(memoryview(data), encoding).encode("utf-8"))


def _checked_utf8(data: Buffer) -> memoryview:
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


def _explain(error: UnicodeError, data: Buffer, encoding: str) -> str:
    where = f" at byte offset {error.start}" if isinstance(error, UnicodeDecodeError) else ""
    why = getattr(error, "reason", None) or str(error)
    likely = ", ".join(name for name in likely_encodings(data) if name != encoding) or "none found"
    return (
        f"the bytes are not {encoding}{where} ({why}); likeliest encodings: {likely}; "
        "set parser.encoding to the file's encoding, or save the file again in that one"
    )
