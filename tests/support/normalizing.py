"""One vendor's feed through the engine's way for vendors, with all that it leaves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from relay_core.config import TenantConfig, VendorConfig
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.pipeline import normalize_vendors
from relay_core.validation.contracts import OFFER_SCHEMA
from support.builders import REQUESTED_AT


@dataclass
class Written:
    """What vendors left, by vendor: normalized.csv and work file, whole."""

    csv: dict[str, bytes] = field(default_factory=dict)
    work_files: dict[str, bytes] = field(default_factory=dict)
    lines: dict[str, NormalizedVendor] = field(default_factory=dict)

    def write(self, vendor: NormalizedVendor) -> None:
        """Take a vendor's lines."""
        self.lines[vendor.vendor_id] = vendor
        if vendor.outcome == "parsed":
            self.csv[vendor.vendor_id] = whole(vendor.csv_chunks())

    def hand_over(self, vendor_id: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Take a vendor's work file."""
        self.work_files[vendor_id] = whole(chunks)


def whole(chunks: Iterable[bytes | memoryview]) -> bytes:
    return b"".join(map(bytes, chunks))


def normalize_vendor(
    config: TenantConfig,
    vendor: VendorConfig,
    feed: bytes,
    *,
    file_name: str = "feed.csv",
    requested_at: datetime = REQUESTED_AT,
    sku_map: bytes | None = None,
) -> NormalizedVendor:
    """Return one vendor with all columns of its offers, and its lines."""
    written = Written()
    (read,) = normalize_vendors(
        config,
        [VendorFeed(vendor, feed, file_name, sku_map)],
        requested_at=requested_at,
        write=written.write,
        columns=OFFER_SCHEMA.names,
    )
    return replace(read, lines=written.lines[vendor.vendor_id].lines)
