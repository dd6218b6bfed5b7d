"""Faults of a config in plain words, made of pydantic's errors, each with its path."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from relay_core.config.scalars import join_path, type_name
from relay_core.config.values import (
    OUTPUT_COLUMNS,
    QUOTE_IT,
    REFUSED,
    UNKNOWN_COLUMN,
    UNKNOWN_OUTPUT_COLUMN,
    nearest,
)
from relay_core.domain.cell_rules import shorten
from relay_core.domain.columns import CANONICAL_COLUMNS
from relay_core.domain.errors import ConfigFault
from relay_core.domain.limits import MAX_FAULTS

_SENTENCES = {
    "missing": "is required",
    "extra_forbidden": "unknown key",
    "model_type": "a mapping of keys to values is wanted, not {kind}{text}",
    "dict_type": "a mapping of keys to values is wanted, not {kind}",
    "tuple_type": "a list is wanted, not {kind}",
    "string_type": "text is wanted, not {kind}",
    "bool_type": "true or false is wanted, without quotes, not {kind}",
    "string_pattern_mismatch": "{value} is no id: use 1 to 64 letters, digits, _ and -, of which "
    "the first is a letter or a digit",
    UNKNOWN_COLUMN: "{value} is no canonical column",
    UNKNOWN_OUTPUT_COLUMN: "{value} is no canonical column",
    "greater_than": "must be above {gt}, not {value}",
    "greater_than_equal": "must be {ge} or more, not {value}",
    "less_than_equal": "must be {le} or less, not {value}",
    "less_than": "must be below {lt:,}, not {value}",
    "decimal_max_places": "has more than {decimal_places} decimal places: {value}",
}
"""The sentence of each type of faults."""
_COLUMNS = {UNKNOWN_COLUMN: CANONICAL_COLUMNS, UNKNOWN_OUTPUT_COLUMN: OUTPUT_COLUMNS}
_AT_LEAST_ONE, _LEAVE_OUT = "list at least one", "leave the entry out instead"


def faults_of(error: ValidationError, model: type[BaseModel]) -> Iterator[ConfigFault]:
    """Yield the faults behind a failed validation of ``model``, in the order of its fields."""
    details: list[Any] = [
        each
        for each in error.errors(include_url=False)
        # The faults of a list whose items are all refused are those of its items.
        if each["type"] != "too_short" or not (isinstance(each["input"], list) and each["input"])
    ]
    for index, detail in enumerate(details):
        path, context = detail["loc"], detail.get("ctx", {})
        if detail["type"] == REFUSED:
            path = path[:-1] if "of_section" in context else path
            message, hint = context["message"], context.get("hint", str)
        elif detail["type"] == "literal_error":
            message, hint = _choice(detail, *_field_at(model, path))
        else:
            message = _sentence(detail, context)
            hint = partial(_nearest, detail, *_field_at(model, path))
        path = path[:-1] if path[-1:] == ("[key]",) else path
        yield ConfigFault(join_path(path), message + (hint() if index < MAX_FAULTS else ""))


def _sentence(detail: Any, context: Mapping[str, Any]) -> str:
    kind, given = detail["type"], detail["input"]
    if kind == "string_type" and isinstance(given, bool):
        return QUOTE_IT
    if kind == "too_short":
        is_list = context["field_type"] == "Tuple"
        return f"must not be empty; {_AT_LEAST_ONE if is_list else _LEAVE_OUT}"
    written = format(given, "f") if isinstance(given, Decimal) else str(given)
    sentence: str = _SENTENCES.get(kind, detail["msg"])
    return sentence.format(
        kind=type_name(given),
        text=f" {shorten(given)}" if isinstance(given, str) else "",
        value=shorten(written),
        **context,
    )


def _choice(detail: Any, section: type[BaseModel], name: str) -> tuple[str, Callable[[], str]]:
    """Return the sentence for a word that a field does not allow, and the function of its hint."""
    allowed = _words(section.model_fields[name].annotation)
    listed = ", ".join(f'"{word}"' for word in allowed)
    wanted = f"must be {listed}" if len(allowed) == 1 else f"must be one of {listed}"
    given = detail["input"]
    if isinstance(given, bool) or not isinstance(given, str | int):
        return f"{wanted}, not {type_name(given)}", str
    return f"{wanted}, not {shorten(str(given))}", partial(nearest, str(given), allowed)


def _words(annotation: Any) -> tuple[str, ...]:
    """Return the words that a field allows, be it optional or a tuple of them."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next(filter(None, map(_words, get_args(annotation))), ())


def _nearest(detail: Any, section: type[BaseModel], name: str) -> str:
    """Return a hint at the key or the column that was perhaps meant."""
    if detail["type"] == "extra_forbidden":
        fields = section.model_fields.items()
        return nearest(name, [field.alias or each for each, field in fields])
    known, text = _COLUMNS.get(detail["type"], ()), str(detail["input"])
    return (known and (nearest(text, known) or f"; there are {', '.join(known)}")) or ""


def _field_at(section: type[BaseModel], path: Sequence[Any]) -> tuple[type[BaseModel], str]:
    """Return the section that a path ends in, and the key in it."""
    *names, last = [step for step in path if isinstance(step, str)] or [""]
    for name in names:
        field = section.model_fields.get(name)
        section = (field and _section_of(field.annotation)) or section
    return section, last


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a field holds, be it optional or a tuple of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section_of, get_args(annotation))), None)
