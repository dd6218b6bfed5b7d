"""The last good feeds of a run that is replayed: its baseline's inputs, or those that it kept."""

from datetime import datetime, timedelta
from typing import NamedTuple

from relay_core.config import TenantConfig
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.validation.trouble import USED
from relay_dagster.client.replay.trail import Trail


class _Lent(NamedTuple):
    """Which files of whose run a last good feed is, and when it was uploaded."""

    trail: Trail
    feed: str
    sku_map: str
    uploaded_at: datetime


class LastGood:
    """What may stand in for vendors in trouble; the engine's ``LastGoodFeeds``.

    What a run kept, it has judged young enough; of its age whole hours are known.

    Args:
        trail: what the run has left.
        config: what the feeds are read with.
        lender: what its baseline's run has left, where feeds may be used that the run did not.
    """

    def __init__(self, trail: Trail, config: TenantConfig, lender: Trail | None = None) -> None:
        self.run_id = trail.run.baseline_run_id
        self._trail = trail
        self._config = config
        self._lender = lender

    def uploaded_at(self, vendor_id: str) -> datetime | None:
        """Return when the vendor's last good feed was uploaded; None where there is none."""
        lent = self._lent(vendor_id)
        if lent is None or (self._needs_map(vendor_id) and lent.sku_map not in lent.trail.links):
            return None
        return lent.uploaded_at

    def read(self, vendor_id: str) -> VendorFeed | None:
        """Return the vendor's last good feed."""
        lent = self._lent(vendor_id)
        if lent is None:
            return None
        file = lent.trail.file(lent.feed)
        sku_map = lent.trail.file(lent.sku_map).data if self._needs_map(vendor_id) else None
        return VendorFeed(
            self._config.vendor(vendor_id), file.data, lent.feed, sku_map, file.release
        )

    def _needs_map(self, vendor_id: str) -> bool:
        return self._config.vendor(vendor_id).sku_map is not None

    def _lent(self, vendor_id: str) -> _Lent | None:
        lent = None if self._lender is None else _used(self._lender, vendor_id)
        return lent or _kept(self._trail, vendor_id)


def _used(trail: Trail, vendor_id: str) -> _Lent | None:
    """Return what a run used of a vendor: its upload, or the last good feed that it has kept."""
    entry = trail.inputs.get(vendor_id)
    if entry is None or entry.status not in USED:
        return None
    if entry.last_good_run_id is not None:
        return _kept(trail, vendor_id)
    feed, uploaded_at = f"inbound_{vendor_id}", entry.uploaded_at
    if feed not in trail.links or uploaded_at is None:
        return None
    return _Lent(trail, feed, f"sku_map_{vendor_id}", uploaded_at)


def _kept(trail: Trail, vendor_id: str) -> _Lent | None:
    """Return the last good feed that a run has kept."""
    feed, entry = f"last_good_{vendor_id}", trail.inputs.get(vendor_id)
    if entry is None or feed not in trail.links:
        return None
    uploaded_at = trail.requested_at - timedelta(hours=entry.age_hours or 0)
    return _Lent(trail, feed, f"last_good_sku_map_{vendor_id}", uploaded_at)
