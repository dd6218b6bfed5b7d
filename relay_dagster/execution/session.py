"""The steps of one run in the process that executes it; the assets call them, no Dagster here.

`claim`, `load_config`, `pin_inputs`, `normalize`, `merge`, `write`, `end`, in this order. The first
three are done once in a process: each asset calls them, since any of them may be the first one
selected. `materializing` decides the meaning of an exception: a fault of the data has ended the run
already, any other sends it back to the queue for its next attempt.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, NoReturn

from relay_core.columnar.threads import tune_process
from relay_core.config import TenantConfig
from relay_core.domain.codes import FailureCode, Stage
from relay_core.domain.errors import UnsupportedSchemaVersionError
from relay_core.domain.records import RunFailure
from relay_core.domain.run_faults import too_little_memory
from relay_core.ingest.formats import may_read_apart
from relay_core.normalize.result import Normalized
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.compared import Compared
from relay_core.publish.findings import RunFindings, RunScope
from relay_core.publish.reports import config_snapshot_json
from relay_core.run import RunStages, RunValues
from relay_core.validation.vendor_failures import (
    InputVerdict,
    upload_times,
    warning_of,
)
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.execution.attempt import Attempt, Launch, RunStoppedError
from relay_dagster.execution.baseline import PublishedInputs, fetch_baseline
from relay_dagster.execution.concurrent_io import ReadAhead
from relay_dagster.execution.inputs import InputSnapshot, PinnedInputs
from relay_dagster.execution.memory_limit import MemoryLimit
from relay_dagster.external_errors import MissingResourceError
from relay_dagster.runs.errors import CancelRequestedError, RunError
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform

FETCHED, NORMALIZED, MERGED = (
    "fetched_inventory",
    "normalized_inventory",
    "merged_inventory",
)
MAX_SOURCE_RUNS = 50
"""So many of a tenant's last runs are candidates for the source run of reused inputs."""

ASSETS = (FETCHED, NORMALIZED, MERGED)
_STAGE_OF = dict(
    zip(ASSETS, (Stage.FETCH_INPUTS, Stage.NORMALIZE, Stage.MERGE_PRICE), strict=True)
)


class RunSession:
    """Executes one run in this process, from the first asset selected to the last."""

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
        """The attempt that this process has claimed."""
        if self.claimed_attempt is None:
            raise RuntimeError("no asset has begun yet: the attempt is not claimed")
        return self.claimed_attempt

    @property
    def ends_here(self) -> bool:
        """Whether the asset that is being materialized is the last one selected."""
        selected = [asset for asset in ASSETS if asset in self._launch.assets]
        return self._asset == selected[-1]

    @contextmanager
    def materializing(self, asset: str) -> Iterator[None]:
        """Do an asset's steps, end its writes; `RunStoppedError` where the run is over."""
        self._asset = asset
        try:
            try:
                yield
                self.attempt.io.wait()
            except Exception as error:
                if self.claimed_attempt is not None and self._memory.is_reached(error):
                    self._memory.lift()
                    self.attempt.io.drain()
                    stage = self.attempt.record.stage
                    self._fail(too_little_memory(self._memory.megabytes, stage))
                raise
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

    def claim(self) -> None:
        """Claim the attempt, once, limit its memory, and move on to the asset's stage."""
        stage = _STAGE_OF[self._asset]
        if self.claimed_attempt is None:
            tune_process()
            self._memory.hold()
            self.claimed_attempt = Attempt.claim(self._platform, self._launch)
            if self.claimed_attempt.record.stage is stage:
                return
        self.claimed_attempt.enter(stage)

    def load_config(self) -> TenantConfig:
        """Return the run's pinned config, or end the run; `ConfigError` where it may be mended."""
        if self._config is not None:
            return self._config
        record = self.attempt.record
        published = self.attempt.io.submit(self._published_run)
        tenants, version = self._platform.tenants, record.config_version
        if version is None:
            stored = tenants.latest(record.tenant_id)
        else:
            stored = tenants.version(record.tenant_id, version)
        if stored is None:
            which = "no config" if version is None else f"no version {version}"
            message = (
                f"missing tenant config: the store has {which} of tenant {record.tenant_id!r}; "
                f"store it with PUT /v1/tenants/{record.tenant_id}/config, then start a new run"
            )
            code = FailureCode.MISSING_TENANT_CONFIG.value
            self._fail(RunFailure(code, message, Stage.FETCH_INPUTS))
        self.attempt.pin(stored.version, self._baseline_of(stored, published.result()))
        try:
            config = tenants.parsed(stored)
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
        if any(may_read_apart(vendor.parser) for vendor in self._stages.vendors):
            self._memory.hold(beside=self._stages.limits.reader_bytes)
        return config

    def pin_inputs(self) -> PinnedInputs:
        """Return the run's pinned inputs; the lack of a required one ends the run."""
        if self._inputs is not None:
            return self._inputs
        stages = self._stages
        config = stages.config
        if (run_id := self.attempt.record.baseline_run_id) is not None:
            keeps = (
                config.output.missing_skus == "zero"
                or config.guards.quarantine is not None
            )
            baseline = fetch_baseline(self.attempt.sink, run_id, keeps_rows=keeps)
            stages = replace(stages, baseline=baseline)
        self._snapshot = InputSnapshot(
            self.attempt.sink,
            stages.vendors,
            self._platform.settings.limits,
            now=utc_now(),
            overrides=self._platform.overrides.document,
        )
        attempt, runs = self.attempt, self._platform.runs
        if FETCHED in self._launch.assets:
            is_first = attempt.record.attempt == 1 and self._asset == FETCHED
            inputs = self._snapshot.take(is_first=is_first)
        else:
            earlier = runs.list_runs(
                attempt.record.tenant_id, limit=MAX_SOURCE_RUNS
            ).items
            with_work = NORMALIZED not in self._launch.assets
            inputs = self._snapshot.reuse(earlier, with_work=with_work)
        self._stages = replace(stages, overrides=inputs.overrides)
        if inputs.vendors_with_feed() and NORMALIZED not in self._launch.assets:
            self._stages.write_overrides()
            verdict = _earlier_verdict(config, inputs)
        else:
            verdict = self._stages.judge_inputs(inputs.vendor_inputs())
        self._hand_on(RunValues(verdict))
        self.stop_if_failed()
        if NORMALIZED in self._launch.assets:
            sizes: dict[str, int] = {}
            for vendor_id in self._own_uploads():
                if vendor_id in inputs.sku_map_sizes:
                    sizes[self._map_of(vendor_id)] = inputs.sku_map_sizes[vendor_id]
                sizes[inputs.copy_of(vendor_id)] = inputs.size_of(vendor_id)
            self._ahead = ReadAhead(self._platform.objects, self.attempt.io, sizes)
            self._ahead.fill()
        self._inputs = inputs
        return inputs

    def normalize(self, inputs: PinnedInputs) -> Normalized:
        """Read every feed and write its rows; no vendor's fault stops another."""
        normalized = self._stages.normalize(self._verdict, self._feeds(inputs))
        self._hand_on(replace(self._values, normalized=normalized))
        self._snapshot.complete(inputs, normalized.states)
        return normalized

    def stop_if_failed(self) -> None:
        """End the run if a step has found that it cannot go on."""
        failure = self.attempt.findings.failure
        if failure is not None:
            self.attempt.fail(failure)

    def merge(self) -> Compared:
        """Merge and price the vendors of this process, or those in the files of an earlier run.

        The feed is compared with the published one.
        """
        if NORMALIZED not in self._launch.assets:
            read = self.attempt.sink.read_vendor
            vendors = self.attempt.io.map(read, self._verdict.to_read())
            normalized = self._stages.take_over(self._verdict, vendors)
            self._hand_on(replace(self._values, normalized=normalized))
            self.stop_if_failed()
        normalized = self._normalized
        merged = self._stages.merge(normalized)
        compared = self._stages.compare(merged, normalized)
        self._hand_on(
            replace(
                self._values,
                normalized=normalized.without_offers(),
                compared=compared,
            )
        )
        return compared

    def write(self, compared: Compared) -> None:
        """Write the merged feed and its state, or fail the run if there is none to publish."""
        self.stop_if_failed()
        self.attempt.enter(Stage.WRITE_OUTPUTS)
        self._stages.write_feed(compared)
        if self.attempt.record.vendors is None:
            sink = self.attempt.sink
            key = sink.keys.state
            self._stages.write_state(key, compared, self._normalized, sink.context)

    def end(self) -> None:
        """End the run: write its reports, publish or hold its feed, free the tenant."""
        self.attempt.end()

    def close(self) -> None:
        """Lift the memory limit, and stop the threads beside the steps."""
        self._memory.lift()
        if self.claimed_attempt is not None:
            self.claimed_attempt.close()

    def _hand_on(self, values: RunValues) -> None:
        """Keep the values that the steps have returned so far, and make findings of them."""
        self._values = values
        self.attempt.findings = self._stages.findings(values)

    @property
    def _verdict(self) -> InputVerdict:
        """The value of judging the inputs."""
        if self._values.inputs is None:
            raise RuntimeError("no inputs have been pinned yet")
        return self._values.inputs

    @property
    def _normalized(self) -> Normalized:
        """The value of normalizing the vendors."""
        if self._values.normalized is None:
            raise RuntimeError("no vendor has been normalized yet")
        return self._values.normalized

    def _fail(self, failure: RunFailure) -> NoReturn:
        self.attempt.findings = self.attempt.findings.failed(failure)
        self.attempt.fail(failure)

    def _published_run(self) -> RunRecord | None:
        """Return the run whose feed is in force, where a baseline is to be pinned."""
        record, runs = self.attempt.record, self._platform.runs
        if record.vendors is not None or record.baseline_run_id is not None:
            return None
        feed = runs.feed(record.tenant_id)
        return runs.get(feed.in_force.run_id) if feed and feed.in_force.seq else None

    def _baseline_of(
        self, stored: StoredConfig, published: RunRecord | None
    ) -> str | None:
        """Return the run whose feed the run is compared with; one in another currency is none."""
        if published is None:
            return None
        tenants, version = self._platform.tenants, published.config_version
        if version is not None and version != stored.version:
            theirs = tenants.version(published.tenant_id, version)
            if theirs is not None and _currency(theirs) != _currency(stored):
                return None
        return published.run_id

    def _write_snapshot(self, document: Mapping[str, Any]) -> None:
        sink = self.attempt.sink
        snapshot = config_snapshot_json(sink.context, document)
        sink.write(sink.keys.config_snapshot, [snapshot])

    def _stages_of(self, config: TenantConfig) -> RunStages:
        record = self.attempt.record
        sink = self.attempt.sink
        vendors = config.selecting(record.vendors)
        published = record.baseline_run_id
        last_good = None
        if published is not None:
            last_good = PublishedInputs(sink, published, vendors)
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

    def _own_uploads(self) -> list[str]:
        """Return the vendors whose upload is read, in order."""
        states = self._verdict.states
        return [
            name
            for name in self._verdict.to_read()
            if states[name].last_good_run_id is None
        ]

    def _map_of(self, vendor_id: str) -> str:
        return self.attempt.sink.keys.sku_map(vendor_id)

    def _feeds(self, inputs: PinnedInputs) -> Iterator[VendorFeed]:
        take, uploads = self._ahead.take, self._own_uploads()
        for vendor_id in self._verdict.to_read():
            if vendor_id in uploads:
                sku_map = (
                    take(self._map_of(vendor_id))
                    if vendor_id in inputs.sku_map_sizes
                    else None
                )
                name = PurePosixPath(inputs.entries[vendor_id]["s3_key"]).name
                feed = take(inputs.copy_of(vendor_id))
                if self.attempt.record.attempt > 1:  # an earlier one may still write
                    feed = inputs.verified(self._platform.objects, vendor_id, feed)
                yield VendorFeed(
                    self._stages.config.vendor(vendor_id), feed, name, sku_map
                )
            elif (good := self._stages.last_good) and (
                found := good.read(vendor_id)
            ) is not None:
                yield found
            else:
                raise MissingResourceError(
                    "s3.CopyObject", f"the last good feed of {vendor_id} went"
                )


def _earlier_verdict(config: TenantConfig, inputs: PinnedInputs) -> InputVerdict:
    """Return the verdict on inputs that an earlier run has judged and read."""
    states = inputs.states()
    warnings = [
        warning_of(config.vendor(vendor_id), state)
        for vendor_id, state in states.items()
        if state.failure is not None and not state.status.is_used
    ]
    uploaded_at = upload_times(inputs.vendor_inputs())
    return InputVerdict(states=states, warnings=warnings, uploaded_at=uploaded_at)


def _currency(stored: StoredConfig) -> str | None:
    """Return the currency of a config, whether or not it can be used."""
    return json.loads(stored.text).get("default_currency")
