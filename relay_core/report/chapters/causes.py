"""The chapter on why rows were rejected, with the fixes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence

from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import RowFault
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.records import Cause, CauseSample
from relay_core.domain.run_faults import counted
from relay_core.report.blocks import (
    Block,
    Heading,
    Item,
    Items,
    Omitted,
    Sentence,
    Span,
    text_of,
)
from relay_core.report.display import sentence
from relay_core.report.ended_run import EndedRun
from relay_core.report.excerpts import MAX_GROUPS, MAX_NOTE_LENGTH
from relay_core.report.report import Chapter

MAX_CAUSES = 5
"""The number of causes in a group."""
_MAX_PATCH_LENGTH = 1_000
_EXPLANATION = text_of(
    "A rejected row is not offered in the feed. The other rows of its vendor are not "
    "affected. ",
    Span("invalid_rows.csv", "code"),
    " lists every rejected row.",
)
_WORDS: dict[str, str] = {
    RowFault.DUPLICATE_SKU: "on more than one row",
    RowFault.INVALID_RECORD: "not a valid record",
    RowFault.COLUMN_COUNT: "more or fewer cells than the header",
    RowFault.MISSING_SKU: "no SKU",
    RowFault.MISSING_QUANTITY: "no quantity",
    RowFault.INVALID_QUANTITY: "not a whole number",
    RowFault.NEGATIVE_QUANTITY: "below 0",
    RowFault.INVALID_DECIMAL: "not a valid amount",
    RowFault.NEGATIVE_AMOUNT: "below 0",
    RowFault.AMOUNT_OUT_OF_RANGE: "amount too large",
    RowFault.INVALID_LEAD_TIME: "not a number of days",
    RowFault.INVALID_CONDITION: "not a known condition",
    RowFault.INVALID_TIMESTAMP: "not a valid date and time",
    RowFault.INVALID_GTIN: "not a valid GTIN",
}


def chapter(run: EndedRun) -> Chapter | None:
    """Return the causes by code and column, with the largest groups first."""
    groups: dict[tuple[str, str], list[Cause]] = defaultdict(list)
    for cause in run.findings.causes():
        groups[cause.error_code, cause.column or ""].append(cause)
    if not groups:
        return None
    ordered = sorted(groups.values(), key=_row_count, reverse=True)
    blocks: list[Block] = [Sentence(_EXPLANATION)]
    for group in ordered[:MAX_GROUPS]:
        blocks += _blocks_of(group)
    if len(ordered) > MAX_GROUPS:
        blocks.append(Omitted(len(ordered) - MAX_GROUPS, "errors"))
    return Chapter("causes", "Why rows were rejected", tuple(blocks))


def fault_title(error_code: str, column: str | None) -> str:
    """Return the error of rejected cells of a column, or of whole records."""
    fault = _WORDS.get(error_code, error_code)
    return f"{column}: {fault}" if column else fault.capitalize()


def _row_count(causes: Sequence[Cause]) -> int:
    return sum(cause.count for cause in causes)


def _blocks_of(causes: Sequence[Cause]) -> Iterator[Block]:
    """Yield the blocks on the causes that share a code and a column."""
    error_code = causes[0].error_code
    yield Heading(
        fault_title(error_code, causes[0].column),
        code=error_code,
        total=_row_count(causes),
        unit="row",
    )
    items = [_item_of(cause) for cause in causes[:MAX_CAUSES]]
    # Equal fixes are told once, below the last cause that they are for.
    for index in range(len(items) - 1):
        if items[index].fix == items[index + 1].fix:
            items[index] = items[index]._replace(fix="")
    yield Items(tuple(items), len(causes), "errors")


def _item_of(cause: Cause) -> Item:
    """Return a cause with its fix. A patch that is too long is left out."""
    patch = ""
    if cause.patch:
        patch = json.dumps(list(cause.patch), ensure_ascii=False, indent=2)
    if len(patch) > _MAX_PATCH_LENGTH:
        patch = ""
    pieces: list[str | Span] = [
        Span(counted(cause.count, "row"), "strong"),
        f" of {cause.vendor_id}",
    ]
    separator = ", for example "
    for sample in cause.samples:
        pieces += [separator, *_sample(sample)]
        separator = ", "
    return Item(
        text=text_of(*pieces, "."),
        fix=cut(sentence(cause.what_to_do), MAX_NOTE_LENGTH),
        snippet=patch,
        snippet_title="Change to your config" if patch else "",
    )


def _sample(sample: CauseSample) -> tuple[str | Span, ...]:
    text = cut(sample.value.strip(), MAX_QUOTED)
    location = f" in {sample.location}"
    if not text:
        return "an empty cell", location
    return Span(text, "code"), location
