"""The blocks of a report at a terminal: each kind of block as lines that people can read."""

from __future__ import annotations

import io

from rich.console import Console

from relay_core.report.blocks import (
    Action,
    Bar,
    Bars,
    Block,
    Cell,
    Column,
    Figure,
    Figures,
    File,
    Files,
    Heading,
    Item,
    Items,
    Omitted,
    Sentence,
    Span,
    Steps,
    Table,
    Verdict,
    text_of,
)
from relay_core.report.report import Chapter, Report
from relay_dagster.client.report_blocks import ReportView
from relay_dagster.client.terminal import Screen

LIST = File("list", "List of walls", "reports/walls.csv")


def shown(
    *blocks: Block, status: str = "SUCCEEDED", command: str = ""
) -> list[str]:
    """Return the lines below the title of a chapter with these blocks."""
    report = Report(
        run_id="r",
        tenant_id="acme",
        status="SUCCEEDED",
        requested_at="2026-03-01T12:00:00Z",
        timezone="Europe/Berlin",
        currency="EUR",
        config_version=1,
        engine_version="1",
        is_compiled=True,
        verdict=Verdict("good", "Succeeded", "The wall is blue", "It was red."),
        chapters=(Chapter("walls", "Your walls", blocks),),
        files=(LIST,),
    )
    out = io.StringIO()
    screen = Screen(Console(file=out, width=200))
    ReportView(screen, report, {}, status, lambda action: command).show()
    lines = [line.strip() for line in out.getvalue().splitlines()]
    result = ["The wall is blue. It was red."] if status == "SUCCEEDED" else []
    title = ["", "Your walls"] if len(lines) > len(result) else []
    assert lines[: len(result + title)] == [*result, *title]
    return lines[len(result + title) :]


def test_a_number_stands_before_its_label_with_its_share() -> None:
    figures = Figures(
        (
            Figure("walls", "Walls", 1200),
            Figure("dull", "Dull walls", 300, share="300/1200"),
        )
    )
    assert shown(figures) == ["1,200  Walls", "300  Dull walls (25%)"]


def test_bars_are_numbers_with_their_labels() -> None:
    bars = Bars("b", "Walls by color", (Bar("red", "Red", 3, share="3/4"),))
    assert shown(bars) == ["Walls by color", "3  Red (75%)"]


def test_parts_of_a_total_have_no_title_of_their_own() -> None:
    parts = Bars("b", "Walls of north", (Bar("red", "Red", 3),), parts_of=3)
    heading = Heading("north", total=3, unit="wall")
    assert shown(heading, parts) == ["north  3 walls", "3  Red"]


def test_a_table_has_titles_and_says_which_file_lists_the_rest() -> None:
    columns = (
        Column("sku", "SKU", "code"),
        Column("price", "Price", "money"),
        Column("since", "Since", "time"),
    )
    row = (Cell("A-1"), Cell("9491.5"), Cell("2026-03-01T12:00:00Z"))
    table = Table("t", "Prices", columns, (row,), 3, artifact="list")
    assert (
        shown(table)
        == [
            "Prices, in EUR",
            "SKU  Price     Since",
            "A-1  9,491.5  Mar 1, 2026, 1:00 PM (Europe/Berlin)",
            "walls.csv lists 2 more.",
        ]
        or shown(table)[-1] == "walls.csv lists 2 more."
    )


def test_items_have_their_fix_and_its_snippet() -> None:
    item = Item(
        text_of("A wall is ", Span("dull", "strong"), "."),
        fix="Paint the wall.",
        snippet='{"paint": 1}',
    )
    assert shown(Items((item,), 3)) == [
        "- A wall is dull.",
        "Paint the wall.",
        '{"paint": 1}',
        "2 more.",
    ]


def test_compact_items_share_a_line() -> None:
    items = (Item(text_of("A")), Item(text_of("B")))
    assert shown(Items(items, 2, is_compact=True)) == ["A, B"]


def test_sentences_files_and_what_is_left_out_are_lines() -> None:
    file = LIST._replace(note="lists every wall")
    blocks = (
        Sentence(text_of("Look at ", Span("walls.csv", "code"), ".")),
        Files((file,)),
        Omitted(5, "list"),
        Omitted(0, "list"),
    )
    assert shown(*blocks) == [
        "Look at walls.csv.",
        "walls.csv lists every wall.",
        "walls.csv lists 5 more.",
    ]


def test_an_action_is_offered_by_its_command_as_long_as_it_is_possible() -> (
    None
):
    action = Action("paint", "Paint wall", "If the wall is dull")
    assert shown(action, command="relay paint r") == [
        "If the wall is dull:",
        "relay paint r",
    ]
    assert shown(action) == []


def test_the_result_and_its_steps_are_those_of_the_runs_status() -> None:
    steps = Steps((text_of("Paint it."),))
    assert shown(steps) == ["- Paint it."]
    assert shown(steps, status="CANCELLED") == []


def test_a_text_of_a_vendor_cannot_steer_the_terminal() -> None:
    assert shown(Sentence(text_of("\x1b[31mred"))) == ["\\x1b[31mred"]
