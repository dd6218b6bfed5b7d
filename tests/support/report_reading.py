"""What a run's report says, as a reader takes it: tables and bars as texts."""

from __future__ import annotations

from collections.abc import Sequence

from relay_core.report import display
from relay_core.report.blocks import Bars, Sentence, Steps, Table, plain
from relay_core.report.report import Chapter, Report


def chapter_of(report: Report, name: str) -> Chapter:
    """Return a chapter that the report must have."""
    chapter = report.chapter(name)
    assert chapter is not None, f"no chapter {name}"
    return chapter


def table_of(report: Report, name: str) -> Table:
    """Return a table that the report must have."""
    (table,) = (
        block
        for block in report.blocks()
        if isinstance(block, Table) and block.name == name
    )
    return table


def bars_of(report: Report, name: str, about: str = "") -> Bars:
    """Return bars that the report must have."""
    (bars,) = (
        block
        for block in report.blocks()
        if isinstance(block, Bars)
        and (block.name, block.about) == (name, about)
    )
    return bars


def shown_rows(report: Report, name: str) -> list[dict[str, str]]:
    """Return the rows of a table as texts, by the columns' names."""
    table = table_of(report, name)
    return [
        {
            column.name: display.cell(cell, column.kind)
            for column, cell in zip(table.columns, row, strict=True)
        }
        for row in table.rows
    ]


def shown_bars(bars: Bars) -> list[tuple[str, str]]:
    """Return the labels and the numbers of bars as texts."""
    return [
        (display.bar_label(bar, bars), display.bar_value(bar, bars))
        for bar in bars.bars
    ]


def steps_of(report: Report) -> Sequence[str]:
    """Return the next steps as texts."""
    return [
        plain(step)
        for block in report.blocks()
        if isinstance(block, Steps)
        for step in block.steps
    ]


def sentences_of(report: Report, name: str) -> list[str]:
    """Return the sentences of a chapter."""
    blocks = chapter_of(report, name).blocks
    return [
        plain(block.text) for block in blocks if isinstance(block, Sentence)
    ]
