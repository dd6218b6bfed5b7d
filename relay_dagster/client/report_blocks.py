"""A run's report at a terminal: the blocks of its chapters as lines and tables.

The module knows blocks, and none of Relay's features: a report may say anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatchmethod
from typing import Any
from zoneinfo import ZoneInfo

from relay_core.report import blocks, display
from relay_core.report.current import current_report
from relay_core.report.report import Report
from relay_dagster.client.terminal import Screen

CommandOf = Callable[[blocks.Action], str]
"""Returns the command of an action, or an empty text if the run does not allow it now."""
_NUMBER_WIDTH = 11


@dataclass(frozen=True)
class ReportView:
    """A report on a screen.

    Attributes:
        screen: The terminal.
        report: The report.
        links: A link to each artifact, by name.
        status: The status that the run has now.
        command_of: Gives the commands of actions.
    """

    screen: Screen
    report: Report
    links: Mapping[str, str]
    status: str
    command_of: CommandOf

    def show(self) -> None:
        """Write the result, and the chapters in their order."""
        verdict = self.report.verdict
        if verdict.headline and self.report.status == self.status:
            self._say(f"{verdict.headline}. {verdict.sentence}")
        current = current_report(
            self.report,
            self.status,
            lambda action: self.command_of(action) != "",
        )
        for chapter in current.chapters:
            if chapter.blocks:
                self.screen.section(chapter.title)
            for block in chapter.blocks:
                self._show(block)

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.report.timezone)

    def _say(self, text: str, indent: int = 2, **options: Any) -> None:
        self.screen.say(text, indent=indent, **options)

    def _file_name(self, artifact: str) -> str:
        file = self.report.file(artifact)
        return artifact if file is None else file.path.rpartition("/")[2]

    def _show_omitted(self, count: int, artifact: str) -> None:
        if count <= 0:
            return
        text = f"{count:,} more"
        if artifact:
            text = f"{self._file_name(artifact)} lists {text}"
        self._say(f"{text}.", href=self.links.get(artifact, ""))

    # --- a block of each kind -----------------------------------------------------------

    @singledispatchmethod
    def _show(self, block: Any) -> None:
        """Write a block."""

    @_show.register
    def _(self, heading: blocks.Heading) -> None:
        total = display.heading_total(heading)
        parts = (heading.text, heading.code, total)
        self._say("  ".join(filter(None, parts)), style="bold")

    @_show.register
    def _(self, sentence: blocks.Sentence) -> None:
        self._say(blocks.plain(sentence.text))

    @_show.register
    def _(self, figures: blocks.Figures) -> None:
        for figure in figures.figures:
            label = figure.label
            if figure.share:
                label = f"{label} ({display.share(figure.share)})"
            self._say_number(display.figure(figure, self._zone), label)

    @_show.register
    def _(self, bars: blocks.Bars) -> None:
        # A heading has said what the parts of a total are about.
        if bars.parts_of is None:
            self._say(bars.title)
        for bar in bars.bars:
            label = display.bar_label(bar, bars, self._zone)
            if bar.share:
                label = f"{label} ({display.share(bar.share)})"
            self._say_number(display.number(bar.value), label)

    @_show.register
    def _(self, table: blocks.Table) -> None:
        kinds = [column.kind for column in table.columns]
        self._say(display.caption(table.caption, kinds, self.report.currency))
        titles = [column.title for column in table.columns]
        rows = [
            [
                _cell_text(cell, kind, self._zone)
                for cell, kind in zip(row, kinds, strict=True)
            ]
            for row in table.rows
        ]
        self.screen.table(
            titles,
            rows,
            folded=titles,
            notes=[_notes_of(row) for row in table.rows],
        )
        self._show_omitted(table.total - len(rows), table.artifact)

    @_show.register
    def _(self, items: blocks.Items) -> None:
        if items.is_compact:
            texts = [blocks.plain(item.text) for item in items.items]
            self._say(", ".join(texts))
        else:
            for item in items.items:
                self._show_item(item)
        self._show_omitted(items.total - len(items.items), items.artifact)

    @_show.register
    def _(self, steps: blocks.Steps) -> None:
        for step in steps.steps:
            self._say(f"- {blocks.plain(step)}")

    @_show.register
    def _(self, omitted: blocks.Omitted) -> None:
        self._show_omitted(omitted.number, omitted.artifact)

    @_show.register
    def _(self, files: blocks.Files) -> None:
        for file in files.files:
            name = self._file_name(file.name)
            text = f"{name} {file.note}." if file.note else name
            self._say(text, href=self.links.get(file.name, ""))

    @_show.register
    def _(self, action: blocks.Action) -> None:
        self._say(f"{action.text}:")
        self._say(self.command_of(action), indent=4, whole=True)

    def _say_number(self, number: str, label: str) -> None:
        self._say(f"{number:>{_NUMBER_WIDTH}}  {label}")

    def _show_item(self, item: blocks.Item) -> None:
        self._say(f"- {blocks.plain(item.text)}")
        if item.fix:
            self._say(item.fix, indent=4, style="green")
        if item.snippet:
            for line in item.snippet.splitlines():
                self._say(line, indent=6, whole=True)


def _cell_text(cell: blocks.Cell, kind: blocks.Kind, zone: ZoneInfo) -> str:
    if cell.value is None and cell.note:
        return cell.note
    return display.cell(cell, kind, zone)


def _notes_of(row: Sequence[blocks.Cell]) -> str:
    """Return what the cells of a row say besides their values."""
    return "; ".join(
        cell.note for cell in row if cell.note and cell.value is not None
    )
