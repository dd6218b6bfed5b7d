"""The fields of the settings forms, with their texts and their errors."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import QueryParams

from relay_core.domain.errors import ConfigFault
from relay_core.report import display
from relay_dagster.web.error_words import FieldError
from relay_dagster.web.settings.form_values import (
    MAX_BLANK_ROWS,
    SWITCHED_ON,
    joined,
    percentage,
    texts_of,
)
from relay_dagster.web.settings.options import Kind, Option, options_of

_LARGEST_BOUND = 1_000_000
# The error of a field that the config requires has this message.
_MISSING = "is required"
_VERBS = ("applies", "contains", "does", "has", "is", "must", "needs")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a list in a form."""

    path: str
    title: str = ""
    rank: str = ""  # the number that orders the row, or "" without one
    key: str = ""
    value: str = ""
    fields: Sequence["Field"] = ()
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form: an option, its texts, and its error."""

    name: str
    option: Option
    text: str = ""
    chosen: Mapping[str, str] = field(default_factory=dict)
    is_on: bool = False
    fields: Sequence["Field"] = ()
    rows: Sequence[Row] = ()
    error: FieldError | None = None


@dataclass(slots=True)
class FieldErrors:
    """The errors of a form's fields, by the path of the fault."""

    faults: Sequence[ConfigFault] = ()
    shown_faults: set[ConfigFault] = field(default_factory=set)

    def take(self, option: Option, path: str) -> FieldError | None:
        """Return the error of a field, which no other field shows then.

        A field shows the faults of its own path and of the paths below it.
        """
        for fault in self.faults:
            is_of_field = fault.path == path or fault.path.startswith(
                f"{path}."
            )
            if is_of_field and fault not in self.shown_faults:
                self.shown_faults.add(fault)
                return field_error(option, fault.message)
        return None

    def of_no_field(self) -> list[ConfigFault]:
        """Return the faults that no field has shown."""
        return [
            fault for fault in self.faults if fault not in self.shown_faults
        ]


def field_error(option: Option, message: str) -> FieldError:
    """Return the error of a field, in words that say how to fix it."""
    if message.startswith(_MISSING):
        return FieldError("Fill in this field.")
    if option.kind in (Kind.PERCENT, Kind.AMOUNT, Kind.WHOLE):
        return _number_error(option, message)
    return FieldError(_sentence(message))


def _sentence(message: str) -> str:
    """Return a fault as a sentence; most of them begin with a verb."""
    verb = message.partition(" ")[0]
    subject = "This value " if verb in _VERBS else ""
    return display.sentence(f"{subject}{message}")


def _number_error(option: Option, message: str) -> FieldError:
    """Return the error of a number, with the numbers that are allowed."""
    if "must be" not in message and "decimal places" not in message:
        return FieldError(_sentence(message))
    lowest = option.lowest
    highest = option.highest
    is_percentage = option.kind is Kind.PERCENT
    if is_percentage:
        lowest = None if lowest is None else percentage(str(lowest))
        highest = None if highest is None else percentage(str(highest))
    bounds = ""
    if lowest is not None:
        bounds = f" of {lowest} or more"
        if highest is not None and float(highest) <= _LARGEST_BOUND:
            bounds = f" from {lowest} to {highest}"
    if option.kind is Kind.WHOLE:
        return FieldError(f"Enter a whole number{bounds}.")
    noun = "a percentage" if is_percentage else "an amount"
    example = "12.5" if is_percentage else "12.50"
    return FieldError(
        f"Enter {noun}{bounds}.",
        f"Use a period as the decimal separator, for example {example}.",
    )


def fields_of(
    path: str,
    options: Iterable[Option],
    section: Mapping[str, Any],
    errors: FieldErrors,
) -> list[Field]:
    """Return the fields that show some options of a section.

    Args:
        path: The section's path in the config.
        options: The options to show.
        section: The section; absent options have their defaults.
        errors: The errors of the form.
    """
    return [
        _field(
            joined(path, option.name),
            option,
            section.get(option.name, option.default),
            errors,
        )
        for option in options
    ]


def _field(path: str, option: Option, value: Any, errors: FieldErrors) -> Field:
    """Return the field of an option; the fields within it show their errors first."""
    texts = QueryParams(list(texts_of(path, option, value)))
    fields: Sequence[Field] = ()
    rows: Sequence[Row] = ()
    chosen: dict[str, str] = {}
    if option.kind is Kind.SECTION:
        fields = fields_of(
            path, options_of(option.section), value or {}, errors
        )
    elif option.kind is Kind.SECTIONS:
        rows = list(_section_rows(path, option, value or (), errors))
    elif option.kind is Kind.PAIRS:
        rows = list(_pair_rows(path, texts))
    elif option.kind is Kind.CHOICES and option.words.ordered:
        chosen = {
            choice: texts.get(joined(path, choice), "")
            for choice in option.choices
        }
    elif option.kind is Kind.CHOICES:
        chosen = dict.fromkeys(texts.getlist(path), SWITCHED_ON)
    return Field(
        name=path,
        option=option,
        text=texts.get(path, ""),
        chosen=chosen,
        is_on=value is not None,
        fields=fields,
        rows=rows,
        error=errors.take(option, path),
    )


def _section_rows(
    path: str, option: Option, items: Sequence[Any], errors: FieldErrors
) -> Iterator[Row]:
    """Yield the rows of a list of sections, and blank rows for new items."""
    options = options_of(option.section)
    blank_rows = MAX_BLANK_ROWS if option.words.ordered else 1
    for index in range(len(items) + blank_rows):
        is_new = index >= len(items)
        item: Any = {} if is_new else items[index]
        if not isinstance(item, Mapping):
            item = {"column": item}
        row_path = joined(path, index)
        yield Row(
            path=row_path,
            title="New entry" if is_new else f"Entry {index + 1}",
            rank="" if is_new else str(index + 1),
            fields=fields_of(row_path, options, item, errors),
            is_new=is_new,
        )


def _pair_rows(path: str, texts: QueryParams) -> Iterator[Row]:
    count = int(texts.get(joined(path, "count"), "0"))
    for index in range(count + MAX_BLANK_ROWS):
        row = joined(path, index)
        yield Row(
            path=row,
            key=texts.get(joined(row, "key"), ""),
            value=texts.get(joined(row, "value"), ""),
            is_new=index >= count,
        )


def row_count(option_field: Field) -> int:
    """Return the number of rows of a field that are not new."""
    return sum(not row.is_new for row in option_field.rows)
