"""docs/OUTPUTS.md: each example gives the file below it, and keeps the rules beside it."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest

from relay_core.config import load_config, parse_document
from relay_core.config.values import is_currency
from support.pages import PAGES
from support.reported_runs import KEYS, go_through_document

PAGE = PAGES["docs/OUTPUTS.md"]
SMALLEST = re.findall(r"```yaml\n(.*?)```", PAGES["docs/CONFIG.md"], re.DOTALL)[
    0
]
(UPLOAD, *_) = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)
EXAMPLES = re.findall(
    r"### ([^\n]+)\n\n```yaml\n(.*?)```\n\n```(?:csv|tsv|json)\n(.*?)```",
    PAGE,
    re.DOTALL,
)
AVAILABILITIES = {"in_stock", "out_of_stock", "preorder", "backorder"}
Row = dict[str, str]


def test_every_example_of_the_page_is_tried() -> None:
    assert len(EXAMPLES) == PAGE.count("```yaml") == 6


@pytest.mark.parametrize(
    ("example", "file"),
    [pytest.param(*example, id=title) for title, *example in EXAMPLES],
)
def test_an_example_of_the_page_gives_the_file_below_it(
    example: str, file: str
) -> None:
    document = {
        **parse_document(SMALLEST, format="yaml"),
        **parse_document(example, format="yaml"),
    }
    config = load_config(document)
    run = go_through_document(document, {"vendor_1": UPLOAD.encode()})
    key = KEYS.merged_inventory(config.output.format)
    for channel in config.channels:
        key = KEYS.channel(channel.channel_id, channel.output.suffix)
    data = run.files[key]
    if key.endswith(".gz"):
        data = gzip.decompress(data)
    assert data.decode() == file


# --- the rules that shops and marketplaces publish ------------------------------------


def file_of(title: str) -> str:
    (file,) = (file for name, _, file in EXAMPLES if name.startswith(title))
    return str(file)


def rows_of(title: str, delimiter: str = ",") -> list[Row]:
    text = io.StringIO(file_of(title), newline="")
    return list(csv.DictReader(text, delimiter=delimiter))


def column(rows: Sequence[Row], name: str) -> list[str]:
    return [row[name] for row in rows]


def are_unique(cells: Sequence[str], most_characters: int) -> bool:
    fit = all(0 < len(cell) <= most_characters for cell in cells)
    return fit and len({*cells}) == len(cells)


def is_price_with_currency(cell: str) -> bool:
    amount, _, currency = cell.partition(" ")
    return Decimal(amount) > 0 and is_currency(currency)


def test_shopify() -> None:
    rows = rows_of("Shopify")
    assert all(cell.isdigit() for cell in column(rows, "On hand (new)"))
    marked = [name for name in rows[0] if name.endswith("(not editable)")]
    assert len(marked) == 4
    for name in marked:
        assert column(rows, name) == ["", ""]
    assert all(column(rows, "Location"))
    assert are_unique(column(rows, "SKU"), 255)


def test_google() -> None:
    rows = rows_of("Google", "\t")
    assert are_unique(column(rows, "id"), 50)
    assert all(map(is_price_with_currency, column(rows, "price")))
    assert {*column(rows, "availability")} <= AVAILABILITIES


def test_amazon() -> None:
    rows = rows_of("Amazon", "\t")
    assert are_unique(column(rows, "sku"), 40)
    assert all(Decimal(cell) > 0 for cell in column(rows, "price"))
    assert all(cell.isdigit() for cell in column(rows, "quantity"))
    assert all(row["price"] or row["quantity"] for row in rows)


def test_openai() -> None:
    rows = rows_of("OpenAI")
    assert "compression: gzip" in PAGE.split("### OpenAI")[1]
    assert len(rows) <= 500_000
    for row in rows:
        assert {row["is_eligible_search"], row["is_eligible_checkout"]} <= {
            "true",
            "false",
        }
        is_bought = row["is_eligible_checkout"] == "true"
        assert not is_bought or row["is_eligible_search"] == "true"
        assert re.fullmatch("[A-Z]{2}", row["store_country"])
    assert are_unique(column(rows, "item_id"), 100)
    assert all(map(is_price_with_currency, column(rows, "price")))
    assert {*column(rows, "availability")} <= {"in_stock", "out_of_stock"}
    required = ("title", "description", "url", "brand", "image_url")
    assert all(row[name] for row in rows for name in required)


def test_stripe() -> None:
    rows = rows_of("Stripe")
    assert are_unique(column(rows, "id"), 99)
    lengths: dict[str, Callable[[str], bool]] = {
        "title": lambda cell: 0 < len(cell) < 150,
        "description": lambda cell: len(cell) < 5_000,
    }
    for name, fits in lengths.items():
        assert all(map(fits, column(rows, name)))
    assert {*column(rows, "availability")} <= AVAILABILITIES
    conditions = {"new", "refurbished", "used"}
    assert {*column(rows, "condition")} <= conditions
    assert all(cell.isdigit() for cell in column(rows, "inventory_quantity"))
