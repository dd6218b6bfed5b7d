"""The last good feeds of a run that is replayed: its baseline's inputs, or those that it kept."""

from datetime import datetime, timedelta
from typing import NamedTuple

from relay_core.config import TenantConfig
from relay_core.domain.codes import VendorStatus
from relay_core.normalize.vendor_feed import VendorFeed
from relay_dagster.replay.run_artifacts import RunArtifacts


class _LastGoodFile(NamedTuple):
    """Which files of whose run a last good feed is, and when it was uploaded."""

    artifacts: RunArtifacts
    feed: str
    sku_map: str
    uploaded_at: datetime


class LastGood:
    """The last good feeds of vendors that fail; the engine's ``LastGoodFeeds``.

    What a run kept, it has judged young enough; of its age whole hours are known. With a source
    run, feeds may be used that the run did not use.
    """

    def __init__(
        self, artifacts: RunArtifacts, config: TenantConfig, source_run: RunArtifacts | None = None
    ) -> None:
        self.run_id = artifacts.run.baseline_run_id
        self._artifacts = artifacts
        self._config = config
        self._source_run = source_run

    def uploaded_at(self, vendor_id: str) -> datetime | None:
        """Return when the vendor's last good feed was uploaded; None where there is none."""
        found = self._found(vendor_id)
        if found is None or (
            self._needs_map(vendor_id) and found.sku_map not in found.artifacts.links
        ):
            return None
        return found.uploaded_at

    def read(self, vendor_id: str) -> VendorFeed | None:
        """Return the vendor's last good feed."""
        found = self._found(vendor_id)
        if found is None:
            return None
        file = found.artifacts.file(found.feed)
        sku_map = found.artifacts.file(found.sku_map).data if self._needs_map(vendor_id) else None
        return VendorFeed(
            self._config.vendor(vendor_id), file.data, found.feed, sku_map, file.release
        )

    def _needs_map(self, vendor_id: str) -> bool:
        return self._config.vendor(vendor_id).sku_map is not None

    def _found(self, vendor_id: str) -> _LastGoodFile | None:
        found = None if self._source_run is None else _used(self._source_run, vendor_id)
        return found or _kept(self._artifacts, vendor_id)


def _used(artifacts: RunArtifacts, vendor_id: str) -> _LastGoodFile | None:
    """Return what a run used of a vendor: its upload, or the last good feed that it has kept."""
    entry = artifacts.inputs.get(vendor_id)
    if entry is None or not VendorStatus(entry.status).is_used:
        return None
    if entry.last_good_run_id is not None:
        return _kept(artifacts, vendor_id)
    feed, uploaded_at = f"inbound_{vendor_id}", entry.uploaded_at
    if feed not in artifacts.links or uploaded_at is None:
        return None
    return _LastGoodFile(artifacts, feed, f"sku_map_{vendor_id}", uploaded_at)


def _kept(artifacts: RunArtifacts, vendor_id: str) -> _LastGoodFile | None:
    """Return the last good feed that a run has kept."""
    feed, entry = f"last_good_{vendor_id}", artifacts.inputs.get(vendor_id)
    if entry is None or feed not in artifacts.links:
        return None
    uploaded_at = artifacts.requested_at - timedelta(hours=entry.age_hours or 0)
    return _LastGoodFile(artifacts, feed, f"last_good_sku_map_{vendor_id}", uploaded_at)
