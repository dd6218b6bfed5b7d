"""One run through its steps, in their order, with the files and the end of each.

`RunStages`: the inputs are judged, every vendor is normalized (`VendorPass`), the vendors are
merged and priced, the feed is compared with the published one and written. Every vendor is
normalized before a run is judged, so that one pass finds all that is wrong. The local runner, the
assets, replay and the benchmarks give it a sink each; everything else is the same for all.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from relay_core.config import Override, TenantConfig, VendorConfig
from relay_core.config.lint import margin_doubts
from relay_core.domain import run_faults
from relay_core.domain.codes import Stage, VendorStatus, WarningCode
from relay_core.domain.columns import INPUT_COLUMNS, extra_column
from relay_core.domain.errors import ContractBrokenError
from relay_core.domain.limits import ReportRoom
from relay_core.domain.records import GuardResult, ReportEntry, RunContext, as_json
from relay_core.merge.best_offer import columns_to_merge
from relay_core.merge.result import MergedInventory, merge_vendors, rules_broken_by
from relay_core.merge.vendor_offers import joins_duplicates
from relay_core.normalize.result import NormalizedVendor, no_offers
from relay_core.normalize.vendor import (
    ReadRows,
    SortedVendor,
    sorted_rows,
)
from relay_core.normalize.vendor_feed import FeedReader, VendorFeed
from relay_core.normalize.work_file import (
    WORK_FILE,
    rejected_rows_chunks,
    work_file_chunks,
)
from relay_core.onboarding.doubts import row_doubts, ruled_offers
from relay_core.onboarding.patches import with_patches
from relay_core.publish.changes import Changes, compare
from relay_core.publish.feed import feed_chunks
from relay_core.publish.findings import RunFindings
from relay_core.publish.kept_rows import KeptRows
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.reports import invalid_rows_chunks, overrides_json, timestamp
from relay_core.publish.state import Baseline, Publication, StateContext, state_chunks
from relay_core.publish.stored_rows import kept_chunks
from relay_core.validation.comparison import Comparison, FeedFigures
from relay_core.validation.contracts import OFFER_SCHEMA
from relay_core.validation.error_policy import own_share_faults
from relay_core.validation.guards import judge_guards, vendor_rows_share
from relay_core.validation.vendor_failures import (
    LastGoodInputs,
    VendorInput,
    VendorState,
    exempt,
    is_absence,
    judge_inputs,
    left_out,
    may_be_empty,
    settle,
    warning_of,
)

_MAX_BYTES_BESIDE = 64 << 20
"""A larger feed is read when the vendor before it is finished, and memory that reading has left is
given back: two such vendors would be most of what a run holds."""
_MANY_ROWS = (
    1 << 22
)  # the lines of a vendor with more rows are written before its offers are made
_MAX_ROWS_BEGUN = 1 << 20
"""So many rows' files may be under way; what they are made of is held until they are written."""


class Sink(Protocol):
    """Where a run's files go: a folder, a bucket."""

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Begin to write a file."""

    def wait(self) -> None:
        """Return when all is written that was begun."""


class LastGoodFeeds(LastGoodInputs, Protocol):
    """The feeds of the run whose feed is published."""

    def read(self, vendor_id: str) -> VendorFeed | None:
        """Return the vendor's input there; None where it is gone."""


@dataclass(slots=True)
class VendorPass:
    """The steps of a vendor, and the vendors' way through them.

    A feed is read here; `finish`, which needs all rows of a vendor, is done on a thread beside the
    reading of the next one. Both happen in the order of the feeds.
    """

    run: "RunStages"
    reader: FeedReader
    columns: Collection[str]  # those of offers that are put in order
    room: ReportRoom  # what a report keeps of the rejected rows of all vendors together
    rows_before: (
        Mapping[str, int] | None
    )  # valid ones of the published run, if guards are judged
    _rows_begun: int = 0

    def normalize(self, feeds: Iterable[VendorFeed]) -> list[NormalizedVendor]:
        """Take the feeds through the steps; the next is asked for when it is to be read.

        `ContractBrokenError`, an engine defect: a step hands on other columns than the next takes.
        """
        finished: list[Future[NormalizedVendor]] = []
        reader = self.reader
        with ThreadPoolExecutor(1) as beside:
            for feed in feeds:
                is_large = len(feed.data) > _MAX_BYTES_BESIDE
                if finished and reader.bytes_left < 2 * reader.limits.feed_bytes:
                    finished[-1].result()  # its last good feed comes before this one
                if is_large and finished:
                    finished[-1].result()
                    pa.default_memory_pool().release_unused()
                rows = reader.read(feed)
                if finished:
                    finished[
                        -1
                    ].result()  # no more than two vendors' rows are held at once
                finished.append(beside.submit(self.finish, rows, is_large=is_large))
                del rows
        return [vendor.result() for vendor in finished]

    def finish(
        self, rows: ReadRows | NormalizedVendor, *, is_large: bool
    ) -> NormalizedVendor:
        """Sort the rows, choose those that are used, write the vendor's files, make its offers."""
        if is_large:
            pa.default_memory_pool().release_unused()
        ordered = sorted_rows(rows, self.room)
        run, config = self.run, self.run.config
        ordered.vendor = with_patches(config, ordered.vendor)
        ordered = self._used_rows(ordered)
        is_left_out = ordered.vendor.status is VendorStatus.LEFT_OUT
        if is_left_out and joins_duplicates(config.vendor(ordered.vendor.vendor_id)):
            # No merge sees its rows, and counts its duplicates.
            skus = ordered.kept.cells(OFFER_SCHEMA.field("sku"), ordered.kept.rows)
            duplicates = len(skus) - pc.count_distinct(skus).as_py()
            ordered.vendor = replace(ordered.vendor, duplicates=duplicates)
        if ordered.vendor.status.is_used:
            # What is held until it is written stays within bounds.
            self._rows_begun += ordered.vendor.total_rows
            if self._rows_begun > _MAX_ROWS_BEGUN:
                run.sink.wait()
                self._rows_begun = ordered.vendor.total_rows
            lines = ordered.consume_lines(config.extra_columns)
            run.sink.write(run.keys.normalized(ordered.vendor.vendor_id), lines)
            if ordered.vendor.total_rows > _MANY_ROWS:
                run.sink.wait()
        elif not run.hands_over:
            return ordered.vendor
        vendor = ordered.with_offers(self.columns)
        if run.hands_over:
            key = run.keys.work(vendor.vendor_id, WORK_FILE)
            run.sink.write(key, work_file_chunks(ordered, vendor, config.extra_columns))
        left = replace(vendor, offers=no_offers(), deferred=None)
        return vendor if vendor.status.is_used else left

    # --- the fallback policy ----------------------------------------------------------------------

    def _used_rows(self, ordered: SortedVendor) -> SortedVendor:
        """Return a vendor's own rows, to use or left out, or those of a last good feed."""
        run, vendor = self.run, self.run.config.vendor(ordered.vendor.vendor_id)
        failure = self._failure_of(vendor, ordered.vendor)
        state = run.findings.states.get(vendor.vendor_id)
        if state is not None and state.status is VendorStatus.LAST_GOOD:
            # It stands in already, for an upload that could not be read.
            return self._standing_in(
                vendor, state, ordered if failure is None else None, None
            )
        if failure is None:
            return ordered
        state = settle(vendor, failure, run.requested_at, run.last_good)
        if state is None:
            return self._as_it_is(vendor, failure, ordered)
        if state.status is VendorStatus.LEFT_OUT:
            return self._left_out(vendor, state, ordered)
        substitute = None
        feed = None if run.last_good is None else run.last_good.read(vendor.vendor_id)
        read = None if feed is None else self.reader.read(feed)
        if isinstance(read, ReadRows):
            found = sorted_rows(read, ReportRoom(0, 0))
            substitute = (
                found if self._failure_of(vendor, found.vendor) is None else None
            )
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
            self.run.findings.states[vendor.vendor_id] = state
            if own is not None:
                self.run.findings.replaced[vendor.vendor_id] = own.vendor
            warnings = (warning_of(vendor, state),)
            substitute.vendor = replace(
                substitute.vendor, status=VendorStatus.LAST_GOOD, warnings=warnings
            )
            return substitute
        failure = state.failure or run_faults.no_rows(vendor.vendor_id)
        nothing = NormalizedVendor(vendor.vendor_id, VendorStatus.LEFT_OUT)
        remaining = left_out(vendor, failure)
        if remaining is not None:
            return self._left_out(
                vendor, remaining, own or SortedVendor.without_rows(nothing)
            )
        if own is not None:
            return self._as_it_is(vendor, failure, own)
        self.run.findings.states[vendor.vendor_id] = VendorState(
            VendorStatus.MISSING, failure
        )
        if is_absence(failure) and may_be_empty(self.run.config, vendor):
            return SortedVendor.without_rows(replace(nothing, warnings=(failure,)))
        nothing = replace(nothing, status=VendorStatus.FAILED, fault=failure)
        return SortedVendor.without_rows(nothing)

    def _as_it_is(
        self, vendor: VendorConfig, failure: ReportEntry, ordered: SortedVendor
    ) -> SortedVendor:
        self.run.findings.states[vendor.vendor_id] = VendorState(
            VendorStatus.FOUND, failure
        )
        found = ordered.vendor
        is_empty = found.status is VendorStatus.FOUND and not found.total_rows
        if is_empty and may_be_empty(self.run.config, vendor):
            emptiness = run_faults.fault_of(WarningCode.EMPTY_FEED, vendor.vendor_id)
            ordered.vendor = replace(found, warnings=(*found.warnings, emptiness))
        return ordered

    def _left_out(
        self, vendor: VendorConfig, state: VendorState, upload: SortedVendor
    ) -> SortedVendor:
        """Return an upload that is left out; reports still count its rows."""
        self.run.findings.states[vendor.vendor_id] = state
        warnings = (warning_of(vendor, state),)
        upload.consume_lines()  # nobody writes them
        upload.vendor = replace(
            upload.vendor, status=VendorStatus.LEFT_OUT, fault=None, warnings=warnings
        )
        return upload

    def _failure_of(
        self, vendor: VendorConfig, read: NormalizedVendor
    ) -> ReportEntry | None:
        """Return the failure of a vendor's rows; lost ones count where ``on_trouble`` acts."""
        if read.fault is not None:
            return read.fault
        if read.status is VendorStatus.LEFT_OUT:
            return None  # a required column is missing, and the policy says to go on
        if not read.total_rows:
            return run_faults.no_rows(vendor.vendor_id)
        own = own_share_faults([vendor], [read.invalid_rows], [read.total_rows])
        if own or self.rows_before is None or vendor.on_trouble == "fail":
            return (
                own[0] if own else None
            )  # a guard of its own judges how many rows are lost
        before = self.rows_before.get(vendor.vendor_id, 0)
        guards, now = self.run.config.guards, read.valid_rows
        share = vendor_rows_share(guards, vendor.vendor_id, before, now)
        if share is None or not share.tripped:
            return None
        facts = {"before": before, "now": now, "limit": share.limit}
        return run_faults.fault_of(run_faults.VENDOR_ROWS, vendor.vendor_id, **facts)


@dataclass(slots=True)
class RunStages:
    """One run from its inputs to its feed and files; ``findings.failure`` ends it at a stage."""

    config: TenantConfig
    vendors: Sequence[
        VendorConfig
    ]  # the vendors of the run, in the order of the config
    requested_at: datetime  # aware; stands in for a null ``updated_at``
    keys: ArtifactKeys  # where its files lie
    sink: Sink  # where they go
    findings: RunFindings  # its findings
    # Whether work files are left: another process may take the vendors over from them, and they
    # explain the feed
    hands_over: bool = False
    baseline: Baseline | None = (
        None  # the published feed to compare with; none for some vendors
    )
    last_good: LastGoodFeeds | None = None  # what may stand in for vendors
    overrides: Sequence[Override] = ()  # what the run uses of the tenant's, by SKU
    config_version: int | None = (
        None  # the config's; None where it has none, as in a local run
    )

    def go_through(
        self,
        inputs: Mapping[str, VendorInput],
        feeds: Callable[[Sequence[str]], Iterable[VendorFeed]],
        locations: Mapping[str, str] | None = None,
        *,
        within: Callable[[Stage], AbstractContextManager[object]] = nullcontext,
    ) -> MergedInventory | None:
        """Take the run to its end in this process; return its feed, None where it has failed.

        ``feeds`` is given the vendors that are read, in order, and yields their feeds; each stage
        happens ``within`` what that returns.
        """
        with within(Stage.FETCH_INPUTS):
            self.judge_inputs(inputs, locations)
        if self.findings.failure is None:
            with within(Stage.NORMALIZE):
                self.normalize(feeds(self.to_read()))
        if self.findings.failure is not None:
            return None
        with within(Stage.MERGE_PRICE):
            merged = self.merge()
        if merged.failure is not None:
            return None
        with within(Stage.WRITE_OUTPUTS):
            self.write_feed(merged)
        return merged

    def judge_inputs(
        self,
        inputs: Mapping[str, VendorInput],
        locations: Mapping[str, str] | None = None,
    ) -> None:
        """Judge the inputs that were found, as ``vendor_failures.judge_inputs`` does."""
        verdict = judge_inputs(
            self.config,
            self.vendors,
            inputs,
            requested_at=self.requested_at,
            limits=self.findings.limits,
            last_good=self.last_good,
            locations=locations or {},
        )
        self.findings.warnings, self.findings.faults = verdict.warnings, verdict.faults
        self.findings.failure, self.findings.states = (
            verdict.failure,
            dict(verdict.states),
        )
        self.findings.quarantine_is_set = self.config.guards.quarantine is not None
        self.write_overrides()
        self.findings.take_inputs(inputs)

    def write_overrides(self) -> None:
        """Write what the run uses of the tenant's overrides."""
        if self.overrides:
            self.sink.write(self.keys.overrides, [overrides_json(self.overrides)])

    def to_read(self) -> list[str]:
        """Return the vendors that are read, in order: their uploads, or what stands in for them."""
        return [
            name for name, state in self.findings.states.items() if state.status.is_used
        ]

    def normalize(self, feeds: Iterable[VendorFeed]) -> list[NormalizedVendor]:
        """Read every feed and write its files, also where another one fails."""
        findings, baseline = self.findings, self._comparable_baseline()
        is_judged = baseline is not None and self._is_judged(baseline.figures)
        before = (
            baseline.context.vendor_rows if baseline is not None and is_judged else None
        )
        in_order = columns_to_merge(self.config)
        columns = columns_to_read(self.config, in_order, hands_over=self.hands_over)
        limits = findings.limits
        reader = FeedReader(
            self.config, self.requested_at, columns, limits, limits.run_bytes
        )
        room = ReportRoom(limits.report_entries, limits.report_bytes)
        normalized = VendorPass(self, reader, in_order, room, before).normalize(feeds)
        self.take_over(normalized)
        return normalized

    def merge(self) -> MergedInventory:
        """Merge and price the vendors, and compare the feed with the published one."""
        findings = self.findings
        of_rows = (
            row_doubts(self.config, each, ruled_offers(self.config, each))
            for each in findings.normalized
        )
        findings.doubts = [*margin_doubts(self.config), *chain.from_iterable(of_rows)]
        merged = merge_vendors(
            self.config,
            findings.normalized,
            findings.warnings,
            findings.limits,
            self.overrides,
        )
        baseline = self._comparable_baseline()
        findings.history = baseline.history if baseline is not None else ()
        if merged.failure is None and merged.feed is not None and baseline is not None:
            joined = Comparison.of(baseline.figures, FeedFigures.of(merged.feed))
            kept = KeptRows(merged, baseline, joined, self.requested_at, self.overrides)
            if self._is_judged(joined.before):
                used = [each for each in findings.normalized if each.status.is_used]
                findings.quarantine = kept.quarantine(used, self.config_version)
            kept.missing_skus()
            merged = kept.merged  # the feed without these rows is let go of
            merged = merged.with_warnings(
                *self._judge_changes(kept.joined, baseline.context)
            )
        if merged.failure is None and merged.feed is not None:
            merged = replace(merged, broken_rules=rules_broken_by(merged.feed))
        findings.take_merged(merged)
        return merged

    def _judge_changes(
        self, joined: Comparison, published: StateContext
    ) -> list[ReportEntry]:
        """Add the findings of comparing the feed with the published one; return its warnings.

        A guard that trips holds the feed back; with a mode that only warns, it warns.
        """
        findings, warnings = self.findings, []
        if findings.quarantine is not None:
            skus = len(findings.quarantine)
            warnings.append(
                run_faults.fault_of(WarningCode.SKUS_QUARANTINED, skus=skus)
            )
        findings.changes, findings.guards = self.compared(joined, published)
        if self.config.guards.mode == "hold":
            findings.is_held = bool(findings.tripped)
            return warnings
        for result in findings.tripped:
            about = (
                "" if result.vendor_id is None else f" for vendor {result.vendor_id!r}"
            )
            about += "" if result.side is None else f" on its {result.side} side"
            facts = {
                name: getattr(result, name) for name in ("guard", "value", "limit")
            }
            warnings.append(
                run_faults.fault_of(WarningCode.GUARD_TRIPPED, about=about, **facts)
            )
        return warnings

    def compared(
        self, found: Comparison, context: StateContext
    ) -> tuple[Changes, list[GuardResult] | None]:
        """Return the changes of a feed against a published one, and the results of the guards."""
        changes = compare(found, context.run_id)
        if not self._is_judged(found.before):
            return changes, None
        excused = exempt(self.config, self.vendors, self.findings.states)
        rows = [
            (name, context.vendor_rows.get(name, 0), now)
            for name, now in self.findings.valid_rows().items()
            if name not in excused
        ]
        left_out = [one.sku for one in self.overrides if one.leave_out]
        judged = judge_guards(
            self.config.guards,
            found,
            exempt=excused,
            vendor_rows=rows,
            left_out=left_out,
        )
        return (
            changes,
            judged if judged or self.config.guards.quarantine is not None else None,
        )

    def write_feed(self, merged: MergedInventory) -> None:
        """Write the merged feed and its changes; `ContractBrokenError`: it breaks its contract."""
        if merged.broken_rules:
            raise ContractBrokenError(
                f"the feed breaks its contract: {merged.broken_rules[:3]}"
            )
        key = self.keys.merged_inventory(self.config.output.format)
        self.sink.write(key, feed_chunks(merged))
        if self.hands_over and merged.kept is not None:
            self.sink.write(self.keys.kept_skus, kept_chunks(self.config, merged.kept))
        if self.hands_over and self.overrides:
            unused = [as_json(merged.unused_overrides).encode()]
            self.sink.write(self.keys.unused_overrides, unused)
        found = self.findings.quarantine
        if found is not None:
            self.sink.write(self.keys.quarantine, found.csv_chunks())
            if self.hands_over:
                chunks = found.work_file_chunks(self.config)
                self.sink.write(self.keys.quarantined_skus, chunks)
        if self.findings.changes is not None:
            self.sink.write(self.keys.changes, self.findings.changes.csv_chunks())

    def write_state(self, key: str, merged: MergedInventory, ctx: RunContext) -> None:
        """Write the state of the feed, for the runs that will be compared with it."""
        currency, rows = self.config.default_currency, self.findings.valid_rows()
        context = StateContext(
            ctx.run_id, ctx.tenant_id, ctx.config_version, currency, rows
        )
        own = Publication(ctx.run_id, timestamp(self.requested_at), merged.record_count)
        history = [*self.findings.history, own]
        self.sink.write(key, state_chunks(merged, context, self.requested_at, history))

    def _comparable_baseline(self) -> Baseline | None:
        """Return the published feed; one with prices in another currency is none."""
        baseline, currency = self.baseline, self.config.default_currency
        return (
            baseline
            if baseline is not None and baseline.context.currency == currency
            else None
        )

    def _is_judged(self, published: FeedFigures) -> bool:
        """Return whether guards are judged against the published feed."""
        guards = self.config.guards
        return guards.mode != "off" and published.offers >= guards.min_baseline_skus

    def take_over(self, normalized: Sequence[NormalizedVendor]) -> None:
        """Go on with vendors that are normalized, here or elsewhere; write their rejected rows."""
        findings = self.findings
        findings.take_normalized(normalized)
        uploads = findings.uploads
        if any(vendor.invalid_rows for vendor in uploads):
            self.sink.write(self.keys.invalid_rows, invalid_rows_chunks(uploads))
            if self.hands_over:
                self.sink.write(self.keys.rejected_rows, rejected_rows_chunks(uploads))


def columns_to_read(
    config: TenantConfig, in_order: Iterable[str], *, hands_over: bool
) -> Collection[str]:
    """Return the columns of offers that are read: also those of a state; for a work file, all."""
    canonical = OFFER_SCHEMA.names if hands_over else INPUT_COLUMNS
    return {*in_order, *canonical, *map(extra_column, config.extra_columns)}
