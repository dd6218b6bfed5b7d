"""Workbooks of OpenDocument (.ods): their sheets, and the cells of one sheet by row."""

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from relay_core.domain.limits import Limits
from relay_core.ingest.feed import Buffer
from relay_core.ingest.workbook_cells import (
    Cell,
    SheetRow,
    iso_text,
    number_text,
    serial_text,
)
from relay_core.ingest.workbook_parts import (
    MAX_COLUMNS,
    MAX_ROWS,
    Parts,
    local_name,
)

_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_CALC = "{urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0}"
_CONTENT = "content.xml"
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")
_WHITE_SPACE = re.compile(r"[ \t\r\n]+")
_WHITE_SPACE_ELEMENTS = {"tab": "\t", "line-break": "\n"}


class OdsBook:
    """A workbook of OpenDocument.

    Attributes:
        sheets: The name of each sheet, and whether it is visible.
    """

    def __init__(self, data: Buffer, limits: Limits) -> None:
        """Open a workbook.

        Raises:
            FeedUnreadableError: ``DECODE_ERROR`` if the data is no workbook.
        """
        self._parts = Parts(data, "ods", limits)
        self._cell_bytes = limits.cell_bytes
        self.sheets: list[tuple[str, bool]] = []
        style: str | None = None
        hidden_styles: set[str | None] = set()
        tags = self._parts.tags(_CONTENT, "style", "table-properties", "table")
        for tag, attributes in tags:
            if tag == "style":
                style = attributes.get("name")
            elif tag == "table":
                is_visible = attributes.get("style-name") not in hidden_styles
                self.sheets.append((attributes.get("name", ""), is_visible))
            elif attributes.get("display") == "false":
                hidden_styles.add(style)

    def rows(self, sheet_index: int) -> Iterator[SheetRow]:
        """Yield the rows of a sheet that have a filled cell; repeated ones repeatedly.

        Raises:
            FeedUnreadableError: ``DECODE_ERROR`` if the workbook is damaged.
        """
        table_index = 0
        rows_before = 0
        for element in self._parts.elements(_CONTENT, "table-row", "table"):
            if local_name(element) == "table":
                if table_index == sheet_index:
                    return
                table_index += 1
                continue
            if table_index != sheet_index:
                continue
            repetitions = _repetitions(element, "rows")
            cells = self._cells(element)
            if cells:
                if rows_before + repetitions > MAX_ROWS:
                    raise self._parts.damaged(
                        f"it has more than {MAX_ROWS:,} rows",
                    )
                for number in range(
                    rows_before + 1,
                    rows_before + repetitions + 1,
                ):
                    yield number, cells
            rows_before += repetitions

    def _cells(self, row: Element) -> list[Cell]:
        cells: list[Cell] = []
        column = 0
        for cell in row:
            repetitions = _repetitions(cell, "columns")
            text, is_number = self._value(cell)
            # Blank cells are repeated up to the end of the sheet.
            if text.strip() or (text and repetitions == 1):
                if column + repetitions > MAX_COLUMNS:
                    raise self._parts.damaged(
                        f"it has more than {MAX_COLUMNS:,} columns",
                    )
                for repeated_column in range(column, column + repetitions):
                    cells.append((repeated_column, text, is_number))
            column += repetitions
        return cells

    def _value(self, cell: Element) -> tuple[str, bool]:
        """Return the text of a cell, and whether it is a number."""
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
        string_value = cell.get(f"{_OFFICE}string-value")
        if string_value and kind == "string":
            return string_value, False
        paragraphs = [
            self._paragraph_text(child)
            for child in cell
            if child.tag == f"{_TEXT}p"
        ]
        return "\n".join(paragraphs), False

    def _paragraph_text(self, paragraph: Element) -> str:
        """Return the text of a paragraph, cut off once it is too large for a cell."""
        pieces: list[str] = []
        size = 0
        try:
            for piece in self._text_pieces(paragraph):
                pieces.append(piece)
                size += len(piece)
                if size > self._cell_bytes:
                    break
        except RecursionError as error:
            raise self._parts.damaged(
                "one of its texts is nested too deeply",
            ) from error
        return "".join(pieces)

    def _text_pieces(self, element: Element) -> Iterator[str]:
        """Yield the pieces of an element's text, without annotations."""
        yield _WHITE_SPACE.sub(" ", element.text or "")
        for child in element:
            name = local_name(child)
            if name == "s":
                spaces = _count(child.get(f"{_TEXT}c"))
                yield " " * min(spaces, self._cell_bytes + 1)
            elif name in _WHITE_SPACE_ELEMENTS:
                yield _WHITE_SPACE_ELEMENTS[name]
            elif name != "annotation":
                yield from self._text_pieces(child)
            yield _WHITE_SPACE.sub(" ", child.tail or "")


def _time_text(duration: str) -> str:
    """Return a duration such as ``PT12H30M00S`` as a time."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        return duration
    hours, minutes, seconds = (float(number or 0) for number in match.groups())
    days = (hours * 3600 + minutes * 60 + seconds) / 86_400
    return serial_text(repr(days), from_1904=False)


def _repetitions(element: Element, unit: str) -> int:
    """Return how many rows or columns an element stands for."""
    return _count(element.get(f"{_TABLE}number-{unit}-repeated"))


def _count(text: str | None) -> int:
    """Return the number of a text, or 1 if it is none."""
    is_number = text is not None and text.isdecimal() and len(text) < 10
    return int(text) if text is not None and is_number else 1
