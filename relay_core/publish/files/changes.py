"""The rows that differ between two files, and the columns that say a row is gone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from relay_core.config.models import FileConfig
from relay_core.domain.columns import BY_NAME, Kind
from relay_core.publish.files.fields import OUT_OF_STOCK

Content: TypeAlias = bytes | memoryview
"""The bytes of a file, or of a part of one."""


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """The rows of a file of changes, and the file piece by piece."""

    count: int
    chunks: Iterator[Content]


@dataclass(frozen=True, slots=True)
class Roles:
    """The headers of a file, and those of the columns that matter for changes."""

    headers: Sequence[str]
    sku: str | None  # the header of the SKU; None if the file has none
    quantities: frozenset[str]  # the headers of quantities
    availabilities: frozenset[str]  # the headers of availabilities
    whole_numbers: frozenset[str]  # the headers of whole numbers

    @classmethod
    def of(cls, file: FileConfig, headers: Sequence[str]) -> "Roles":
        """Return the roles of a file with these headers."""
        header_of_column: dict[str | None, list[str]] = {}
        whole_numbers = []
        for header, column in zip(headers, file.columns, strict=True):
            header_of_column.setdefault(column.column, []).append(header)
            canonical = BY_NAME.get(str(column.column))
            if canonical is not None and canonical.kind is Kind.WHOLE:
                whole_numbers.append(header)
        (sku, *_) = header_of_column.get("sku", [None])
        return cls(
            headers=headers,
            sku=sku,
            quantities=frozenset(
                header_of_column.get("quantity_available", ()),
            ),
            availabilities=frozenset(header_of_column.get("availability", ())),
            whole_numbers=frozenset(whole_numbers),
        )

    @property
    def tells_gone_skus(self) -> bool:
        """Return whether a row can say that its SKU is gone."""
        return bool(self.quantities or self.availabilities)

    def as_gone(self, rows: pa.Table) -> pa.Table:
        """Return rows with a quantity of 0, and out of stock."""
        for index, header in enumerate(rows.column_names):
            column = rows.schema.field(index)
            value = None
            if header in self.quantities:
                value = pa.scalar("0").cast(column.type)
            elif header in self.availabilities:
                value = pa.scalar(OUT_OF_STOCK, column.type)
            if value is not None:
                cells = pa.repeat(value, len(rows))
                rows = rows.set_column(index, column, cells)
        return rows


def not_in(values: pa.Array, others: pa.Array) -> pa.BooleanArray:
    """Return the mask of values that are not among the others."""
    return pc.invert(pc.is_in(values, value_set=others))
