"""The rows of a vendor of several files in order, with the reports of all files."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow as pa

from relay_core.columnar.sorting import order_by_text
from relay_core.columnar.text import integers_of, one_chunk, with_cells
from relay_core.domain.columns import EXTRA_PREFIX, is_extra
from relay_core.domain.limits import ReportRoom
from relay_core.domain.records import Cause
from relay_core.normalize.file_lists.figures import files_and_records
from relay_core.normalize.file_lists.file_rows import FileRows
from relay_core.normalize.file_lists.joined_table import (
    TableColumns,
    TableLines,
)
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.vendor import SortedVendor
from relay_core.validation.row_schemas import FILE, REJECTED_ROWS


def sorted_list(
    vendor: NormalizedVendor,
    files: Sequence[FileRows],
    table: pa.Table,
    room: ReportRoom,
) -> SortedVendor:
    """Put base rows in order of SKU, then of files and rows.

    Args:
        vendor: The vendor, with its figures and without the reports of its files.
        files: The files that are used, in reading order.
        table: The valid base rows, with all columns.
        room: The room for the vendor's entries, which take of it.
    """
    with ThreadPoolExecutor(1) as thread:
        reported = thread.submit(_with_reports, vendor, files, room)
        order = order_by_text(one_chunk(table["sku"])).rows
        in_order = table.take(pa.array(order))
    vendor = reported.result()
    in_order = with_files(files, in_order)
    rows = np.arange(len(in_order))
    columns = dict(zip(in_order.column_names, in_order.columns, strict=True))
    extra_columns = [
        name.removeprefix(EXTRA_PREFIX)
        for name in in_order.column_names
        if is_extra(name)
    ]
    lines = TableLines(in_order, vendor.vendor_id, extra_columns)
    return SortedVendor(vendor, TableColumns(columns, rows), lines)


def _with_reports(
    vendor: NormalizedVendor,
    files: Sequence[FileRows],
    room: ReportRoom,
) -> NormalizedVendor:
    """Return the vendor with the rejected rows of its files, in reading order."""
    counts: Counter[str] = Counter()
    entries: list[str] = []
    causes: list[Cause] = []
    valid_samples: defaultdict[str | None, list[Mapping[str, Sequence[str]]]]
    valid_samples = defaultdict(list)
    tables = [REJECTED_ROWS.append(FILE).empty_table()]
    for file in files:
        entries_of_file, causes_of_file = file.log.reported(room)
        entries += entries_of_file
        part_id = file.file.part.part_id
        causes += [replace(cause, part_id=part_id) for cause in causes_of_file]
        valid_samples[part_id].append(file.log.valid_samples)
        counts.update(file.log.counts)
        table = file.log.table()
        names = pa.repeat(file.file.name, len(table))
        tables.append(table.append_column(FILE, names))
    return replace(
        vendor,
        is_read=True,
        skipped=sum(file.skipped for file in files),
        total_rows=sum(file.total_rows for file in files),
        invalid_rows=sum(file.log.records for file in files),
        last_sku=files[0].last_sku,
        fault_counts=dict(counts),
        causes=tuple(causes),
        valid_samples=valid_samples,
        entries=tuple(entries),
        rejected_rows=pa.concat_tables(tables).combine_chunks(),
    )


def with_files(files: Sequence[FileRows], table: pa.Table) -> pa.Table:
    """Return rows with the numbers of their records, and the names of their files."""
    numbers, _ = integers_of(table["row_number"])
    indices, records = files_and_records(numbers)
    names = [""] * (1 + max(file.index for file in files))
    for file in files:
        names[file.index] = file.file.name
    table = with_cells(table, "row_number", pa.array(records))
    return table.append_column(FILE, pa.array(names).take(pa.array(indices)))
