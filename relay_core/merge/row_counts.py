"""The outcomes of vendors' rows, and the effects of the tenant's rules."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from relay_core.columnar import arrays
from relay_core.domain.errors import ContractBrokenError
from relay_core.normalize.file_lists.figures import PartFigures

FATES = ("left_out", "same_sku", "outbid", "unpriced", "won")
"""The fields of `RowCounts` that offers end in.

`count_competing` has all but the first.
"""

_OF_FILE_LISTS = ("replaced", "unmatched", "parts")
"""The fields of `RowCounts` that only vendors of several files have."""
RuleEffects: TypeAlias = Counter[tuple[str, int | str]]
"""The effects of the tenant's own rules: how often, by the effect and its subject.

The subject of ``priced`` (SKUs of the feed) and of ``left_out`` (offers) is the index
of a price rule. The subject of ``set_aside`` (rows that another row of the vendor
replaces) and of ``held_back`` (units that are not offered on) is a vendor's id.
"""


@dataclass(frozen=True, slots=True)
class RowCounts:
    """One vendor's rows by outcome; None after `refused` in a failed run.

    Raises:
        ContractBrokenError: The counts do not add up to the rows that were read.
    """

    read: int  # all records that are not blank: the sum of the other counts
    skipped: int  # the records that `parser.skip_rows` names
    refused: int  # the rejected records
    # Rows that later files of changes replace; None if there are no such files
    replaced: int | None = None
    # Rows that a part or the catalog takes out; None if neither could
    unmatched: int | None = None
    # Rows that another row of the vendor replaces.
    duplicates: int | None = None
    # Rows that a rule, override or failure leaves out.
    left_out: int | None = None
    # Rows that a better row of the vendor and SKU beats.
    same_sku: int | None = None
    # The vendor's best rows of SKUs that another vendor wins.
    outbid: int | None = None
    unpriced: int | None = None  # the best rows of SKUs that get no price
    won: int | None = None  # rows in the feed
    # The rows of the vendor's parts, by part; None for a vendor of one file
    parts: Mapping[str, PartFigures] | None = None

    def __post_init__(self) -> None:
        """Compare the sum of the counts with the rows that were read."""
        if self.won is not None:
            counts = self.as_dict()
            records_read = counts.pop("read")
            counts.pop("parts", None)
            total = sum(count or 0 for count in counts.values())
            if total != records_read:
                raise ContractBrokenError(
                    f"the rows of a vendor do not add up: {self}",
                )

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as ``run_summary.json`` shows them.

        Outcomes that the vendor's files cannot have are absent.
        """
        counts = {
            counted.name: getattr(self, counted.name)
            for counted in fields(self)
            if counted.name not in _OF_FILE_LISTS
            or getattr(self, counted.name) is not None
        }
        if self.parts is not None:
            counts["parts"] = {
                part_id: figures.as_dict()
                for part_id, figures in self.parts.items()
            }
        return counts


def count_competing(
    ranks: arrays.WholeNumbers,
    sku_counts: arrays.WholeNumbers,
    winner_ranks: arrays.WholeNumbers,
    has_price: arrays.RowMask,
) -> arrays.WholeNumbers:
    """Count the competing offers of each vendor by their outcome.

    Args:
        ranks: The rank of each offer's vendor.
        sku_counts: The number of distinct SKUs that each vendor of the config offers.
        winner_ranks: The rank of each winner's vendor.
        has_price: The mask of the winners that get a price.

    Returns:
        A row for each of ``same_sku``, ``outbid``, ``unpriced`` and ``won``, a column
        for each vendor.
    """
    count_by_vendor = partial(np.bincount, minlength=len(sku_counts))
    same_sku = count_by_vendor(ranks) - sku_counts
    won = count_by_vendor(winner_ranks[has_price])
    unpriced = count_by_vendor(winner_ranks[~has_price])
    outbid = sku_counts - won - unpriced
    return np.stack([same_sku, outbid, unpriced, won])


def effects_of_rules(effect: str, rules: arrays.WholeNumbers) -> RuleEffects:
    """Count the SKUs or offers of each price rule.

    Args:
        effect: The effect to count under.
        rules: The index of each SKU's or offer's rule; -1 for none.
    """
    effects = RuleEffects()
    counts = np.bincount(rules[rules >= 0])
    for rule, count in enumerate(counts.tolist()):
        effects[effect, rule] = count
    return effects
