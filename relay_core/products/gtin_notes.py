"""The columns of a file that have GTINs, as far as their cells show it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from relay_core.domain import gtins
from relay_core.domain.cell_rules import shorten

_LEAST_SHARE = 0.95
"""The least share of cells with a right check digit in a column of GTINs."""
_LEAST_CELLS = 5
_MAX_CELLS = 2_000
_EXPONENT = re.compile(r"[0-9](?:[.,][0-9]+)?[eE]\+?1[0-3]")
_WORDS = ("barcode", "ean", "gtin", "upc")


@dataclass(frozen=True, slots=True)
class GtinColumn:
    """A column of a file by the forms of its cells."""

    header: str
    count: int  # the number of cells
    gtins: int  # the number of cells with a right check digit
    # The cells that are right but for zeros in front, that a spreadsheet has rounded, and
    # that a shop gives itself
    shortened: Sequence[str]
    rounded: Sequence[str]
    own: Sequence[str]

    @classmethod
    def of(cls, header: str, cells: Sequence[str]) -> "GtinColumn":
        """Return a column by its first cells that are not empty."""
        first_cells = cells[:_MAX_CELLS]
        gtin_by_cell = {cell: gtins.read_gtin(cell) for cell in first_cells}
        shortened = [
            cell
            for cell in first_cells
            if gtin_by_cell[cell] is None
            and gtins.read_gtin(cell, is_number=True) is not None
        ]
        valid_gtins = [
            gtin
            for gtin in map(gtin_by_cell.get, first_cells)
            if gtin is not None
        ]
        return cls(
            header,
            len(first_cells),
            len(valid_gtins) + len(shortened),
            shortened,
            list(filter(_EXPONENT.fullmatch, first_cells)),
            list(filter(gtins.is_own, valid_gtins)),
        )

    @property
    def has_gtins(self) -> bool:
        """True if 19 of 20 cells are GTINs with a right check digit."""
        is_enough = self.gtins >= _LEAST_CELLS
        return is_enough and self.gtins >= _LEAST_SHARE * self.count

    @property
    def had_gtins(self) -> bool:
        """True if the cells are GTINs by their header, and a spreadsheet rounded them."""
        is_named = any(word in self.header.casefold() for word in _WORDS)
        gtin_count = self.gtins + len(self.rounded)
        return (
            is_named
            and bool(self.rounded)
            and gtin_count >= _LEAST_SHARE * self.count
        )

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each kind of cells that finds no product."""
        if self.shortened:
            yield (
                f'{_cells(self.shortened)} of "{self.header}" lost zeros in '
                f"front, for example {shorten(self.shortened[0])}. A run rejects them "
                "unless the file stores them as numbers. Ask for a file with the column "
                "as text."
            )
        if self.rounded:
            yield (
                f'A spreadsheet rounded {_cells(self.rounded)} of "{self.header}", for '
                f"example {shorten(self.rounded[0])}. These digits are lost for good. Ask "
                "for a new export with the column as text."
            )
        if self.own:
            yield (
                f'A shop made up the numbers in {_cells(self.own)} of "{self.header}", for '
                f"example {shorten(self.own[0])}. These numbers match no product."
            )


def _cells(cells: Sequence[str]) -> str:
    return "1 cell" if len(cells) == 1 else f"{len(cells):,} cells"


def gtin_notes(
    cells: Mapping[str, Sequence[str]],
    gtin_column: str | None,
    mapped_headers: Sequence[str],
) -> Iterator[str]:
    """Yield the proposal of a column of GTINs, and the faults of its cells.

    Args:
        cells: The cells of each header of the file, trimmed and not empty.
        gtin_column: The extra column that the config names for GTINs.
        mapped_headers: The headers that the config maps to it.
    """
    for header, texts in cells.items():
        column = GtinColumn.of(header, texts)
        is_mapped = header in mapped_headers
        if not (is_mapped or column.has_gtins or column.had_gtins):
            continue
        if not is_mapped and column.has_gtins:
            yield _proposal(column, gtin_column)
        yield from column.notes()


def _proposal(column: GtinColumn, gtin_column: str | None) -> str:
    share = 100 * column.gtins // column.count
    finding = f'{share}% of the cells of "{column.header}" are GTINs with a right check digit.'
    if gtin_column is None:
        return (
            f"{finding} To find products by it, add gtin to extra_columns, set gtin_column: "
            f'gtin, and map gtin: "{column.header}" in parser.column_map.'
        )
    return (
        f'{finding} To find products by it, map {gtin_column}: "{column.header}" in '
        "parser.column_map."
    )
