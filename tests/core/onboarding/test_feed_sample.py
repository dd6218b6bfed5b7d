"""A head is cut where a record ends, and what is left of it the engine reads as it reads feeds."""

from __future__ import annotations

from typing import Any

import pytest

from relay_core.domain.errors import FeedUnreadableError
from relay_core.ingest.csv_reader import parse_feed
from relay_core.ingest.feed import TextBatch
from relay_core.onboarding.feed_sample import FeedSample, whole_records
from support.builders import feed
from support.config_documents import parser_of


def rows_of(
    data: bytes, *, is_whole: bool = True, most: int = 200, **options: Any
) -> list[tuple[int, list[str]]]:
    """Return the numbered records that the engine reads of a head."""
    head, parser = whole_records(
        FeedSample(data, is_whole), parser_of(**options), most
    )
    return [
        (number, list(cells))
        for batch in parse_feed(head, parser).batches
        if isinstance(batch, TextBatch)
        for number, *cells in zip(
            batch.row_numbers.tolist(),
            *(c.to_pylist() for c in batch.columns),
            strict=True,
        )
    ]


@pytest.mark.parametrize("delimiter", ["\u00a6", "\x1f", "\u20ac"])
def test_a_wide_delimiter_splits_and_stays_in_quotes(delimiter: str) -> None:
    text = f'sku{delimiter}title\n1{delimiter}"a{delimiter}b"\n'

    assert rows_of(text.encode(), delimiter=delimiter) == [
        (2, ["1", f"a{delimiter}b"])
    ]


def test_a_record_that_is_cut_is_left_out() -> None:
    data = feed("A-1,5,10.00", "A-2,6,12.00")

    assert [number for number, _ in rows_of(data[:-4], is_whole=False)] == [2]
    assert [number for number, _ in rows_of(data[:-4], is_whole=True)] == [2, 3]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32", "shift_jis"])
def test_a_head_may_end_inside_a_character(encoding: str) -> None:
    data = feed("A-1,5,1", "A-2,6,\u65e5\u672c", encoding=encoding)

    for end in range(len(data) - 7, len(data)):
        rows = rows_of(data[:end], is_whole=False, encoding=encoding)
        assert rows[0] == (2, ["A-1", "5", "1"])


def test_a_whole_feed_that_ends_inside_a_character_is_unreadable() -> None:
    with pytest.raises(FeedUnreadableError):
        rows_of("sku\n\u00e9".encode()[:-1])


def test_a_quote_that_the_head_does_not_close_ends_the_rows() -> None:
    data = b'sku,title\nA,x\nB,"' + b"y" * 99

    assert rows_of(data, is_whole=False) == [(2, ["A", "x"])]
    with pytest.raises(FeedUnreadableError, match="opens in line 3 "):
        rows_of(data)


@pytest.mark.parametrize("start", [b"", b"\n\n"])
def test_a_header_that_the_head_does_not_close_is_unreadable(
    start: bytes,
) -> None:
    with pytest.raises(FeedUnreadableError, match="never closed"):
        rows_of(start + b'"sku,title\nA,x\n', is_whole=False)


def test_lines_before_the_header_are_counted_and_kept() -> None:
    data = b'one "\ntwo\nsku,title\nA,x\nB,"y'

    assert rows_of(data, is_whole=False, skip_lines=2) == [(2, ["A", "x"])]
    with pytest.raises(FeedUnreadableError, match="opens in line 5 "):
        rows_of(data, skip_lines=2)


def test_only_as_many_records_are_read_as_asked_for() -> None:
    assert len(rows_of(feed(*["A-1,5,1"] * 9), most=5)) == 4
