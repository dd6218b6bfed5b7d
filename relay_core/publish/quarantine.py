"""The quarantine: SKUs whose new price cannot be right, which keep the published one.

`suspects` finds these SKUs; here are their rows of the feed and their reports.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays, csv_text
from relay_core.columnar.sorted_file import sorted_file_chunks
from relay_core.columnar.text import integers_of, one_chunk
from relay_core.config import TenantConfig
from relay_core.merge import best_offer
from relay_core.merge.vendor_offers import VENDOR_RANK
from relay_core.normalize.result import NormalizedVendor
from relay_core.publish import stored_rows
from relay_core.publish.state import SUSPECT_SINCE
from relay_core.publish.suspects import Suspects
from relay_core.validation.comparison import SUSPECT_PRICE
from relay_core.validation.row_schemas import CENTS, INSTANT

QUARANTINE_COLUMNS = (
    "sku",
    "action",
    "price_published",
    "price_computed",
    "vendor_id",
    "row_number",
    "suspect_since",
)
_NO_VENDOR = -1


@dataclass(frozen=True, slots=True, eq=False)
class Quarantine:
    """The SKUs that keep their published price; arrays have one value a SKU."""

    action: str  # ``keep`` or ``zero``
    skus: pa.StringArray  # the SKUs, in order
    published: arrays.Cents  # the price in the feed
    computed: arrays.Cents  # the price that the run computed
    vendor_ids: Sequence[str]  # the vendor whose offer has the computed price
    row_numbers: arrays.RecordNumbers  # the record of that offer
    # The time from which the computed price is suspect
    since: arrays.Microseconds
    rows: pa.Table  # the SKUs' rows of the feed, with all columns

    def __len__(self) -> int:
        """Return the number of SKUs."""
        return len(self.skus)

    def first(self, limit: int) -> list[dict[str, str]]:
        """Return the first SKUs, each as its row of quarantine.csv."""
        columns = [texts.slice(0, limit).to_pylist() for texts in self._texts()]
        return [
            dict(zip(QUARANTINE_COLUMNS, row, strict=True))
            for row in zip(*columns, strict=True)
        ]

    def csv_chunks(
        self,
        *,
        escape_formulas: bool = False,
    ) -> Iterator[bytes | memoryview]:
        """Yield quarantine.csv piece by piece.

        With ``escape_formulas``, no spreadsheet takes a SKU for a formula.
        """
        yield csv_text.header_line(QUARANTINE_COLUMNS)
        skus, *other_columns = self._texts()
        if escape_formulas:
            skus = csv_text.without_formulas(skus)
        yield csv_text.lines([csv_text.quoted(skus), *other_columns])

    def work_file_chunks(self, config: TenantConfig) -> Iterator[memoryview]:
        """Yield the work file that explanations read: the rows, sorted by SKU."""
        prices = pa.array(self.computed).view(CENTS)
        instants = pa.array(self.since).view(INSTANT)
        rows = self.rows.append_column(SUSPECT_PRICE, prices)
        rows = rows.append_column(SUSPECT_SINCE, instants)
        return sorted_file_chunks(quarantined_schema(config), "sku", [rows])

    def _texts(self) -> list[pa.StringArray]:
        """Return the columns of quarantine.csv before quoting."""
        return [
            self.skus,
            pa.repeat(pa.scalar(self.action), len(self)),
            csv_text.cents_text(self.published),
            csv_text.cents_text(self.computed),
            pa.array(self.vendor_ids, pa.string()),
            csv_text.whole_text(self.row_numbers),
            csv_text.instant_text(self.since),
        ]


def quarantined_schema(config: TenantConfig) -> pa.Schema:
    """Return the columns of a quarantined row in its work file."""
    return pa.schema(
        [
            *stored_rows.kept_schema(config),
            pa.field(SUSPECT_PRICE, CENTS),
            pa.field(SUSPECT_SINCE, INSTANT),
        ],
    )


def quarantine_of(
    merge: best_offer.Merge,
    suspects: Suspects,
    vendors: Sequence[NormalizedVendor],
) -> Quarantine:
    """Return the quarantine of suspects, whose offers are those of ``vendors``."""
    skus = one_chunk(suspects.offered["sku"])
    vendor_ids = [vendor.vendor_id for vendor in merge.config.vendors]
    offers = best_offer.competing_offers(merge, vendors, skus)
    winners = _best_offers(merge, offers)
    row_numbers, _ = integers_of(winners["row_number"])
    quantities = np.zeros(len(skus), np.int32)
    if suspects.options.action == "keep":
        quantities = _offered_quantities(merge, suspects, offers, vendor_ids)
    rows = stored_rows.kept_rows(merge.config, suspects.stored, quantities)
    published, _ = integers_of(rows["price"])
    return Quarantine(
        action=suspects.options.action,
        skus=skus,
        published=published,
        computed=suspects.computed,
        vendor_ids=[
            vendor_ids[rank] for rank in winners[VENDOR_RANK].to_pylist()
        ],
        row_numbers=row_numbers,
        since=suspects.since(),
        rows=rows,
    )


def _best_offers(merge: best_offer.Merge, offers: pa.Table) -> pa.Table:
    """Return the best of the competing offers, one a SKU, in order."""
    competition = merge.competition(offers)
    return offers.take(pa.array(competition.winners))


def _offered_quantities(
    merge: best_offer.Merge,
    suspects: Suspects,
    offers: pa.Table,
    vendor_ids: Sequence[str],
) -> stored_rows.Quantities:
    """Return the quantities that the published vendors offer now, one a SKU."""
    skus = one_chunk(suspects.offered["sku"])
    quantities = np.zeros(len(skus), np.int32)
    published_ranks = pc.index_in(
        one_chunk(suspects.stored["vendor_id"]),
        value_set=pa.array(vendor_ids),
    )
    published_ranks = published_ranks.fill_null(_NO_VENDOR).to_numpy()
    sku_indices = pc.index_in(
        one_chunk(offers["sku"]),
        value_set=skus,
    ).to_numpy()
    offer_ranks, _ = integers_of(offers[VENDOR_RANK])
    is_published_vendor = offer_ranks == published_ranks[sku_indices]
    vendor_offers = offers.filter(pa.array(is_published_vendor))
    if len(vendor_offers):
        best = _best_offers(merge, vendor_offers)
        best_skus = one_chunk(best["sku"])
        best_indices = pc.index_in(best_skus, value_set=skus).to_numpy()
        quantities[best_indices] = integers_of(best["quantity_available"])[0]
    return quantities
