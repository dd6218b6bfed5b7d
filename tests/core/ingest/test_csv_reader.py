"""Records larger than a block, records across blocks, and numbers that stay right."""

from __future__ import annotations

import csv
import io
import threading
from unittest import mock

import numpy as np
import pyarrow.csv as pa_csv
import pytest

from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest.csv_reader import parse_feed
from relay_core.ingest.csv_records import RecordScanner
from relay_core.ingest.csv_stream import UnusualRecords
from relay_core.ingest.feed import MalformedRecords, ParsedFeed, TextBatch
from support.builders import tenant_config, vendor_document
from support.reading import gathered

PARSER = tenant_config(vendor_document()).vendors[0].parser
BLOCK = 4 << 20


def test_a_record_larger_than_a_block_is_read_once_and_numbered_right() -> None:
    small = b"a,1\n" * 1000
    feed = (
        b"sku,quantity_available\n"
        + small
        + b'"'
        + b"x" * (2 * BLOCK)
        + b'",2\n'
        + small
    )

    batches = list(
        parse_feed(feed, PARSER, Limits(cell_bytes=2 * BLOCK)).batches
    )

    numbers = np.concatenate([batch.row_numbers for batch in batches])
    assert numbers.tolist() == list(range(2, 2003))
    quantities = [
        cell for batch in batches for cell in batch.columns[1].to_pylist()
    ]
    assert quantities == ["1"] * 1000 + ["2"] + ["1"] * 1000


def numbers_of(
    batches: list[TextBatch | MalformedRecords], kind: type
) -> list[int]:
    return [
        n
        for b in batches
        if isinstance(b, kind)
        for n in b.row_numbers.tolist()
    ]


def test_malformed_records_keep_their_numbers_across_blocks() -> None:
    lines = [b"x" * 1000 + b",1\n"] * 9000
    for place in range(0, 9000, 1500):
        lines[place] = b"short\n"

    batches = list(
        parse_feed(
            b"sku,quantity_available\n" + b"".join(lines), PARSER
        ).batches
    )

    malformed = [place + 2 for place in range(0, 9000, 1500)]
    assert numbers_of(batches, MalformedRecords) == malformed
    assert numbers_of(batches, TextBatch) == sorted(
        {*range(2, 9002)} - {*malformed}
    )


@pytest.mark.parametrize("usual", [1, 2, 3])
def test_records_are_the_same_whichever_width_most_of_them_have(
    usual: int,
) -> None:
    records = [
        (b"a,b", b"c", b"d,e,f", b'"g,g",h', b" , ,", b"", b'i,"j\nj"')[n % 7]
        for n in range(700)
    ]
    padding = [b",".join([b"p"] * usual)] * 2000
    feed = b"sku,quantity_available\n" + b"\n".join([*padding, *records])

    batches = list(parse_feed(feed, PARSER).batches)

    fitting = {
        number: cells
        for batch in batches
        if isinstance(batch, TextBatch)
        for number, *cells in zip(
            batch.row_numbers.tolist(),
            *(c.to_pylist() for c in batch.columns),
            strict=True,
        )
        if cells[0] != "p"
    }
    malformed = {
        number: (width, raw)
        for batch in batches
        if isinstance(batch, MalformedRecords) and batch.widths is not None
        for number, width, raw in zip(
            batch.row_numbers.tolist(),
            batch.widths.tolist(),
            batch.raw.to_pylist(),
            strict=True,
        )
        if not raw.startswith("p")
    }
    # An empty line takes no number.
    kinds = [n % 7 for n in range(700) if n % 7 != 5]
    numbered = dict(enumerate(kinds, 2002))
    assert fitting == {
        n: [["a", "b"], ["g,g", "h"], ["i", "j\nj"]][(0, 3, 6).index(kind)]
        for n, kind in numbered.items()
        if kind in (0, 3, 6)
    }
    assert malformed == {
        n: [(1, "c"), (3, "d,e,f")][(1, 2).index(kind)]
        for n, kind in numbered.items()
        if kind in (1, 2)
    }


def test_a_comma_at_the_end_of_every_line_is_read_by_columns_and_not_line_by_line() -> (
    None
):
    feed = b"sku,quantity_available\n" + b"a,1,\n" * 20_000

    with mock.patch.object(UnusualRecords, "add") as handed_over:
        (malformed,) = parse_feed(feed, PARSER).batches

    assert isinstance(malformed, MalformedRecords)
    assert malformed.widths is not None
    assert ({*malformed.widths.tolist()}, len(malformed.row_numbers)) == (
        {3},
        20_000,
    )
    assert malformed.raw[-1].as_py() == "a,1,"
    assert not handed_over.called


def test_records_of_many_widths_are_handed_over_on_the_readers_own_thread() -> (
    None
):
    feed = b"sku,quantity_available\n" + b"".join(
        b"a,1" + b"," * (n % 4) + b"\n" for n in range(20_000)
    )
    threads: list[bool] = []

    def keep(
        unusual: UnusualRecords,
        row: pa_csv.InvalidRow,
        usual=UnusualRecords.add,
    ) -> str:
        threads.append(threading.current_thread() is threading.main_thread())
        return usual(unusual, row)

    with mock.patch.object(UnusualRecords, "add", keep):
        batches = list(parse_feed(feed, PARSER).batches)

    assert len(threads) == len(numbers_of(batches, MalformedRecords)) == 15_000
    assert sum(threads) > 14_000


def test_records_of_widths_that_few_have_come_together_in_their_order() -> None:
    records = [
        ",".join([f"r{n}", *["x"] * (n % 90 + 2)])
        if n % 3
        else f'"r,{n}",,' + "," * (n % 70)
        for n in range(1, 600)
    ]
    records[9:11] = ["only", ",,,,,"]  # one cell; blank
    batches = list(
        parse_feed("\n".join(["a,b", *records, ""]).encode(), PARSER).batches
    )

    malformed = [
        batch for batch in batches if isinstance(batch, MalformedRecords)
    ]
    assert len(malformed) < 5
    malformed_records = gathered(
        ParsedFeed(("a", "b"), iter(malformed))
    ).malformed
    assert sorted(malformed_records) == [n for n in range(2, 601) if n != 12]
    expected = [*csv.reader(io.StringIO("\n".join(records)))]
    for number, (width, raw, cells) in malformed_records.items():
        record = expected[number - 2]
        assert (width, raw, cells) == (
            len(record),
            records[number - 2],
            record[:50],
        )


def test_wide_records_are_sampled_no_longer_than_narrow_ones() -> None:
    feed = (
        b"sku,quantity_available"
        + (b"," * 5_000 + b"\n")
        + (b"a,1" + b"," * 5_000 + b"\n") * 60
    )
    scanned = mock.patch.object(
        RecordScanner, "record", autospec=True, side_effect=RecordScanner.record
    )

    with scanned as counted:
        list(parse_feed(feed, PARSER).batches)

    assert counted.call_count <= 4


def test_records_far_wider_than_the_header_are_malformed_like_others() -> None:
    wide = b",".join([b"x"] * 5_000)
    quoted = b",".join([b'"y"'] * 4_999 + [b'"z,"'])
    blank = b"," * 4_999
    rows = b"\n".join([b"a,1", wide, quoted, blank, b"b,2"])

    batches = list(
        parse_feed(b"sku,quantity_available\n" + rows, PARSER).batches
    )

    (malformed,) = (
        batch for batch in batches if isinstance(batch, MalformedRecords)
    )
    assert malformed.widths is not None
    assert (malformed.widths.tolist(), malformed.row_numbers.tolist()) == (
        [5_000, 5_000],
        [3, 4],
    )
    assert malformed.raw.to_pylist() == [wide.decode(), "y," * 4_999 + '"z,"']
    assert [len(column) for column in malformed.cells] == [2] * 50
    assert numbers_of(batches, TextBatch) == [2, 6]


@pytest.mark.parametrize(
    ("rows", "records"),
    [
        pytest.param(b"," * 1_000_000, 0, id="a record of a million fields"),
        pytest.param(b"x," * 1_000_000 + b"\na,1", 2, id="and one that fits"),
        pytest.param(
            (b"a,1" + b"," * 2_000 + b"\n") * 100,
            100,
            id="records of thousands",
        ),
        pytest.param(b"\n" * 1_000_000 + b"a,1", 1, id="a million empty lines"),
    ],
)
def test_millions_of_fields_and_of_empty_lines_are_not_read_one_by_one(
    rows: bytes, records: int
) -> None:
    counted = mock.patch.object(
        RecordScanner, "_field", autospec=True, side_effect=RecordScanner._field
    )
    opened = mock.patch.object(pa_csv, "open_csv", side_effect=pa_csv.open_csv)

    with counted as fields, opened as readers:
        batches = list(
            parse_feed(b"sku,quantity_available\n" + rows, PARSER).batches
        )

    assert sum(len(batch.row_numbers) for batch in batches) == records
    assert fields.call_count <= 4
    assert {
        len(call.args[1].column_names) for call in readers.call_args_list
    } == {2}


@pytest.mark.parametrize(("width", "refused"), [(1_000, False), (1_001, True)])
def test_a_header_has_at_most_a_thousand_columns_those_without_a_name_not_counted(
    width: int, refused: bool
) -> None:
    names = b",".join(b"h%d" % number for number in range(width)) + b"," * 300
    feed = names + b"\n" + b",".join([b"1"] * (width + 300)) + b"\n"

    if refused:
        with pytest.raises(
            FeedUnreadableError, match="the header has 1,001 columns"
        ) as caught:
            parse_feed(feed, PARSER)
        assert caught.value.error_code == "invalid_input"
    else:
        (batch,) = parse_feed(feed, PARSER).batches
        assert len(batch.columns) == width + 300


def test_no_record_of_a_feed_passes_for_the_end_of_it() -> None:
    mark = b"\x1arelay:end-of-feed\x1a,"
    feed = b"sku,quantity_available\na,1\n" + mark + b'\n"open,1\n'

    with pytest.raises(FeedUnreadableError, match="opens in line 4 "):
        list(parse_feed(feed, PARSER).batches)


def test_a_quote_that_is_never_closed_is_found_behind_many_blocks() -> None:
    feed = (
        b"sku,quantity_available\n"
        + b"a,1\n" * 10
        + b'"open,1\n'
        + b"a,1\n" * (3 * BLOCK // 4)
    )
    parsed = parse_feed(feed, PARSER, Limits(cell_bytes=len(feed)))

    with pytest.raises(
        FeedUnreadableError, match="opens in line 12 "
    ) as caught:
        list(parsed.batches)
    assert caught.value.error_code == "DECODE_ERROR"


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        pytest.param(
            b"a,1\nb,2\nc\nd,4\n", [2, 3, 4, 5], id="each line is a record"
        ),
        pytest.param(b"a,1\nb,2", [2, 3], id="no line end at the end"),
        pytest.param(b"a,1\n\nb,2\n", [2, 4], id="an empty line"),
        pytest.param(b'a,"1\n\n"\nb,2\n', [2, 5], id="line ends in quotes"),
        pytest.param(b"a,1\r\nb,2\r\n", [2, 3], id="two bytes end a line"),
        pytest.param(
            b'"a\n",1\rb,2\n', [2, 4], id="as many line feeds as records"
        ),
    ],
)
def test_records_are_found_in_their_lines(
    body: bytes, lines: list[int]
) -> None:
    parsed = parse_feed(b"sku,quantity_available\n" + body, PARSER)
    assert parsed.locator is not None
    numbers = sorted(
        int(n) for batch in parsed.batches for n in batch.row_numbers
    )
    assert parsed.locator.find(numbers) == lines


def test_a_quote_left_open_is_told_though_records_of_other_widths_are_read_before_the_end() -> (
    None
):
    good = "A1,5\n"
    wide = "a,b,c,d,e" + "z" * 200 + "\n"
    text = "sku,cost\n" + good * 300 + (wide * 1000 + good) * 55 + 'x,y,"open'
    with pytest.raises(
        FeedUnreadableError, match="opens in line 55357 is never closed"
    ) as refused:
        gathered(parse_feed(text.encode(), PARSER))
    assert refused.value.error_code == "DECODE_ERROR"
