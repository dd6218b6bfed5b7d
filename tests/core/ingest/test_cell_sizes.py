"""How large a cell may be: one byte under and one over, wherever it stands, and what is told."""

from __future__ import annotations

import re

import pytest

from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest.csv_reader import parse_feed
from support.config_documents import parser_of

LIMITS = Limits(cell_bytes=100)
BLOCK = 6 << 20
HEADER = b"sku,quantity_available,note\n"


def read(feed: bytes, limits: Limits = LIMITS, **options: object) -> int:
    """Read a feed to its end; return how many records it has."""
    parsed = parse_feed(feed, parser_of(**options), limits)
    return sum(len(batch.row_numbers) for batch in parsed.batches)


def refused(feed: bytes, limits: Limits = LIMITS, **options: object) -> str:
    with pytest.raises(FeedUnreadableError) as caught:
        read(feed, limits, **options)
    assert caught.value.error_code == "invalid_input"
    return str(caught.value)


def place(message: str) -> str:
    return message.partition(": ")[0]


@pytest.mark.parametrize(
    ("cell", "byte"),
    [
        pytest.param(b"x" * 100, b"x", id="plain"),
        pytest.param(b" " * 50 + b"x" * 50, b" ", id="spaces around it"),
        pytest.param(b'"%b"' % (b"x" * 100), b"x", id="quoted"),
        pytest.param(b'"%b"' % (b'""' * 100), b"x", id="quotes written twice"),
        pytest.param(b'"%b"' % (b"\n," * 50), b"x", id="lines in quotes"),
        pytest.param(
            b'"%b"%b' % (b"x" * 50, b"y" * 50), b"y", id="text after the quote"
        ),
        pytest.param(f"x{'é' * 49}x".encode(), b"x", id="of two bytes"),
    ],
)
@pytest.mark.parametrize(
    "before", [b"", b"b,2,n\n" * 3], ids=["first", "later"]
)
def test_a_cell_has_at_most_so_many_bytes_without_its_quotes(
    cell: bytes, byte: bytes, before: bytes
) -> None:
    records = before.count(b"\n") + 1
    assert read(HEADER + before + b"a,1," + cell) == records
    larger = cell[:1] + byte + cell[1:]
    message = refused(HEADER + before + b"a,1," + larger + b"\nc,3,n\n")
    assert place(message) == f'record {records + 1}, column 3 ("note")'
    assert "more than 100 bytes" in message


@pytest.mark.parametrize(
    ("record", "column"),
    [
        pytest.param(b"%b,1", '1 ("sku")', id="of fewer fields"),
        pytest.param(b"a,1,n,more,%b", "5", id="of more fields"),
        pytest.param(
            b"a" + b"," * 2_000 + b"%b", "2001", id="of far more fields"
        ),
    ],
)
def test_a_cell_of_a_record_that_does_not_fit_is_judged_before_its_width(
    record: bytes, column: str
) -> None:
    feed = HEADER + b"b,2,n\n" * 5 + record + b"\nb,2,n\n"
    assert read(feed % (b"x" * 100)) == 7
    assert place(refused(feed % (b"x" * 101))) == f"record 7, column {column}"


@pytest.mark.parametrize(
    "before", [b"", b"\n", b" , \n"], ids=["first", "empty", "blank"]
)
@pytest.mark.parametrize("quote", [b"", b'"'])
def test_a_header_is_a_cell_of_record_1(before: bytes, quote: bytes) -> None:
    feed = before + b"sku," + quote + b"%b" + quote + b"\na,1\n"
    assert read(feed % (b"h" * 100)) == 1
    assert place(refused(feed % (b"h" * 101))).startswith("record 1, column 2")


def test_the_first_of_several_large_cells_is_told() -> None:
    feed = b"a,1,n\na,1,%b\n%b,1,n\n" % (b"x" * 101, b"y" * 101)
    assert place(refused(HEADER + feed)) == 'record 3, column 3 ("note")'


def test_a_feed_without_a_header_counts_from_its_first_record() -> None:
    message = refused(
        b"a,1\n%b,1\n" % (b"x" * 101), columns=["sku", "quantity_available"]
    )
    assert place(message) == 'record 2, column 1 ("sku")'


def test_a_cell_is_measured_with_the_delimiter_that_stands_in_it() -> None:
    feed = 'sku¦quantity_available\na¦1\n"{}"¦2\n'
    assert read(feed.format("¦" * 50).encode(), delimiter="¦") == 2
    assert "record 3, column 1" in refused(
        feed.format("¦" * 50 + "x").encode(), delimiter="¦"
    )


def test_a_cell_is_measured_as_utf_8_whatever_the_feeds_encoding() -> None:
    feed = "sku,quantity_available\n{},1\n"
    assert (
        read(feed.format("é" * 50).encode("latin-1"), encoding="latin-1") == 1
    )
    assert "record 2" in refused(
        feed.format("é" * 51).encode("latin-1"), encoding="latin-1"
    )


@pytest.mark.parametrize("quote", [b"", b'"'], ids=["plain", "quoted"])
def test_a_cell_larger_than_a_block_is_told_with_its_record(
    quote: bytes,
) -> None:
    small = b"a,1,n\n" * 1_500_000 + b"\n\na,1\na,1,n,more\n ,, \n"
    large = b"a,1," + quote + b"x" * (2 * BLOCK) + quote + b"\n"
    message = refused(HEADER + small + large + b"a,1,n\n", Limits())
    assert place(message) == 'record 1500005, column 3 ("note")'
    assert "more than 1048576 bytes" in message


@pytest.mark.parametrize("after", [0, 3 * BLOCK])
def test_a_quote_that_is_left_open_for_longer_than_a_cell_may_be_is_a_large_cell(
    after: int,
) -> None:
    feed = HEADER + b"a,1,n\n" * 3 + b'a,"1,'
    message = refused(feed + b"\n" * 101 + b"a,1,n\n" * (after // 6))
    assert place(message) == 'record 5, column 2 ("quantity_available")'
    assert 'Close the quote that opens in line 5, or double it ("")' in message


def test_a_quote_in_the_header_that_is_left_open_for_longer_is_a_large_cell_too() -> (
    None
):
    assert place(refused(b'sku,"qty' + b"\na,1" * 100)) == "record 1, column 2"


def test_a_quote_that_is_never_closed_is_none_where_the_feed_ends_before() -> (
    None
):
    feed = HEADER + b'a,1,"' + b'""' * 100
    with pytest.raises(
        FeedUnreadableError, match=re.escape("opens in line 2 is never")
    ) as caught:
        read(feed)
    assert caught.value.error_code == "DECODE_ERROR"
    assert "record 2" in refused(feed + b"x")


def test_a_record_of_many_cells_within_the_limit_is_read_whatever_its_size() -> (
    None
):
    cells = b",".join([b"x" * (1 << 20)] * 14)
    header = b"sku,quantity_available," + b",".join(
        b"h%d" % place for place in range(12)
    )
    assert read(header + b"\n" + cells + b"\n" + cells, Limits()) == 2
