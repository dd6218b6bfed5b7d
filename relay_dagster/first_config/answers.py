"""The answers that a file cannot give: the header of the SKU, the currency, the margin.

At a terminal, people are asked, and the likeliest answer comes first. Otherwise the
likeliest answer is taken.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from relay_core.config.values import is_currency
from relay_core.domain.cell_rules import shorten
from relay_core.samples.starter import CURRENCY, MARGIN
from relay_dagster.client.terminal import Screen
from relay_dagster.first_config.drafts import VendorDraft, with_sku

_MAX_CANDIDATES = 5
_MAX_SAMPLES = 3
_MAX_MARGIN = 100
_MAX_PLACES = 6


@dataclass(frozen=True)
class Answer:
    """An answer, and the reason for it.

    Attributes:
        value: The answer, as the config has it.
        reason: The reason, as a sentence.
    """

    value: str
    reason: str


@dataclass(frozen=True)
class Answers:
    """All answers.

    Attributes:
        drafts: The drafts of the vendors, with the headers of their SKUs.
        currency: The currency of the feed.
        margin: The margin, as a share of the cost.
    """

    drafts: Sequence[VendorDraft]
    currency: Answer
    margin: Answer


def likeliest_answers(drafts: Sequence[VendorDraft]) -> Answers:
    """Return the likeliest answers."""
    currency, *_ = currency_candidates(drafts)
    margin = Answer(MARGIN, "Assumed; no file says it.")
    return Answers(drafts, currency, margin)


def asked_answers(drafts: Sequence[VendorDraft], screen: Screen) -> Answers:
    """Return the answers of the person at the terminal."""
    chosen_drafts = [_ask_sku(draft, screen) for draft in drafts]
    currency = _ask_currency(currency_candidates(drafts), screen)
    return Answers(chosen_drafts, currency, _ask_margin(screen))


def currency_candidates(drafts: Sequence[VendorDraft]) -> Sequence[Answer]:
    """Return the currencies that the files name, the one seen most first, or `USD`."""
    rows_by_currency: Counter[str] = Counter()
    files_by_currency: Counter[str] = Counter()
    for draft in drafts:
        for currency in draft.currencies:
            rows_by_currency[currency] += draft.row_count
            files_by_currency[currency] += 1
    candidates = []
    for currency, _ in rows_by_currency.most_common():
        count = files_by_currency[currency]
        files = "1 file names" if count == 1 else f"{count} files name"
        reason = f"{files} it, beside the amounts or in their header."
        candidates.append(Answer(currency, reason))
    if not candidates:
        candidates.append(
            Answer(CURRENCY, "Assumed; no file names a currency.")
        )
    return candidates


def margin_of(text: str) -> str | None:
    """Return a margin as a share, such as `0.20` for `20%`, or None if it is none."""
    number_text = text.strip().removesuffix("%").strip()
    try:
        margin = Decimal(number_text)
    except InvalidOperation:
        return None
    if not margin.is_finite():
        return None
    if text.strip().endswith("%"):
        margin = margin.scaleb(-2)
    exponent = margin.as_tuple().exponent
    is_exact = isinstance(exponent, int) and exponent >= -_MAX_PLACES
    if not is_exact or not 0 <= margin <= _MAX_MARGIN:
        return None
    return f"{margin:f}"


def _ask_sku(draft: VendorDraft, screen: Screen) -> VendorDraft:
    """Return a draft with the SKU's header that a person chose."""
    check = draft.check
    headers = () if check is None else check.best.headers
    candidates = draft.sku_candidates[:_MAX_CANDIDATES]
    if draft.is_refused or not headers:
        return draft
    screen.say(f"{draft.path.name}: which column has the SKU?")
    for number, candidate in enumerate(candidates, 1):
        samples = ", ".join(map(shorten, candidate.samples[:_MAX_SAMPLES]))
        values = f" ({samples})" if samples else ""
        screen.say(f"{number}. {candidate.header}{values}", indent=2)
    listed_headers = ", ".join(map(shorten, filter(None, headers)))
    if candidates:
        question = f"Number or header [{candidates[0].header}]:"
    else:
        question = f"Header ({listed_headers}):"
    while True:
        answer = screen.ask(question)
        if not answer:
            return draft
        if answer in headers:
            return with_sku(draft, answer)
        if answer.isdecimal() and 1 <= int(answer) <= len(candidates):
            return with_sku(draft, candidates[int(answer) - 1].header)
        screen.complain(
            f"The file has no column {shorten(answer)}. Its columns are: "
            f"{listed_headers}.",
        )


def _ask_currency(candidates: Sequence[Answer], screen: Screen) -> Answer:
    first = candidates[0]
    others = [candidate.value for candidate in candidates[1:]]
    also_seen = f" (also seen: {', '.join(others)})" if others else ""
    while True:
        answer = screen.ask(
            f"Currency of your feed{also_seen} [{first.value}]:"
        )
        if not answer:
            return first
        if is_currency(answer.upper()):
            return Answer(answer.upper(), "Your answer.")
        screen.complain(
            "Enter a currency code of ISO 4217, such as USD or EUR."
        )


def _ask_margin(screen: Screen) -> Answer:
    while True:
        answer = screen.ask(
            f"Margin on the vendors' costs, such as 0.20 or 20% [{MARGIN}]:",
        )
        if not answer:
            return Answer(MARGIN, "Assumed; no file says it.")
        margin = margin_of(answer)
        if margin is not None and (Decimal(margin) <= 1 or "%" in answer):
            return Answer(margin, "Your answer.")
        screen.complain(
            "Enter the margin as a share or a percentage: 0.20 or 20% makes 12.00 of "
            "10.00.",
        )
