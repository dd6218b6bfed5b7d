"""What the report says of channels."""

from __future__ import annotations

from relay_core.report.blocks import Heading
from support.builders import feed
from support.report_reading import chapter_of, sentences_of, table_of
from support.reported_runs import go_through

MANY = [f"SKU-{n:02},5,{n}.00" for n in range(1, 21)]


def test_each_channel_has_its_first_rows() -> None:
    file = {"columns": ["sku", "price", {"constant": "", "as": "<note>"}]}
    report = go_through(
        {"north": feed(*MANY)},
        channels=[
            {"channel_id": "shop", "output": file, "price": {"flat": 1}},
            {
                "channel_id": "empty",
                "output": file,
                "when": {"price_from": 99},
            },
        ],
    ).report
    blocks = chapter_of(report, "channels").blocks
    assert [block for block in blocks if isinstance(block, Heading)] == [
        Heading("shop", total=20, unit="row"),
        Heading("empty", total=0, unit="row"),
    ]
    rows = table_of(report, "channel_shop")
    assert [column.title for column in rows.columns] == [
        "sku",
        "price",
        "<note>",
    ]
    assert (len(rows.rows), rows.total, rows.artifact) == (
        5,
        20,
        "channel_shop",
    )
    assert [cell.value for cell in rows.rows[0]] == ["SKU-01", "2.00", ""]
    (sentence,) = sentences_of(report, "channels")
    assert sentence.startswith("The file has only its header")


def test_a_feed_without_channels_has_no_such_chapter() -> None:
    report = go_through({"north": feed(*MANY)}).report
    assert report.chapter("channels") is None
