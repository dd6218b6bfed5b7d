"""The section ``parser`` of a config: how a vendor writes a feed."""

import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Literal, Self

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

import relay_core.config.cross_checks as cross_checks
import relay_core.config.parser_entries as parser_entries
import relay_core.config.values as values
import relay_core.domain.document_paths as document_paths
from relay_core.config.column_forms import MappedSource, ReadSource
from relay_core.config.refusals import refuse
from relay_core.config.timestamp_formats import TimestampFormat
from relay_core.domain.cell_rules import shorten
from relay_core.domain.columns import CANONICAL_COLUMNS
from relay_core.domain.formats import (
    DOCUMENT_FORMATS,
    FORMATS_WITH,
    FeedFormat,
)

Compression = Literal["auto", "none", "gzip", "zip"]
EVERY_COLUMN = "*"
"""The key of ``null_values`` for all columns."""
MAX_SKIP_ROWS = 50
MAX_SKIP_TEXTS = 200
MAX_SYMBOLS = 50

# --- paths in documents ---------------------------------------------------------------


def _check_record(path: str | None, info: ValidationInfo) -> str | None:
    """Refuse a path of records that cannot be read, and XML without one."""
    if path is None:
        if info.data.get("format") == "xml":
            raise refuse(
                'is required if format is "xml", such as /catalog/product'
            )
        return path
    try:
        document_paths.record_names(path)
    except document_paths.PathError as error:
        raise refuse(
            f"{error}, such as /catalog/product, not {shorten(path)}"
        ) from error
    return path


def _check_paths(source: Any, info: ValidationInfo) -> Any:
    """Refuse headers of a document's records that are not paths.

    ``source`` is a header, or has the headers that it reads.
    """
    headers = (source,) if isinstance(source, str) else source.headers
    check_headers(headers, info.data.get("format"), info.data.get("record"))
    return source


def check_headers(
    headers: Iterable[str],
    format: str | None,
    record: str | None,
) -> None:
    """Refuse headers of records at a path of a document that are not paths."""
    if format not in DOCUMENT_FORMATS:
        return
    level = len(document_paths.record_names(record or "/"))
    for header in headers:
        try:
            path = document_paths.value_path(header.strip())
        except document_paths.PathError as error:
            raise refuse(f"{shorten(header)} {error}") from error
        if path.levels_up > level:
            raise refuse(
                f"{shorten(header)} begins {path.levels_up} levels above the record, but "
                f"parser.record has {level}",
            )


_RecordPath = Annotated[
    Annotated[
        values.Filled,
        Field(
            description="The path of the records: `/`, or names joined by `/`. Required "
            "with format `xml`; `/` by default with format `json`.",
        ),
    ]
    | None,
    AfterValidator(_check_record),
]


# --- columns --------------------------------------------------------------------------


ColumnMap = Annotated[
    dict[
        cross_checks.MappedColumn,
        Annotated[
            MappedSource,
            ReadSource,
            AfterValidator(_check_paths),
        ],
    ],
    cross_checks.BY_COLUMN,
    cross_checks.ENTRIES,
]


# --- rows to skip ---------------------------------------------------------------------


_TEXTS: TypeAdapter[tuple[str, ...]] = TypeAdapter(
    Annotated[
        tuple[values.Filled, ...],
        cross_checks.at_most(MAX_SKIP_TEXTS, "texts"),
    ],
    config={"coerce_numbers_to_str": True},
)


def _read_skipped(value: Any, _: ValidatorFunctionWrapHandler) -> Any:
    if value == "empty":
        return value
    if not isinstance(value, list | tuple):
        raise refuse('must be "empty" or a list of texts')
    if not value:
        raise refuse("must not be empty; list at least one text")
    return _TEXTS.validate_python(value)


class SkipRule(values.Section):
    """Skips records whose cell under a header is empty or has one of some texts."""

    column: values.Filled
    texts: Annotated[
        Literal["empty"] | tuple[values.Filled, ...],
        WrapValidator(_read_skipped),
        Field(
            alias="is",
            description="`empty`, or 1 to 200 texts in any letter case.",
        ),
    ]

    @property
    def headers(self) -> tuple[str, ...]:
        """The header that the rule reads."""
        return (self.column,)

    @model_serializer
    def _as_config(self) -> dict[str, Any]:
        return {"column": self.column, "is": self.texts}


# --- nulls ----------------------------------------------------------------------------


def _read_null_column(name: str, read: ValidatorFunctionWrapHandler) -> Any:
    return name if name == EVERY_COLUMN else read(name)


_NullColumn = Annotated[
    cross_checks.MappedColumn,
    WrapValidator(_read_null_column),
]
_WORDS: TypeAdapter[tuple[str, ...]] = TypeAdapter(
    Annotated[
        tuple[values.Trimmed, ...],
        cross_checks.at_most("null_values"),
    ],
    config={"coerce_numbers_to_str": True},
)
_WORDS_BY_COLUMN: TypeAdapter[dict[str, tuple[str, ...]]] = TypeAdapter(
    dict[_NullColumn, tuple[values.Trimmed, ...]],
    config={"coerce_numbers_to_str": True},
)


def _read_null_values(
    value: Any,
    _: ValidatorFunctionWrapHandler,
    info: ValidationInfo,
) -> Any:
    """Read the words of all columns, or of each column, within a limit."""
    if not isinstance(value, Mapping):
        return _WORDS.validate_python(value, context=info.context)
    by_column = _WORDS_BY_COLUMN.validate_python(
        dict(value),
        context=info.context,
    )
    all_words = [word for words in by_column.values() for word in words]
    _WORDS.validate_python(all_words, context=info.context)
    return by_column


# --- the section ----------------------------------------------------------------------


def _check_symbol(symbol: str) -> str:
    if symbol == "-" or any(map(str.isdecimal, symbol)):
        raise refuse(
            f"{shorten(symbol)} must not be a minus sign or contain a digit; remove it",
        )
    return symbol


class ParserConfig(values.Section):
    """How a vendor writes its files. Names and texts are trimmed."""

    format: FeedFormat
    record: _RecordPath = values.optional()
    compression: Compression = "auto"
    sheet: values.Filled | None = None
    delimiter: values.Delimiter = ","
    encoding: values.Encoding = "utf-8"
    quoting: values.Bool = True
    blank_extra_fields: Literal["refuse", "drop"] = "refuse"
    padded_numbers: values.Bool = False
    column_map: ColumnMap = Field(default={})
    skip_lines: values.Count = 0
    columns: (
        Annotated[
            parser_entries.ColumnNames,
            cross_checks.at_most("parser_columns"),
        ]
        | None
    ) = None
    skip_rows: Annotated[
        tuple[
            Annotated[SkipRule, AfterValidator(_check_paths)],
            ...,
        ],
        cross_checks.at_most(MAX_SKIP_ROWS),
        Field(json_schema_extra={"maxItems": MAX_SKIP_ROWS}),
    ] = ()
    null_values: Annotated[
        tuple[values.Trimmed, ...] | dict[str, tuple[values.Trimmed, ...]],
        WrapValidator(_read_null_values),
    ] = ()
    decimal_separator: Literal[".", ","] = "."
    thousands_separator: Literal[",", ".", "'", " "] | None = None
    currency_symbols: Annotated[
        tuple[values.Filled, ...],
        cross_checks.at_most("currency_symbols"),
    ] = ()
    zero_is_null: tuple[Literal["cost", "price", "map_price", "msrp"], ...] = ()
    quantity_words: Annotated[
        parser_entries.QuantityWords,
        cross_checks.at_most("quantity_words"),
    ] = Field(default={})
    quantity_symbols: Annotated[
        tuple[Annotated[values.Filled, AfterValidator(_check_symbol)], ...],
        cross_checks.at_most(MAX_SYMBOLS),
        Field(json_schema_extra={"maxItems": MAX_SYMBOLS}),
    ] = ()
    negative_quantity: Literal["refuse", "zero"] = "refuse"
    timestamp_formats: Annotated[
        tuple[TimestampFormat, ...],
        cross_checks.at_most("timestamp_formats"),
    ] = ()
    invalid_as_null: tuple[parser_entries.NullableColumn, ...] = ()
    # The last field, because a default is read with the options above.
    defaults: parser_entries.Defaults = Field(default={})
    _extra_columns: tuple[str, ...] = ()
    _gtin_column: str | None = None
    _has_gtin_skus: bool = False
    _columns_read: tuple[str, ...] | None = None
    _deleted: SkipRule | None = None

    def model_post_init(self, context: Any, /) -> None:
        """Keep the names of the tenant's extra columns, which a feed may have."""
        self._extra_columns = tuple(getattr(context, "extra_columns", ()))
        self._gtin_column = getattr(context, "gtin_column", None)

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """The names of the tenant's extra columns."""
        return self._extra_columns

    @property
    def gtin_column(self) -> str | None:
        """The name of the extra column that has GTINs, or None."""
        return self._gtin_column

    @property
    def has_gtin_skus(self) -> bool:
        """True if SKUs are read as GTINs, because they are the keys of a part."""
        return self._has_gtin_skus

    @field_validator(*FORMATS_WITH)
    @classmethod
    def _applies_to_format(cls, value: object, info: ValidationInfo) -> object:
        name = str(info.field_name)
        is_set = value != cls.model_fields[name].default
        formats = FORMATS_WITH[name]
        cross_checks.refuse_idle("format", formats, is_set, info)
        return value

    @field_validator("thousands_separator")
    @classmethod
    def _differs_from_decimal(
        cls,
        value: str | None,
        info: ValidationInfo,
    ) -> str | None:
        if value is not None and value == info.data.get("decimal_separator"):
            raise refuse(
                f'"{value}" is already the decimal separator; choose another one',
            )
        return value

    @property
    def record_path(self) -> str:
        """The path of the records of a JSON document or of XML."""
        return self.record or document_paths.ROOT

    @property
    def named_headers(self) -> tuple[str, ...]:
        """The headers that the config names, in the order of its options."""
        mapped = itertools.chain.from_iterable(self.mapped_headers.values())
        return (*mapped, *self.skip_headers, *self.deleted_headers)

    @property
    def mapped_headers(self) -> dict[str, tuple[str, ...]]:
        """The headers that each entry of ``column_map`` reads, by column."""
        headers: dict[str, tuple[str, ...]] = {}
        for column, source in self.column_map.items():
            if isinstance(source, str):
                headers[column] = (source.strip(),)
            else:
                headers[column] = source.headers
        return headers

    @property
    def skip_headers(self) -> tuple[str, ...]:
        """The headers that ``skip_rows`` reads, one an entry."""
        return tuple(rule.column for rule in self.skip_rows)

    def reading(
        self,
        *,
        only: Collection[str] | None = None,
        without: Collection[str] = (),
        deleted: SkipRule | None = None,
        key: str = "sku",
    ) -> "ParserConfig":
        """Return the parser of files that have some of the columns.

        A file without the quantity of its rows, which another file gives, has a
        quantity of 0.

        Args:
            only: The columns to read; None for all.
            without: The columns not to read.
            deleted: The records of a file of changes that delete rows.
            key: The column of base rows that the files' SKUs equal.
        """
        columns = [
            column
            for column in self.readable_columns
            if (only is None or column in only) and column not in without
        ]
        has_gtin_skus = key == self.gtin_column
        is_whole = len(columns) == len(self.readable_columns)
        if is_whole and deleted is None and not has_gtin_skus:
            return self
        defaults = dict(self.defaults)
        if "quantity_available" not in columns:
            defaults["quantity_available"] = "0"
        parser = self.model_copy(update={"defaults": defaults})
        parser._columns_read = tuple(columns)
        parser._deleted = deleted
        parser._has_gtin_skus = has_gtin_skus
        return parser

    def for_tables(self) -> Self:
        """Return the parser of a table's rows, which are a Parquet file.

        The options that say nothing about Parquet have their defaults.
        """
        idle_options = [
            option
            for option, formats in FORMATS_WITH.items()
            if "parquet" not in formats
        ]
        fields = type(self).model_fields
        changes: dict[str, Any] = {
            option: fields[option].get_default(call_default_factory=True)
            for option in (*idle_options, "compression")
        }
        return self.model_copy(update={**changes, "format": "parquet"})

    @property
    def readable_columns(self) -> tuple[str, ...]:
        """The canonical columns and extra columns that the files may have."""
        if self._columns_read is None:
            return (*CANONICAL_COLUMNS, *self._extra_columns)
        return self._columns_read

    @property
    def deleted(self) -> SkipRule | None:
        """The records of a file of changes that delete rows; None if there are none."""
        return self._deleted

    @property
    def deleted_headers(self) -> tuple[str, ...]:
        """The header that ``deleted`` reads, if there is one."""
        return () if self._deleted is None else self._deleted.headers

    def null_words(self, column: str) -> tuple[str, ...]:
        """Return the cells of a column that mean null."""
        if not isinstance(self.null_values, Mapping):
            return self.null_values
        words = self.null_values.get(column, ())
        words_of_all = self.null_values.get(EVERY_COLUMN, ())
        return (*words, *words_of_all)
