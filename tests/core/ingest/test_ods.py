"""Workbooks of OpenDocument: cells, repeated ones, sheets, what is wrong with a file."""

from __future__ import annotations

import pytest

from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from support.reading import ReadFeed, read
from support.workbooks import archive, ods, ods_table, ods_texts

HEADER = ods_texts("sku", "qty")
CELL = "<table:table-cell"


def one_cell(cell: str) -> list[str]:
    """Return the text of a cell under a header, and whether it is a number."""
    feed = read(ods(ods_table(ods_texts("sku"), cell)), "ods")
    return [feed.rows[2][0], feed.numbers[2]] if feed.rows else []


def typed(kind: str, value: str, text: str = "shown") -> str:
    names = {
        "date": "date-value",
        "time": "time-value",
        "boolean": "boolean-value",
    }
    return (
        f'{CELL} office:value-type="{kind}" office:{names.get(kind, "value")}="{value}">'
        f"<text:p>{text}</text:p></table:table-cell>"
    )


def text(content: str, attributes: str = "") -> str:
    return f'{CELL} office:value-type="string"{attributes}>{content}</table:table-cell>'


ERROR = ' calcext:value-type="error"'


@pytest.mark.parametrize(
    ("cell", "expected", "kind"),
    [
        (typed("float", "12"), "12", "n"),
        (typed("float", "12.50"), "12.5", "n"),
        (typed("float", "19.989999999999998"), "19.99", "n"),
        (typed("float", "12345678901234567"), "12345678901234600", "n"),
        (typed("float", "1e400"), "1e400", "n"),
        (typed("percentage", "0.2", "20 %"), "0.2", "n"),
        (typed("currency", "-3.50", "-3,50 EUR"), "-3.5", "n"),
        (typed("date", "2026-03-01"), "2026-03-01", "."),
        (typed("date", "2026-03-01T00:00:00"), "2026-03-01", "."),
        (
            typed("date", "2026-03-01T12:29:59.999999999"),
            "2026-03-01 12:30:00",
            ".",
        ),
        (typed("date", "1899-12-30"), "1899-12-30", "."),
        (typed("time", "PT09H15M00S"), "09:15:00", "."),
        (typed("time", "PT36H00M00S"), "1900-01-01 12:00:00", "."),
        (typed("time", "later"), "later", "."),
        (typed("boolean", "true", "WAHR"), "true", "."),
        (text("<text:p>007</text:p>"), "007", "."),
        (
            text(
                "<text:p> a<text:s text:c='3'/>b<text:tab/>c<text:s/></text:p>"
            ),
            " a   b\tc ",
            ".",
        ),
        (
            text("<text:p>a<text:line-break/>b</text:p><text:p>c</text:p>"),
            "a\nb\nc",
            ".",
        ),
        (
            text("<text:p>a<text:span>b</text:span>c &amp;</text:p>"),
            "abc &",
            ".",
        ),
        (
            text(
                "<office:annotation><text:p>x</text:p></office:annotation><text:p>a</text:p>"
            ),
            *"a.",
        ),
        (text("", ' office:string-value="x"'), "x", "."),
        (
            text("<text:p>#N/A</text:p>", f' office:string-value=""{ERROR}'),
            "#N/A",
            ".",
        ),
        (typed("float", f'0"{ERROR} office:x="', "#DIV/0!"), "#DIV/0!", "."),
    ],
)
def test_a_cell_is_the_text_that_it_shows(
    cell: str, expected: str, kind: str
) -> None:
    assert one_cell(cell) == [expected, kind]


@pytest.mark.parametrize(
    "cell", ["", "<table:table-cell/>", text(""), typed("float", "", "")]
)
def test_a_cell_without_a_value_is_no_cell(cell: str) -> None:
    assert one_cell(cell) == []


def repeated(table: str, *, cell: str, cells: int, rows: int) -> str:
    """Return a table in which a row's first cell, found by its text, and the row stand so often."""
    row = f"<table:table-row>{text(f'<text:p>{cell}</text:p>')}"
    repeated = row.replace(
        CELL, f'{CELL} table:number-columns-repeated="{cells}"'
    )
    repeated = repeated.replace(
        "-row>", f'-row table:number-rows-repeated="{rows}">', 1
    )
    assert row in table
    return table.replace(row, repeated)


def test_what_is_repeated_stands_as_often_and_blank_cells_and_rows_cost_nothing() -> (
    None
):
    blank = '<table:table-cell table:number-columns-repeated="16384"/>'
    table = ods_table(
        HEADER + blank, ods_texts("A") + blank, ods_texts(" "), ods_texts("x")
    )
    table = repeated(table, cell=" ", cells=16_000, rows=1_000_000)
    table = repeated(table, cell="x", cells=2, rows=3)
    assert read(ods(table), "ods", limits=Limits(feed_bytes=4000)) == ReadFeed(
        ("sku", "qty"),
        {
            2: ["A", ""],
            **{number: ["x", "x"] for number in range(1_000_003, 1_000_006)},
        },
        dict.fromkeys((2, 1_000_003, 1_000_004, 1_000_005), ".."),
    )


@pytest.mark.parametrize(
    ("cells", "rows", "message"), [(20_000, 1, "columns"), (1, 2 << 20, "rows")]
)
def test_what_is_repeated_beyond_any_sheet_is_refused(
    cells: int, rows: int, message: str
) -> None:
    table = repeated(
        ods_table(HEADER, ods_texts("A")), cell="A", cells=cells, rows=rows
    )
    with pytest.raises(
        FeedUnreadableError, match=f"more than .* {message}"
    ) as caught:
        read(ods(table), "ods")
    assert caught.value.error_code == "DECODE_ERROR"


def test_texts_that_are_repeated_count() -> None:
    table = repeated(
        ods_table(HEADER, ods_texts("A" * 100)),
        cell="A" * 100,
        cells=2,
        rows=50,
    )
    assert (
        len(read(ods(table), "ods", limits=Limits(feed_bytes=10_000)).rows)
        == 50
    )
    with pytest.raises(
        FeedUnreadableError, match="more than 9999 bytes"
    ) as caught:
        read(ods(table), "ods", limits=Limits(feed_bytes=9_999))
    assert caught.value.error_code == "feed_too_large"


@pytest.mark.parametrize(
    "content",
    [
        "<text:s text:c='999999999'/>" * 50 + "x",
        "<text:s/>" * 900_000 + "x" * 200_000,
    ],
)
def test_spaces_that_are_counted_are_a_large_cell_and_no_memory(
    content: str,
) -> None:
    with pytest.raises(
        FeedUnreadableError, match="record 2, column 1"
    ) as caught:
        one_cell(text(f"<text:p>{content}</text:p>"))
    assert caught.value.error_code == "invalid_input"


def test_the_first_sheet_that_is_shown_is_read_unless_one_is_named() -> None:
    styles = "".join(
        f'<style:style style:name="{name}"><style:table-properties table:display="{display}"/>'
        "</style:style>"
        for name, display in (("ta0", "false"), ("ta1", "true"))
    )
    data = ods(
        ods_table(HEADER, ods_texts("a"), name="Hidden", style="ta0"),
        ods_table(HEADER, ods_texts("b"), name="Prices"),
        ods_table(HEADER, ods_texts("c"), name="Other"),
        styles=styles,
    )
    assert read(data, "ods").rows == {2: ["b", ""]}
    assert read(data, "ods", sheet="Other").rows == {2: ["c", ""]}
    assert read(data, "ods", sheet="Hidden").rows == {2: ["a", ""]}
    with pytest.raises(
        FeedUnreadableError, match='Its sheets are: "Hidden", "Prices", "Other"'
    ):
        read(data, "ods", sheet="None")


def test_rows_in_groups_and_cells_that_others_cover_are_read() -> None:
    header = f"<table:table-row>{HEADER}</table:table-row>"
    covered = "<table:covered-table-cell><text:p>7</text:p></table:covered-table-cell>"
    table = (
        f'<table:table table:name="S"><table:table-header-rows>{header}</table:table-header-rows>'
        f"<table:table-row-group><table:table-row>{ods_texts('A')}{covered}</table:table-row>"
        "</table:table-row-group></table:table>"
    )
    assert read(ods(table), "ods").rows == {2: ["A", "7"]}


@pytest.mark.parametrize(
    "data",
    [
        archive({"content.xml": "<a", "META-INF/manifest.xml": ""}),
        archive({"mimetype": "", "META-INF/manifest.xml": ""}),
        archive(
            {"content.xml": "<!DOCTYPE x []><x/>", "META-INF/manifest.xml": ""}
        ),
        ods(ods_table(HEADER))[:-60],
        ods(
            ods_table(
                text(
                    "<text:p>"
                    + "<text:span>" * 5000
                    + "</text:span>" * 5000
                    + "</text:p>"
                )
            )
        ),
    ],
)
def test_what_is_no_workbook_or_damaged_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(FeedUnreadableError) as caught:
        read(data, "ods")
    assert caught.value.error_code == "DECODE_ERROR"


def test_a_password_is_named() -> None:
    manifest = '<m:manifest xmlns:m="m"><m:encryption-data/></m:manifest>'
    with pytest.raises(FeedUnreadableError, match="has a password") as caught:
        read(ods(manifest=manifest), "ods")
    assert caught.value.error_code == "DECODE_ERROR"
