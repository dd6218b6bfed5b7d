"""From the values of a config to the texts of a form, and back.

A field is named after its path in the config, such as ``guards.quarantine.max_pct``. A
value that people did not change stays as the config has it. Texts that are not valid are
passed on as they are: the config's reader judges them.
"""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any

from starlette.datastructures import QueryParams

from relay_core.config.reading.scalars import exact_number
from relay_dagster.web.settings.options import Kind, Option, options_of

SWITCHED_ON = "true"
"""The value of a checkbox."""
ABSENT = object()
"""The value of an option that the config does not have."""
MAX_BLANK_ROWS = 3
"""The number of blank rows behind the rows of a list."""
_MAX_DIGITS = 40
_PRECISION = 100
_JSON_STARTS = ("{", "[")
# A browser does not send boxes that are not selected.
_UNSENT_KINDS = (Kind.SWITCH, Kind.CHOICES)
_Texts = Iterator[tuple[str, str]]


def joined(path: str, name: object) -> str:
    """Return the path of a member, as in the faults of a config."""
    return f"{path}.{name}" if path else str(name)


# --- from values to texts -----------------------------------------------------------


def texts_of(path: str, option: Option, value: Any) -> _Texts:
    """Yield the names and the texts of the fields that show a value."""
    if option.kind is Kind.SECTION:
        if option.is_optional_section and value is not None:
            yield joined(path, "on"), SWITCHED_ON
        yield from section_texts(path, option.section, value or {})
    elif option.kind is Kind.SECTIONS:
        yield from _item_texts(path, option, value or ())
    elif option.kind is Kind.PAIRS:
        yield from _pair_texts(path, option, value or {})
    elif option.kind is Kind.CHOICES:
        yield from _choice_texts(path, option, value or ())
    elif option.kind is not Kind.SWITCH:
        yield path, text_of(option, value)
    elif value:
        yield path, SWITCHED_ON


def _item_texts(path: str, option: Option, items: Sequence[Any]) -> _Texts:
    yield joined(path, "count"), str(len(items))
    for index, item in enumerate(items):
        item_path = joined(path, index)
        if option.words.ordered:
            yield joined(item_path, "rank"), str(index + 1)
        yield from section_texts(item_path, option.section, as_mapping(item))


def _pair_texts(path: str, option: Option, pairs: Mapping[str, Any]) -> _Texts:
    yield joined(path, "count"), str(len(pairs))
    for index, (key, entry) in enumerate(pairs.items()):
        row = joined(path, index)
        yield joined(row, "key"), str(key)
        yield joined(row, "value"), _entry_text(option, entry)


def _choice_texts(path: str, option: Option, choices: Sequence[Any]) -> _Texts:
    for rank, choice in enumerate(choices, start=1):
        if option.words.ordered:
            yield joined(path, choice), str(rank)
        else:
            yield path, str(choice)


def section_texts(path: str, section: str, value: Mapping[str, Any]) -> _Texts:
    """Yield the names and the texts of all fields of a section."""
    for option in options_of(section):
        member = value.get(option.name, option.default)
        yield from texts_of(joined(path, option.name), option, member)


def text_of(option: Option, value: Any) -> str:
    """Return a single value as its field shows it; "" for none."""
    if value is None:
        return "null" if "null" in option.choices else ""
    if option.kind is Kind.PERCENT:
        return percentage(str(value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    for word, text in option.words.texts.items():
        if text == value:
            return word
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\n".join(map(str, value))
    return str(value)


def percentage(share: str) -> str:
    """Return a share as a percentage without its sign: ``20`` for ``0.20``."""
    number = exact_number(share)
    return share if number is None else _scaled(number, 2)


def _scaled(number: Decimal, places: int) -> str:
    """Return a number times a power of ten, exactly and in plain digits."""
    with localcontext(prec=_PRECISION):
        scaled = number.scaleb(places).normalize()
    return format(scaled, "f")


def as_mapping(item: Any) -> Mapping[str, Any]:
    """Return an item of a list as an object; a column of the feed may be a text."""
    return item if isinstance(item, Mapping) else {"column": item, "as": item}


def _entry_text(option: Option, entry: Any) -> str:
    if isinstance(entry, list | tuple) and option.value_kind is Kind.TEXTS:
        return ", ".join(map(str, entry))
    if isinstance(entry, Mapping | list | tuple):
        return json.dumps(entry, ensure_ascii=False)
    return str(entry)


# --- from texts to values -----------------------------------------------------------


def read_section(
    form: QueryParams,
    path: str,
    options: Iterable[Option],
    stored: Mapping[str, Any],
    effective: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a section of the stored config after the changes of a form.

    Args:
        form: The form.
        path: The section's path in the config.
        options: The options that the form shows.
        stored: The section as it is stored, without defaults.
        effective: The section with all defaults.
    """
    section = copy.deepcopy(dict(stored))
    for option in options:
        name = option.name
        value = _read_option(
            form,
            joined(path, name),
            option,
            stored.get(name, ABSENT),
            effective.get(name, option.default),
        )
        if value is ABSENT:
            section.pop(name, None)
        else:
            section[name] = value
    return section


def _read_option(
    form: QueryParams, path: str, option: Option, stored: Any, effective: Any
) -> Any:
    """Return the value of an option, or `ABSENT`."""
    if option.kind is Kind.SECTION:
        return _read_subsection(form, path, option, stored, effective)
    names = {*_names_of(form, path)}
    if not names and option.kind not in _UNSENT_KINDS:
        # The form does not show the option.
        return stored
    texts = [
        (name, _with_line_feeds(text))
        for name, text in form.multi_items()
        if name in names
    ]
    if _filled(texts) == _filled(texts_of(path, option, effective)):
        return stored
    value = _read_value(form, path, option, stored)
    if value is None:
        return None if option.has_null else ABSENT
    return value


def _read_value(
    form: QueryParams, path: str, option: Option, stored: Any
) -> Any:
    """Return the value that a changed field has; None for an empty field."""
    if option.kind is Kind.SECTIONS:
        items = stored if isinstance(stored, list) else []
        return _read_items(form, path, option, items)
    if option.kind is Kind.PAIRS:
        return dict(_read_pairs(form, path, option))
    if option.kind is Kind.CHOICES and option.words.ordered:
        return _read_ranks(form, path, option)
    if option.kind is Kind.CHOICES:
        return form.getlist(path) or None
    if option.kind is Kind.SWITCH:
        return form.get(path) == SWITCHED_ON
    if option.kind is Kind.TEXTS:
        return _read_texts(option, form.get(path, ""))
    return read_text(option, form.get(path, ""))


def _names_of(form: QueryParams, path: str) -> Iterator[str]:
    """Yield the names of the fields that show the option at a path."""
    prefix = f"{path}."
    for name in form:
        if name == path or name.startswith(prefix):
            yield name


def _filled(texts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the fields that are not empty, sorted by name."""
    return sorted((name, text) for name, text in texts if text)


def _with_line_feeds(text: str) -> str:
    """Return a text with the line breaks that the config has, not a browser's."""
    return text.replace("\r\n", "\n")


def _read_subsection(
    form: QueryParams, path: str, option: Option, stored: Any, effective: Any
) -> Any:
    """Return an option that is a section."""
    if option.is_optional_section:
        if form.get(joined(path, "on")) != SWITCHED_ON:
            if effective is None:
                return stored
            return None if option.has_null else ABSENT
        if effective is None:
            # A section that is switched on begins with its defaults.
            return read_section(form, path, options_of(option.section), {}, {})
    before = stored if isinstance(stored, Mapping) else {}
    section = read_section(
        form, path, options_of(option.section), before, effective or {}
    )
    return stored if section == before else section


def _read_items(
    form: QueryParams, path: str, option: Option, stored: Sequence[Any]
) -> list[Any] | None:
    """Return the items of a list that the form keeps, and new ones."""
    items: list[tuple[int, int, Any]] = []
    count = _count(form, path)
    for index in range(count + MAX_BLANK_ROWS):
        item_path = joined(path, index)
        before = as_mapping(stored[index]) if index < len(stored) else {}
        is_removed = form.get(joined(item_path, "removed")) == SWITCHED_ON
        if is_removed or not any(_names_of(form, item_path)):
            continue
        options = options_of(option.section)
        item = read_section(form, item_path, options, before, before)
        if not item:
            continue
        rank = read_whole(form.get(joined(item_path, "rank"), ""))
        place = rank if isinstance(rank, int) else count + index + 1
        items.append((place, index, _as_item(option, item)))
    items.sort(key=lambda entry: entry[:2])
    return [item for _, _, item in items] or None


def _as_item(option: Option, item: dict[str, Any]) -> Any:
    """Return an item as the config has it: a column without more is its name."""
    if option.section != "OutputColumn":
        return item
    column = item.get("column")
    header = item.get("as", column)
    if column is not None and header == column and "constant" not in item:
        return column
    return item if header is None else {**item, "as": header}


def _read_pairs(
    form: QueryParams, path: str, option: Option
) -> Iterator[tuple[str, Any]]:
    for index in range(_count(form, path) + MAX_BLANK_ROWS):
        row = joined(path, index)
        key = form.get(joined(row, "key"), "").strip()
        text = form.get(joined(row, "value"), "").strip()
        if not key:
            continue
        value: Any = text
        if option.value_kind is Kind.WHOLE:
            value = read_whole(text)
        elif text.startswith(_JSON_STARTS):
            value = _read_json(text)
        elif option.value_kind is Kind.TEXTS:
            value = [entry.strip() for entry in text.split(",")]
        yield key, value


def _read_ranks(
    form: QueryParams, path: str, option: Option
) -> list[str] | None:
    """Return the choices with a number, in the order of their numbers."""
    ranks: list[tuple[int, str]] = []
    for choice in option.choices:
        rank = read_whole(form.get(joined(path, choice), ""))
        if isinstance(rank, int):
            ranks.append((rank, choice))
    return [choice for _, choice in sorted(ranks)] or None


def _count(form: QueryParams, path: str) -> int:
    """Return the number of rows that a list had when the form was shown."""
    count = read_whole(form.get(joined(path, "count"), "0"))
    return min(count, len(form)) if isinstance(count, int) else 0


def _read_texts(option: Option, text: str) -> Any:
    word = option.words.texts.get(text.strip())
    if word is not None:
        return word
    if text.strip().startswith("{"):
        return _read_json(text)
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line] or None


def _read_json(text: str) -> Any:
    """Return the value of a JSON text; other texts are returned as they are."""
    try:
        return json.loads(text, parse_float=str)
    except (ValueError, RecursionError):
        return text


def read_text(option: Option, text: str) -> Any:
    """Return the value of a single field; None for an empty one."""
    if text == "":
        return None
    if option.kind is Kind.CHOICE:
        if option.choices.keys() == {"true", "false"}:
            return text == "true"
        return int(text) if text == "1" else text
    if option.kind is Kind.TEXT:
        return option.words.texts.get(text, text)
    number = text.strip().removesuffix("%").strip()
    if not number:
        return None
    if option.kind is Kind.WHOLE:
        return read_whole(number)
    value = exact_number(number)
    if option.kind is Kind.PERCENT and value is not None:
        return _scaled(value, -2)
    return number


def read_whole(text: str) -> int | str:
    """Return a whole number; other texts are returned as they are."""
    digits = text.strip()
    unsigned = digits.removeprefix("-")
    is_number = unsigned.isascii() and unsigned.isdigit()
    if is_number and len(digits) <= _MAX_DIGITS:
        return int(digits)
    return text
