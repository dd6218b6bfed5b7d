"""Which encoding bytes are probably in.

This is plain Python: the API asks this too, and it does not load Arrow.
"""

import codecs
import re

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE_BYTES = 1 << 16
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_WIDE_ENCODINGS = ("utf-16", "utf-32")
_MAX_CONTROL_SHARE = 0.02
"""A text with a larger share of control characters is binary data."""
_UNDEFINED_IN_CP1252 = frozenset(b"\x81\x8d\x8f\x90\x9d")


def likely_encodings(data: bytes | bytearray | memoryview) -> list[str]:
    """Return the encodings that ``data`` fits best, the likeliest first.

    The decision is based on the first 64 KiB, or if they are ASCII, on as many bytes
    from the first other byte on.
    """
    sample = _sample(data)
    for bom, encoding in _BOMS:
        if sample.startswith(bom):
            return [encoding]
    encodings: list[str] = []
    # In UTF-16, every second byte of most texts is zero.
    threshold = len(sample) // 8
    if sample[1::2].count(0) > threshold:
        encodings.append("utf-16-le")
    elif sample[0::2].count(0) > threshold:
        encodings.append("utf-16-be")
    if _text_or_none(sample, "utf-8", is_whole=False) is not None:
        encodings.append("utf-8")
    elif not _UNDEFINED_IN_CP1252.intersection(sample):
        encodings.append("cp1252")
    return [*encodings, "latin-1"]


def _sample(data: bytes | bytearray | memoryview) -> bytes:
    start = bytes(memoryview(data)[:_SAMPLE_BYTES])
    if not start.isascii() or b"\0" in start:
        return start
    match = _NOT_ASCII.search(data)
    if match is None:
        return start
    position = match.start()
    return bytes(memoryview(data)[position : position + _SAMPLE_BYTES])


def decode_head(data: bytes, encoding: str, *, is_whole: bool) -> str:
    """Return the text of a file's first bytes, without a leading U+FEFF.

    A character that is cut off at the end is left out, unless ``data`` is the whole
    file.

    Raises:
        UnicodeError: The bytes are not in the encoding.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    return decoder.decode(data, is_whole).removeprefix("\ufeff")


def guess_encoding(
    data: bytes,
    configured: str,
    *,
    is_whole: bool,
) -> str | None:
    """Return the encoding of a file's first bytes, or None if they look like no text.

    This is the configured encoding unless the bytes contradict it. Single-byte
    encodings accept any bytes, so they lose to UTF-8 and UTF-16 if the bytes show
    those, and Latin-1 loses to Windows-1252.
    """
    likeliest = likely_encodings(data)[0]
    configured_text = _text_or_none(data, configured, is_whole=is_whole)
    likeliest_text = _text_or_none(data, likeliest, is_whole=is_whole)
    if likeliest_text is not None and _looks_binary(likeliest_text):
        likeliest_text = None
    if configured_text is None:
        return None if likeliest_text is None else likeliest
    if likeliest_text is None or configured_text == likeliest_text:
        return configured
    return likeliest if _overrules(likeliest, configured, data) else configured


def _looks_binary(text: str) -> bool:
    controls = sum(char < " " and char not in "\t\r\n" for char in text)
    return controls > len(text) * _MAX_CONTROL_SHARE


def _overrules(likeliest: str, configured: str, data: bytes) -> bool:
    """Return whether the likeliest encoding is right where the texts of both differ."""
    configured = codecs.lookup(configured).name
    if likeliest == "utf-8":
        # ASCII does not contradict encodings such as UTF-7 and ISO-2022.
        return not data.isascii() or configured.startswith(_WIDE_ENCODINGS)
    if likeliest.startswith(_WIDE_ENCODINGS):
        return True
    return likeliest == "cp1252" and configured == "iso8859-1"


def _text_or_none(data: bytes, encoding: str, *, is_whole: bool) -> str | None:
    try:
        return decode_head(data, encoding, is_whole=is_whole)
    except UnicodeError:
        return None
