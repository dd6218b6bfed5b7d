"""Which encoding bytes are probably in. Plain Python: the API asks this too, without Arrow."""

import codecs
import re

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 1 << 16
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_WIDE = ("utf-16", "utf-32")
_MAX_CONTROLS = 0.02
_CP1252_GAPS = frozenset(b"\x81\x8d\x8f\x90\x9d")


def likely_encodings(data: bytes | bytearray | memoryview) -> list[str]:
    """Return the encodings that ``data`` fits best, the likeliest first.

    Its first 64 KiB are looked at; where they are ASCII, as many from its first other byte on.
    """
    sample = bytes(memoryview(data)[:_SAMPLE])
    for bom, name in _BOMS:
        if sample.startswith(bom):
            return [name]
    if sample.isascii() and b"\0" not in sample and (other := _NOT_ASCII.search(data)):
        sample = bytes(memoryview(data)[other.start() : other.start() + _SAMPLE])
    wide = {"utf-16-le": sample[1::2], "utf-16-be": sample[0::2]}
    found = [
        name for name, halves in wide.items() if halves.count(0) > len(sample) // 8
    ][:1]
    if _text_or_none(sample, "utf-8", is_whole=False) is not None:
        found.append("utf-8")
    elif not _CP1252_GAPS.intersection(sample):
        found.append("cp1252")
    return [*found, "latin-1"]


def decode_head(data: bytes, encoding: str, *, is_whole: bool) -> str:
    """Return a head's text, a leading U+FEFF and a cut character at its end off; `UnicodeError`."""
    text = codecs.getincrementaldecoder(encoding)().decode(data, is_whole)
    return text.removeprefix("\ufeff")


def guess_encoding(data: bytes, configured: str, *, is_whole: bool) -> str | None:
    """Return the encoding that a head is in: the configured one unless the bytes speak against it.

    None where the bytes look like no text. Single-byte encodings take any bytes: they lose to
    UTF-8 and UTF-16 that the bytes show, and Latin-1 to Windows-1252.
    """
    likeliest = likely_encodings(data)[0]
    own = _text_or_none(data, configured, is_whole=is_whole)
    other = _text_or_none(data, likeliest, is_whole=is_whole)
    controls = sum(char < " " and char not in "\t\r\n" for char in other or "")
    if other is not None and controls > len(other) * _MAX_CONTROLS:  # which is no text
        other = None
    if own is None:
        return None if other is None else likeliest
    if other is None or own == other:
        return configured
    known = codecs.lookup(configured).name
    if (
        likeliest == "utf-8"
    ):  # ASCII says nothing against encodings such as UTF-7 and ISO-2022
        overrules = not data.isascii() or known.startswith(_WIDE)
    else:
        overrules = likeliest.startswith(_WIDE) or (likeliest, known) == (
            "cp1252",
            "iso8859-1",
        )
    return likeliest if overrules else configured


def _text_or_none(data: bytes, encoding: str, *, is_whole: bool) -> str | None:
    try:
        return decode_head(data, encoding, is_whole=is_whole)
    except UnicodeError:
        return None
