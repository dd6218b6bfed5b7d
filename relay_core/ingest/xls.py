"""Old Excel workbooks (.xls), read by xlrd: their sheets, and cells by row."""

import io
from collections.abc import Iterator

import xlrd

from relay_core.ingest.feed import Buffer
from relay_core.ingest.workbook_cells import (
    Cell,
    SheetRow,
    number_text,
    serial_text,
)
from relay_core.ingest.workbook_parts import (
    damaged_workbook,
    protected_workbook,
)


class XlsBook:
    """An old Excel workbook.

    Attributes:
        sheets: The name of each sheet, and whether it is visible.
    """

    def __init__(self, data: Buffer) -> None:
        """Open a workbook.

        Raises:
            FeedUnreadableError: ``DECODE_ERROR`` if it is damaged or has a password.
        """
        try:
            self._book = xlrd.open_workbook(
                file_contents=bytes(data),
                logfile=io.StringIO(),
                on_demand=True,
                ragged_rows=True,
            )
            sheets = map(self._book.sheet_by_index, range(self._book.nsheets))
            self.sheets = [
                (sheet.name, sheet.visibility == 0) for sheet in sheets
            ]
        except MemoryError:
            raise
        except (
            Exception
        ) as error:  # a damaged file leads xlrd into errors of any type
            if "encrypted" in str(error):
                raise protected_workbook() from error
            reason = str(error) or type(error).__name__
            raise damaged_workbook("xls", reason) from error
        self._from_1904 = self._book.datemode == 1

    def rows(self, sheet_index: int) -> Iterator[SheetRow]:
        """Yield the rows of a sheet that have a filled cell."""
        sheet = self._book.sheet_by_index(sheet_index)
        for row_index in range(sheet.nrows):
            cells: list[Cell] = []
            for column, cell in enumerate(sheet.row(row_index)):
                value = self._value(cell)
                if value is not None:
                    text, is_number = value
                    cells.append((column, text, is_number))
            if cells:
                yield row_index + 1, cells

    def _value(self, cell: xlrd.sheet.Cell) -> tuple[str, bool] | None:
        """Return a cell's text, and whether it is a number; None if it is empty."""
        kind = cell.ctype
        value = cell.value
        if kind == xlrd.XL_CELL_NUMBER:
            return number_text(repr(value)), True
        if kind == xlrd.XL_CELL_DATE:
            return serial_text(repr(value), from_1904=self._from_1904), False
        if kind == xlrd.XL_CELL_BOOLEAN:
            return "true" if value else "false", False
        if kind == xlrd.XL_CELL_ERROR:
            return xlrd.error_text_from_code.get(value, "#ERROR!"), False
        return (value, False) if value else None
