"""The chapter on SKUs without a price."""

from __future__ import annotations

from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import WarningCode
from relay_core.domain.limits import MAX_QUOTED
from relay_core.report.blocks import Item, Items, Sentence, Span, text_of
from relay_core.report.ended_run import MAX_WARNINGS, EndedRun
from relay_core.report.excerpts import MAX_EXAMPLES
from relay_core.report.report import Chapter

_EXPLANATION = (
    "No vendor sends a cost or a price for these SKUs, or their price is 0.00. They are "
    "not in the feed."
)


def chapter(run: EndedRun) -> Chapter | None:
    """Return the first SKUs without a price, or None if there are none."""
    skus = []
    for warning in run.findings.warnings[:MAX_WARNINGS]:
        is_unpriced = warning.error_code == WarningCode.UNPRICED_SKU
        if is_unpriced and warning.sku is not None:
            skus.append(cut(warning.sku, MAX_QUOTED))
    if not skus:
        return None
    items = tuple(
        Item(text_of(Span(sku, "code"))) for sku in skus[:MAX_EXAMPLES]
    )
    listed_skus = Items(
        items, run.findings.unpriced_skus, "errors", is_compact=True
    )
    blocks = (Sentence(text_of(_EXPLANATION)), listed_skus)
    return Chapter("unpriced", "SKUs without a price", blocks)
