"""The results of a feed's check in sentences for people, and the lint warnings that follow."""

from __future__ import annotations

import json
from collections.abc import Iterator

from relay_core.config import TenantConfig
from relay_core.domain.cell_rules import shorten
from relay_core.domain.errors import ConfigFault
from relay_core.domain.limits import MAX_QUOTED
from relay_core.onboarding.check_results import MAX_ROWS, FeedCheck, Reading

_SHOWN = 3
# Currencies that nobody writes with a mere "$".
_NO_DOLLARS = frozenset(("CHF", "CNY", "DKK", "EUR", "GBP", "INR", "JPY", "NOK", "PLN", "SEK"))


def describe_check(check: FeedCheck) -> str:
    """Return the results of a check as one message: as sent, with the patch, and left to do."""
    return "; ".join(sentences_of(check))


def sentences_of(check: FeedCheck) -> list[str]:
    """Return the results of a check, a sentence each."""
    if check.with_changes is None:
        parts = [describe_reading(check.as_sent)]
    else:
        parts = [
            f"as sent: {describe_reading(check.as_sent)}",
            f"with the patch: {describe_reading(check.with_changes)}",
        ]
    return [*parts, *_left_to_do(check)]


def describe_reading(reading: Reading) -> str:
    """Return the result of a reading as a sentence."""
    if reading.error_message is not None:
        return reading.error_message
    if not reading.rows:
        return "the file has no rows"
    looked_at = f"the first {reading.rows}" if reading.rows >= MAX_ROWS else f"{reading.rows}"
    if not reading.refused_rows:
        return f"none of {looked_at} rows would be refused"
    samples = [
        f"{each.count} x {each.error_code}{f', {each.column}' if each.column else ''}, "
        f"{shorten(each.value)}"
        for each in reading.refusals[:_SHOWN]
    ]
    return f"{reading.refused_rows} of {looked_at} rows would be refused: {'; '.join(samples)}"


def upload_warnings(path: str, check: FeedCheck, config: TenantConfig) -> Iterator[ConfigFault]:
    """Yield the lint warnings of a vendor's config that need the headers of its feed.

    Args:
        path: the vendor's place in the config.
        check: the check of its feed.
        config: the config that the feed was checked with.
    """
    best = check.best
    if best.headers and not {"cost", "price"} & {*best.columns}:
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
    foreign = sorted(code for code in check.currencies if _is_foreign(code, config))
    if foreign:
        yield ConfigFault(
            f"{path}.parser.currency_symbols",
            f"the amounts are marked {', '.join(foreign)}, and default_currency is "
            f"{config.default_currency}: they are not converted",
        )


def _is_foreign(code: str, config: TenantConfig) -> bool:
    own = config.default_currency
    return own in _NO_DOLLARS if code == "USD" and own != "USD" else code != own


def _left_to_do(check: FeedCheck) -> Iterator[str]:
    best = check.best
    yield from check.notes
    if check.parser.columns is None and best.headers and _looks_like_a_row(best.headers):
        yield "the first record looks like a row and not like headers; name parser.columns"
    for each in check.unknown:
        could_be = ", ".join(map(_as_written, each.candidates))
        yield (
            f"no header is surely {each.column}"
            f"{f' (it could be {could_be})' if could_be else ', and none looks like it'}; "
            "map it in parser.column_map, or give it a value in parser.defaults"
        )


def _as_written(header: str) -> str:
    """Return a header as a config may have it, a line break in it as an escape."""
    return json.dumps(header[:MAX_QUOTED], ensure_ascii=False)


def _looks_like_a_row(headers: tuple[str, ...]) -> bool:
    digits = sum(any(char.isdigit() for char in header) for header in headers)
    return digits * 2 > len(headers)
