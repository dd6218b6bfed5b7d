"""Workbooks of OpenDocument (.ods): their sheets, and the cells of one, row by row.

Python's own XML parser reads them as a stream: odfpy and python-calamine hold whole sheets, with
all that is repeated, and python-calamine has no text for the cells of errors.
"""

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from relay_core.domain.limits import Limits
from relay_core.ingest.decoding import Buffer
from relay_core.ingest.workbook_parts import (
    MAX_COLUMNS,
    MAX_ROWS,
    Cell,
    Parts,
    Row,
    iso_text,
    local,
    number_text,
    serial_text,
)

_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_CALC = "{urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0}"
_CONTENT = "content.xml"
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")
_SPACE = re.compile(r"[ \t\r\n]+")
_MARKS = {"tab": "\t", "line-break": "\n"}


class OdsBook:
    """A workbook.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``: it is none, or damaged.
    """

    def __init__(self, data: Buffer, limits: Limits) -> None:
        self._parts, self._cell_bytes = Parts(data, "ods", limits), limits.cell_bytes
        self.sheets: list[tuple[str, bool]] = []
        style, hidden = None, set[str | None]()
        tags = (f"{_STYLE}style", f"{_STYLE}table-properties", f"{_TABLE}table")
        for tag, attributes in self._parts.tags(_CONTENT, *tags):
            if tag == f"{_STYLE}style":
                style = attributes.get(f"{_STYLE}name")
            elif tag == f"{_TABLE}table":
                is_visible = attributes.get(f"{_TABLE}style-name") not in hidden
                self.sheets.append((attributes.get(f"{_TABLE}name", ""), is_visible))
            elif attributes.get(f"{_TABLE}display") == "false":
                hidden.add(style)

    def rows(self, place: int) -> Iterator[Row]:
        """Yield the rows of a sheet that have a filled cell, a repeated one as often as it stands.

        Raises:
            FeedUnreadableError: ``DECODE_ERROR``: the workbook is damaged.
        """
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
            if cells and number + times > MAX_ROWS:
                raise self._parts.damaged(f"it has more than {MAX_ROWS:,} rows")
            for _ in range(times if cells else 0):
                number += 1
                yield number, cells
            number += 0 if cells else times

    def _cells(self, row: Element) -> list[Cell]:
        cells: list[Cell] = []
        column = 0
        for each in row:
            times, (text, is_number) = _times(each, "columns"), self._value(each)
            if text.strip() or (text and times == 1):
                if column + times > MAX_COLUMNS:
                    raise self._parts.damaged(f"it has more than {MAX_COLUMNS:,} columns")
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
            return _time_text(cell.get(f"{_OFFICE}time-value", "")), False
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


def _time_text(text: str) -> str:
    found = _DURATION.fullmatch(text)
    if found is None:
        return text
    hours, minutes, seconds = (float(each or 0) for each in found.groups())
    return serial_text(repr((hours * 3600 + minutes * 60 + seconds) / 86_400), from_1904=False)
