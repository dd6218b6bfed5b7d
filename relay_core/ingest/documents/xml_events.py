"""The elements of XML as events, by expat: levels, DOCTYPE, encodings, and errors."""

import codecs
import re
from collections.abc import Callable, Iterator
from typing import Protocol
from xml.parsers import expat

from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import MAX_LEVELS
from relay_core.ingest.documents.records import broken_document
from relay_core.ingest.feed import Buffer

_PIECE_BYTES = 4 << 20
_TEXT_BYTES = 1 << 16
"""The size of the texts that expat hands on; longer ones come in pieces."""
_HEAD_BYTES = 1024
_DECLARED_ENCODING = re.compile(
    rb"<\?xml\s[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']"
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""The byte order marks with their encodings; a longer one precedes its beginning."""


class XmlEvents(Protocol):
    """The receiver of a document's events.

    It calls `check_level` for each element that it begins.
    """

    # Returns the line on which the event is, from 1
    line: Callable[[], int]

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Begin an element; its name and attributes have their prefixes."""

    def text(self, part: str) -> None:
        """Take a part of the open element's own text."""

    def end(self, name: str) -> None:
        """End the element that began last."""

    def finish(self) -> None:
        """End the document."""


def encoding_of(data: Buffer, configured: str) -> str:
    """Return the encoding of an XML file.

    A byte order mark decides, then the configured encoding unless it is UTF-8, then the
    file's declaration if it names a text encoding of Python.
    """
    head = bytes(memoryview(data)[:_HEAD_BYTES])
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    declared = _DECLARED_ENCODING.match(head)
    if declared is None or codecs.lookup(configured).name != "utf-8":
        return configured
    encoding = declared[1].decode("ascii")
    try:
        "a".encode(encoding)
    except (LookupError, ValueError):
        return configured  # it is not a text encoding of Python
    return encoding


def local_name(name: str) -> str:
    """Return a name without its prefix."""
    return name.rpartition(":")[2]


def attribute_names(attributes: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the name of each attribute, and its name as a step of a header."""
    for attribute in attributes:
        if attribute != "xmlns" and not attribute.startswith("xmlns:"):
            yield attribute, f"@{local_name(attribute)}"


def check_level(level: int, line: Callable[[], int]) -> None:
    """Check that an element at a level, from 1, is not too deep.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``.
    """
    if level > MAX_LEVELS:
        reason = f"the document has more than {MAX_LEVELS} levels"
        raise _broken(reason, line())


def read_events(text: memoryview, events: XmlEvents) -> None:
    """Read a document as UTF-8 from its first byte to its last.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``: it is not well-formed, or has too many
            levels. ``invalid_input``: a DOCTYPE has declarations.
    """
    pieces = [text]
    doctype = _Doctype()
    doctype.find(text)
    if doctype.end:
        # Expat passes over unknown entities of documents with a DOCTYPE in silence, so
        # it does not get to see the DOCTYPE.
        blank = re.sub(
            rb"[^\r\n]", b" ", bytes(text[doctype.start : doctype.end])
        )
        pieces = [
            text[: doctype.start],
            memoryview(blank),
            text[doctype.end :],
        ]
    parser = _new_parser()
    events.line = lambda: parser.CurrentLineNumber
    parser.StartElementHandler = events.start
    parser.EndElementHandler = events.end
    parser.CharacterDataHandler = events.text
    try:
        for piece in pieces:
            for offset in range(0, len(piece), _PIECE_BYTES):
                parser.Parse(piece[offset : offset + _PIECE_BYTES], False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise _broken(expat.ErrorString(error.code), error.lineno) from error
    events.finish()


class _Doctype:
    """The place of a document's DOCTYPE, in bytes; 0 for none."""

    def __init__(self) -> None:
        self.start = 0
        self.end = 0

    def find(self, text: memoryview) -> None:
        """Look for the DOCTYPE before the document's first element.

        Raises:
            FeedUnreadableError: ``invalid_input``: it has declarations.
        """
        parser = _new_parser()

        def begin(*_: object) -> None:
            # The event comes at the end of the DOCTYPE's names.
            before = bytes(text[: parser.CurrentByteIndex])
            self.start = before.rfind(b"<!DOCTYPE")

        def finish() -> None:
            self.end = parser.CurrentByteIndex
            while text[self.end] != ord(">"):
                self.end += 1
            self.end += 1

        def refuse(*_: object) -> None:
            raise FeedUnreadableError(
                FailureCode.INVALID_INPUT,
                f"line {parser.CurrentLineNumber}: the DOCTYPE has declarations, which "
                "Relay does not read. Ask the vendor for a file without them.",
            )

        def stop(*_: object) -> None:
            raise _FirstElementError

        parser.StartDoctypeDeclHandler = begin
        parser.EndDoctypeDeclHandler = finish
        parser.EntityDeclHandler = refuse
        parser.ElementDeclHandler = refuse
        parser.AttlistDeclHandler = refuse
        parser.NotationDeclHandler = refuse
        parser.StartElementHandler = stop
        try:
            for offset in range(0, len(text), _PIECE_BYTES):
                parser.Parse(text[offset : offset + _PIECE_BYTES], False)
        except (_FirstElementError, expat.ExpatError):
            return  # the reading of the document finds the same errors


class _FirstElementError(Exception):
    """The document's first element begins."""


def _new_parser() -> expat.XMLParserType:
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.buffer_size = _TEXT_BYTES
    return parser


def _broken(reason: str, line: int) -> FeedUnreadableError:
    return broken_document("well-formed XML", reason, line, None)
