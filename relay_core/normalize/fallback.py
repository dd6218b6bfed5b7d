"""The fallback policy: the rows that are used of a vendor whose upload has failed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from relay_core.config import TenantConfig, VendorConfig
from relay_core.domain import run_faults
from relay_core.domain.codes import VendorStatus, WarningCode
from relay_core.domain.limits import ReportRoom
from relay_core.domain.records import ReportEntry
from relay_core.domain.run_codes import VENDOR_ROWS
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.vendor import SortedVendor, sorted_rows
from relay_core.normalize.vendor_feed import FeedReader, VendorFeed
from relay_core.validation import vendor_failures
from relay_core.validation.error_policy import own_share_faults
from relay_core.validation.guards import vendor_rows_share
from relay_core.validation.vendor_failures import LastGoodInputs, VendorState


class LastGoodFeeds(LastGoodInputs, Protocol):
    """The feeds of the run whose feed is published."""

    def read(self, vendor_id: str) -> VendorFeed | None:
        """Return the vendor's input of that run; None if it is gone."""


@dataclass(slots=True)
class FallbackPolicy:
    """Chooses each vendor's rows: its own, its last good feed's, or none."""

    config: TenantConfig
    requested_at: datetime  # aware; ages are counted up to it
    reader: FeedReader  # reads last good feeds
    last_good: LastGoodFeeds | None  # the feeds that may be used instead
    # The valid rows of each vendor in the published run; None if no guards are judged.
    rows_before: Mapping[str, int] | None
    # The part of each vendor in the run, which the policy updates.
    states: dict[str, VendorState]
    # The uploads that a last good feed replaces, which the policy fills in.
    replaced: dict[str, NormalizedVendor] = field(default_factory=dict)

    def used_rows(self, ordered: SortedVendor) -> SortedVendor:
        """Return a vendor's rows: its own, used or left out, or its last good ones."""
        vendor = self.config.vendor(ordered.vendor.vendor_id)
        failure = self._failure_of(vendor, ordered.vendor)
        state = self.states.get(vendor.vendor_id)
        if state is not None and state.status is VendorStatus.LAST_GOOD:
            # The rows are the last good feed's already: the upload could not be read.
            substitute = ordered if failure is None else None
            return self._last_good(vendor, state, substitute, None)
        if failure is None:
            return ordered
        state = vendor_failures.settle(
            vendor,
            failure,
            self.requested_at,
            self.last_good,
        )
        if state is None:
            return self._with_failure(vendor, failure, ordered)
        if state.status is VendorStatus.LEFT_OUT:
            return self._left_out(vendor, state, ordered)
        substitute = self._read_last_good(vendor)
        return self._last_good(vendor, state, substitute, ordered)

    def _read_last_good(self, vendor: VendorConfig) -> SortedVendor | None:
        """Return the rows of a vendor's last good feed.

        Return None if there are none, or if they have failed, too.
        """
        feed = None
        if self.last_good is not None:
            feed = self.last_good.read(vendor.vendor_id)
        if feed is None:
            return None
        rows = self.reader.read(feed)
        if isinstance(rows, NormalizedVendor):
            return None
        ordered = sorted_rows(rows, ReportRoom(0, 0))
        failure = self._failure_of(vendor, ordered.vendor)
        return ordered if failure is None else None

    def _last_good(
        self,
        vendor: VendorConfig,
        state: VendorState,
        substitute: SortedVendor | None,
        upload: SortedVendor | None,
    ) -> SortedVendor:
        """Return the rows of a last good feed, or leave the vendor out, or fail.

        Args:
            vendor: The vendor.
            state: The vendor's state with its last good feed.
            substitute: The rows of the last good feed, if they can be used.
            upload: The vendor's own rows, if its upload was read.
        """
        # A feed without a required column is left out, and replaces nothing.
        if (
            substitute is not None
            and substitute.vendor.status is VendorStatus.FOUND
        ):
            self.states[vendor.vendor_id] = state
            if upload is not None:
                self.replaced[vendor.vendor_id] = upload.vendor
            warning = vendor_failures.warning_of(vendor, state)
            substitute.vendor = replace(
                substitute.vendor,
                status=VendorStatus.LAST_GOOD,
                warnings=(warning,),
            )
            return substitute
        failure = state.failure or run_faults.no_rows(vendor.vendor_id)
        no_rows = NormalizedVendor(vendor.vendor_id, VendorStatus.LEFT_OUT)
        state_left_out = vendor_failures.left_out(vendor, failure)
        if state_left_out is not None:
            rows = upload or SortedVendor.without_rows(no_rows)
            return self._left_out(vendor, state_left_out, rows)
        if upload is not None:
            return self._with_failure(vendor, failure, upload)
        state_missing = VendorState(VendorStatus.MISSING, failure)
        self.states[vendor.vendor_id] = state_missing
        is_absent = vendor_failures.is_absence(failure)
        if is_absent and vendor_failures.may_be_empty(self.config, vendor):
            no_rows = replace(no_rows, warnings=(failure,))
        else:
            no_rows = replace(
                no_rows,
                status=VendorStatus.FAILED,
                fault=failure,
            )
        return SortedVendor.without_rows(no_rows)

    def _with_failure(
        self,
        vendor: VendorConfig,
        failure: ReportEntry,
        ordered: SortedVendor,
    ) -> SortedVendor:
        """Return a vendor's own rows in spite of its failure.

        The run may fail for it.
        """
        self.states[vendor.vendor_id] = VendorState(VendorStatus.FOUND, failure)
        normalized = ordered.vendor
        is_found = normalized.status is VendorStatus.FOUND
        is_empty = is_found and not normalized.total_rows
        if is_empty and vendor_failures.may_be_empty(self.config, vendor):
            warning = run_faults.fault_of(
                WarningCode.EMPTY_FEED,
                vendor.vendor_id,
            )
            warnings = (*normalized.warnings, warning)
            # A vendor whose file has no row is counted with zeros.
            ordered.vendor = replace(
                normalized,
                warnings=warnings,
                is_read=normalized.is_read or normalized.has_empty_file,
            )
        return ordered

    def _left_out(
        self,
        vendor: VendorConfig,
        state: VendorState,
        upload: SortedVendor,
    ) -> SortedVendor:
        """Return an upload that is left out; reports still count its rows."""
        self.states[vendor.vendor_id] = state
        upload.consume_lines()  # they are not written
        upload.vendor = replace(
            upload.vendor,
            status=VendorStatus.LEFT_OUT,
            fault=None,
            warnings=(vendor_failures.warning_of(vendor, state),),
        )
        return upload

    def _failure_of(
        self,
        vendor: VendorConfig,
        normalized: NormalizedVendor,
    ) -> ReportEntry | None:
        """Return the failure of a vendor's rows.

        Lost rows are a failure only if ``on_trouble`` acts on it: else a guard of its
        own judges the number of lost rows.
        """
        if normalized.fault is not None:
            return normalized.fault
        if normalized.status is VendorStatus.LEFT_OUT:
            return None  # a required column is missing, and the error policy goes on
        if not normalized.total_rows:
            return normalized.trouble or run_faults.no_rows(vendor.vendor_id)
        share_faults = own_share_faults(
            [vendor],
            [normalized.invalid_rows],
            [normalized.total_rows],
        )
        if share_faults:
            return share_faults[0]
        if self.rows_before is None or vendor.on_trouble == "fail":
            return None
        before = self.rows_before.get(vendor.vendor_id, 0)
        now = normalized.offered_rows
        share = vendor_rows_share(
            self.config.guards,
            vendor.vendor_id,
            before,
            now,
        )
        if share is None or not share.tripped:
            return None
        return run_faults.fault_of(
            VENDOR_ROWS,
            vendor.vendor_id,
            before=before,
            now=now,
            limit=share.limit,
        )
