"""The answers that a file cannot give: the header of the SKU, the currency, the margin."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from relay_core.first_config.drafts import VendorDraft
from relay_core.samples.starter import CURRENCY, MARGIN

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
