"""The result of normalizing one vendor: its offers, its rejected rows and its faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import pandas as pd
import pyarrow as pa

from relay_core.domain.codes import VendorStatus
from relay_core.domain.records import Cause, ReportEntry
from relay_core.normalize.vendor_columns import VendorColumns
from relay_core.validation.contracts import OFFER_SCHEMA, REJECTED_ROWS
from relay_core.validation.frames import frame_of


@cache
def no_offers() -> pd.DataFrame:
    """Return a frame of offers without any."""
    return frame_of(OFFER_SCHEMA.empty_table())


@dataclass(frozen=True, slots=True, eq=False)
class NormalizedVendor:
    """One vendor's feed after normalizing.

    Attributes:
        vendor_id: the vendor.
        status: ``FOUND`` where its upload was read; ``LAST_GOOD`` where that feed stands in for it;
            ``LEFT_OUT`` where the run goes on without the vendor; ``FAILED`` where the feed cannot
            be used.
        fault: why it failed.
        warnings: those of this vendor.
        is_read: whether all records of its feed were read.
        skipped: how many of them `parser.skip_rows` names; they are no rows.
        total_rows: how many rows its feed has.
        invalid_rows: how many of them are refused.
        duplicates: in place of how many another row stands for their SKU, where nothing is merged.
        last_sku: that of its last record that fits the header; None without one.
        fault_counts: how many faults of each code its rows have.
        causes: what of them is refused alike.
        held: some numbers that hold, as they are written, by column; where there are causes.
        entries: the first entries of its rows for ``errors.json``, each as JSON.
        offers: the valid rows, or some columns of them (``Offer``), sorted by SKU, then row order.
        deferred: other columns of its rows, where they were just read.
        rejected_rows: every rejected record (``REJECTED_ROWS``).
    """

    vendor_id: str
    status: VendorStatus
    fault: ReportEntry | None = None
    warnings: tuple[ReportEntry, ...] = ()
    is_read: bool = False
    skipped: int = 0
    total_rows: int = 0
    invalid_rows: int = 0
    duplicates: int = 0
    last_sku: str | None = None
    fault_counts: Mapping[str, int] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()
    held: Mapping[str, Sequence[str]] = field(default_factory=dict)
    entries: tuple[str, ...] = ()
    offers: pd.DataFrame = field(default_factory=no_offers)
    deferred: VendorColumns | None = None
    rejected_rows: pa.Table = field(default_factory=REJECTED_ROWS.empty_table)

    @property
    def valid_rows(self) -> int:
        """How many rows hold."""
        return self.total_rows - self.invalid_rows

    @property
    def is_used(self) -> bool:
        """Whether its rows are offered."""
        return self.status.is_used
