"""A column of timestamps reads exactly as its cells do, in any zone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.columnar import timestamps
from relay_core.columnar.numbers import FAULTS, ColumnValues
from relay_core.columnar.timestamps import read_timestamps
from relay_core.config import ParserConfig
from relay_core.domain import cell_rules
from relay_core.domain.columns import BY_NAME, RejectionCodes
from relay_core.domain.errors import CellError
from support.builders import tenant_config, vendor_document

PLAIN = ParserConfig(format="csv")
ZONES = [
    "UTC",
    "America/Chicago",
    "Europe/Lisbon",
    "Australia/Lord_Howe",
    "Africa/Monrovia",
]
DATES = st.one_of(
    st.dates().map(str),
    st.from_regex(r"\A(18|19|20|21|22)[0-9]{2}-[0-1][0-9]-[0-3][0-9]\Z"),
)
TIMES = st.one_of(
    st.just(""),
    st.from_regex(
        r"\A[ T][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{0,10})?)?\Z"
    ),
    st.from_regex(r"\A[ T]0[1-3]:[0-5][0-9]\Z"),
)
OFFSETS = st.one_of(
    st.just(""), st.from_regex(r"\A(Z|[+-][0-2][0-9]:?[0-6][0-9])\Z")
)
STAMPS = st.builds(lambda *parts: "".join(parts), DATES, TIMES, OFFSETS)
CLOCK_CHANGES = st.builds(
    "{} {:02}:{:02}".format,
    st.sampled_from(
        ["2024-11-03", "2024-03-10", "2024-04-07", "2024-10-06", "1972-01-07"]
    ),
    st.integers(0, 3),
    st.integers(0, 59),
)


FORMATS = (
    ("%d.%m.%Y", "%m/%d/%Y %I:%M %p"),
    ("%Y%m%d", "%d%m%Y"),
    ("%d-%b-%y %H:%M:%S", "%A, %d %B %Y"),
    ("%m/%d/%Y", "%d/%m/%Y"),
    ("%Y-%m-%dT%H:%M:%S.%f%z", "%j %Y %m %d"),
    ("%d %m %Y", "%H:%M:%S %d/%m/%y"),
)
MOMENTS = st.datetimes(datetime(1895, 1, 1), datetime(2205, 1, 1))  # noqa: DTZ001


def refusals() -> RejectionCodes:
    rejections = BY_NAME["updated_at"].rejections
    assert rejections is not None
    return rejections


def read(
    texts: list[str], zone: ZoneInfo, formats: tuple[str, ...] = ()
) -> ColumnValues:
    parser = (
        tenant_config(vendor_document(parser={"timestamp_formats": formats}))
        .vendors[0]
        .parser
    )
    return read_timestamps(
        pa.array(texts, pa.string()), parser, zone, refusals()
    )


def by_cell(
    texts: list[str], zone: ZoneInfo, formats: tuple[str, ...] = ()
) -> list[int | str]:
    parser = (
        tenant_config(vendor_document(parser={"timestamp_formats": formats}))
        .vendors[0]
        .parser
    )

    def one(text: str) -> int | str:
        try:
            return cell_rules.read_timestamp(text, parser, zone)
        except CellError as error:
            return str(error.error_code)

    return [one(text) for text in texts]


def by_column(values: ColumnValues) -> list[int | str]:
    return [
        str(FAULTS[fault - 1]) if fault else value
        for value, fault in zip(
            values.values.tolist(), values.faults, strict=True
        )
    ]


@given(
    st.lists(st.one_of(STAMPS, CLOCK_CHANGES), max_size=8),
    st.sampled_from(ZONES),
)
def test_a_column_of_timestamps_reads_as_its_cells_do(
    texts: list[str], name: str
) -> None:
    assert by_column(read(texts, ZoneInfo(name))) == by_cell(
        texts, ZoneInfo(name)
    )


@given(
    st.sampled_from(FORMATS),
    st.lists(MOMENTS, min_size=1, max_size=5),
    st.data(),
)
def test_formats_of_a_vendor_read_as_strptime_reads_them(
    formats: tuple[str, ...], moments: list[datetime], data: st.DataObject
) -> None:
    texts = [
        moment.strftime(data.draw(st.sampled_from(formats)))
        for moment in moments
    ]
    shorter = [re.sub(r"\b0(?=[0-9])", "", text) for text in texts]
    cut = [text[: data.draw(st.integers(1, len(text)))] for text in texts]
    cells = [
        text.strip()
        for text in (*texts, *shorter, *cut, *map(str.upper, texts))
    ]

    zone = ZoneInfo("America/Chicago")
    assert by_column(read(cells, zone, formats)) == by_cell(
        cells, zone, formats
    )


@pytest.mark.parametrize("formats", FORMATS, ids=str)
def test_odd_dates_are_read_as_strptime_reads_them(
    formats: tuple[str, ...],
) -> None:
    cells = [
        *(
            "31.02.2024",
            "1.2.2024",
            "01.02.2024",
            "32.1.2024",
            "13/13/2024",
            "1/ 2/2024",
        ),
        *(
            "2024111",
            "20241101",
            "01112024",
            "1112024",
            "\u0660\u0661.\u0660\u0662.\u0662\u0660\u0662\u0664",
            "12/31/2024 12:00 am",
        ),
        *(
            "12/31/2024 0:30 pm",
            "1-jan-69 1:2:3",
            "1-JAN-68 23:59:60",
            "Monday, 5 May 2025",
        ),
        *(
            "2024-01-02T03:04:05.6+0530",
            "2024-01-02T03:04:05.6Z",
            "2024-01-02T03:04:05.6+24:00",
        ),
        *("12:00:00 1/2/69", "1  2 2024", "1\t2 2024"),
    ]
    zone = ZoneInfo("Europe/Lisbon")

    assert by_column(read(cells, zone, formats)) == by_cell(
        cells, zone, formats
    )


def test_a_slice_of_a_column_reads_as_the_rows_that_it_has() -> None:
    stamps = [
        "2024-01-02 03:04:05",
        "2025-06-07 08:09:10",
        "",
        "2026-11-12 13:14:15",
    ]

    values = read_timestamps(
        pa.array(stamps)[1:], PLAIN, ZoneInfo("UTC"), refusals()
    )

    instants = pa.array(values.values, mask=values.nulls).cast(
        pa.timestamp("us")
    )
    assert pc.strftime(instants, "%Y-%m-%d %H:%M").to_pylist() == [
        s[:16] or None for s in stamps[1:]
    ]


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        pytest.param(
            "2024-11-03 01:30", "2024-11-03T06:30:00", id="first_of_two"
        ),
        pytest.param(
            "2024-03-10 02:30",
            "2024-03-10T08:30:00",
            id="skipped_moves_forward",
        ),
        pytest.param("2024-07-01", "2024-07-01T05:00:00", id="summer"),
    ],
)
def test_the_clock_of_chicago(local: str, utc: str) -> None:
    column = read([local], ZoneInfo("America/Chicago"))

    assert by_column(column) == by_cell([f"{utc}Z"], ZoneInfo("UTC"))


class CountedFormats(tuple[str, ...]):
    """Formats that count how often they are gone through: the scalar rule does so for each text."""

    times_read = 0

    def __iter__(self) -> Iterator[str]:
        self.times_read += 1
        return super().__iter__()


FOR_THE_COLUMN = 1  # when its patterns are made


def parser_with(formats: CountedFormats) -> ParserConfig:
    return PLAIN.model_copy(update={"timestamp_formats": formats})


def test_what_is_no_timestamp_is_refused_without_a_scalar_rule() -> None:
    cells = pa.array(
        [
            "yesterday",
            "2024-02-30",
            "2024-01-01 24:00",
            "1899-12-31",
            "2024-1-1",
        ]
    )
    formats = CountedFormats()
    values = read_timestamps(
        cells, parser_with(formats), ZoneInfo("UTC"), refusals()
    )

    assert by_column(values) == ["invalid_timestamp"] * 5
    assert formats.times_read == FOR_THE_COLUMN


# --- how much work it is ------------------------------------------------------------------------


class CountedZone(ZoneInfo):
    """Chicago, or another zone, that counts how often it is asked."""

    asked = 0

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        CountedZone.asked += 1
        return super().utcoffset(moment)


def test_a_zone_is_asked_about_a_day_once_however_many_batches_have_it() -> (
    None
):
    zone = CountedZone("America/Chicago")
    days = [
        f"{2000 + number // 28}-07-{number % 28 + 1:02} 12:00"
        for number in range(200)
    ]
    read(days, zone)
    questions = CountedZone.asked

    read(days[::-1], zone)

    assert 0 < questions <= 25 * len(days)
    assert CountedZone.asked == questions


def test_texts_in_the_vendors_formats_are_read_without_a_scalar_rule() -> None:
    formats = CountedFormats(("%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M %p"))
    cells = pa.array(
        ["31.12.2024 23:59:58", "12/31/2024 11:59 PM", "2024-12-31 23:59", ""]
    )

    values = read_timestamps(
        cells, parser_with(formats), ZoneInfo("UTC"), refusals()
    )

    iso = ["2024-12-31 23:59:58", "2024-12-31 23:59", "2024-12-31 23:59"]
    assert by_column(values) == [*by_cell(iso, ZoneInfo("UTC")), 0]
    assert formats.times_read == FOR_THE_COLUMN


def test_the_scalar_rule_reads_a_text_of_any_other_format_once() -> None:
    formats = CountedFormats(("%Y, day %j",))
    cells = pa.array(["2024, day 33", "2024, day 34"] * 50)

    column = read_timestamps(
        cells, parser_with(formats), ZoneInfo("UTC"), refusals()
    )

    assert by_column(column) == by_cell(
        ["2024-02-02", "2024-02-03"] * 50, ZoneInfo("UTC")
    )
    assert formats.times_read == FOR_THE_COLUMN + 2


def test_a_format_is_taken_apart_once_however_many_batches_are_read_with_it() -> (
    None
):
    formats = ("%Y_%m_%d",)
    read(["2024_01_02"], ZoneInfo("UTC"), formats)
    before = timestamps._pattern_of.cache_info()

    read(["2024_01_03"], ZoneInfo("UTC"), formats)

    after = timestamps._pattern_of.cache_info()
    assert (after.misses, after.hits) == (before.misses, before.hits + 1)
