"""The replay of a run: the engine over the run's inputs, with the run's config or another.

The last good feeds of a replayed run are the inputs of its baseline, or those that the
run kept.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import NamedTuple

from relay_core.columnar.threads import tune_process
from relay_core.config import TenantConfig, VendorConfig
from relay_core.domain.codes import CATALOG, VendorStatus
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.keys import ArtifactKeys
from relay_core.run import RunStages, RunValues
from relay_core.validation.vendor_failures import InputVerdict, VendorInput
from relay_core.vendor_pass import Sink
from relay_dagster.replay.run_artifacts import RunArtifacts

KEYS = ArtifactKeys("", "")
"""The keys of the files that a replay makes: paths without a prefix."""


class _LastGoodFile(NamedTuple):
    """A last good feed.

    Attributes:
        artifacts: The artifacts of the run that has the feed's files.
        feed: The artifact's name of the feed.
        sku_map: The artifact's name of the SKU map.
        uploaded_at: The instant of the feed's upload.
    """

    artifacts: RunArtifacts
    feed: str
    sku_map: str
    uploaded_at: datetime

    def sku_map_data(self, vendor: VendorConfig) -> bytes | memoryview | None:
        """Return the vendor's SKU map, or None if the vendor's config has none."""
        if vendor.sku_map is None:
            return None
        return self.artifacts.file(self.sku_map).data


class ReplayInputs:
    """The inputs of a run as the engine takes them, and its last good feeds.

    Attributes:
        run_id: The run whose feed the replayed run was compared with.
        artifacts: The artifacts of the replayed run.
        config: The config of the replay.
    """

    def __init__(
        self,
        artifacts: RunArtifacts,
        config: TenantConfig,
        source_run: RunArtifacts | None = None,
    ) -> None:
        """Keep what a replay needs.

        Args:
            artifacts: The artifacts of the run to replay.
            config: The config of the replay.
            source_run: The artifacts of the baseline's run. With them, a replay may use
                last good feeds that the run did not use.
        """
        self.run_id = artifacts.run.baseline_run_id
        self.artifacts = artifacts
        self.config = config
        self._source_run = source_run

    def uploaded_at(self, vendor_id: str) -> datetime | None:
        """Return the instant at which the last good feed was uploaded, or None."""
        last_good = self._last_good(vendor_id)
        if last_good is None:
            return None
        needs_map = self.config.vendor(vendor_id).sku_map is not None
        if needs_map and last_good.sku_map not in last_good.artifacts.links:
            return None
        return last_good.uploaded_at

    def read(self, vendor_id: str) -> VendorFeed | None:
        """Return the vendor's last good feed, or None."""
        last_good = self._last_good(vendor_id)
        if last_good is None:
            return None
        vendor = self.config.vendor(vendor_id)
        file = last_good.artifacts.file(last_good.feed)
        sku_map = last_good.sku_map_data(vendor)
        return VendorFeed.of_one(vendor, file.data, last_good.feed, sku_map)

    def found(self) -> dict[str, VendorInput]:
        """Return the inputs of the vendors that have a feed, by vendor."""
        inputs = {}
        for vendor in self._inputs():
            entry = self.artifacts.manifest().inputs.get(vendor.vendor_id)
            if entry is None or entry.s3_key is None:
                continue
            map_size = None
            map_name = f"sku_map_{vendor.vendor_id}"
            if vendor.sku_map is not None and map_name in self.artifacts.links:
                map_size = len(self.artifacts.file(map_name).data)
            inputs[vendor.vendor_id] = VendorInput.of_one(
                entry.size or 0,
                entry.last_modified,
                map_size,
            )
        return inputs

    def _inputs(self) -> list[VendorConfig]:
        """Return the vendors, and the catalog as a vendor."""
        catalog = self.config.catalog_input
        return [*self.config.vendors, *filter(None, [catalog])]

    def feeds(self, inputs: InputVerdict) -> Iterator[VendorFeed]:
        """Yield the feeds of the vendors to read, in order.

        Args:
            inputs: The verdict on the inputs, which says who uses a last good feed.
        """
        for vendor_id in inputs.to_read():
            state = inputs.states.get(vendor_id)
            if state is None or state.last_good_run_id is None:
                yield self._own_feed(vendor_id)
            else:
                last_good_feed = self.read(vendor_id)
                if last_good_feed is not None:
                    yield last_good_feed

    def _own_feed(self, vendor_id: str) -> VendorFeed:
        """Return the feed that the run itself found."""
        vendor = self.config.vendor(vendor_id)
        manifest = self.artifacts.manifest()
        entry = manifest.inputs[vendor_id]
        is_catalog = manifest.catalog is not None and vendor_id == CATALOG
        name = KEYS.upload_name(vendor_id, is_catalog=is_catalog)
        file = self.artifacts.file(name, entry.sha256)
        sku_map = None
        if vendor.sku_map is not None:
            sku_map = self.artifacts.file(f"sku_map_{vendor_id}").data
        upload_name = PurePosixPath(str(entry.s3_key)).name
        return VendorFeed.of_one(vendor, file.data, upload_name, sku_map)

    def _last_good(self, vendor_id: str) -> _LastGoodFile | None:
        """Return the feed that the source run used, or else the feed that the run kept."""
        used_feed = self._used_by_source_run(vendor_id)
        return used_feed or _kept_feed(self.artifacts, vendor_id)

    def _used_by_source_run(self, vendor_id: str) -> _LastGoodFile | None:
        source = self._source_run
        if source is None:
            return None
        entry = source.manifest().vendors.get(vendor_id)
        if entry is None or not VendorStatus(entry.status).is_used:
            return None
        if entry.last_good_run_id is not None:
            return _kept_feed(source, vendor_id)
        feed = f"inbound_{vendor_id}"
        if feed not in source.links or entry.last_modified is None:
            return None
        return _LastGoodFile(
            source,
            feed,
            f"sku_map_{vendor_id}",
            entry.last_modified,
        )


def replay(inputs: ReplayInputs, sink: Sink) -> tuple[RunStages, RunValues]:
    """Run the engine over a run's inputs.

    Returns:
        The engine's stages, and the values that they returned.

    Raises:
        ConfigError: The config lacks a vendor that the run was requested for.
        ClientError: An input cannot be had.
    """
    tune_process()
    artifacts = inputs.artifacts
    config = inputs.config
    run = artifacts.run
    vendors = config.selecting(run.vendors)
    # Another config differs from all that are stored, so it has no version.
    is_own_config = config == artifacts.config()
    stages = RunStages(
        config,
        vendors,
        run.requested_at,
        KEYS,
        sink,
        limits=artifacts.limits(),
        baseline=artifacts.baseline(),
        last_good=inputs,
        overrides=artifacts.overrides(),
        config_version=run.config_version if is_own_config else 0,
    )
    return stages, stages.go_through(inputs.found(), inputs.feeds)


def _kept_feed(artifacts: RunArtifacts, vendor_id: str) -> _LastGoodFile | None:
    """Return the last good feed that a run kept.

    The run has judged its age already; only the age in whole hours is known.
    """
    feed = f"last_good_{vendor_id}"
    entry = artifacts.manifest().vendors.get(vendor_id)
    if entry is None or feed not in artifacts.links:
        return None
    age = timedelta(hours=entry.age_hours or 0)
    uploaded_at = artifacts.run.requested_at - age
    return _LastGoodFile(
        artifacts,
        feed,
        f"last_good_sku_map_{vendor_id}",
        uploaded_at,
    )
