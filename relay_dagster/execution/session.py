"""What one run does, step by step; the assets call it, and it knows no Dagster.

What an exception means is decided in one place, ``step``: a fault of the data has ended the run
already, any other sends the run back to the queue for its next attempt.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import NoReturn, ParamSpec

from relay_core.config import TenantConfig, VendorConfig, load_config, parse_document
from relay_core.domain.errors import UnsupportedSchemaVersionError
from relay_core.domain.models import FailureCode, ReportEntry, RunFailure, Stage
from relay_core.merge.result import MergedInventory
from relay_core.normalize.result import NormalizedVendor
from relay_core.pipeline import judge_normalized, merge_vendors, normalize_vendor
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.execution.attempt import Launch, RunLife, RunStoppedError
from relay_dagster.execution.inputs import SKU_MAP_FILE, Pinning, RunInputs
from relay_dagster.execution.read_ahead import ReadAhead
from relay_dagster.runs.errors import CancelRequestedError, RunError
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform

_P = ParamSpec("_P")

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
        self._platform = platform
        self._launch = launch
        self._life: RunLife | None = None
        self._stage = Stage.QUEUE
        self._ahead: ReadAhead

    @property
    def life(self) -> RunLife:
        """The run's record and its end; claimed when first asked for."""
        if self._life is None:
            self._life = RunLife(self._platform, self._launch)
        return self._life

    @property
    def claimed(self) -> RunLife | None:
        """The same where this process has claimed the run already, else None."""
        return self._life

    @contextmanager
    def step(self, asset: str) -> Iterator[None]:
        """Do one asset's part inside: move on to its stage, and end the run after the last.

        Raises:
            RunStoppedError: the run has failed, was cancelled, or belongs to another process.
        """
        try:
            self._enter(_STAGE_OF[asset])
            yield
            self.life.side.wait()
            if asset == self._last_asset():
                self.life.succeed()
        except RunStoppedError:
            raise
        except CancelRequestedError:
            self.life.cancel()
        except RunError as error:
            raise RunStoppedError(error.error_code, str(error)) from error
        except Exception as error:
            if self._life is not None:
                self._life.give_back(error)
            raise

    def close(self) -> None:
        """Stop what runs beside the steps."""
        if self._life is not None:
            self._life.close()

    @cached_property
    def config(self) -> TenantConfig:
        """The config version that the run is pinned to; one that cannot be used ends the run.

        Raises:
            ConfigError: it does not validate, which an operator can mend between two attempts.
        """
        record = self.life.record
        stored = self._stored_config(record)
        if stored is None:
            which = "no config" if (n := record.config_version) is None else f"no version {n}"
            self._fail_at_once(
                FailureCode.MISSING_TENANT_CONFIG,
                f"missing tenant config: the store has {which} of tenant {record.tenant_id!r}; "
                f"store it with PUT /v1/tenants/{record.tenant_id}/config, then start a new run",
            )
        self.life.pin_config(stored.version)
        try:
            config = load_config(parse_document(stored.text, format="json"))
        except UnsupportedSchemaVersionError as error:
            self._begin(self.life.reports.write_snapshot, json.loads(stored.text))
            self._fail_at_once(FailureCode.UNSUPPORTED_SCHEMA_VERSION, str(error))
        self._begin(self.life.reports.write_snapshot, config.to_document())
        findings = self.life.findings
        findings.vendor_ids = [one.vendor_id for one in config.selecting(record.vendors)]
        findings.vendor_count = len(config.vendors)
        return config

    @cached_property
    def inputs(self) -> RunInputs:
        """The files that the run reads, pinned; the lack of one that it needs ends the run."""
        inputs = self._pin_inputs()
        findings, verdict = self.life.findings, inputs.verdict
        findings.warnings, findings.faults = verdict.warnings, verdict.faults
        if verdict.failure is not None:
            self.life.fail(verdict.failure)
        if NORMALIZED in self._launch.assets:
            self._ahead = ReadAhead(self._platform.objects, self.life.side, self._to_read(inputs))
        return inputs

    def normalize(self) -> list[NormalizedVendor]:
        """Read every feed and write what it came to, whatever is wrong with another."""
        normalized: list[NormalizedVendor] = []
        self.life.findings.normalized = normalized
        for vendor_id in self.inputs.found():
            vendor = self._normalize(self.config.vendor(vendor_id))
            self._begin(self.life.reports.write_vendor, vendor)
            normalized.append(vendor)
        self._begin(self.life.reports.write_invalid_rows, normalized)
        return normalized

    def judge(self, normalized: Sequence[NormalizedVendor]) -> None:
        """Fail the run where a feed cannot be used."""
        failure = judge_normalized(normalized)
        if failure is not None:
            self.life.findings.take_failed(normalized)
            self.life.fail(failure)

    def merge(self) -> MergedInventory:
        """Merge and price the vendors of this process, or what their work files hold."""
        findings, vendor_ids = self.life.findings, self.inputs.found()
        normalized = findings.normalized
        if [vendor.vendor_id for vendor in normalized] != vendor_ids:
            normalized = self.life.side.map(self.life.reports.read_vendor, vendor_ids)
            findings.normalized = normalized
        if NORMALIZED not in self._launch.assets:
            self.judge(normalized)
            self._begin(self.life.reports.write_invalid_rows, normalized)
        merged = merge_vendors(self.config, normalized, warnings=self.inputs.verdict.warnings)
        findings.take(merged)
        return merged

    def publish(self, merged: MergedInventory) -> None:
        """Write the merged feed, or fail the run where there is none to publish."""
        if merged.failure is not None:
            self.life.fail(merged.failure)
        self.life.enter(Stage.WRITE_OUTPUTS)
        self.life.findings.feed_sha256 = self.life.reports.write_merged(merged)

    def _enter(self, stage: Stage) -> None:
        """Move on to an asset's stage; a run that has just been claimed is in it."""
        is_new = self._life is None
        self._stage = stage
        if not is_new or self.life.record.stage is not stage:
            self.life.enter(stage)

    def _begin(self, call: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> None:
        """Begin a call that has ended when the step has."""
        self.life.side.begin(call, *args, **kwargs)

    def _last_asset(self) -> str:
        return next(asset for asset in reversed(ASSETS) if asset in self._launch.assets)

    def _stored_config(self, record: RunRecord) -> StoredConfig | None:
        tenants = self._platform.tenants
        if record.config_version is None:
            return tenants.latest(record.tenant_id)
        return tenants.version(record.tenant_id, record.config_version)

    def _fail_at_once(self, code: FailureCode, message: str) -> NoReturn:
        self.life.findings.faults = [ReportEntry(code.value, message)]
        self.life.fail(RunFailure(code.value, message, Stage.FETCH_INPUTS))

    def _pin_inputs(self) -> RunInputs:
        life, runs = self.life, self._platform.runs
        pinning = Pinning(
            self._platform.objects,
            life.reports,
            life.side,
            self.config,
            self.config.selecting(life.record.vendors),
            now=utc_now(),
        )
        if FETCHED in self._launch.assets:
            is_first = life.record.attempt == 1 and self._stage is Stage.FETCH_INPUTS
            return pinning.find(is_first_look=is_first)
        earlier = runs.list_runs(life.record.tenant_id, limit=LOOK_BACK_RUNS).records
        return pinning.borrow(earlier, with_work=NORMALIZED not in self._launch.assets)

    def _to_read(self, inputs: RunInputs) -> dict[str, int]:
        """Return what normalizing reads, key to bytes, in its order; SKU maps are small."""
        sizes: dict[str, int] = {}
        for vendor_id in inputs.found():
            if vendor_id in inputs.maps:
                sizes[self._map_of(vendor_id)] = 0
            sizes[inputs.copy_of(vendor_id)] = inputs.size_of(vendor_id)
        return sizes

    def _map_of(self, vendor_id: str) -> str:
        return self.life.reports.keys.work(vendor_id, SKU_MAP_FILE)

    def _normalize(self, vendor: VendorConfig) -> NormalizedVendor:
        inputs, take = self.inputs, self._ahead.take
        has_map = vendor.vendor_id in inputs.maps
        return normalize_vendor(
            self.config,
            vendor,
            take(inputs.copy_of(vendor.vendor_id)),
            file_name=inputs.file_name(vendor.vendor_id),
            requested_at=self.life.record.requested_at,
            sku_map=take(self._map_of(vendor.vendor_id)) if has_map else None,
        )
