"""The cells of a sheet as its XML has them, many at a time, and the texts that cells share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from xml.parsers.expat import ExpatError, ParserCreate, XMLParserType

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.text import Ints
from relay_core.ingest.xlsx.workbook import no_workbook

CELLS_AT_ONCE = 1 << 16


class CellType(IntEnum):
    """What the text of a cell stands for."""

    NUMBER = 0
    SHARED = 1
    TEXT = 2
    BOOLEAN = 3
    ERROR = 4
    DATE = 5


_TYPES = {
    "n": CellType.NUMBER,
    "s": CellType.SHARED,
    "str": CellType.TEXT,
    "inlineStr": CellType.TEXT,
    "b": CellType.BOOLEAN,
    "e": CellType.ERROR,
    "d": CellType.DATE,
}
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")


@dataclass(frozen=True, slots=True)
class Cells:
    """Some cells that hold something, in the order of the sheet; each array has one entry a cell.

    Attributes:
        rows: of the sheet, from 1.
        columns: of the sheet, from 0.
        types: each one's `CellType`.
        styles: each one's style.
        texts: as they stand; of shared ones, which it is.
    """

    rows: Ints
    columns: Ints
    types: npt.NDArray[np.uint8]
    styles: Ints
    texts: pa.StringArray

    def slice(self, start: int, stop: int) -> Cells:
        """Return some cells that stand one behind another."""
        part = slice(start, stop)
        texts = self.texts.slice(start, stop - start)
        numbers = self.rows[part], self.columns[part]
        return Cells(*numbers, self.types[part], self.styles[part], texts)


@dataclass(slots=True)
class _Collected:
    """What a parser has met and not yet handed on."""

    rows: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    styles: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    whole: int = 0
    """How many of them are of rows that have ended."""

    def taken(self) -> Cells:
        """Return the cells of whole rows, and hold them no longer."""
        end, self.whole = self.whole, 0
        cells = Cells(
            np.array(self.rows[:end], np.int64),
            np.array(self.columns[:end], np.int64),
            np.array(self.types[:end], np.uint8),
            np.array(self.styles[:end], np.int64),
            pa.array(self.texts[:end], pa.string()),
        )
        for each in (self.rows, self.columns, self.types, self.styles, self.texts):
            del each[:end]
        return cells


class SheetParser:
    """Reads the XML of a sheet, element by element."""

    def __init__(self) -> None:
        self._found = _Collected()
        self._row, self._column = 0, -1
        self._type, self._style = CellType.NUMBER, 0
        self._text: list[str] = []
        self._phonetic = 0
        self._xml = _parser()
        self._xml.StartElementHandler = self._start
        self._xml.EndElementHandler = self._end

    def cells(self, pieces: Iterable[bytes]) -> Iterator[Cells]:
        """Yield the cells of a part.

        Raises:
            FeedUnreadableError: ``DECODE_ERROR``: it is damaged.
        """
        for piece in pieces:
            self._feed(piece, last=False)
            if self._found.whole >= CELLS_AT_ONCE:
                yield self._found.taken()
        self._feed(b"", last=True)
        yield self._found.taken()

    def _feed(self, piece: bytes, *, last: bool) -> None:
        try:
            self._xml.Parse(piece, last)
        except ExpatError as error:
            raise no_workbook(f"its sheet is damaged: {error}") from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        if local == "c":
            self._column = _column(attributes.get("r"), self._column)
            self._type = _TYPES.get(attributes.get("t", "n"), CellType.TEXT)
            style = attributes.get("s", "0")
            self._style = int(style) if style.isdecimal() else 0
            self._text.clear()
        elif local in ("v", "t") and not self._phonetic:
            self._xml.CharacterDataHandler = self._text.append
        elif local == "row":
            number = attributes.get("r", "")
            row = int(number) if number.isdecimal() else self._row + 1
            if row <= self._row:
                raise no_workbook(f"row {row} stands behind row {self._row}")
            self._row, self._column = row, -1
        elif local == "rPh":
            self._phonetic += 1

    def _end(self, name: str) -> None:
        local = name.rpartition(":")[2]
        if local in ("v", "t"):
            self._xml.CharacterDataHandler = None
        elif local == "c" and self._text:
            found = self._found
            found.rows.append(self._row)
            found.columns.append(self._column)
            found.types.append(self._type)
            found.styles.append(self._style)
            text = "".join(self._text)
            found.texts.append(unescaped(text) if self._type is CellType.TEXT else text)
        elif local == "row":
            self._found.whole = len(self._found.rows)
        elif local == "rPh":
            self._phonetic -= 1


def shared_texts(pieces: Iterable[bytes] | None) -> pa.StringArray:
    """Return the texts of a part that cells share; none where there is no part.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``: it is damaged.
    """
    texts: list[str] = []
    text: list[str] = []
    phonetic = 0
    xml = _parser()

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal phonetic
        local = name.rpartition(":")[2]
        if local == "t" and not phonetic:
            xml.CharacterDataHandler = text.append
        phonetic += local == "rPh"

    def end(name: str) -> None:
        nonlocal phonetic
        local = name.rpartition(":")[2]
        xml.CharacterDataHandler = None
        if local == "si":
            texts.append(unescaped("".join(text)))
            text.clear()
        phonetic -= local == "rPh"

    xml.StartElementHandler, xml.EndElementHandler = start, end
    try:
        for piece in pieces or ():
            xml.Parse(piece, False)
        xml.Parse(b"" if pieces is not None else b"<sst/>", True)
    except ExpatError as error:
        raise no_workbook(f"its texts are damaged: {error}") from error
    return pa.array(texts, pa.large_string())


def unescaped(text: str) -> str:
    """Return a text with its ``_x000D_`` and their like as the characters that they stand for."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def _parser() -> XMLParserType:
    parser = ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    return parser


def _refuse_doctype(*_: object) -> None:
    raise no_workbook("a part of it declares a document type")


def _column(reference: str | None, before: int) -> int:
    """Return the column that a reference such as ``AB12`` names, from 0; by default the next."""
    if reference is None:
        return before + 1
    column = 0
    for letter in reference.rstrip("0123456789"):
        column = column * 26 + ord(letter) - ord("A") + 1
    return column - 1
