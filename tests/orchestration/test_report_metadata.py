"""The blocks of a report as Dagster shows them: facts under their labels, and tables."""

from __future__ import annotations

import dagster as dg

from relay_core.report.blocks import (
    Action,
    Bar,
    Bars,
    Block,
    Cell,
    Column,
    Table,
)
from relay_core.report.report import Chapter
from relay_dagster.orchestration.report_metadata import (
    commands_of,
    facts_of,
    tables_of,
)


def rows_of(shown: dg.TableMetadataValue) -> list[dict[str, object]]:
    return [dict(record.data) for record in shown.records]


def shown(*blocks: Block) -> dict[str, list[dict[str, object]]]:
    """Return the rows of each table of a chapter with these blocks."""
    tables = tables_of([Chapter("c", "C", blocks)])
    return {name: rows_of(table) for name, table in tables.items()}


def test_facts_keep_their_labels_and_their_order() -> None:
    chapters = [
        Chapter("a", "A", facts={"x/one": 1, "name": "text"}),
        Chapter("b", "B", facts={"x/two": 2}),
    ]
    assert list(facts_of(chapters).items()) == [
        ("x/one", 1),
        ("name", "text"),
        ("x/two", 2),
    ]


def test_the_command_of_an_action_has_a_label_of_its_name() -> None:
    action = Action("paint", "Paint it", "If it is dull", "relay paint RUN")
    no_command = Action("look", "Look", "At any time")
    assert commands_of([Chapter("c", "C", (action, no_command))]) == {
        "to_paint": "relay paint RUN"
    }


def test_numbers_of_a_table_are_numbers_and_other_values_are_as_people_read_them() -> (
    None
):
    columns = (
        Column("name", "Name"),
        Column("count", "Count", "count"),
        Column("share", "Share", "share"),
    )
    rows = (
        (Cell("a"), Cell(1200), Cell("1/4")),
        (Cell(None, "gone"), Cell(None), Cell(None)),
    )
    assert shown(Table("t", "Caption", columns, rows, 2)) == {
        "t": [
            {"name": "a", "count": 1200, "share": "25%"},
            {"name": "gone", "count": None, "share": ""},
        ]
    }


def test_a_total_stands_in_a_column_of_its_own() -> None:
    table = Table(
        "t",
        "Caption",
        (Column("count", "Count", "count"),),
        ((Cell(17, of=20),), (Cell(3),)),
        2,
    )
    assert shown(table)["t"] == [
        {"count": 17, "count_of": 20},
        {"count": 3, "count_of": None},
    ]


def test_a_table_without_rows_has_its_columns() -> None:
    table = Table("t", "Caption", (Column("sku", "SKU", "code"),), (), 9)
    value = tables_of([Chapter("c", "C", (table,))])["t"]
    assert [column.name for column in value.schema.columns] == ["sku"]


def test_bars_on_one_scale_are_a_row_each() -> None:
    bars = Bars("b", "Bars", (Bar("x", "Left", 1), Bar("y", "Right", 2)))
    assert shown(bars)["b"] == [
        {"label": "Left", "value": 1},
        {"label": "Right", "value": 2},
    ]


def test_parts_of_totals_are_one_table_with_a_row_for_each_total() -> None:
    north = Bars("b", "N", (Bar("x", "X", 1),), about="north", parts_of=3)
    south = Bars("b", "S", (Bar("y", "Y", 2),), about="south", parts_of=2)
    assert shown(north, south)["b"] == [
        {"about": "north", "total": 3, "x": 1, "y": None},
        {"about": "south", "total": 2, "x": None, "y": 2},
    ]
