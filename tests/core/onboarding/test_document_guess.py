"""JSON documents and XML without a word on their records: the check proposes the path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relay_core.domain.errors import FeedUnreadableError
from relay_core.onboarding import document_guess
from relay_core.onboarding.check_results import FeedCheck
from relay_core.onboarding.feed_check import check_feed
from relay_core.onboarding.feed_sample import FeedSample
from support.builders import tenant_config, vendor_document

# The shapes are those of Google's product feeds, Yandex's YML, BMEcat, and of two APIs.
GOOGLE = """\
<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0">
 <channel>
  <title>Nordic Tools</title><link>https://example.com</link>
  <item><g:sku>A-1</g:sku><g:quantity>3</g:quantity><g:cost>1.50</g:cost></item>
  <item><g:sku>A-2</g:sku><g:quantity>0</g:quantity><g:cost>7</g:cost></item>
 </channel>
</rss>"""
YML = """\
<?xml version="1.0" encoding="windows-1251"?>
<!DOCTYPE yml_catalog SYSTEM "shops.dtd">
<yml_catalog date="2026-11-30"><shop>
 <currencies><currency id="RUR" rate="1"/></currencies>
 <offers>
  <offer sku="A-1"><cost>1.50</cost><quantity>3</quantity><name>Пила</name></offer>
  <offer sku="A-2"><cost>7</cost><quantity>0</quantity><name>Гвоздь</name></offer>
 </offers>
</shop></yml_catalog>"""
BMECAT = """\
<?xml version="1.0" encoding="UTF-8"?>
<BMECAT version="1.2"><HEADER><CATALOG><LANGUAGE>deu</LANGUAGE></CATALOG></HEADER>
 <T_NEW_CATALOG>
  <ARTICLE><SKU>A-1</SKU><COST>1.50</COST><QUANTITY>3</QUANTITY></ARTICLE>
  <ARTICLE><SKU>A-2</SKU><COST>7</COST><QUANTITY>0</QUANTITY></ARTICLE>
 </T_NEW_CATALOG>
</BMECAT>"""
VARIANTS = {
    "products": [
        {
            "title": "Saw",
            "variants": [
                {"sku": "A-1", "quantity": 3, "cost": "1.50"},
                {"sku": "A-2", "quantity": 0, "cost": "7"},
            ],
        }
    ]
}
PAGE = {
    "meta": {"page": 1, "pages": 1},
    "data": {"items": VARIANTS["products"][0]["variants"]},
}
DOCUMENTS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "Google": (
        GOOGLE.encode(),
        {"format": "xml", "record": "/rss/channel/item"},
    ),
    "YML": (
        YML.encode("cp1251"),
        {"format": "xml", "record": "/yml_catalog/shop/offers/offer"},
    ),
    "BMEcat": (
        BMECAT.encode(),
        {"format": "xml", "record": "/BMECAT/T_NEW_CATALOG/ARTICLE"},
    ),
    "variants": (
        json.dumps(VARIANTS, indent=2).encode(),
        {"format": "json", "record": "/products/variants"},
    ),
    "variants on one line": (
        json.dumps(VARIANTS).encode(),
        {"format": "json", "record": "/products/variants"},
    ),
    "a page of an API": (
        json.dumps(PAGE).encode(),
        {"format": "json", "record": "/data/items"},
    ),
    "a list": (
        json.dumps(PAGE["data"]["items"], indent=1).encode("utf-16"),
        {"format": "json", "encoding": "utf-16"},
    ),
}


def checked(data: bytes, *, is_whole: bool = True, **parser: Any) -> FeedCheck:
    config = tenant_config(vendor_document(parser=parser))
    return check_feed(
        FeedSample(data, is_whole), config.vendors[0].parser, config
    )


@pytest.mark.parametrize("name", DOCUMENTS)
def test_format_and_record_are_found(name: str) -> None:
    data, expected = DOCUMENTS[name]
    check = checked(data, format="csv")
    changes = dict(check.changes)
    changes.pop("column_map", None)
    assert changes == expected
    assert check.with_changes is not None
    assert (check.with_changes.rows, check.with_changes.rejected_rows) == (2, 0)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_with_the_right_path_nothing_is_to_be_changed(name: str) -> None:
    data, options = DOCUMENTS[name]
    changes = checked(data, format="csv").changes
    check = checked(data, **options, column_map=changes.get("column_map", {}))
    assert check.changes == {}
    assert (check.as_sent.rows, check.as_sent.rejected_rows) == (2, 0)


def test_a_wrong_path_is_corrected() -> None:
    check = checked(GOOGLE.encode(), format="xml", record="/rss/item")
    assert check.changes["record"] == "/rss/channel/item"


def test_the_shorter_of_two_equal_paths_is_the_record() -> None:
    offer = '<o><sku>{}</sku><stock a="1"><quantity>3</quantity></stock><cost>2</cost></o>'
    text = f"<c>{offer.format('A')}{offer.format('B')}</c>"
    check = checked(text.encode(), format="csv")
    assert check.changes["record"] == "/c/o"


STOCKS = """
 <stock><warehouse>1</warehouse><qty>3</qty></stock>
 <stock><warehouse>2</warehouse><qty>4</qty></stock>"""


@pytest.mark.parametrize(
    "product",
    [
        "<sku>A-{n}</sku><cost>2.50</cost>{stocks}",
        "<ids><artno>A-{n}</artno><sku>{n}</sku></ids><cost>2</cost>{stocks}",
        "<id>A-{n}</id><cost>2.50</cost>{stocks}",
        "<sku>A-{n}</sku><stock id='1'>3</stock><stock id='2'>4</stock>",
    ],
    ids=["plainly", "deeper", "by a common name", "beside ids of stocks"],
)
def test_the_record_is_what_has_the_sku_even_if_more_stocks_have_headers(
    product: str,
) -> None:
    products = "".join(
        f"<product>{product.format(n=n, stocks=STOCKS)}</product>"
        for n in range(3)
    )
    text = f"<catalog>{products}</catalog>"
    check = checked(text.encode(), format="csv")
    assert check.changes["record"] == "/catalog/product"


def test_the_header_that_is_mapped_to_the_sku_tells_the_record() -> None:
    offers = [
        {"key": f"A-{n}", "stocks": [{"id": m, "qty": m} for m in (1, 2)]}
        for n in range(3)
    ]
    data = json.dumps({"offers": offers}, indent=1).encode()
    check = checked(data, format="csv", column_map={"sku": "key"})
    assert check.changes["record"] == "/offers"


def test_ids_of_categories_do_not_make_them_the_records() -> None:
    categories = "".join(f'<c id="{n}" parent="{n}"/>' for n in range(2))
    offers = "".join(
        f"<offer><name>Saw {n}</name><cost>{n}.50</cost></offer>"
        for n in range(3)
    )
    text = f"<shop><cs>{categories}</cs><offers>{offers}</offers></shop>"
    check = checked(text.encode(), format="csv")
    assert check.changes["record"] == "/shop/offers/offer"


def test_an_object_of_one_line_with_a_list_of_stocks_is_json_lines() -> None:
    stocks = [{"warehouse": 1, "qty": 3}, {"warehouse": 2, "qty": 4}]
    line = {"sku": "A-1", "cost": "1.50", "stocks": stocks}
    check = checked(json.dumps(line).encode(), format="csv")
    assert check.changes["format"] == "jsonl"


def test_one_line_with_an_object_is_json_lines() -> None:
    line = b'{"sku": "A-1", "quantity_available": 3, "cost": "1.50"}\n'
    assert checked(line, format="csv").changes["format"] == "jsonl"
    assert checked(line, format="json").changes == {}


def test_a_broken_document_is_named() -> None:
    check = checked(
        GOOGLE.encode()[:-20], format="xml", record="/rss/channel/item"
    )
    assert check.as_sent.error_code == "DECODE_ERROR"
    assert "not well-formed XML: line 6" in str(check.as_sent.error_message)
    assert check.changes == {}


def test_the_beginning_of_a_document_cannot_be_checked() -> None:
    with pytest.raises(FeedUnreadableError, match="too large to be checked"):
        checked(GOOGLE.encode(), is_whole=False, format="csv")


def test_codes_with_a_hyphen_are_not_taken_for_ranges_of_amounts() -> None:
    books = [
        {"id": "978-0641723445", "pages_i": 384, "price": 12.5},
        {"id": "978-1423103349", "pages_i": 304, "price": 6.49},
    ]
    check = checked(json.dumps(books, indent=1).encode(), format="csv")
    assert check.changes["column_map"]["sku"] == "id"


def test_the_net_price_goes_before_the_gross_price() -> None:
    lines = [
        {"code": "A-1", "grossProductPrice": 15, "netProductPrice": 10.5},
        {"code": "A-2", "grossProductPrice": 2.4, "netProductPrice": 2},
    ]
    check = checked(json.dumps(lines, indent=1).encode(), format="csv")
    assert check.changes["column_map"]["cost"] == "netProductPrice"


def test_a_company_that_repeats_is_not_the_sku_of_a_list_of_titles() -> None:
    records = [
        {"title": "Empire Burlesque", "company": "Columbia", "cost": 10.9},
        {"title": "Greatest Hits", "company": "RCA", "cost": 9.9},
        {"title": "Still got the blues", "company": "Virgin", "cost": 10.2},
        {"title": "Hide your heart", "company": "RCA", "cost": 9.8},
    ]
    check = checked(json.dumps(records, indent=1).encode(), format="csv")
    assert check.changes["column_map"] == {"sku": "title"}


def test_a_right_record_needs_no_survey_of_the_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def survey(_text: object) -> None:
        pytest.fail("the document was surveyed")

    monkeypatch.setattr(document_guess, "survey_xml", survey)
    check = checked(GOOGLE.encode(), format="xml", record="/rss/channel/item")
    assert "record" not in check.changes


def test_a_record_with_too_many_headers_is_kept() -> None:
    cells = "".join(f"<c{number}>1</c{number}>" for number in range(1_100))
    more_records = "<q><sku>1</sku><cost>2</cost></q>" * 2
    data = f"<a><p>{cells}</p>{more_records}</a>".encode()
    check = checked(data, format="xml", record="/a/p")
    assert check.as_sent.error_code == "invalid_input"
    assert "record" not in check.changes
