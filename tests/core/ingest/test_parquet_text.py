"""Typed values and the texts that they are read as."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from relay_core.ingest.parquet import text_of

NOON = datetime.fromisoformat("2026-03-01T12:00:00")


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pa.array(["a", None, " é "]), ["a", "", " é "]),
        (pa.array(["a"], pa.large_string()), ["a"]),
        (pa.array(["b", None, "b"]).dictionary_encode(), ["b", "", "b"]),
        (pa.array([12.50, None]).dictionary_encode(), ["12.5", ""]),
        (pa.array([], pa.dictionary(pa.int32(), pa.string())), []),
        (pa.array([-1, None, 2**62]), ["-1", "", str(2**62)]),
        (pa.array([2**64 - 1], pa.uint64()), [str(2**64 - 1)]),
        (pa.array([Decimal("1.10"), None]), ["1.10", ""]),
        (
            pa.array([Decimal("0E-10"), Decimal("1E-10")]),
            ["0.0000000000", "0.0000000001"],
        ),
        (pa.array([Decimal("1E+3")], pa.decimal128(5, -2)), ["1000"]),
        (
            pa.array([12.0, 19.99, 0.1 + 0.2, -1.5]),
            ["12", "19.99", "0.30000000000000004", "-1.5"],
        ),
        (
            pa.array([1e-7, 1e21, 5e-324]),
            ["0.0000001", "1" + "0" * 21, f"0.{'0' * 323}5"],
        ),
        (pa.array([float("nan"), float("inf"), None]), ["", "inf", ""]),
        (pa.array([19.99, 1e-7], pa.float32()), ["19.99", "0.0000001"]),
        (pa.array(np.array([19.99, 12], np.float16)), ["19.98", "12"]),
        (pa.array([True, None, False]), ["true", "", "false"]),
        (pa.array([date(2026, 3, 1), None]), ["2026-03-01", ""]),
        (pa.array([date(2026, 3, 1)], pa.date64()), ["2026-03-01"]),
        (
            pa.array([NOON, None], pa.timestamp("s")),
            ["2026-03-01 12:00:00", ""],
        ),
        (pa.array([NOON], pa.timestamp("ns")), ["2026-03-01 12:00:00"]),
        (
            pa.array([NOON.replace(microsecond=120_000)], pa.timestamp("us")),
            ["2026-03-01 12:00:00.12"],
        ),
        (
            pa.array([NOON, None], pa.timestamp("ms", "UTC")).cast(
                pa.timestamp("ms", "Europe/Berlin")
            ),
            ["2026-03-01 12:00:00Z", ""],
        ),
        (pa.nulls(2), ["", ""]),
    ],
    ids=lambda each: str(getattr(each, "type", "")),
)
def test_a_value_is_written_exactly(column: pa.Array, texts: list[str]) -> None:
    written = text_of(column)
    assert (written.type, written.null_count) == (pa.string(), 0)
    assert written.to_pylist() == texts
