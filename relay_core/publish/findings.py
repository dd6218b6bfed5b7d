"""The findings of a run so far, and the rules that it applied: the source of all its reports."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from relay_core.config import PriceRule, StockConfig
from relay_core.domain import codes, records
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.domain.run_faults import failure_of, listed
from relay_core.merge.result import MergedInventory
from relay_core.merge.row_counts import RowCounts
from relay_core.normalize.result import NormalizedVendor, no_offers
from relay_core.publish.changes import Changes
from relay_core.publish.quarantine import Quarantine
from relay_core.publish.state import Publication
from relay_core.validation.vendor_failures import (
    VendorInput,
    VendorState,
    nothing_left,
    stage_of,
)

MAX_MOVES = 10  # so many of the greatest moves of prices are shown, up and down
_HOUR = timedelta(hours=1)
_OF_ROWS = (codes.FailureCode.VALIDATION_ERRORS, codes.FailureCode.NO_ROWS_PARSED)


@dataclass(frozen=True, slots=True)
class AppliedRule:
    """One rule, and its effect."""

    path: str  # where it stands in the config
    rule: str  # its text
    vendor_id: str | None  # whose rows or offers it was applied to; None for all
    noun: str  # what ``count`` counts: a row, a SKU, an offer, a unit
    verb: str  # what the rule did to them
    count: int  # how many

    @property
    def did(self) -> str:
        """The rule's effect, in words: ``count`` is the number of it."""
        return f"{self.noun}s {self.verb}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as reports show it."""
        names = ("path", "rule", "vendor_id", "did", "count")
        return {name: getattr(self, name) for name in names}


def applied_rules(
    merged: MergedInventory, vendors: Sequence[NormalizedVendor]
) -> Iterator[AppliedRule]:
    """Yield the rules of a run's config, in its order, those that did nothing too."""
    config, effects = merged.config, merged.effects
    repeated = {each.vendor_id: each.fault_counts for each in vendors}
    for place, vendor in enumerate(config.vendors):
        name, policy = vendor.vendor_id, vendor.duplicate_skus
        path = f"vendors.{place}.duplicate_skus"
        if policy == "refuse":
            count = repeated.get(name, {}).get(codes.RowFault.DUPLICATE_SKU, 0)
            yield AppliedRule(path, policy, name, "row", "refused", count)
        elif policy != "compete":
            yield AppliedRule(
                path, policy, name, "row", "set aside", effects["set_aside", name]
            )
    for index, rule in enumerate(config.pricing.rules):
        path, said = f"pricing.rules.{index}", in_words(rule)
        if rule.leave_out:
            yield AppliedRule(
                path, said, None, "offer", "left out", effects["left_out", index]
            )
        else:
            yield AppliedRule(
                path, said, None, "SKU", "priced", effects["priced", index]
            )
    for place, vendor in enumerate(config.vendors):
        stock = vendor.stock or config.stock
        if stock != StockConfig():
            path = "stock" if vendor.stock is None else f"vendors.{place}.stock"
            said = _pairs(stock.model_dump(exclude_defaults=True))
            count = effects["held_back", vendor.vendor_id]
            yield AppliedRule(path, said, vendor.vendor_id, "unit", "held back", count)
    if config.output.missing_skus == "zero":
        days = f"zero for {config.output.missing_sku_days} days"
        kept = 0 if merged.kept is None else len(merged.kept)
        yield AppliedRule("output.missing_skus", days, None, "SKU", "kept at 0", kept)


def in_words(rule: PriceRule) -> str:
    """Return the text of a price rule: ``brands Acme, cost_below 5: margin_pct 0.5``."""
    written = rule.model_dump(mode="json", exclude_defaults=True)
    when = written.pop("when", {})
    return f"{_pairs(when) or 'always'}: {_pairs(written)}"


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_said(value)}" for name, value in values.items())


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return listed(map(str, value), " or ", len(value))
    return "true" if value is True else str(value)


@dataclass(slots=True)
class RunFindings:
    """Filled stage by stage."""

    vendor_ids: Sequence[str] = ()  # the vendors of the run
    vendor_count: int = 0  # how many vendors the config has
    limits: Limits = DEFAULT_LIMITS  # of its feeds and reports
    of_all_vendors: bool = (
        True  # whether the run is of all of them, whose feed is published
    )
    # When each vendor's upload came, aware, where that is known
    uploaded_at: Mapping[str, datetime] = field(default_factory=dict)
    failure: records.RunFailure | None = None  # how it failed
    faults: Sequence[records.ReportEntry] = ()  # the run's own faults
    warnings: Sequence[
        records.ReportEntry
    ] = ()  # its warnings, as far as a report keeps them
    states: dict[str, VendorState] = field(
        default_factory=dict
    )  # what is used of each vendor
    normalized: Sequence[NormalizedVendor] = ()  # the vendors as they are used
    # The uploads in place of which a last good feed stands
    replaced: dict[str, NormalizedVendor] = field(default_factory=dict)
    guards: Sequence[records.GuardResult] | None = (
        None  # their results, where they were judged
    )
    is_held: bool = False  # whether the feed is held back for them
    quarantine: Quarantine | None = (
        None  # the SKUs that keep their published price, if any
    )
    quarantine_is_set: bool = False  # whether the config has a quarantine
    changes: Changes | None = (
        None  # the changes against the published feed, where there is one
    )
    record_count: int = 0  # rows of the merged feed, 0 on failure
    unpriced_skus: int = 0  # how many SKUs were left out for want of a price
    skus_won: Mapping[str, int] = field(
        default_factory=dict
    )  # of the feed's rows, each vendor's
    # Where the rows of each vendor went whose records were all read
    rows: Mapping[str, RowCounts] = field(default_factory=dict)
    titles: Mapping[str, str] = field(
        default_factory=dict
    )  # of SKUs that reports show, if any
    doubts: Sequence[
        records.Doubt
    ] = ()  # what of its rows and margins is probably not meant
    history: Sequence[Publication] = ()  # the publications before, the oldest first
    rules: Sequence[AppliedRule] = ()  # the tenant's own, with the effect of each
    currency: str = ""  # that of its amounts

    @property
    def status(self) -> codes.RunStatus:
        """The status in which the run ends, as far as its data decide."""
        if self.failure is not None:
            return codes.RunStatus.FAILED
        return codes.RunStatus.HELD if self.is_held else codes.RunStatus.SUCCEEDED

    @property
    def tripped(self) -> list[records.GuardResult]:
        """The results of the guards that trip."""
        return [result for result in self.guards or () if result.tripped]

    @property
    def quarantined(self) -> int | None:
        """How many SKUs keep their published price; None where no quarantine is set."""
        found = 0 if self.quarantine is None else len(self.quarantine)
        return found if self.quarantine_is_set else None

    @property
    def uploads(self) -> list[NormalizedVendor]:
        """The uploads that were read: all that is refused, and counted, is theirs."""
        vendors = (self.replaced.get(each.vendor_id, each) for each in self.normalized)
        return [
            vendor
            for vendor in vendors
            if vendor.status is not codes.VendorStatus.LAST_GOOD
        ]

    def causes(self, limit: int = DEFAULT_LIMITS.report_causes) -> list[records.Cause]:
        """Return the causes of rejected rows in the uploads, the most frequent first."""
        found = (cause for vendor in self.uploads for cause in vendor.causes)
        return sorted(found, key=lambda cause: -cause.count)[:limit]

    def valid_rows(self) -> dict[str, int]:
        """Return the valid rows of every vendor that is not left out, 0 where it has none."""
        read = {
            each.vendor_id: each.valid_rows
            for each in self.normalized
            if each.status.is_used
        }
        of_vendors = [(each.vendor_id, each.status) for each in self.normalized]
        of_vendors += [(name, state.status) for name, state in self.states.items()]
        left_out = {
            name for name, status in of_vendors if status is codes.VendorStatus.LEFT_OUT
        }
        return {
            name: read.get(name, 0) for name in self.vendor_ids if name not in left_out
        }

    def fail(self, failure: records.RunFailure) -> None:
        """Take a failure that is its own only fault."""
        self.failure = failure
        self.drop_feed()
        self.faults = (records.ReportEntry(failure.error_code, failure.error_message),)

    def drop_feed(self) -> None:
        """Drop the findings of a feed that could not be written."""
        self.record_count, self.changes, self.quarantine = 0, None, None
        self.rows = self._rows(None)

    def with_remedy(
        self, failure: records.RunFailure | None
    ) -> records.RunFailure | None:
        """Return a failure for rejected rows with the remedy of most of these rows."""
        if failure is None or failure.error_code not in _OF_ROWS:
            return failure
        about = failure.vendors or self.vendor_ids
        first = next(
            (cause for cause in self.causes() if cause.vendor_id in about), None
        )
        return failure if first is None else replace(failure, remedy=first.in_words)

    def take_inputs(self, inputs: Mapping[str, VendorInput]) -> None:
        """Add when the uploads came."""
        self.uploaded_at = {
            name: one.uploaded_at
            for name, one in inputs.items()
            if one.uploaded_at is not None
        }

    def take_normalized(self, normalized: Sequence[NormalizedVendor]) -> None:
        """Add the findings of reading; an unusable feed, or no vendor left, ends the run."""
        # A vendor that was read says itself what stands in for it.
        again = codes.WarningCode.VENDOR_LAST_GOOD
        self.warnings = [each for each in self.warnings if each.error_code != again]
        faults = [vendor.fault for vendor in normalized if vendor.fault is not None]
        self.normalized, failure = normalized, failure_of(faults, codes.Stage.NORMALIZE)
        if failure is None and (faults := nothing_left(self.states)):
            failure = failure_of(faults, stage_of(faults[0]))
        self.failure = self.with_remedy(failure)
        self.rows = self._rows(None)
        if self.failure is not None:
            self.faults = faults
            self.warnings = [
                *self.warnings,
                *(w for vendor in normalized for w in vendor.warnings),
            ]

    def take_merged(self, merged: MergedInventory) -> None:
        """Add the findings of the merge; let go of the offers that it was made of."""
        self.failure = self.with_remedy(merged.failure)
        self.faults, self.warnings = merged.faults, merged.warnings
        self.unpriced_skus, self.record_count = (
            merged.unpriced_skus,
            merged.record_count,
        )
        if merged.failure is None:
            self.rules = list(applied_rules(merged, self.uploads))
        self.rows = self._rows(merged)
        self.skus_won, self.currency = merged.skus_won(), merged.config.default_currency
        self.titles = merged.titles(self.shown_skus())
        self.normalized = [
            replace(each, offers=no_offers(), deferred=None) for each in self.normalized
        ]

    def _rows(self, merged: MergedInventory | None) -> Mapping[str, RowCounts]:
        """Count where the rows went, without the merge; `ContractBrokenError`: a wrong sum."""
        rows = {}
        for each in self.normalized:
            if not each.is_read:
                continue
            read = (each.total_rows + each.skipped, each.skipped, each.invalid_rows)
            if merged is None or merged.counts is None or self.failure is not None:
                rows[each.vendor_id] = RowCounts(*read)
            elif not each.status.is_used:
                left_out = each.valid_rows - each.duplicates
                rows[each.vendor_id] = RowCounts(
                    *read, each.duplicates, left_out, 0, 0, 0, 0
                )
            else:
                fates = merged.counts[each.vendor_id]
                set_aside = merged.effects["set_aside", each.vendor_id]
                rows[each.vendor_id] = RowCounts(*read, set_aside, **fates)
        return rows

    def shown_skus(self) -> set[str]:
        """Return the SKUs that reports show with what has changed of them."""
        moves = () if self.changes is None else self.changes.greatest_moves(MAX_MOVES)
        examples = (each["sku"] for result in self.tripped for each in result.examples)
        suspects = self.first_quarantined(MAX_MOVES)
        return {
            *(move.sku for each in moves for move in each),
            *examples,
            *(each["sku"] for each in suspects),
        }

    def first_quarantined(self, limit: int) -> Sequence[Mapping[str, str]]:
        """Return the first SKUs that keep their published price, each as quarantine.csv has it."""
        return () if self.quarantine is None else self.quarantine.first(limit)

    def counted_warnings(self) -> Mapping[str, int]:
        """Count the warnings by code, those that reports leave out too."""
        counts = Counter(entry.error_code for entry in self.warnings)
        if self.unpriced_skus:
            counts[str(codes.WarningCode.UNPRICED_SKU)] = self.unpriced_skus
        return counts

    def vendor_results(
        self, requested_at: datetime
    ) -> tuple[records.VendorResult, ...]:
        """Return the results of the vendors that the run has judged or read."""
        uploads, results = {each.vendor_id: each for each in self.uploads}, []
        for name in self.vendor_ids:
            if name not in self.states and name not in uploads:
                continue
            state = self.states.get(name, VendorState(codes.VendorStatus.FOUND))
            upload, uploaded_at = uploads.get(name), self.uploaded_at.get(name)
            age = state.age_hours
            if age is None and uploaded_at is not None:
                age = max(0, (requested_at - uploaded_at) // _HOUR)
            if (
                upload
                and upload.status is codes.VendorStatus.FAILED
                and not upload.total_rows
            ):
                upload = None  # it could not be read
            results.append(
                records.VendorResult(
                    vendor_id=name,
                    status=str(state.status),
                    uploaded_at=uploaded_at,
                    age_hours=age,
                    rows=upload.total_rows if upload else None,
                    invalid_rows=upload.invalid_rows if upload else None,
                    skus_won=self.skus_won.get(name, 0) if self.record_count else None,
                )
            )
        return tuple(results)

    def counts(self) -> dict[str, int]:
        """Return the numbers that people ask a run for."""
        return {
            "record_count": self.record_count,
            "total_rows": sum(vendor.total_rows for vendor in self.uploads),
            "invalid_rows": sum(vendor.invalid_rows for vendor in self.uploads),
            "unpriced_skus": self.unpriced_skus,
            **({} if self.quarantined is None else {"quarantined": self.quarantined}),
        }
