"""One run through its steps, in order, with the files and the end of each.

`RunStages` judges the inputs, normalizes every vendor (`VendorPass`), merges and prices
the vendors, compares the feed with the published one, and writes it. Each step returns
a value that the next ones take, and the run's findings are made of these values. Every
vendor is normalized before a run is judged, so that one pass finds all faults. The
local runner, the assets, replay and the benchmarks each provide a sink; everything else
is the same for all.
"""

from collections import deque
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime

from relay_core.config import Override, TenantConfig, VendorConfig
from relay_core.config.lint import margin_doubts
from relay_core.domain.codes import Stage
from relay_core.domain.columns import INPUT_COLUMNS, extra_column
from relay_core.domain.errors import ContractBrokenError
from relay_core.domain.limits import DEFAULT_LIMITS, Limits, ReportRoom
from relay_core.domain.records import Doubt, RunContext, RunFailure, as_json
from relay_core.merge.best_offer import columns_to_merge
from relay_core.merge.result import MergedInventory, merge_vendors
from relay_core.normalize import work_file
from relay_core.normalize.fallback import FallbackPolicy, LastGoodFeeds
from relay_core.normalize.result import (
    Normalized,
    NormalizedCatalog,
    NormalizedVendor,
    uploads_of,
    valid_rows_of,
)
from relay_core.normalize.vendor_feed import FeedReader, VendorFeed
from relay_core.onboarding.doubts import DoubtFinder
from relay_core.publish import reports, state
from relay_core.publish.compared import Compared, FeedComparer
from relay_core.publish.feed import feed_chunks
from relay_core.publish.findings import RunFindings, RunScope
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.product_lists import (
    matched_vendors,
    uncovered_chunks,
    uncovered_products,
    unmatched_chunks,
)
from relay_core.publish.state import Baseline
from relay_core.publish.stored_rows import kept_chunks
from relay_core.validation import vendor_failures
from relay_core.validation.catalog_input import with_catalog
from relay_core.validation.row_schemas import OFFER_SCHEMA
from relay_core.validation.vendor_failures import InputVerdict, VendorInput
from relay_core.vendor_pass import Sink, VendorPass


@dataclass(frozen=True, slots=True)
class RunValues:
    """The values that the steps of a run have returned so far."""

    inputs: InputVerdict | None = None
    normalized: Normalized | None = None
    compared: Compared | None = None

    @property
    def failure(self) -> RunFailure | None:
        """The failure that ends the run, if a step has found one."""
        if self.compared is not None:
            return self.compared.merged.failure
        if self.normalized is not None:
            return self.normalized.failure
        return None if self.inputs is None else self.inputs.failure

    @property
    def merged(self) -> MergedInventory | None:
        """The merged inventory; None if the run has no feed."""
        if self.compared is None or self.failure is not None:
            return None
        return self.compared.merged


@dataclass(frozen=True, slots=True)
class RunStages:
    """The steps of one run, from its inputs to its feed and files."""

    config: TenantConfig
    # The run's vendors, in the order of the config
    vendors: Sequence[VendorConfig]
    requested_at: datetime  # aware; used instead of a null ``updated_at``
    keys: ArtifactKeys  # the keys of the run's files
    sink: Sink  # the destination of the run's files
    # Whether work files are written: another process may continue with them, and they
    # explain the feed.
    hands_over: bool = False
    # The published feed to compare with; None for a run of some vendors.
    baseline: Baseline | None = None
    # The feeds that may replace failed uploads.
    last_good: LastGoodFeeds | None = None
    overrides: Sequence[Override] = ()  # the overrides in effect for the run
    # None if the config has none, as in a local run.
    config_version: int | None = None
    limits: Limits = DEFAULT_LIMITS  # the limits of feeds and reports
    of_all_vendors: bool = True  # whether the run is of all vendors

    def steps(
        self,
        inputs: Mapping[str, VendorInput],
        feeds: Callable[[InputVerdict], Iterable[VendorFeed]],
        locations: Mapping[str, str] | None = None,
        *,
        within: Callable[[Stage], AbstractContextManager[object]] = nullcontext,
    ) -> Iterator[RunValues]:
        """Take the run to its end in this process; yield its values after each stage.

        Args:
            inputs: The inputs that were found, by vendor.
            feeds: Returns the feeds to read, in the order of `InputVerdict.to_read`.
            locations: The expected locations of feeds, for messages.
            within: Returns the context that a stage runs in.
        """
        with within(Stage.FETCH_INPUTS):
            values = RunValues(self.judge_inputs(inputs, locations))
        yield values
        if values.inputs is None or values.failure is not None:
            return
        with within(Stage.NORMALIZE):
            normalized = self.normalize(values.inputs, feeds(values.inputs))
            values = replace(values, normalized=normalized)
        yield values
        if values.failure is not None:
            return
        with within(Stage.MERGE_PRICE):
            merged = self.merge(normalized)
            compared = self.compare(merged, normalized)
            normalized = normalized.without_offers()
            values = replace(values, normalized=normalized, compared=compared)
            del merged  # its rows without those that the feed keeps
        yield values
        if values.failure is not None:
            return
        with within(Stage.WRITE_OUTPUTS):
            self.write_feed(compared)

    def go_through(
        self,
        inputs: Mapping[str, VendorInput],
        feeds: Callable[[InputVerdict], Iterable[VendorFeed]],
    ) -> RunValues:
        """Take the run to its end in this process, as `steps` does.

        Return the values of all steps.
        """
        (values,) = deque(self.steps(inputs, feeds), maxlen=1)
        return values

    def findings(self, values: RunValues) -> RunFindings:
        """Return the run's findings, made of the values that it has so far."""
        return RunFindings.of(
            self.scope,
            values.inputs,
            values.normalized,
            values.compared,
        )

    @property
    def scope(self) -> RunScope:
        """The facts of the run that are known before its first step."""
        return RunScope.of(
            self.config,
            self.vendors,
            self.limits,
            of_all_vendors=self.of_all_vendors,
        )

    def judge_inputs(
        self,
        inputs: Mapping[str, VendorInput],
        locations: Mapping[str, str] | None = None,
    ) -> InputVerdict:
        """Judge the inputs that were found, and write the overrides in effect.

        Args:
            inputs: The inputs, by vendor.
            locations: The expected locations of feeds, for messages.
        """
        verdict = vendor_failures.judge_inputs(
            self.config,
            self.vendors,
            inputs,
            requested_at=self.requested_at,
            limits=self.limits,
            last_good=self.last_good,
            locations=locations or {},
        )
        self.write_overrides()
        return with_catalog(
            verdict,
            self.config,
            inputs,
            requested_at=self.requested_at,
            limits=self.limits,
            locations=locations or {},
        )

    def normalize(
        self,
        inputs: InputVerdict,
        feeds: Iterable[VendorFeed],
    ) -> Normalized:
        """Read every feed and write its files, even if another feed fails.

        Raises:
            ContractBrokenError: The columns of rows are not those of the contract.
        """
        vendor_pass = self._vendor_pass(inputs)
        remaining_feeds = iter(feeds)
        catalog = None
        if inputs.reads_catalog:
            catalog = vendor_pass.read_catalog(next(remaining_feeds))
        vendors = vendor_pass.normalize(remaining_feeds)
        normalized = Normalized.of(
            inputs,
            vendors,
            vendor_pass.fallback.states,
            vendor_pass.fallback.replaced,
            catalog,
        )
        self._write_rejected_rows(normalized)
        self._write_unmatched_rows(normalized)
        return normalized

    def _vendor_pass(self, inputs: InputVerdict) -> VendorPass:
        """Return the way of the run's files through their steps."""
        baseline = self.comparer.comparable
        rows_before = None
        if baseline is not None and self.comparer.is_judged(baseline.figures):
            rows_before = baseline.context.vendor_rows
        columns = columns_to_merge(self.config)
        reader = FeedReader(
            self.config,
            self.requested_at,
            columns_to_read(self.config, columns, hands_over=self.hands_over),
            self.limits,
            self.limits.run_bytes,
            parts_left_out=inputs.parts_left_out,
        )
        fallback = FallbackPolicy(
            self.config,
            self.requested_at,
            reader,
            self.last_good,
            rows_before,
            dict(inputs.states),
        )
        room = ReportRoom(self.limits.report_entries, self.limits.report_bytes)
        return VendorPass(
            self.config,
            self.keys,
            self.sink,
            fallback,
            room,
            hands_over=self.hands_over,
        )

    def take_over(
        self,
        inputs: InputVerdict,
        vendors: Sequence[NormalizedVendor],
    ) -> Normalized:
        """Continue with inputs that another process has normalized.

        Args:
            inputs: The result of judging the inputs.
            vendors: The inputs in the order of `InputVerdict.to_read`.
        """
        catalog = None
        if inputs.reads_catalog:
            catalog = NormalizedCatalog.of(self.config, vendors[0])
            vendors = vendors[1:]
        normalized = Normalized.of(inputs, vendors, catalog=catalog)
        self._write_rejected_rows(normalized)
        self._write_unmatched_rows(normalized)
        return normalized

    def merge(self, normalized: Normalized) -> MergedInventory:
        """Merge and price the vendors."""
        finder = DoubtFinder(self.config)
        merged = merge_vendors(
            self.config,
            normalized.vendors,
            normalized.warnings,
            self.limits,
            self.overrides,
            normalized.catalog,
            finder.look,
        )
        doubts: list[Doubt] = list(margin_doubts(self.config))
        for vendor in normalized.vendors:
            doubts += finder.doubts(vendor)
        products = None
        if normalized.catalog is not None and merged.failure is None:
            products = normalized.catalog.products
        uncovered = None
        if products is not None and self.of_all_vendors:
            uncovered = uncovered_products(self.config, products, merged)
        return replace(merged, doubts=doubts, uncovered=uncovered)

    def compare(
        self,
        merged: MergedInventory,
        normalized: Normalized,
    ) -> Compared:
        """Compare the feed with the published one."""
        return self.comparer.compare(merged, normalized)

    @property
    def comparer(self) -> FeedComparer:
        """The step that compares the feed with the published one."""
        return FeedComparer(
            self.config,
            self.vendors,
            self.requested_at,
            self.baseline,
            self.overrides,
            self.config_version,
        )

    def write_overrides(self) -> None:
        """Write the overrides in effect for the run."""
        if self.overrides:
            document = reports.overrides_json(self.overrides)
            self.sink.write(self.keys.overrides, [document])

    def _write_unmatched_rows(self, normalized: Normalized) -> None:
        vendors = matched_vendors(normalized)
        if any(
            len(vendor.matched.unmatched)
            for vendor in vendors
            if vendor.matched
        ):
            chunks = unmatched_chunks(
                vendors,
                escape_formulas=self.config.output.escape_formulas,
                has_files=self.config.has_file_lists,
            )
            self.sink.write(self.keys.unmatched, chunks)

    def _write_rejected_rows(self, normalized: Normalized) -> None:
        uploads = uploads_of(normalized.vendors, normalized.replaced)
        if normalized.catalog is not None:
            uploads.append(normalized.catalog.rows)
        if not any(upload.invalid_rows for upload in uploads):
            return
        self.sink.write(
            self.keys.invalid_rows,
            reports.invalid_rows_chunks(
                uploads,
                escape_formulas=self.config.output.escape_formulas,
                has_files=self.config.has_file_lists,
            ),
        )
        if self.hands_over:
            chunks = work_file.rejected_rows_chunks(
                uploads,
                has_files=self.config.has_file_lists,
            )
            self.sink.write(self.keys.rejected_rows, chunks)

    def write_feed(self, compared: Compared) -> None:
        """Write the merged feed, its channels, and its changes.

        Raises:
            ContractBrokenError: The feed breaks its contract.
        """
        merged = compared.merged
        if merged.broken_rules:
            raise ContractBrokenError(
                f"the feed breaks its contract: {merged.broken_rules[:3]}",
            )
        write = self.sink.write
        escape_formulas = self.config.output.escape_formulas
        write(
            self.keys.merged_inventory(self.config.output.format),
            feed_chunks(merged),
        )
        for channel in compared.channels:
            key = self.keys.channel(
                channel.channel_id,
                channel.config.output.suffix,
            )
            write(key, channel.file_chunks())
        if self.hands_over and merged.kept is not None:
            write(self.keys.kept_skus, kept_chunks(self.config, merged.kept))
        if self.hands_over and self.overrides:
            unused_overrides = as_json(merged.unused_overrides).encode()
            write(self.keys.unused_overrides, [unused_overrides])
        quarantine = compared.quarantine
        if quarantine is not None:
            chunks = quarantine.csv_chunks(escape_formulas=escape_formulas)
            write(self.keys.quarantine, chunks)
            if self.hands_over:
                chunks = quarantine.work_file_chunks(self.config)
                write(self.keys.quarantined_skus, chunks)
        if merged.uncovered is not None:
            chunks = uncovered_chunks(
                merged.uncovered,
                escape_formulas=escape_formulas,
            )
            write(self.keys.uncovered, chunks)
        if compared.changes is not None:
            chunks = compared.changes.csv_chunks(
                escape_formulas=escape_formulas,
            )
            write(self.keys.changes, chunks)

    def write_state(
        self,
        key: str,
        compared: Compared,
        normalized: Normalized,
        ctx: RunContext,
    ) -> None:
        """Write the state of the feed, for the runs that will be compared with it."""
        context = state.StateContext(
            run_id=ctx.run_id,
            tenant_id=ctx.tenant_id,
            config_version=ctx.config_version,
            currency=self.config.default_currency,
            vendor_rows=valid_rows_of(
                self.scope.vendor_ids,
                normalized.vendors,
                normalized.states,
            ),
        )
        merged = compared.merged
        publication = state.Publication(
            run_id=ctx.run_id,
            requested_at=reports.timestamp(self.requested_at),
            skus=merged.record_count,
        )
        chunks = state.state_chunks(
            merged,
            context,
            self.requested_at,
            [*compared.history, publication],
        )
        self.sink.write(key, chunks)


def columns_to_read(
    config: TenantConfig,
    columns: Iterable[str],
    *,
    hands_over: bool,
) -> Collection[str]:
    """Return the columns of offers to read.

    Args:
        config: The tenant's config.
        columns: The columns that the merge reads.
        hands_over: Whether work files are written, which have all columns; a state has
            those of the inputs.
    """
    canonical = OFFER_SCHEMA.names if hands_over else INPUT_COLUMNS
    return {*columns, *canonical, *map(extra_column, config.extra_columns)}
