"""The catalog's file to the products that vendors' rows are matched with."""

from relay_core.domain.limits import ReportRoom
from relay_core.normalize.result import NormalizedCatalog
from relay_core.normalize.vendor import SortedVendor, sorted_rows
from relay_core.normalize.vendor_feed import FeedReader, VendorFeed


def read_catalog(
    reader: FeedReader,
    feed: VendorFeed,
) -> tuple[NormalizedCatalog, SortedVendor]:
    """Read the catalog's file; return the catalog, and its rows for a work file."""
    limits = reader.limits
    room = ReportRoom(limits.report_entries, limits.report_bytes)
    ordered = sorted_rows(reader.read(feed), room)
    return NormalizedCatalog.of(reader.config, ordered.with_offers()), ordered
