"""The findings of a run: the source of all its reports."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from relay_core.config import TenantConfig, VendorConfig
from relay_core.domain import codes, records
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.merge.row_counts import RowCounts
from relay_core.normalize.result import (
    Normalized,
    NormalizedVendor,
    uploads_of,
    valid_rows_of,
)
from relay_core.publish.applied_rules import AppliedRule, applied_rules
from relay_core.publish.changes import Changes
from relay_core.publish.channels import ChannelSummary, summary_of
from relay_core.publish.compared import Compared, row_counts
from relay_core.publish.product_lists import CatalogFindings
from relay_core.publish.quarantine import Quarantine
from relay_core.publish.state import Publication
from relay_core.validation.vendor_failures import InputVerdict, VendorState

# The number of the greatest moves of prices that are shown, each way.
MAX_MOVES = 10
_HOUR = timedelta(hours=1)
_CODES_OF_ROWS = (
    codes.FailureCode.VALIDATION_ERRORS,
    codes.FailureCode.NO_ROWS_PARSED,
)


class RunScope(NamedTuple):
    """The facts of a run that are known before its first step."""

    # The vendors of the run, in the order of the config
    vendor_ids: Sequence[str] = ()
    vendor_count: int = 0  # the number of the config's vendors
    limits: Limits = DEFAULT_LIMITS  # the limits of feeds and reports
    # True if the run is of all vendors; only these runs publish their feed.
    of_all_vendors: bool = True
    has_quarantine: bool = False  # whether the config has a quarantine
    has_catalog: bool = False  # whether the config has a catalog
    has_channels: bool = False  # whether the config has channels
    timezone: str = "UTC"  # the tenant's time zone, in which reports show times

    @classmethod
    def of(
        cls,
        config: TenantConfig,
        vendors: Sequence[VendorConfig],
        limits: Limits = DEFAULT_LIMITS,
        *,
        of_all_vendors: bool = True,
    ) -> "RunScope":
        """Return the scope of a run of some vendors of a config."""
        return cls(
            vendor_ids=[vendor.vendor_id for vendor in vendors],
            vendor_count=len(config.vendors),
            limits=limits,
            of_all_vendors=of_all_vendors,
            has_quarantine=config.guards.quarantine is not None,
            has_catalog=config.catalog is not None,
            has_channels=bool(config.channels),
            timezone=config.timezone,
        )


_NO_SCOPE = RunScope()


@dataclass(frozen=True, slots=True, eq=False)
class RunFindings:
    """The findings of a run, as far as its steps have come."""

    scope: RunScope = _NO_SCOPE  # the facts known before the first step
    # When each vendor's upload came, aware, if that is known.
    uploaded_at: Mapping[str, datetime] = field(default_factory=dict)
    # The same of the newest file of each part, of vendors of several files.
    parts_uploaded_at: Mapping[str, Mapping[str | None, datetime | None]] = (
        field(default_factory=dict)
    )
    failure: records.RunFailure | None = None  # the run's failure
    faults: Sequence[records.ReportEntry] = ()  # the run's own faults
    # The warnings; of those about SKUs only as many as a report keeps.
    warnings: Sequence[records.ReportEntry] = ()
    # The part of each vendor in the run.
    states: Mapping[str, VendorState] = field(default_factory=dict)
    normalized: Sequence[NormalizedVendor] = ()  # the vendors as they are used
    # The rejected rows of the catalog; None if it was not read
    catalog_rows: NormalizedVendor | None = None
    catalog: CatalogFindings | None = None  # None without a read catalog
    # The part of the catalog in the run; None for a tenant without one
    catalog_state: VendorState | None = None
    # The uploads that a last good feed replaces.
    replaced: Mapping[str, NormalizedVendor] = field(default_factory=dict)
    # None if none was judged.
    guards: Sequence[records.GuardResult] | None = None
    is_held: bool = False  # whether a guard holds the feed back
    # The SKUs that keep their published price.
    quarantine: Quarantine | None = None
    changes: Changes | None = None  # the changes against the published feed
    record_count: int = 0  # the number of rows of the merged feed; 0 on failure
    # The number of SKUs left out because they have no price.
    unpriced_skus: int = 0
    # The number of the feed's rows that each vendor has won.
    skus_won: Mapping[str, int] = field(default_factory=dict)
    # The outcome of the rows of each vendor whose records were all read.
    rows: Mapping[str, RowCounts] = field(default_factory=dict)
    # The titles of SKUs that reports show.
    titles: Mapping[str, str] = field(default_factory=dict)
    # The doubts about the rows and margins
    doubts: Sequence[records.Doubt] = ()
    # The earlier publications, the oldest first
    history: Sequence[Publication] = ()
    # The tenant's rules, with the effect of each
    rules: Sequence[AppliedRule] = ()
    currency: str = ""  # the currency of the feed's amounts
    # The channels of the feed
    channels: Sequence[ChannelSummary] = ()

    @classmethod
    def of(
        cls,
        scope: RunScope,
        inputs: InputVerdict | None = None,
        normalized: Normalized | None = None,
        compared: Compared | None = None,
    ) -> "RunFindings":
        """Return the findings of a run, made of the values of its steps.

        Args:
            scope: The run's scope.
            inputs: The value of judging the inputs.
            normalized: The value of normalizing the vendors.
            compared: The value of comparing the merged feed.
        """
        findings = cls(scope=scope)
        if inputs is not None:
            findings = replace(
                findings,
                failure=inputs.failure,
                faults=inputs.faults,
                warnings=inputs.warnings,
                states=inputs.states,
                catalog_state=inputs.catalog,
                uploaded_at=inputs.uploaded_at,
                parts_uploaded_at=inputs.parts_uploaded_at,
            )
        if normalized is not None:
            findings = findings._with_normalized(normalized)
        if compared is not None:
            findings = findings._with_compared(compared)
        return findings

    def _with_normalized(self, normalized: Normalized) -> "RunFindings":
        catalog = normalized.catalog
        findings = replace(
            self,
            faults=normalized.faults,
            warnings=normalized.warnings,
            states=normalized.states,
            normalized=normalized.vendors,
            catalog=CatalogFindings.of(normalized),
            catalog_rows=None if catalog is None else catalog.rows,
            replaced=normalized.replaced,
            rows=row_counts(normalized.vendors, None),
        )
        if catalog is not None:
            findings = replace(findings, catalog_state=catalog.state)
        failure = findings._with_remedy(normalized.failure)
        return replace(findings, failure=failure)

    def _with_compared(self, compared: Compared) -> "RunFindings":
        merged = compared.merged
        rules: Sequence[AppliedRule] = ()
        if merged.failure is None:
            rules = list(applied_rules(merged, self.uploads))
        findings = replace(
            self,
            failure=self._with_remedy(merged.failure),
            faults=merged.faults,
            warnings=merged.warnings,
            guards=compared.guards,
            is_held=compared.is_held,
            quarantine=compared.quarantine,
            changes=compared.changes,
            record_count=merged.record_count,
            unpriced_skus=merged.unpriced_skus,
            skus_won=merged.skus_won(),
            rows=compared.rows,
            doubts=merged.doubts,
            history=compared.history,
            rules=rules,
            currency=merged.config.default_currency,
            channels=[summary_of(channel) for channel in compared.channels],
        )
        if self.catalog is not None:
            catalog = replace(self.catalog, uncovered=merged.uncovered)
            findings = replace(findings, catalog=catalog)
        shown_skus = {
            suspect["sku"] for suspect in findings.first_quarantined(MAX_MOVES)
        }
        for result in findings.tripped:
            shown_skus.update(example["sku"] for example in result.examples)
        if findings.changes is not None:
            for moves in findings.changes.greatest_moves(MAX_MOVES):
                shown_skus.update(move.sku for move in moves)
        return replace(findings, titles=merged.titles(shown_skus))

    def failed(self, failure: records.RunFailure) -> "RunFindings":
        """Return the findings of the run with a failure that is its own only fault."""
        fault = records.ReportEntry(failure.error_code, failure.error_message)
        return replace(self.without_feed(), failure=failure, faults=(fault,))

    def without_feed(self) -> "RunFindings":
        """Return the findings without a failure, and without those of the feed."""
        return replace(
            self,
            failure=None,
            record_count=0,
            changes=None,
            quarantine=None,
            rows=row_counts(self.normalized, None),
        )

    @property
    def status(self) -> codes.RunStatus:
        """The status in which the run ends, as far as its data decide."""
        if self.failure is not None:
            return codes.RunStatus.FAILED
        return (
            codes.RunStatus.HELD if self.is_held else codes.RunStatus.SUCCEEDED
        )

    @property
    def tripped(self) -> list[records.GuardResult]:
        """The results of the guards that trip."""
        return [result for result in self.guards or () if result.tripped]

    @property
    def quarantined(self) -> int | None:
        """The number of SKUs that keep their published price.

        It is None without a quarantine.
        """
        if not self.scope.has_quarantine:
            return None
        return 0 if self.quarantine is None else len(self.quarantine)

    @property
    def uploads(self) -> list[NormalizedVendor]:
        """The uploads that were read; all rejected and counted rows are theirs."""
        return uploads_of(self.normalized, self.replaced)

    @property
    def reported_files(self) -> list[NormalizedVendor]:
        """The inputs whose rejected rows are reported; the catalog is the last."""
        if self.catalog_rows is None:
            return self.uploads
        return [*self.uploads, self.catalog_rows]

    def channel_rows(self) -> dict[str, int] | None:
        """Return the number of rows of each channel, or None for a failed run."""
        if self.failure is not None:
            return None
        return {channel.channel_id: channel.rows for channel in self.channels}

    def causes(
        self,
        limit: int = DEFAULT_LIMITS.report_causes,
    ) -> list[records.Cause]:
        """Return the causes of rejected rows, the most frequent first."""
        causes = [
            cause for file in self.reported_files for cause in file.causes
        ]
        return sorted(causes, key=lambda cause: -cause.count)[:limit]

    def valid_rows(self) -> dict[str, int]:
        """Return the valid rows of each vendor that is not left out.

        A vendor without valid rows has 0.
        """
        return valid_rows_of(
            self.scope.vendor_ids, self.normalized, self.states
        )

    def _with_remedy(
        self,
        failure: records.RunFailure | None,
    ) -> records.RunFailure | None:
        """Return a failure for rejected rows with the fix for most of these rows."""
        if failure is None or failure.error_code not in _CODES_OF_ROWS:
            return failure
        failed_vendors = failure.vendors or self.scope.vendor_ids
        for cause in self.causes():
            if cause.vendor_id in failed_vendors:
                return replace(failure, remedy=cause.in_words)
        return failure

    def first_quarantined(self, limit: int) -> Sequence[Mapping[str, str]]:
        """Return the first quarantined SKUs, as quarantine.csv has them."""
        return () if self.quarantine is None else self.quarantine.first(limit)

    def counted_warnings(self) -> Mapping[str, int]:
        """Count the warnings by code, also those that reports leave out."""
        counts = Counter(entry.error_code for entry in self.warnings)
        if self.unpriced_skus:
            counts[str(codes.WarningCode.UNPRICED_SKU)] = self.unpriced_skus
        return counts

    def vendor_results(
        self,
        requested_at: datetime,
    ) -> tuple[records.VendorResult, ...]:
        """Return the results of the vendors that the run has judged or read.

        Args:
            requested_at: The moment that ages are counted up to, aware.
        """
        uploads = {upload.vendor_id: upload for upload in self.uploads}
        results = []
        for vendor_id in self.scope.vendor_ids:
            upload = uploads.get(vendor_id)
            state = self.states.get(vendor_id)
            if upload is None and state is None:
                continue
            uploaded_at = self.uploaded_at.get(vendor_id)
            age_hours = None if state is None else state.age_hours
            if age_hours is None:
                age_hours = _age_hours(uploaded_at, requested_at)
            status = codes.VendorStatus.FOUND if state is None else state.status
            total_rows = None
            invalid_rows = None
            if upload is not None:
                has_failed = upload.status is codes.VendorStatus.FAILED
                # A file without rows that has failed could not be read.
                if upload.total_rows or not has_failed:
                    total_rows = upload.total_rows
                    invalid_rows = upload.invalid_rows
            skus_won = None
            if self.record_count:
                skus_won = self.skus_won.get(vendor_id, 0)
            result = records.VendorResult(
                vendor_id=vendor_id,
                status=str(status),
                uploaded_at=uploaded_at,
                age_hours=age_hours,
                rows=total_rows,
                invalid_rows=invalid_rows,
                skus_won=skus_won,
                parts=self._parts_of(vendor_id, requested_at),
            )
            results.append(result)
        return tuple(results)

    def _parts_of(
        self, vendor_id: str, requested_at: datetime
    ) -> tuple[records.PartUpload, ...]:
        """Return the newest file of each part of a vendor of several files."""
        times = self.parts_uploaded_at.get(vendor_id, {})
        return tuple(
            records.PartUpload(
                part_id, uploaded_at, _age_hours(uploaded_at, requested_at)
            )
            for part_id, uploaded_at in times.items()
        )

    def counts(self) -> dict[str, int]:
        """Return the numbers of the run that its record keeps."""
        uploads = self.uploads
        counts = {
            "record_count": self.record_count,
            "total_rows": sum(upload.total_rows for upload in uploads),
            "invalid_rows": sum(upload.invalid_rows for upload in uploads),
            "unpriced_skus": self.unpriced_skus,
        }
        if self.quarantined is not None:
            counts["quarantined"] = self.quarantined
        return counts


def _age_hours(
    uploaded_at: datetime | None, requested_at: datetime
) -> int | None:
    """Return the age of a file in whole hours; None if its time is unknown."""
    if uploaded_at is None:
        return None
    return max(0, (requested_at - uploaded_at) // _HOUR)
