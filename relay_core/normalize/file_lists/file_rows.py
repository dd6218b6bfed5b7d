"""One file of a vendor after reading, and the valid rows of one part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from relay_core.columnar.arrays import RecordNumbers, RowMask
from relay_core.columnar.text import integers_of, one_chunk, with_cells
from relay_core.config.inputs.parts import InputPart
from relay_core.normalize.file_lists.figures import (
    files_and_records,
    numbers_in_list,
)
from relay_core.normalize.read_rows import add_repeated
from relay_core.normalize.rejected_rows import RejectionLog
from relay_core.normalize.result import (
    KeptColumns,
    NormalizedVendor,
    VendorColumns,
)
from relay_core.normalize.vendor import ReadFile
from relay_core.validation.row_schemas import OFFER_SCHEMA


@dataclass(slots=True)
class FileRows:
    """The rows of a file among those of all files of the vendor."""

    index: int  # the index of the file in the vendor's input
    file: ReadFile
    kept: KeptColumns  # the columns of the valid rows
    fields: Sequence[pa.Field]  # the columns that the vendor's rows are made of
    skus: pa.Array  # the SKU of each valid row
    log: RejectionLog  # the rejected rows
    deleted_skus: pa.Array  # the SKUs whose rows it deletes from earlier files
    total_rows: int = 0  # the number of rows, rejected ones too
    skipped: int = 0  # the number of records that are no rows
    # The SKU of the last record that fits the header.
    last_sku: str | None = None
    replaced: int = 0  # the number of rows that later files replace

    @classmethod
    def of(
        cls,
        index: int,
        file: ReadFile,
        fields: Sequence[pa.Field],
    ) -> "FileRows | None":
        """Return the rows of a file, with some columns; None if it has no header."""
        if isinstance(file.rows, NormalizedVendor):
            return None
        accepted = file.rows.accepted()
        sku_field = OFFER_SCHEMA.field("sku")
        (skus,) = accepted.kept.cells([sku_field], accepted.kept.rows[:])
        return cls(
            index=index,
            file=file,
            kept=accepted.kept,
            fields=fields,
            skus=one_chunk(skus),
            log=accepted.log,
            deleted_skus=pa.concat_arrays(
                [pa.array([], pa.string()), *accepted.deleted_skus],
            ),
            total_rows=accepted.vendor.total_rows,
            skipped=accepted.vendor.skipped,
            last_sku=accepted.vendor.last_sku,
        )

    def take_rows(self, is_replaced: RowMask) -> pa.Table:
        """Return the rows that stay, as a table; this releases all rows.

        Only cells of rows that stay become a table.
        """
        rows = self.kept.rows[:]
        skus = self.skus
        if is_replaced.any():
            rows = rows[~is_replaced]
            skus = skus.filter(pa.array(~is_replaced))
        schema = pa.schema(self.fields)
        fields = [column for column in self.fields if column.name != "sku"]
        names = [column.name for column in fields]
        cells = dict(zip(names, self.kept.cells(fields, rows), strict=True))
        cells["sku"] = skus
        in_order = [cells[name] for name in schema.names]
        table = pa.table(in_order, schema=schema)
        self.kept = VendorColumns({}, rows[:0])
        self.skus = self.skus[:0]
        records, _ = integers_of(table["row_number"])
        numbers = pa.array(numbers_in_list(self.index, records))
        return with_cells(table, "row_number", numbers)

    def reject(self, numbers: RecordNumbers, skus: pa.StringArray) -> None:
        """Reject valid rows that repeat a SKU.

        Args:
            numbers: The numbers of the rows among those of all files, in order.
            skus: Their SKUs, one a row.
        """
        _, records = files_and_records(numbers)
        parsed = self.file.again()
        # The kernel's locator does not find records that it reads itself.
        self.log.locator = parsed.locator
        add_repeated(self.log, records, skus, lambda: parsed.batches)


@dataclass(slots=True)
class PartRows:
    """The rows of a part that its files leave, one file after the other."""

    part: InputPart
    files: Sequence[FileRows]
    table: pa.Table  # the valid rows
    replaced: int = 0  # the number of rows that later files replace
    duplicates: int = 0  # the number of rows that rows of the same file replace

    @property
    def read(self) -> int:
        """The number of records that are not blank."""
        return sum(file.total_rows + file.skipped for file in self.files)

    @property
    def skipped(self) -> int:
        """The number of records that are no rows."""
        return sum(file.skipped for file in self.files)

    @property
    def refused(self) -> int:
        """The number of rows that are rejected and not replaced."""
        return sum(file.log.records for file in self.files)


def reject_rows(
    files: Sequence[FileRows],
    table: pa.Table,
    rows: pa.Array,
    mapped: Callable[[pa.StringArray], pa.StringArray],
) -> None:
    """Reject rows of a table that repeat a SKU, each in the log of its file.

    Args:
        files: The files that the rows are from, by index.
        table: The table of rows, in the order of files and records.
        rows: The indices of the rows.
        mapped: Returns the tenant's SKUs of SKUs.
    """
    numbers, _ = integers_of(table["row_number"].take(rows))
    skus = mapped(one_chunk(table["sku"].take(rows)))
    indices, _ = files_and_records(numbers)
    for file in files:
        start, stop = np.searchsorted(indices, [file.index, file.index + 1])
        if start < stop:
            file.reject(numbers[start:stop], skus.slice(start, stop - start))
