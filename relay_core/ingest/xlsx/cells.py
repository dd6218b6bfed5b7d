"""What the cells of a sheet are, as its XML has them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.text import Ints

_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")


class CellType(IntEnum):
    """What the text of a cell stands for."""

    NUMBER = 0
    SHARED = 1
    TEXT = 2
    BOOLEAN = 3
    ERROR = 4
    DATE = 5


TYPES = {
    "n": CellType.NUMBER,
    "s": CellType.SHARED,
    "str": CellType.TEXT,
    "inlineStr": CellType.TEXT,
    "b": CellType.BOOLEAN,
    "e": CellType.ERROR,
    "d": CellType.DATE,
}
"""By what a cell says of itself."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Some cells that hold something, of whole rows in the order of the sheet.

    Attributes:
        rows: of the sheet, from 1; one a cell, like all else.
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


def unescaped(text: str) -> str:
    """Return a text with its ``_x000D_`` and their like as the characters that they stand for."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text
