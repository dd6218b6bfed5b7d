"""Guesses of the canonical columns that a feed's headers belong to.

A header matches a column only if its name is certain, in one of three ways. It has the
name that the config maps, with different case, blanks or a typo. It has a name that
price lists commonly use. Or it is the only header with a word of that column. The cells
decide which headers are candidates, and the names sort them. People choose among them.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import tzinfo
from decimal import Decimal
from itertools import islice
from statistics import median_low

from relay_core.config import ParserConfig
from relay_core.domain import cell_rules, columns
from relay_core.domain.errors import CellError
from relay_core.ingest.column_mapping import expected_headers
from relay_core.onboarding import header_names
from relay_core.onboarding.check_results import Candidate
from relay_core.onboarding.word_guess import is_valid_cell

MAX_WAREHOUSES = 20
_MIN_SIMILARITY = 0.85
_MIN_TYPO_LENGTH = 5  # a typo in a shorter name may make another name of it
# Phrases that identify a column if only one header contains them.
_PHRASES: dict[str, tuple[tuple[str, ...], ...]] = {
    "sku": (("sku",), ("part", "number"), ("item", "number")),
    "quantity_available": (("qty",), ("quantity",), ("stock",)),
    "cost": (("cost",), ("price",)),
}
_GENERIC_PRICES = frozenset(
    (
        "unitprice",
        "priceeach",
        "price",
        "amount",
        "preis",
        "pris",
        "precio",
        "prix",
    )
)
"""Names that mean the cost if it is the only price."""
_STOCK_WORDS = ("qty", "quantity", "stock", "bestand")
_WAREHOUSE = "lager warehouse whse wh depot dc branch store"
_WAREHOUSE_WORDS = tuple(_WAREHOUSE.split())
_OTHER_NUMBERS = (
    "min max minimum maximum order ordered reorder pack box case carton pallet incoming "
    "transit reserved allocated eta total sum unit uom value cost price code name id "
    "status date number"
)
_OTHER_NUMBER_WORDS = frozenset(_OTHER_NUMBERS.split())
"""Words of headers whose numbers are not the stock of a warehouse."""
_MAX_TEXTS = 200  # the number of cells under a header that are tried
_MIN_FITTING_SHARE = 0.9  # the other cells of a candidate may be slips
_MAX_CANDIDATES = 5
_MAX_SAMPLES = 3


def match_headers(
    headers: Sequence[str],
    parser: ParserConfig,
    wanted_columns: Collection[str],
) -> dict[str, str]:
    """Return the header of each column that the config does not find, if one is certain.

    Args:
        headers: The headers of the file.
        parser: The vendor's parser.
        wanted_columns: The columns to match besides those that the config maps.
    """
    names = [header.strip() for header in headers[: header_names.MAX_HEADERS]]
    configured = expected_headers(names, parser)
    used_names = {
        header
        for column_headers in configured.values()
        for header in column_headers
        if header in names
    }
    matches: dict[str, str] = {}
    for column in columns.CANONICAL_COLUMNS:
        if column not in parser.readable_columns:
            continue
        if column == "vendor_id" or set(configured.get(column, ("",))) <= set(
            names
        ):
            continue
        if not isinstance(parser.column_map.get(column, column), str):
            # Only people can say which headers replace a combination of several.
            continue
        is_wanted = column in wanted_columns and column not in parser.defaults
        if column not in parser.column_map and not is_wanted:
            continue
        free = [
            name
            for name in dict.fromkeys(names)
            if name and name not in used_names
        ]
        name = configured.get(column, (column,))[0]
        header = _match(column, name, free)
        if header is None:
            continue
        if column == "cost" and _has_rivals(header, name, free):
            continue
        matches[column] = header
        used_names.add(header)
    return matches


def warehouse_headers(headers: Sequence[str]) -> tuple[str, ...]:
    """Return the headers that are certainly the stocks of several warehouses.

    The headers share a word for stock, and each of them has another word besides. Or they
    share a word for a warehouse, and each has a word or a number besides. A number beside
    a quantity does not do, since it may be a price step. Fewer than two headers are none.
    """
    for shared_word in (*_STOCK_WORDS, *_WAREHOUSE_WORDS):
        headers_by_name: dict[tuple[str, ...], str] = {}
        for header in headers:
            name = _warehouse_name(header, shared_word)
            if name:
                headers_by_name.setdefault(name, header)
        if 2 <= len(headers_by_name) <= MAX_WAREHOUSES:
            return tuple(headers_by_name.values())
    return ()


def candidates(
    column: str,
    cells: Mapping[str, Sequence[str]],
    parser: ParserConfig,
    zone: tzinfo,
) -> tuple[Candidate, ...]:
    """Return the headers whose cells a column could have, the nearest names first.

    Args:
        column: The canonical column.
        cells: The cells of each unused header, trimmed and without nulls.
        parser: The vendor's parser.
        zone: The time zone of times without an offset.
    """
    names = (column, *header_names.ranks_of(column))
    scores: dict[str, float] = {}
    for header, texts in cells.items():
        if texts and _cells_fit(column, texts[:_MAX_TEXTS], parser, zone):
            joined = header_names.joined_words(header)
            scores[header] = max(
                header_names.similarity(joined, n) for n in names
            )
    nearest_headers = sorted(scores, key=lambda header: -scores[header])
    is_money = column in columns.MONEY_COLUMNS
    return tuple(
        Candidate(
            header,
            score=round(scores[header], 2),
            samples=tuple(islice(dict.fromkeys(cells[header]), _MAX_SAMPLES)),
            median=_median_amount(cells[header], parser) if is_money else "",
        )
        for header in nearest_headers[:_MAX_CANDIDATES]
    )


def _warehouse_name(header: str, shared_word: str) -> tuple[str, ...]:
    """Return a header's words besides the shared word, if they name a warehouse."""
    plain_header = " ".join(header_names.plain_words(header))
    words = re.findall(r"[^\W\d_]+|\d+", plain_header)
    if shared_word not in words or not _OTHER_NUMBER_WORDS.isdisjoint(words):
        return ()
    other_words = tuple(word for word in words if word != shared_word)
    are_numbers = all(word.isdecimal() for word in other_words)
    if are_numbers and shared_word in _STOCK_WORDS:
        return ()
    return other_words


def _cells_fit(
    column: str,
    texts: Sequence[str],
    parser: ParserConfig,
    zone: tzinfo,
) -> bool:
    if column == "sku":
        return len(set(texts)) >= _MIN_FITTING_SHARE * len(texts)
    if column not in columns.JUDGED_COLUMNS:
        return True
    valid = sum(is_valid_cell(column, text, parser, zone) for text in texts)
    return valid >= _MIN_FITTING_SHARE * len(texts)


def _median_amount(texts: Sequence[str], parser: ParserConfig) -> str:
    """Return the median of the texts that are amounts, or an empty text."""
    amounts = []
    for text in texts[:_MAX_TEXTS]:
        with suppress(CellError):
            amounts.append(cell_rules.read_money(text, parser))
    if not amounts:
        return ""
    return f"{Decimal(median_low(amounts)) / cell_rules.MONEY_UNIT:.2f}"


def _has_rivals(
    header: str, configured_name: str, free_names: Iterable[str]
) -> bool:
    """Return whether a generic price is beside other prices of an unknown kind."""
    if header_names.joined_words(header) not in _GENERIC_PRICES:
        return False
    if header == configured_name:
        return False
    common_names = header_names.common_names()
    return any(
        name != header
        and header_names.joined_words(name) not in common_names
        and _contains_phrase_of("cost", name)
        for name in free_names
    )


def _match(
    column: str, configured_name: str, free_names: Sequence[str]
) -> str | None:
    """Return the free header that is certainly a column, or None.

    The configured name comes first, then the same with a typo, then a common name of the
    column, then a word that only one header has.
    """
    joined_wanted = header_names.joined_words(configured_name)
    joined_names = {
        name: header_names.joined_words(name) for name in free_names
    }
    if joined_wanted:
        for name, joined in joined_names.items():
            if joined == joined_wanted:
                return name
    if len(joined_wanted) >= _MIN_TYPO_LENGTH:
        similar_names = [
            name
            for name, joined in joined_names.items()
            if header_names.similarity(joined_wanted, joined) >= _MIN_SIMILARITY
        ]
        if len(similar_names) == 1:
            return similar_names[0]
    ranks = header_names.ranks_of(column)
    ranked_names = [
        (ranks[joined], name)
        for name, joined in joined_names.items()
        if joined in ranks
    ]
    if ranked_names:
        return min(ranked_names)[1]
    names_with_phrase = [
        name for name in free_names if _contains_phrase_of(column, name)
    ]
    return names_with_phrase[0] if len(names_with_phrase) == 1 else None


def _contains_phrase_of(column: str, name: str) -> bool:
    words = header_names.plain_words(name)
    return any(
        header_names.contains_phrase(words, phrase)
        for phrase in _PHRASES.get(column, ())
    )
