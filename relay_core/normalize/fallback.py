"""The fallback policy: a vendor's rows are used, left out, or replaced by a last good feed's."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from relay_core.config import VendorConfig
from relay_core.domain import run_faults
from relay_core.domain.codes import VendorStatus, WarningCode
from relay_core.domain.limits import ReportRoom
from relay_core.domain.records import ReportEntry
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.vendor import ReadRows, SortedVendor, sorted_rows
from relay_core.normalize.vendor_feed import FeedReader, VendorFeed
from relay_core.validation.guards import vendor_rows_share
from relay_core.validation.vendor_failures import (
    LastGoodInputs,
    VendorState,
    is_absence,
    left_out,
    may_be_empty,
    own_share_faults,
    settle,
    warning_of,
)


class LastGoodFeeds(LastGoodInputs, Protocol):
    """The feeds of the run whose feed is published."""

    def read(self, vendor_id: str) -> VendorFeed | None:
        """Return the vendor's input there; None where it is gone."""


@dataclass(slots=True)
class FallbackPolicy:
    """Settles the vendors of a run, one after the other."""

    reader: FeedReader  # of the run's feeds; ages are counted up to when the run was asked for
    states: dict[str, VendorState]  # the part of each that is used; failures of reading are added
    last_good: LastGoodFeeds | None  # the feeds that can replace uploads, where there are any
    rows_before: Mapping[str, int] | None  # valid ones of the published run, if guards are judged
    # The uploads that a last good feed replaces
    replaced: dict[str, NormalizedVendor] = field(default_factory=dict)

    def settle(self, ordered: SortedVendor) -> SortedVendor:
        """Return the rows that are used of a vendor that was read."""
        vendor = self.reader.config.vendor(ordered.vendor.vendor_id)
        failure, state = self._failure_of(vendor, ordered.vendor), self.states.get(vendor.vendor_id)
        if state is not None and state.status is VendorStatus.LAST_GOOD:
            # It stands in already, for an upload that could not be read.
            return self._standing_in(vendor, state, ordered if failure is None else None, None)
        if failure is None:
            return ordered
        state = settle(vendor, failure, self.reader.requested_at, self.last_good)
        if state is None:
            return self._as_it_is(vendor, failure, ordered)
        if state.status is VendorStatus.LEFT_OUT:
            return self._left_out(vendor, state, ordered)
        substitute = None
        feed = None if self.last_good is None else self.last_good.read(vendor.vendor_id)
        read = None if feed is None else self.reader.read(feed)
        if isinstance(read, ReadRows):
            found = sorted_rows(read, ReportRoom(0, 0))
            substitute = found if self._failure_of(vendor, found.vendor) is None else None
        return self._standing_in(vendor, state, substitute, ordered)

    def _standing_in(
        self,
        vendor: VendorConfig,
        state: VendorState,
        substitute: SortedVendor | None,
        own: SortedVendor | None,
    ) -> SortedVendor:
        """Return a last good feed in the vendor's place; without one, leave it out or fail."""
        # One without a required column is left out, and stands in for nothing.
        if substitute is not None and substitute.vendor.status is VendorStatus.FOUND:
            self.states[vendor.vendor_id] = state
            if own is not None:
                self.replaced[vendor.vendor_id] = own.vendor
            warnings = (warning_of(vendor, state),)
            substitute.vendor = replace(
                substitute.vendor, status=VendorStatus.LAST_GOOD, warnings=warnings
            )
            return substitute
        failure = state.failure or run_faults.no_rows(vendor.vendor_id)
        nothing = NormalizedVendor(vendor.vendor_id, VendorStatus.LEFT_OUT)
        remaining = left_out(vendor, failure)
        if remaining is not None:
            return self._left_out(vendor, remaining, own or SortedVendor.without_rows(nothing))
        if own is not None:
            return self._as_it_is(vendor, failure, own)
        self.states[vendor.vendor_id] = VendorState(VendorStatus.MISSING, failure)
        if is_absence(failure) and may_be_empty(self.reader.config, vendor):
            return SortedVendor.without_rows(replace(nothing, warnings=(failure,)))
        nothing = replace(nothing, status=VendorStatus.FAILED, fault=failure)
        return SortedVendor.without_rows(nothing)

    def _as_it_is(
        self, vendor: VendorConfig, failure: ReportEntry, ordered: SortedVendor
    ) -> SortedVendor:
        self.states[vendor.vendor_id] = VendorState(VendorStatus.FOUND, failure)
        found = ordered.vendor
        is_empty = found.status is VendorStatus.FOUND and not found.total_rows
        if is_empty and may_be_empty(self.reader.config, vendor):
            emptiness = run_faults.fault_of(WarningCode.EMPTY_FEED, vendor.vendor_id)
            ordered.vendor = replace(found, warnings=(*found.warnings, emptiness))
        return ordered

    def _left_out(
        self, vendor: VendorConfig, state: VendorState, upload: SortedVendor
    ) -> SortedVendor:
        """Return an upload that is left out; reports still count its rows."""
        self.states[vendor.vendor_id] = state
        warnings = (warning_of(vendor, state),)
        upload.consume_lines()  # nobody writes them
        upload.vendor = replace(
            upload.vendor, status=VendorStatus.LEFT_OUT, fault=None, warnings=warnings
        )
        return upload

    def _failure_of(self, vendor: VendorConfig, read: NormalizedVendor) -> ReportEntry | None:
        """Return the failure of a vendor's rows; lost ones count where ``on_trouble`` acts."""
        if read.fault is not None:
            return read.fault
        if read.status is VendorStatus.LEFT_OUT:
            return None  # a required column is missing, and the policy says to go on
        if not read.total_rows:
            return run_faults.no_rows(vendor.vendor_id)
        own = own_share_faults([vendor], [read.invalid_rows], [read.total_rows])
        if own or self.rows_before is None or vendor.on_trouble == "fail":
            return own[0] if own else None  # a guard of its own judges how many rows are lost
        before = self.rows_before.get(vendor.vendor_id, 0)
        guards, now = self.reader.config.guards, read.valid_rows
        share = vendor_rows_share(guards, vendor.vendor_id, before, now)
        if share is None or not share.tripped:
            return None
        facts = {"before": before, "now": now, "limit": share.limit}
        return run_faults.fault_of(run_faults.VENDOR_ROWS, vendor.vendor_id, **facts)
