"""The faults of a config in words, from the errors of a failed pydantic validation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

import relay_core.config.refusals as refusals
from relay_core.config.reading.scalars import type_name
from relay_core.config.values import WRITABLE_COLUMNS
from relay_core.domain.cell_rules import shorten
from relay_core.domain.columns import CANONICAL_COLUMNS
from relay_core.domain.errors import ConfigFault
from relay_core.domain.limits import MAX_FAULTS

_Hint = Callable[[], str]
_SENTENCES = {
    "missing": "is required",
    "extra_forbidden": "unknown key",
    "model_type": "must be a mapping of keys to values, not {kind}{text}",
    "dict_type": "must be a mapping of keys to values, not {kind}",
    "tuple_type": "must be a list, not {kind}",
    "string_type": "must be text, not {kind}",
    "bool_type": "must be true or false without quotes, not {kind}",
    "string_pattern_mismatch": "{value} is not a valid id; use 1 to 64 letters, digits, _ and -, "
    "and begin with a letter or a digit",
    refusals.UNKNOWN_COLUMN: "{value} is not a canonical column or an extra column",
    refusals.UNKNOWN_OUTPUT_COLUMN: "{value} is not a canonical column, a derived "
    "column, or an extra column",
    "greater_than": "must be greater than {gt}, not {value}",
    "greater_than_equal": "must be {ge} or more, not {value}",
    "less_than_equal": "must be {le} or less, not {value}",
    "less_than": "must be below {lt:,}, not {value}",
    "decimal_max_places": "has more than {decimal_places} decimal places: {value}; "
    "round it to {decimal_places} places",
}
"""The sentence of each type of pydantic error."""
_COLUMNS = {
    refusals.UNKNOWN_COLUMN: CANONICAL_COLUMNS,
    refusals.UNKNOWN_OUTPUT_COLUMN: WRITABLE_COLUMNS,
}


def faults_of(
    error: ValidationError,
    model: type[BaseModel],
) -> Iterator[ConfigFault]:
    """Yield the faults of a failed validation of ``model``, in the order of fields."""
    details = [
        detail
        for detail in error.errors(include_url=False)
        if not _is_of_refused_items(detail)
    ]
    for index, detail in enumerate(details):
        path, message, hint = _described(detail, model)
        if index < MAX_FAULTS:
            # Hints of faults that nobody sees would cost time.
            message += hint()
        if path[-1:] == ("[key]",):
            path = path[:-1]
        yield ConfigFault(refusals.join_path(path), message)


def _is_of_refused_items(detail: Mapping[str, Any]) -> bool:
    """Return True if a list is too short only because its items are refused."""
    is_too_short = detail["type"] == "too_short"
    has_items = isinstance(detail["input"], list) and bool(detail["input"])
    return is_too_short and has_items


def _described(
    detail: Mapping[str, Any],
    model: type[BaseModel],
) -> tuple[tuple[Any, ...], str, _Hint]:
    """Return the path, the message and the hint of a pydantic error."""
    path = detail["loc"]
    context = detail.get("ctx", {})
    if detail["type"] == refusals.REFUSAL:
        if "of_section" in context:
            path = path[:-1]
        return path, context["message"], context.get("hint", str)
    section, name = _field_at(model, path)
    if detail["type"] == "literal_error":
        message, hint = _choice(detail["input"], section, name)
        return path, message, hint
    hint = partial(_nearest, detail, section, name)
    return path, _sentence(detail, context), hint


def _sentence(detail: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    error_type = detail["type"]
    value = detail["input"]
    if error_type == "string_type" and isinstance(value, bool):
        return refusals.QUOTE_IT
    if error_type == "too_short":
        is_list = context["field_type"] == "Tuple"
        fix = (
            "list at least one entry"
            if is_list
            else "enter a text or remove the key"
        )
        return f"must not be empty; {fix}"
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    sentence: str = _SENTENCES.get(error_type, detail["msg"])
    return sentence.format(
        kind=type_name(value),
        text=f" {shorten(value)}" if isinstance(value, str) else "",
        value=shorten(text),
        **context,
    )


def _choice(
    value: object,
    section: type[BaseModel],
    name: str,
) -> tuple[str, _Hint]:
    """Return the message and the hint for a word that a field does not allow."""
    annotation = section.model_fields[name].annotation
    literal = _find_part(annotation, lambda part: get_origin(part) is Literal)
    words = get_args(literal)
    quoted_words = ", ".join(f'"{word}"' for word in words)
    message = f"must be one of {quoted_words}"
    if len(words) == 1:
        message = f"must be {quoted_words}"
    if isinstance(value, bool):
        return f"{message}; {refusals.QUOTE_IT}", str
    if not isinstance(value, str | int):
        return f"{message}, not {type_name(value)}", str
    text = str(value)
    hint = partial(refusals.nearest, text, words)
    return f"{message}, not {shorten(text)}", hint


def _nearest(
    detail: Mapping[str, Any],
    section: type[BaseModel],
    name: str,
) -> str:
    """Return a hint at the key or the column that was perhaps meant."""
    if detail["type"] == "extra_forbidden":
        fields = section.model_fields.items()
        keys = [field.alias or field_name for field_name, field in fields]
        return refusals.nearest(name, keys)
    columns = _COLUMNS.get(detail["type"])
    if columns is None:
        return ""
    hint = refusals.nearest(str(detail["input"]), columns)
    return hint or f"; use one of {', '.join(columns)}"


def _field_at(
    model: type[BaseModel],
    path: Sequence[Any],
) -> tuple[type[BaseModel], str]:
    """Return the section that a path ends in, and the key in it."""
    steps = [step for step in path if isinstance(step, str)] or [""]
    section = model
    for name in steps[:-1]:
        field = section.model_fields.get(name)
        if field is not None:
            section = _find_part(field.annotation, _is_section) or section
    return section, steps[-1]


def _is_section(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _find_part(annotation: Any, is_wanted: Callable[[Any], bool]) -> Any:
    """Return the first part of a field's type that is wanted, or None."""
    if is_wanted(annotation):
        return annotation
    for part in get_args(annotation):
        match = _find_part(part, is_wanted)
        if match:
            return match
    return None
