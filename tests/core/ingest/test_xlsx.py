"""One sheet of a workbook: which cells it has, what their texts are, what is wrong with it."""

from __future__ import annotations

import re
import struct
from typing import Any

import pytest

from relay_core.config import ParserConfig
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.ingest.feed import MalformedRecords
from relay_core.ingest.formats import open_feed
from support.reading import ReadFeed, read
from support.workbooks import archive, text_row, workbook, workbook_parts

HEADER = text_row(1, "sku", "qty")
TEXT = '<c r="A2" t="inlineStr"><is>'


def shared_row(number: int, place: int) -> str:
    """Return a row of one cell with the text that is shared at a place."""
    return f'<row r="{number}"><c r="A{number}" t="s"><v>{place}</v></c></row>'


def one_cell(cell: str, *, properties: str = "") -> list[str]:
    """Return the text of a cell that stands in A2, and whether it is a number."""
    rows = f'{text_row(1, "sku")}<row r="2">{cell}</row>'
    feed = read(workbook(rows, properties=properties), "xlsx")
    return [feed.rows[2][0], feed.numbers[2]] if feed.rows else []


@pytest.mark.parametrize(
    ("cell", "text", "kind"),
    [
        ('<c r="A2"><v>12</v></c>', "12", "n"),
        ('<c r="A2"><v>12.0</v></c>', "12", "n"),
        ('<c r="A2"><v>19.989999999999998</v></c>', "19.99", "n"),
        ('<c r="A2"><v>7.0000000000000009</v></c>', "7", "n"),
        ('<c r="A2"><v>0.1</v></c>', "0.1", "n"),
        ('<c r="A2"><v>1.5E-7</v></c>', "0.00000015", "n"),
        ('<c r="A2"><v>1e21</v></c>', "1000000000000000000000", "n"),
        ('<c r="A2"><v>-0</v></c>', "0", "n"),
        ('<c r="A2"><v>1234567890123456</v></c>', "1234567890123460", "n"),
        ('<c r="A2"><v>12345678901234567</v></c>', "12345678901234600", "n"),
        ('<c r="A2"><v>0.12345678901234567</v></c>', "0.123456789012346", "n"),
        ('<c r="A2"><v>1e400</v></c>', "1e400", "n"),
        ('<c r="A2"><v>-0.50</v></c>', "-0.5", "n"),
        ('<c r="A2"><v>007</v></c>', "7", "n"),
        ('<c r="A2"><v>x</v></c>', "x", "n"),
        ('<c r="A2" t="n" s="99"><v>5</v></c>', "5", "n"),
        ('<c r="A2" s="3"><v>12.5</v></c>', "12.5", "n"),
        ('<c r="A2" s="1"><v>46082</v></c>', "2026-03-01", "."),
        (
            '<c r="A2" s="2"><v>46082.520833333336</v></c>',
            "2026-03-01 12:30:00",
            ".",
        ),
        ('<c r="A2" s="2"><v>46082.9999999</v></c>', "2026-03-02", "."),
        ('<c r="A2" s="1"><v>0.5</v></c>', "12:00:00", "."),
        ('<c r="A2" s="1"><v>0</v></c>', "00:00:00", "."),
        ('<c r="A2" s="4"><v>1.5</v></c>', "1900-01-01 12:00:00", "."),
        ('<c r="A2" s="1"><v>59</v></c>', "1900-02-28", "."),
        ('<c r="A2" s="1"><v>60</v></c>', "1900-02-29", "."),
        ('<c r="A2" s="1"><v>61</v></c>', "1900-03-01", "."),
        ('<c r="A2" s="1"><v>2958465</v></c>', "9999-12-31", "."),
        ('<c r="A2" s="1"><v>2958466</v></c>', "2958466", "."),
        ('<c r="A2" s="1"><v>2958465.9999999</v></c>', "2958465.9999999", "."),
        ('<c r="A2" s="1"><v>-1</v></c>', "-1", "."),
        ('<c r="A2" s="4"><v>-0.50</v></c>', "-0.5", "."),
        ('<c r="A2" s="1"><v>x</v></c>', "x", "."),
        ('<c r="A2" s="4"><v>0.999999</v></c>', "00:00:00", "."),
        ('<c r="A2" s="2"><v>60.75</v></c>', "1900-02-29 18:00:00", "."),
        ('<c r="A2" t="d"><v>soon</v></c>', "soon", "."),
        (
            '<c r="A2" t="d"><v>2026-03-01T12:30:00</v></c>',
            "2026-03-01 12:30:00",
            ".",
        ),
        ('<c r="A2" t="d"><v>2026-03-01</v></c>', "2026-03-01", "."),
        (
            '<c r="A2" t="d"><v>2026-03-01T12:29:59.999</v></c>',
            "2026-03-01 12:30:00",
            ".",
        ),
        ('<c r="A2" t="b"><v>1</v></c>', "true", "."),
        ('<c r="A2" t="b"><v>0</v></c>', "false", "."),
        ('<c r="A2" t="b"><v>true</v></c>', "true", "."),
        ('<c r="A2" t="e"><v>#N/A</v></c>', "#N/A", "."),
        ('<c r="A2" t="e"><f>1/0</f><v>#DIV/0!</v></c>', "#DIV/0!", "."),
        ('<c r="A2" t="other"><v>x</v></c>', "x", "."),
        ('<c r="A2"><f>B2*2</f><v>24</v></c>', "24", "n"),
        ('<c r="A2" t="str"><f>B2</f><v>a &amp; b</v></c>', "a & b", "."),
        (f'{TEXT}<t xml:space="preserve"> 007 </t></is></c>', " 007 ", "."),
        (
            f"{TEXT}<r><t>bo</t></r><r><rPr><b/></rPr><t>ld</t></r></is></c>",
            "bold",
            ".",
        ),
        (
            f'{TEXT}<t>a</t><rPh sb="0" eb="1"><t>x</t></rPh></is></c>',
            "a",
            ".",
        ),
        (f"{TEXT}<t>a_x000D_b&#10;&lt;&#x41;</t></is></c>", "a\rb\n<A", "."),
        (
            f"{TEXT}<t>fax005F_1 _x005F_x000D_</t></is></c>",
            "fax005F_1 _x000D_",
            ".",
        ),
        (f"{TEXT}<t>a\r\nb\rc</t></is></c>", "a\nb\nc", "."),
        (
            "<c r='A2' t='inlineStr'><is><t><![CDATA[a<b]]></t></is></c>",
            "a<b",
            ".",
        ),
        ('<c t="inlineStr" cm="1" r="A2"><is><t>x</t></is></c>', "x", "."),
    ],
)
def test_a_cell_is_the_text_that_it_shows(
    cell: str, text: str, kind: str
) -> None:
    assert one_cell(cell) == [text, kind]


@pytest.mark.parametrize(
    "cell",
    [
        '<c r="A2"/>',
        '<c r="A2"></c>',
        '<c r="A2"><f>B2</f></c>',
        '<c r="A2"><v></v></c>',
        "",
    ],
)
def test_a_cell_without_a_value_is_no_cell(cell: str) -> None:
    assert one_cell(cell) == []


@pytest.mark.parametrize(
    ("serial", "text"),
    [
        ("0.5", "12:00:00"),
        ("1", "1904-01-02"),
        ("44620.5", "2026-03-01 12:00:00"),
        ("58", "1904-02-28"),
        ("2957003.9999999", "2957003.9999999"),
    ],
)
def test_dates_of_the_1904_system(serial: str, text: str) -> None:
    properties = '<workbookPr date1904="1"/>'
    assert one_cell(
        f'<c r="A2" s="1"><v>{serial}</v></c>', properties=properties
    ) == [
        text,
        ".",
    ]


def test_texts_that_cells_share_are_found_by_place() -> None:
    shared = (
        '<si><t>sku</t></si><si><t xml:space="preserve"> A &amp; B </t></si><si><t/></si>'
        "<si><r><t>ri</t></r><r><t>ch</t></r></si>"
        "<si><t>a_x000D_b</t><rPh sb='0' eb='1'><t>x</t></rPh></si>"
    )
    rows = "".join(map(shared_row, range(1, 6), range(5)))
    feed = read(workbook(rows, shared=shared), "xlsx")
    assert feed.rows == {2: [" A & B "], 3: [""], 4: ["rich"], 5: ["a\rb"]}


@pytest.mark.parametrize(
    "number", [*range(14, 23), *range(27, 37), 45, 46, 47, *range(50, 59)]
)
def test_numbers_of_built_in_formats_are_dates(number: int) -> None:
    styles = (
        f"<styleSheet><cellXfs><xf numFmtId='{number}'/></cellXfs></styleSheet>"
    )
    rows = f'{text_row(1, "sku")}<row r="2"><c r="A2"><v>61.5</v></c></row>'
    feed = read(
        archive(workbook_parts(rows) | {"xl/styles.xml": styles}), "xlsx"
    )
    assert (feed.rows, feed.numbers) == ({2: ["1900-03-01 12:00:00"]}, {2: "."})


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("yyyy\\-mm\\-dd", "1900-03-01"),
        ("[$-409]d/m/yy", "1900-03-01"),
        ("[h]:mm", "1900-03-01"),
        ("[ss]", "1900-03-01"),
        ("General", "61"),
        ("000000", "61"),
        ("@", "61"),
        ("#,##0.00 &quot;days&quot;", "61"),
        ("[Red]0.00_d", "61"),
        ("0\\h", "61"),
        ("0*d", "61"),
    ],
)
def test_a_format_with_a_letter_of_dates_shows_one(
    code: str, text: str
) -> None:
    styles = (
        f"<styleSheet><numFmts><numFmt numFmtId='170' formatCode='{code}'/></numFmts>"
        "<cellXfs><xf numFmtId='170'/></cellXfs></styleSheet>"
    )
    rows = f'{text_row(1, "sku")}<row r="2"><c r="A2"><v>61</v></c></row>'
    feed = read(
        archive(workbook_parts(rows) | {"xl/styles.xml": styles}), "xlsx"
    )
    assert feed.rows == {2: [text]}


def test_hidden_rows_are_read_and_a_merged_cell_is_its_first() -> None:
    rows = (
        HEADER
        + '<row r="2" hidden="1"><c r="A2" t="inlineStr"><is><t>A</t></is></c><c r="B2"/></row>'
        + '<row r="3"><c r="A3" s="1"/><c r="B3"><v>2</v></c></row><row r="4"/>'
        + text_row(5, "", " ")
        + text_row(7, "C")
    )
    feed = read(workbook(f"{rows}</sheetData><mergeCells/><sheetData>"), "xlsx")
    assert feed.rows == {2: ["A", ""], 3: ["", "2"], 5: ["", " "], 7: ["C", ""]}


@pytest.mark.parametrize("rows", ["", '<row r="1"/>', text_row(2, " ")])
def test_a_sheet_without_a_filled_cell_is_an_empty_feed(rows: str) -> None:
    assert read(workbook(rows), "xlsx").headers is None


def test_a_cell_that_stands_twice_is_its_last_and_columns_may_run_backwards() -> (
    None
):
    cells = '<c r="B2"><v>1</v></c><c r="A2"><v>2</v></c><c r="B2"><v>3</v></c>'
    assert read(workbook(f'{HEADER}<row r="2">{cells}</row>'), "xlsx").rows == {
        2: ["2", "3"]
    }


def test_parts_are_found_in_any_case_and_by_absolute_targets() -> None:
    parts = workbook_parts(
        HEADER + shared_row(2, 0), shared="<si><t>A</t></si>"
    )
    parts["xl/SharedStrings.xml"] = parts.pop("xl/sharedStrings.xml")
    relations = str(parts["xl/_rels/workbook.xml.rels"])
    parts["xl/_rels/workbook.xml.rels"] = relations.replace(
        '"worksheets', '"/xl/worksheets'
    )
    assert read(archive(parts), "xlsx").rows == {2: ["A", ""]}


def test_rows_count_from_the_header_and_empty_ones_keep_their_number() -> None:
    rows = (
        text_row(3, "", "sku", "", "qty")
        + text_row(4, "", "A", "x", "1")
        + text_row(9, "q", "B")
    )
    assert read(workbook(rows), "xlsx") == ReadFeed(
        ("", "sku", "", "qty"),
        {2: ["", "A", "x", "1"], 7: ["q", "B", "", ""]},
        {2: "....", 7: "...."},
    )


def test_skipped_rows_are_rows_of_the_sheet() -> None:
    rows = text_row(2, "Price list") + text_row(4, "sku") + text_row(5, "A")
    assert read(workbook(rows), "xlsx").headers == ("Price list",)
    for skip in (2, 3):
        feed = read(workbook(rows), "xlsx", skip_lines=skip)
        assert (feed.headers, feed.rows) == (("sku",), {2: ["A"]})
    assert read(workbook(rows), "xlsx", skip_lines=5).headers is None


def test_without_a_header_records_begin_with_1_behind_what_is_skipped() -> None:
    rows = text_row(1, "no") + text_row(3, "A", "1") + text_row(4, "B", "2")
    feed = read(workbook(rows), "xlsx", columns=["sku", "qty"], skip_lines=1)
    assert (feed.headers, feed.rows) == (
        ("sku", "qty"),
        {2: ["A", "1"], 3: ["B", "2"]},
    )


def test_a_cell_beyond_the_header_makes_a_malformed_record_unless_it_is_blank() -> (
    None
):
    rows = [
        HEADER,
        text_row(2, "A", "1", " "),
        text_row(3, "B", "2", "", "x,y"),
        text_row(4, "", "", "z"),
        text_row(5, "C", "3"),
    ]
    feed = read(workbook("".join(rows)), "xlsx")
    assert feed.rows == {2: ["A", "1"], 5: ["C", "3"]}
    assert feed.malformed == {
        3: (4, 'B,2,,"x,y"', ["B", "2", "", "x,y"]),
        4: (3, ",,z", ["", "", "z"]),
    }


def test_the_first_sheet_that_is_shown_is_read_unless_one_is_named() -> None:
    data = workbook(
        *(HEADER + text_row(2, name) for name in ("a", "b", "c")),
        names=("Hidden", "Prices", "Other"),
        hidden=("Hidden",),
    )
    assert read(data, "xlsx").rows == {2: ["b", ""]}
    assert read(data, "xlsx", sheet="Other").rows == {2: ["c", ""]}
    assert read(data, "xlsx", sheet="Hidden").rows == {2: ["a", ""]}
    message = 'no sheet "None". Its sheets are: "Hidden", "Prices", "Other"'
    with pytest.raises(FeedUnreadableError, match=message) as no:
        read(data, "xlsx", sheet="None")
    assert no.value.error_code == "invalid_input"
    with pytest.raises(FeedUnreadableError, match="no visible sheet") as hidden:
        read(workbook(HEADER, names=("Hidden",), hidden=("Hidden",)), "xlsx")
    assert hidden.value.error_code == "invalid_input"


def test_cells_in_two_corners_of_the_largest_sheet_cost_no_more_than_two_cells() -> (
    None
):
    rows = (
        text_row(1, "sku")
        + '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    )
    feed = read(
        workbook(
            f'{rows}</sheetData><dimension ref="A1:XFD1048576"/><sheetData>'
        ),
        "xlsx",
    )
    assert list(feed.malformed) == [1048576]
    assert feed.malformed[1048576][:2] == (16384, "," * 16383 + "1")


def sheet(rows: str) -> str:
    return f"<worksheet><sheetData>{rows}</sheetData></worksheet>"


def with_prefix(rows: str) -> str:
    named = re.sub(
        r"<(/?)(row|c|v|is|t|worksheet|sheetData)\b", r"<\1x:\2", sheet(rows)
    )
    return named.replace("<x:worksheet", '<x:worksheet xmlns:x="urn:x"', 1)


def encoded(rows: str, encoding: str) -> bytes:
    return f'<?xml version="1.0" encoding="{encoding}"?>{sheet(rows)}'.encode(
        encoding
    )


@pytest.mark.parametrize(
    "part",
    [
        sheet,
        with_prefix,
        lambda rows: encoded(rows, "utf-16"),
        lambda rows: encoded(rows, "iso-8859-1"),
        lambda rows: sheet(re.sub(' r="[A-Z]*[0-9]*"', "", rows)),
        lambda rows: sheet(rows.replace('"', "'")),
        lambda rows: sheet(f"\n {rows.replace('><', '>  <')}\n"),
    ],
    ids=[
        "plain",
        "prefix",
        "utf-16",
        "latin-1",
        "no references",
        "apostrophes",
        "white space",
    ],
)
def test_xml_may_be_written_in_other_ways(part: Any) -> None:
    rows = HEADER + text_row(2, "Ä", "1") + text_row(3, "B", "2")
    parts = workbook_parts("") | {"xl/worksheets/1.xml": part(rows)}
    feed = read(archive(parts), "xlsx")
    assert (feed.headers, feed.rows) == (
        ("sku", "qty"),
        {2: ["Ä", "1"], 3: ["B", "2"]},
    )


def test_rows_in_many_pieces_are_all_read() -> None:
    rows = [
        text_row(number, f"A-{number}", "x" * (number % 97))
        for number in range(2, 30_000)
    ]
    feed = read(workbook(HEADER + "".join(rows)), "xlsx")
    assert len(feed.rows) == 29_998
    assert feed.rows[29_999] == ["A-29999", "x" * (29_999 % 97)]


def damaged_crc() -> bytes:
    data = bytearray(workbook(HEADER))
    place = data.index(b"xl/worksheets/1.xml") + 25
    data[place] ^= 255
    return bytes(data)


def encrypted() -> bytes:
    data = bytearray(workbook(HEADER))
    place = -1
    while (place := data.find(b"PK\x01\x02", place + 1)) >= 0:
        data[place + 8] |= 1
    return bytes(data)


BOMB = "<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]>"


@pytest.mark.parametrize(
    "data",
    [
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        b"<html><table></table></html>",
        archive({"feed.csv": "sku"}),
        archive({"[Content_Types].xml": "", "_rels/.rels": "<Relationships/>"}),
        archive({"_rels/.rels": "<Relationships"}),
        workbook(HEADER)[:-40],
        damaged_crc(),
        encrypted(),
        workbook(HEADER + '<row r="2"><c r="A2" t="s"><v>9</v></c></row>'),
        workbook(HEADER + '<row r="2"><c r="A2" t="s"><v>x</v></c></row>'),
        workbook(HEADER + '<row r="2"><c r="A2"><v>1</c></row>'),
        workbook(HEADER + '<row r="2"><c r="A2"><v>&none;</v></c></row>'),
        workbook(HEADER + text_row(1, "again")),
        archive(
            workbook_parts("")
            | {"xl/worksheets/1.xml": f"<worksheet><sheetData>{HEADER}"}
        ),
        archive(
            workbook_parts("")
            | {"xl/workbook.xml": BOMB + "<workbook>&b;</workbook>"}
        ),
        archive(workbook_parts("") | {"xl/styles.xml": "<a><b></a>"}),
    ],
)
def test_what_is_no_workbook_or_damaged_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(FeedUnreadableError) as caught:
        read(data, "xlsx")
    assert caught.value.error_code == "DECODE_ERROR"


@pytest.mark.parametrize(
    "part", ["xl/worksheets/1.xml", "xl/sharedStrings.xml", "xl/workbook.xml"]
)
@pytest.mark.parametrize(
    "before",
    [" " * (1 << 20), f"<!--{'x' * (3 << 20)}-->", "<?x y?>" * (1 << 18)],
    ids=["spaces", "a comment", "instructions"],
)
def test_a_document_type_is_found_however_far_behind_the_start(
    part: str, before: str
) -> None:
    rows = HEADER + shared_row(2, 0)
    parts = workbook_parts(rows, shared="<si><t>a</t></si>")
    assert read(archive(parts), "xlsx").headers == ("sku", "qty")
    parts[part] = f"{before}<!DOCTYPE x [<!ENTITY a 'aaaa'>]>{parts[part]}"
    with pytest.raises(
        FeedUnreadableError, match="declares a document type"
    ) as caught:
        read(archive(parts), "xlsx")
    assert caught.value.error_code == "DECODE_ERROR"


def test_styles_without_end_are_not_built() -> None:
    styles = f"<styleSheet><cellXfs>{'<xf/>' * 300_000}</cellXfs></styleSheet>"
    data = archive(workbook_parts(HEADER) | {"xl/styles.xml": styles})
    with pytest.raises(
        FeedUnreadableError, match="more than 300,000 elements"
    ) as caught:
        read(data, "xlsx")
    assert caught.value.error_code == "DECODE_ERROR"


def test_rows_that_each_end_in_another_column_come_together() -> None:
    rows = "".join(
        text_row(n, "A", *[""] * (n % 60), "x") for n in range(2, 200)
    )
    parsed = open_feed(workbook(HEADER + rows), ParserConfig(format="xlsx"))
    malformed = [
        batch for batch in parsed.batches if isinstance(batch, MalformedRecords)
    ]
    assert len(malformed) == 1
    records = read(workbook(HEADER + rows), "xlsx").malformed
    assert records[5] == (7, "A,,,,,,x", ["A", "", "", "", "", "", "x"])
    assert records[118] == (60, "A" + "," * 59 + "x", ["A", *[""] * 49])


def test_large_cells_and_too_many_columns_are_refused() -> None:
    limits = Limits(cell_bytes=100, columns=3)
    for row, place in ((2, "record 2, column 2"), (1, "record 1, column 2")):
        cells = {1: ["sku", "qty"], 2: ["A", "1"]}
        cells[row][1] = "x" * 101
        data = workbook(
            "".join(text_row(number, *texts) for number, texts in cells.items())
        )
        with pytest.raises(FeedUnreadableError, match=place) as caught:
            read(data, "xlsx", limits=limits)
        assert caught.value.error_code == "invalid_input"
    with pytest.raises(
        FeedUnreadableError, match="4 columns, but the limit is 3"
    ):
        read(workbook(text_row(1, "a", "b", "c", "d")), "xlsx", limits=limits)


@pytest.mark.parametrize(
    "data",
    [
        workbook(HEADER + text_row(2, "x" * 5000)),
        workbook(HEADER, shared=f"<si><t>{'x' * 5000}</t></si>"),
        workbook(
            HEADER + "".join(shared_row(number, 0) for number in range(2, 41)),
            shared=f"<si><t>{'x' * 100}</t></si>",
        ),
        workbook(HEADER + '<row r="2"><c r="XFD2"><v>1</v></c></row>'),
    ],
    ids=["parts", "shared texts", "texts of cells", "a record of commas"],
)
def test_what_it_unpacks_to_is_counted(data: bytes) -> None:
    read(data, "xlsx")
    with pytest.raises(
        FeedUnreadableError, match="more than 3800 bytes"
    ) as caught:
        read(data, "xlsx", limits=Limits(feed_bytes=3800))
    assert caught.value.error_code == "feed_too_large"


def test_a_bomb_of_one_cell_is_counted_while_it_is_unpacked() -> None:
    data = workbook(HEADER + text_row(2, "x" * (64 << 20)))
    assert len(data) < 100_000
    with pytest.raises(FeedUnreadableError) as caught:
        read(data, "xlsx", limits=Limits(feed_bytes=8 << 20))
    assert caught.value.error_code == "feed_too_large"


def test_an_archive_that_lies_about_its_sizes_is_damaged() -> None:
    data = bytearray(workbook(HEADER + text_row(2, "x" * 5000)))
    place = -1
    while (place := data.find(b"PK\x01\x02", place + 1)) >= 0:
        data[place + 24 : place + 28] = struct.pack("<I", 10)
    with pytest.raises(FeedUnreadableError) as caught:
        read(bytes(data), "xlsx")
    assert caught.value.error_code == "DECODE_ERROR"


@pytest.mark.parametrize(
    ("value", "text"),
    [("417", "000417"), ("1234567", "1234567"), ("-4", "-4"), ("4.5", "4.5")],
)
def test_a_padded_number_has_the_digits_that_its_format_shows(
    value: str, text: str
) -> None:
    styles = (
        '<styleSheet><numFmts><numFmt numFmtId="170" formatCode="000000"/>'
        '<numFmt numFmtId="171" formatCode="000000;0"/></numFmts><cellXfs>'
        '<xf numFmtId="0"/><xf numFmtId="170"/><xf numFmtId="171"/><xf numFmtId="1"/></cellXfs>'
        "</styleSheet>"
    )
    row = "".join(
        f'<c r="{at}2" s="{style}"><v>{value}</v></c>'
        for style, at in enumerate("ABCD")
    )
    data = workbook(
        f'{text_row(1, "a", "b", "c", "d")}<row r="2">{row}</row>',
        styles=styles,
    )

    assert read(data, "xlsx", padded_numbers=True).rows[2] == [
        value,
        text,
        value,
        value,
    ]
    assert read(data, "xlsx").rows[2] == [value] * 4
    assert read(data, "xlsx", padded_numbers=True).numbers[2] == "nnnn"
