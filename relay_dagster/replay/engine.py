"""The engine over a run's inputs, with any config: what comes out, handed to a sink."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from relay_core.columnar.process_tuning import tune_process
from relay_core.config import TenantConfig, VendorConfig
from relay_core.merge.result import MergedInventory
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys
from relay_core.run import RunStages, Sink
from relay_core.validation.vendor_failures import ANY_PREFIX, VendorInput
from relay_dagster.replay.last_good import LastGood
from relay_dagster.replay.run_artifacts import RunArtifacts

KEYS = ArtifactKeys("", "")


@dataclass(frozen=True, slots=True)
class Replayed:
    """How a run ends here."""

    stages: RunStages  # what it went through
    merged: MergedInventory | None  # its feed; None where it has failed

    @property
    def findings(self) -> RunFindings:
        """What it has found out."""
        return self.stages.findings


def replay(
    artifacts: RunArtifacts,
    config: TenantConfig,
    sink: Sink,
    last_good: LastGood,
) -> Replayed:
    """Take a run's inputs through the engine's stages, with its own config or another one.

    Raises:
        ConfigError: the config lacks a vendor that the run was asked for.
        ClientError: an input cannot be had.
    """
    tune_process()
    vendors = config.selecting(artifacts.run.vendors)
    ids = [each.vendor_id for each in vendors]
    findings = RunFindings(ids, len(config.vendors), limits=artifacts.limits)
    inputs = _Inputs(artifacts, config, last_good)
    stages = RunStages(
        config,
        vendors,
        artifacts.requested_at,
        KEYS,
        sink,
        findings,
        baseline=artifacts.baseline,
        last_good=last_good,
        overrides=artifacts.overrides,
        config_version=artifacts.version_of(config),
    )
    merged = stages.go_through(
        inputs.found(), inputs.locations(), lambda ids: inputs.feeds(ids, findings)
    )
    return Replayed(stages, merged)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """A run's inputs as the engine takes them."""

    artifacts: RunArtifacts
    config: TenantConfig
    last_good: LastGood

    def found(self) -> dict[str, VendorInput]:
        """Return what was found of each vendor that has a feed."""
        known = {each.vendor_id: each for each in self.config.vendors}
        entries = self.artifacts.inputs.items()
        return {
            name: VendorInput(entry.size or 0, entry.uploaded_at, self._size_of_map(known[name]))
            for name, entry in entries
            if entry.s3_key is not None and name in known
        }

    def locations(self) -> dict[str, str]:
        """Return where each vendor's feed is expected, for the messages."""
        vendors = self.config.vendors
        return {each.vendor_id: each.inbound.s3_prefix or ANY_PREFIX for each in vendors}

    def feeds(self, vendor_ids: Sequence[str], findings: RunFindings) -> Iterator[VendorFeed]:
        """Yield the feeds that are read, in order."""
        for vendor_id in vendor_ids:
            if findings.states[vendor_id].last_good_run_id is None:
                yield self._feed(self.config.vendor(vendor_id))
            elif (last_good := self.last_good.read(vendor_id)) is not None:
                yield last_good

    def _feed(self, vendor: VendorConfig) -> VendorFeed:
        name, entry = vendor.vendor_id, self.artifacts.inputs[vendor.vendor_id]
        file = self.artifacts.file(f"inbound_{name}", entry.sha256)
        sku_map = None if vendor.sku_map is None else self.artifacts.file(f"sku_map_{name}").data
        upload = PurePosixPath(str(entry.s3_key)).name
        return VendorFeed(vendor, file.data, upload, sku_map, file.release)

    def _size_of_map(self, vendor: VendorConfig) -> int | None:
        name = f"sku_map_{vendor.vendor_id}"
        if vendor.sku_map is None or name not in self.artifacts.links:
            return None
        return len(self.artifacts.file(name).data)
