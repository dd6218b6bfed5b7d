"""What is wrong with a feed under a config, and whether the changes proposed put it right."""

from __future__ import annotations

from typing import Any

import pytest

from relay_core.config import TenantConfig
from relay_core.domain.codes import RowFault
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.formats import OLE2
from relay_core.normalize.result import NormalizedVendor
from relay_core.onboarding.feed_check import (
    FeedCheck,
    check_feed,
    check_file,
    with_rows,
)
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.onboarding.findings import sentences_of
from support.builders import REQUESTED_AT, feed, tenant_config, vendor_document
from support.config_documents import ROOT
from support.normalizing import normalize_vendor, offers_of
from support.workbooks import STYLES, text_row, workbook

# Tiny feeds in the manner of published price lists: what the vendor's options must be to read them.
LISTS: dict[str, tuple[bytes, dict[str, Any], dict[str, Any]]] = {
    "a wine list: Windows-1252, semicolons, decimal commas": (
        "Datotid;Varenummer;Varenavn;Volum;Pris\r\n"
        '2015-05-13T00:21:38;1101;Løiten "Linie";0,70;399,90\r\n'
        ";1201;Märzen, lys;0,50;49,90\r\n".encode("cp1252"),
        {
            "column_map": {
                "sku": "Varenummer",
                "title": "Varenavn",
                "cost": "Pris",
            },
            "defaults": {"quantity_available": "1"},
        },
        {"encoding": "cp1252", "delimiter": ";", "decimal_separator": ","},
    ),
    "a hospital's list: line breaks in headers, dollars, thousands": (
        b'Code,Text," Inpatient \nPrice "\r\n7,SPLINT,"$4,588.85 "\r\n8,GAUZE,$485.00 \r\n',
        {
            "column_map": {
                "sku": "Code",
                "title": "Text",
                "cost": "Inpatient \nPrice",
            },
            "defaults": {"quantity_available": "1"},
        },
        {"thousands_separator": ",", "currency_symbols": ["$"]},
    ),
    "parts by the reel: one byte that is not UTF-8": (
        "Manufacturer,Part #,Description,Stock,Price (USD)\r\n"
        "UNI,0402WG,RESISTOR ±1%,104812,0.0041\r\n".encode("cp1252"),
        {
            "column_map": {
                "sku": "Part #",
                "quantity_available": "Stock",
                "cost": "Price (USD)",
            }
        },
        {"encoding": "cp1252"},
    ),
    "tabs and no header": (
        b"1\t17\t47.8700\t2022-08-28 00:00:00.000\n2\t19\t39.9200\t2022-08-28 00:00:00.000\n",
        {
            "columns": ["sku", "lead_time_days", "cost", "updated_at"],
            "defaults": {"quantity_available": "1"},
        },
        {"delimiter": "\t"},
    ),
    "lines before the header, padded by a spreadsheet": (
        b"ACME price list;;\nas of 2026;;\n\nSKU;Qty;Cost\nA;1;2,50\nB;2;3,00\n",
        {},
        {
            "delimiter": ";",
            "skip_lines": 3,
            "decimal_separator": ",",
            "column_map": {
                "sku": "SKU",
                "quantity_available": "Qty",
                "cost": "Cost",
            },
        },
    ),
    "UTF-16 with tabs": (
        "sku\tquantity_available\tcost\nÄ-1\t1\t2.5\n".encode("utf-16"),
        {},
        {"encoding": "utf-16", "delimiter": "\t"},
    ),
    "apostrophes between thousands and a code in front": (
        b"sku,quantity_available,cost\nA,1,CHF 1'234.50\nB,1,CHF 12.00\n",
        {},
        {"thousands_separator": "'", "currency_symbols": ["CHF"]},
    ),
    "no-break spaces between thousands and a word behind": (
        "sku;quantity_available;cost\nA;1;1\u00a0234,50 kr\nB;2;12,00 kr\n".encode(),
        {"delimiter": ";"},
        {
            "decimal_separator": ",",
            "thousands_separator": " ",
            "currency_symbols": ["kr"],
        },
    ),
    "header names in another case, with other blanks, with a slip": (
        b"Part  no.,ON_HAND,Dealer Prise\nA,1,2\n",
        {
            "column_map": {
                "sku": "Part No",
                "quantity_available": "On hand",
                "cost": "Dealer Price",
            }
        },
        {
            "column_map": {
                "sku": "Part  no.",
                "quantity_available": "ON_HAND",
                "cost": "Dealer Prise",
            }
        },
    ),
    "headings in the list, totals and a line of thanks at its end": (
        b"sku,title,quantity_available,cost\nBRAKES\nB-1,Pad,2,4.00\n,LIGHTS,,\nL-1,Lamp,7,3.00\n"
        b",Total,9,29.00\nThank you,,,\n",
        {},
        {
            "skip_rows": [
                {"column": "cost", "is": "empty"},
                {"column": "title", "is": ["Total"]},
            ]
        },
    ),
    "a shop's export: images, stock below zero": (
        b"Handle,Title,Variant SKU,Variant Inventory Qty,Variant Price,Image Src\n"
        b"drill,Drill,D-1,-2,40.00,http://x/1.jpg\ndrill,,,,,http://x/2.jpg\n"
        b"drill,,D-2,4,,http://x/3.jpg\nsaw,Saw,S-1,3,25.00,http://x/4.jpg\n",
        {
            "column_map": {
                "sku": "Variant SKU",
                "quantity_available": "Variant Inventory Qty",
                "cost": "Variant Price",
            }
        },
        {
            "negative_quantity": "zero",
            "skip_rows": [{"column": "Variant Inventory Qty", "is": "empty"}],
        },
    ),
    "marks and units at quantities": (
        b"sku,quantity_available,cost\nA,>100,2\nB,5+,2\nC,12 pcs,2\nD,~ 40 PCS,2\n",
        {},
        {"quantity_symbols": [">", "+", "pcs", "~"]},
    ),
    "a spreadsheet's serial numbers of days": (
        b"sku,quantity_available,cost,updated_at\nA,1,2,46350\nB,1,2,46350.5\n",
        {},
        {"timestamp_formats": ["excel"]},
    ),
    "inch marks in front of texts": (
        b'sku,title,quantity_available,cost\nA,"1/2 inch bolt,1,2\nB,3/4 inch bolt,1,2\n'
        b'C,"5/8 inch bolt,1,2\nD,Nut,1,2\n',
        {},
        {"quoting": False},
    ),
    "a field too many, blank in each row": (
        b"sku,quantity_available,cost\nA,1,2,\nB,1,2, \nC,1,2,,\n",
        {},
        {"blank_extra_fields": "drop"},
    ),
    "an inch mark and a field too many": (
        b'sku,title,quantity_available,cost\nA,"1/2 inch bolt,1,2,\nB,Nut,1,2,\n',
        {},
        {"quoting": False, "blank_extra_fields": "drop"},
    ),
    "three warehouses": (
        b"sku,Stock East,Stock West,Stock on order,Stock Lake City,cost\nA,1,2,9,,2\nB,,1,9,4,3\n",
        {},
        {
            "column_map": {
                "quantity_available": {
                    "sum": ["Stock East", "Stock West", "Stock Lake City"]
                }
            }
        },
    ),
    "numbered warehouses, and a column of quantities that the config names and the file lacks": (
        b"sku,WH1,WH2,cost\nA,1,2,2\n",
        {"column_map": {"quantity_available": "On hand"}},
        {"column_map": {"quantity_available": {"sum": ["WH1", "WH2"]}}},
    ),
}


def checked(data: bytes, *, is_whole: bool = True, **options: Any) -> FeedCheck:
    config = tenant_config(
        vendor_document(parser=options),
        output={"columns": ["sku", "quantity_available", "price"]},
    )
    return check_feed(
        FeedSample(data, is_whole), config.vendors[0].parser, config
    )


def run_of(config: TenantConfig, data: bytes) -> NormalizedVendor:
    """Return what the engine makes of a feed."""
    vendor = config.vendors[0]
    return normalize_vendor(
        config, vendor, data, file_name="a.csv", requested_at=REQUESTED_AT
    )


@pytest.mark.parametrize("name", LISTS)
def test_the_options_of_a_list_are_found_from_its_bytes(name: str) -> None:
    data, options, expected = LISTS[name]
    check = checked(data, **options)
    assert dict(check.changes) == expected
    assert check.with_changes is not None
    assert (
        check.with_changes.error_message,
        check.with_changes.rejected_rows,
    ) == (
        None,
        0,
    )


@pytest.mark.parametrize("name", LISTS)
def test_a_run_reads_the_whole_list_with_the_options_that_were_found(
    name: str,
) -> None:
    data, options, _ = LISTS[name]
    check = checked(data, **options)
    whole = {**options, **check.changes}
    whole["column_map"] = {
        **options.get("column_map", {}),
        **check.changes.get("column_map", {}),
    }
    config = tenant_config(vendor_document(parser=whole))
    run = run_of(config, data)
    assert (run.status, run.total_rows, run.invalid_rows) == (
        "found",
        check.best.rows,
        0,
    )


@pytest.mark.parametrize("name", LISTS)
def test_with_the_right_options_nothing_is_to_be_changed(name: str) -> None:
    data, options, expected = LISTS[name]
    column_map = {
        **options.get("column_map", {}),
        **expected.get("column_map", {}),
    }
    assert (
        checked(
            data, **{**options, **expected, "column_map": column_map}
        ).changes
        == {}
    )


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (feed("A,1,", "B,,2", "C,,"), {"skip_rows"}),
        (feed("A,,2", "B,1,2"), {"skip_rows"}),
        (
            b'sku,title,quantity_available,cost\n"A","5" bolt","1","2"\n"B,x",1,2\n',
            {"quoting"},
        ),
        (
            feed("A,-,2", "B,<5,2", "C,12 on order,2", "D,5-10,2"),
            {"quantity_symbols"},
        ),
        (b"sku,Qty 1,Qty 2,cost\nA,1,2,2\n", {"column_map"}),
        (b"sku,Stock East,Stock West,cost\nA,B-7,12 weeks,2\n", {"column_map"}),
        (
            b"sku,quantity_available,cost,updated_at\nA,1,2,10001\n",
            {"timestamp_formats"},
        ),
    ],
    ids=[
        "a product lacks each of both columns",
        "a quantity is missing",
        "quotes enclose cells",
        "less than a number, a text, a range",
        "steps of prices",
        "headers like warehouses over other cells",
        "a number of five digits",
    ],
)
def test_what_would_change_more_than_it_mends_is_not_proposed(
    data: bytes, kept: set[str]
) -> None:
    assert not kept & {*checked(data).changes}


def test_numbers_that_a_sheet_shows_with_zeros_in_front_are_read_as_shown() -> (
    None
):
    header = text_row(1, "sku", "quantity_available", "cost")
    cells = '<c r="A2" s="2"><v>417</v></c><c r="B2"><v>3</v></c><c r="C2"><v>2.5</v></c>'
    sheet = f'{header}<row r="2">{cells}</row>'
    data = workbook(sheet, styles=STYLES.replace("dd.mm.yyyy", "000000"))
    check = checked(data, format="xlsx")
    assert check.changes == {"padded_numbers": True}
    config = tenant_config(
        vendor_document(parser={"format": "xlsx", **check.changes})
    )
    assert offers_of(run_of(config, data))["sku"].to_pylist() == ["000417"]
    assert checked(data, format="xlsx", padded_numbers=True).changes == {}


def test_totals_at_the_end_of_a_long_list_are_skipped_and_in_doubt() -> None:
    rows = [f"A{number},1,1.00" for number in range(5_300)]
    upload = FeedSample(feed(*rows, "Grand total:,5300,5300.00"), is_whole=True)
    config = tenant_config()
    vendor = config.vendors[0]
    check = with_rows(
        check_feed(upload, vendor.parser, config), upload, vendor, config
    )
    rule = {"column": "sku", "is": ["Grand total:"]}
    assert check.changes == {"skip_rows": [rule]}
    assert (check.as_sent.rows, check.best.rows) == (5_301, 5_300)
    assert [(doubt.code, doubt.samples) for doubt in check.doubts] == [
        ("totals_line", ("Grand total:",))
    ]
    patched = tenant_config(vendor_document(parser={"skip_rows": [rule]}))
    skus = offers_of(run_of(patched, upload.data))["sku"]
    assert len(skus.unique()) == len(skus)
    vendor = patched.vendors[0]
    again = with_rows(
        check_feed(upload, vendor.parser, patched), upload, vendor, patched
    )
    assert (again.changes, again.doubts) == ({}, ())


def test_headers_that_nothing_is_read_from_are_named_as_columns_of_ones_own() -> (
    None
):
    header = "sku,quantity_available,cost,GTIN / EAN,Größe,Availability,2nd Price,,GTIN-EAN"
    sentence = sentences_of(checked(feed("A,1,2,3,4,5,6,7,8", header=header)))[
        -1
    ]
    assert sentence == (
        "The config does not use 5 headers of the file. To pass a column through to the feed, "
        "add its name to extra_columns, and map it in "
        'parser.column_map: gtin_ean: "GTIN / EAN", grosse: "Größe", '
        'x_availability: "Availability", '
        'x_2nd_price: "2nd Price", '
        'gtin_ean_2: "GTIN-EAN".'
    )


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "tests" / "data" / "feeds").glob("*.?sv")),
    ids=lambda path: path.name,
)
def test_what_a_check_refuses_a_run_refuses(path: Any) -> None:
    data = path.read_bytes()
    options = (
        {"delimiter": "\t", "encoding": "utf-16"}
        if path.suffix == ".tsv"
        else {}
    )
    config = tenant_config(vendor_document(parser=options))
    reading = checked(data, **options).as_sent
    run = run_of(config, data)
    assert reading.is_usable == (run.status == "found")
    assert reading.error_code == (run.fault.error_code if run.fault else None)
    if reading.is_usable:
        assert (reading.rows, reading.rejected_rows) == (
            run.total_rows,
            run.invalid_rows,
        )
        row_faults = {str(code) for code in RowFault}
        refused = {
            rejected_cell.error_code for rejected_cell in reading.rejected_cells
        }
        assert refused == {*run.fault_counts} & row_faults


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (['"1,234"', '"2,500"'], "could mark decimals or thousands"),
        (["€5", "$6"], "EUR, USD"),
    ],
    ids=["either separator", "two currencies"],
)
def test_what_may_mean_two_things_is_left_to_people(
    cells: list[str], note: str
) -> None:
    check = checked(feed(*(f"A,1,{cell}" for cell in cells)))
    assert check.changes == {}
    assert note in "; ".join(check.notes)


def test_one_cell_with_both_separators_tells_how_the_others_are_meant() -> None:
    check = checked(feed('A,1,"1,234"', 'B,1,"1,234.50"'))
    assert check.changes == {"thousands_separator": ","}


def test_numbers_that_would_break_a_default_are_not_changed() -> None:
    data = b"sku;quantity_available;cost\nA;1;4,20\n"
    check = checked(data, delimiter=";", defaults={"msrp": "1.50"})
    assert check.changes == {}
    assert "parser.defaults" in "; ".join(check.notes)


def test_words_for_prices_change_nothing() -> None:
    check = checked(feed("A,1,1.50", "B,1,VARIABLE"))
    assert (check.changes, check.as_sent.rejected_rows) == ({}, 1)


def test_of_two_headers_that_may_both_be_the_column_the_first_is_an_unsure_guess() -> (
    None
):
    data = b"sku,quantity_available,Inpatient Price,Outpatient Price\nA,1,2,3\n"
    check = checked(data)
    assert check.changes == {"column_map": {"cost": "Inpatient Price"}}
    (guess,) = check.guesses
    assert (guess.option, guess.certainty, guess.alternatives) == (
        "column_map.cost",
        "unsure",
        ("Outpatient Price",),
    )


def test_columns_are_looked_for_only_where_the_feed_is_to_hold_them() -> None:
    data = b"sku,quantity_available,cost,Product Name,Maker\nA,1,2,Bolt,ACME\n"
    config = tenant_config(output={"columns": ["sku", "price", "title"]})
    check = check_feed(FeedSample(data, True), config.vendors[0].parser, config)
    assert check.changes == {"column_map": {"title": "Product Name"}}


def test_a_column_that_may_be_left_out_is_not_mapped_to_cells_that_are_refused() -> (
    None
):
    data = b"sku,quantity_available,cost,Condition\nA,1,2,mint\n"
    config = tenant_config(output={"columns": ["sku", "price", "condition"]})
    assert (
        check_feed(
            FeedSample(data, True), config.vendors[0].parser, config
        ).changes
        == {}
    )


def test_a_name_in_a_row_does_not_make_it_the_header() -> None:
    data = b"foo,bar,baz\nsku,1,2\nx,2,3\n"
    assert checked(data).best.headers == ("foo", "bar", "baz")


def test_the_missing_headers_are_those_of_the_config_as_sent() -> None:
    check = checked(b"SKU;Stock\nA;1\n", column_map={"cost": "Preis"})
    assert [(missing.column, missing.header) for missing in check.missing] == [
        ("sku", None),
        ("quantity_available", None),
        ("cost", "Preis"),
    ]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            b"PK\x03\x04",
            "like a ZIP archive or an Excel workbook, but it is damaged",
        ),
        (b"\x1f\x8bno", "like a gzip file, but it is damaged"),
        (b"%PDF-1.7", "a PDF. Export it as CSV"),
        (
            OLE2 + "EncryptedPackage".encode("utf-16-le"),
            "has a password. Save it without",
        ),
    ],
)
def test_what_is_no_feed_is_named(data: bytes, told: str) -> None:
    with pytest.raises(FeedUnreadableError, match=told):
        checked(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n" * 65_536,
        b"," * 65_536,
        b'"' * 65_535,
        b"\x00" * 65_536,
        bytes(range(256)) * 256,
        b",".join(b"%d" % number for number in range(12_000)),
    ],
    ids=[
        "nothing",
        "blank lines",
        "delimiters",
        "quotes",
        "NUL",
        "every byte",
        "numbers",
    ],
)
def test_bytes_of_no_sense_are_told_without_an_error(data: bytes) -> None:
    assert checked(data, is_whole=False).changes == {}


@pytest.mark.parametrize(
    "columns", [None, ["sku", "quantity_available", "cost"]]
)
def test_five_thousand_rows_are_looked_at_with_a_header_and_without(
    columns: list[str] | None,
) -> None:
    options = {} if columns is None else {"columns": columns}
    config = tenant_config(vendor_document(parser=options))
    data = feed(*(f"A{number},1,1.00" for number in range(5_300)))
    rows = data if columns is None else data.split(b"\n", 1)[1]
    check = check_feed(
        FeedSample(rows, is_whole=True), config.vendors[0].parser, config
    )
    assert check.as_sent.rows == 5_000


def test_one_pass_proposes_the_price_its_style_and_a_quantity() -> None:
    data = b'SKU,1/1/19 Fee,Free text\nA,"$1,970.00",x\nB,$178.00,y\n'
    check = checked(data, column_map={"sku": "SKU"})
    assert check.changes == {
        "column_map": {"cost": "1/1/19 Fee"},
        "defaults": {"quantity_available": "1"},
        "thousands_separator": ",",
        "currency_symbols": ["$"],
    }
    assert check.currencies == {"USD"}
    assert check.unknown == {}
    assert [
        (guess.option, guess.value, guess.certainty) for guess in check.guesses
    ] == [
        ("column_map.cost", "1/1/19 Fee", "likely"),
        ("defaults.quantity_available", "1", "likely"),
    ]


def test_what_a_run_would_refuse_the_file_for_hides_no_refused_cells() -> None:
    check = checked(b"sku,cost\nA,VARIABLE\nB,2\n")
    assert check.as_sent.error_code == "missing_required_columns"
    assert [
        (rejected_cell.column, rejected_cell.value)
        for rejected_cell in check.as_sent.rejected_cells
    ] == [("cost", "VARIABLE")]


PRODUCT_LISTS = {
    "another delimiter": b"SKU;gtin;brand\nA;4006381333931;x;\nB;;y;\n",
    "another encoding": "SKU,gtin,brand\nA,,Müller\n".encode("cp1252"),
    "lines before the header": b"Products\n\nSKU,gtin,brand\nA,,x\nB,,y\n",
    "another header": b"Artikelnummer,gtin,brand\nA,,x\nB,,y\n",
    "JSON Lines": b'{"sku": "A", "gtin": ""}\n{"sku": "B", "gtin": ""}\n',
}


@pytest.mark.parametrize("name", PRODUCT_LISTS)
def test_the_catalog_gets_the_changes_that_a_vendor_with_its_file_gets(
    name: str,
) -> None:
    """Only columns that the catalog has are mapped; the vendor gets the others by default."""
    parser = {"format": "csv", "column_map": {"sku": "SKU"}}
    vendor_parser = {
        **parser,
        "defaults": {"quantity_available": "1", "cost": "1"},
    }
    config = tenant_config(
        vendor_document(parser=vendor_parser),
        extra_columns=["gtin"],
        gtin_column="gtin",
        catalog={"inbound": {"type": "local"}, "parser": parser},
    )
    catalog = config.catalog_input
    assert catalog is not None
    of_catalog = check_file(PRODUCT_LISTS[name], catalog, config)
    of_vendor = check_file(PRODUCT_LISTS[name], config.vendors[0], config)
    assert of_catalog.changes == of_vendor.changes != {}
    assert of_catalog.best.rejected_rows == 0


def test_an_extra_column_whose_header_is_missing_is_asked_for() -> None:
    config = tenant_config(
        vendor_document(parser={"column_map": {"gtin": "ean"}}),
        extra_columns=["gtin"],
        gtin_column="gtin",
    )
    data = b"sku,cost,quantity_available,code 2\nA,1,5,4006381333931\nB,1,5,\n"
    check = check_file(data, config.vendors[0], config)
    assert [candidate.header for candidate in check.unknown["gtin"]] == [
        "code 2"
    ]
