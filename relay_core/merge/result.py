"""The outcome of merging: the feed's rows, held against their contract, or the failure instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.json_lines import (
    ReportEntries,
    as_json,
    joined_parts,
    json_texts,
    python_texts,
)
from relay_core.columnar.text import one_chunk
from relay_core.columnar.threads import ordered_map
from relay_core.config import TenantConfig
from relay_core.domain.codes import WarningCode
from relay_core.domain.records import ReportEntry, RunFailure
from relay_core.merge.best_offer import Winners
from relay_core.merge.effects import RuleEffects
from relay_core.merge.rest import Rest
from relay_core.validation.comparison import KEPT
from relay_core.validation.contracts import FEED_COLUMNS, MERGED_SCHEMA
from relay_core.validation.frames import table_of
from relay_core.validation.gate import GATE_ROWS, BrokenRule, broken_rules, merged_rules

_NO_AMOUNT = (
    " has no offer with a cost or a price, so it is left out of the feed; ask a vendor for its cost"
)
_FREE = " has a price that comes to 0.00, so it is left out of the feed; set pricing.min_price"


@dataclass(frozen=True, slots=True, eq=False)
class MergedInventory:
    """The outcome of merging: a feed, or the failure that stands in its place.

    Attributes:
        config: the tenant's.
        failure: why there is no feed.
        faults: the run's own faults.
        warnings: those of all steps; of SKUs as many as a report keeps.
        warning_counts: how many warnings of each code there are.
        unpriced_skus: how many SKUs have no price.
        feed: the rows of the feed in the order of SKUs (``FeedRow``, and what the output asks for).
        rest: the other canonical columns of the feed.
        kept: its rows that nobody offers, as they are kept at 0, with all canonical columns.
        effects: what the tenant's own rules did.
        broken_rules: what the contract finds wrong with them; nothing, unless the engine is.
    """

    config: TenantConfig
    failure: RunFailure | None = None
    faults: tuple[ReportEntry, ...] = ()
    warnings: Sequence[ReportEntry] = ()
    warning_counts: dict[str, int] = field(default_factory=dict)
    unpriced_skus: int = 0
    feed: pd.DataFrame | None = None
    rest: Rest | None = None
    kept: pa.Table | None = None
    effects: RuleEffects = field(default_factory=RuleEffects)
    broken_rules: tuple[BrokenRule, ...] = ()

    @property
    def record_count(self) -> int:
        """How many rows the merged feed has; 0 where there is none."""
        return 0 if self.feed is None or self.failure else len(self.feed)

    @property
    def kept_at_0(self) -> int:
        """How many rows of the feed nobody offers."""
        return 0 if self.kept is None else len(self.kept)

    def skus_won(self) -> dict[str, int]:
        """Return how many offers of each vendor are in the feed, in the order of the config."""
        won: Mapping[Any, int] = {}
        if self.feed is not None:
            vendor_ids = self.feed["vendor_id"]
            offered = vendor_ids if self.kept is None else vendor_ids[~self.feed[KEPT]]
            won = offered.value_counts().to_dict()
        return {each.vendor_id: int(won.get(each.vendor_id, 0)) for each in self.config.vendors}


def rules_broken_by(feed: pd.DataFrame) -> tuple[BrokenRule, ...]:
    """Hold a feed against the merged contract, once for all that ask."""
    rows = feed[list(FEED_COLUMNS)]
    # Each part begins with the last row of the one before: in order, equal SKUs are neighbours.
    starts = range(0, max(1, len(rows)), GATE_ROWS)
    parts = (rows.iloc[max(0, at - 1) : at + GATE_ROWS].reset_index(drop=True) for at in starts)
    found = ordered_map(lambda part: broken_rules(MERGED_SCHEMA, part), parts)
    labels = (max(0, at - 1) for at in starts)
    return tuple(merged_rules(list(zip(labels, found, strict=True))))


def unpriced_warnings(winners: Winners, most: int) -> ReportEntries:
    """Return a warning for each SKU without a price, at most so many."""
    head = table_of(winners.unpriced.head(most))
    skus = one_chunk(head["sku"]).cast(pa.large_string())
    why = pc.if_else(one_chunk(head["is_free"]), _FREE, _NO_AMOUNT)
    code, about = as_json(str(WarningCode.UNPRICED_SKU)), json_texts(skus)
    message = json_texts(joined_parts("SKU ", python_texts(skus), why))
    begin = f'{{"error_code": {code}, "error_message": '
    return ReportEntries(joined_parts(begin, message, ', "sku": ', about, "}"))


def count_codes(warnings: Sequence[ReportEntry]) -> Counter[str]:
    """Count entries by code."""
    return Counter(entry.error_code for entry in warnings)
