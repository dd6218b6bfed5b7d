"""How a vendor writes a feed: the section ``parser`` of a config.

An object of ``column_map`` makes one column of several headers, or of changed cells. Each is a
closed form, and knows the headers that it needs. How their cells are read is in
`relay_core.normalize.number_columns`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_serializer,
)

from relay_core.config.cross_checks import (
    BY_COLUMN,
    ENTRIES,
    FORMATS_WITH,
    ColumnNames,
    Defaults,
    Entry,
    MappedColumn,
    QuantityWords,
    TimestampFormat,
    at_most,
    judged,
    refuse_bare,
    refuse_idle,
    refuse_repeated,
)
from relay_core.config.values import (
    WHOLE,
    Bool,
    Count,
    Delimiter,
    Encoding,
    Filled,
    NumberText,
    Section,
    Trimmed,
    refuse,
    type_name,
)
from relay_core.domain.cell_rules import LARGEST_FACTOR, shorten
from relay_core.domain.columns import BY_NAME, MONEY_COLUMNS, Kind

MAX_VALUES = 200
"""So many texts ``values`` replaces at most."""


def _counted(least: int, most: int) -> BeforeValidator:
    """Return the validator of a list of so many headers."""

    def count(value: Any) -> Any:
        if isinstance(value, list | tuple) and not least <= len(value) <= most:
            raise refuse(f"{least} to {most} headers are wanted, not {len(value)}")
        return value

    return BeforeValidator(count)


TwoToTen = Annotated[
    tuple[Filled, ...],
    Field(json_schema_extra={"minItems": 2, "maxItems": 10}),
    _counted(2, 10),
]
TwoToTwenty = Annotated[
    tuple[Filled, ...],
    Field(json_schema_extra={"minItems": 2, "maxItems": 20}),
    _counted(2, 20),
]


class ColumnForm(Section):
    """An object of ``column_map``."""

    name: ClassVar[str]  # the key that tells it from the others
    makes: ClassVar[str] = "any column"  # which kinds of columns it makes, in words
    only: ClassVar[str | None] = None  # the one column that it makes
    words: ClassVar[str] = ""  # it in words, with a place for its headers

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers that it needs; the first is the one that a fault is shown at."""
        return tuple(getattr(self, self.name))

    @classmethod
    def makes_column(cls, column: str) -> bool:
        """Return whether a column can be made so."""
        return cls.only in (None, column)

    @property
    def described(self) -> str:
        """The form in words."""
        return self.words.format(" and ".join(map(repr, self.headers)))

    @model_serializer
    def _as_config(self) -> dict[str, Any]:
        fields = type(self).model_fields
        own = {(fields[key].alias or key): each for key, each in self.__dict__.items()}
        return {key: each for key, each in own.items() if each is not None}


def is_text_column(column: str) -> bool:
    """Return whether a column is of texts that pass through; a tenant's own ones are."""
    return column not in BY_NAME or BY_NAME[column].kind is Kind.TEXT


class Join(ColumnForm):
    """The texts of several headers, one behind the other; null where one of them is."""

    name = "join"
    makes = "sku, vendor_sku, brand, title and extra columns"
    words = "{} joined"

    join: TwoToTen
    separator: Annotated[str, Field(alias="with")] = ""

    @classmethod
    def makes_column(cls, column: str) -> bool:
        """Return whether it is a column of texts."""
        return is_text_column(column)

    @property
    def described(self) -> str:
        """The parts, and what stands between them."""
        between = f" with {self.separator!r} between" if self.separator else ""
        return f"{super().described}{between}"


class Sum(ColumnForm):
    """The sum of the quantities under several headers; null where all of them are."""

    name = "sum"
    makes = only = "quantity_available"
    words = "the sum of {}"

    sum: TwoToTwenty


class First(ColumnForm):
    """The first cell under several headers that is not null."""

    name = "first"
    words = "the first of {} that is not empty"

    first: TwoToTen


def _read_factor(value: Any) -> Any:
    if isinstance(value, NumberText) or (
        isinstance(value, int) and not isinstance(value, bool)
    ):
        return _FACTOR.validate_python(value)
    if isinstance(value, str):
        return _HEADER.validate_python(value)
    raise refuse(f"a whole number or a header is wanted, not {type_name(value)}")


_FACTOR: TypeAdapter[int] = TypeAdapter(
    Annotated[int, Field(ge=1, le=LARGEST_FACTOR), WHOLE]
)
_HEADER: TypeAdapter[str] = TypeAdapter(
    Filled, config=ConfigDict(coerce_numbers_to_str=True)
)
Factor = Annotated[
    Annotated[int, Field(ge=1, le=LARGEST_FACTOR)]
    | Annotated[str, Field(min_length=1)],
    WrapValidator(lambda value, _: _read_factor(value)),
    Field(description="A number is the factor, a text the header of the factor."),
]


_OfNewText = judged(
    lambda _, entry, __: refuse_repeated(str(entry.key).strip().casefold(), entry.seen)
)
Values = Annotated[
    dict[
        Annotated[Filled, BeforeValidator(refuse_bare)], Annotated[Trimmed, _OfNewText]
    ],
    Field(json_schema_extra={"maxProperties": MAX_VALUES}),
    ENTRIES,
    at_most(MAX_VALUES),
]
_STEPS = ("strip_prefix", "strip_suffix", "values", "times", "divided_by")


class Changed(ColumnForm):
    """The cells under one header, changed: ends off, other texts, times or divided by a factor."""

    name = "column"

    column: Filled
    strip_prefix: Annotated[str, Field(min_length=1)] | None = None
    strip_suffix: Annotated[str, Field(min_length=1)] | None = None
    values: Values | None = None
    times: Factor | None = None
    divided_by: Annotated[Factor | None, Field(validate_default=True)] = None

    @field_validator("strip_prefix", "strip_suffix", "times", "divided_by")
    @classmethod
    def _goes_with_column(
        cls, value: int | str | None, info: ValidationInfo
    ) -> int | str | None:
        column, is_end = str(info.context), str(info.field_name).startswith("strip")
        is_scaled = column == "quantity_available" or column in MONEY_COLUMNS
        if value is None or (is_text_column(column) if is_end else is_scaled):
            return value
        wanted = Join.makes if is_end else "quantity_available and amounts"
        raise refuse(f"is for {wanted}, not for {column}")

    @field_validator("divided_by")
    @classmethod
    def _does_something(
        cls, value: int | str | None, info: ValidationInfo
    ) -> int | str | None:
        # An option that is refused is none that is missing.
        given = [name for name in _STEPS[:-1] if info.data.get(name, name) is not None]
        if value is not None and "times" in given:
            raise refuse(
                "must have one of times and divided_by, not both", of_section=True
            )
        if not given and value is None:
            raise refuse(
                f"must have one of {', '.join(_STEPS)}; for a header alone write its text",
                of_section=True,
            )
        return value

    @property
    def factor(self) -> int | str | None:
        """What cells are multiplied with or divided by: a number, or the header of one."""
        return self.divided_by if self.times is None else self.times

    @property
    def headers(self) -> tuple[str, ...]:
        """Its header, and the one that its factor stands under."""
        return (
            (self.column, self.factor)
            if isinstance(self.factor, str)
            else (self.column,)
        )

    @property
    def described(self) -> str:
        """The header, and the steps in their order."""
        said = [
            f"without {self.strip_prefix!r} in front" if self.strip_prefix else "",
            f"without {self.strip_suffix!r} behind" if self.strip_suffix else "",
            f"with {len(self.values)} texts replaced" if self.values else "",
            f"times {self.times!r}" if self.times is not None else "",
            f"divided by {self.divided_by!r}" if self.divided_by is not None else "",
        ]
        return ", ".join([repr(self.column), *filter(None, said)])


FORMS: tuple[type[ColumnForm], ...] = (Join, Sum, First, Changed)
MappedSource: TypeAlias = str | Join | Sum | First | Changed


def _read_source(
    entry: Entry, _: ValidatorFunctionWrapHandler, info: ValidationInfo
) -> Any:
    value, column = entry.value, str(entry.key)
    if isinstance(value, ColumnForm):
        return value
    if not isinstance(value, Mapping):
        return _HEADER.validate_python(value)
    named = [form for form in FORMS if value.get(form.name) is not None]
    if len(named) != 1:
        has = " and ".join(form.name for form in named) or "none"
        raise refuse(
            f"must have exactly one of {', '.join(f.name for f in FORMS)}; it has {has}"
        )
    (form,) = named
    if not form.makes_column(column):
        raise refuse(f"{form.name} makes {form.makes}, and no {column}")
    return form.model_validate(value, context=column)


ReadSource = WrapValidator(_read_source)


FeedFormat = Literal["csv", "jsonl", "xlsx", "xls", "ods", "parquet"]
Compression = Literal["auto", "none", "gzip", "zip"]
EVERY_COLUMN = "*"
"""The key of ``null_values`` for all columns."""
MAX_SKIP_ROWS, MAX_SKIP_TEXTS, MAX_SYMBOLS = 50, 200, 50

ColumnMap = Annotated[
    dict[MappedColumn, Annotated[MappedSource, ReadSource]], BY_COLUMN, ENTRIES
]


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


def _read_null_values(
    value: Any, read: ValidatorFunctionWrapHandler, info: ValidationInfo
) -> Any:
    if not isinstance(value, Mapping):
        return _WORDS.validate_python(value, context=info.context)
    by_column = _BY_COLUMN.validate_python(dict(value), context=info.context)
    _WORDS.validate_python(
        [word for words in by_column.values() for word in words], context=info.context
    )
    return by_column


_NullColumn = Annotated[
    MappedColumn,
    WrapValidator(lambda name, read: name if name == EVERY_COLUMN else read(name)),
]
_BY_COLUMN: TypeAdapter[dict[str, tuple[str, ...]]] = TypeAdapter(
    dict[_NullColumn, tuple[Trimmed, ...]], config={"coerce_numbers_to_str": True}
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
        tuple[Trimmed, ...] | dict[str, tuple[Trimmed, ...]],
        WrapValidator(_read_null_values),
    ] = ()
    decimal_separator: Literal[".", ","] = "."
    thousands_separator: Literal[",", ".", "'", " "] | None = None
    currency_symbols: Annotated[tuple[Filled, ...], at_most("currency_symbols")] = ()
    zero_is_null: tuple[Literal["cost", "price", "map_price", "msrp"], ...] = ()
    quantity_words: Annotated[QuantityWords, at_most("quantity_words")] = Field(
        default={}
    )
    quantity_symbols: Annotated[
        tuple[Annotated[Filled, AfterValidator(_check_symbol)], ...],
        at_most(MAX_SYMBOLS),
        Field(json_schema_extra={"maxItems": MAX_SYMBOLS}),
    ] = ()
    negative_quantity: Literal["refuse", "zero"] = "refuse"
    timestamp_formats: Annotated[
        tuple[TimestampFormat, ...], at_most("timestamp_formats")
    ] = ()
    invalid_as_null: tuple[
        Literal["lead_time_days", "msrp", "condition", "updated_at"], ...
    ] = ()
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
        is_set = value != cls.model_fields[name].default
        refuse_idle("format", FORMATS_WITH[name], is_set, info)
        return value

    @field_validator("thousands_separator")
    @classmethod
    def _differs_from_decimal(
        cls, value: str | None, info: ValidationInfo
    ) -> str | None:
        if value is not None and value == info.data.get("decimal_separator"):
            raise refuse(
                f'"{value}" is the decimal separator already; the two must differ'
            )
        return value

    @property
    def mapped_headers(self) -> dict[str, tuple[str, ...]]:
        """The headers that each entry of ``column_map`` needs, by column."""
        return {
            column: (source.strip(),) if isinstance(source, str) else source.headers
            for column, source in self.column_map.items()
        }

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
