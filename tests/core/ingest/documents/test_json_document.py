"""JSON documents: where their records are, what their cells are, and what is refused."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from relay_core.config import ParserConfig
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import DEFAULT_LIMITS
from relay_core.ingest.documents import json_tokens
from relay_core.ingest.formats import open_feed
from support.reading import ReadFeed, read

NESTED = """\
{"date": "2026-11-30",
 "products": [
  {"title": "Saw", "variants": [
    {"sku": "A-1", "cost": 12.50, "stock": {"qty": 3}},
    {"sku": "A-2", "cost": 1e1, "stock": {"qty": 0}}]},
  {"variants": {"sku": "B-1", "cost": "7", "tags": ["x", "y"]},
   "title": "Nail"}
 ],
 "supplier": {"code": "N7"}}
"""


def test_lists_are_no_level_and_values_around_a_record_have_headers() -> None:
    feed = read(
        NESTED.encode(),
        "json",
        record="/products/variants",
        column_map={
            "sku": "sku",
            "title": "../title",
            "brand": "../../supplier/code",
            "vendor_sku": "tags[2]",
        },
    )
    assert feed == ReadFeed(
        (
            *("sku", "cost", "stock/qty", "tags"),
            *("../title", "../../supplier/code", "tags[2]"),
        ),
        {
            1: ["A-1", "12.50", "3", "", "Saw", "N7", ""],
            2: ["A-2", "1e1", "0", "", "Saw", "N7", ""],
            3: ["B-1", "7", "", "x", "Nail", "N7", "y"],
        },
        {1: ".nn....", 2: ".nn....", 3: "......."},
    )


@pytest.mark.parametrize("window_bytes", [1 << 22, 8])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_record_has_the_line_that_it_begins_on(
    monkeypatch: pytest.MonkeyPatch, line_end: str, window_bytes: int
) -> None:
    monkeypatch.setattr(json_tokens, "_WINDOW_BYTES", window_bytes)
    parser = ParserConfig(format="json", record="/products/variants")
    data = NESTED.replace("\n", line_end).encode()
    parsed = open_feed(data, parser)
    assert parsed.locator is not None
    assert parsed.locator.unit == "line"
    assert parsed.locator.find([1, 2, 3]) == [4, 5, 6]


def test_the_document_is_the_record_by_default() -> None:
    data = b'\xef\xbb\xbf[{"sku": "A"}, [[{"sku": "B"}], 7, null]]'
    feed = read(data, "json")
    assert feed.headers == ("sku", ".")
    assert feed.rows == {
        1: ["A", ""],
        2: ["B", ""],
        3: ["", "7"],
        4: ["", ""],
    }
    assert read(b'{"sku": "A"}', "json").rows == {1: ["A"]}


def test_keys_that_cannot_be_steps_have_no_header() -> None:
    data = b'{"": 1, ".": 2, "..": 3, "a/b": 4, "a[1]": {"c": 5}, "@d": 6}'
    assert read(data, "json") == ReadFeed(("@d",), {1: ["6"]}, {1: "n"})


def test_the_first_of_several_values_counts() -> None:
    data = b'{"a": [null, 2], "b": [{"c": {}}, {"c": 3}, {"c": 4}]}'
    feed = read(data, "json")
    assert feed == ReadFeed(("a", "b/c"), {1: ["", "3"]}, {1: ".n"})


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("", "/"),
        (" \n", "/"),
        ("[]", "/"),
        ('{"a": []}', "/a"),
        ('{"a": [[], []]}', "/a"),
        ('{"a": {}}', "/a/b"),
        ("{}", "/a"),
        ('{"a": []}', "/a/b"),
        ('{"a": 5}', "/a/b"),
        ('{"a": null}', "/a/b"),
        ('{"a": {"b": []}}', "/a/b"),
    ],
)
def test_a_place_without_records_is_an_empty_feed(
    text: str, record: str
) -> None:
    assert read(text.encode(), "json", record=record) == ReadFeed(None)


@pytest.mark.parametrize(
    ("text", "record", "paths"),
    [
        ('{"a": [1, 2], "b": {"c": 3}}', "/x", "/a (2), /b (1), /b/c (1)"),
        (
            '{"meta": {"v": 1}, "items": [{"p": 1, "q": 2}, {"p": 3, "q": 4}]}',
            "/items/x",
            "/items (2), /meta (1), /meta/v (1), /items/p (2), /items/q (2)",
        ),
        ('{"b": 1}', "/a/c", "/b (1)"),
        ('{"a": {}}', "/a/b/c", "/a (1)"),
    ],
)
def test_nothing_at_the_path_names_the_paths_that_are_there(
    text: str, record: str, paths: str
) -> None:
    with pytest.raises(FeedUnreadableError) as caught:
        read(text.encode(), "json", record=record)
    assert caught.value.error_code == "invalid_input"
    assert str(caught.value).endswith(
        "These paths are there, with their numbers of values: " + paths
    )


def test_ten_paths_are_named_at_most() -> None:
    text = json.dumps({f"k{number}": 1 for number in range(30)})
    with pytest.raises(FeedUnreadableError) as caught:
        read(text.encode(), "json", record="/x")
    assert str(caught.value).count("(1)") == 10


DEEP = '{"a": ' + "[" * 99 + "1" + "]" * 99 + "}"
BROKEN = [
    ("{", 1, 2, "a key"),
    ('{"a": 1', 1, 8, "a comma"),
    ('[\n {"a": 1},\n]', 3, 1, "a value must be here"),
    ('[{"a": 1} {"a": 2}]', 1, 11, "a comma"),
    ('[{"a": 1}]\nx', 2, 1, "more text follows"),
    ('[\n {"a": 1, "a": 2}]', 2, 11, 'the key "a" twice'),
    ('{"x": 1,\n "x": 2}', 2, 2, 'the key "x" twice'),
    ('[{"a": {"b": 1, "b": 2}}]', 1, 17, 'the key "b" twice'),
    ('[{"a": NaN}]', 1, 8, "NaN"),
    ('[{"a": -Infinity}]', 1, 8, "-Infinity"),
    ('["\\ud800"]', 1, 3, r"\ud800 is half"),
    ('[{"\\udc00": 1}]', 1, 4, r"\udc00 is half"),
    ('{"\\udc00": 1}', 1, 3, r"\udc00 is half"),
    ('[{"a": 01}]', 1, 9, "a comma"),
    ('[{"a": "x\ny"}]', 1, 10, "invalid control character"),
    ('[{"a": "x}]', 1, 8, "has no end"),
    ('{"é": tru}', 1, 7, "a value must be here"),
    (DEEP.replace("[1]", "[[1]]"), 1, 106, "more than 100 levels"),
    ("[" * 5_000, 1, 101, "more than 100 levels"),
]


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
@pytest.mark.parametrize("window_bytes", [1 << 22, 8, 7])
def test_a_broken_document_has_its_place_with_every_line_end(
    monkeypatch: pytest.MonkeyPatch, window_bytes: int, line_end: str
) -> None:
    monkeypatch.setattr(json_tokens, "_WINDOW_BYTES", window_bytes)
    text = line_end.join(['[{"a": 1},', "", '{"a": 2},', ' {"a": x}]'])
    with pytest.raises(FeedUnreadableError, match="line 4, column 8: "):
        read(text.encode(), "json")


@pytest.mark.parametrize("window_bytes", [1 << 22, 8])
@pytest.mark.parametrize("record", ["/", "/x/y"])
@pytest.mark.parametrize(("text", "line", "column", "reason"), BROKEN)
def test_a_broken_document_is_refused_with_its_place(
    monkeypatch: pytest.MonkeyPatch,
    window_bytes: int,
    record: str,
    text: str,
    line: int,
    column: int,
    reason: str,
) -> None:
    monkeypatch.setattr(json_tokens, "_WINDOW_BYTES", window_bytes)
    with pytest.raises(FeedUnreadableError) as caught:
        read(text.encode(), "json", record=record)
    assert caught.value.error_code == "DECODE_ERROR"
    message = str(caught.value)
    assert f"not valid JSON: line {line}, column {column}: " in message
    assert reason in message


def test_a_hundred_levels_are_read() -> None:
    assert read(DEEP.encode(), "json").rows == {1: ["1"]}
    many_lists = json.dumps([{"a": [[1]] * 200}])
    assert read(many_lists.encode(), "json").rows == {1: ["1"]}


def test_another_encoding_is_configured() -> None:
    feed = read('[{"a": "é"}]'.encode("utf-16"), "json", encoding="utf-16")
    assert feed.rows == {1: ["é"]}
    with pytest.raises(FeedUnreadableError, match="not valid utf-8"):
        read(b'[{"a": "\xe9"}]', "json")


def test_the_limits_of_cells_and_headers_hold() -> None:
    text = json.dumps([{"a": "x" * (DEFAULT_LIMITS.cell_bytes + 1)}])
    with pytest.raises(FeedUnreadableError, match="record 1, column 1"):
        read(text.encode(), "json")
    wide = json.dumps(
        [{f"k{number}": 1 for number in range(DEFAULT_LIMITS.columns + 1)}]
    )
    with pytest.raises(
        FeedUnreadableError, match="headers, which is the limit"
    ):
        read(wide.encode(), "json")


def test_no_tree_of_the_document_is_kept() -> None:
    """Values beside the records leave nothing in memory."""
    other_value = json.dumps(
        [{"x": number, "y": "z" * 20} for number in range(200_000)]
    )
    text = f'{{"other": {other_value}, "items": [{{"sku": "A"}}]}}'.encode()
    tracemalloc.start()
    feed = read(text, "json", record="/items")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert feed.rows == {1: ["A"]}
    assert peak < 30 << 20, peak
