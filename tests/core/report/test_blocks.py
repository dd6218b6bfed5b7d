"""Blocks as JSON, and blocks of a newer release."""

from __future__ import annotations

import json

import pytest

from relay_core.report.blocks import (
    BLOCKS,
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
    block_from_json,
    block_to_json,
    plain,
    text_of,
)

EXAMPLES: tuple[Block, ...] = (
    Verdict("good", "Done", "The wall is blue", "It was white."),
    Heading("Walls", code="north", total=0, unit="wall"),
    Sentence(text_of("Paint ", Span("it", "code"), " again")),
    Figures((Figure("walls", "Walls", 4, share="1/4"),)),
    Table(
        "walls",
        "Walls by color",
        (Column("wall", "Wall", "code"), Column("cost", "Cost", "money")),
        ((Cell("north", "of the house"), Cell("9.50", tone="bad")),),
        total=3,
        artifact="all_walls",
    ),
    Bars("walls", "Walls", (Bar("a", "A", 0),), unit="wall", parts_of=0),
    Items((Item(text_of("a"), fix="b", snippet="c"), Item(())), 2),
    Steps((text_of(Span("now", "strong")), text_of("later"))),
    Omitted(2, "all_walls"),
    Files((File("all_walls", "All walls", "reports/walls.csv", "lists all"),)),
    Action("paint", "Paint", "If dull", parameters={"wall": "north"}),
)


@pytest.mark.parametrize(
    "block", EXAMPLES, ids=lambda block: type(block).__name__
)
def test_a_block_is_the_same_after_json(block: Block) -> None:
    document = json.loads(json.dumps(block_to_json(block)))
    assert block_from_json(document) == block


def test_every_block_has_an_example() -> None:
    assert {type(block) for block in EXAMPLES} == set(BLOCKS.values())


def test_fields_of_no_value_are_left_out() -> None:
    assert block_to_json(Omitted(2)) == {"type": "omitted", "number": 2}
    cells = block_to_json(EXAMPLES[4])["rows"][0]
    assert cells[0] == {"value": "north", "note": "of the house"}


def test_a_cell_and_a_text_without_more_are_values() -> None:
    table = Table("t", "T", (Column("a", "A"),), ((Cell(None),), (Cell(1),)), 2)
    assert block_to_json(table)["rows"] == [[None], [1]]
    assert block_to_json(Sentence(text_of("a")))["text"] == "a"


def test_a_block_of_a_newer_release_is_unknown() -> None:
    assert block_from_json({"type": "hologram", "depth": 3}) is None
    assert block_from_json({}) is None


def test_a_field_of_a_newer_release_is_left_out() -> None:
    document = {"type": "omitted", "number": 2, "since": "Monday"}
    assert block_from_json(document) == Omitted(2)


def test_a_style_of_a_newer_release_is_plain_text() -> None:
    document = {"type": "sentence", "text": ["a ", {"wavy": "b"}]}
    block = block_from_json(document)
    assert isinstance(block, Sentence)
    assert (plain(block.text), block.text[1].style) == ("a b", "")
