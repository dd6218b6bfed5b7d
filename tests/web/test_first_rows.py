"""The first rows of a feed's files, in any form."""

from __future__ import annotations

import gzip

import pytest

from relay_dagster.web.first_rows import FirstRows, first_rows
from support.api_world import TENANT
from support.page_visitor import Visitor

CSV = 'sku,title\nA,"two\nlines"\nB,\nC,c\nD,d\nE,e\nF,f\n'
JSON_LINES = '{"sku":"A","quantity_available":3,"title":null}\n'


def rows_of(visitor: Visitor, suffix: str, data: bytes) -> FirstRows | None:
    objects = visitor.world.platform.objects
    key = f"published/{TENANT}/run.shop.{suffix}"
    objects.put(key, data)
    return first_rows(objects, key, suffix)


@pytest.mark.parametrize("is_packed", [False, True])
def test_the_first_rows_of_a_csv_file(
    visitor: Visitor, is_packed: bool
) -> None:
    data = CSV.encode()
    suffix = "csv"
    if is_packed:
        data = gzip.compress(data)
        suffix = "csv.gz"
    head = rows_of(visitor, suffix, data)
    assert head is not None
    assert head.header == ["sku", "title"]
    assert head.rows == [
        ["A", "two\nlines"],
        ["B", ""],
        ["C", "c"],
        ["D", "d"],
        ["E", "e"],
    ]


def test_a_file_that_is_cut_ends_with_a_whole_row(visitor: Visitor) -> None:
    long_cell = "x" * 40_000
    data = f"sku\ttitle\nA\t{long_cell}\nB\t{long_cell}\n".encode()
    head = rows_of(visitor, "tsv", data)
    assert head is not None
    assert [row[0] for row in head.rows] == ["A"]


def test_json_lines_have_their_keys_as_headers(visitor: Visitor) -> None:
    head = rows_of(visitor, "jsonl", JSON_LINES.encode())
    assert head is not None
    assert head.header == ["sku", "quantity_available", "title"]
    assert head.rows == [["A", "3", ""]]


def test_a_file_of_json_lines_without_rows_has_none(visitor: Visitor) -> None:
    head = rows_of(visitor, "jsonl", b"")
    assert head is not None
    assert head.rows == []


@pytest.mark.parametrize(
    ("suffix", "data"), [("parquet", b"PAR1"), ("csv.gz", b"no gzip")]
)
def test_a_file_without_text_and_a_damaged_one_have_no_rows_to_show(
    visitor: Visitor, suffix: str, data: bytes
) -> None:
    assert rows_of(visitor, suffix, data) is None
