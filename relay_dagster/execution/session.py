"""The steps of one run in the process that executes it; no Dagster here.

The assets call `claim`, `load_config`, `pin_inputs`, `normalize`, `merge` and `write`, in
this order, then the attempt's `end`. The first three are done once in a process: each
asset calls them, since any of them may be the first one selected. `materializing` decides
the meaning of an exception: a failure of the data has ended the run already, and any
other error sends the run back to the queue for its next attempt.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn

from relay_core.columnar.threads import tune_process
from relay_core.config import TenantConfig
from relay_core.domain.codes import CATALOG, FailureCode, Stage
from relay_core.domain.errors import UnsupportedSchemaVersionError
from relay_core.domain.records import RunFailure
from relay_core.domain.run_faults import too_little_memory
from relay_core.ingest.formats import may_read_apart
from relay_core.normalize.result import Normalized
from relay_core.normalize.vendor_feed import FeedFile, VendorFeed
from relay_core.publish.compared import Compared
from relay_core.publish.findings import RunFindings, RunScope
from relay_core.publish.reports import config_snapshot_json
from relay_core.run_stages import RunStages, RunValues
from relay_core.validation.vendor_failures import InputVerdict
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.execution.attempt import Attempt, Launch, RunStoppedError
from relay_dagster.execution.baseline import PublishedInputs, fetch_baseline
from relay_dagster.execution.concurrent_io import ReadAhead
from relay_dagster.execution.inputs import InputSnapshot
from relay_dagster.execution.memory_limit import MemoryLimit
from relay_dagster.execution.pinned_inputs import (
    PinnedInputs,
    earlier_verdict,
    verified,
)
from relay_dagster.external_errors import MissingResourceError
from relay_dagster.runs.errors import CancelRequestedError, RunError
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform

FETCHED = "fetched_inventory"
NORMALIZED = "normalized_inventory"
MERGED = "merged_inventory"
ASSETS = (FETCHED, NORMALIZED, MERGED)
_STAGES = {
    FETCHED: Stage.FETCH_INPUTS,
    NORMALIZED: Stage.NORMALIZE,
    MERGED: Stage.MERGE_PRICE,
}
"""The stage that each asset begins with."""

MAX_SOURCE_RUNS = 50
"""The number of a tenant's last runs that reused inputs may come from."""


class RunSession:
    """Executes one run in this process, from the first selected asset to the last."""

    def __init__(self, platform: Platform, launch: Launch) -> None:
        self._platform = platform
        self._launch = launch
        self._memory = MemoryLimit(platform.settings.max_run_memory_mb)
        self._asset = ""
        self.claimed_attempt: Attempt | None = None
        self._config: TenantConfig | None = None
        self._stages: RunStages
        self._values = RunValues()
        self._snapshot: InputSnapshot
        self._inputs: PinnedInputs | None = None
        self._ahead: ReadAhead

    @property
    def attempt(self) -> Attempt:
        """Return the attempt that this process has claimed."""
        if self.claimed_attempt is None:
            raise RuntimeError(
                "no asset has begun yet: the attempt is not claimed",
            )
        return self.claimed_attempt

    @property
    def ends_here(self) -> bool:
        """Return True if the current asset is the last selected one."""
        selected_assets = [
            asset for asset in ASSETS if asset in self._launch.assets
        ]
        return self._asset == selected_assets[-1]

    @contextmanager
    def materializing(self, asset: str) -> Iterator[None]:
        """Do an asset's steps, and wait for its writes.

        Raises:
            RunStoppedError: the run has ended, or this process no longer executes it.
            Exception: the attempt has ended with this error; a later one may not meet
                it.
        """
        self._asset = asset
        try:
            with self._failing_for_memory():
                yield
                self.attempt.io.wait()
        except RunStoppedError:
            raise
        except CancelRequestedError:
            self.attempt.cancel()
        except RunError as error:
            raise RunStoppedError(error.error_code, str(error)) from error
        except Exception as error:
            if self.claimed_attempt is not None:
                self.claimed_attempt.release_for_retry(error)
            raise

    @contextmanager
    def _failing_for_memory(self) -> Iterator[None]:
        """Make the system's refusal of memory a failure of the run."""
        try:
            yield
        except Exception as error:
            if self.claimed_attempt is not None and self._memory.is_reached(
                error,
            ):
                self._memory.lift()
                self.attempt.io.drain()
                stage = self.attempt.record.stage
                self._fail(too_little_memory(self._memory.megabytes, stage))
            raise

    # --- before the first asset -------------------------------------------------------

    def claim(self) -> None:
        """Claim the attempt once and limit its memory; move on to the asset's stage."""
        stage = _STAGES[self._asset]
        if self.claimed_attempt is None:
            tune_process()
            self._memory.hold()
            self.claimed_attempt = Attempt.claim(self._platform, self._launch)
            if self.claimed_attempt.record.stage is stage:
                return
        self.claimed_attempt.enter(stage)

    def load_config(self) -> TenantConfig:
        """Return the run's config, which is pinned for all attempts.

        Raises:
            RunStoppedError: there is no config, or it has another schema version; the
                run has failed.
            ConfigError: the config is invalid.
        """
        if self._config is not None:
            return self._config
        published_run = self.attempt.io.submit(self._published_run)
        stored = self._stored_config()
        baseline_run_id = self._baseline_of(stored, published_run.result())
        self.attempt.pin(stored.version, baseline_run_id)
        try:
            config = self._platform.tenants.parsed(stored)
        except UnsupportedSchemaVersionError as error:
            self._write_snapshot(json.loads(stored.text))
            code = FailureCode.UNSUPPORTED_SCHEMA_VERSION.value
            self._fail(RunFailure(code, str(error), Stage.FETCH_INPUTS))
        self._write_snapshot(config.to_document())
        self._config = config
        # The run may ask for a vendor that the config does not have.
        self.attempt.findings = RunFindings.of(RunScope.of(config, ()))
        self._stages = self._stages_of(config)
        self._hand_on(RunValues())
        if any(
            may_read_apart(vendor.parser) for vendor in self._stages.vendors
        ):
            self._memory.hold(beside=self._stages.limits.reader_bytes)
        return config

    def _stored_config(self) -> StoredConfig:
        """Return the run's version of the tenant's config, or fail the run."""
        tenant_id = self.attempt.record.tenant_id
        version = self.attempt.record.config_version
        if version is None:
            missing = "no config"
            stored = self._platform.tenants.latest(tenant_id)
        else:
            missing = f"no config version {version}"
            stored = self._platform.tenants.version(tenant_id, version)
        if stored is None:
            message = (
                f"missing tenant config: tenant {tenant_id!r} has {missing}. Store a config "
                f"with PUT /v1/tenants/{tenant_id}/config, then start a new run."
            )
            code = FailureCode.MISSING_TENANT_CONFIG.value
            self._fail(RunFailure(code, message, Stage.FETCH_INPUTS))
        return stored

    def _published_run(self) -> RunRecord | None:
        """Return the run whose feed is in force, if the run needs a baseline."""
        record = self.attempt.record
        if record.vendors is not None or record.baseline_run_id is not None:
            return None
        feed = self._platform.runs.feed(record.tenant_id)
        # A feed without a number cannot be compared with.
        if feed is None or not feed.in_force.seq:
            return None
        return self._platform.runs.get(feed.in_force.run_id)

    def _baseline_of(
        self,
        stored: StoredConfig,
        published_run: RunRecord | None,
    ) -> str | None:
        """Return the run whose feed the run is compared with.

        A feed in another currency is no baseline.
        """
        if published_run is None:
            return None
        version = published_run.config_version
        if version is not None and version != stored.version:
            tenant_id = published_run.tenant_id
            published_config = self._platform.tenants.version(
                tenant_id,
                version,
            )
            if published_config is not None:
                is_same_currency = _currency(published_config) == _currency(
                    stored,
                )
                return published_run.run_id if is_same_currency else None
        return published_run.run_id

    def _write_snapshot(self, document: Mapping[str, Any]) -> None:
        sink = self.attempt.sink
        snapshot = config_snapshot_json(sink.context, document)
        sink.write(sink.keys.config_snapshot, [snapshot])

    def _stages_of(self, config: TenantConfig) -> RunStages:
        record = self.attempt.record
        sink = self.attempt.sink
        vendors = config.selecting(record.vendors)
        last_good = None
        if record.baseline_run_id is not None:
            last_good = PublishedInputs(sink, record.baseline_run_id, vendors)
        return RunStages(
            config,
            vendors,
            record.requested_at,
            sink.keys,
            sink,
            hands_over=True,
            config_version=record.config_version,
            last_good=last_good,
            limits=self._platform.settings.limits,
            of_all_vendors=record.vendors is None,
        )

    # --- inputs -----------------------------------------------------------------------

    def pin_inputs(self) -> PinnedInputs:
        """Return the run's pinned inputs, and begin to read the feeds among them.

        Raises:
            RunStoppedError: a required input is missing; the run has failed.
        """
        if self._inputs is not None:
            return self._inputs
        if self.attempt.record.baseline_run_id is not None:
            self._fetch_baseline(self.attempt.record.baseline_run_id)
        self._snapshot = InputSnapshot(
            self.attempt.sink,
            self._stages.vendors,
            self._platform.settings.limits,
            now=utc_now(),
            overrides=self._platform.overrides.document,
            catalog=self._stages.config.catalog_input,
        )
        inputs = self._find_inputs()
        self._stages = replace(self._stages, overrides=inputs.overrides)
        reads_feeds = NORMALIZED in self._launch.assets
        if inputs.vendors_with_feed() and not reads_feeds:
            self._stages.write_overrides()
            verdict = earlier_verdict(self._stages.config, inputs)
        else:
            verdict = self._stages.judge_inputs(inputs.vendor_inputs())
        self._hand_on(RunValues(verdict))
        self.stop_if_failed()
        if reads_feeds:
            sizes = {}
            for vendor_id in self._vendors_with_own_upload():
                left_out = verdict.parts_left_out.get(vendor_id, {})
                if vendor_id in inputs.sku_map_sizes:
                    map_key = self.attempt.sink.keys.sku_map(vendor_id)
                    sizes[map_key] = inputs.sku_map_sizes[vendor_id]
                for file in inputs.files_to_read(vendor_id, left_out):
                    sizes[str(file.run_copy_key)] = file.size
            io = self.attempt.io
            self._ahead = ReadAhead(self._platform.objects, io, sizes)
            self._ahead.fill()
        self._inputs = inputs
        return inputs

    def _fetch_baseline(self, run_id: str) -> None:
        """Hand the baseline to the stages: the state of a run's feed."""
        config = self._stages.config
        zeroes_missing_skus = config.output.missing_skus == "zero"
        has_quarantine = config.guards.quarantine is not None
        baseline = fetch_baseline(
            self.attempt.sink,
            run_id,
            keeps_rows=zeroes_missing_skus or has_quarantine,
        )
        self._stages = replace(self._stages, baseline=baseline)

    def _find_inputs(self) -> PinnedInputs:
        """Return new inputs, or those of an earlier run if none are to be fetched."""
        record = self.attempt.record
        if FETCHED in self._launch.assets:
            is_first = record.attempt == 1 and self._asset == FETCHED
            return self._snapshot.take(is_first=is_first)
        earlier_runs = self._platform.runs.list_runs(
            record.tenant_id,
            limit=MAX_SOURCE_RUNS,
        )
        with_work = NORMALIZED not in self._launch.assets
        return self._snapshot.reuse(earlier_runs.items, with_work=with_work)

    def _vendors_with_own_upload(self) -> list[str]:
        """Return the vendors whose upload is read, in order; the catalog comes first."""
        states = self._verdict.states
        return [
            vendor_id
            for vendor_id in self._verdict.to_read()
            if vendor_id not in states
            or states[vendor_id].last_good_run_id is None
        ]

    # --- the engine's steps -----------------------------------------------------------

    def normalize(self, inputs: PinnedInputs) -> Normalized:
        """Read every feed and write its rows; a failed vendor stops no other."""
        normalized = self._stages.normalize(self._verdict, self._feeds(inputs))
        self._hand_on(replace(self._values, normalized=normalized))
        states = dict(normalized.states)
        if normalized.catalog is not None:
            states[CATALOG] = normalized.catalog.state
        self._snapshot.complete(inputs, states)
        return normalized

    def _feeds(self, inputs: PinnedInputs) -> Iterator[VendorFeed]:
        """Yield the feed of each vendor that is read, with its SKU map."""
        uploads = set(self._vendors_with_own_upload())
        for vendor_id in self._verdict.to_read():
            if vendor_id not in uploads:
                yield self._last_good_feed(vendor_id)
                continue
            sku_map = None
            if vendor_id in inputs.sku_map_sizes:
                map_key = self.attempt.sink.keys.sku_map(vendor_id)
                sku_map = self._ahead.take(map_key)
            files = []
            left_out = self._verdict.parts_left_out.get(vendor_id, {})
            for file in inputs.files_to_read(vendor_id, left_out):
                data = self._ahead.take(str(file.run_copy_key))
                if self.attempt.record.attempt > 1:
                    # The process of an earlier attempt may still write the copy.
                    data = verified(self._platform.objects, file, data)
                files.append(
                    FeedFile(data, file.name, file.part_id, file.kind),
                )
            vendor = self._stages.config.vendor(vendor_id)
            yield VendorFeed(vendor, files, sku_map)

    def _last_good_feed(self, vendor_id: str) -> VendorFeed:
        """Return the feed that the baseline's run used of a vendor."""
        last_good = self._stages.last_good
        feed = None if last_good is None else last_good.read(vendor_id)
        if feed is None:
            raise MissingResourceError(
                "s3.CopyObject",
                f"the last good feed of {vendor_id} went",
            )
        return feed

    def stop_if_failed(self) -> None:
        """End the run if a step has found that it cannot go on.

        Raises:
            RunStoppedError: the run has failed.
        """
        failure = self.attempt.findings.failure
        if failure is not None:
            self.attempt.fail(failure)

    def merge(self) -> Compared:
        """Merge and price the vendors, and compare the feed with the published one.

        The vendors are those of this process, or those in the work files of an earlier
        run.
        """
        if NORMALIZED not in self._launch.assets:
            self._take_over()
        normalized = self._normalized
        merged = self._stages.merge(normalized)
        compared = self._stages.compare(merged, normalized)
        self._hand_on(
            replace(
                self._values,
                normalized=normalized.without_offers(),
                compared=compared,
            ),
        )
        return compared

    def _take_over(self) -> None:
        """Continue with the vendors that an earlier run has normalized."""
        vendors = self.attempt.io.map(
            self.attempt.sink.read_vendor,
            self._verdict.to_read(),
        )
        normalized = self._stages.take_over(self._verdict, vendors)
        self._hand_on(replace(self._values, normalized=normalized))
        self.stop_if_failed()

    def write(self, compared: Compared) -> None:
        """Write the merged feed and its state.

        Raises:
            RunStoppedError: there is no feed to publish; the run has failed.
        """
        self.stop_if_failed()
        self.attempt.enter(Stage.WRITE_OUTPUTS)
        self._stages.write_feed(compared)
        if self.attempt.record.vendors is None:
            sink = self.attempt.sink
            self._stages.write_state(
                sink.keys.state,
                compared,
                self._normalized,
                sink.context,
            )

    def close(self) -> None:
        """Lift the memory limit, and stop the threads beside the steps."""
        self._memory.lift()
        if self.claimed_attempt is not None:
            self.claimed_attempt.close()

    # --- the values of the steps ------------------------------------------------------

    def _hand_on(self, values: RunValues) -> None:
        """Keep the values that steps have returned so far, and make findings of them."""
        self._values = values
        self.attempt.findings = self._stages.findings(values)

    @property
    def _verdict(self) -> InputVerdict:
        """Return the verdict on the inputs."""
        if self._values.inputs is None:
            raise RuntimeError("no inputs have been pinned yet")
        return self._values.inputs

    @property
    def _normalized(self) -> Normalized:
        """Return the normalized vendors."""
        if self._values.normalized is None:
            raise RuntimeError("no vendor has been normalized yet")
        return self._values.normalized

    def _fail(self, failure: RunFailure) -> NoReturn:
        self.attempt.findings = self.attempt.findings.failed(failure)
        self.attempt.fail(failure)


def _currency(stored: StoredConfig) -> str | None:
    """Return the currency of a config, also of a config that cannot be used."""
    return json.loads(stored.text).get("default_currency")
