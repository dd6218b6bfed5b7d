"""Which format a workbook is of, whatever it is called."""

from __future__ import annotations

import pytest

from relay_core.domain.errors import FeedUnreadableError
from support.reading import read
from support.workbooks import (
    archive,
    ods,
    ods_table,
    ods_texts,
    text_row,
    workbook,
    xls,
)

BOOKS = {
    "xlsx": workbook(text_row(1, "sku", "qty") + text_row(2, "A", "1")),
    "xls": xls({"S": [["sku", "qty"], ["A", "1"]]}),
    "ods": ods(ods_table(ods_texts("sku", "qty"), ods_texts("A", "1"))),
}


@pytest.mark.parametrize("named", BOOKS)
@pytest.mark.parametrize("actual", BOOKS)
def test_a_workbook_of_another_format_names_the_one_to_set(
    actual: str, named: str
) -> None:
    if actual == named:
        assert read(BOOKS[actual], named).rows == {2: ["A", "1"]}
        return
    with pytest.raises(
        FeedUnreadableError, match=rf"Set parser\.format to {actual}\.$"
    ) as caught:
        read(BOOKS[actual], named)
    assert caught.value.error_code == "DECODE_ERROR"


@pytest.mark.parametrize("named", BOOKS)
def test_a_workbook_with_a_password_says_so(named: str) -> None:
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode(
        "utf-16-le"
    )
    with pytest.raises(FeedUnreadableError, match="has a password") as caught:
        read(data, named)
    assert caught.value.error_code == "DECODE_ERROR"


@pytest.mark.parametrize("named", BOOKS)
@pytest.mark.parametrize(
    "data", [archive({"feed.csv": "sku"}), b"PK\x03\x04", b"sku\nA\n"]
)
def test_what_is_no_workbook_is_a_decode_error(data: bytes, named: str) -> None:
    with pytest.raises(
        FeedUnreadableError, match="cannot be read as an"
    ) as caught:
        read(data, named)
    assert caught.value.error_code == "DECODE_ERROR"
