"""What one run does, step by step; the assets call it, and it knows no Dagster.

What an exception means is decided in one place, ``materializing``: a fault of the data has ended
the run already, any other sends the run back to the queue for its next attempt. The end of a run
that goes well is a call of its own, `succeed`, which the last asset makes.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NoReturn

from relay_core.columnar.tuning import tune_process
from relay_core.config import TenantConfig, load_stored_config
from relay_core.domain.codes import FailureCode, Stage
from relay_core.domain.errors import UnsupportedSchemaVersionError
from relay_core.domain.records import RunFailure
from relay_core.domain.run_faults import too_little_memory
from relay_core.merge.result import MergedInventory
from relay_core.normalize.inputs import FoundInputs
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.pipeline import RunStages
from relay_core.publish.reports import config_snapshot_json
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.execution.attempt import Attempt, Launch, RunStoppedError
from relay_dagster.execution.concurrent_io import ReadAhead
from relay_dagster.execution.inputs import SKU_MAP_FILE, Pinning, RunInputs
from relay_dagster.execution.memory_limit import MemoryLimit
from relay_dagster.runs.errors import CancelRequestedError, RunError
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform

FETCHED, NORMALIZED, MERGED = "fetched_inventory", "normalized_inventory", "merged_inventory"
LOOK_BACK_RUNS = 50
"""How many of a tenant's runs are looked at for inputs that a run without its own can borrow."""

ASSETS = (FETCHED, NORMALIZED, MERGED)
_STAGE_OF = dict(zip(ASSETS, (Stage.FETCH_INPUTS, Stage.NORMALIZE, Stage.MERGE_PRICE), strict=True))


class RunSession:
    """Executes one run in this process, from the first asset selected to the last.

    Args:
        platform: the stores and the ledger.
        launch: what Dagster was asked for.
    """

    def __init__(self, platform: Platform, launch: Launch) -> None:
        tune_process()
        self._memory = MemoryLimit(platform.settings.max_run_memory_mb)
        self._platform = platform
        self._launch = launch
        self._asset = ""
        self._ahead: ReadAhead
        self.claimed_attempt: Attempt | None = None
        """The attempt, from the first asset on; None where it could not be claimed."""

    @property
    def attempt(self) -> Attempt:
        """The attempt that this process has claimed."""
        if self.claimed_attempt is None:
            raise RuntimeError("no asset has begun yet: the attempt is not claimed")
        return self.claimed_attempt

    @contextmanager
    def materializing(self, asset: str) -> Iterator[None]:
        """Do one asset's part inside: the first claims the attempt, each moves on to its stage.

        Raises:
            RunStoppedError: the run has failed, was cancelled, or belongs to another process.
        """
        try:
            with self._within_memory():
                self._enter(asset)
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

    @property
    def ends_here(self) -> bool:
        """Whether the asset that is being materialized is the last one selected."""
        selected = [asset for asset in ASSETS if asset in self._launch.assets]
        return self._asset == selected[-1]

    def succeed(self) -> None:
        """End the run: write its reports, publish its feed, and free the tenant."""
        self.attempt.succeed()

    def close(self) -> None:
        """Stop what runs beside the steps."""
        self._memory.lift()
        if self.claimed_attempt is not None:
            self.claimed_attempt.close()

    @cached_property
    def config(self) -> TenantConfig:
        """The config version that the run is pinned to; one that cannot be used ends the run.

        Raises:
            ConfigError: it does not validate, which an operator can mend between two attempts.
        """
        record = self.attempt.record
        stored = self._stored_config(record)
        if stored is None:
            which = "no config" if (n := record.config_version) is None else f"no version {n}"
            message = (
                f"missing tenant config: the store has {which} of tenant {record.tenant_id!r}; "
                f"store it with PUT /v1/tenants/{record.tenant_id}/config, then start a new run"
            )
            self._fail_at_once(
                RunFailure(FailureCode.MISSING_TENANT_CONFIG.value, message, Stage.FETCH_INPUTS)
            )
        self.attempt.pin_config(stored.version)
        try:
            config = load_stored_config(stored.text)
        except UnsupportedSchemaVersionError as error:
            self._write_snapshot(json.loads(stored.text))
            code = FailureCode.UNSUPPORTED_SCHEMA_VERSION.value
            self._fail_at_once(RunFailure(code, str(error), Stage.FETCH_INPUTS))
        self._write_snapshot(config.to_document())
        findings = self.attempt.findings
        findings.vendor_ids = [one.vendor_id for one in config.selecting(record.vendors)]
        findings.vendor_count = len(config.vendors)
        return config

    @cached_property
    def inputs(self) -> RunInputs:
        """The files that the run reads, pinned; the lack of one that it needs ends the run."""
        inputs = self._pin_inputs()
        found = FoundInputs(
            feeds={vendor_id: inputs.size_of(vendor_id) for vendor_id in inputs.found()},
            locations=inputs.locations(),
            maps=inputs.maps,
            missing_maps={
                vendor.vendor_id: str(vendor.sku_map.s3_key or vendor.sku_map.local_path)
                for vendor in self._stages.vendors
                if vendor.sku_map is not None and vendor.vendor_id not in inputs.maps
            },
        )
        self._stages.judge_inputs(found)
        self.stop_if_failed()
        if NORMALIZED in self._launch.assets:
            self._ahead = ReadAhead(self._platform.objects, self.attempt.io, self._to_read(inputs))
        return inputs

    def normalize(self) -> list[NormalizedVendor]:
        """Read every feed and write what it came to, whatever is wrong with another."""
        return self._stages.normalize(self._feeds(self.inputs))

    def stop_if_failed(self) -> None:
        """End the run where a stage has found that it cannot go on."""
        failure = self.attempt.findings.failure
        if failure is not None:
            self.attempt.fail(failure)

    def merge(self) -> MergedInventory:
        """Merge and price the vendors of this process, or what their work files hold."""
        vendor_ids = self.inputs.found()
        if [each.vendor_id for each in self.attempt.findings.normalized] != vendor_ids:
            read = self.attempt.reports.read_vendor
            self._stages.take_over(self.attempt.io.map(read, vendor_ids))
            self.stop_if_failed()
        return self._stages.merge()

    def write_feed(self, merged: MergedInventory) -> None:
        """Write the merged feed, or fail the run where there is none to publish."""
        self.stop_if_failed()
        self.attempt.enter(Stage.WRITE_OUTPUTS)
        self._stages.write_feed(merged)

    @cached_property
    def _stages(self) -> RunStages:
        attempt = self.attempt
        return RunStages(
            self.config,
            self.config.selecting(attempt.record.vendors),
            attempt.record.requested_at,
            attempt.reports.keys,
            attempt.reports,
            attempt.findings,
            hands_over=True,
            limits=self._platform.settings.limits,
        )

    def _enter(self, asset: str) -> None:
        """Move on to an asset's stage; an attempt that has just been claimed may be in it."""
        stage, self._asset = _STAGE_OF[asset], asset
        if self.claimed_attempt is None:
            self.claimed_attempt = Attempt(self._platform, self._launch)
            if self.claimed_attempt.record.stage is stage:
                return
        self.claimed_attempt.enter(stage)

    @contextmanager
    def _within_memory(self) -> Iterator[None]:
        """End the run where it needs more memory than it may have, as far as it can tell."""
        try:
            yield
        except Exception as error:
            if self.claimed_attempt is None or not self._memory.is_reached(error):
                raise
            self._memory.lift()
            self.attempt.io.drain()
            stage = self.attempt.record.stage
            self._fail_at_once(too_little_memory(self._memory.megabytes, stage))

    def _write_snapshot(self, document: Mapping[str, Any]) -> None:
        reports = self.attempt.reports
        reports.write(reports.keys.config_snapshot, [config_snapshot_json(reports.ctx, document)])

    def _stored_config(self, record: RunRecord) -> StoredConfig | None:
        tenants = self._platform.tenants
        if record.config_version is None:
            return tenants.latest(record.tenant_id)
        return tenants.version(record.tenant_id, record.config_version)

    def _fail_at_once(self, failure: RunFailure) -> NoReturn:
        self.attempt.findings.fail(failure)
        self.attempt.fail(failure)

    def _pin_inputs(self) -> RunInputs:
        attempt, runs = self.attempt, self._platform.runs
        pinning = Pinning(
            self._platform.objects,
            attempt.reports,
            attempt.io,
            self._stages.vendors,
            self._platform.settings.limits,
            now=utc_now(),
        )
        if FETCHED in self._launch.assets:
            is_first = attempt.record.attempt == 1 and self._asset == FETCHED
            return pinning.find(is_first_look=is_first)
        earlier = runs.list_runs(attempt.record.tenant_id, limit=LOOK_BACK_RUNS).records
        return pinning.borrow(earlier, with_work=NORMALIZED not in self._launch.assets)

    def _to_read(self, inputs: RunInputs) -> dict[str, int]:
        """Return what normalizing reads, key to bytes, in its order."""
        sizes: dict[str, int] = {}
        for vendor_id in inputs.found():
            if vendor_id in inputs.maps:
                sizes[self._map_of(vendor_id)] = inputs.maps[vendor_id]
            sizes[inputs.copy_of(vendor_id)] = inputs.size_of(vendor_id)
        return sizes

    def _map_of(self, vendor_id: str) -> str:
        return self.attempt.reports.keys.work(vendor_id, SKU_MAP_FILE)

    def _feeds(self, inputs: RunInputs) -> Iterator[VendorFeed]:
        take = self._ahead.take
        for vendor_id in inputs.found():
            sku_map = take(self._map_of(vendor_id)) if vendor_id in inputs.maps else None
            feed, name = take(inputs.copy_of(vendor_id)), inputs.file_name(vendor_id)
            if self.attempt.record.attempt > 1:  # an earlier one may still write
                feed = inputs.verified(self._platform.objects, vendor_id, feed)
            yield VendorFeed(self.config.vendor(vendor_id), feed, name, sku_map)
