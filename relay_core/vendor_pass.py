"""The vendors of a run through their steps: reading, sorting, patches, files, offers.

`VendorPass` takes all feeds through these steps, one feed after the other. The files
go to the run's `Sink`.
"""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from relay_core.config import TenantConfig
from relay_core.domain.codes import VendorStatus
from relay_core.domain.limits import ReportRoom
from relay_core.merge.vendor_offers import joins_duplicates
from relay_core.normalize import work_file
from relay_core.normalize.catalog_file import read_catalog
from relay_core.normalize.fallback import FallbackPolicy
from relay_core.normalize.result import NormalizedCatalog, NormalizedVendor
from relay_core.normalize.vendor import SortedVendor, VendorRows, sorted_rows
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.keys import ArtifactKeys
from relay_core.validation.row_schemas import OFFER_SCHEMA

_MAX_BYTES_BESIDE = 64 << 20
"""The size up to which a feed is read beside the previous vendors' last steps.

A larger feed is read when the previous vendor is finished, and memory that reading has
left is released: two such vendors would be most of the memory of a run.
"""
_MAX_UNFINISHED = 2
"""The number of vendors that may be unfinished while a feed is read.

While the first rejected row waits until its contracts are loaded, the next feeds are
read.
"""
_MAX_ROWS_BEGUN = 1 << 20
"""The number of rows whose files may be in progress; they stay in memory until then."""


class Sink(Protocol):
    """The destination of a run's files: a folder, a bucket."""

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Begin to write a file."""

    def wait(self) -> None:
        """Return when all files that were begun are written."""


class NullSink:
    """A `Sink` that writes nothing, for runs whose findings are enough."""

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Write nothing."""

    def wait(self) -> None:
        """Wait for nothing."""


@dataclass(slots=True)
class VendorPass:
    """The way of the vendors through their steps, in order.

    A feed is read on this thread. `finish`, which needs all rows of a vendor, runs on a
    thread beside the reading of the next feeds.
    """

    config: TenantConfig
    keys: ArtifactKeys  # the keys of the run's files
    sink: Sink  # the destination of the run's files
    fallback: FallbackPolicy  # chooses the rows that are used of each vendor
    room: ReportRoom  # the room for entries of the rejected rows of all vendors
    # Whether work files are written, for another process that continues with them.
    hands_over: bool = False
    _rows_begun: int = 0

    def read_catalog(self, feed: VendorFeed) -> NormalizedCatalog:
        """Read the catalog; the rows of vendors read after that are matched with it."""
        catalog, ordered = read_catalog(self.fallback.reader, feed)
        self.fallback.reader.catalog = catalog.products
        if self.hands_over:
            self._write_work_file(ordered, catalog.rows)
        return catalog

    def normalize(self, feeds: Iterable[VendorFeed]) -> list[NormalizedVendor]:
        """Take the feeds through the steps; the next feed is requested when it is read.

        Raises:
            ContractBrokenError: The columns of rows are not those of the contract.
        """
        reader = self.fallback.reader
        finished: list[Future[NormalizedVendor]] = []
        has_large = False
        with ThreadPoolExecutor(1) as thread:
            for feed in feeds:
                is_large = feed.size > _MAX_BYTES_BESIDE
                has_large |= is_large
                max_unfinished = 1 if has_large else _MAX_UNFINISHED
                max_bytes = (max_unfinished + 1) * reader.limits.feed_bytes
                is_tight = reader.bytes_left < max_bytes
                if finished and (is_large or is_tight):
                    # Last good feeds of the previous vendors take their bytes first.
                    finished[-1].result()
                if finished and is_large:
                    pa.default_memory_pool().release_unused()
                rows = reader.read(feed)
                if len(finished) >= max_unfinished:
                    finished[-max_unfinished].result()
                finished.append(
                    thread.submit(self.finish, rows, is_large=is_large),
                )
                del rows
        vendors = [vendor.result() for vendor in finished]
        if has_large:
            # The merge takes blocks of other sizes than reading has left.
            pa.default_memory_pool().release_unused()
        return vendors

    def finish(
        self,
        rows: VendorRows | NormalizedVendor,
        *,
        is_large: bool,
    ) -> NormalizedVendor:
        """Sort a vendor's rows, choose those to use, write files, and make offers."""
        if is_large:
            pa.default_memory_pool().release_unused()
        ordered = sorted_rows(rows, self.room)
        if ordered.vendor.causes:
            # The search for patches loads more code than a small run needs.
            from relay_core.onboarding.patches import with_patches

            ordered.vendor = with_patches(self.config, ordered.vendor)
        ordered = self.fallback.used_rows(ordered)
        if ordered.vendor.status is VendorStatus.LEFT_OUT:
            ordered.vendor = self._with_duplicates(ordered)
        if ordered.vendor.status.is_used:
            self._write_lines(ordered)
        elif not self.hands_over:
            return ordered.vendor
        vendor = ordered.with_offers()
        if self.hands_over:
            self._write_work_file(ordered, vendor)
        return vendor if vendor.status.is_used else vendor.without_offers()

    def _write_work_file(
        self,
        ordered: SortedVendor,
        vendor: NormalizedVendor,
    ) -> None:
        key = self.keys.work(vendor.vendor_id, work_file.WORK_FILE)
        chunks = work_file.work_file_chunks(ordered, vendor, self.config)
        self.sink.write(key, chunks)

    def _with_duplicates(self, ordered: SortedVendor) -> NormalizedVendor:
        """Return a left-out vendor with its duplicates, which no merge counts."""
        vendor = ordered.vendor
        if not joins_duplicates(self.config.vendor(vendor.vendor_id)):
            return vendor
        sku = OFFER_SCHEMA.field("sku")
        (skus,) = ordered.kept.cells([sku], ordered.kept.rows[:])
        distinct_count = pc.count_distinct(skus).as_py()
        return replace(vendor, duplicates=len(skus) - distinct_count)

    def _write_lines(self, ordered: SortedVendor) -> None:
        """Write normalized.csv.

        The lines in memory that wait to be written are bounded.
        """
        row_count = ordered.vendor.total_rows
        self._rows_begun += row_count
        if self._rows_begun > _MAX_ROWS_BEGUN:
            self.sink.wait()
            self._rows_begun = row_count
        lines = ordered.consume_lines(self.config.extra_columns)
        self.sink.write(self.keys.normalized(ordered.vendor.vendor_id), lines)
