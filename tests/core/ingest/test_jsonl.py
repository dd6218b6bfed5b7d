"""JSON Lines: what is a record, what its cells are, and that all ways to read one agree."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core.config import ParserConfig
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.ingest.feed import ParsedFeed, TextBatch
from relay_core.ingest.jsonl import read_json_lines, read_object
from support.reading import ReadFeed, gathered, read

PARSER = ParserConfig(format="jsonl")
GOOD = '{"sku": "A", "qty": 1}'


def lines(*texts: str, end: str = "\n") -> bytes:
    return "".join(f"{text}{end}" for text in texts).encode()


def test_cells_are_as_they_are_written() -> None:
    assert read(
        lines(
            '{"sku":"00123","cost":12.50,"list":1e3,"ok":true,"no":false,"none":null}',
            '{"cost":"12.50","list":-0.0,"more":" x ","sku":"caf\\u00e9 \\"5\\" \\ud83d\\ude00"}',
            '{"list":123456789012345678901234567890.10}',
            '{"list":-0,"cost":1E400,"sku":12345678901234567890}',
        ),
        "jsonl",
    ) == ReadFeed(
        ("sku", "cost", "list", "ok", "no", "none", "more"),
        {
            1: ["00123", "12.50", "1e3", "true", "false", "", ""],
            2: ['café "5" 😀', "12.50", "-0.0", "", "", "", " x "],
            3: ["", "", "123456789012345678901234567890.10", "", "", "", ""],
            4: ["12345678901234567890", "1E400", "-0", "", "", "", ""],
        },
        {1: ".nn....", 2: "..n....", 3: "..n....", 4: "nnn...."},
    )


def test_bytes_that_are_no_utf_8_are_a_decode_error() -> None:
    with pytest.raises(FeedUnreadableError, match="byte offset 9") as caught:
        read(b'{"sku":"a\xff"}', "jsonl")
    assert caught.value.error_code == "DECODE_ERROR"


def test_a_mark_of_byte_order_within_a_feed_is_no_white_space() -> None:
    feed = read(lines(GOOD, "\ufeff" + GOOD), "jsonl")
    assert (list(feed.rows), list(feed.malformed)) == ([1], [2])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_in_csv_and_blank_ones_take_no_number(end: str) -> None:
    feed = read(
        lines("", '{"sku":"a\u0085\u2028b"}', " \t ", "\u2028", GOOD, end=end),
        "jsonl",
    )
    assert feed.rows == {1: ["a\u0085\u2028b", ""], 2: ["A", "1"]}


def test_the_last_line_needs_no_end_and_a_byte_order_mark_is_dropped() -> None:
    assert read(b"\xef\xbb\xbf" + GOOD.encode(), "jsonl").rows == {
        1: ["A", "1"]
    }


def test_another_encoding_is_read() -> None:
    data = '{"sku":"Ä"}'.encode("utf-16")
    assert read(data, "jsonl", encoding="utf-16").rows == {1: ["Ä"]}


@pytest.mark.parametrize(
    "line",
    [
        "[1]",
        "1",
        '"text"',
        "null",
        "oops",
        '{"sku":NaN}',
        '{"sku":Infinity}',
        '{"sku":-Infinity}',
        '{"sku":"\\ud800"}',
        '{"x":["\\udc00"]}',
        '{"\\ud800":1}',
        '{"sku":1,"sku":2}',
        '{"x":[{"a":1,"a":2}]}',
        '{"sku":1,"\\u0073ku":2}',
        '{"":1,"":2}',
        '{"x":"\\ud83d\\ud83d\\ude00"}',
        '{"a":1}{"b":2}',
        '{"a":1} 2',
        '{"sku":007}',
        '{"sku":+1}',
        '{"sku":.5}',
        '{"sku":1.}',
        '{"sku":0x1}',
        "{'sku':1}",
        '{"sku":1,}',
        '{"sku":"tab\there"}',
        '{"sku":"\\x"}',
        '{"sku":True}',
        '{"sku":"open}',
        '{"x":' + "[" * 100 + "]" * 100 + "}",
        '{"x":' + "[" * 100_000,
    ],
)
def test_what_is_no_json_object_is_an_invalid_record(line: str) -> None:
    feed = read(lines(GOOD, line, GOOD), "jsonl")
    assert feed.headers == ("sku", "qty")
    assert feed.rows == {1: ["A", "1"], 3: ["A", "1"]}
    raw = (
        f'"{line.replace(chr(34), chr(34) * 2)}"'
        if set('",') & set(line)
        else line
    )
    assert feed.malformed == {2: (None, raw, [line])}


def test_a_hundred_levels_are_an_object() -> None:
    nested = '{"x":' + "[" * 99 + "]" * 99 + ', "sku": "]]]["}'
    assert read(lines(nested), "jsonl").rows == {1: ["", "]]]["]}


def test_a_list_is_an_empty_cell_unless_a_column_is_read_from_it() -> None:
    feed = read(
        lines('{"sku":"A","tags":[1,2]}', '{"sku":{"a":1}}', '{"sku":["A"]}'),
        "jsonl",
    )
    assert feed.rows == {1: ["A", ""]}
    assert [record[0] for record in feed.malformed.values()] == [None, None]
    feed = read(
        lines('{"sku":"A","tags":[1,2]}'), "jsonl", column_map={"title": "tags"}
    )
    assert list(feed.malformed) == [1]


def test_keys_stand_in_order_of_appearance_wherever_that_is() -> None:
    records = ['{"a":1,"b":2}'] * 5000
    late = [
        *records,
        '{"a":1,"z":3}',
        "oops",
        *records,
        '{"c":1,"b":"\\u0041"}',
    ]
    feed = read(lines('{"b":007,"first":1}', '{"b":1}', *late), "jsonl")
    assert feed.headers == ("b", "a", "z", "c")
    assert feed.rows[5003] == ["", "1", "3", ""]
    assert feed.rows[10_005] == ["A", "", "", "1"]
    assert list(feed.malformed) == [1, 5004]


def test_a_feed_of_many_blocks_is_read_whole() -> None:
    texts = [
        f'{{"sku":"A-{n}",{" " * (n % 2)}"qty":{n % 7 or "null"},"title":"{"x" * 40} \\" {n}"}}'
        for n in range(200_000)
    ]
    texts[70_000] = "oops"
    texts[150_000] = '{"late":[1]}'
    feed = read(lines(*texts), "jsonl")
    assert feed.headers == ("sku", "qty", "title", "late")
    assert feed.malformed == {70_001: (None, "oops", ["oops"])}
    assert len(feed.rows) == 199_999
    for number in (1, 2, 70_000, 70_002, 100_000, 150_001, 200_000):
        n = number - 1
        cells = [f"A-{n}", str(n % 7 or ""), f'{"x" * 40} " {n}', ""]
        assert feed.rows[number] == (
            ["", "", "", ""] if n == 150_000 else cells
        )
        assert feed.numbers[number] == (
            "...." if n == 150_000 or n % 7 == 0 else ".n.."
        )


def test_few_of_many_keys_in_each_line_are_few_cells_at_once() -> None:
    lines = [f'{{"sku":"A{n}","k{n % 900}":{n},"t":[]}}' for n in range(9_000)]
    parsed = read_json_lines("\n".join(lines).encode(), PARSER, DEFAULT_LIMITS)
    batches = [
        batch for batch in parsed.batches if isinstance(batch, TextBatch)
    ]
    assert (
        max(len(batch.columns) * len(batch.row_numbers) for batch in batches)
        <= 4 << 20
    )
    feed = gathered(ParsedFeed(parsed.headers, iter(batches)))
    assert list(feed.rows) == list(range(1, 9_001))
    for number in (1, 901, 4_662, 9_000):
        row = dict(zip(parsed.headers or (), feed.rows[number], strict=True))
        held = {
            "sku": f"A{number - 1}",
            f"k{(number - 1) % 900}": str(number - 1),
        }
        assert {key: cell for key, cell in row.items() if cell} == held
        assert feed.numbers[number].count("n") == 1


def test_a_key_that_begins_with_a_colon_is_found_behind_one_like_it() -> None:
    feed = read(
        lines('{"a":"x"}', '{"a":"x",":k":1}', '{"a":"x",":z":": q"}'), "jsonl"
    )
    assert feed.headers == ("a", ":k", ":z")
    assert feed.rows[3] == ["x", "", ": q"]


def test_an_empty_object_keeps_its_number() -> None:
    assert read(lines("{}", GOOD), "jsonl").rows == {1: ["", ""], 2: ["A", "1"]}
    assert read(lines("{}"), "jsonl").headers == ()


def test_lines_without_an_object_are_refused_and_none_is_an_empty_feed() -> (
    None
):
    with pytest.raises(
        FeedUnreadableError, match="no line is a JSON object"
    ) as caught:
        read(lines("[1]", "2"), "jsonl")
    assert caught.value.error_code == "invalid_input"
    assert read(b" \n\r\n", "jsonl").headers is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lines(GOOD, '{"sku":"' + "x" * 101 + '"}'), r"record 2, column 1 \("),
        (
            lines(GOOD, '{"sku":"A","x":"' + "é" * 51 + '"}'),
            r"record 2, column 3 \(",
        ),
        (lines(GOOD, '{"a":1,"x":[' + "1," * 60 + "1]}"), "record 2, column 2"),
        (lines(GOOD, "oops" * 26), "record 2, column 1"),
        (lines('{"' + "k" * 101 + '":1}'), "record 1, column 1"),
    ],
)
def test_a_large_cell_is_refused_read_or_not(data: bytes, message: str) -> None:
    with pytest.raises(FeedUnreadableError, match=message) as caught:
        read(data, "jsonl", limits=Limits(cell_bytes=100))
    assert caught.value.error_code == "invalid_input"


def test_a_line_may_be_longer_than_a_cell() -> None:
    nested = {"nested": {"a": ["y" * 60, 12345, None]}}
    members = {f"key {place}": "x," * 45 for place in range(50)} | nested
    (row,) = read(
        lines(json.dumps(members)), "jsonl", limits=Limits(cell_bytes=100)
    ).rows.values()
    assert row == ["x," * 45] * 50 + [""]


def test_a_long_line_of_millions_of_values_is_not_built() -> None:
    line = '{"sku":"A","x":[' + "1," * (2 << 20) + "1]}"
    with pytest.raises(
        FeedUnreadableError, match="line 1 has more than 2,097,152 values"
    ) as caught:
        read(lines(line), "jsonl")
    assert caught.value.error_code == "invalid_input"


@pytest.mark.parametrize("cell_bytes", [1 << 20, 1 << 23])
@pytest.mark.parametrize("text", ["x", "\\n", "\\u00e9"])
def test_a_long_line_takes_a_few_times_its_bytes(
    text: str, cell_bytes: int
) -> None:
    long = lines('{"sku":"' + text * ((4 << 20) // len(text)) + '"}')
    expected = (
        pytest.raises(FeedUnreadableError)
        if len(long) > cell_bytes
        else nullcontext()
    )
    tracemalloc.start()
    try:
        with expected:
            read(long, "jsonl", limits=Limits(cell_bytes=cell_bytes))
        assert tracemalloc.get_traced_memory()[1] < 24 * len(long)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [20, 100_000])
def test_too_many_keys_are_refused(size: int) -> None:
    record = json.dumps({f"key {place}": 1 for place in range(size)})
    with pytest.raises(FeedUnreadableError, match="the limit") as caught:
        read(
            lines(GOOD, record),
            "jsonl",
            limits=Limits(columns=19, cell_bytes=1000),
        )
    assert caught.value.error_code == "invalid_input"


def cell(value: Any) -> str:
    """Return the text of a value of an object whose numbers are bytes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return (
        value.decode()
        if isinstance(value, bytes)
        else value
        if isinstance(value, str)
        else ""
    )


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=6),
    st.sampled_from(["null", "-", 'a"b', "}", ",", "12", "é\\"]),
    st.lists(st.integers(), max_size=2),
)
OBJECTS = st.dictionaries(
    st.sampled_from(["sku", "qty", 'k"y', "é", "", " sku"]), VALUES
)
SPACING = st.sampled_from([(",", ":"), (", ", ": "), (" , ", " :\t")])


@given(
    st.lists(
        st.tuples(OBJECTS, SPACING, st.booleans()), min_size=1, max_size=12
    ),
    st.data(),
)
def test_a_line_is_the_same_whatever_lines_are_around_it(
    written: list[tuple[dict[str, Any], tuple[str, str], bool]],
    data: st.DataObject,
) -> None:
    texts = [json.dumps(o, separators=s, ensure_ascii=a) for o, s, a in written]
    for place in data.draw(
        st.lists(st.integers(0, len(texts) - 1), max_size=3)
    ):
        text = texts[place]
        at = data.draw(st.integers(0, len(text)))
        texts[place] = (
            text[:at]
            + data.draw(st.sampled_from(['"', "0", "x", ",", " "]))
            + text[at:]
        )
    texts = [text for text in texts if text.strip()]
    expected = {
        number: read_object(text) for number, text in enumerate(texts, 1)
    }
    objects = [record for record in expected.values() if record is not None]
    headers = tuple(dict.fromkeys(key for record in objects for key in record))
    if not objects:
        return

    feed = read(lines(*texts), "jsonl", column_map={"title": "no such key"})

    assert feed.headers == headers
    sku_header = next(
        (header for header in headers if header.strip() == "sku"), ""
    )
    for number, record in expected.items():
        if record is None or (
            sku_header and isinstance(record.get(sku_header), list | dict)
        ):
            assert number in feed.malformed
        else:
            assert feed.rows[number] == [
                cell(record.get(key)) for key in headers
            ]
