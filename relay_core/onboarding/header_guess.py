"""The canonical columns that a feed's headers probably are, and candidates for the others.

Only names that speak for themselves are matched: the name that the config gives, in another case,
with other blanks or a slip of the pen; names that price lists commonly use; and, where just one
header has it, a word of that column. Candidates are found by their cells, ordered by their names,
and map nothing: people choose.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import tzinfo
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from statistics import median_low

from relay_core.config import ParserConfig
from relay_core.domain.cell_rules import MONEY_UNIT, read_money
from relay_core.domain.columns import CANONICAL_COLUMNS, JUDGED_COLUMNS, MONEY_COLUMNS
from relay_core.domain.errors import CellError
from relay_core.ingest.column_mapping import wanted_headers
from relay_core.onboarding.cell_guess import is_read
from relay_core.onboarding.check_results import Candidate

_LIKE_ENOUGH, _LONG_ENOUGH = 0.85, 5
_MAX_LENGTH = 80
_MAX_HEADERS = 200
_NUMBER_WORDS = frozenset(("no", "nr", "num", "nbr", "number", "nummer"))
# By column, the surest first.
_NAMES: dict[str, str] = {
    "sku": "sku, item sku, part number, item number, article number, product number, stock number, "
    "catalog number, product code, item code, part code, stock code, article code, charge code, "
    "artikelnummer, art nr, artikel nr, teilenummer, varenummer, referencia, reference, "
    "part, item, article, product id, item id, id",
    "vendor_sku": "vendor sku, supplier sku, vendor part number, supplier part number, "
    "manufacturer part number, mfr part number, mfg part number, mpn",
    "quantity_available": "quantity available, qty available, available quantity, available qty, "
    "quantity on hand, qty on hand, on hand, quantity, qty, available, stock on hand, stock qty, "
    "stock quantity, stock level, current stock, in stock, stock, inventory, soh, qoh, "
    "bestand, lagerbestand, menge, verfügbar, lagersaldo, antall",
    "lead_time_days": "lead time days, lead time, leadtime, days, delivery days, lieferzeit",
    "cost": "cost, your cost, unit cost, cost price, dealer cost, net cost, net price, "
    "dealer price, wholesale price, wholesale, your price, purchase price, buy price, "
    "einkaufspreis, ek, ek preis, nettopreis, unit price, price each, price, amount, preis, pris, "
    "precio, prix",
    "map_price": "map price, map, minimum advertised price",
    "price": "price",
    "msrp": "msrp, msrp price, list price, retail price, rrp, srp, suggested retail price, uvp",
    "condition": "condition, cond, zustand",
    "brand": "brand, manufacturer, mfr, mfg, make, hersteller, marke, produsent",
    "title": "title, product name, item name, name, description, product description, "
    "item description, part description, charge description, bezeichnung, beschreibung, varenavn",
    "updated_at": "updated at, last updated, updated, last modified, modified date, timestamp, "
    "stand",
}
# Words that tell where just one header has them.
_WORDS: dict[str, str] = {
    "sku": "sku, part number, item number",
    "quantity_available": "qty, quantity, stock",
    "cost": "cost, price",
}
_ANY_PRICES = frozenset(
    ("unitprice", "priceeach", "price", "amount", "preis", "pris", "precio", "prix")
)
"""Names that a cost has where it is the only price."""
_STOCK_WORDS = "qty quantity stock bestand"
_WAREHOUSE_WORDS = "lager warehouse whse wh depot dc branch store"
# Words of headers whose numbers are not what a warehouse has.
_NO_STOCK = (
    "min max minimum maximum order ordered reorder pack box case carton pallet incoming transit "
    "reserved allocated eta total sum unit uom value cost price code name id status date number"
)
MAX_WAREHOUSES = 20
_MAX_TEXTS = 200
_FIT = 0.9
"""So great a share of a candidate's cells must be what the column holds; others may be slips."""
_MAX_CANDIDATES, _MAX_SAMPLES = 5, 3


@lru_cache(maxsize=4096)
def plain_words(header: str) -> tuple[str, ...]:
    """Return a header's words in lower case, without marks and what stands in brackets at its end.

    ``#``, ``No.`` and ``Nr.`` are the word ``number``, where they are not the whole header.
    """
    text = (
        re.sub(r"[(\[][^()\[\]]*[)\]]\s*$", "", header.strip()[:_MAX_LENGTH])
        or header[:_MAX_LENGTH]
    )
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    words = re.findall(r"[^\W_]+", text.replace("#", " number ").casefold())
    if len(words) > 1:
        words = ["number" if word in _NUMBER_WORDS else word for word in words]
    return tuple(words)


def known_names(parser: ParserConfig) -> frozenset[str]:
    """Return the names that the config gives to headers, and those that price lists have."""
    return _all_names() | {
        _joined(name) for names in parser.mapped_headers.values() for name in names
    }


def count_known(cells: Sequence[str], names: frozenset[str]) -> int:
    """Return how many cells of a record are names of headers."""
    return sum(_joined(cell) in names for cell in cells[:_MAX_HEADERS])


def match_headers(
    headers: Sequence[str], parser: ParserConfig, columns: Collection[str]
) -> dict[str, str]:
    """Return the header of each column that has none as the config stands, where one is sure.

    ``columns`` are wanted beside those that the config maps.
    """
    names = [header.strip() for header in headers[:_MAX_HEADERS]]
    wanted = wanted_headers(names, parser)
    taken = {
        header for headers in wanted.values() for header in headers if header in names
    }
    found: dict[str, str] = {}
    for column in CANONICAL_COLUMNS:
        if column == "vendor_id" or set(wanted.get(column, ("",))) <= set(names):
            continue
        if not isinstance(parser.column_map.get(column, column), str):
            continue  # what stands in for several headers is for people to say
        if column not in parser.column_map and (
            column not in columns or column in parser.defaults
        ):
            continue
        free = [name for name in dict.fromkeys(names) if name and name not in taken]
        name = wanted.get(column, (column,))[0]
        header = _match(column, name, free)
        if column == "cost" and header is not None and _has_rivals(header, name, free):
            continue
        if header is not None:
            found[column] = header
            taken.add(header)
    return found


def warehouse_headers(headers: Iterable[str]) -> tuple[str, ...]:
    """Return headers that are surely the stock of one warehouse each; none where fewer than two.

    They share a word for stock, and each has another one besides; or one for a warehouse, and each
    has a word or a number besides. Numbers beside quantities may be steps of prices.
    """
    excluding, stock = {*_NO_STOCK.split()}, _STOCK_WORDS.split()
    for word in (*stock, *_WAREHOUSE_WORDS.split()):
        found: dict[tuple[str, ...], str] = {}
        for header in headers:
            words = re.findall(r"[^\W\d_]+|\d+", " ".join(plain_words(header)))
            others = tuple(each for each in words if each != word)
            tells = any(not each.isdecimal() for each in others) or (
                others and word not in stock
            )
            if word in words and tells and excluding.isdisjoint(words):
                found.setdefault(others, header)
        if 2 <= len(found) <= MAX_WAREHOUSES:
            return tuple(found.values())
    return ()


def candidates(
    column: str, cells: Mapping[str, Sequence[str]], parser: ParserConfig, zone: tzinfo
) -> tuple[Candidate, ...]:
    """Return the headers whose cells a column could hold, those with near names first.

    Cells are trimmed and not null, of each header that nothing is read from.
    """
    fitting = [
        header
        for header, texts in cells.items()
        if texts and _fits(column, texts[:_MAX_TEXTS], parser, zone)
    ]
    names = (column, *_ranks(column))
    scores = {
        header: max(_likeness(_joined(header), name) for name in names)
        for header in fitting
    }
    nearest = sorted(fitting, key=lambda header: -scores[header])
    return tuple(
        Candidate(
            header,
            round(scores[header], 2),
            tuple(islice(dict.fromkeys(cells[header]), _MAX_SAMPLES)),
            _median(cells[header], parser) if column in MONEY_COLUMNS else "",
        )
        for header in nearest[:_MAX_CANDIDATES]
    )


def _fits(
    column: str, texts: Sequence[str], parser: ParserConfig, zone: tzinfo
) -> bool:
    if column == "sku":
        return len(set(texts)) >= _FIT * len(texts)
    if column not in JUDGED_COLUMNS:
        return True
    return sum(is_read(column, text, parser, zone) for text in texts) >= _FIT * len(
        texts
    )


def _median(texts: Sequence[str], parser: ParserConfig) -> str:
    """Return the middle amount of the texts that are amounts."""
    amounts = []
    for text in texts[:_MAX_TEXTS]:
        with suppress(CellError):
            amounts.append(read_money(text, parser))
    return f"{Decimal(median_low(amounts)) / MONEY_UNIT:.2f}" if amounts else ""


def _has_rivals(header: str, wanted: str, free: Iterable[str]) -> bool:
    """Return whether a name that may be any price stands beside other prices of no known kind."""
    if _joined(header) not in _ANY_PRICES or header == wanted:
        return False
    words = [plain_words(each) for each in _WORDS["cost"].split(",")]
    return any(
        name != header
        and _joined(name) not in _all_names()
        and any(_holds(plain_words(name), each) for each in words)
        for name in free
    )


def _match(column: str, wanted: str, names: Sequence[str]) -> str | None:
    """Return the name of the wanted words, or one but for a letter or two, or a common one."""
    own, plain = _joined(wanted), {name: _joined(name) for name in names}
    same = next((name for name, text in plain.items() if own and text == own), None)
    if same is not None:
        return same
    is_long = len(own) >= _LONG_ENOUGH
    close = [
        n
        for n, text in plain.items()
        if is_long and _likeness(own, text) >= _LIKE_ENOUGH
    ]
    if len(close) == 1:
        return close[0]
    ranks = _ranks(column)
    if ranked := [(ranks[text], name) for name, text in plain.items() if text in ranks]:
        return min(ranked)[1]
    phrases = [plain_words(each) for each in _WORDS.get(column, "").split(",") if each]
    matching = [
        name for name in names if any(_holds(plain_words(name), p) for p in phrases)
    ]
    return matching[0] if len(matching) == 1 else None


def _likeness(own: str, other: str) -> float:
    return difflib.SequenceMatcher(None, own, other).ratio()


def _holds(words: Sequence[str], phrase: Sequence[str]) -> bool:
    size = len(phrase)
    return any(
        tuple(words[at : at + size]) == tuple(phrase) for at in range(len(words))
    )


def _joined(header: str) -> str:
    return "".join(plain_words(header))


@lru_cache(maxsize=32)
def _ranks(column: str) -> dict[str, int]:
    names = [_joined(name) for name in _NAMES[column].split(",")]
    return {name: rank for rank, name in reversed(list(enumerate(names)))}


@lru_cache(maxsize=1)
def _all_names() -> frozenset[str]:
    return frozenset(name for column in _NAMES for name in _ranks(column))
