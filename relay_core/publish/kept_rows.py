"""The rows of the published feed that a new feed keeps.

A SKU that nobody offers any more stays for some days at a quantity of 0. A SKU whose
new price cannot be right keeps the published one, as `suspects` decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.arrays import RowIndex, WholeNumbers
from relay_core.columnar.text import flags_of, one_chunk
from relay_core.config import Override
from relay_core.domain.codes import WarningCode
from relay_core.domain.run_faults import fault_of
from relay_core.merge.best_offer import Merge
from relay_core.merge.deferred_columns import KEPT_RANK, QUARANTINED_RANK
from relay_core.merge.result import MergedInventory
from relay_core.normalize.result import NormalizedVendor
from relay_core.publish import stored_rows
from relay_core.publish.quarantine import Quarantine, quarantine_of
from relay_core.publish.state import OFFERED_AT, SUSPECT_SINCE, Baseline
from relay_core.publish.suspects import Suspects
from relay_core.validation import row_schemas
from relay_core.validation.comparison import KEPT, SUSPECT_PRICE, Comparison


@dataclass(slots=True)
class KeptRows:
    """A new feed and the published one, whose rows the steps add to the new feed."""

    merged: MergedInventory
    baseline: Baseline
    joined: Comparison  # the comparison of both feeds, renewed with each step
    # The aware end of the days and hours that are counted.
    requested_at: datetime
    overrides: Sequence[Override]  # the overrides in effect for the run

    def missing_skus(self) -> None:
        """Keep published SKUs that the new feed lacks, at a quantity of 0.

        Each is kept for the configured days after its last offer. A SKU that an
        override leaves out is not kept.
        """
        merged = self.merged
        output = merged.config.output
        is_enabled = output.missing_skus == "zero"
        if not is_enabled or merged.feed is None or merged.deferred is None:
            return
        is_missing = self.joined.rows_after < 0
        stored = self.baseline.rows(self.joined.rows_before[is_missing])
        stays = self._stays(stored)
        stored = stored.filter(stays)
        if not len(stored):
            return
        is_kept = np.zeros(len(is_missing), np.bool_)
        is_kept[is_missing] = flags_of(stays)
        no_quantities = np.zeros(len(stored), np.int32)
        zeroed = stored_rows.kept_rows(merged.config, stored, no_quantities)
        offered, added = stored_rows.side_by_side(merged.feed, zeroed)
        now = pa.scalar(self.requested_at, row_schemas.INSTANT)
        offered = offered.append_column(
            OFFERED_AT,
            pa.repeat(now, len(offered)),
        )
        added = added.append_column(OFFERED_AT, one_chunk(stored[OFFERED_AT]))
        flags = is_kept[is_kept | ~is_missing]
        offered_indices = np.cumsum(~flags) - 1
        added_indices = len(offered) + np.cumsum(flags) - 1
        order = np.where(flags, added_indices, offered_indices)
        rows = stored_rows.interleaved(offered, added, order)
        feed = rows.append_column(KEPT, pa.array(flags))
        warning = fault_of(
            WarningCode.MISSING_SKUS_ZEROED,
            skus=len(zeroed),
            days=output.missing_sku_days,
        )
        self.merged = replace(
            merged.with_warnings(warning),
            feed=feed,
            deferred=merged.deferred.with_rows(KEPT_RANK, zeroed),
            kept=zeroed,
        )
        self.joined = self.joined.with_after(feed, is_kept)

    def _stays(self, stored: pa.Table) -> pa.ChunkedArray:
        """Return the stored rows that are recent and not left out, one flag a row."""
        days = timedelta(days=self.merged.config.output.missing_sku_days)
        offered_at = stored[OFFERED_AT]
        earliest = pa.scalar(self.requested_at - days, offered_at.type)
        is_recent = pc.greater(offered_at, earliest)
        left_out = [
            override.sku for override in self.overrides if override.leave_out
        ]
        if not left_out:
            return is_recent
        skus = stored["sku"]
        is_left_out = pc.is_in(skus, pa.array(left_out, skus.type))
        return pc.and_not(is_recent, is_left_out)

    def quarantine(
        self,
        vendors: Sequence[NormalizedVendor],
        config_version: int | None,
    ) -> Quarantine | None:
        """Keep the published row of SKUs whose new price cannot be right.

        Return these SKUs, or None if there are none or the config has no quarantine.
        ``vendors`` have the offers that the feed was made from.
        """
        merged = self.merged
        options = merged.config.guards.quarantine
        if options is None or merged.feed is None or merged.deferred is None:
            return None
        offered = merged.feed
        merge = Merge.of(merged.config, self.overrides)
        suspects = Suspects.of(
            merge,
            options,
            self.baseline,
            self.joined,
            offered,
            self.requested_at,
        )
        baseline_version = self.baseline.context.config_version
        is_new_config = config_version not in (None, baseline_version)
        suspects = suspects.unconfirmed(is_new_config=is_new_config)
        if not len(suspects.rows):
            return None
        quarantine = quarantine_of(merge, suspects, vendors)
        offered, stored = stored_rows.side_by_side(offered, quarantine.rows)
        order = np.arange(len(offered))
        order[suspects.rows] = len(offered) + np.arange(len(stored))
        rows = stored_rows.interleaved(offered, stored, order)
        prices = _at_rows(suspects.rows, quarantine.computed, len(rows))
        instants = _at_rows(suspects.rows, quarantine.since, len(rows))
        rows = rows.append_column(SUSPECT_PRICE, prices.view(row_schemas.CENTS))
        rows = rows.append_column(
            SUSPECT_SINCE,
            instants.view(row_schemas.INSTANT),
        )
        deferred = merged.deferred.with_rows(QUARANTINED_RANK, quarantine.rows)
        self.merged = replace(merged, feed=rows, deferred=deferred)
        self.joined = self.joined.with_after(rows)
        return quarantine


def _at_rows(rows: RowIndex, numbers: WholeNumbers, size: int) -> pa.Array:
    """Return ``size`` values: the numbers at ``rows``, nulls elsewhere."""
    values = np.zeros(size, np.int64)
    values[rows] = numbers
    is_null = np.ones(size, np.bool_)
    is_null[rows] = False
    return pa.array(values, mask=is_null)
