"""A run's feed beside the published one: changes, guards, kept rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain

from relay_core.config import Override, TenantConfig, VendorConfig
from relay_core.domain.codes import WarningCode
from relay_core.domain.records import GuardResult, ReportEntry
from relay_core.domain.run_faults import fault_of
from relay_core.merge.result import MergedInventory, rules_broken_by
from relay_core.merge.row_counts import RowCounts
from relay_core.normalize.result import (
    Normalized,
    NormalizedVendor,
    valid_rows_of,
)
from relay_core.publish import changes
from relay_core.publish.changes import Changes
from relay_core.publish.channels import Channel, channels_of
from relay_core.publish.kept_rows import KeptRows
from relay_core.publish.quarantine import Quarantine
from relay_core.publish.state import Baseline, Publication, StateContext
from relay_core.validation.comparison import Comparison, FeedFigures
from relay_core.validation.guards import exempt, judge_guards
from relay_core.validation.vendor_failures import VendorState


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """A merged inventory, and its comparison with the published feed."""

    # The inventory, with the published rows that it keeps.
    merged: MergedInventory
    # The outcome of the rows of each vendor that was read.
    rows: Mapping[str, RowCounts] = field(default_factory=dict)
    changes: Changes | None = None  # the changes against the published feed
    # The guards; None if none was judged.
    guards: Sequence[GuardResult] | None = None
    is_held: bool = False  # whether a guard holds the feed back
    # The SKUs that keep their published price.
    quarantine: Quarantine | None = None
    # The earlier publications, the oldest first
    history: Sequence[Publication] = ()
    channels: Sequence[Channel] = ()  # the channels of the feed


@dataclass(frozen=True, slots=True)
class FeedComparer:
    """The step that compares a run's feed with the published one."""

    config: TenantConfig
    vendors: Sequence[VendorConfig]  # the vendors of the run
    requested_at: datetime  # aware; days and hours are counted up to it
    baseline: Baseline | None  # the published feed
    overrides: Sequence[Override] = ()  # the overrides in effect for the run
    config_version: int | None = None

    @property
    def comparable(self) -> Baseline | None:
        """The published feed; None if its prices are in another currency."""
        if self.baseline is None:
            return None
        is_same = self.baseline.context.currency == self.config.default_currency
        return self.baseline if is_same else None

    def is_judged(self, published: FeedFigures) -> bool:
        """Return whether guards are judged against a published feed."""
        guards = self.config.guards
        return (
            guards.mode != "off"
            and published.offers >= guards.min_baseline_skus
        )

    def compare(
        self,
        merged: MergedInventory,
        normalized: Normalized,
    ) -> Compared:
        """Compare a feed with the published one, and check it against its contract.

        Args:
            merged: The merged inventory.
            normalized: The vendors that it was made of.

        Raises:
            ContractBrokenError: The rows of a vendor do not add up.
        """
        compared = Compared(merged)
        baseline = self.comparable
        channels: list[Channel] = []
        if merged.feed is not None and merged.failure is None:
            if baseline is not None:
                feeds = Comparison.of(
                    baseline.figures,
                    FeedFigures.of(merged.feed),
                )
                compared = self._beside(baseline, merged, feeds, normalized)
                merged = compared.merged
            if merged.feed is not None:
                channels = channels_of(self.config, merged.feed)
                channel_warnings = chain.from_iterable(
                    channel.warnings() for channel in channels
                )
                merged = replace(
                    merged.with_warnings(*channel_warnings),
                    broken_rules=rules_broken_by(merged.feed),
                )
        return replace(
            compared,
            merged=merged,
            rows=row_counts(normalized.vendors, merged),
            history=() if baseline is None else baseline.history,
            channels=channels,
        )

    def _beside(
        self,
        baseline: Baseline,
        merged: MergedInventory,
        feeds: Comparison,
        normalized: Normalized,
    ) -> Compared:
        """Return a feed with the rows that it keeps, its changes and guards."""
        kept_rows = KeptRows(
            merged,
            baseline,
            feeds,
            self.requested_at,
            self.overrides,
        )
        quarantine = None
        if self.is_judged(feeds.before):
            quarantine = kept_rows.quarantine(
                normalized.used, self.config_version
            )
        kept_rows.missing_skus()
        vendor_ids = [vendor.vendor_id for vendor in self.vendors]
        valid_rows = valid_rows_of(
            vendor_ids,
            normalized.vendors,
            normalized.states,
        )
        feed_changes, guards = self.judge(
            kept_rows.joined,
            baseline.context,
            normalized.states,
            valid_rows,
        )
        tripped = [result for result in guards or () if result.tripped]
        holds_feeds = self.config.guards.mode == "hold"
        warnings = []
        if quarantine is not None:
            code = WarningCode.SKUS_QUARANTINED
            warnings.append(fault_of(code, skus=len(quarantine)))
        if not holds_feeds:
            warnings += map(_warning_of_guard, tripped)
        return Compared(
            merged=kept_rows.merged.with_warnings(*warnings),
            changes=feed_changes,
            guards=guards,
            is_held=holds_feeds and bool(tripped),
            quarantine=quarantine,
        )

    def judge(
        self,
        feeds: Comparison,
        published: StateContext,
        states: Mapping[str, VendorState],
        valid_rows: Mapping[str, int],
    ) -> tuple[Changes, list[GuardResult] | None]:
        """Return the changes of a feed, and the results of the guards.

        Args:
            feeds: The published feed, and the feed that is compared with it.
            published: The publication of the published feed.
            states: The part of each vendor in the run.
            valid_rows: The valid rows of each vendor that is not left out.

        Returns:
            The changes, and the results; None if no guard was judged.
        """
        feed_changes = changes.compare(feeds, published.run_id)
        if not self.is_judged(feeds.before):
            return feed_changes, None
        exempt_vendors = exempt(self.config, self.vendors, states)
        vendor_rows = [
            (vendor_id, published.vendor_rows.get(vendor_id, 0), row_count)
            for vendor_id, row_count in valid_rows.items()
            if vendor_id not in exempt_vendors
        ]
        results = judge_guards(
            self.config.guards,
            feeds,
            exempt=exempt_vendors,
            vendor_rows=vendor_rows,
            left_out=[
                override.sku
                for override in self.overrides
                if override.leave_out
            ],
        )
        if not results and self.config.guards.quarantine is None:
            return feed_changes, None
        return feed_changes, results


def _warning_of_guard(result: GuardResult) -> ReportEntry:
    """Return the warning of a guard that trips but does not hold the feed back."""
    subject = ""
    if result.vendor_id is not None:
        subject = f" for vendor {result.vendor_id!r}"
    if result.side is not None:
        subject += f" on its {result.side} side"
    return fault_of(
        WarningCode.GUARD_TRIPPED,
        about=subject,
        guard=result.guard,
        value=result.value,
        limit=result.limit,
    )


def _read_counts(vendor: NormalizedVendor) -> RowCounts:
    """Return the counts of a vendor's rows up to the merge."""
    figures = vendor.figures
    if figures is None:
        records = vendor.total_rows + vendor.skipped
        return RowCounts(
            records,
            vendor.skipped,
            vendor.invalid_rows,
            unmatched=None if vendor.matched is None else vendor.taken_out,
        )
    return RowCounts(
        figures.read,
        figures.skipped,
        figures.refused,
        figures.replaced,
        figures.unmatched,
        parts=figures.parts,
    )


def row_counts(
    vendors: Sequence[NormalizedVendor],
    merged: MergedInventory | None,
) -> dict[str, RowCounts]:
    """Count the outcome of the rows of each vendor that was read.

    Args:
        vendors: The vendors as they are used.
        merged: The merged inventory; None if the run has none.

    Raises:
        ContractBrokenError: The counts of a vendor do not add up.
    """
    is_merged = merged is not None and merged.failure is None
    offer_counts = merged.counts if merged is not None and is_merged else None
    counts: dict[str, RowCounts] = {}
    for vendor in vendors:
        if not vendor.is_read:
            continue
        vendor_id = vendor.vendor_id
        read_counts = _read_counts(vendor)
        duplicates = 0 if vendor.figures is None else vendor.figures.duplicates
        if merged is None or offer_counts is None:
            counts[vendor_id] = read_counts
        elif vendor.status.is_used:
            counts[vendor_id] = replace(
                read_counts,
                duplicates=duplicates + merged.effects["set_aside", vendor_id],
                **offer_counts[vendor_id],  # type: ignore[arg-type]  # counts alone
            )
        else:
            counts[vendor_id] = replace(
                read_counts,
                duplicates=duplicates + vendor.duplicates,
                left_out=vendor.offered_rows - vendor.duplicates,
                same_sku=0,
                outbid=0,
                unpriced=0,
                won=0,
            )
    return counts
