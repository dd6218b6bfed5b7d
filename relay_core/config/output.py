"""The form of the merged feed: its format, and its columns with their headers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_serializer, model_validator

from relay_core.config.cross_checks import (
    ENTRIES,
    FeedColumn,
    judged,
    read_output_column,
    refuse_idle,
    refuse_repeated,
    refuse_with_format,
)
from relay_core.config.scalars import type_name
from relay_core.config.section import Section
from relay_core.config.values import WHOLE, Bool, Filled, refuse
from relay_core.domain.columns import DERIVED_COLUMNS, source_column

OutputFormat = Literal["csv", "tsv", "jsonl", "parquet"]
_WITH_FORMULAS = ("csv", "tsv")
"""What spreadsheets open, which may take a cell for a formula."""


class OutputColumn(Section):
    """A header over a column that a feed can have, or over the same text in each row.

    The column's name alone is the column under that header.
    """

    column: FeedColumn | None = None
    constant: str | None = None
    header: Filled = Field(alias="as", description="The header.")

    @model_validator(mode="before")
    @classmethod
    def _is_named(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, dict):
            return value
        if isinstance(value, bool) or not isinstance(value, int | str):
            kind = type_name(value)
            raise refuse(f"text is wanted, the name of a column, or a mapping; not {kind}")
        name = read_output_column(str(value), info)
        return {"column": name, "as": name}

    @model_validator(mode="after")
    def _holds_one_thing(self) -> OutputColumn:
        if (self.column is None) is (self.constant is None):
            raise refuse("needs a column or a constant, and not both")
        return self

    @model_serializer
    def _as_config(self) -> str | dict[str, str]:
        if self.constant is not None:
            return {"constant": self.constant, "as": self.header}
        column = str(self.column)
        return column if column == self.header else {"column": column, "as": self.header}


_NewColumn = Annotated[
    OutputColumn, judged(lambda column, entry, _: refuse_repeated(column.header, entry.seen))
]


class OutputConfig(Section):
    """What the merged feed holds, and how it is written."""

    format: OutputFormat = "csv"
    columns: Annotated[tuple[_NewColumn, ...], Field(min_length=1), ENTRIES]
    escape_formulas: Bool = False
    missing_skus: Literal["drop", "zero"] = "drop"
    missing_sku_days: Annotated[int, Field(ge=1, le=365), WHOLE] = 30

    @field_validator("escape_formulas")
    @classmethod
    def _applies_to_format(cls, value: bool, info: ValidationInfo) -> bool:
        refuse_with_format(_WITH_FORMULAS, value, info)
        return value

    @field_validator("missing_sku_days")
    @classmethod
    def _applies_with_zero(cls, value: int, info: ValidationInfo) -> int:
        name = str(info.field_name)
        refuse_idle("missing_skus", "zero", value != cls.model_fields[name].default, info)
        return value

    @property
    def reads(self) -> set[str]:
        """The columns of rows that the feed is made of."""
        names = (each.column for each in self.columns if each.column is not None)
        return {
            source for name in names for source in DERIVED_COLUMNS.get(name, (source_column(name),))
        }
