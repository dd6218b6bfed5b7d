"""The local runner with a baseline: each guard at its limit, what is held, and what is left."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.builders import config_document, feed, vendor_document
from support.local_bench import Bench

STATE = "published/state.parquet"
TWO = (vendor_document("vendor_1"), vendor_document("vendor_2"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def rows(
    count: int = 20,
    *,
    quantity: int = 5,
    cost: str = "10.00",
    first: int = 0,
    word: str = "A",
) -> list[str]:
    """Return records of so many SKUs."""
    return [
        f"{word}-{n:02},{quantity},{cost}" for n in range(first, first + count)
    ]


def some(count: int, **changes: Any) -> list[str]:
    """Return 20 records, of which so many are changed."""
    return rows(count, **changes) + rows(20 - count, first=count)


def published(bench: Bench, document: Any = None, **feeds: bytes) -> Path:
    """Run feeds that nothing is compared with, and return what the next are compared with."""
    assert (
        bench.run(
            document or config_document(),
            **(feeds or {"vendor_1": feed(*rows())}),
        )
        == 0
    )
    baseline = bench.folder / "baseline.parquet"
    baseline.write_bytes((bench.out / STATE).read_bytes())
    return baseline


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


# --- the guards, one under and one over -----------------------------------------------------------


@pytest.mark.parametrize(
    ("guard", "within", "beyond"),
    [
        (
            "skus_removed",
            rows(10, word="B") + rows(10),
            rows(11, word="B") + rows(9),
        ),
        ("out_of_stock", some(10, quantity=0), some(11, quantity=0)),
        ("price_drop", some(4, cost="4.99"), some(5, cost="4.99")),
        ("price_rise", some(4, cost="20.01"), some(5, cost="20.01")),
        ("price_level", some(10, cost="7.99"), some(11, cost="7.99")),
        ("price_level", some(10, cost="12.51"), some(11, cost="12.51")),
    ],
    ids=[
        "skus_removed",
        "out_of_stock",
        "price_drop",
        "price_rise",
        "level low",
        "level high",
    ],
)
def test_a_guard_lets_its_limit_pass_and_holds_one_more(
    bench: Bench,
    capsys: pytest.CaptureFixture[str],
    guard: str,
    within: Iterable[str],
    beyond: Iterable[str],
) -> None:
    against = f"--baseline={published(bench)}"
    assert bench.run(config_document(), against, vendor_1=feed(*within)) == 0
    capsys.readouterr()
    assert bench.run(config_document(), against, vendor_1=feed(*beyond)) == 3
    assert last_line(capsys) == f"HELD: {guard}"


@pytest.mark.parametrize(("left", "status"), [(10, 0), (9, 3)])
def test_a_vendor_that_loses_more_than_half_its_rows_is_held_for_that_alone(
    bench: Bench, capsys: pytest.CaptureFixture[str], left: int, status: int
) -> None:
    document = config_document(*TWO)
    whole = feed(*rows())
    against = f"--baseline={published(bench, document, vendor_1=whole, vendor_2=whole)}"
    feeds = {"vendor_1": whole, "vendor_2": feed(*rows(left))}
    assert bench.run(document, against, **feeds) == status
    if status:
        assert last_line(capsys) == "HELD: vendor_rows"
        (tripped,) = [
            guard
            for guard in bench.report("run_summary")["guards"]
            if guard["tripped"]
        ]
        assert (tripped["vendor_id"], tripped["count"], tripped["of"]) == (
            "vendor_2",
            11,
            20,
        )


@pytest.mark.parametrize(
    ("cost", "status"), [("5.00", 0), ("4.99", 3), ("20.00", 0), ("20.01", 3)]
)
def test_a_price_at_the_limit_itself_is_no_jump(
    bench: Bench, cost: str, status: int
) -> None:
    against = f"--baseline={published(bench)}"
    assert (
        bench.run(
            config_document(), against, vendor_1=feed(*some(5, cost=cost))
        )
        == status
    )


# --- what merchants suffer from -------------------------------------------------------------------


def test_a_decimal_comma_read_as_thousands_is_held_by_the_level_of_prices(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    comma = {"decimal_separator": ",", "thousands_separator": "."}
    read_wrongly = {"decimal_separator": ".", "thousands_separator": ","}
    data = feed(*rows(cost='"12,500"'))
    right = config_document(vendor_document(parser=comma))
    against = f"--baseline={published(bench, right, vendor_1=data)}"
    wrong = config_document(vendor_document(parser=read_wrongly))
    assert bench.run(wrong, against, vendor_1=data) == 3
    assert "price_level" in last_line(capsys)
    high = bench.report("run_summary")["guards"][-2]
    assert (high["guard"], high["side"], high["count"], high["of"]) == (
        "price_level",
        "high",
        20,
        20,
    )
    assert high["examples"][0] == {
        "sku": "A-00",
        "before": "12.50",
        "after": "12500.00",
    }


def test_a_feed_of_zeros_is_held_by_what_went_out_of_stock(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    against = f"--baseline={published(bench)}"
    assert (
        bench.run(config_document(), against, vendor_1=feed(*rows(quantity=0)))
        == 3
    )
    assert last_line(capsys) == "HELD: out_of_stock"


def test_a_year_of_ordinary_change_passes(bench: Bench) -> None:
    against = f"--baseline={published(bench)}"
    assert (
        bench.run(
            config_document(), against, vendor_1=feed(*rows(18, cost="10.30"))
        )
        == 0
    )
    assert not any(
        guard["tripped"] for guard in bench.report("run_summary")["guards"]
    )


# --- what is left ---------------------------------------------------------------------------------


def test_a_held_run_leaves_the_state_as_it_was_and_names_each_guard_once(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    document = config_document(*TWO)
    whole = feed(*rows())
    against = f"--baseline={published(bench, document, vendor_1=whole, vendor_2=whole)}"
    before = bench.tree()
    state = (bench.out / STATE).read_bytes()
    less = feed(*rows(9))
    assert bench.run(document, against, vendor_1=less, vendor_2=less) == 3
    assert last_line(capsys) == "HELD: skus_removed, vendor_rows"
    assert {*bench.tree()} == {*before, "reports/changes.csv"}
    assert (bench.out / STATE).read_bytes() == state
    assert bench.report("run_summary")["status"] == "HELD"
    assert len(bench.merged()) == 9


def test_the_state_of_the_output_folder_is_read_before_the_folder_is_replaced(
    bench: Bench,
) -> None:
    published(bench)
    against = f"--baseline={bench.out / STATE}"
    assert (
        bench.run(
            config_document(), against, vendor_1=feed(*rows(cost="11.00"))
        )
        == 0
    )
    assert bench.report("run_summary")["guards"]
    assert STATE in bench.tree()


def test_a_run_that_fails_leaves_the_state_as_it_was(bench: Bench) -> None:
    against = f"--baseline={published(bench)}"
    state = (bench.out / STATE).read_bytes()
    assert (
        bench.run(config_document(), against, vendor_1=feed("A-1,many,1")) == 1
    )
    assert (bench.out / STATE).read_bytes() == state


def test_without_a_baseline_nothing_is_compared(bench: Bench) -> None:
    published(bench)
    assert bench.run(config_document(), vendor_1=feed(*rows(1))) == 0
    assert bench.report("run_summary")["guards"] is None


@pytest.mark.parametrize(
    "content", [b"", b"sku,price\n", b"PAR1 and no more PAR1", None]
)
def test_a_baseline_that_is_no_state_is_bad_usage_and_nothing_is_written(
    bench: Bench, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    path = bench.folder / "no.parquet"
    if content is not None:
        path.write_bytes(content)
    assert (
        bench.run(
            config_document(), f"--baseline={path}", vendor_1=feed(*rows())
        )
        == 2
    )
    assert str(path) in last_line(capsys)
    assert bench.tree() == []


def test_a_parquet_file_of_something_else_is_no_state(bench: Bench) -> None:
    path = bench.folder / "other.parquet"
    pq.write_table(pa.table({"sku": ["A"]}), path)
    assert (
        bench.run(
            config_document(), f"--baseline={path}", vendor_1=feed(*rows())
        )
        == 2
    )
    assert bench.tree() == []
