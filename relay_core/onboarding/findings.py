"""The results of a feed's check: sentences for people, lint warnings, acceptance by a run."""

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, count

from relay_core.config import TenantConfig, VendorConfig
from relay_core.config.lint import of_config, policy_doubts
from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import WORKBOOK_FORMATS
from relay_core.domain.columns import (
    CANONICAL_COLUMNS,
    DERIVED_COLUMNS,
    RESERVED_COLUMNS,
)
from relay_core.domain.errors import ConfigFault
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.records import Doubt
from relay_core.domain.run_faults import listed
from relay_core.onboarding.check_results import MAX_ROWS, FeedCheck, Reading
from relay_core.onboarding.header_guess import plain_words
from relay_core.validation.vendor_failures import judge_policy, own_share_faults

NO_AMOUNTS = "no row has a cost or a price, so nothing of the file can be sold"
"""A check begins with it, whatever else is well."""
_SHOWN = 3
_TAKEN = frozenset((*CANONICAL_COLUMNS, *DERIVED_COLUMNS, *RESERVED_COLUMNS))
_NAME_LENGTH = 30
"""So long is the name of an extra column made of a header; an extra column's may have 40."""
# Currencies that nobody writes with a mere "$".
_NO_DOLLARS = frozenset(
    ("CHF", "CNY", "DKK", "EUR", "GBP", "INR", "JPY", "NOK", "PLN", "SEK")
)


def is_right(check: FeedCheck, vendor: VendorConfig, config: TenantConfig) -> bool:
    """Return whether a feed has nothing that a run would fail for, or that a patch would mend."""
    found = check.as_sent
    is_read = found.is_usable and found.rows > 0
    return is_read and not (
        check.changes or check.unknown or limits_passed(found, vendor, config)
    )


def limits_passed(
    reading: Reading, vendor: VendorConfig, config: TenantConfig
) -> list[str]:
    """Return which limits of rejected rows a reading passes, as if its rows were all of the run."""
    refused, rows = [reading.refused_rows], [reading.rows]
    verdict = judge_policy(config.error_policy, refused, rows).message
    shares = [each.error_message for each in own_share_faults([vendor], refused, rows)]
    return [*shares, *([verdict] if verdict else [])]


def describe_check(check: FeedCheck) -> str:
    """Return the results of a check as one message: as sent, with the patch, and left to do."""
    return "; ".join(sentences_of(check))


def sentences_of(check: FeedCheck) -> list[str]:
    """Return the results of a check, a sentence each."""
    if check.with_changes is None:
        parts = [describe_reading(check.as_sent, whole=check.whole)]
    else:
        parts = [
            f"as sent: {describe_reading(check.as_sent)}",
            f"with the patch: {describe_reading(check.with_changes, whole=check.whole)}",
        ]
    return [*_without_amounts(check), *parts, *_left_to_do(check)]


def _without_amounts(check: FeedCheck) -> Iterator[str]:
    """Yield the sentence that tells that no price can be made, though there are headers for it."""
    if not check.has_amounts and _gives_amounts(check):
        save = (
            "; save it in a spreadsheet program, which stores what its formulas come to"
        )
        yield f"{NO_AMOUNTS}{save if check.parser.format in WORKBOOK_FORMATS else ''}"


def _gives_amounts(check: FeedCheck) -> bool:
    return not {"cost", "price"}.isdisjoint(check.best.columns)


def describe_reading(reading: Reading, *, whole: bool = False) -> str:
    """Return the result of a reading as a sentence; ``whole`` is said of one of a whole file."""
    if reading.error_message is not None:
        return reading.error_message
    if not reading.rows:
        return "the file has no rows"
    examined = (
        f"{reading.rows:,}"
        if whole or reading.rows < MAX_ROWS
        else f"the first {reading.rows:,}"
    )
    if not reading.refused_rows:
        return f"none of {examined} rows would be refused"
    samples = [
        f"{each.count} x {each.error_code}{f', {each.column}' if each.column else ''}, "
        f"{shorten(each.value)}"
        for each in reading.refusals[:_SHOWN]
    ]
    return f"{reading.refused_rows} of {examined} rows would be refused: {'; '.join(samples)}"


def upload_doubts(path: str, check: FeedCheck, config: TenantConfig) -> Iterator[Doubt]:
    """Yield the doubts of a vendor's config that need its feed: of headers first, then of rows."""
    yield from map(of_config, _of_headers(path, check, config))
    yield from check.doubts


def policy_doubts_of(
    config: TenantConfig, checks: Collection[FeedCheck]
) -> Iterator[Doubt]:
    """Yield the doubt of limits of 0 where rows of any feed are rejected."""
    best = [check.best for check in checks]
    samples = (cells.value for each in best for cells in each.refusals)
    refused, total = (
        sum(each.refused_rows for each in best),
        sum(each.rows for each in best),
    )
    yield from policy_doubts(config, refused, total, samples)


def _of_headers(
    path: str, check: FeedCheck, config: TenantConfig
) -> Iterator[ConfigFault]:
    best = check.best
    for message in _without_amounts(check):
        yield ConfigFault(f"{path}.parser.column_map", message)
    if best.headers and not _gives_amounts(check):
        yield ConfigFault(
            f"{path}.parser.column_map",
            "the file gives neither cost nor price: no offer of this vendor can be priced",
        )
    elif best.headers and "cost" not in best.columns and config.pricing.base_margin_pct:
        yield ConfigFault(
            f"{path}.parser.column_map",
            "the file gives a price and no cost: the vendor's price is published as it is, without "
            "margin and shipping; map the column to cost if it is what you pay",
        )
    own = config.default_currency
    other_dollars = {"USD"} if own != "USD" and own not in _NO_DOLLARS else set()
    foreign = sorted(check.currencies - {own} - other_dollars)
    if foreign:
        yield ConfigFault(
            f"{path}.parser.currency_symbols",
            f"the amounts are marked {', '.join(foreign)}, and default_currency is "
            f"{own}: they are not converted",
        )


def _left_to_do(check: FeedCheck) -> Iterator[str]:
    best = check.best
    yield from check.notes
    with_digits = sum(any(map(str.isdigit, header)) for header in best.headers)
    if check.parser.columns is None and with_digits * 2 > len(best.headers):
        yield "the first record looks like a row and not like headers; name parser.columns"
    for column, candidates in check.unknown.items():
        # As a config may have them, a line break as an escape.
        could_be = ", ".join(
            json.dumps(one.header[:MAX_QUOTED], ensure_ascii=False)
            + (f" (median {one.median})" if one.median else "")
            for one in candidates
        )
        yield (
            f"no header is surely {column}"
            f"{f' (it could be {could_be})' if could_be else ', and none looks like it'}; "
            "map it in parser.column_map, or give it a value in parser.defaults"
        )
    names = _extra_names(best.unused)
    if names and best.is_usable:
        shown = (
            f"{n}: {json.dumps(h[:MAX_QUOTED], ensure_ascii=False)}"
            for n, h in names.items()
        )
        noun = "1 header" if len(names) == 1 else f"{len(names)} headers"
        yield (
            f"nothing is read from {noun}; a text passes through as one of extra_columns, mapped "
            f"in parser.column_map: {listed(shown, ', ', len(names))}"
        )


def _extra_names(headers: Iterable[str]) -> dict[str, str]:
    """Return the headers by a name that an extra column made of each could have."""
    found: dict[str, str] = {}
    for header in filter(None, dict.fromkeys(headers)):
        plain = unicodedata.normalize("NFKD", "_".join(plain_words(header)))
        plain = re.sub("[^a-z0-9_]", "", plain).strip("_")[:_NAME_LENGTH]
        name = plain if plain[:1].isalpha() and plain not in _TAKEN else f"x_{plain}"
        numbered = (f"{name}_{number}" for number in count(2))
        found[next(each for each in chain([name], numbered) if each not in found)] = (
            header
        )
    return found
