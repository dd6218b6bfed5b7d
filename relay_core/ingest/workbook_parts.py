"""The parts of a workbook of XML (.xlsx, .ods): its archive and their elements.

Parts are unpacked as they are read, and their bytes are counted. Python's own XML
parser reads them. For .xlsx, openpyxl takes five times as long, and gives other texts
for serial 60, dates beyond the calendar, ``1e400`` and ``_x000D_``. For .ods, odfpy and
python-calamine keep whole sheets in memory, with all repeated cells, and
python-calamine has no text for cells with errors.
"""

from collections.abc import Iterator
from typing import cast
from xml.etree.ElementTree import Element, ParseError, XMLPullParser
from xml.parsers.expat import ExpatError, ParserCreate, XMLParserType

from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest import compression
from relay_core.ingest.feed import Buffer

MAX_ROWS = 1 << 20
"""The most rows of a sheet that programs write."""
MAX_COLUMNS = 1 << 14
"""The most columns of a sheet that programs write."""
_PIECE_BYTES = 1 << 20
_MAX_TAGS = 300_000
"""The most sheets or styles of a part; programs write up to 65,000 styles."""
_PART_ERRORS = (
    *compression.ARCHIVE_ERRORS,
    KeyError,
    RuntimeError,
    NotImplementedError,
)


class Parts:
    """The parts of a workbook; the limits apply to all that is unpacked."""

    def __init__(self, data: Buffer, format: str, limits: Limits) -> None:
        """Open the archive.

        Raises:
            FeedUnreadableError: ``DECODE_ERROR`` if the data is no archive.
        """
        self._format = format
        self._limits = limits
        self._remaining_bytes = limits.feed_bytes
        try:
            self._archive = compression.open_archive(data)
        except compression.ARCHIVE_ERRORS as error:
            raise self.damaged(str(error)) from error
        self._names = {
            name.casefold(): name for name in self._archive.namelist()
        }

    def damaged(self, reason: str) -> FeedUnreadableError:
        """Return the error of a workbook that is damaged."""
        return damaged_workbook(self._format, reason)

    def has(self, part: str) -> bool:
        """Return whether the archive has a part of this name, in any case."""
        return part.casefold() in self._names

    def pieces(self, part: str) -> Iterator[bytes]:
        """Yield the bytes of a part.

        Raises:
            FeedUnreadableError: ``DECODE_ERROR`` if the part is damaged or missing.
                ``feed_too_large`` if the parts have too many bytes.
        """
        try:
            with self._archive.open(self._names[part.casefold()]) as file:
                while piece := file.read(_PIECE_BYTES):
                    self._remaining_bytes -= len(piece)
                    if self._remaining_bytes < 0:
                        raise compression.feed_too_large(self._limits)
                    yield piece
        except _PART_ERRORS as error:
            reason = error or "it is cut short"
            raise self.damaged(f"{shorten(part)}: {reason}") from error

    def elements(self, part: str, *names: str) -> Iterator[Element]:
        """Yield the elements of these local names as they end.

        An element is emptied when the next one is requested.

        Raises:
            FeedUnreadableError: As `pieces` raises it; ``DECODE_ERROR`` also if the
                part declares a document type.
        """
        parser: XMLPullParser[Element] = XMLPullParser()
        prolog = _Prolog(self._expat_parser())
        try:
            for piece in self.pieces(part):
                prolog.check(piece)
                parser.feed(piece)
                events = cast(
                    "Iterator[tuple[str, Element]]",
                    parser.read_events(),
                )
                for _, element in events:
                    if local_name(element) in names:
                        yield element
                        element.clear()
            parser.close()
        except (ParseError, ExpatError) as error:
            raise self.damaged(f"{shorten(part)}: {error}") from error

    def tags(
        self,
        part: str,
        *names: str,
    ) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the start tags of these local names, with attributes by local name.

        Use it only for tags that are rare in a part.

        Raises:
            FeedUnreadableError: As `elements` raises it; ``DECODE_ERROR`` also if there
                are too many.
        """
        tags: list[tuple[str, dict[str, str]]] = []
        remaining_tags = _MAX_TAGS

        def add_tag(qualified_name: str, attributes: dict[str, str]) -> None:
            name = qualified_name.rpartition("}")[2]
            if name in names:
                local_attributes = {
                    key.rpartition("}")[2]: value
                    for key, value in attributes.items()
                }
                tags.append((name, local_attributes))

        parser = self._expat_parser()
        parser.StartElementHandler = add_tag
        try:
            for piece in self.pieces(part):
                parser.Parse(piece, False)
                remaining_tags -= len(tags)
                if remaining_tags < 0:
                    raise self.damaged(
                        f"one of its parts has more than {_MAX_TAGS:,} elements",
                    )
                yield from tags
                tags.clear()
            parser.Parse(b"", True)
        except ExpatError as error:
            raise self.damaged(f"{shorten(part)}: {error}") from error

    def _expat_parser(self) -> XMLParserType:
        """Return a parser that rejects document types, and with them entities.

        Programs that write workbooks declare none.
        """

        def reject(*_: object) -> None:
            raise self.damaged("one of its parts declares a document type")

        parser = ParserCreate(namespace_separator="}")
        parser.StartDoctypeDeclHandler = reject
        return parser


class _Prolog:
    """The text of a part before its first element, where a document type may be."""

    def __init__(self, parser: XMLParserType) -> None:
        """Take a parser that rejects document types."""
        self._parser = parser
        self._has_ended = False
        parser.StartElementHandler = self._end

    def check(self, piece: bytes) -> None:
        """Read the next piece of the part, unless the first element has started."""
        if not self._has_ended:
            self._parser.Parse(piece, False)

    def _end(self, *_: object) -> None:
        self._has_ended = True
        self._parser.StartElementHandler = None


def damaged_workbook(format: str, reason: str) -> FeedUnreadableError:
    """Return the error of a file that is damaged, or no workbook of the format."""
    return FeedUnreadableError(
        FailureCode.DECODE_ERROR,
        f"the file cannot be read as an .{format} workbook: {reason}. "
        "Save it as .xlsx without a password, or set parser.format to match the file.",
    )


def protected_workbook() -> FeedUnreadableError:
    """Return the error of a workbook with a password."""
    return FeedUnreadableError(
        FailureCode.DECODE_ERROR,
        "the workbook has a password. Save it without the password, or export it as CSV.",
    )


def local_name(element: Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]
