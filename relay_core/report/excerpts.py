"""The first rows of lists, and the texts that others wrote, cut for reports."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from relay_core.domain.cell_rules import cut
from relay_core.domain.limits import MAX_QUOTED
from relay_core.report.blocks import Cell, Column, Table, Tone

MAX_EXAMPLES = 10
"""The number of examples in a list."""
MAX_TABLE_ROWS = 200
"""The number of rows in a table; a config has as many vendors at most."""
MAX_GROUPS = 20
"""The number of groups of causes, and of doubts."""
MAX_NOTE_LENGTH = 500
"""The number of characters of a sentence or more."""


def quoted(text: str, title: str = "", tone: Tone = "") -> Cell:
    """Return a cell with a text that a vendor or a merchant wrote, and its title."""
    return Cell(cut(text, MAX_QUOTED), cut(title, MAX_QUOTED), tone)


def table(
    name: str,
    caption: str,
    columns: Iterable[Column],
    rows: Iterable[tuple[Cell, ...]],
    *,
    limit: int,
    total: int,
    artifact: str = "",
) -> Table:
    """Return a table with the first rows of a list, at most ``limit``.

    Args:
        name: The table's stable name.
        caption: What the table shows.
        columns: The table's columns.
        rows: The rows of the list. No more rows are made than the table has.
        limit: The largest number of rows.
        total: The number of rows of the whole list.
        artifact: The name of the artifact that has the whole list.
    """
    first_rows = tuple(islice(rows, limit))
    return Table(name, caption, tuple(columns), first_rows, total, artifact)


def without_empty_columns(table: Table, names: Iterable[str]) -> Table:
    """Return a table without those of the named columns in which no cell has a value."""
    optional_names = frozenset(names)

    def is_kept(index: int, column: Column) -> bool:
        values: list[Any] = [row[index].value for row in table.rows]
        return column.name not in optional_names or any(
            value not in (None, "") for value in values
        )

    kept = [
        index
        for index, column in enumerate(table.columns)
        if is_kept(index, column)
    ]
    return table._replace(
        columns=tuple(table.columns[index] for index in kept),
        rows=tuple(tuple(row[index] for index in kept) for row in table.rows),
    )
