"""Workbooks of XML, Excel's (.xlsx) and OpenDocument's (.ods): sheets, and the cells of one by row.

Their parts are unpacked as they are read, and counted. Python's own XML parser reads them. For
.xlsx openpyxl takes five times as long, and gives other texts for serial 60, dates beyond the
calendar, ``1e400`` and ``_x000D_``. For .ods odfpy and python-calamine hold whole sheets, with all
that is repeated, and python-calamine has no text for the cells of errors.
"""

import math
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TypeAlias, cast
from xml.etree.ElementTree import Element, ParseError, XMLPullParser
from xml.parsers.expat import ExpatError, ParserCreate, XMLParserType

from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest.compression import BROKEN, open_archive, too_much
from relay_core.ingest.feed import Buffer

_PIECE = 1 << 20
MAX_ROWS, MAX_COLUMNS = 1 << 20, 1 << 14  # the largest sheet that programs write
_MAX_TAGS = (
    300_000  # the most sheets or styles of a part; programs write some 65,000 styles
)

Cell: TypeAlias = tuple[int, str, bool]
"""A cell that holds something: its column from 0, its text, whether it is a number."""
Row: TypeAlias = tuple[
    int, list[Cell]
]  # the number of a sheet's row, from 1, and its cells


class Parts:
    """A workbook's parts, ``limits`` are of all that is unpacked; ``DECODE_ERROR``: no archive."""

    def __init__(self, data: Buffer, format: str, limits: Limits) -> None:
        self.damaged = partial(damaged_workbook, format)
        self._limits, self._left = limits, limits.feed_bytes
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
            raise self.damaged(
                f"{shorten(part)}: {error or 'it is cut short'}"
            ) from error

    def elements(self, part: str, *names: str) -> Iterator[Element]:
        """Yield the elements of these local names as they end; each is emptied after that.

        `FeedUnreadableError`: ``DECODE_ERROR``: the part is damaged or declares a document type.
        """
        parser: XMLPullParser[Element] = XMLPullParser()
        try:
            for place, piece in enumerate(self.pieces(part)):
                if not place:  # where a document type would be
                    self._expat().Parse(piece, False)
                parser.feed(piece)
                for _, element in cast(
                    "Iterator[tuple[str, Element]]", parser.read_events()
                ):
                    if local(element) in names:
                        yield element
                        element.clear()
            parser.close()
        except (ParseError, ExpatError) as error:
            raise self.damaged(f"{shorten(part)}: {error}") from error

    def tags(self, part: str, *names: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the start tags of these local names with their attributes, by local names too.

        They are to be few; faults as in `elements`.
        """
        found: list[tuple[str, dict[str, str]]] = []
        left = _MAX_TAGS

        def start(name: str, attributes: dict[str, str]) -> None:
            if (tag := name.rpartition("}")[2]) in names:
                own = {
                    key.rpartition("}")[2]: value for key, value in attributes.items()
                }
                found.append((tag, own))

        parser = self._expat()
        parser.StartElementHandler = start
        try:
            for piece in self.pieces(part):
                parser.Parse(piece, False)
                left -= len(found)
                if left < 0:
                    raise self.damaged(
                        f"a part of it has more than {_MAX_TAGS:,} elements"
                    )
                yield from found
                found.clear()
            parser.Parse(b"", True)
        except ExpatError as error:
            raise self.damaged(f"{shorten(part)}: {error}") from error

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


# --- .xlsx --------------------------------------------------------------------------------------

_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_BOOLEANS = {"1": "true", "0": "false"}
_PADDED = re.compile("0{2,}")


class XlsxBook:
    """An Excel workbook, or ``DECODE_ERROR``; ``padded`` numbers have the zeros of their format."""

    def __init__(self, data: Buffer, limits: Limits, *, padded: bool = False) -> None:
        self._padded = padded
        self._parts = Parts(data, "xlsx", limits)
        roots = self._relations("").values()
        part = next((to for kind, to in roots if kind.endswith("/officeDocument")), "")
        if not self._parts.has(part):
            raise self._parts.damaged("it has no part that lists its sheets")
        self._related = self._relations(part)
        self._targets: list[str] = []
        self._from_1904 = False
        self.sheets: list[tuple[str, bool]] = []
        for tag, each in self._parts.tags(part, "sheet", "workbookPr"):
            if tag == "workbookPr":
                self._from_1904 = each.get("date1904", "0") in ("1", "true", "on")
                continue
            kind, target = self._related.get(each.get("id", ""), ("", ""))
            if kind.endswith("/worksheet"):
                is_visible = each.get("state", "visible") == "visible"
                self.sheets.append((each.get("name", ""), is_visible))
                self._targets.append(target)

    def rows(self, place: int) -> Iterator[Row]:
        """Yield the rows that have a filled cell; ``DECODE_ERROR``: the workbook is damaged."""
        part = self._part("/sharedStrings")
        items = self._parts.elements(part, "si") if part else ()
        shared, last = [_unescaped(_text(each)) for each in items], 0
        dated, padded = self._styles()
        for row in self._parts.elements(self._targets[place], "row", "sheetData"):
            if local(row) == "sheetData":
                return
            written = row.get("r", "")
            number = int(written) if written.isdecimal() and len(written) < 10 else 0
            number = number or last + 1
            if not last < number <= MAX_ROWS:
                raise self._parts.damaged(f"row {number} stands behind row {last}")
            last, column = number, -1
            cells: list[Cell] = []
            for cell in row:
                reference = cell.get("r")
                column = column + 1 if reference is None else _column(reference)
                if not 0 <= column < MAX_COLUMNS:
                    raise self._parts.damaged("a cell stands in no column of a sheet")
                value = self._value(cell, shared, dated, padded)
                if value is not None:
                    cells.append((column, *value))
            if cells:
                yield number, cells

    def _value(
        self,
        cell: Element,
        shared: list[str],
        dated: Collection[str],
        padded: Mapping[str, int],
    ) -> tuple[str, bool] | None:
        """Return a cell's text, and whether it is a number; None where it holds nothing."""
        kind, text = cell.get("t", "n"), ""
        for part in cell:
            name = local(part)
            if name == "v":
                text = part.text or ""
            elif name == "is":
                text = _text(part)
        if not text:
            return None
        if kind == "n":
            style = cell.get("s", "0")
            if style in dated:
                return serial_text(text, from_1904=self._from_1904), False
            number = number_text(text)
            has_zeros = padded and number.isdecimal()
            return (number.zfill(padded.get(style, 0)) if has_zeros else number), True
        if kind == "s":
            if not text.strip().isdecimal() or int(text) >= len(shared):
                raise self._parts.damaged("a cell names a text that is not there")
            return shared[int(text)], False
        if kind == "b":
            return _BOOLEANS.get(text, text), False
        return (
            iso_text(text) if kind == "d" else text if kind == "e" else _unescaped(text)
        ), False

    def _styles(self) -> tuple[Collection[str], Mapping[str, int]]:
        """Return the cell styles of a date or a time, and how many digits those of others have."""
        part = self._part("/styles")
        formats: dict[str, str] = {}
        numbers: list[str] = []
        for tag, each in (
            self._parts.tags(part, "numFmt", "cellXfs", "xf") if part else ()
        ):
            if tag == "numFmt":
                formats[each.get("numFmtId", "")] = each.get("formatCode", "")
            elif tag == "xf":
                numbers.append(each.get("numFmtId", "0"))
            else:  # the styles before it are no cells'
                numbers.clear()
        padded = {
            str(at): len(formats[each])
            for at, each in enumerate(numbers if self._padded else ())
            if _PADDED.fullmatch(formats.get(each, ""))
        }
        return {
            str(at) for at, each in enumerate(numbers) if shows_date(each, formats)
        }, padded

    def _part(self, kind: str) -> str | None:
        found = (
            target for known, target in self._related.values() if known.endswith(kind)
        )
        return next(filter(self._parts.has, found), None)

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Return the parts that a part, or "" for the file, names: by id their kind and path."""
        folder, name = posixpath.split(part)
        file = posixpath.join(folder, f"_rels/{name}.rels")
        tags = self._parts.tags(file, "Relationship") if self._parts.has(file) else ()
        relations = {}
        for _, each in tags:
            if each.get("TargetMode", "Internal") == "Internal":
                path = posixpath.normpath(
                    posixpath.join("/", folder, each.get("Target", ""))
                )
                relations[each.get("Id", "")] = (each.get("Type", ""), path.lstrip("/"))
        return relations


def _text(item: Element) -> str:
    """Return the text of an item or a cell, without how it is spoken."""
    parts = []
    for each in item:
        name = local(each)
        if name == "t":
            parts.append(each.text or "")
        elif name == "r":
            parts += [run.text or "" for run in each if local(run) == "t"]
    return "".join(parts)


def _unescaped(text: str) -> str:
    """Return a text with ``_x000D_`` and its like as the characters that they stand for."""
    return (
        _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
        if "_x" in text
        else text
    )


def _column(reference: str) -> int:
    """Return the column that a reference such as ``AB12`` names, from 0."""
    column = 0
    for letter in reference.rstrip("0123456789")[:4]:
        column = column * 26 + ord(letter) - ord("A") + 1
    return column - 1


# --- .ods ---------------------------------------------------------------------------------------

_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_CALC = "{urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0}"
_CONTENT = "content.xml"
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")
_SPACE = re.compile(r"[ \t\r\n]+")
_MARKS = {"tab": "\t", "line-break": "\n"}


class OdsBook:
    """A workbook of OpenDocument; `FeedUnreadableError` ``DECODE_ERROR``: it is none or damaged."""

    def __init__(self, data: Buffer, limits: Limits) -> None:
        self._parts, self._cell_bytes = Parts(data, "ods", limits), limits.cell_bytes
        self.sheets: list[tuple[str, bool]] = []
        style, hidden = None, set[str | None]()
        for tag, each in self._parts.tags(
            _CONTENT, "style", "table-properties", "table"
        ):
            if tag == "style":
                style = each.get("name")
            elif tag == "table":
                self.sheets.append(
                    (each.get("name", ""), each.get("style-name") not in hidden)
                )
            elif each.get("display") == "false":
                hidden.add(style)

    def rows(self, place: int) -> Iterator[Row]:
        """Yield rows with a filled cell, repeated ones as often as they stand; ``DECODE_ERROR``."""
        number = 0
        for each in self._parts.elements(_CONTENT, "table-row", "table"):
            if local(each) == "table":
                place -= 1
                if place < 0:
                    return
                continue
            if place:
                continue
            cells, times = self._cells(each), _times(each, "rows")
            if cells:
                if number + times > MAX_ROWS:
                    raise self._parts.damaged(f"it has more than {MAX_ROWS:,} rows")
                for at in range(1, times + 1):
                    yield number + at, cells
            number += times

    def _cells(self, row: Element) -> list[Cell]:
        cells: list[Cell] = []
        column = 0
        for each in row:
            times, (text, is_number) = _times(each, "columns"), self._value(each)
            if text.strip() or (text and times == 1):
                if column + times > MAX_COLUMNS:
                    raise self._parts.damaged(
                        f"it has more than {MAX_COLUMNS:,} columns"
                    )
                cells += [(column + at, text, is_number) for at in range(times)]
            column += times
        return cells

    def _value(self, cell: Element) -> tuple[str, bool]:
        """Return a cell's text, and whether it is a number."""
        kind = cell.get(f"{_OFFICE}value-type")
        if cell.get(f"{_CALC}value-type") == "error":
            kind = "error"
        if kind in ("float", "percentage", "currency"):
            return number_text(cell.get(f"{_OFFICE}value", "")), True
        if kind == "date":
            return iso_text(cell.get(f"{_OFFICE}date-value", "")), False
        if kind == "time":
            text = cell.get(f"{_OFFICE}time-value", "")
            if (found := _DURATION.fullmatch(text)) is not None:
                hours, minutes, seconds = (float(each or 0) for each in found.groups())
                days = (hours * 3600 + minutes * 60 + seconds) / 86_400
                text = serial_text(repr(days), from_1904=False)
            return text, False
        if kind == "boolean":
            return cell.get(f"{_OFFICE}boolean-value", ""), False
        written = cell.get(f"{_OFFICE}string-value")
        if written and kind == "string":
            return written, False
        paragraphs = [self._paragraph(each) for each in cell if each.tag == f"{_TEXT}p"]
        return "\n".join(paragraphs), False

    def _paragraph(self, paragraph: Element) -> str:
        """Return a paragraph's text; one that is too large for a cell is cut where it is."""
        parts: list[str] = []
        size = 0
        try:
            for piece in self._runs(paragraph):
                parts.append(piece)
                size += len(piece)
                if size > self._cell_bytes:
                    break
        except RecursionError as error:
            raise self._parts.damaged("a text of it is nested too deep") from error
        return "".join(parts)

    def _runs(self, element: Element) -> Iterator[str]:
        """Yield the pieces of a paragraph's text, without remarks on it."""
        yield _SPACE.sub(" ", element.text or "")
        for child in element:
            name = local(child)
            if name == "s":
                yield " " * min(_count(child.get(f"{_TEXT}c")), self._cell_bytes + 1)
            elif name in _MARKS:
                yield _MARKS[name]
            elif name != "annotation":
                yield from self._runs(child)
            yield _SPACE.sub(" ", child.tail or "")


def _times(element: Element, of: str) -> int:
    return _count(element.get(f"{_TABLE}number-{of}-repeated"))


def _count(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else 1


# --- the texts of cells -------------------------------------------------------------------------

_PLAIN = re.compile(r"0|-?[1-9][0-9]{0,13}|-?(?:0|[1-9][0-9]{0,6})\.[0-9]{0,5}[1-9]")
"""A number that is written as it is to be, of at most 15 digits."""
_DIGITS = 15
_DAY = 86_400
_LAST_DAY = 2_958_465  # 31 December 9999 in the 1900 system
_BETWEEN_SYSTEMS = 1_462
_NO_DAY = 60  # 29 February 1900, a day of the 1900 system alone
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001  # days of a sheet have no zone
# Numbers of built-in formats that show a date, a time or both.
_DATE_FORMATS = frozenset(
    (*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59))
)
_NOT_SHOWN = re.compile(
    r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE
)
_DATE_LETTER = re.compile(r"[ymdhs]", re.IGNORECASE)


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
    moment = _EPOCH + timedelta(
        days=days + (_BETWEEN_SYSTEMS if from_1904 else days < _NO_DAY)
    )
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
