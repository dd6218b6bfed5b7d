"""Old workbooks of Excel (.xls), as xlrd reads them: their sheets, and the cells of one."""

import io
from collections.abc import Iterator

import xlrd

from relay_core.ingest.decoding import Buffer
from relay_core.ingest.workbook_cells import Row, number_text, serial_text
from relay_core.ingest.workbook_parts import damaged_workbook, protected_workbook


class XlsBook:
    """A workbook.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``: it is none, damaged, or has a password.
    """

    def __init__(self, data: Buffer) -> None:
        try:
            self._book = xlrd.open_workbook(
                file_contents=bytes(data), logfile=io.StringIO(), on_demand=True, ragged_rows=True
            )
            sheets = map(self._book.sheet_by_index, range(self._book.nsheets))
            self.sheets = [(each.name, each.visibility == 0) for each in sheets]
        except MemoryError:
            raise
        except Exception as error:  # xlrd raises whatever a damaged file leads it into
            if "encrypted" in str(error):
                raise protected_workbook() from error
            raise damaged_workbook("xls", str(error) or type(error).__name__) from error

    def rows(self, place: int) -> Iterator[Row]:
        """Yield the rows of a sheet that have a filled cell."""
        sheet = self._book.sheet_by_index(place)
        for number in range(sheet.nrows):
            cells = [
                (column, *found)
                for column, cell in enumerate(sheet.row(number))
                if (found := self._value(cell))
            ]
            if cells:
                yield number + 1, cells

    def _value(self, cell: xlrd.sheet.Cell) -> tuple[str, bool] | None:
        """Return a cell's text, and whether it is a number; None where it holds nothing."""
        if cell.ctype == xlrd.XL_CELL_NUMBER:
            return number_text(repr(cell.value)), True
        if cell.ctype == xlrd.XL_CELL_DATE:
            return serial_text(repr(cell.value), from_1904=self._book.datemode == 1), False
        if cell.ctype == xlrd.XL_CELL_BOOLEAN:
            return ("true" if cell.value else "false"), False
        if cell.ctype == xlrd.XL_CELL_ERROR:
            return xlrd.error_text_from_code.get(cell.value, "#ERROR!"), False
        return (cell.value, False) if cell.value else None
