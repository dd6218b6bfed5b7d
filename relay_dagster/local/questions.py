"""The questions of `relay new` at a terminal; the likeliest answer to each comes first."""

from collections.abc import Sequence
from decimal import Decimal

from relay_core.config.values import is_currency
from relay_core.domain.cell_rules import shorten
from relay_core.first_config.answers import (
    Answer,
    Answers,
    currency_candidates,
    margin_of,
)
from relay_core.first_config.drafts import VendorDraft, with_sku
from relay_core.samples.starter import MARGIN
from relay_dagster.client.terminal import Screen

_MAX_CANDIDATES = 5
_MAX_SAMPLES = 3


def asked_answers(drafts: Sequence[VendorDraft], screen: Screen) -> Answers:
    """Return the answers of the person at the terminal."""
    chosen_drafts = [_ask_sku(draft, screen) for draft in drafts]
    currency = _ask_currency(currency_candidates(drafts), screen)
    return Answers(chosen_drafts, currency, _ask_margin(screen))


def _ask_sku(draft: VendorDraft, screen: Screen) -> VendorDraft:
    """Return a draft with the SKU's header that a person chose."""
    check = draft.check
    headers = () if check is None else check.best.headers
    candidates = draft.sku_candidates[:_MAX_CANDIDATES]
    if draft.is_refused or not headers:
        return draft
    screen.say(f"{draft.file.name}: which column has the SKU?")
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
