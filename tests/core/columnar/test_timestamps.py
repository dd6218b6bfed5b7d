"""A column of timestamps reads exactly as its cells do, in any zone."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import tenant_config
from relay_core.columnar.columns import FAULTS
from relay_core.columnar.timestamps import read_instants
from relay_core.domain import cell_rules as cells
from relay_core.domain.errors import CellError

ZONES = ["UTC", "America/Chicago", "Europe/Lisbon", "Australia/Lord_Howe", "Africa/Monrovia"]
DATES = st.one_of(
    st.dates().map(str), st.from_regex(r"\A(18|19|20|21|22)[0-9]{2}-[0-1][0-9]-[0-3][0-9]\Z")
)
TIMES = st.one_of(
    st.just(""),
    st.from_regex(r"\A[ T][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{0,10})?)?\Z"),
    st.from_regex(r"\A[ T]0[1-3]:[0-5][0-9]\Z"),
)
OFFSETS = st.one_of(st.just(""), st.from_regex(r"\A(Z|[+-][0-2][0-9]:?[0-6][0-9])\Z"))
STAMPS = st.builds(lambda *parts: "".join(parts), DATES, TIMES, OFFSETS)
CLOCK_CHANGES = st.builds(
    "{} {:02}:{:02}".format,
    st.sampled_from(["2024-11-03", "2024-03-10", "2024-04-07", "2024-10-06", "1972-01-07"]),
    st.integers(0, 3),
    st.integers(0, 59),
)


@given(st.lists(st.one_of(STAMPS, CLOCK_CHANGES), max_size=8), st.sampled_from(ZONES))
def test_a_column_of_timestamps_reads_as_its_cells_do(texts: list[str], name: str) -> None:
    parser, zone = tenant_config().vendors[0].parser, ZoneInfo(name)

    def rule(text: str) -> int:
        return cells.read_timestamp(text, parser, zone)

    def one(text: str) -> int | str:
        try:
            return rule(text)
        except CellError as error:
            return str(error.error_code)

    typed = read_instants(pa.array(texts, pa.string()), zone, rule)
    read = [
        str(FAULTS[fault - 1]) if fault else value
        for value, fault in zip(typed.values.tolist(), typed.faults, strict=True)
    ]
    assert read == [one(text) for text in texts]


def test_a_slice_of_a_column_reads_as_the_rows_that_it_has() -> None:
    stamps = ["2024-01-02 03:04:05", "2025-06-07 08:09:10", "", "2026-11-12 13:14:15"]
    column = pa.array(stamps)[1:]

    typed = read_instants(column, ZoneInfo("UTC"), lambda _: 0)

    read = pa.array(typed.values, mask=typed.nulls).cast(pa.timestamp("us"))
    assert pc.strftime(read, "%Y-%m-%d %H:%M").to_pylist() == [s[:16] or None for s in stamps[1:]]


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        pytest.param("2024-11-03 01:30", "2024-11-03T06:30:00", id="first_of_two"),
        pytest.param("2024-03-10 02:30", "2024-03-10T08:30:00", id="skipped_moves_forward"),
        pytest.param("2024-07-01", "2024-07-01T05:00:00", id="summer"),
    ],
)
def test_the_clock_of_chicago(local: str, utc: str) -> None:
    def never(text: str) -> int:
        raise AssertionError(text)

    typed = read_instants(pa.array([local]), ZoneInfo("America/Chicago"), never)

    expected = cells.read_timestamp(utc + "Z", tenant_config().vendors[0].parser, ZoneInfo("UTC"))
    assert typed.values.tolist() == [expected]
