"""Vendors' feeds through the engine's way for vendors, with all that it leaves."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import datetime

import pyarrow as pa

from relay_core.config import TenantConfig, VendorConfig
from relay_core.domain.limits import DEFAULT_LIMITS, Limits, ReportRoom
from relay_core.domain.records import ReportEntry
from relay_core.merge.best_offer import columns_to_merge
from relay_core.normalize.fallback import FallbackPolicy
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.vendor_feed import FeedReader, VendorFeed
from relay_core.publish.keys import ArtifactKeys
from relay_core.run_stages import columns_to_read
from relay_core.validation.row_schemas import OFFER_SCHEMA
from relay_core.vendor_pass import VendorPass
from support.builders import REQUESTED_AT
from support.memory_sink import MemorySink

KEYS = ArtifactKeys("", "")


class Written(MemorySink):
    """What vendors left, by vendor: normalized.csv and work file, whole."""

    @property
    def csv(self) -> dict[str, bytes]:
        return self._of("normalized/")

    @property
    def work_files(self) -> dict[str, bytes]:
        return self._of("work/")

    def _of(self, folder: str) -> dict[str, bytes]:
        return {
            key.split("/")[1]: data
            for key, data in self.files.items()
            if key.startswith(folder)
        }


def entries_of(vendor: NormalizedVendor) -> list[ReportEntry]:
    return [ReportEntry(**json.loads(line)) for line in vendor.entries]


def offers_of(vendor: NormalizedVendor) -> pa.Table:
    """Return the valid rows of a vendor, with all columns."""
    return vendor.offers.table(OFFER_SCHEMA.names).combine_chunks()


def whole(chunks: Iterable[bytes | memoryview]) -> bytes:
    return b"".join(map(bytes, chunks))


def normalize_vendors(
    config: TenantConfig,
    feeds: Iterable[VendorFeed],
    *,
    requested_at: datetime = REQUESTED_AT,
    sink: MemorySink | None = None,
    hands_over: bool = False,
    columns: Collection[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> list[NormalizedVendor]:
    """Take feeds through the steps of vendors; nothing stands in for one that cannot be used."""
    merged_columns = columns_to_merge(config) if columns is None else columns
    columns = columns_to_read(config, merged_columns, hands_over=hands_over)
    reader = FeedReader(config, requested_at, columns, limits, limits.run_bytes)
    to = MemorySink() if sink is None else sink
    room = ReportRoom(limits.report_entries, limits.report_bytes)
    fallback = FallbackPolicy(config, requested_at, reader, None, None, {})
    vendor_pass = VendorPass(
        config,
        KEYS,
        to,
        fallback,
        room,
        hands_over=hands_over,
    )
    return vendor_pass.normalize(feeds)


def normalize_vendor(
    config: TenantConfig,
    vendor: VendorConfig,
    feed: bytes,
    *,
    file_name: str = "feed.csv",
    requested_at: datetime = REQUESTED_AT,
    sku_map: bytes | None = None,
) -> NormalizedVendor:
    """Return one vendor with all columns of its offers."""
    feeds = [VendorFeed.of_one(vendor, feed, file_name, sku_map)]
    (normalized,) = normalize_vendors(
        config, feeds, requested_at=requested_at, columns=OFFER_SCHEMA.names
    )
    return normalized
