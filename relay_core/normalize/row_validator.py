"""The check of a vendor's rows against the contract of offers, beside the reading."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from relay_core.columnar.arrays import RowMask
from relay_core.columnar.growing_columns import GrowingArray
from relay_core.columnar.text import with_nulls
from relay_core.domain.columns import source_column
from relay_core.ingest.feed import MalformedRecords
from relay_core.normalize.rejected_rows import RejectionLog
from relay_core.normalize.typed_batch import TypedBatch
from relay_core.validation import row_checks
from relay_core.validation.row_schemas import OFFER_SCHEMA

_VALIDATED_CELLS = 8 << 20
"""The number of waiting cells that are checked at once.

A wide feed has few rows of them.
"""


class RowValidator:
    """Checks rows against the contract on another thread; the log gets rejected ones.

    Batches wait until there are enough rows to check.
    """

    def __init__(self, log: RejectionLog) -> None:
        self.log = log
        self._rejected = GrowingArray(np.bool_)
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[TypedBatch] = []
        self._checks: list[Future[None]] = []
        self._expects_rejections = False

    def look_at(self, batch: TypedBatch) -> None:
        """Begin to load the contracts if they will have to judge one of some rows.

        The thread of the checks loads them while more rows are read.
        """
        if not self._expects_rejections and _has_fault(batch).any():
            self._expects_rejections = True
            self._thread.submit(row_checks.loaded_contracts)

    def add(self, batch: TypedBatch) -> None:
        """Take rows."""
        self.look_at(batch)
        self._waiting.append(batch)
        row_count = sum(waiting.size for waiting in self._waiting)
        cell_count = row_count * len(batch.raw.columns)
        if (
            row_count >= row_checks.VALIDATED_ROWS
            or cell_count >= _VALIDATED_CELLS
        ):
            self.flush()

    def add_malformed(self, malformed: MalformedRecords) -> None:
        """Take records that do not fit the header, which need no check."""
        self._checks.append(
            self._thread.submit(self.log.add_malformed, malformed),
        )

    def flush(self) -> None:
        """Begin to check the rows that are waiting."""
        if self._waiting:
            self._checks.append(self._thread.submit(self._check, self._waiting))
            self._waiting = []

    def rejected(self) -> RowMask:
        """Wait for all checks, and return the mask of rejected rows.

        Raises:
            ContractBrokenError: The columns are not those of the contract.
        """
        with self._thread:
            for check in self._checks:
                check.result()
        return self._rejected.array()

    def _check(self, batches: Sequence[TypedBatch]) -> None:
        names = OFFER_SCHEMA.names
        rows = pa.Table.from_batches([batch.rows(names) for batch in batches])
        row_checks.check_offers(rows.schema)
        suspect = np.concatenate([_has_fault(batch) for batch in batches])
        rejected = dict(row_checks.rejected_cells(rows, suspect))
        for name, mask in self._rejected_gtins(batches, suspect):
            rejected[name] = rejected.get(name, False) | mask
        start = 0
        for batch in batches:
            stop = start + batch.size
            rejected_of_batch = {
                name: mask[start:stop]
                for name, mask in rejected.items()
                if mask[start:stop].any()
            }
            self.log.add(batch, rejected_of_batch)
            start = stop
        is_rejected = np.zeros(len(rows), np.bool_)
        for mask in rejected.values():
            is_rejected |= mask
        self._rejected.append(is_rejected)

    def _rejected_gtins(
        self,
        batches: Sequence[TypedBatch],
        suspect: RowMask,
    ) -> Iterator[tuple[str, RowMask]]:
        """Yield each column with rejected GTINs, and their mask."""
        reader = self.log.reader
        names = []
        if reader.parser.has_gtin_skus:
            names.append("sku")
        gtin_column = reader.parser.gtin_column
        if gtin_column is not None and reader.has(gtin_column):
            names.append(gtin_column)
        for name in names:
            column = source_column(name)
            cells = [with_nulls(batch.texts[column]) for batch in batches]
            mask = row_checks.rejected_gtins(pa.chunked_array(cells), suspect)
            if mask is not None:
                yield name, mask


def _has_fault(batch: TypedBatch) -> RowMask:
    """Return the mask of the rows in which the reader has found a fault."""
    masks = [codes != 0 for codes in batch.faults.values()]
    has_fault: RowMask = np.logical_or.reduce(masks)
    return has_fault
