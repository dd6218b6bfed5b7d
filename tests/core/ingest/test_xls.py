"""Old workbooks: their cells, their sheets, what is wrong with a file."""

from __future__ import annotations

from datetime import date, datetime, time

import pytest

from relay_core.domain.errors import FeedUnreadableError
from support.reading import ReadFeed, read
from support.workbooks import xls

DATA = xls({"Prices": [["sku", "qty"], ["A", 1]]})


def test_cells_are_the_texts_that_they_show() -> None:
    rows = [
        ["sku", "qty", "cost", "day", "active"],
        ["00123", 12, 19.99, date(2026, 3, 1), True],
        [" a ", 0.1 + 0.2, 1e21, datetime(2026, 3, 1, 12, 30, 15), False],  # noqa: DTZ001
        [],
        [None, -7, 12345678901234567, time(9, 15)],
    ]
    assert read(xls({"S": rows}), "xls") == ReadFeed(
        ("sku", "qty", "cost", "day", "active"),
        {
            2: ["00123", "12", "19.99", "2026-03-01", "true"],
            3: [
                " a ",
                "0.3",
                "1000000000000000000000",
                "2026-03-01 12:30:15",
                "false",
            ],
            5: ["", "-7", "12345678901234600", "09:15:00", ""],
        },
        {2: ".nn..", 3: ".nn..", 5: ".nn.."},
    )


def test_dates_of_the_1904_system() -> None:
    feed = read(
        xls({"S": [["sku"], [date(2026, 3, 1)]]}, from_1904=True), "xls"
    )
    assert feed.rows == {2: ["2026-03-01"]}


def test_an_error_is_its_text() -> None:
    data = xls({"S": [["sku", "qty"], ["A", True]]})
    record = b"\x05\x02\x08\x00\x01\x00\x01\x00"  # BOOLERR of B2
    at = data.index(record) + len(record) + 2
    assert read(data[:at] + b"\x2a\x01" + data[at + 2 :], "xls").rows == {
        2: ["A", "#N/A"]
    }


def test_rows_count_from_the_header_and_options_of_a_sheet_apply() -> None:
    data = xls({"S": [["list"], [], ["sku"], ["A", None, "beyond"], ["B"]]})
    feed = read(data, "xls", skip_lines=1)
    assert (feed.headers, feed.rows) == (("sku",), {3: ["B"]})
    assert feed.malformed == {2: (3, "A,,beyond", ["A", "", "beyond"])}
    assert read(data, "xls", columns=["a", "b", "c"], skip_lines=2).rows[1] == [
        "sku",
        "",
        "",
    ]


def test_the_first_sheet_that_is_shown_is_read_unless_one_is_named() -> None:
    data = xls(
        {name: [["sku"], [name]] for name in ("Old", "New")}, hidden=("Old",)
    )
    assert read(data, "xls").rows == {2: ["New"]}
    assert read(data, "xls", sheet="Old").rows == {2: ["Old"]}
    with pytest.raises(
        FeedUnreadableError, match='Its sheets are: "Old", "New"'
    ) as caught:
        read(data, "xls", sheet="None")
    assert caught.value.error_code == "invalid_input"


@pytest.mark.parametrize(
    "data", [DATA[:700], DATA[:3000], DATA[:600] + bytes(2000), b"<html/>"]
)
def test_what_is_no_workbook_or_damaged_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(FeedUnreadableError) as caught:
        read(data, "xls")
    assert caught.value.error_code == "DECODE_ERROR"


def test_a_password_is_named() -> None:
    start = DATA.index(b"\x09\x08\x10\x00\x00\x06\x05\x00") + 20
    protection = b"\x2f\x00\x06\x00\x00\x00\x01\x02\x03\x04"
    data = DATA[:start] + protection + DATA[start + len(protection) :]
    with pytest.raises(FeedUnreadableError, match="has a password"):
        read(data, "xls")
