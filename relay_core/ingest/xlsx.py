"""Excel workbooks (.xlsx): their sheets, and the cells of one sheet by row."""

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple
from xml.etree.ElementTree import Element

from relay_core.domain.limits import Limits
from relay_core.ingest import workbook_cells
from relay_core.ingest.feed import Buffer
from relay_core.ingest.workbook_parts import (
    MAX_COLUMNS,
    MAX_ROWS,
    Parts,
    local_name,
)

_ESCAPED_CHARACTER = re.compile("_x([0-9A-Fa-f]{4})_")
_BOOLEANS = {"1": "true", "0": "false"}
_ZEROS_FORMAT = re.compile("0{2,}")
"""A format that pads a number with zeros."""


class _Relation(NamedTuple):
    """A part that another part refers to."""

    kind: str  # the URL of its type
    path: str  # its name in the archive


_NO_RELATION = _Relation("", "")


class _Styles(NamedTuple):
    """The formats of cells, by the style of a cell."""

    dates: Collection[str]  # the styles that show a date or a time
    digits: Mapping[str, int]  # how many digits styles with leading zeros have


class XlsxBook:
    """An Excel workbook.

    Attributes:
        sheets: The name of each sheet, and whether it is visible.
    """

    def __init__(
        self,
        data: Buffer,
        limits: Limits,
        *,
        padded: bool = False,
    ) -> None:
        """Open a workbook; ``padded`` numbers get the leading zeros of their format.

        Raises:
            FeedUnreadableError: ``DECODE_ERROR`` if the data is no workbook.
        """
        self._pads_numbers = padded
        self._parts = Parts(data, "xlsx", limits)
        workbook_part = self._workbook_part()
        self._relations = self._relations_of(workbook_part)
        self._sheet_parts: list[str] = []
        self._from_1904 = False
        self.sheets: list[tuple[str, bool]] = []
        for tag, attributes in self._parts.tags(
            workbook_part,
            "sheet",
            "workbookPr",
        ):
            if tag == "workbookPr":
                self._from_1904 = attributes.get("date1904") in (
                    "1",
                    "true",
                    "on",
                )
                continue
            relation = self._relations.get(
                attributes.get("id", ""),
                _NO_RELATION,
            )
            if relation.kind.endswith("/worksheet"):
                is_visible = attributes.get("state", "visible") == "visible"
                self.sheets.append((attributes.get("name", ""), is_visible))
                self._sheet_parts.append(relation.path)

    def rows(self, sheet_index: int) -> Iterator[workbook_cells.SheetRow]:
        """Yield the rows of a sheet that have a filled cell.

        Raises:
            FeedUnreadableError: ``DECODE_ERROR`` if the workbook is damaged.
        """
        shared_texts = self._shared_texts()
        styles = self._styles()
        last_number = 0
        sheet_part = self._sheet_parts[sheet_index]
        for row in self._parts.elements(sheet_part, "row", "sheetData"):
            if local_name(row) == "sheetData":
                return
            number = _row_number(row.get("r", "")) or last_number + 1
            if not last_number < number <= MAX_ROWS:
                raise self._parts.damaged(
                    f"row {number} comes after row {last_number}",
                )
            last_number = number
            cells = self._cells(row, shared_texts, styles)
            if cells:
                yield number, cells

    def _cells(
        self,
        row: Element,
        shared_texts: list[str],
        styles: _Styles,
    ) -> list[workbook_cells.Cell]:
        cells: list[workbook_cells.Cell] = []
        column = -1
        for cell in row:
            reference = cell.get("r")
            column = (
                column + 1 if reference is None else _column_index(reference)
            )
            if not 0 <= column < MAX_COLUMNS:
                raise self._parts.damaged(
                    "a cell is outside of the columns of a sheet",
                )
            value = self._value(cell, shared_texts, styles)
            if value is not None:
                text, is_number = value
                cells.append((column, text, is_number))
        return cells

    def _value(
        self,
        cell: Element,
        shared_texts: list[str],
        styles: _Styles,
    ) -> tuple[str, bool] | None:
        """Return a cell's text, and whether it is a number; None if it is empty."""
        kind = cell.get("t", "n")
        text = ""
        for child in cell:
            name = local_name(child)
            if name == "v":
                text = child.text or ""
            elif name == "is":
                text = _text_of(child)
        if not text:
            return None
        if kind == "n":
            return self._number(text, cell.get("s", "0"), styles)
        if kind == "s":
            if not text.strip().isdecimal() or int(text) >= len(shared_texts):
                raise self._parts.damaged(
                    "a cell refers to a text that is missing",
                )
            return shared_texts[int(text)], False
        if kind == "b":
            return _BOOLEANS.get(text, text), False
        if kind == "d":
            return workbook_cells.iso_text(text), False
        return text if kind == "e" else _unescaped(text), False

    def _number(
        self,
        text: str,
        style: str,
        styles: _Styles,
    ) -> tuple[str, bool]:
        if style in styles.dates:
            date = workbook_cells.serial_text(text, from_1904=self._from_1904)
            return date, False
        number = workbook_cells.number_text(text)
        if styles.digits and number.isdecimal():
            number = number.zfill(styles.digits.get(style, 0))
        return number, True

    def _shared_texts(self) -> list[str]:
        """Return the texts that cells refer to by their index."""
        part = self._related_part("/sharedStrings")
        items = self._parts.elements(part, "si") if part else ()
        return [_unescaped(_text_of(item)) for item in items]

    def _styles(self) -> _Styles:
        part = self._related_part("/styles")
        tags = self._parts.tags(part, "numFmt", "cellXfs", "xf") if part else ()
        formats: dict[str, str] = {}
        format_numbers: list[str] = []  # one a style
        for tag, attributes in tags:
            if tag == "numFmt":
                format_code = attributes.get("formatCode", "")
                formats[attributes.get("numFmtId", "")] = format_code
            elif tag == "xf":
                format_numbers.append(attributes.get("numFmtId", "0"))
            else:  # the styles of cells begin; those before were not of cells
                format_numbers.clear()
        dates = set()
        digits = {}
        for index, format_number in enumerate(format_numbers):
            format_code = formats.get(format_number, "")
            if workbook_cells.shows_date(format_number, formats):
                dates.add(str(index))
            if self._pads_numbers and _ZEROS_FORMAT.fullmatch(format_code):
                digits[str(index)] = len(format_code)
        return _Styles(dates, digits)

    def _workbook_part(self) -> str:
        """Return the name of the part that lists the sheets."""
        for relation in self._relations_of("").values():
            if relation.kind.endswith("/officeDocument"):
                if self._parts.has(relation.path):
                    return relation.path
                break
        raise self._parts.damaged("it has no part that lists its sheets")

    def _related_part(self, kind: str) -> str | None:
        """Return the first part of a kind that the workbook refers to."""
        for relation in self._relations.values():
            if relation.kind.endswith(kind) and self._parts.has(relation.path):
                return relation.path
        return None

    def _relations_of(self, part: str) -> dict[str, _Relation]:
        """Return the parts that a part refers to, by id; "" is the whole file."""
        folder, name = posixpath.split(part)
        relations_part = posixpath.join(folder, f"_rels/{name}.rels")
        if not self._parts.has(relations_part):
            return {}
        relations: dict[str, _Relation] = {}
        for _, attributes in self._parts.tags(relations_part, "Relationship"):
            if attributes.get("TargetMode", "Internal") != "Internal":
                continue
            target = posixpath.join("/", folder, attributes.get("Target", ""))
            path = posixpath.normpath(target).lstrip("/")
            kind = attributes.get("Type", "")
            relations[attributes.get("Id", "")] = _Relation(kind, path)
        return relations


def _row_number(reference: str) -> int:
    """Return the number of a row, or 0 if its reference is not a number."""
    return (
        int(reference) if reference.isdecimal() and len(reference) < 10 else 0
    )


def _column_index(reference: str) -> int:
    """Return the index of the column in a reference such as ``AB12``, from 0."""
    column_number = 0
    for letter in reference.rstrip("0123456789")[:4]:
        column_number = column_number * 26 + ord(letter) - ord("A") + 1
    return column_number - 1


def _text_of(item: Element) -> str:
    """Return the text of an item or a cell, without its phonetic hints."""
    parts: list[str] = []
    for child in item:
        name = local_name(child)
        if name == "t":
            parts.append(child.text or "")
        elif name == "r":  # a run with its own font
            parts += [
                part.text or "" for part in child if local_name(part) == "t"
            ]
    return "".join(parts)


def _unescaped(text: str) -> str:
    """Return a text in which escapes such as ``_x000D_`` are decoded."""
    if "_x" not in text:
        return text
    return _ESCAPED_CHARACTER.sub(lambda match: chr(int(match[1], 16)), text)
