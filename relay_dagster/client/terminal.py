"""The output of a command: laid out for people, or whole lines; no text steers the terminal."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

_STYLES = {
    "SUCCEEDED": "green",
    "FAILED": "red",
    "CANCELLED": "yellow",
    "RUNNING": "cyan",
    "QUEUED": "blue",
    "HELD": "magenta",
}


class Screen:
    """Standard output and standard error, by default the process's own, as they are now."""

    def __init__(self, out: Console | None = None, err: Console | None = None) -> None:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        self.out = out or Console(highlight=False)
        self.err = err or Console(stderr=True, highlight=False)

    @property
    def is_terminal(self) -> bool:
        """Whether people see standard output as it is written."""
        return self.out.is_terminal

    def say(
        self,
        text: str = "",
        *,
        indent: int = 0,
        style: str = "",
        href: str = "",
        whole: bool = False,
    ) -> None:
        """Write a line; a terminal folds it under its own start, unless it is to be copied."""
        line = Text(plain(text), style=Style.parse(style) + Style(link=href or None))
        if self.out.is_terminal and indent and not whole:
            self.out.print(Padding(line, (0, 0, 0, indent), expand=False))
        elif self.out.is_terminal and not whole:
            self.out.print(line)
        else:
            line.pad_left(indent)
            self.out.print(line, soft_wrap=True)

    def details(self, title: str, lines: Iterable[str], *, style: str = "") -> None:
        """Write a title, and lines under it."""
        self.say(title, style=style)
        for line in lines:
            self.say(line, indent=2)

    def section(self, title: str, lines: Iterable[str] = ()) -> None:
        """Write an empty line, a bold title, and lines under it."""
        self.say()
        self.details(title, lines, style="bold")

    def agrees(self, question: str) -> bool:
        """Ask at the terminal; whatever is no yes is a no."""
        return self.ask(f"{question} [y/N]").lower() in ("y", "yes")

    def ask(self, question: str) -> str:
        """Ask at the terminal; return the answer, trimmed, and nothing where there is none."""
        try:
            return self.out.input(Text(f"{plain(question)} ")).strip()
        except EOFError:
            return ""

    def complain(self, text: str) -> None:
        """Write a line to standard error, never folded: commands in it can be copied."""
        self.err.print(Text(plain(text)), soft_wrap=True)

    def show_json(self, content: Any) -> None:
        """Write JSON and nothing else, whatever the width; characters beyond ASCII as escapes."""
        self.out.print(Text(json.dumps(content, indent=2)), soft_wrap=True)

    def table(
        self,
        names: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        folded: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """Write a table; a terminal shows notes below rows, and may fold columns when narrow."""
        cleaned = [[plain(cell) for cell in row] for row in rows]
        if not self.is_terminal:
            lines = [list(names), *cleaned]
            widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
            for line in lines:
                padded = (
                    cell.ljust(width) for cell, width in zip(line, widths, strict=True)
                )
                self.say("  ".join(padded).rstrip())
            return
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for name in names:
            table.add_column(name, no_wrap=name not in folded, overflow="fold")
        for row, note in zip_longest(cleaned, notes, fillvalue=""):
            cells = [Text(cell, style=status_style(cell)) for cell in row]
            if note:
                cells[0].append(f"\n  {plain(note)}", style="dim")
            table.add_row(*cells)
        self.out.print(table)


@dataclass(frozen=True)
class TableView:
    """A table of answers."""

    # An attribute of an answer by the column's title, or a function that returns the cell
    columns: Mapping[str, str | Callable[[Any], str]]
    folded: Sequence[str] = ()  # the columns that a narrow terminal may fold
    empty: str = ""  # written to standard error in place of a table without rows

    def show(
        self, screen: Screen, answers: Iterable[Any], *, notes: Sequence[str] = ()
    ) -> None:
        """Write the answers, in the order given; ``notes`` as in `Screen.table`."""
        shown = self.columns.values()
        rows = [
            [
                cell(getattr(each, it)) if isinstance(it, str) else it(each)
                for it in shown
            ]
            for each in answers
        ]
        if rows or not self.empty:
            screen.table(tuple(self.columns), rows, folded=self.folded, notes=notes)
        else:
            screen.complain(self.empty)


def cell(value: object) -> str:
    """Return a value as a cell of a table; ``-`` where there is none."""
    if value is None or value == "":
        return "-"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return instant(value) if isinstance(value, datetime) else str(value)


def cell_of_count(count: int | None) -> str:
    """Return a count as a cell of a table; ``-`` where it is not known."""
    return "-" if count is None else f"{count:,}"


def plain(text: str) -> str:
    """Return a text in which every character shows: controls as their escapes, no line ends."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def status_style(text: str) -> str:
    """Return the colour of a text that starts with a status."""
    return _STYLES.get(text.partition(" ")[0], "")


def instant(moment: datetime | None) -> str:
    """Return an instant of the API to the second, ``2026-03-01 12:00:00Z``."""
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def expiry(row: Any) -> str:
    """Return when a key or a link expires, or that it never does."""
    return "never" if row.expires_at is None else instant(row.expires_at)


def ago(moment: datetime, now: datetime) -> str:
    """Return how long an instant is past: ``5 min ago``."""
    seconds = int((now - moment).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{max(seconds, 0)} s ago"


def between(start: datetime | None, end: datetime | None) -> str:
    """Return how long it took from one instant to another."""
    return (
        "-" if start is None or end is None else duration((end - start).total_seconds())
    )


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest} s"
        if minutes < 60
        else f"{minutes // 60} h {minutes % 60} min"
    )


def counted(counts: Mapping[str, int]) -> str:
    """Return ``name n`` of each count."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
