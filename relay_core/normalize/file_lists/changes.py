"""Files of changes: their rows replace those of earlier files, and records delete rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import pyarrow as pa

from relay_core.columnar.arrays import RowIndex, RowMask, WholeNumbers
from relay_core.columnar.text import integers_of, one_chunk, with_cells
from relay_core.config.inputs.parts import InputPart
from relay_core.domain.cell_rules import LARGEST_WHOLE
from relay_core.normalize.file_lists.file_rows import (
    FileRows,
    PartRows,
    reject_rows,
)

_QUANTITY = "quantity_available"
Mapped = Callable[[pa.StringArray], pa.StringArray]
"""Returns the tenant's SKUs of SKUs."""


def rows_of_part(
    part: InputPart,
    files: Sequence[FileRows],
    mapped: Mapped,
) -> PartRows:
    """Return the rows that the files of a part leave.

    A row is replaced if a later file has a valid row of its SKU, or deletes it. Then
    rows of a file with the same SKU are judged, if the part has ``changes``.
    """
    duplicates = 0
    tables = []
    for file, masks in zip(files, _replaced_masks(files), strict=True):
        rejected_count = file.log.release(masks.rejected, mapped)
        file.replaced = rejected_count + int(np.count_nonzero(masks.valid))
        table = file.take_rows(masks.valid)
        if part.changes is not None and masks.may_repeat:
            row_count = len(table)
            table, rejected_count = _without_repeated(part, file, table, mapped)
            duplicates += row_count - rejected_count - len(table)
        tables.append(table)
    return PartRows(
        part=part,
        files=files,
        table=pa.concat_tables(tables),
        replaced=sum(file.replaced for file in files),
        duplicates=duplicates,
    )


def _without_repeated(
    part: InputPart,
    file: FileRows,
    table: pa.Table,
    mapped: Mapped,
) -> tuple[pa.Table, int]:
    """Judge the rows of a file with the same SKU.

    Return the rows that stay, and the number of those that are rejected.
    """
    duplicates = duplicates_of(table, part.duplicate_skus)
    if duplicates is None:
        return table, 0
    reject_rows([file], table, pa.array(duplicates.rejected), mapped)
    return duplicates.kept_of(table), len(duplicates.rejected)


# --- replaced rows --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _FileMasks:
    """The rows of a file that later files replace."""

    valid: RowMask  # of its valid rows
    rejected: Sequence[RowMask]  # of its rejected rows, one a held batch
    may_repeat: bool  # whether valid rows of the file may have the same SKU


@dataclass(frozen=True, slots=True)
class _SkuCodes:
    """The codes of a file's SKUs; equal SKUs of all files have the same code.

    Only the empty text has code 0.
    """

    valid: WholeNumbers  # of its valid rows
    deleted: WholeNumbers  # of its records that delete rows
    rejected: Sequence[WholeNumbers]  # of its rejected rows, one a held batch


def _replaced_masks(files: Sequence[FileRows]) -> list[_FileMasks]:
    """Return the masks of the rows of each file that later files replace."""
    if len(files) == 1:
        (file,) = files
        no_rows = np.zeros(len(file.skus), np.bool_)
        rejected = [
            np.zeros(len(batch.skus), np.bool_) for batch in file.log.held or ()
        ]
        return [_FileMasks(no_rows, rejected, may_repeat=True)]
    codes_of_files = _codes_of(files)
    last_file = _last_files(codes_of_files)
    masks = []
    for index, codes in enumerate(codes_of_files):
        # The codes tell at once that all SKUs of a file differ.
        sizes = np.bincount(codes.valid, minlength=1)
        file_masks = _FileMasks(
            valid=last_file[codes.valid] > index,
            rejected=[last_file[batch] > index for batch in codes.rejected],
            may_repeat=bool(sizes.max() > 1),
        )
        masks.append(file_masks)
    return masks


def _codes_of(files: Sequence[FileRows]) -> list[_SkuCodes]:
    """Return the codes of the SKUs of each file."""
    columns_of_files = [
        [
            file.skus,
            file.deleted_skus,
            *(batch.skus for batch in file.log.held or ()),
        ]
        for file in files
    ]
    empty = pa.array([""])
    columns = chain.from_iterable(columns_of_files)
    chunks = [empty, *(column.cast(pa.string()) for column in columns)]
    encoded = pa.chunked_array(chunks).dictionary_encode()
    # The result lacks the chunks that are empty.
    all_codes = np.concatenate(
        [np.asarray(chunk.indices) for chunk in encoded.chunks],
    )
    ends = np.cumsum([len(chunk) for chunk in chunks])
    codes_of_columns = iter(np.split(all_codes, ends[:-1])[1:])
    codes_of_files = []
    for columns_of_file in columns_of_files:
        column_count = len(columns_of_file)
        valid, deleted, *rejected = islice(codes_of_columns, column_count)
        codes_of_files.append(_SkuCodes(valid, deleted, rejected))
    return codes_of_files


def _last_files(codes_of_files: Sequence[_SkuCodes]) -> WholeNumbers:
    """Return the index of the last delta that has or deletes a SKU, by its code.

    It is 0 for a SKU that no delta has. A delta has a SKU in a valid row.
    """
    largest_code = max(
        int(cells.max(initial=0))
        for codes in codes_of_files
        for cells in (codes.valid, codes.deleted, *codes.rejected)
    )
    last_file = np.zeros(largest_code + 1, np.int64)
    for index, codes in enumerate(codes_of_files):
        last_file[codes.valid] = index
        last_file[codes.deleted] = index
    last_file[0] = 0  # a record without a SKU deletes nothing
    return last_file


# --- rows with the same SKU -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The effect of rows with the same SKU."""

    kept: RowIndex  # the rows that stay
    rejected: RowIndex  # the rows that are rejected
    # The quantities of the rows that stay, if they are sums
    quantities: WholeNumbers | None = None

    def kept_of(self, table: pa.Table) -> pa.Table:
        """Return the rows of a table that stay, with their sums."""
        rows = table.take(pa.array(self.kept))
        if self.quantities is None:
            return rows
        cells = pa.array(self.quantities.astype(np.int32))
        return with_cells(rows, _QUANTITY, cells)


def duplicates_of(table: pa.Table, policy: str) -> Duplicates | None:
    """Judge the rows of a table with the same SKU; None if there are none.

    Args:
        table: The rows, in order.
        policy: ``first``, ``last``, ``sum`` or ``refuse``.
    """
    skus = one_chunk(table["sku"])
    encoded = skus.dictionary_encode()
    if len(encoded.dictionary) == len(skus):
        return None
    codes = np.asarray(encoded.indices)
    all_rows = np.arange(len(skus))
    first_of_code = np.empty(len(encoded.dictionary), np.int64)
    first_of_code[codes[::-1]] = all_rows[::-1]
    first_rows = first_of_code[codes]
    is_first = first_rows == all_rows
    no_rows = np.empty(0, np.int64)
    if policy == "refuse":
        sizes = np.bincount(first_rows, minlength=len(skus))
        is_alone = sizes[first_rows] == 1
        return Duplicates(np.flatnonzero(is_alone), np.flatnonzero(~is_alone))
    if policy == "last":
        last_rows = np.zeros(len(skus), np.int64)
        last_rows[first_rows] = all_rows
        return Duplicates(np.sort(last_rows[is_first]), no_rows)
    kept = np.flatnonzero(is_first)
    if policy == "first":
        return Duplicates(kept, no_rows)
    quantities, _ = integers_of(table[_QUANTITY])
    sums = np.zeros(len(skus), np.int64)
    np.add.at(sums, first_rows, quantities)
    return Duplicates(kept, no_rows, np.minimum(sums[kept], LARGEST_WHOLE))
