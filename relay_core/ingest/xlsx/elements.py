"""The XML of sheets and shared texts, read element by element: whatever XML it is."""

from __future__ import annotations

from collections.abc import Callable
from xml.parsers.expat import ExpatError, ParserCreate

import numpy as np
import pyarrow as pa

from relay_core.ingest.xlsx.cells import TYPES, Cells, CellType, unescaped
from relay_core.ingest.xlsx.workbook import no_workbook


class RowElements:
    """The cells of some rows.

    Args:
        last_row: the number of the row before them.
    """

    def __init__(self, last_row: int) -> None:
        self.last_row = last_row
        self._rows: list[int] = []
        self._columns: list[int] = []
        self._types: list[int] = []
        self._styles: list[int] = []
        self._texts: list[str] = []
        self._column, self._type, self._style = -1, CellType.NUMBER, 0
        self._text = _Text()

    def cells(self, piece: bytes) -> Cells:
        """Return the cells of a piece of XML that holds whole rows.

        Raises:
            FeedUnreadableError: ``DECODE_ERROR``: it is damaged.
        """
        self._text.read(piece, self._start, self._end)
        return Cells(
            np.array(self._rows, np.int64),
            np.array(self._columns, np.int64),
            np.array(self._types, np.uint8),
            np.array(self._styles, np.int64),
            pa.array(self._texts, pa.string()),
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._column = _column(attributes.get("r"), self._column)
            self._type = TYPES.get(attributes.get("t", "n"), CellType.TEXT)
            self._style = _number(attributes.get("s")) or 0
        elif name == "row":
            row = _number(attributes.get("r")) or self.last_row + 1
            if row <= self.last_row:
                raise no_workbook(f"row {row} stands behind row {self.last_row}")
            self.last_row, self._column = row, -1

    def _end(self, name: str) -> None:
        if name == "c" and (text := self._text.taken()):
            self._rows.append(self.last_row)
            self._columns.append(self._column)
            self._types.append(self._type)
            self._styles.append(self._style)
            self._texts.append(unescaped(text) if self._type is CellType.TEXT else text)


def shared_elements(piece: bytes) -> pa.StringArray:
    """Return the texts of a piece of XML that holds whole items of those that cells share.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``: it is damaged.
    """
    texts: list[str] = []
    text = _Text()

    def end(name: str) -> None:
        if name == "si":
            texts.append(unescaped(text.taken()))

    text.read(piece, lambda *_: None, end)
    return pa.array(texts, pa.string())


class _Text:
    """Gathers the text of cells and items: what is said, not how it is spoken."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._phonetic = 0

    def taken(self) -> str:
        """Return what was gathered since the last time."""
        text = "".join(self._parts)
        self._parts.clear()
        return text

    def read(self, piece: bytes, start: Callable[..., None], end: Callable[[str], None]) -> None:
        """Go through a piece of XML; ``start`` and ``end`` get the names without prefixes."""
        xml = ParserCreate()
        xml.buffer_text = True

        def on_start(name: str, attributes: dict[str, str]) -> None:
            local = name.rpartition(":")[2]
            self._phonetic += local == "rPh"
            if local in ("v", "t") and not self._phonetic:
                xml.CharacterDataHandler = self._parts.append
            start(local, attributes)

        def on_end(name: str) -> None:
            local = name.rpartition(":")[2]
            self._phonetic -= local == "rPh"
            xml.CharacterDataHandler = None
            end(local)

        xml.StartElementHandler, xml.EndElementHandler = on_start, on_end
        try:
            xml.Parse(b"<x>", False)
            xml.Parse(piece, False)
            xml.Parse(b"</x>", True)
        except ExpatError as error:
            raise no_workbook(f"its XML is damaged: {error}") from error


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else None


def _column(reference: str | None, before: int) -> int:
    """Return the column that a reference such as ``AB12`` names, from 0; by default the next."""
    if reference is None:
        return before + 1
    column = 0
    for letter in reference.rstrip("0123456789"):
        column = column * 26 + ord(letter) - ord("A") + 1
    return column - 1
