"""What readers of workbooks share: the parts of a zip archive of XML, and the texts of cells.

Parts are unpacked as they are read, and counted. Numbers, dates and times become the text that a
feed's cell has.
"""

import math
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias, cast
from xml.etree.ElementTree import Element, ParseError, XMLPullParser
from xml.parsers.expat import ExpatError, ParserCreate, XMLParserType

from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest.compression import BROKEN, open_archive, too_much
from relay_core.ingest.decoding import Buffer

_PIECE = 1 << 20
MAX_ROWS, MAX_COLUMNS = 1 << 20, 1 << 14
"""The largest sheet that programs write."""
_MAX_ELEMENTS = 300_000
"""The most elements of a part beside cells and texts; programs write some 65,000 styles."""


class Parts:
    """A workbook's parts, ``limits`` are of all that is unpacked; ``DECODE_ERROR``: no archive."""

    def __init__(self, data: Buffer, format: str, limits: Limits) -> None:
        self._format, self._limits, self._left = format, limits, limits.feed_bytes
        try:
            self._archive = open_archive(data)
        except BROKEN as error:
            raise self.damaged(str(error)) from error
        self._names = {name.casefold(): name for name in self._archive.namelist()}

    def has(self, part: str) -> bool:
        """Return whether the archive has a part of this name, in any case."""
        return part.casefold() in self._names

    def pieces(self, part: str) -> Iterator[bytes]:
        """Yield the bytes of a part."""
        try:
            with self._archive.open(self._names[part.casefold()]) as file:
                while piece := file.read(_PIECE):
                    self._left -= len(piece)
                    if self._left < 0:
                        raise too_much(self._limits)
                    yield piece
        except (*BROKEN, KeyError, RuntimeError, NotImplementedError) as error:
            raise self.damaged(f"{shorten(part)}: {error or 'it is cut short'}") from error

    def elements(self, part: str, *names: str, are_few: bool = False) -> Iterator[Element]:
        """Yield the elements of these local names as they end; each is emptied after that.

        Raises:
            FeedUnreadableError: ``DECODE_ERROR``: the part is damaged, declares a document type, or
                has far too many elements where they are to be few.
        """
        parser: XMLPullParser[Element] = XMLPullParser()
        count = 0
        try:
            for place, piece in enumerate(self.pieces(part)):
                if not place:  # where a document type would be
                    self._expat().Parse(piece, False)
                parser.feed(piece)
                for _, element in cast("Iterator[tuple[str, Element]]", parser.read_events()):
                    count += 1
                    if are_few and count > _MAX_ELEMENTS:
                        why = f"a part of it has more than {_MAX_ELEMENTS:,} elements"
                        raise self.damaged(why)
                    if local(element) in names:
                        yield element
                        element.clear()
            parser.close()
        except (ParseError, ExpatError) as error:
            raise self.damaged(f"{shorten(part)}: {error}") from error

    def tags(self, part: str, *names: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the start tags of these names with their attributes; all else as in `elements`."""
        found: list[tuple[str, dict[str, str]]] = []

        def start(name: str, attributes: dict[str, str]) -> None:
            if f"{{{name}" in names:
                found.append((f"{{{name}", {f"{{{key}": v for key, v in attributes.items()}))

        parser = self._expat()
        parser.StartElementHandler = start
        try:
            for piece in self.pieces(part):
                parser.Parse(piece, False)
                yield from found
                found.clear()
            parser.Parse(b"", True)
        except ExpatError as error:
            raise self.damaged(f"{shorten(part)}: {error}") from error

    def damaged(self, why: str) -> FeedUnreadableError:
        """Return the fault of a file that is no workbook, or a damaged one."""
        return damaged_workbook(self._format, why)

    def _expat(self) -> XMLParserType:
        """Return a parser that refuses entities; programs that write workbooks declare none."""

        def refuse(*_: object) -> None:
            raise self.damaged("a part of it declares a document type")

        parser = ParserCreate(namespace_separator="}")
        parser.StartDoctypeDeclHandler = refuse
        return parser


def damaged_workbook(format: str, why: str) -> FeedUnreadableError:
    """Return the fault of a file that is no workbook of a format, or a damaged one."""
    return FeedUnreadableError(
        FailureCode.DECODE_ERROR,
        f"the file cannot be read as an .{format} workbook: {why}; save it as .xlsx without a "
        "password, or set parser.format to what it is",
    )


def protected_workbook() -> FeedUnreadableError:
    """Return the fault of a workbook with a password."""
    return FeedUnreadableError(
        FailureCode.DECODE_ERROR,
        "the workbook has a password; save it without one, or export it as CSV",
    )


def local(element: Element) -> str:
    """Return an element's name without its namespace."""
    return element.tag.rpartition("}")[2]


_PLAIN = re.compile(r"0|-?[1-9][0-9]{0,13}|-?(?:0|[1-9][0-9]{0,6})\.[0-9]{0,5}[1-9]")
"""A number that is written as it is to be, of at most 15 digits."""
_DIGITS = 15
_DAY = 86_400
_LAST_DAY = 2_958_465
"""31 December 9999 in the 1900 system."""
_BETWEEN_SYSTEMS = 1_462
_NO_DAY = 60
"""29 February 1900, a day of the 1900 system alone."""
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001  # days of a sheet have no zone
# Numbers of built-in formats that show a date, a time or both.
_DATE_FORMATS = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))
_NOT_SHOWN = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_DATE_LETTER = re.compile(r"[ymdhs]", re.IGNORECASE)


Cell: TypeAlias = tuple[int, str, bool]
"""A cell that holds something: its column from 0, its text, whether it is a number."""
Row: TypeAlias = tuple[int, list[Cell]]
"""The number of a sheet's row, from 1, and its cells."""


def number_text(text: str) -> str:
    """Return a number to 15 significant digits, without an exponent and zeros at the end."""
    if _PLAIN.fullmatch(text):
        return text
    number = _float(text)
    if not math.isfinite(number):
        return text
    shown = format(Decimal(f"{number:.{_DIGITS}g}"), "f")
    return "0" if shown == "-0" else shown


def serial_text(text: str, *, from_1904: bool) -> str:
    """Return a serial as a date, as a date with a time, or below 1 as a time."""
    serial = _float(text)
    if not 0 <= serial < _LAST_DAY + 1 - (_BETWEEN_SYSTEMS if from_1904 else 0):
        return number_text(text)
    days, clock = divmod(math.floor(serial * _DAY + 0.5), _DAY)
    moment = _EPOCH + timedelta(days=days + (_BETWEEN_SYSTEMS if from_1904 else days < _NO_DAY))
    shown = moment + timedelta(seconds=clock)
    if serial < 1:
        return f"{shown:%H:%M:%S}"
    is_no_day = days == _NO_DAY and not from_1904
    date = "1900-02-29" if is_no_day else shown.date().isoformat()
    return f"{date} {shown:%H:%M:%S}" if clock else date


def iso_text(text: str) -> str:
    """Return a date or a moment, which may be written with a ``T``, rounded to the second."""
    try:
        moment = datetime.fromisoformat(text) + timedelta(microseconds=500_000)
    except (ValueError, OverflowError):
        return text
    return moment.strftime("%Y-%m-%d %H:%M:%S").removesuffix(" 00:00:00")


def shows_date(number: str, formats: dict[str, str]) -> bool:
    """Return whether a number format, one of a workbook's or built in, shows a date or a time."""
    if number in formats:
        return _DATE_LETTER.search(_NOT_SHOWN.sub("", formats[number])) is not None
    return number.isdecimal() and int(number) in _DATE_FORMATS


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
