from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.feeds import Shape, write_feeds
from benchmarks.rules import HEADERS
from relay_core.config import load_config, parse_document

SMALL = Shape(rows=2_000, mapped=100)


def _records(folder: Path, shape: Shape) -> list[list[str]]:
    records = []
    for vendor_id in shape.vendor_ids:
        with (folder / f"{vendor_id}.csv").open(
            encoding=shape.encoding, newline=""
        ) as file:
            records += list(csv.reader(file, delimiter=shape.delimiter))[1:]
    return records


def test_the_same_shape_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_feeds(SMALL, tmp_path / name)
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("first", "second")
    )
    assert first == second


def test_another_seed_gives_other_feeds(tmp_path: Path) -> None:
    write_feeds(SMALL, tmp_path / "first")
    write_feeds(replace(SMALL, seed=8), tmp_path / "second")
    feed = "vendor_1.csv"
    assert (tmp_path / "first" / feed).read_bytes() != (
        tmp_path / "second" / feed
    ).read_bytes()


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(SMALL, id="plain"),
        pytest.param(replace(SMALL, european=True), id="european"),
        pytest.param(replace(SMALL, encoding="utf-16"), id="utf-16"),
        pytest.param(replace(SMALL, vendors=1, mapped=2_000), id="one vendor"),
    ],
)
def test_feeds_have_the_rows_asked_for_and_a_config_that_loads(
    shape: Shape, tmp_path: Path
) -> None:
    spec = write_feeds(shape, tmp_path)
    records = _records(tmp_path, shape)
    assert len(records) == shape.rows
    assert {len(record) for record in records} == {len(HEADERS)}
    assert spec == json.loads((tmp_path / "spec.json").read_text())
    text = (tmp_path / "config.json").read_bytes()
    config = load_config(parse_document(text, format="json"))
    assert [vendor.vendor_id for vendor in config.vendors] == shape.vendor_ids


def test_ragged_records_have_a_field_too_many(tmp_path: Path) -> None:
    shape = replace(SMALL, ragged=0.1)
    write_feeds(shape, tmp_path)
    ragged = [
        record
        for record in _records(tmp_path, shape)
        if len(record) > len(HEADERS)
    ]
    assert 100 < len(ragged) < 300
