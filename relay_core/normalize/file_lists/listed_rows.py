"""All rows of a vendor of several files: changes, then parts, then the SKU map."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from relay_core.config import VendorConfig
from relay_core.config.inputs.parts import InputPart
from relay_core.domain.codes import VendorStatus
from relay_core.domain.columns import source_column
from relay_core.domain.limits import ReportRoom
from relay_core.domain.records import ReportEntry
from relay_core.domain.run_codes import NOTHING_MATCHES
from relay_core.domain.run_faults import (
    fault_of,
    no_rows,
    part_left_out,
)
from relay_core.ingest.sku_map import SkuMap
from relay_core.normalize.file_lists.changes import rows_of_part
from relay_core.normalize.file_lists.columns_join import (
    JoinedPart,
    join_columns,
)
from relay_core.normalize.file_lists.figures import ListFigures, PartFigures
from relay_core.normalize.file_lists.file_rows import (
    FileRows,
    PartRows,
)
from relay_core.normalize.file_lists.offered_rows import OfferedRows
from relay_core.normalize.file_lists.sorted_list import sorted_list
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.vendor import ReadFile, SortedVendor
from relay_core.products.matcher import ProductMatcher
from relay_core.validation.row_schemas import offer_schema


class _TroubleError(Exception):
    """A part that the vendor cannot be used without has failed."""

    def __init__(self, trouble: ReportEntry, *, has_empty_file: bool) -> None:
        super().__init__(trouble.error_message)
        self.trouble = trouble
        self.has_empty_file = has_empty_file


class ListOptions(NamedTuple):
    """The values that all files of a vendor share."""

    sku_map: SkuMap | None
    # Finds the products of rows, by the SKU map too; None without a catalog
    matcher: ProductMatcher | None
    requested_at: int  # the instant instead of a missing one, in microseconds
    extra_columns: Sequence[str]  # the tenant's extra columns


@dataclass(slots=True)
class ListedRows:
    """The rows of all files of a vendor, none of which is unusable."""

    vendor: VendorConfig
    files: Sequence[ReadFile]  # the files, in reading order
    warnings: list[ReportEntry]  # those about files and parts
    options: ListOptions  # the values that all files share
    # The numbers of rows of the parts that are used, by part
    _figures: dict[str, PartFigures] = field(default_factory=dict)
    _unmatched: int = 0  # the number of base rows that are left out

    def ordered(self, room: ReportRoom) -> SortedVendor:
        """Return the valid rows in order of SKU, then of files and rows.

        Args:
            room: The room for the vendor's entries, which take of it.

        Raises:
            ContractBrokenError: The columns are not those of the contract.
        """
        try:
            parts = self._parts()
            table = self._base_table(parts)
        except _TroubleError as error:
            return SortedVendor.without_rows(self._without_rows(error))
        files = [file for rows in parts for file in rows.files]
        rows = OfferedRows.of(table, self.options.sku_map, self.options.matcher)
        if self.vendor.duplicate_skus == "refuse":
            rows.reject_repeated(files)
        vendor = NormalizedVendor(
            self.vendor.vendor_id,
            VendorStatus.FOUND,
            warnings=tuple(self.warnings),
            figures=self._list_figures(parts, rows),
            matched=rows.matched(files),
        )
        return sorted_list(vendor, files, rows.table, room)

    # --- the steps ----------------------------------------------------------------

    def _parts(self) -> list[PartRows]:
        """Return the rows of each part that has files.

        Raises:
            _TroubleError: A full file that is needed has no row.
        """
        parts = []
        for part in self.vendor.input_parts:
            fields = self._fields_of(part)
            files = []
            is_empty = False
            for index, file in enumerate(self.files):
                if file.part.part_id != part.part_id:
                    continue
                rows = FileRows.of(index, file, fields)
                has_rows = rows is not None and rows.total_rows > 0
                is_empty |= file.kind == "full" and not has_rows
                if rows is not None:
                    files.append(rows)
            if is_empty:
                self._trouble(
                    part,
                    no_rows(self.vendor.vendor_id, part.part_id),
                    has_empty_file=True,
                )
            elif files:
                parts.append(rows_of_part(part, files, self._mapped))
        return parts

    def _fields_of(self, part: InputPart) -> list[pa.Field]:
        """Return the columns to keep of a part's files."""
        schema = offer_schema(self.options.extra_columns)
        if part.columns is None:
            return list(schema)
        names = {*map(source_column, part.columns), "sku", "row_number"}
        return [column for column in schema if column.name in names]

    def _base_table(self, parts: list[PartRows]) -> pa.Table:
        """Return the base rows with the columns of all parts.

        A part without a row that is used is taken out of the parts.

        Raises:
            _TroubleError: No row of a part that is needed is used.
        """
        base_rows = [rows for rows in parts if rows.part.columns is None]
        table = pa.concat_tables(rows.table for rows in base_rows)
        for rows in list(parts):
            if rows.part.columns is None:
                continue
            joined = join_columns(
                table,
                rows,
                self.options.requested_at,
                self._mapped,
            )
            if joined.strange_keys is not None:
                self._trouble(rows.part, self._nothing_matches(rows, joined))
                parts.remove(rows)
                continue
            table = joined.table
            self._unmatched += joined.unmatched
            self._figures[str(rows.part.part_id)] = joined.figures
        return table

    def _without_rows(self, error: _TroubleError) -> NormalizedVendor:
        """Return the vendor without rows, for the failure of a part."""
        return NormalizedVendor(
            self.vendor.vendor_id,
            VendorStatus.FOUND,
            warnings=tuple(self.warnings),
            trouble=error.trouble,
            has_empty_file=error.has_empty_file,
        )

    def _trouble(
        self,
        part: InputPart,
        trouble: ReportEntry,
        *,
        has_empty_file: bool = False,
    ) -> None:
        """Note that a part is left out.

        Raises:
            _TroubleError: The vendor cannot be used without the part.
        """
        if part.required:
            raise _TroubleError(trouble, has_empty_file=has_empty_file)
        self.warnings.append(part_left_out(trouble, str(part.part_id)))

    def _nothing_matches(
        self,
        rows: PartRows,
        joined: JoinedPart,
    ) -> ReportEntry:
        part_key, base_key = joined.strange_keys or (None, None)
        return fault_of(
            NOTHING_MATCHES,
            self.vendor.vendor_id,
            part_id=rows.part.part_id,
            part_key=part_key,
            base_key=base_key,
            key=rows.part.key,
        )

    def _list_figures(
        self,
        parts: Sequence[PartRows],
        rows: OfferedRows,
    ) -> ListFigures:
        base_rows = [rows for rows in parts if rows.part.columns is None]
        all_parts = self.vendor.input_parts
        replaced = None
        unmatched = None
        if any(part.changes for part in all_parts if part.columns is None):
            replaced = sum(rows.replaced for rows in base_rows)
        if any(part.columns is not None for part in all_parts):
            unmatched = self._unmatched
        if self.options.matcher is not None:
            unmatched = (unmatched or 0) + len(rows.taken_out)
        parts_figures = None
        if self.vendor.parts:
            parts_figures = {
                str(rows.part.part_id): self._figures_of(rows)
                for rows in parts
                if rows.part.part_id is not None
            }
        return ListFigures(
            read=sum(rows.read for rows in base_rows),
            skipped=sum(rows.skipped for rows in base_rows),
            refused=sum(rows.refused for rows in base_rows),
            valid_rows=len(rows.table) + len(rows.taken_out),
            replaced=replaced,
            unmatched=unmatched,
            duplicates=sum(rows.duplicates for rows in base_rows),
            parts=parts_figures,
        )

    def _figures_of(self, rows: PartRows) -> PartFigures:
        """Return the numbers of the rows of a part that is used."""
        if rows.part.columns is not None:
            return self._figures[str(rows.part.part_id)]
        has_changes = rows.part.changes is not None
        return PartFigures(
            read=rows.read,
            skipped=rows.skipped,
            refused=rows.refused,
            replaced=rows.replaced if has_changes else None,
        )

    # --- SKUs -----------------------------------------------------------------------

    def _mapped(self, skus: pa.StringArray) -> pa.StringArray:
        """Return the tenant's SKUs of SKUs."""
        if self.options.sku_map is None or not len(skus):
            return skus
        mapped, _ = self.options.sku_map.apply(skus)
        return mapped
