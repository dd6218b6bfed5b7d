"""The names that price lists commonly give to the canonical columns.

Names are compared by their plain words: in lower case, without punctuation.
"""

import difflib
import re
from collections.abc import Sequence
from functools import lru_cache

from relay_core.config import ParserConfig

MAX_HEADERS = 200
"""The number of headers of a file that are compared with names."""
_MAX_LENGTH = 80  # the number of characters of a header that are compared
_NUMBER_WORDS = frozenset(("no", "nr", "num", "nbr", "number", "nummer"))
_BRACKETS_AT_END = re.compile(r"[(\[][^()\[\]]*[)\]]\s*$")
# By column, the most certain name first.
_NAMES: dict[str, str] = {
    "sku": "sku, item sku, part number, item number, article number, product number, "
    "stock number, catalog number, product code, item code, part code, stock code, "
    "article code, charge code, charge number, cdm number, cdm code, cdm, "
    "chargemaster number, service code, procedure code, procedure id, procedure number, "
    "px code, item num, part num, supply number, material number, catalogue number, "
    "artikelnummer, art nr, artikel nr, art, teilenummer, varenummer, referencia, "
    "reference, code, material, procedure, part, item, article, product id, item id, id",
    "vendor_sku": "vendor sku, supplier sku, vendor part number, supplier part number, "
    "manufacturer part number, mfr part number, mfg part number, mpn",
    "quantity_available": "quantity available, qty available, available quantity, "
    "available qty, quantity on hand, qty on hand, on hand, quantity, qty, available, "
    "stock on hand, stock qty, stock quantity, stock level, current stock, in stock, "
    "stock, inventory, soh, qoh, bestand, lagerbestand, menge, verfügbar, lagersaldo, "
    "antall",
    "lead_time_days": "lead time days, lead time, leadtime, days, delivery days, "
    "lieferzeit",
    "cost": "cost, your cost, unit cost, cost price, dealer cost, net cost, net price, "
    "dealer price, wholesale price, wholesale, your price, purchase price, buy price, "
    "einkaufspreis, ek, ek preis, nettopreis, unit price, price each, price, "
    "gross charge, gross charges, standard charge, standard charges, standard price, "
    "charge amount, charge, charges, charge price, fee, rate, amount, preis, pris, "
    "precio, prix",
    "map_price": "map price, map, minimum advertised price",
    "price": "price",
    "msrp": "msrp, msrp price, list price, retail price, rrp, srp, "
    "suggested retail price, uvp",
    "condition": "condition, cond, zustand",
    "brand": "brand, manufacturer, mfr, mfg, make, hersteller, marke, produsent",
    "title": "title, product name, item name, name, description, product description, "
    "item description, part description, charge description, bezeichnung, "
    "beschreibung, varenavn",
    "updated_at": "updated at, last updated, updated, last modified, modified date, "
    "timestamp, stand",
}
_TEXT_OF_PRICE_WORDS = (
    "price prices pricing cost costs charge charges fee fees rate rates amount tariff net "
    "gross wholesale dealer msrp rrp retail list preis pris precio prix prezzo cash usd "
    "eur gbp"
)
_PRICE_WORDS = frozenset(_TEXT_OF_PRICE_WORDS.split())
_TEXT_OF_NO_PRICE_WORDS = (
    "qty quantity count units code codes id number no rev revenue cpt hcpcs ndc drg weight "
    "size pack min max minimum maximum discount percent pct tax vat date year dept "
    "department modifier age volume length width height stock hand lead days type class "
    "description desc name"
)
_NO_PRICE_WORDS = frozenset(_TEXT_OF_NO_PRICE_WORDS.split())
_TEXT_OF_CODE_WORDS = (
    "sku code id number num part item cdm procedure material catalog catalogue model ndc "
    "upc ean gtin isbn mnemonic article chargemaster product supply px sim ref reference "
    "key charge service artikel"
)
_CODE_WORDS = frozenset(_TEXT_OF_CODE_WORDS.split())
_TEXT_OF_NO_CODE_WORDS = (
    "description desc name title price cost charges fee rate amount qty quantity date "
    "department dept category class type group rev revenue unit uom size pack brand "
    "manufacturer mfr mfg vendor supplier status modifier location facility hospital "
    "address notes note text gl account tax drg url link image stock inventory hand "
    "company artist author publisher country year"
)
_NO_CODE_WORDS = frozenset(_TEXT_OF_NO_CODE_WORDS.split())
_OFTEN_REPEATED_CODES = frozenset(
    ("cpt", "hcpcs", "billing", "ms", "drg", "apc")
)
_TEXT_OF_STOCK_WORDS = (
    "qty quantity stock inventory onhand hand available bestand lager antall"
)
STOCK_WORDS = frozenset(_TEXT_OF_STOCK_WORDS.split())
"""The words of headers of quantities."""
_TEXT_OF_NO_STOCK_WORDS = (
    "min max minimum maximum order ordered reorder pack box case pallet incoming transit "
    "reserved price value cost code number name id date status unit"
)
NO_STOCK_WORDS = frozenset(_TEXT_OF_NO_STOCK_WORDS.split())
"""The words of headers whose numbers are not in stock."""


@lru_cache(maxsize=4096)
def plain_words(header: str) -> tuple[str, ...]:
    """Return a header's words in lower case, without marks and a bracketed ending.

    `#`, `No.` and `Nr.` become the word `number`, unless they are the whole header.
    """
    text = _BRACKETS_AT_END.sub("", header.strip()[:_MAX_LENGTH])
    if not text:
        text = header[:_MAX_LENGTH]
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    words = re.findall(r"[^\W_]+", text.replace("#", " number ").casefold())
    if len(words) > 1:
        words = ["number" if word in _NUMBER_WORDS else word for word in words]
    return tuple(words)


def joined_words(header: str) -> str:
    """Return a header's plain words as one word, the form in which names are compared."""
    return "".join(plain_words(header))


@lru_cache(maxsize=32)
def ranks_of(column: str) -> dict[str, int]:
    """Return the common names of a column, joined, with their ranks from 0.

    An extra column has only its own name, which the tenant has chosen.
    """
    ranks: dict[str, int] = {}
    for rank, name in enumerate(_NAMES.get(column, column).split(",")):
        ranks.setdefault(joined_words(name), rank)
    return ranks


@lru_cache(maxsize=1)
def common_names() -> frozenset[str]:
    """Return the common names of all columns, joined."""
    return frozenset(name for column in _NAMES for name in ranks_of(column))


def known_names(parser: ParserConfig) -> frozenset[str]:
    """Return the joined names that the config maps, and those that are common."""
    mapped_names = {
        joined_words(name)
        for names in parser.mapped_headers.values()
        for name in names
    }
    return common_names() | mapped_names


def count_known(cells: Sequence[str], names: frozenset[str]) -> int:
    """Return the number of a record's cells that are among the joined names."""
    return sum(joined_words(cell) in names for cell in cells[:MAX_HEADERS])


def similarity(joined_name: str, other_name: str) -> float:
    """Return the similarity of two joined names, from 0 to 1."""
    return difflib.SequenceMatcher(None, joined_name, other_name).ratio()


def likeness_to_code(header: str) -> float:
    """Return how much a header names the identity of a product, from -0.6 to 1."""
    rank = ranks_of("sku").get(joined_words(header))
    if rank is not None:
        return 1.0 - rank / 200
    words = frozenset(plain_words(header))
    if not words.isdisjoint(_NO_CODE_WORDS):
        return -0.6
    if not words.isdisjoint(_OFTEN_REPEATED_CODES):
        return 0.0
    return 0.4 if not words.isdisjoint(_CODE_WORDS) else 0.0


def likeness_to_price(header: str) -> float:
    """Return how much a header names what a product costs, from -0.8 to 1."""
    joined = joined_words(header)
    rank = ranks_of("cost").get(joined)
    if rank is not None:
        return 1.0 - rank / 200
    words = frozenset(plain_words(header))
    if not words.isdisjoint(_NO_PRICE_WORDS):
        return -0.8
    if joined in ranks_of("msrp") or joined in ranks_of("map_price"):
        return 0.4
    if "net" in words:
        # Of a net and a gross price, the net price is what a product costs.
        return 0.65
    return 0.6 if not words.isdisjoint(_PRICE_WORDS) else 0.0


def contains_phrase(words: Sequence[str], phrase: Sequence[str]) -> bool:
    """Return whether the words contain a phrase."""
    size = len(phrase)
    return any(
        tuple(words[start : start + size]) == tuple(phrase)
        for start in range(len(words))
    )
