"""The output of a command: laid out for people, or whole lines for programs.

No text of a tenant or a vendor can steer the terminal.
"""

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

Column = str | Callable[[Any], str]
"""The attribute of a response that a column shows, or a function that returns the cell."""
_STYLES = {
    "SUCCEEDED": "green",
    "FAILED": "red",
    "CANCELLED": "yellow",
    "RUNNING": "cyan",
    "QUEUED": "blue",
    "HELD": "magenta",
}


class Screen:
    """Standard output and standard error, by default those of the process."""

    def __init__(
        self,
        out: Console | None = None,
        err: Console | None = None,
    ) -> None:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        self.out = out or Console(highlight=False)
        self.err = err or Console(stderr=True, highlight=False)

    @property
    def is_terminal(self) -> bool:
        """True if standard output is a terminal."""
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
        """Write a line to standard output.

        A terminal wraps the line under its own start, unless `whole` is set: then it can
        be copied.
        """
        line = Text(
            plain(text),
            style=Style.parse(style) + Style(link=href or None),
        )
        is_wrapped = self.is_terminal and not whole
        if is_wrapped and indent:
            self.out.print(Padding(line, (0, 0, 0, indent), expand=False))
        elif is_wrapped:
            self.out.print(line)
        else:
            line.pad_left(indent)
            self.out.print(line, soft_wrap=True)

    def details(
        self,
        title: str,
        lines: Iterable[str],
        *,
        style: str = "",
    ) -> None:
        """Write a title and indented lines below it."""
        self.say(title, style=style)
        for line in lines:
            self.say(line, indent=2)

    def section(self, title: str, lines: Iterable[str] = ()) -> None:
        """Write an empty line, a bold title, and indented lines below it."""
        self.say()
        self.details(title, lines, style="bold")

    def confirm(self, question: str) -> bool:
        """Ask a question at the terminal; return True only if the answer is yes."""
        return self.ask(f"{question} [y/N]").lower() in ("y", "yes")

    def ask(self, question: str) -> str:
        """Ask a question at the terminal; return the trimmed answer, or an empty text."""
        try:
            return self.out.input(Text(f"{plain(question)} ")).strip()
        except EOFError:
            return ""

    def complain(self, text: str) -> None:
        """Write a line to standard error, never wrapped, so that it can be copied."""
        self.err.print(Text(plain(text)), soft_wrap=True)

    def show_json(self, content: Any) -> None:
        """Write JSON in ASCII characters."""
        self.out.print(Text(json.dumps(content, indent=2)), soft_wrap=True)

    def table(
        self,
        names: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        folded: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """Write a table.

        Args:
            names: The titles of the columns.
            rows: The cells of each row.
            folded: The columns that a narrow terminal may wrap.
            notes: A note for each row, which a terminal shows below it.
        """
        plain_rows = [[plain(cell) for cell in row] for row in rows]
        if self.is_terminal:
            self._draw_table(names, plain_rows, folded=folded, notes=notes)
        else:
            self._write_table(names, plain_rows)

    def _write_table(
        self,
        names: Sequence[str],
        rows: Sequence[Sequence[str]],
    ) -> None:
        lines = [names, *rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            padded_cells = [
                cell.ljust(width)
                for cell, width in zip(line, widths, strict=True)
            ]
            self.say("  ".join(padded_cells).rstrip())

    def _draw_table(
        self,
        names: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        folded: Sequence[str],
        notes: Sequence[str],
    ) -> None:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for name in names:
            table.add_column(name, no_wrap=name not in folded, overflow="fold")
        for row, note in zip_longest(rows, notes, fillvalue=""):
            cells = [Text(cell, style=status_style(cell)) for cell in row]
            if note:
                cells[0].append(f"\n  {plain(note)}", style="dim")
            table.add_row(*cells)
        self.out.print(table)


@dataclass(frozen=True)
class TableView:
    """A table with a row for each response.

    Attributes:
        columns: The columns by their titles.
        folded: The columns that a narrow terminal may wrap.
        empty: The message on standard error instead of a table without rows.
    """

    columns: Mapping[str, Column]
    folded: Sequence[str] = ()
    empty: str = ""

    def show(
        self,
        screen: Screen,
        responses: Iterable[Any],
        *,
        notes: Sequence[str] = (),
    ) -> None:
        """Write the table, with notes as in `Screen.table`."""
        rows = [
            [_cell_of(response, column) for column in self.columns.values()]
            for response in responses
        ]
        if rows or not self.empty:
            screen.table(
                tuple(self.columns),
                rows,
                folded=self.folded,
                notes=notes,
            )
        else:
            screen.complain(self.empty)


def _cell_of(response: Any, column: Column) -> str:
    if isinstance(column, str):
        return cell(getattr(response, column))
    return column(response)


def cell(value: object) -> str:
    """Return a value as a table cell, `-` if there is none."""
    if value is None or value == "":
        return "-"
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, datetime):
        return instant(value)
    return str(value)


def cell_of_count(count: int | None) -> str:
    """Return a count as a table cell, `-` if it is not known."""
    return "-" if count is None else f"{count:,}"


def plain(text: str) -> str:
    """Return a text in one line, with escapes for characters that do not print."""
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape").decode()
        for character in text
    )


def status_style(text: str) -> str:
    """Return the style of a text that begins with a run status, or an empty text."""
    first_word = text.partition(" ")[0]
    return _STYLES.get(first_word, "")


def instant(moment: datetime | None) -> str:
    """Return an instant to the second, such as `2026-03-01 12:00:00Z`."""
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def expiry(response: Any) -> str:
    """Return the instant when a key or a link expires, or `never`."""
    if response.expires_at is None:
        return "never"
    return instant(response.expires_at)


def short_age(moment: datetime, now: datetime) -> str:
    """Return the age of an instant in a few characters, such as `5 min ago`."""
    seconds = int((now - moment).total_seconds())
    for unit, unit_seconds in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= unit_seconds:
            return f"{seconds // unit_seconds} {unit} ago"
    return f"{max(seconds, 0)} s ago"


def between(start: datetime | None, end: datetime | None) -> str:
    """Return the time between two instants, `-` if one of them is missing."""
    if start is None or end is None:
        return "-"
    return duration((end - start).total_seconds())


def duration(seconds: float) -> str:
    """Return a duration for people, such as `4 min 2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, remaining_seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {remaining_seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def named_counts(counts: Mapping[str, int]) -> str:
    """Return the counts with their names, or `none`."""
    texts = [f"{name} {count:,}" for name, count in counts.items()]
    return ", ".join(texts) or "none"
