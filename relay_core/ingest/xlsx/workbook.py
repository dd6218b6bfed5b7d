"""What a workbook's small parts say: its sheets, what is a date, which system dates count in."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from xml.etree import ElementTree

from relay_core.domain.cell_rules import shorten, strip
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.domain.run_faults import listed
from relay_core.ingest.compression import BROKEN, open_archive, too_much
from relay_core.ingest.decoding import Buffer

_PIECE = 2 << 20
_SMALL = 64 << 20
"""No part but the cells and their texts has more bytes."""
_MOST_ELEMENTS = 300_000
"""No such part has more; programs write at most some 65,000 styles of cells."""
_OLD_MARKS = ((b"\xd0\xcf\x11\xe0", "an old .xls workbook, or one with a password"),)
# Numbers of built-in formats that show a date, a time or both.
_DATE_FORMATS = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))
_NOT_SHOWN = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_DATE_LETTER = re.compile(r"[ymdhs]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet of cells: its name, whether it is shown, and its part of the archive."""

    name: str
    is_visible: bool
    part: str


class Workbook:
    """A workbook's parts, unpacked as they are asked for and counted together.

    Args:
        data: the file.
        limits: how many bytes all that is unpacked may have.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``: it is no workbook, or damaged.
    """

    def __init__(self, data: Buffer, limits: Limits) -> None:
        start = bytes(memoryview(data)[:8])
        old = next((kind for mark, kind in _OLD_MARKS if start.startswith(mark)), None)
        if old is not None:
            raise no_workbook(f"it is {old}")
        self._limits, self._left = limits, limits.feed_bytes
        try:
            self._archive = open_archive(data)
        except BROKEN as error:
            raise no_workbook(str(error)) from error
        self._names = {name.casefold(): name for name in self._archive.namelist()}
        root = self._targets("", "_rels/.rels")
        self._part = next(
            (target for kind, target in root.values() if kind.endswith("/officeDocument")), ""
        )
        if not self.has(self._part):
            raise no_workbook("it has no part that lists its sheets")

    def has(self, part: str | None) -> bool:
        """Return whether the archive has a part of this name, in any case."""
        return part is not None and part.casefold() in self._names

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
            raise no_workbook(f"{shorten(part)}: {error or 'it is cut short'}") from error

    def sheet(self, wanted: str | None) -> Sheet:
        """Return the sheet of this name, or the first one that is shown.

        Raises:
            FeedUnreadableError: ``invalid_input``: there is none.
        """
        sheets = self._sheets
        if wanted is None:
            found = next((each for each in sheets if each.is_visible), None)
        else:
            found = next((each for each in sheets if each.name == wanted), None) or next(
                (each for each in sheets if strip(each.name) == wanted), None
            )
        if found is not None:
            return found
        what = "no sheet that is shown" if wanted is None else f"no sheet {shorten(wanted)}"
        names = listed((shorten(each.name) for each in sheets), ", ", len(sheets)) or "none"
        raise FeedUnreadableError(
            FailureCode.INVALID_INPUT,
            f"the workbook has {what}; its sheets: {names}; name one in parser.sheet",
        )

    @property
    def visible_sheets(self) -> list[str]:
        """The names of the sheets that are shown, in order."""
        return [each.name for each in self._sheets if each.is_visible]

    @cached_property
    def counts_from_1904(self) -> bool:
        """Whether dates are counted in the 1904 system."""
        found = next((each for each in self._workbook if _local(each) == "workbookPr"), None)
        return found is not None and found.get("date1904", "0") in ("1", "true", "on")

    @property
    def shared_texts(self) -> str | None:
        """The part with the texts that cells share, if there is one."""
        return self._related("/sharedStrings")

    @cached_property
    def date_styles(self) -> frozenset[int]:
        """Which cell styles show a number as a date or a time."""
        part = self._related("/styles")
        if part is None:
            return frozenset()
        root = self._xml(part)
        formats = {
            each.get("numFmtId"): each.get("formatCode", "")
            for each in root.iter()
            if _local(each) == "numFmt"
        }
        styles = next((list(each) for each in root if _local(each) == "cellXfs"), [])
        return frozenset(
            place
            for place, style in enumerate(styles)
            if _shows_date(style.get("numFmtId", "0"), formats)
        )

    @cached_property
    def _workbook(self) -> ElementTree.Element:
        return self._xml(self._part)

    @cached_property
    def _relations(self) -> dict[str, tuple[str, str]]:
        folder, name = posixpath.split(self._part)
        return self._targets(folder, posixpath.join(folder, "_rels", f"{name}.rels"))

    @cached_property
    def _sheets(self) -> list[Sheet]:
        sheets = []
        for each in self._workbook.iter():
            if _local(each) != "sheet":
                continue
            related = next((v for k, v in each.attrib.items() if k.endswith("}id")), "")
            kind, target = self._relations.get(related, ("", ""))
            if kind.endswith("/worksheet"):
                shown = each.get("state", "visible") == "visible"
                sheets.append(Sheet(each.get("name", ""), shown, target))
        return sheets

    def _related(self, kind: str) -> str | None:
        found = (target for known, target in self._relations.values() if known.endswith(kind))
        return next(filter(self.has, found), None)

    def _targets(self, folder: str, part: str) -> dict[str, tuple[str, str]]:
        """Return the parts that a part names, by id: their kind and where they are."""
        if not self.has(part):
            return {}
        return {
            each.get("Id", ""): (each.get("Type", ""), _joined(folder, each.get("Target", "")))
            for each in self._xml(part)
            if each.get("TargetMode", "Internal") == "Internal"
        }

    def _xml(self, part: str) -> ElementTree.Element:
        """Return a small part whole."""
        parser = ElementTree.XMLParser(target=_Builder())  # noqa: S314  # bounded, without entities
        size = 0
        try:
            for piece in self.pieces(part):
                size += len(piece)
                if size > _SMALL:
                    raise no_workbook(f"{shorten(part)} has more than {_SMALL} bytes")
                parser.feed(piece)
            root: ElementTree.Element = parser.close()
        except ElementTree.ParseError as error:
            raise no_workbook(f"{shorten(part)}: {error}") from error
        return root


class _Builder(ElementTree.TreeBuilder):
    """Builds a tree of a part that declares no types and entities of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._left = _MOST_ELEMENTS

    def start(self, *element: Any) -> ElementTree.Element:
        """Take an element, unless there are far too many: each takes more than its bytes."""
        self._left -= 1
        if self._left < 0:
            raise no_workbook(f"a part of it has more than {_MOST_ELEMENTS:,} elements")
        return super().start(*element)

    def doctype(self, *_: object) -> None:
        """Refuse what no program that writes workbooks writes."""
        raise no_workbook("a part of it declares a document type")


def no_workbook(why: str) -> FeedUnreadableError:
    """Return what is wrong with a file that is no workbook, or a damaged one."""
    return FeedUnreadableError(
        FailureCode.DECODE_ERROR,
        f"the file cannot be read as an .xlsx workbook: {why}; save it as .xlsx without a "
        "password, or set parser.format to what it is",
    )


def _local(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _joined(folder: str, target: str) -> str:
    path = target if target.startswith("/") else posixpath.join("/", folder, target)
    return posixpath.normpath(path).lstrip("/")


def _shows_date(number: str, formats: dict[str | None, str]) -> bool:
    if number in formats:
        return _DATE_LETTER.search(_NOT_SHOWN.sub("", formats[number])) is not None
    return number.isdecimal() and int(number) in _DATE_FORMATS
