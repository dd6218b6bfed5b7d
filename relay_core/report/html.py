"""report.html: a run's page for merchants, which loads and runs nothing.

The page is made of the report's blocks alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import tzinfo
from fractions import Fraction
from typing import NamedTuple
from zoneinfo import ZoneInfo

from relay_core.report import display
from relay_core.report.blocks import (
    TYPES,
    Action,
    Bar,
    Bars,
    Block,
    Cell,
    Column,
    Heading,
    Kind,
    Table,
)
from relay_core.report.files import file_of
from relay_core.report.report import Report
from relay_core.report.templating import REPORT, pages


class DrawnBar(NamedTuple):
    """A bar as a page draws it: texts, and percentages of the width."""

    label: str
    value: str
    share: str
    tone: str
    start: str
    length: str


class BlockView:
    """What templates ask for to show the blocks of one report on one page.

    A page with links of its own extends the methods that return addresses.
    """

    def __init__(self, report: Report) -> None:
        """Begin a page of a report."""
        self.report = report
        self.zone: tzinfo = ZoneInfo(report.timezone)
        self._ids: set[str] = set()

    def file_address(self, artifact: str) -> str:
        """Return the address of a file of the run; empty for no link."""
        return ""

    def cell_address(self, column: Column, cell: Cell) -> str:
        """Return the address that a cell leads to; empty for no link."""
        return ""

    def new_id(self, name: str) -> str:
        """Return an element's id, which no other element of the page has."""
        new_id = name
        number = 1
        while new_id in self._ids:
            number += 1
            new_id = f"{name}-{number}"
        self._ids.add(new_id)
        return new_id

    def file_name(self, artifact: str) -> str:
        """Return the name of a file of the run, without its folder."""
        file = self.report.file(artifact) or file_of(artifact)
        return file.path.rpartition("/")[2]

    def type(self, block: Block) -> str:
        """Return the type of a block, as report.json has it."""
        return TYPES[type(block)]

    def groups(self, blocks: Iterable[Block]) -> Iterator[list[Block]]:
        """Yield blocks in groups that are shown side by side."""
        group: list[Block] = []
        for block in blocks:
            if group and not _fit_together(group[-1], block):
                yield group
                group = []
            group.append(block)
        if group:
            yield group

    def heading_total(self, heading: Heading) -> str:
        """Return the number of things below a heading."""
        return display.heading_total(heading)

    def numeric_columns(self, table: Table) -> list[int]:
        """Return the indexes of the columns that line up at the right."""
        return [
            index
            for index, column in enumerate(table.columns)
            if column.kind in display.NUMERIC_KINDS
        ]

    def value(self, content: str | int | None, kind: Kind) -> str:
        """Return a value as a text."""
        return display.value(content, kind, self.zone)

    def cell(self, cell: Cell, column: Column) -> str:
        """Return the text of a cell; empty if it has only a note."""
        if cell.value is None and cell.note:
            return ""
        return display.cell(cell, column.kind, self.zone)

    def cell_class(self, cell: Cell, column: Column) -> str:
        """Return the class of a cell: its tone, or the way its kind is set."""
        if cell.tone:
            return cell.tone
        if column.kind in display.NUMERIC_KINDS:
            return "n"
        return {"hours": "w", "time": "w", "note": "note"}.get(column.kind, "")

    def caption(self, table: Table) -> str:
        """Return a table's caption."""
        kinds = [column.kind for column in table.columns]
        return display.caption(table.caption, kinds, self.report.currency)

    def bars(self, bars: Bars) -> list[DrawnBar]:
        """Return bars as a page draws them."""
        longest = max((bar.value for bar in bars.bars), default=0)
        scale = longest if bars.parts_of is None else bars.parts_of
        drawn = []
        start = 0
        for bar in bars.bars:
            drawn.append(self._drawn(bar, bars, start, scale))
            if bars.parts_of is not None:
                start += bar.value
        return drawn

    def _drawn(self, bar: Bar, bars: Bars, start: int, scale: int) -> DrawnBar:
        is_part = bars.parts_of is not None
        return DrawnBar(
            label=display.bar_label(bar, bars, self.zone),
            value=display.number(bar.value)
            if is_part
            else display.bar_value(bar, bars),
            share=display.share(bar.share) if bar.share else "",
            tone=bar.tone,
            start=_percentage(start, scale),
            length=_percentage(bar.value, scale),
        )

    def bars_in_words(self, bars: Bars) -> str:
        """Return what bars show, for readers who do not see them."""
        return display.bars_in_words(bars, self.zone)


def report_html(report: Report) -> bytes:
    """Return report.html. The same report gives the same bytes."""
    page = pages(REPORT).get_template("page.html.jinja")
    text = page.render(report=report, view=BlockView(report))
    return text.encode(errors="xmlcharrefreplace")


def load_templates() -> None:
    """Load the templates of the page.

    Loading takes longer than rendering a page, so a thread can do it beforehand.
    """
    for name in pages(REPORT).list_templates():
        pages(REPORT).get_template(name)


def _fit_together(block: Block, next_block: Block) -> bool:
    """Return True if blocks are tables with the same titles, or actions."""
    if isinstance(block, Action) and isinstance(next_block, Action):
        return True
    if not isinstance(block, Table) or not isinstance(next_block, Table):
        return False
    titles = [column.title for column in block.columns]
    return titles == [column.title for column in next_block.columns]


def _percentage(count: int, total: int) -> str:
    """Return the length of a bar as a percentage of the width, with one place."""
    if not total:
        return "0.0"
    return f"{float(Fraction(100 * count, total)):.1f}"
