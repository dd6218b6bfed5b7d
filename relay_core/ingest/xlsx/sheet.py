"""The cells of a sheet, and the texts that cells share, a piece of XML at a time."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.growable import GrowingTexts
from relay_core.columnar.text import Bools, Ints
from relay_core.ingest.xlsx.cells import TYPES, Cells, CellType, unescaped
from relay_core.ingest.xlsx.elements import RowElements, shared_elements
from relay_core.ingest.xlsx.markup import Bounds, Grammar, OddMarkupError, Tags, changed
from relay_core.ingest.xlsx.workbook import no_workbook

_ROWS = Grammar.of(
    {
        **{"row": ["ro"], "/row": ["/r"], "c": ["c ", "c>"], "/c": ["/c"]},
        **{"v": ["v>", "v/"], "/v": ["/v"], "f": ["f>", "f ", "f/"], "/f": ["/f"]},
        **{"is": ["is"], "/is": ["/i"], "t": ["t>", "t ", "t/"], "/t": ["/t"]},
    },
    {
        **{"row": "c c/ /row", "row/": "row row/", "/row": "row row/"},
        **{"c": "v v/ f f/ is /c", "c/": "c c/ /row", "/c": "c c/ /row"},
        **{"f": "/f", "f/": "v v/ /c", "/f": "v v/ /c"},
        **{"v": "/v", "v/": "/c", "/v": "/c"},
        **{"is": "t t/", "t": "/t", "t/": "/is", "/t": "/is", "/is": "/c"},
    },
)
_ITEMS = Grammar.of(
    {"si": ["si"], "/si": ["/s"], "t": ["t>", "t ", "t/"], "/t": ["/t"]},
    {"si": "t t/", "/si": "si", "t": "/t", "t/": "/si", "/t": "/si"},
)
_TYPE_OF_LETTER = np.full(256, CellType.TEXT, np.uint8)
for _name, _kind in TYPES.items():
    if len(_name) == 1:
        _TYPE_OF_LETTER[ord(_name)] = _kind
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"""<\?xml[^>]*encoding=["']([A-Za-z0-9._-]+)["']""")
_LONGEST_TAG = 1 << 16
_PREFIX = rb"(?:[A-Za-z_][\w.-]*:)?"


def sheet_cells(pieces: Iterable[bytes]) -> Iterator[Cells]:
    """Yield the cells of a sheet's part.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``: it is damaged.
    """
    last_row = 0
    for piece in _children(pieces, b"sheetData", b"row"):
        try:
            cells, last_row = _plain_cells(piece, last_row)
        except OddMarkupError:
            elements = RowElements(last_row)
            cells, last_row = elements.cells(piece), elements.last_row
        yield cells


def shared_texts(pieces: Iterable[bytes]) -> pa.StringArray:
    """Return the texts of the part that cells share.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``: it is damaged.
    """
    texts = GrowingTexts()
    for piece in _children(pieces, b"sst", b"si"):
        try:
            found = _plain_items(piece)
        except OddMarkupError:
            found = shared_elements(piece)
        texts.append(found)
    return texts.consume().cast(pa.large_string())


def _plain_cells(piece: bytes, last_row: int) -> tuple[Cells, int]:
    """Return the cells of whole rows, and the last row's number.

    Raises:
        OddMarkupError: they are not written as most programs do.
    """
    tags, names = Tags(piece, _ROWS), _ROWS.names
    is_row = (tags.kinds == names["row"]) | (tags.kinds == names["row/"])
    is_cell = (tags.kinds == names["c"]) | (tags.kinds == names["c/"])
    rows = _row_numbers(tags, np.flatnonzero(is_row), last_row)
    values = np.flatnonzero((tags.kinds == names["v"]) | (tags.kinds == names["t"]))
    values = values[tags.starts[values + 1] > tags.ends[values] + 1]
    cells = np.flatnonzero(is_cell)
    filled = cells[np.cumsum(is_cell)[values] - 1]
    found = tags.attributes(filled, "rst")
    place = np.cumsum(is_row)[filled] - 1
    texts = tags.texts(values)
    return Cells(
        rows[place],
        _columns(tags, found["r"], cells, filled, is_row),
        _types(tags, found["t"]),
        tags.numbers(*found["s"]),
        changed(texts, "_x", unescaped),
    ), int(rows[-1]) if len(rows) else last_row


def _row_numbers(tags: Tags, row_tags: Ints, last_row: int) -> Ints:
    bounds = tags.attributes(row_tags, "r")["r"]
    numbers = tags.numbers(*bounds)
    if not numbers.any():
        return last_row + 1 + np.arange(len(row_tags))
    if not (np.diff(numbers, prepend=last_row) > 0).all():
        raise OddMarkupError
    return numbers


def _columns(tags: Tags, reference: Bounds, cells: Ints, filled: Ints, is_row: Bools) -> Ints:
    """Return the column of each filled cell, from its reference or its place in the row."""
    starts, ends = reference
    if not starts.all():
        if any(bounds.any() for bounds in tags.attributes(cells, "r")["r"]):
            raise OddMarkupError
        rows = np.cumsum(is_row)[cells]
        place = np.arange(len(cells)) - np.searchsorted(rows, rows)
        return place[np.searchsorted(cells, filled)]
    columns = np.zeros(len(starts), np.int64)
    is_letter = np.ones(len(starts), np.bool_)
    for offset in range(4):
        letters = tags.data[np.minimum(starts + offset, ends)].astype(np.int64) - ord("A") + 1
        is_letter &= (letters > 0) & (letters <= 26)
        if offset == 3 and is_letter.any():
            raise OddMarkupError
        columns[is_letter] = 26 * columns[is_letter] + letters[is_letter]
    if not columns.all():
        raise OddMarkupError
    return columns - 1


def _types(tags: Tags, named: Bounds) -> npt.NDArray[np.uint8]:
    starts, ends = named
    types = _TYPE_OF_LETTER[tags.data[starts]]
    types[ends - starts != 1] = CellType.TEXT
    types[starts == 0] = CellType.NUMBER
    return types


def _plain_items(piece: bytes) -> pa.StringArray:
    """Return the texts of whole items.

    Raises:
        OddMarkupError: they are not written as most programs do.
    """
    tags, names = Tags(piece, _ITEMS), _ITEMS.names
    values = np.flatnonzero((tags.kinds == names["t"]) | (tags.kinds == names["t/"]))
    empty = tags.kinds[values] == names["t/"]
    if empty.any():
        raise OddMarkupError
    return changed(tags.texts(values), "_x", unescaped)


def _children(pieces: Iterable[bytes], parent: bytes, child: bytes) -> Iterator[bytes]:
    """Yield the elements in the first one of a name, some at a time, each of them whole."""
    opening = re.compile(rb"<%b%b(?:\s[^>]*)?(/?)>" % (_PREFIX, parent))
    closing = re.compile(rb"</%b%b\s*>" % (_PREFIX, parent))
    last_end = re.compile(rb".*</%b%b\s*>" % (_PREFIX, child), re.DOTALL)
    rest = _utf8(pieces)
    first = _after(opening, rest)
    if first is None:
        return
    held: list[bytes] = []
    before = b""  # what a tag may have begun in
    for piece in chain([first], rest):
        held.append(piece)
        seen = before + piece
        if parent in seen and (end := closing.search(seen)) is not None:
            whole = b"".join(held)
            yield whole[: len(whole) - len(seen) + end.start()]
            return
        if (found := last_end.match(seen)) is not None:
            left = seen[found.end() :]
            whole = b"".join(held)
            yield whole[: len(whole) - len(left)]
            held, seen = [left], left
        before = seen[-_LONGEST_TAG:]
    raise no_workbook("a part of it is cut short")


def _after(opening: re.Pattern[bytes], pieces: Iterator[bytes]) -> bytes | None:
    """Return the rest of the piece that an element is opened in; None where it is empty."""
    seen = b""
    for piece in pieces:
        seen = seen[-_LONGEST_TAG:] + piece
        if (found := opening.search(seen)) is not None:
            return None if found[1] else seen[found.end() :]
    return None


def _utf8(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a part's XML in UTF-8, whatever encoding it is in."""
    rest = iter(pieces)
    first = next(rest, b"")
    bom, encoding = next(((b, e) for b, e in _BOMS if first.startswith(b)), (b"", ""))
    declared = _DECLARED.search(first[:200])
    try:
        encoding = encoding or (declared[1].decode("ascii") if declared else "utf-8")
        if codecs.lookup(encoding).name == "utf-8":
            yield first[len(bom) :]
            yield from rest
            return
        decoder = codecs.getincrementaldecoder(encoding)()
        for piece in chain([first[len(bom) :]], rest):
            yield decoder.decode(piece).encode()
    except (LookupError, UnicodeError) as error:
        raise no_workbook(f"a part of it is not in the encoding that it names: {error}") from error
