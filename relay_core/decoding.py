"""Bytes of a feed to UTF-8 text, and what to say when they are in another encoding.

No CSV here: records and fields are the matter of ``scanning`` and ``parsing``.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import pyarrow as pa

from relay_core.errors import FeedUnreadableError
from relay_core.models import FailureCode

Buffer = bytes | bytearray | memoryview

_BOM = "\ufeff".encode()
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 1 << 16
_CP1252_GAPS = frozenset(b"\x81\x8d\x8f\x90\x9d")


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


def likely_encodings(data: Buffer) -> list[str]:
    """Return the encodings that the first 64 KiB of ``data`` fit best, the likeliest first."""
    sample = bytes(memoryview(data)[:_SAMPLE])
    for bom, name in _BOMS:
        if sample.startswith(bom):
            return [name]
    return list(_fitting(sample))


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


def _fitting(sample: bytes) -> Iterator[str]:
    if sample[1::2].count(0) > len(sample) // 8:
        yield "utf-16-le"
    elif sample[0::2].count(0) > len(sample) // 8:
        yield "utf-16-be"
    if _is_utf8(sample):
        yield "utf-8"
    elif not _CP1252_GAPS.intersection(sample):
        yield "cp1252"
    yield "latin-1"


def _is_utf8(sample: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _explain(error: UnicodeError, data: Buffer, encoding: str) -> str:
    where = f" at byte offset {error.start}" if isinstance(error, UnicodeDecodeError) else ""
    why = getattr(error, "reason", None) or str(error)
    likely = ", ".join(name for name in likely_encodings(data) if name != encoding) or "none found"
    return (
        f"the bytes are not {encoding}{where} ({why}); likeliest encodings: {likely}; "
        "set parser.encoding to the file's encoding, or save the file again in that one"
    )
