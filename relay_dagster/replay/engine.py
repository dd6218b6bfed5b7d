"""The engine over a run's inputs, with any config: what comes out, handed to a sink.

The last good feeds of a replayed run are its baseline's inputs, or those that it kept.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import NamedTuple

from relay_core.columnar.threads import tune_process
from relay_core.config import TenantConfig
from relay_core.domain.codes import VendorStatus
from relay_core.merge.result import MergedInventory
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys
from relay_core.run import RunStages, Sink
from relay_core.validation.vendor_failures import VendorInput
from relay_dagster.replay.run_artifacts import RunArtifacts

KEYS = ArtifactKeys("", "")


class _LastGoodFile(NamedTuple):
    """Which files of whose run a last good feed is, and when it was uploaded."""

    artifacts: RunArtifacts
    feed: str
    sku_map: str
    uploaded_at: datetime


class ReplayInputs:
    """A run's inputs as the engine takes them with a config; its ``LastGoodFeeds``, too.

    What a run kept, it has judged young enough; of its age whole hours are known. With a source
    run, feeds may be used that the run did not use. By default the config is the run's own.
    """

    def __init__(
        self,
        artifacts: RunArtifacts,
        config: TenantConfig | None = None,
        source_run: RunArtifacts | None = None,
    ) -> None:
        self.run_id = artifacts.run.baseline_run_id
        self.artifacts = artifacts
        self.config = config or artifacts.config
        self._source_run = source_run

    def uploaded_at(self, vendor_id: str) -> datetime | None:
        """Return when the vendor's last good feed was uploaded; None where there is none."""
        found, has_map = (
            self._last_good(vendor_id),
            self.config.vendor(vendor_id).sku_map,
        )
        if found is None or (has_map and found.sku_map not in found.artifacts.links):
            return None
        return found.uploaded_at

    def read(self, vendor_id: str) -> VendorFeed | None:
        """Return the vendor's last good feed."""
        found, vendor = self._last_good(vendor_id), self.config.vendor(vendor_id)
        if found is None:
            return None
        file = found.artifacts.file(found.feed)
        sku_map = found.artifacts.file(found.sku_map).data if vendor.sku_map else None
        return VendorFeed(vendor, file.data, found.feed, sku_map)

    def _last_good(self, vendor_id: str) -> _LastGoodFile | None:
        """Return what the source run used of a vendor, or else what the run has kept of it."""
        source, feed = self._source_run, f"inbound_{vendor_id}"
        entry = None if source is None else source.manifest.vendors.get(vendor_id)
        if source is None or entry is None or not VendorStatus(entry.status).is_used:
            return _kept(self.artifacts, vendor_id)
        found = None
        if entry.last_good_run_id is not None:
            found = _kept(source, vendor_id)
        elif feed in source.links and entry.last_modified is not None:
            found = _LastGoodFile(
                source, feed, f"sku_map_{vendor_id}", entry.last_modified
            )
        return found or _kept(self.artifacts, vendor_id)

    def found(self) -> dict[str, VendorInput]:
        """Return what was found of each vendor that has a feed."""
        found = {}
        for vendor in self.config.vendors:
            name, map_size = vendor.vendor_id, None
            entry = self.artifacts.manifest.vendors.get(name)
            if entry is None or entry.s3_key is None:
                continue
            if vendor.sku_map is not None and f"sku_map_{name}" in self.artifacts.links:
                map_size = len(self.artifacts.file(f"sku_map_{name}").data)
            found[name] = VendorInput(entry.size or 0, entry.last_modified, map_size)
        return found

    def feeds(
        self, vendor_ids: Sequence[str], findings: RunFindings
    ) -> Iterator[VendorFeed]:
        """Yield the feeds that are read, in order."""
        for name in vendor_ids:
            if findings.states[name].last_good_run_id is None:
                vendor, entry = (
                    self.config.vendor(name),
                    self.artifacts.manifest.vendors[name],
                )
                file = self.artifacts.file(f"inbound_{name}", entry.sha256)
                has_map = vendor.sku_map is not None
                sku_map = (
                    self.artifacts.file(f"sku_map_{name}").data if has_map else None
                )
                upload = PurePosixPath(str(entry.s3_key)).name
                yield VendorFeed(vendor, file.data, upload, sku_map)
            elif (last_good := self.read(name)) is not None:
                yield last_good


def _kept(artifacts: RunArtifacts, vendor_id: str) -> _LastGoodFile | None:
    """Return the last good feed that a run has kept."""
    feed, entry = f"last_good_{vendor_id}", artifacts.manifest.vendors.get(vendor_id)
    if entry is None or feed not in artifacts.links:
        return None
    uploaded_at = artifacts.run.requested_at - timedelta(hours=entry.age_hours or 0)
    return _LastGoodFile(artifacts, feed, f"last_good_sku_map_{vendor_id}", uploaded_at)


def replay(
    inputs: ReplayInputs, sink: Sink
) -> tuple[RunStages, MergedInventory | None]:
    """Take a run's inputs through the engine's stages; return those, and None where it has failed.

    `ConfigError`: the config lacks a vendor that the run was asked for. `ClientError`: an input
    cannot be had.
    """
    tune_process()
    artifacts, config = inputs.artifacts, inputs.config
    vendors = config.selecting(artifacts.run.vendors)
    ids = [each.vendor_id for each in vendors]
    findings = RunFindings(ids, len(config.vendors), limits=artifacts.limits)
    stages = RunStages(
        config,
        vendors,
        artifacts.run.requested_at,
        KEYS,
        sink,
        findings,
        baseline=artifacts.baseline,
        last_good=inputs,
        overrides=artifacts.overrides,
        # That of another config differs from all that are stored.
        config_version=artifacts.run.config_version
        if config == artifacts.config
        else 0,
    )
    merged = stages.go_through(inputs.found(), lambda ids: inputs.feeds(ids, findings))
    return stages, merged
