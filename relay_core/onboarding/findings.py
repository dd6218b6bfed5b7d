"""The results of a feed check in sentences, and the doubts about its config."""

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from itertools import count

from relay_core.config import TenantConfig, VendorConfig, lint
from relay_core.domain import columns as canonical
from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import CATALOG
from relay_core.domain.errors import ConfigFault
from relay_core.domain.formats import WORKBOOK_FORMATS
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.records import Doubt
from relay_core.domain.run_faults import counted, listed
from relay_core.onboarding.check_results import (
    MAX_ROWS,
    Candidate,
    Certainty,
    FeedCheck,
    Guess,
    Reading,
)
from relay_core.onboarding.header_names import plain_words
from relay_core.onboarding.header_rows import is_figure
from relay_core.report import display
from relay_core.validation.error_policy import judge_policy, own_share_faults

NO_AMOUNTS = "No row has a cost or a price, so no row can be sold."
"""The beginning of the results of a file without amounts."""
_MAX_LISTED_CELLS = 3
_PRICE_SOURCES = frozenset(("cost", "price"))
_TAKEN_NAMES = frozenset(
    (
        *canonical.CANONICAL_COLUMNS,
        *canonical.DERIVED_COLUMNS,
        *canonical.RESERVED_COLUMNS,
    )
)
_MAX_NAME_LENGTH = 30
"""The maximum length of a name made from a header; an extra column may have 40."""
# Currencies that are never written with a plain "$".
_WITHOUT_DOLLAR_SIGN = frozenset(
    ("CHF", "CNY", "DKK", "EUR", "GBP", "INR", "JPY", "NOK", "PLN", "SEK")
)


def is_right(
    check: FeedCheck, vendor: VendorConfig, config: TenantConfig
) -> bool:
    """Return whether a run would use the feed as it is, and no change would help."""
    reading = check.as_sent
    if not reading.is_usable or not reading.rows:
        return False
    if check.changes or check.unknown:
        return False
    return not limits_passed(reading, vendor, config)


def limits_passed(
    reading: Reading,
    vendor: VendorConfig,
    config: TenantConfig,
) -> list[str]:
    """Return messages on the limits of rejected rows that a reading exceeds.

    The vendor's own limit comes first, then the run's. The run's limit is judged as if
    the run had no other rows.
    """
    rejected_rows = [reading.rejected_rows]
    rows = [reading.rows]
    share_faults = own_share_faults([vendor], rejected_rows, rows)
    messages = [fault.error_message for fault in share_faults]
    policy_message = judge_policy(
        config.error_policy, rejected_rows, rows
    ).message
    if policy_message:
        messages.append(policy_message)
    return messages


def describe_check(check: FeedCheck) -> str:
    """Return the results of a check as one message."""
    return " ".join(sentences_of(check))


def sentences_of(check: FeedCheck) -> list[str]:
    """Return the results of a check as sentences.

    The readings come first, with the current config and with the proposed changes.
    The decisions that remain for people follow.
    """
    if check.with_changes is None:
        readings = [describe_reading(check.as_sent, is_whole=check.is_whole)]
    else:
        as_sent = describe_reading(check.as_sent)
        with_patch = describe_reading(
            check.with_changes, is_whole=check.is_whole
        )
        readings = [
            f"With the current config: {as_sent}",
            f"With the proposed changes: {with_patch}",
        ]
    return [*_amount_warnings(check), *readings, *_remaining_decisions(check)]


def describe_reading(reading: Reading, *, is_whole: bool = False) -> str:
    """Return a reading in sentences.

    Args:
        reading: The reading to describe.
        is_whole: Whether it is a reading of the whole file.
    """
    if reading.error_message is not None:
        return display.sentence(reading.error_message)
    if not reading.rows:
        return "The file has no rows."
    rows = counted(reading.rows, "row")
    if not is_whole and reading.rows >= MAX_ROWS:
        rows = f"the first {rows}"
    if not reading.rejected_rows:
        return f"No errors in {rows}."
    errors = []
    for cells in reading.rejected_cells[:_MAX_LISTED_CELLS]:
        column = f" in {cells.column}" if cells.column else ""
        error = f"{cells.error_code}{column} ({counted(cells.count, 'row')})"
        errors.append(f"{error}, for example {shorten(cells.value)}")
    rejected_rows = display.number(reading.rejected_rows)
    return f"{rejected_rows} of {rows} would be rejected: {'; '.join(errors)}."


def upload_doubts(
    path: str, check: FeedCheck, config: TenantConfig
) -> Iterator[Doubt]:
    """Yield the doubts about a vendor's config that depend on its feed.

    Doubts about headers come first, and doubts about rows follow.

    Args:
        path: The path of the feed's section in the config, such as `vendors.0`, or
            `vendors.0.parts.1`.
        check: The check of the vendor's feed.
        config: The tenant's config.
    """
    for warning in _header_warnings(path, check, config):
        yield lint.of_config(warning)
    vendor_id = CATALOG
    if path != CATALOG:
        vendor_id = config.vendors[int(path.split(".")[1])].vendor_id
    for guess in check.guesses:
        if guess.certainty != Certainty.CERTAIN:
            yield Doubt(
                "guess",
                f"{path}.parser.{guess.option}",
                vendor_id,
                None,
                guess.samples or None,
                f"{describe_guess(guess)} Check it before you apply these settings.",
            )
    vendor_path = ".".join(path.split(".")[:2])
    for doubt in check.doubts:
        # The doubts about rows know no parts.
        yield replace(doubt, path=doubt.path.replace(vendor_path, path, 1))


def policy_doubts_of(
    config: TenantConfig,
    checks: Collection[FeedCheck],
) -> Iterator[Doubt]:
    """Yield the doubt about limits of 0 if any feed has rejected rows."""
    rejected_rows = sum(check.best.rejected_rows for check in checks)
    rows = sum(check.best.rows for check in checks)
    samples = (
        cells.value for check in checks for cells in check.best.rejected_cells
    )
    yield from lint.policy_doubts(config, rejected_rows, rows, samples)


def _amount_warnings(check: FeedCheck) -> Iterator[str]:
    """Yield the warning that no row can have a price although there are headers for it."""
    if check.has_amounts or not _has_price_source(check):
        return
    if check.parser.format in WORKBOOK_FORMATS:
        yield (
            f"{NO_AMOUNTS} If formulas calculate the amounts, save the file in a "
            "spreadsheet program, which stores their results."
        )
    else:
        yield NO_AMOUNTS


def _has_price_source(check: FeedCheck) -> bool:
    return not _PRICE_SOURCES.isdisjoint(check.best.columns)


def _header_warnings(
    path: str,
    check: FeedCheck,
    config: TenantConfig,
) -> Iterator[ConfigFault]:
    column_map = f"{path}.parser.column_map"
    for message in _amount_warnings(check):
        yield ConfigFault(column_map, message)
    best = check.best
    # Another file of the vendor may give the prices.
    may_have_price = _PRICE_SOURCES.issubset(check.parser.readable_columns)
    asks_price = bool(best.headers) and may_have_price
    if asks_price and not _has_price_source(check):
        yield ConfigFault(
            column_map,
            "The file has neither a cost nor a price, so this vendor's offers have no "
            "price. Map the column of one of them.",
        )
    elif (
        asks_price
        and "cost" not in best.columns
        and config.pricing.base_margin_pct
    ):
        yield ConfigFault(
            column_map,
            "The file has a price but no cost, so the vendor's price is published "
            "without margin and shipping. If you pay this price, map its column to cost.",
        )
    foreign_currencies = _foreign_currencies(check, config.default_currency)
    if foreign_currencies:
        yield ConfigFault(
            f"{path}.parser.currency_symbols",
            f"The amounts are in {', '.join(foreign_currencies)}, but default_currency "
            f"is {config.default_currency}, and they are not converted. To convert them, "
            "set the vendor's currency and exchange_rates.",
        )


def _foreign_currencies(check: FeedCheck, own_currency: str) -> list[str]:
    """Return the codes of the currencies that amounts name and that are not the tenant's.

    A plain `$` may be the dollar of another country, which is then not foreign.
    """
    possibly_own = {own_currency}
    if own_currency not in _WITHOUT_DOLLAR_SIGN:
        possibly_own.add("USD")
    return sorted(check.currencies - possibly_own)


def _remaining_decisions(check: FeedCheck) -> Iterator[str]:
    """Yield a sentence for each decision that people have to make."""
    yield from check.faults
    for guess in check.guesses:
        yield describe_guess(guess)
    yield from check.notes
    best = check.best
    if check.faults:
        return
    figures = sum(map(is_figure, best.headers))
    if check.parser.columns is None and figures * 2 > len(best.headers):
        yield (
            "The first record looks like a row, not like headers. If the file has no "
            "header, name its columns in parser.columns."
        )
    for column, candidates in check.unknown.items():
        question = f"No header matches {column}."
        if candidates:
            headers = ", ".join(map(_describe, candidates))
            question = (
                f"No header clearly matches {column}. Candidates: {headers}."
            )
        action = "Map the column in parser.column_map."
        if column != "sku":
            action = "Map the column in parser.column_map, or set a value in parser.defaults."
        yield f"{question} {action}"
    headers_by_name = _extra_names(best.unused)
    if headers_by_name and best.is_usable:
        total = len(headers_by_name)
        names = (
            f"{name}: {_quoted(header)}"
            for name, header in headers_by_name.items()
        )
        yield (
            f"The config does not use {counted(total, 'header')} of the file. To "
            "pass a column through to the feed, add its name to extra_columns, and map "
            f"it in parser.column_map: {listed(names, ', ', total)}."
        )


def describe_guess(guess: Guess) -> str:
    """Return a guess with its certainty, its reason, values, and the next candidates."""
    column = guess.option.rpartition(".")[2]
    text = f"{column}: {_quoted(guess.value)} ({guess.certainty}), because {guess.reason}."
    if guess.samples:
        text += f" Values: {', '.join(map(shorten, guess.samples))}."
    if guess.alternatives:
        text += (
            f" Next candidates: {', '.join(map(_quoted, guess.alternatives))}."
        )
    return text


def _describe(candidate: Candidate) -> str:
    median = f" (median {candidate.median})" if candidate.median else ""
    return f"{_quoted(candidate.header)}{median}"


def _quoted(header: str) -> str:
    """Return a header in quotes, with line breaks as escapes."""
    return json.dumps(header[:MAX_QUOTED], ensure_ascii=False)


def _extra_names(headers: Iterable[str]) -> dict[str, str]:
    """Return the headers, keyed by a possible name of an extra column for each."""
    headers_by_name: dict[str, str] = {}
    for header in dict.fromkeys(headers):
        if not header:
            continue
        decomposed = unicodedata.normalize(
            "NFKD", "_".join(plain_words(header))
        )
        plain = re.sub("[^a-z0-9_]", "", decomposed).strip("_")[
            :_MAX_NAME_LENGTH
        ]
        is_free = plain[:1].isalpha() and plain not in _TAKEN_NAMES
        base_name = plain if is_free else f"x_{plain}"
        name = base_name
        numbers = count(2)
        while name in headers_by_name:
            name = f"{base_name}_{next(numbers)}"
        headers_by_name[name] = header
    return headers_by_name
