"""How a vendor writes a feed: the section ``parser`` of a config."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_serializer,
)

from relay_core.config.column_forms import MappedSource, ReadSource, headers_of
from relay_core.config.cross_checks import (
    BY_COLUMN,
    ENTRIES,
    FORMATS_WITH,
    ColumnNames,
    Defaults,
    MappedColumn,
    QuantityWords,
    TimestampFormat,
    at_most,
    refuse_with_format,
)
from relay_core.config.values import (
    Bool,
    Count,
    Delimiter,
    Encoding,
    Filled,
    Section,
    Trimmed,
    refuse,
)
from relay_core.domain.cell_rules import shorten

FeedFormat = Literal["csv", "jsonl", "xlsx", "xls", "ods", "parquet"]
Compression = Literal["auto", "none", "gzip", "zip"]
EVERY_COLUMN = "*"
"""The key of ``null_values`` for all columns."""
MAX_SKIP_ROWS, MAX_SKIP_TEXTS, MAX_SYMBOLS = 50, 200, 50

ColumnMap = Annotated[dict[MappedColumn, Annotated[MappedSource, ReadSource]], BY_COLUMN, ENTRIES]


def _read_skipped(value: Any, read_list: ValidatorFunctionWrapHandler) -> Any:
    if value == "empty":
        return value
    if isinstance(value, list | tuple):
        if not value:
            raise refuse("must not be empty; list at least one text")
        return _TEXTS.validate_python(value)
    raise refuse('"empty" or a list of texts is wanted')


_TEXTS: TypeAdapter[tuple[str, ...]] = TypeAdapter(
    Annotated[tuple[Filled, ...], at_most(MAX_SKIP_TEXTS, "texts")],
    config={"coerce_numbers_to_str": True},
)


class SkipRule(Section):
    """Which records are no rows: by the cell under a header, empty or one of some texts."""

    column: Filled
    texts: Annotated[
        Literal["empty"] | tuple[Filled, ...],
        WrapValidator(_read_skipped),
        Field(alias="is", description="`empty`, or 1 to 200 texts, in any case."),
    ]

    @model_serializer
    def _as_config(self) -> dict[str, Any]:
        return {"column": self.column, "is": self.texts}


NullWords = Annotated[tuple[Trimmed, ...], at_most("null_values")]
_WORDS: TypeAdapter[tuple[str, ...]] = TypeAdapter(
    NullWords, config={"coerce_numbers_to_str": True}
)


def _read_null_values(value: Any, read: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    if not isinstance(value, Mapping):
        return _WORDS.validate_python(value, context=info.context)
    by_column = _BY_COLUMN.validate_python(dict(value), context=info.context)
    _WORDS.validate_python(
        [word for words in by_column.values() for word in words], context=info.context
    )
    return by_column


def _read_null_column(name: Any, read: ValidatorFunctionWrapHandler) -> Any:
    return name if name == EVERY_COLUMN else read(name)


_BY_COLUMN: TypeAdapter[dict[str, tuple[str, ...]]] = TypeAdapter(
    dict[Annotated[MappedColumn, WrapValidator(_read_null_column)], tuple[Trimmed, ...]],
    config={"coerce_numbers_to_str": True},
)


def _check_symbol(symbol: str) -> str:
    if symbol == "-" or any(map(str.isdecimal, symbol)):
        raise refuse(f"{shorten(symbol)} is no symbol: it is a minus, or holds a digit")
    return symbol


class ParserConfig(Section):
    """How a vendor writes a feed; names and texts are trimmed."""

    format: FeedFormat
    compression: Compression = "auto"
    sheet: Filled | None = None
    delimiter: Delimiter = ","
    encoding: Encoding = "utf-8"
    quoting: Bool = True
    blank_extra_fields: Literal["refuse", "drop"] = "refuse"
    padded_numbers: Bool = False
    column_map: ColumnMap = Field(default={})
    skip_lines: Count = 0
    columns: Annotated[ColumnNames, at_most("parser_columns")] | None = None
    skip_rows: Annotated[
        tuple[SkipRule, ...],
        at_most(MAX_SKIP_ROWS),
        Field(json_schema_extra={"maxItems": MAX_SKIP_ROWS}),
    ] = ()
    null_values: Annotated[
        tuple[Trimmed, ...] | dict[str, tuple[Trimmed, ...]], WrapValidator(_read_null_values)
    ] = ()
    decimal_separator: Literal[".", ","] = "."
    thousands_separator: Literal[",", ".", "'", " "] | None = None
    currency_symbols: Annotated[tuple[Filled, ...], at_most("currency_symbols")] = ()
    zero_is_null: tuple[Literal["cost", "price", "map_price", "msrp"], ...] = ()
    quantity_words: Annotated[QuantityWords, at_most("quantity_words")] = Field(default={})
    quantity_symbols: Annotated[
        tuple[Annotated[Filled, AfterValidator(_check_symbol)], ...],
        at_most(MAX_SYMBOLS),
        Field(json_schema_extra={"maxItems": MAX_SYMBOLS}),
    ] = ()
    negative_quantity: Literal["refuse", "zero"] = "refuse"
    timestamp_formats: Annotated[tuple[TimestampFormat, ...], at_most("timestamp_formats")] = ()
    invalid_as_null: tuple[Literal["lead_time_days", "msrp", "condition", "updated_at"], ...] = ()
    # Last, because a default is read with the options above.
    defaults: Defaults = Field(default={})
    _extra_columns: tuple[str, ...] = ()

    def model_post_init(self, context: Any, /) -> None:
        """Take the names of the tenant's extra columns, which a feed may have under them."""
        self._extra_columns = tuple(getattr(context, "extra_columns", ()))

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """The names of the tenant's extra columns."""
        return self._extra_columns

    @field_validator(*FORMATS_WITH)
    @classmethod
    def _applies_to_format(cls, value: object, info: ValidationInfo) -> object:
        name = str(info.field_name)
        refuse_with_format(FORMATS_WITH[name], value != cls.model_fields[name].default, info)
        return value

    @field_validator("thousands_separator")
    @classmethod
    def _differs_from_decimal(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and value == info.data.get("decimal_separator"):
            raise refuse(f'"{value}" is the decimal separator already; the two must differ')
        return value

    @property
    def mapped_headers(self) -> dict[str, tuple[str, ...]]:
        """The headers that each entry of ``column_map`` needs, by column."""
        return {column: headers_of(source) for column, source in self.column_map.items()}

    @property
    def skip_headers(self) -> tuple[str, ...]:
        """The header of each entry of ``skip_rows``."""
        return tuple(rule.column for rule in self.skip_rows)

    def null_words(self, column: str) -> tuple[str, ...]:
        """Return the cells of a column that mean null."""
        if not isinstance(self.null_values, Mapping):
            return self.null_values
        of_all = self.null_values.get(EVERY_COLUMN, ())
        return (*self.null_values.get(column, ()), *of_all)
