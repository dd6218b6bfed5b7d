"""The first records of a feed, read in plain Python, are those that the engine reads."""

from __future__ import annotations

from typing import Any

import pytest

from builders import feed, tenant_config, vendor_document
from config_documents import ROOT
from relay_core.config import ParserConfig
from relay_core.domain.errors import FeedUnreadableError
from relay_core.ingest.csv_reader import parse_feed
from relay_core.onboarding.head import FeedBytes, FeedHead, read_head

FEEDS = sorted((ROOT / "tests" / "feeds").glob("*.?sv"))
OPTIONS: dict[str, dict[str, Any]] = {
    "utf16_tabs.tsv": {"encoding": "utf-16", "delimiter": "\t"},
    "cp1252.csv": {"encoding": "cp1252"},
    "decimal_comma.csv": {"delimiter": ";"},
    "preamble.csv": {"skip_lines": 2},
    "no_header.csv": {"columns": ["a", "b", "c"]},
}


def parser_of(**options: Any) -> ParserConfig:
    return tenant_config(vendor_document(parser=options)).vendors[0].parser


def head_of(data: bytes, *, is_whole: bool = True, rows: int = 200, **options: Any) -> FeedHead:
    return read_head(FeedBytes(data, is_whole), parser_of(**options), most_rows=rows)


def by_the_engine(data: bytes, parser: ParserConfig) -> Any:
    """Return the headers and the numbered records that are not blank, or the code of a refusal."""
    rows = []
    try:
        parsed = parse_feed(data, parser)
        for batch in parsed.batches:
            columns = [column.to_pylist() for column in batch.columns]
            rows += list(zip(batch.row_numbers.tolist(), zip(*columns, strict=True), strict=True))
    except FeedUnreadableError as error:
        return error.error_code
    rows += [(each.row_number, each.cells) for each in parsed.ragged]
    return parsed.headers, sorted(row for row in rows if any(cell.strip() for cell in row[1]))


def by_a_look(data: bytes, parser: ParserConfig) -> Any:
    try:
        head = read_head(FeedBytes(data, is_whole=True), parser, most_rows=10_000)
    except FeedUnreadableError as error:
        return error.error_code
    return head.headers, list(head.rows)


@pytest.mark.parametrize("path", FEEDS, ids=lambda path: path.name)
def test_a_head_has_the_records_and_numbers_of_the_engine(path: Any) -> None:
    data = path.read_bytes()
    parser = parser_of(**OPTIONS.get(path.name, {}))
    assert by_a_look(data, parser) == by_the_engine(data, parser)


@pytest.mark.parametrize("delimiter", ["¦", "\x1f", "€"])
def test_a_wide_delimiter_splits_and_stays_in_quotes(delimiter: str) -> None:
    text = f'sku{delimiter}title\n1{delimiter}"a{delimiter}b"\n'
    head = head_of(text.encode(), delimiter=delimiter)
    assert head.rows == [(2, ("1", f"a{delimiter}b"))]


def test_a_record_that_is_cut_is_left_out() -> None:
    data = feed("A-1,5,10.00", "A-2,6,12.00")
    assert [number for number, _ in head_of(data[:-4], is_whole=False).rows] == [2]
    assert [number for number, _ in head_of(data[:-4], is_whole=True).rows] == [2, 3]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32", "shift_jis"])
def test_a_head_may_end_inside_a_character(encoding: str) -> None:
    data = feed("A-1,5,1", "A-2,6,日本", encoding=encoding)
    for end in range(len(data) - 7, len(data)):
        head = head_of(data[:end], is_whole=False, encoding=encoding)
        assert head.rows[0] == (2, ("A-1", "5", "1"))


def test_a_whole_feed_that_ends_inside_a_character_is_unreadable() -> None:
    with pytest.raises(FeedUnreadableError):
        head_of("sku\né".encode()[:-1])


def test_a_quote_that_the_head_does_not_close_ends_the_rows() -> None:
    data = b'sku,title\nA,x\nB,"' + b"y" * 99
    assert head_of(data, is_whole=False).rows == [(2, ("A", "x"))]
    with pytest.raises(FeedUnreadableError, match="opens in line 3 "):
        head_of(data)


@pytest.mark.parametrize("start", [b"", b"\n\n"])
def test_a_header_that_the_head_does_not_close_is_unreadable(start: bytes) -> None:
    with pytest.raises(FeedUnreadableError, match="never closed"):
        head_of(start + b'"sku,title\nA,x\n', is_whole=False)


def test_only_as_many_rows_are_read_as_asked_for() -> None:
    assert len(head_of(feed(*["A-1,5,1"] * 9), rows=4).rows) == 4
