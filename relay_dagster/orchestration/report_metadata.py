"""A run's report in Dagster: facts as numbers over time, and tables.

The module knows blocks, and none of Relay's features. Dagster draws numbers over time under
their labels, which are those of the chapters' facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import dagster as dg

from relay_core.report import display
from relay_core.report.blocks import Action, Bars, Cell, Kind, Table
from relay_core.report.report import Chapter
from relay_dagster.orchestration.metadata_tables import table

COMMAND_LABEL = "to_"
"""The beginning of the labels of commands."""
_NUMBER_KINDS: Mapping[Kind, str] = {"count": "int", "hours": "int"}


def facts_of(chapters: Iterable[Chapter]) -> dict[str, str | int]:
    """Return the facts of chapters by their labels, in order."""
    facts: dict[str, str | int] = {}
    for chapter in chapters:
        facts |= chapter.facts
    return facts


def commands_of(chapters: Iterable[Chapter]) -> dict[str, str]:
    """Return the commands of the actions of chapters, by labels such as ``to_release``."""
    return {
        f"{COMMAND_LABEL}{block.name}": block.command
        for chapter in chapters
        for block in chapter.blocks
        if isinstance(block, Action) and block.command
    }


def tables_of(
    chapters: Iterable[Chapter],
) -> dict[str, dg.TableMetadataValue]:
    """Return the tables of chapters by their names, in order; bars are tables, too."""
    tables = {}
    bars_by_name: dict[str, list[Bars]] = {}
    for block in chain.from_iterable(chapter.blocks for chapter in chapters):
        if isinstance(block, Table):
            tables[block.name] = _table_of(block)
        elif isinstance(block, Bars):
            groups = bars_by_name.setdefault(block.name, [])
            groups.append(block)
            tables[block.name] = _table_of_bars(groups)
    return tables


def _table_of(block: Table) -> dg.TableMetadataValue:
    """Return the rows of a table; a total is in a column beside the number that it is of."""
    kinds: dict[str, str] = {}
    values: list[Iterable[Any]] = []
    for index, column in enumerate(block.columns):
        cells = [row[index] for row in block.rows]
        kinds[column.name] = _NUMBER_KINDS.get(column.kind, "string")
        values.append([_value_of(cell, column.kind) for cell in cells])
        if any(cell.of is not None for cell in cells):
            kinds[f"{column.name}_of"] = "int"
            values.append([cell.of for cell in cells])
    return table(zip(*values, strict=True), kinds)


def _value_of(cell: Cell, kind: Kind) -> str | int | None:
    """Return a number as it is, and anything else as people read it."""
    if kind in _NUMBER_KINDS:
        return None if cell.value is None else int(cell.value)
    if cell.value is None:
        return cell.note
    return display.value(cell.value, kind)


def _table_of_bars(groups: Sequence[Bars]) -> dg.TableMetadataValue:
    """Return bars as a table with a row for each bar, or for each total of parts."""
    if groups[0].parts_of is None:
        labels = [(bar.label, bar.value) for bar in groups[0].bars]
        return table(labels, {"label": "string", "value": "int"})
    names = dict.fromkeys(bar.name for bars in groups for bar in bars.bars)
    rows = []
    for bars in groups:
        values = {bar.name: bar.value for bar in bars.bars}
        rows.append([bars.about, bars.parts_of, *map(values.get, names)])
    kinds = {"about": "string", "total": "int", **dict.fromkeys(names, "int")}
    return table(rows, kinds)
