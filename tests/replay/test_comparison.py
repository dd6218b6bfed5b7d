"""Where two files differ first."""

import io
import random
from itertools import zip_longest

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relay_dagster.replay import comparison
from relay_dagster.replay.comparison import (
    Difference,
    first_differing_line,
    first_differing_row,
)


def plainly(run: bytes, here: bytes) -> Difference | None:
    """Say the same slowly: line by line."""
    pairs = zip_longest(io.BytesIO(run), io.BytesIO(here))
    for number, pair in enumerate(pairs, 1):
        if pair[0] != pair[1]:
            whole = [
                None if line is None else line.decode(errors="backslashreplace")
                for line in pair
            ]
            lines = [
                None if line is None else line.removesuffix("\n")
                for line in whole
            ]
            return Difference(
                number, *(lines if lines[0] != lines[1] else whole)
            )
    return None


@pytest.mark.parametrize("seed", range(20))
def test_the_first_line_that_differs_is_found(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        lines = [
            rng.choice(["", "a", "ab", "é,1"]) for _ in range(rng.randrange(6))
        ]
        run = "\n".join(lines).encode()
        here = bytearray(run)
        if rng.random() < 0.8:
            place = rng.randrange(len(here) + 1)
            here[place : place + rng.randrange(2)] = rng.choice(
                [b"", b"x", b"\n", b"y\nz"]
            )
        difference = first_differing_line(io.BytesIO(run), io.BytesIO(here))
        assert difference == plainly(run, bytes(here)), (run, here)


def test_of_a_long_line_what_is_around_the_difference_is_told() -> None:
    run = b"a" * 10_000 + b"X" + b"b" * 10_000
    here = b"a" * 10_000 + b"Y" + b"b" * 10_000
    difference = first_differing_line(
        io.BytesIO(b"h\n" + run), io.BytesIO(b"h\n" + here)
    )
    assert difference is not None
    assert difference == Difference(
        2,
        "…" + "a" * 500 + "X" + "b" * 499 + "…",
        "…" + "a" * 500 + "Y" + "b" * 499 + "…",
    )


def parquet_of(rows: pa.Table, **options: str) -> bytes:
    sink = io.BytesIO()
    pq.write_table(rows, sink, **options)
    return sink.getvalue()


def test_of_parquet_the_first_row_that_differs_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparison, "_BATCH_ROWS", 2)
    run = pa.table({"sku": ["A", "B", "C"], "price": [1, 2, None]})
    here = run.set_column(1, "price", pa.array([1, 2, 3]))
    assert first_differing_row(parquet_of(run), parquet_of(here)) == Difference(
        4, '{"sku": "C", "price": null}', '{"sku": "C", "price": 3}'
    )
    longer = pa.concat_tables([run, run])
    assert first_differing_row(
        parquet_of(longer), parquet_of(run)
    ) == Difference(5, '{"sku": "A", "price": 1}', None)


def test_of_parquet_other_columns_are_its_first_line() -> None:
    run = pa.table({"sku": ["A"]})
    here = pa.table({"SKU": ["A"]})
    difference = first_differing_row(parquet_of(run), parquet_of(here))
    assert difference is not None
    assert (difference.line, difference.run, difference.here) == (
        *(1, "sku: string"),
        "SKU: string",
    )


def test_the_same_rows_in_other_bytes_are_the_same_rows() -> None:
    rows = pa.table({"sku": ["A", "B"]})
    other_file = parquet_of(rows, compression="gzip")
    assert other_file != parquet_of(rows)
    assert first_differing_row(parquet_of(rows), other_file) is None
