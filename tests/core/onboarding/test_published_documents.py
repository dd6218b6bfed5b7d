"""Documents as others publish them, read with the proposal of the check as it is."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from dataclasses import dataclass
from typing import Any

import pytest

from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.onboarding.feed_check import check_feed, with_rows
from relay_core.onboarding.feed_sample import FeedSample
from support.builders import tenant_config, vendor_document
from support.normalizing import Written, normalize_vendors
from support.published_documents import (
    FOLDER,
    IN_STOCK_ONCE,
    PURCHASE_ORDER,
    STORE_PRODUCTS,
)
from support.reading import read

TRADE_LINE = (
    "/SCRDMCCBDACIOMessageStructure/SupplyChainTradeTransaction"
    "/IncludedSupplyChainTradeLineItem"
)
INVOICE_LINE = (
    "/CrossIndustryDocument/SpecifiedSupplyChainTradeTransaction"
    "/IncludedSupplyChainTradeLineItem"
)
ORDER_PRICE = (
    "SpecifiedLineTradeAgreement/NetPriceProductTradePrice/ChargeAmount"
)
INVOICE_PRICE = (
    "SpecifiedSupplyChainTradeAgreement/NetPriceProductTradePrice/ChargeAmount"
)
OFFER_COLUMNS = ("sku", "quantity_available", "cost", "price", "title")


@dataclass(frozen=True)
class Published:
    """A document, and what the check and a run are to make of it."""

    changes: dict[str, Any]  # the proposal for a vendor whose format is csv
    record_count: int
    header_count: int
    # The texts of some records, by record number and header
    cells: dict[int, dict[str, str]]
    # SKU, quantity, cost, price and title of some rows of normalized.csv
    offers: list[tuple[str, ...]]
    skipped_count: int = 0


DOCUMENTS = {
    "cd_catalog.xml": Published(
        changes={
            "format": "xml",
            "record": "/CATALOG/CD",
            "column_map": {"sku": "TITLE", "cost": "PRICE"},
            "defaults": IN_STOCK_ONCE,
        },
        record_count=26,
        header_count=6,
        cells={
            1: {
                "TITLE": "Empire Burlesque",
                "ARTIST": "Bob Dylan",
                "COUNTRY": "USA",
                "COMPANY": "Columbia",
                "PRICE": "10.90",
                "YEAR": "1985",
            },
            26: {"TITLE": "Unchain my heart", "PRICE": "8.20"},
        },
        offers=[
            ("Empire Burlesque", "1", "10.90", "", ""),
            ("Midt om natten", "1", "7.80", "", ""),
            ("Unchain my heart", "1", "8.20", "", ""),
        ],
    ),
    "order_x_basic.xml": Published(
        changes={
            "format": "xml",
            "record": TRADE_LINE,
            "column_map": {
                "sku": "SpecifiedTradeProduct/GlobalID",
                "quantity_available": "SpecifiedLineTradeDelivery/RequestedQuantity",
                "cost": ORDER_PRICE,
            },
        },
        record_count=3,
        header_count=17,
        cells={
            1: {
                "AssociatedDocumentLineDocument/LineID": "1",
                "SpecifiedTradeProduct/GlobalID/@schemeID": "0160",
                "SpecifiedTradeProduct/SellerAssignedID": "987654321",
                ORDER_PRICE: "10.00",
            },
            2: {"SpecifiedLineTradeDelivery/RequestedQuantity": "10.00"},
        },
        offers=[
            ("1234567890123", "6", "10.00", "", ""),
            ("548796523", "10", "20.00", "", ""),
            ("854721548", "6", "25.00", "", ""),
        ],
    ),
    "xml_schema_purchase_order.xml": Published(
        changes=PURCHASE_ORDER,
        record_count=2,
        header_count=6,
        cells={
            1: {
                "productName": "Lawnmower",
                "comment": "Confirm this is electric",
                "shipDate": "",
            },
            2: {"@partNum": "926-AA", "shipDate": "1999-05-21"},
        },
        offers=[
            ("872-AA", "1", "148.95", "", ""),
            ("926-AA", "1", "39.98", "", ""),
        ],
    ),
    "zugferd_extended.xml": Published(
        changes={
            "format": "xml",
            "record": INVOICE_LINE,
            "column_map": {
                "sku": "SpecifiedTradeProduct/GlobalID",
                "cost": INVOICE_PRICE,
            },
            "defaults": IN_STOCK_ONCE,
            # The first line of the invoice is a note.
            "skip_rows": [{"column": INVOICE_PRICE, "is": "empty"}],
        },
        record_count=6,
        header_count=43,
        cells={
            2: {
                "SpecifiedTradeProduct/SellerAssignedID": "WA997",
                f"{INVOICE_PRICE}/@currencyID": "EUR",
                INVOICE_PRICE: "0.0520",
            },
            3: {"SpecifiedTradeProduct/Name": "Ökosteuer Lieferant"},
        },
        offers=[
            ("4123456000014", "1", "0.052", "", ""),
            ("4260331811362", "1", "10.50", "", ""),
        ],
        skipped_count=1,
    ),
    "retail_store_products.json": Published(
        changes=STORE_PRODUCTS,
        record_count=9,
        header_count=5,
        cells={
            2: {
                "id": "87e89b11-d319-446d-b9be-50adcca5224a",
                "name": "Up & Away Parasol",
                "price": "125",
                "tags": "clothing",
            },
        },
        offers=[
            (
                "cc789f85-1476-452a-8100-9e74502198e0",
                "1",
                "",
                "250.00",
                "",
            ),
            (
                "d4edfedb-dbe9-4dd9-aae8-009489394955",
                "1",
                "",
                "190.00",
                "",
            ),
        ],
    ),
    "shopify_variants.json": Published(
        changes={
            "format": "json",
            "record": "/variants",
            "column_map": {"quantity_available": "inventory_quantity"},
        },
        record_count=4,
        header_count=18,
        cells={
            1: {
                "price": "199.00",
                "compare_at_price": "",
                "id": "808950810",
                "taxable": "true",
            },
            4: {"sku": "IPOD2008BLACK", "option1": "Black"},
        },
        offers=[
            ("IPOD2008BLACK", "40", "", "199.00", "Black"),
            ("IPOD2008GREEN", "30", "", "199.00", "Green"),
            ("IPOD2008PINK", "10", "", "199.00", "Pink"),
            ("IPOD2008RED", "20", "", "199.00", "Red"),
        ],
    ),
}


def test_the_documents_are_those_that_were_published() -> None:
    provenance = (FOLDER / "PROVENANCE.md").read_text("utf-8")
    digests = dict(
        re.findall(
            r"^## (\S+)\n.*?SHA-256: `([0-9a-f]{64})`", provenance, re.M | re.S
        )
    )
    files = [path for path in FOLDER.iterdir() if path.suffix != ".md"]
    assert digests == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    assert digests.keys() == DOCUMENTS.keys()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_proposal_reads_every_record(name: str) -> None:
    published = DOCUMENTS[name]
    data = (FOLDER / name).read_bytes()
    config = tenant_config(vendor_document())
    vendor = config.vendors[0]
    sample = FeedSample(data, is_whole=True)
    check = with_rows(
        check_feed(sample, vendor.parser, config), sample, vendor, config
    )
    assert dict(check.changes) == published.changes
    assert (check.faults, check.notes) == ((), ())
    rows_left = published.record_count - published.skipped_count
    reading = check.best
    assert (reading.rows, reading.rejected_rows) == (rows_left, 0)
    assert len(reading.headers) == published.header_count
    assert reading.missing == ()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_cells_are_those_of_the_document(name: str) -> None:
    published = DOCUMENTS[name]
    options = {
        option: published.changes[option]
        for option in ("format", "record")
        if option in published.changes
    }
    feed = read((FOLDER / name).read_bytes(), **options)
    assert len(feed.rows) == published.record_count
    assert feed.headers is not None
    for number, expected in published.cells.items():
        cells = dict(zip(feed.headers, feed.rows[number], strict=True))
        assert {header: cells[header] for header in expected} == expected


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_run_with_the_proposal_makes_an_offer_of_each_record(
    name: str,
) -> None:
    published = DOCUMENTS[name]
    config = tenant_config(vendor_document(parser=published.changes))
    feed = VendorFeed.of_one(
        config.vendors[0], (FOLDER / name).read_bytes(), name
    )
    written = Written()
    (vendor,) = normalize_vendors(config, [feed], sink=written)
    rows_left = published.record_count - published.skipped_count
    assert (vendor.total_rows, vendor.invalid_rows) == (rows_left, 0)
    text = written.csv["vendor_1"].decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == rows_left
    offers = [tuple(row[column] for column in OFFER_COLUMNS) for row in rows]
    assert [offer for offer in offers if offer in published.offers] == (
        published.offers
    )
