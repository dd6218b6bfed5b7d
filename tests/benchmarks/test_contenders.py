from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.feeds import Shape, write_feeds

PEERS = ("polars_streaming", "duckdb_sql", "naive_pandas", "engine_work_files")
SHARED = (
    "outputs/merged_inventory.csv",
    "reports/invalid_rows.csv",
    *(f"normalized/vendor_{number}/normalized.csv" for number in (1, 2, 3)),
)


@pytest.fixture(scope="module")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("feeds")
    write_feeds(Shape(rows=3_000, bad=0.05, mapped=300), folder)
    return folder


@pytest.fixture(scope="module")
def written(
    feeds: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("engine")
    importlib.import_module("benchmarks.contenders.engine").run(feeds, out)
    return out


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_writes_the_same_bytes_as_the_engine(
    peer: str, feeds: Path, written: Path, tmp_path: Path
) -> None:
    importlib.import_module(f"benchmarks.contenders.{peer}").run(
        feeds, tmp_path
    )
    ours = {name: (written / name).read_bytes() for name in SHARED}
    theirs = {name: (tmp_path / name).read_bytes() for name in SHARED}
    assert theirs == ours


def test_the_feeds_bring_every_rule_of_the_peers_into_play(
    written: Path,
) -> None:
    rejects = (written / "reports/invalid_rows.csv").read_text("utf-8")
    for code in (
        *("missing_sku", "invalid_quantity", "negative_quantity"),
        *(
            "invalid_decimal",
            "invalid_timestamp",
            "invalid_decimal;invalid_quantity",
        ),
    ):
        assert f",{code}," in rejects
    merged = (written / "outputs/merged_inventory.csv").read_text("utf-8")
    assert {line.split(",")[3] for line in merged.splitlines()[1:]} == {
        *("vendor_1", "vendor_2", "vendor_3")
    }


def test_the_floor_writes_as_many_files(feeds: Path, tmp_path: Path) -> None:
    importlib.import_module("benchmarks.contenders.floor").run(feeds, tmp_path)
    assert len(list(tmp_path.rglob("*.csv"))) == 4
