"""XML: where its records are, what its values are, its encodings, and what is refused."""

from __future__ import annotations

import tracemalloc

import pyarrow as pa
import pytest

from relay_core.config import ParserConfig
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import DEFAULT_LIMITS
from relay_core.ingest.formats import open_feed
from support.reading import ReadFeed, read

CATALOG = """\
<?xml version="1.0" encoding="UTF-8"?>
<!-- a price list -->
<catalog xmlns:g="urn:g" date="2026-11-30">
  <product id="1">
    <g:name>Saw &amp; file</g:name><price currency="EUR"> 12.50 </price>
    <stock warehouse="A"><qty>3</qty></stock>
    <stock warehouse="B"><qty>5</qty></stock>
  </product>
  <note>between</note>
  <product id="2"><g:name><![CDATA[<b>]]> x<!-- c -->y</g:name><empty/>
    <mixed>one<i>two</i>three</mixed></product>
  <supplier>N7</supplier>
</catalog>
"""
PRODUCTS = {"record": "/catalog/product"}


def test_values_are_attributes_and_texts_under_local_names() -> None:
    feed = read(
        CATALOG.encode(),
        "xml",
        **PRODUCTS,
        column_map={
            "sku": "@id",
            "quantity_available": "stock[@warehouse=B]/qty",
            "brand": "../supplier",
            "title": "../@date",
        },
    )
    assert feed.headers == (
        *("@id", "name", "price/@currency", "price"),
        *("stock/@warehouse", "stock/qty", "empty", "mixed", "mixed/i"),
        *("stock[@warehouse=B]/qty", "../supplier", "../@date"),
    )
    around = ["N7", "2026-11-30"]
    first = ["1", "Saw & file", "EUR", "12.50", "A", "3", "", "", "", "5"]
    second = ["2", "<b> xy", "", "", "", "", "", "onethree", "two", ""]
    assert feed.rows == {1: [*first, *around], 2: [*second, *around]}


def test_a_record_has_the_line_that_it_begins_on() -> None:
    parsed = open_feed(CATALOG.encode(), ParserConfig(format="xml", **PRODUCTS))
    assert parsed.locator is not None
    assert parsed.locator.find([1, 2]) == [4, 10]


def test_the_root_and_the_document_can_be_the_record() -> None:
    text = b"<a i='1'> own <b>2</b></a>"
    root = read(text, "xml", record="/a")
    assert root == ReadFeed(
        ("@i", ".", "b"), {1: ["1", "own", "2"]}, {1: "..."}
    )
    document = read(text, "xml", record="/")
    assert document.headers == ("a/@i", "a", "a/b")


def test_a_prefix_need_not_be_declared() -> None:
    text = b'<c><p g:id="1"><g:name>x</g:name></p></c>'
    feed = read(text, "xml", record="/c/p")
    assert feed == ReadFeed(("@id", "name"), {1: ["1", "x"]}, {1: ".."})


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("", "/a"),
        (" \n ", "/a"),
        ("<a/>", "/a/b"),
        ("<a>text</a>", "/a/b"),
        ("<a i='1'><!-- none --></a>", "/a/b"),
        ("<a><b/><c/></a>", "/a/b/c"),
    ],
)
def test_a_place_without_records_is_an_empty_feed(
    text: str, record: str
) -> None:
    assert read(text.encode(), "xml", record=record) == ReadFeed(None)


@pytest.mark.parametrize(
    ("text", "record", "paths"),
    [
        ("<a><c/><c/></a>", "/a/b", "/a (1), /a/c (2)"),
        (
            "<a><p i='1'><n>x</n></p><p i='2'><n>y</n></p></a>",
            "/a/product",
            "/a/p (2), /a (1), /a/p/n (2), /a/p/@i (2)",
        ),
        ("<x/>", "/a/b", "/x (1)"),
    ],
)
def test_nothing_at_the_path_names_the_paths_that_are_there(
    text: str, record: str, paths: str
) -> None:
    with pytest.raises(FeedUnreadableError) as caught:
        read(text.encode(), "xml", record=record)
    assert caught.value.error_code == "invalid_input"
    assert str(caught.value).endswith(paths)


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("<a><b>é</b></a>".encode(), "utf-8"),
        (
            '<?xml version="1.0" encoding="iso-8859-1"?><a><b>é</b></a>'.encode(
                "latin-1"
            ),
            "utf-8",
        ),
        # The configured encoding goes before the declared one, and a mark before both.
        (
            '<?xml version="1.0" encoding="koi8-r"?><a><b>é</b></a>'.encode(
                "cp1252"
            ),
            "cp1252",
        ),
        (
            '<?xml version="1.0" encoding="utf-8"?><a><b>é</b></a>'.encode(
                "utf-16"
            ),
            "cp1252",
        ),
        (
            '<?xml version="1.0" encoding="no-such"?><a><b>é</b></a>'.encode(),
            "utf-8",
        ),
        (
            "\ufeff<?xml version='1.0' encoding='hex'?><a><b>é</b></a>".encode(),
            "utf-8",
        ),
    ],
)
def test_the_encoding_is_found(data: bytes, encoding: str) -> None:
    feed = read(data, "xml", record="/a/b", encoding=encoding)
    assert feed.rows == {1: ["é"]}


def test_bytes_in_another_encoding_are_a_decode_error() -> None:
    with pytest.raises(FeedUnreadableError, match="not valid utf-8") as caught:
        read(b"<a><b>\xe9</b></a>", "xml", record="/a/b")
    assert caught.value.error_code == "DECODE_ERROR"


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE a>",
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">',
        '<!DOCTYPE a PUBLIC "-//X" "file:///etc/passwd" [ <!-- none --> ] >',
    ],
)
def test_a_doctype_without_declarations_is_passed_over(doctype: str) -> None:
    text = f"<?xml version='1.0'?>\n{doctype}\n<a>\n<b>x</b></a>"
    parsed = open_feed(text.encode(), ParserConfig(format="xml", record="/a/b"))
    assert parsed.headers == (".",)
    assert parsed.locator is not None
    assert parsed.locator.find([1]) == [4]


@pytest.mark.parametrize(
    "declaration",
    [
        '<!ENTITY e "x">',
        '<!ENTITY % e SYSTEM "http://127.0.0.1:9/e">',
        "<!ELEMENT a ANY>",
        "<!ATTLIST a i CDATA #IMPLIED>",
        '<!NOTATION n SYSTEM "n">',
    ],
)
def test_a_doctype_with_declarations_is_refused(declaration: str) -> None:
    text = f"<!DOCTYPE a [\n{declaration}]><a><b>&e;</b></a>"
    with pytest.raises(
        FeedUnreadableError, match="DOCTYPE has declarations"
    ) as caught:
        read(text.encode(), "xml", record="/a/b")
    assert caught.value.error_code == "invalid_input"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("<a><b>", 1),
        ("<a>\n<b></a>", 2),
        ("<a>\n\n<b>&e;</b></a>", 3),
        ('<!DOCTYPE a SYSTEM "x">\n<a>\n<b c="&e;"/></a>', 3),
        ("<a><b c='1' c='2'/></a>", 1),
        ("<a/>\n<a/>", 2),
        ("text", 1),
        ("<a>\x01</a>", 1),
        ("<a><b>x</b></a>\n<!-- -- -->", 2),
        ("<a>" * 101, 1),
        ("\n<?xml version='1.0'?><a/>", 2),
        ("<a>\n<b>x</b></a", 2),
    ],
)
def test_a_broken_document_is_refused_with_its_line(
    text: str, line: int
) -> None:
    with pytest.raises(FeedUnreadableError) as caught:
        read(text.encode(), "xml", record="/a/b")
    assert caught.value.error_code == "DECODE_ERROR"
    assert f"not well-formed XML: line {line}: " in str(caught.value)


def test_a_hundred_levels_are_read() -> None:
    text = "<a>" * 100 + "x" + "</a>" * 100
    assert read(text.encode(), "xml", record="/a").headers == ("a/" * 98 + "a",)


def test_the_limits_of_cells_and_headers_hold() -> None:
    large = f"<a><b> {'x' * (DEFAULT_LIMITS.cell_bytes + 1)}<c/>y</b></a>"
    with pytest.raises(FeedUnreadableError, match="record 1, column 1"):
        read(large.encode(), "xml", record="/a/b")
    names = [f"k{number}" for number in range(DEFAULT_LIMITS.columns + 1)]
    attributes = "".join(f" {name}='1'" for name in names)
    elements = "".join(f"<{name}/>" for name in names)
    for record in (f"<b{attributes}/>", f"<b>{elements}</b>"):
        with pytest.raises(FeedUnreadableError, match="which is the limit"):
            read(f"<a>{record}</a>".encode(), "xml", record="/a/b")


def test_white_space_around_a_value_does_not_count() -> None:
    space = " " * (DEFAULT_LIMITS.cell_bytes + 5)
    text = f"<a><b>{space}x{space}</b></a>"
    assert read(text.encode(), "xml", record="/a/b").rows == {1: ["x"]}


def test_texts_beside_the_records_are_not_kept() -> None:
    """A long text outside of the records leaves nothing in memory."""
    text = f"<a><n>{'x' * (60 << 20)}</n><b>1</b></a>".encode()
    tracemalloc.start()
    feed = read(text, "xml", record="/a/b")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert feed.rows == {1: ["1"]}
    assert peak < 20 << 20, peak


def test_a_large_cell_of_one_record_costs_the_others_nothing() -> None:
    large = "x" * (1 << 20)
    records = "<p><a>1</a></p>" * 100_000
    data = f"<c><p><a>0</a><b>{large}</b></p>{records}</c>".encode()
    pool = pa.default_memory_pool()
    most_before = pool.max_memory() or 0
    feed = read(data, "xml", record="/c/p")
    assert feed.rows[1] == ["0", large]
    assert feed.rows[100_001] == ["1", ""]
    assert (pool.max_memory() or 0) <= max(most_before, 1 << 30)
