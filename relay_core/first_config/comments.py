"""The comments of a new config: for each line, why it is there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from relay_core.config import TenantConfig
from relay_core.domain.records import Doubt
from relay_core.first_config.answers import Answers
from relay_core.first_config.commented_yaml import Path, comment_text
from relay_core.first_config.drafts import VendorDraft
from relay_core.first_config.trial import RowTotals
from relay_core.onboarding import findings
from relay_core.onboarding.check_results import Certainty, FeedCheck, Guess
from relay_core.onboarding.doubts import is_totals
from relay_core.publish.keys import ArtifactKeys

_RUN_KEYS = ArtifactKeys("", "")
_DELIMITERS = {
    ",": "a comma",
    ";": "a semicolon",
    "\t": "a tab",
    "|": "a vertical bar",
}
OPTION_COMMENTS: Mapping[str, str] = {
    "format": "The format of the file, as its content shows it.",
    "record": "The path of the records in the document. Each record is one row.",
    "compression": "The compression of the file, as its first bytes show it.",
    "sheet": "The sheet of the workbook that has the list.",
    "delimiter": "The delimiter between the fields of a line.",
    "encoding": "The encoding of the text. The bytes are not valid UTF-8.",
    "quoting": "Quotation marks are part of the texts. They do not enclose fields.",
    "blank_extra_fields": "Lines end with blank fields that have no header.",
    "padded_numbers": "The workbook shows numbers with zeros in front, which are kept.",
    "column_map": "The header of the file for each of Relay's columns.",
    "skip_lines": "The number of lines above the header, or above the first row.",
    "columns": "The file does not name all columns, so they get these names.",
    "skip_rows": "Rows that are not products, such as totals and repeated headers.",
    "null_values": "Words that the file writes where it has no value.",
    "decimal_separator": "The character before the decimals of the amounts.",
    "thousands_separator": "The character between the thousands of the amounts.",
    "currency_symbols": "Symbols beside the amounts, which are not read.",
    "zero_is_null": "Columns in which 0 means that there is no value.",
    "quantity_words": "Words that the file writes for quantities.",
    "quantity_symbols": "Symbols beside the quantities, which are not read.",
    "negative_quantity": "The file has negative quantities, which are read as 0.",
    "timestamp_formats": "The forms of the dates and times, as the cells show them.",
    "invalid_as_null": "Columns whose invalid cells are read as no value.",
    "defaults": "Values of columns that the file does not have.",
}
"""The reason for each option of a parser."""
_INBOUND_COMMENTS = (
    "The command of a local run names the file.",
    "The file that `relay local` reads, from the folder of this config.",
)
"""The comments on the place of a file, without a path and with one."""
_HEAD = (
    "A first config for Relay, written by `relay new`. Each comment says why the line "
    "below it is there.",
    "docs/CONFIG.md describes all settings. After a change, check a file again with "
    "`relay local --check`.",
)
_FIXED_COMMENTS: Mapping[Path, str] = {
    (
        "tenant_id",
    ): "Assumed. The ID of your shop: letters, digits, `_`, and `-`.",
    (
        "timezone",
    ): "Assumed. The time zone of schedules, and of dates in files that name "
    "none. Use a name such as Europe/Berlin.",
    (
        "vendors",
    ): "One vendor for each file. Its ID is made of the file's name.",
    (
        "pricing",
        "min_price",
    ): "The lowest price that is published, so that a wrong cost of "
    "0.00 is never sold.",
    (
        "pricing",
        "shipping_handling_flat",
    ): "An amount that is added to each cost before the margin.",
    (
        "merge",
        "strategy",
    ): "Of several vendors' offers of a SKU, the best one is "
    "published: in stock first, then the lowest cost.",
    ("output", "columns"): "The columns of your feed, in their order.",
}


def config_comments(
    config: TenantConfig,
    answers: Answers,
    totals: RowTotals,
) -> dict[Path, Sequence[str]]:
    """Return the comments of a new config, by the path of the line below.

    Args:
        config: The config.
        answers: The answers that it was made of.
        totals: The rows of all files.
    """
    comments: dict[Path, Sequence[str]] = {(): _HEAD}
    for path, text in _FIXED_COMMENTS.items():
        comments[path] = (text,)
    currency = answers.currency
    comments[("default_currency",)] = (
        f"{currency.reason} The currency of your feed.",
    )
    margin = answers.margin
    comments[("pricing", "base_margin_pct")] = (
        f"{margin.reason} The price is the cost, plus this share of it.",
    )
    comments[("error_policy",)] = (
        f"{totals.rejected:,} of {totals.rows:,} rows cannot be read, and are left out. "
        "Without these limits, one such row fails the run. After each run, "
        f"{_RUN_KEYS.errors} has the reason for each row.",
    )
    for index, draft in enumerate(answers.drafts):
        path = ("vendors", index)
        first_sentence, *sentences = vendor_notes(index, draft, config)
        comments[path] = (f"{draft.file.name}: {first_sentence}", *sentences)
        prefix = f"tenants/{config.tenant_id}/inbound/{draft.vendor_id}/"
        comments[(*path, "inbound")] = (
            f"{_INBOUND_COMMENTS[draft.path is not None]} On a server, replace this "
            f"with {{type: s3, s3_prefix: {prefix}}}.",
        )
        comments |= _parser_comments((*path, "parser"), draft)
    return comments


def sku_reason(draft: VendorDraft) -> str:
    """Return the sentence about the header of a vendor's SKU, or an empty text."""
    header = draft.sku_header
    check = draft.check
    if header is None or check is None:
        return ""
    named_header = f'sku: "{comment_text(header)}".'
    if draft.is_chosen:
        return f"{named_header} Your answer."
    if draft.is_chosen is False:
        return f"{named_header} The likeliest header, but not a clear one. Check it."
    guess_in_words = _guess_of_header(check, "sku", header)
    return guess_in_words or f"{named_header} The header says so."


def unsure_guesses(draft: VendorDraft) -> Iterator[str]:
    """Yield the guesses about a file that are not certain, but for the SKU."""
    check = draft.check
    if check is None:
        return
    for guess in check.guesses:
        is_certain = guess.certainty == Certainty.CERTAIN
        if guess.option != "column_map.sku" and not is_certain:
            yield _guess_comment(guess)


def _guess_comment(guess: Guess) -> str:
    """Return a guess in words, with the effect of a quantity that no column has."""
    text = findings.describe_guess(guess)
    if guess.option == "defaults.quantity_available":
        return (
            f"{text} So each product counts as {guess.value} in stock. Set the right "
            "number, or map a column to quantity_available."
        )
    return text


def vendor_notes(
    index: int,
    draft: VendorDraft,
    config: TenantConfig,
) -> Sequence[str]:
    """Return the sentences about a file that belong to no single line of its parser.

    The first one says how the file reads. The others are decisions for people, and doubts.
    """
    check = draft.check
    if check is None:
        return [str(draft.result)]
    without_guesses = replace(
        check,
        as_sent=check.best,
        with_changes=None,
        guesses=(),
    )
    doubts = findings.upload_doubts(f"vendors.{index}", check, config)
    messages = [
        doubt.message for doubt in doubts if not _is_answered(doubt, draft)
    ]
    sentences = [*findings.sentences_of(without_guesses), *messages]
    return list(dict.fromkeys(sentences))


def _is_answered(doubt: Doubt, draft: VendorDraft) -> bool:
    """Return whether a line of the parser is about a doubt, or takes care of it."""
    if doubt.code == "totals_line":
        return any(
            is_totals(text)
            for rule in draft.parser.get("skip_rows", ())
            if rule["is"] != "empty"
            for text in rule["is"]
        )
    return doubt.code == "guess"


def _parser_comments(
    path: Path,
    draft: VendorDraft,
) -> dict[Path, Sequence[str]]:
    comments: dict[Path, Sequence[str]] = {}
    for option, value in draft.parser.items():
        comments[(*path, option)] = (_option_comment(option, value),)
    check = draft.check
    if check is None:
        return comments
    for column, source in draft.parser.get("column_map", {}).items():
        comments[(*path, "column_map", column)] = (
            _column_comment(column, source, draft, check),
        )
    for guess in check.guesses:
        option, _, column = guess.option.partition(".")
        if option != "column_map" and option in draft.parser:
            option_path = (option, column) if column else (option,)
            comments[(*path, *option_path)] = (_guess_comment(guess),)
    return comments


def _option_comment(option: str, value: Any) -> str:
    """Return the reason for an option of a parser."""
    if option == "delimiter" and value in _DELIMITERS:
        return f"The fields of a line are separated by {_DELIMITERS[value]}."
    return OPTION_COMMENTS[option]


def _column_comment(
    column: str,
    source: Any,
    draft: VendorDraft,
    check: FeedCheck,
) -> str:
    """Return the reason for the header of a column."""
    if column == "sku":
        return sku_reason(draft)
    if not isinstance(source, str):
        return (
            "Several columns of the file together, such as those of warehouses."
        )
    return _guess_of_header(check, column, source) or "The header says so."


def _guess_of_header(check: FeedCheck, column: str, header: str) -> str | None:
    """Return the guess of a column's header in words, or None if nothing was guessed."""
    for guess in check.guesses:
        if guess.option == f"column_map.{column}" and guess.value == header:
            return findings.describe_guess(guess)
    return None
