"""The channels on a run's page: the first rows of each file, in any form."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from relay_dagster.web.channels import ChannelTable, channel_tables
from support.api_world import TENANT
from support.fakes import published_outcome
from support.page_visitor import Visitor

CSV = 'sku,title\nA,"two\nlines"\nB,\nC,c\nD,d\nE,e\nF,f\n'
JSON_LINES = '{"sku":"A","quantity_available":3,"title":null}\n'


def table_of(
    visitor: Visitor, name: str, data: bytes, rows: int
) -> ChannelTable:
    objects = visitor.world.platform.objects
    key = f"run/tenants/{TENANT}/outputs/channels/{name}"
    objects.put(key, data)
    (table,) = channel_tables(
        {"channel_shop": key}, {"channels": {"shop": rows}}, objects
    )
    return table


@pytest.mark.parametrize("is_packed", [False, True])
def test_the_first_rows_of_a_csv_file(
    visitor: Visitor, is_packed: bool
) -> None:
    data = CSV.encode()
    name = "shop.csv"
    if is_packed:
        data = gzip.compress(data)
        name = "shop.csv.gz"
    table = table_of(visitor, name, data, 6)
    assert table.headers == ["sku", "title"]
    assert table.rows == [
        ["A", "two\nlines"],
        ["B", ""],
        ["C", "c"],
        ["D", "d"],
        ["E", "e"],
    ]


def test_a_file_that_is_cut_ends_with_a_whole_row(visitor: Visitor) -> None:
    long_cell = "x" * 40_000
    data = f"sku\ttitle\nA\t{long_cell}\nB\t{long_cell}\n".encode()
    table = table_of(visitor, "shop.tsv", data, 2)
    assert [row[0] for row in table.rows] == ["A"]


def test_json_lines_have_their_keys_as_headers(visitor: Visitor) -> None:
    table = table_of(visitor, "shop.jsonl", JSON_LINES.encode(), 1)
    assert table.headers == ["sku", "quantity_available", "title"]
    assert table.rows == [["A", "3", ""]]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("shop.parquet", b"PAR1"),
        ("shop.csv.gz", b"no gzip"),
        ("shop.jsonl", b""),
    ],
)
def test_files_without_readable_rows_have_none(
    visitor: Visitor, name: str, data: bytes
) -> None:
    assert table_of(visitor, name, data, 0).rows == []


def test_the_page_of_a_run_shows_its_channels(visitor: Visitor) -> None:
    world = visitor.world
    record = world.claim(world.post_run().json()["run_id"])
    summary = record.keys.run_summary
    content = {"record_count": 1, "channels": {"shop": 1}}
    world.platform.objects.put(summary, json.dumps(content).encode())
    channels = {"shop": b"sku,price\nA-1,<9.00>\n"}
    outcome = published_outcome(world.platform, record, channels=channels)
    artifacts = {**outcome.artifacts, "run_summary": summary}
    run = world.platform.ledger.succeed(
        record.fence, replace(outcome, artifacts=artifacts)
    )
    page = visitor.open(f"/app/runs/{run.run_id}")
    assert "First rows" in page.text
    assert "<9.00>" in page.text
    assert "Channel: shop" in page.text
