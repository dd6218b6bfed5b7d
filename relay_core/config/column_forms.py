"""The objects of ``column_map``.

They make a column from several headers, or from changed cells. Each form is closed and
knows the headers that it needs. `relay_core.normalize` makes the columns.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import (
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

import relay_core.config.cross_checks as cross_checks
from relay_core.config.reading.scalars import NumberText, type_name
from relay_core.config.refusals import refuse
from relay_core.config.values import WHOLE, Filled, Section, Trimmed
from relay_core.domain.cell_rules import LARGEST_FACTOR
from relay_core.domain.columns import BY_NAME, MONEY_COLUMNS, Kind

MAX_VALUES = 200
"""The number of texts that ``values`` can replace."""
_STEPS = ("strip_prefix", "strip_suffix", "values", "times", "divided_by")


def is_text_column(column: str) -> bool:
    """Return whether a column has texts; a tenant's extra columns have."""
    return column not in BY_NAME or BY_NAME[column].kind is Kind.TEXT


def _between(lowest: int, highest: int) -> BeforeValidator:
    """Return the validator that refuses fewer or more headers."""

    def check(value: Any) -> Any:
        is_list = isinstance(value, list | tuple)
        if is_list and not lowest <= len(value) <= highest:
            raise refuse(
                f"must have {lowest} to {highest} headers, not {len(value)}",
            )
        return value

    return BeforeValidator(check)


TwoToTen = Annotated[
    tuple[Filled, ...],
    Field(json_schema_extra={"minItems": 2, "maxItems": 10}),
    _between(2, 10),
]
TwoToTwenty = Annotated[
    tuple[Filled, ...],
    Field(json_schema_extra={"minItems": 2, "maxItems": 20}),
    _between(2, 20),
]


class ColumnForm(Section):
    """An object of ``column_map``."""

    name: ClassVar[str]  # the key that distinguishes the form from the others
    # The columns that the form makes, in words.
    makes: ClassVar[str] = "any column"
    only: ClassVar[str | None] = None  # the only column that the form makes
    words: ClassVar[str] = ""  # a description with a place for the headers

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers that the form reads; errors are reported against the first."""
        return tuple(getattr(self, self.name))

    @classmethod
    def makes_column(cls, column: str) -> bool:
        """Return whether the form can make a column."""
        return cls.only in (None, column)

    @property
    def described(self) -> str:
        """The form in words."""
        headers = " and ".join(map(repr, self.headers))
        return self.words.format(headers)

    @model_serializer
    def _as_config(self) -> dict[str, Any]:
        document = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value is not None:
                document[field.alias or name] = value
        return document


class Join(ColumnForm):
    """The texts under several headers, joined; null if one of them is null."""

    name = "join"
    makes = "sku, vendor_sku, brand, title and extra columns"
    words = "{} joined"

    join: TwoToTen
    separator: Annotated[str, Field(alias="with")] = ""

    @classmethod
    def makes_column(cls, column: str) -> bool:
        """Return whether a column has texts."""
        return is_text_column(column)

    @property
    def described(self) -> str:
        """The headers and the separator in words."""
        between = f" with {self.separator!r} between" if self.separator else ""
        return f"{super().described}{between}"


class Sum(ColumnForm):
    """The sum of the quantities under several headers; null if all of them are null."""

    name = "sum"
    makes = only = "quantity_available"
    words = "the sum of {}"

    sum: TwoToTwenty


class First(ColumnForm):
    """The first cell under several headers that is not null."""

    name = "first"
    words = "the first of {} that is not empty"

    first: TwoToTen


# --- changed cells --------------------------------------------------------------------


_FACTOR: TypeAdapter[int] = TypeAdapter(
    Annotated[
        int,
        Field(ge=1, le=LARGEST_FACTOR),
        WHOLE,
    ],
)
_HEADER: TypeAdapter[str] = TypeAdapter(
    Filled,
    config=ConfigDict(coerce_numbers_to_str=True),
)


def _read_factor(value: Any, _: ValidatorFunctionWrapHandler) -> Any:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if is_integer or isinstance(value, NumberText):
        return _FACTOR.validate_python(value)
    if isinstance(value, str):
        return _HEADER.validate_python(value)
    raise refuse(f"must be a whole number or a header, not {type_name(value)}")


def _check_new_text(
    _: str,
    entry: cross_checks.Entry,
    __: ValidationInfo,
) -> None:
    text = str(entry.key).strip().casefold()
    cross_checks.refuse_repeated(text, entry.seen)


Factor = Annotated[
    Annotated[int, Field(ge=1, le=LARGEST_FACTOR)]
    | Annotated[str, Field(min_length=1)],
    WrapValidator(_read_factor),
    Field(description="A factor, or the header of the column that has it."),
]
Values = Annotated[
    dict[
        Annotated[Filled, BeforeValidator(cross_checks.refuse_bare)],
        Annotated[Trimmed, cross_checks.judged(_check_new_text)],
    ],
    Field(json_schema_extra={"maxProperties": MAX_VALUES}),
    cross_checks.ENTRIES,
    cross_checks.at_most(MAX_VALUES),
]


class Changed(ColumnForm):
    """The cells under one header: ends removed, texts replaced or numbers scaled."""

    name = "column"

    column: Filled
    strip_prefix: Annotated[str, Field(min_length=1)] | None = None
    strip_suffix: Annotated[str, Field(min_length=1)] | None = None
    values: Values | None = None
    times: Factor | None = None
    divided_by: Annotated[Factor | None, Field(validate_default=True)] = None

    @field_validator("strip_prefix", "strip_suffix")
    @classmethod
    def _goes_with_text(
        cls,
        value: str | None,
        info: ValidationInfo,
    ) -> str | None:
        column = str(info.context)
        if value is not None and not is_text_column(column):
            raise refuse(f"applies to {Join.makes}, not to {column}; remove it")
        return value

    @field_validator("times", "divided_by")
    @classmethod
    def _goes_with_number(
        cls,
        value: int | str | None,
        info: ValidationInfo,
    ) -> int | str | None:
        column = str(info.context)
        is_number = column == "quantity_available" or column in MONEY_COLUMNS
        if value is not None and not is_number:
            raise refuse(
                f"applies to quantity_available and amounts, not to {column}; remove it",
            )
        return value

    @field_validator("divided_by")
    @classmethod
    def _does_something(
        cls,
        value: int | str | None,
        info: ValidationInfo,
    ) -> int | str | None:
        # An invalid step is absent from ``info.data``; it still counts as set.
        steps = [
            name
            for name in _STEPS[:-1]
            if info.data.get(name, name) is not None
        ]
        if value is not None and "times" in steps:
            raise refuse(
                "must have only one of times and divided_by, not both",
                of_section=True,
            )
        if not steps and value is None:
            raise refuse(
                f"must have at least one of {', '.join(_STEPS)}; to use a header unchanged, "
                "write its text instead of the object",
                of_section=True,
            )
        return value

    @property
    def factor(self) -> int | str | None:
        """The factor: a number, or the header of a column of numbers."""
        return self.divided_by if self.times is None else self.times

    @property
    def headers(self) -> tuple[str, ...]:
        """The header of the cells and, if there is one, the header of the factor."""
        if isinstance(self.factor, str):
            return (self.column, self.factor)
        return (self.column,)

    @property
    def described(self) -> str:
        """The header and the steps in their order, in words."""
        steps = [repr(self.column)]
        if self.strip_prefix:
            steps.append(f"without {self.strip_prefix!r} in front")
        if self.strip_suffix:
            steps.append(f"without {self.strip_suffix!r} behind")
        if self.values:
            steps.append(f"with {len(self.values)} texts replaced")
        if self.times is not None:
            steps.append(f"times {self.times!r}")
        if self.divided_by is not None:
            steps.append(f"divided by {self.divided_by!r}")
        return ", ".join(steps)


# --- reading --------------------------------------------------------------------------


FORMS: tuple[type[ColumnForm], ...] = (Join, Sum, First, Changed)
MappedSource: TypeAlias = str | Join | Sum | First | Changed


def _read_source(
    entry: cross_checks.Entry,
    _: ValidatorFunctionWrapHandler,
    info: ValidationInfo,
) -> Any:
    """Read a header, or the form whose key an object has."""
    value = entry.value
    column = str(entry.key)
    if isinstance(value, ColumnForm):
        return value
    if not isinstance(value, Mapping):
        return _HEADER.validate_python(value)
    named_forms = [form for form in FORMS if value.get(form.name) is not None]
    if len(named_forms) != 1:
        all_names = ", ".join(form.name for form in FORMS)
        names = " and ".join(form.name for form in named_forms) or "none"
        raise refuse(f"must have exactly one of {all_names}; it has {names}")
    (form,) = named_forms
    if not form.makes_column(column):
        raise refuse(
            f"{form.name} can make {form.makes}, but not {column}; use another form",
        )
    return form.model_validate(value, context=column)


ReadSource = WrapValidator(_read_source)
