"""The catalog's file to the products that vendors' rows are matched with."""

from dataclasses import replace

import pyarrow as pa

from relay_core.domain.limits import ReportRoom
from relay_core.normalize.result import NormalizedCatalog, catalog_columns
from relay_core.normalize.vendor import SortedVendor, sorted_rows
from relay_core.normalize.vendor_feed import FeedReader, VendorFeed
from relay_core.validation.row_schemas import offer_fields


def read_catalog(
    reader: FeedReader,
    feed: VendorFeed,
) -> tuple[NormalizedCatalog, SortedVendor]:
    """Read the catalog's file; return the catalog, and its rows for a work file."""
    limits = reader.limits
    room = ReportRoom(limits.report_entries, limits.report_bytes)
    ordered = sorted_rows(reader.read(feed), room)
    fields = list(offer_fields(catalog_columns(reader.config)))
    cells = ordered.kept.cells(fields, ordered.kept.rows)
    offers = pa.table(cells, schema=pa.schema(fields))
    rows = replace(ordered.vendor, offers=offers)
    return NormalizedCatalog.of(reader.config, rows), ordered
