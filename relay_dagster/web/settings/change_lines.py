"""The lines in which two configs differ, in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from relay_core.report import display
from relay_dagster.web.settings.form_values import as_mapping
from relay_dagster.web.settings.options import Kind, Option, options_of

NOT_SET = "Not set"
"""The text of an option that has no value."""
_Labels = tuple[str, ...]
# The words in front of the items of lists that people know by their number or name
_ITEM_WORDS = {
    "VendorConfig": "Vendor",
    "PriceRule": "Rule",
    "OutputColumn": "Column",
    "SkipRule": "Rows to skip",
    "ChannelConfig": "Channel",
    "DeliveryConfig": "Delivery",
    "PartConfig": "File",
}


class ChangeLine(NamedTuple):
    """A setting that differs between two configs, with its values in words."""

    setting: str
    before: str
    after: str


def change_lines(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[ChangeLine]:
    """Return the settings in which two configs with all defaults differ."""
    return list(_section_lines((), "TenantConfig", before, after))


def _section_lines(
    labels: _Labels,
    section: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> Iterator[ChangeLine]:
    for option in options_of(section):
        value_before = before.get(option.name, option.default)
        value_after = after.get(option.name, option.default)
        if value_before != value_after:
            member_labels = (*labels, option.words.label)
            yield from _option_lines(
                member_labels, option, value_before, value_after
            )


def _option_lines(
    labels: _Labels, option: Option, before: Any, after: Any
) -> Iterator[ChangeLine]:
    if option.kind is Kind.SECTIONS:
        yield from _item_lines(labels, option, before or (), after or ())
        return
    if option.kind is not Kind.SECTION:
        yield _line(labels, _in_words(option, before), _in_words(option, after))
        return
    if option.is_optional_section and None in (before, after):
        yield _line(labels, _on_or_off(before), _on_or_off(after))
    yield from _section_lines(labels, option.section, before or {}, after or {})


def _item_lines(
    labels: _Labels,
    option: Option,
    before: Sequence[Any],
    after: Sequence[Any],
) -> Iterator[ChangeLine]:
    """Yield the lines of a list; items with an ID are compared by it."""
    items_before = dict(_named_items(option, before))
    items_after = dict(_named_items(option, after))
    parents = () if option.section in _ITEM_WORDS else labels
    # A column of the feed is a part of its file.
    if option.section not in ("VendorConfig", "PriceRule"):
        parents = labels[:-1]
    for name in {**items_before, **items_after}:
        item_before = items_before.get(name)
        item_after = items_after.get(name)
        item_labels = (*parents, name)
        if item_before == item_after:
            continue
        if option.section == "OutputColumn":
            yield _line(item_labels, _column(item_before), _column(item_after))
            continue
        if item_before is None:
            yield _line(item_labels, NOT_SET, "Added")
        if item_after is None:
            yield _line(item_labels, "Present", "Removed")
            continue
        yield from _section_lines(
            item_labels, option.section, item_before or {}, item_after
        )
    yield from _order_lines(labels, [*items_before], [*items_after])


def _named_items(
    option: Option, items: Sequence[Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each item of a list with its name: its ID, or its number."""
    word = _ITEM_WORDS.get(option.section, option.words.label)
    for number, item in enumerate(items, start=1):
        fields = as_mapping(item)
        item_id = number
        for name, value in fields.items():
            if name.endswith("_id") and name != "tenant_id":
                item_id = value
                break
        yield f"{word} {item_id}", fields


def _order_lines(
    labels: _Labels, before: Sequence[str], after: Sequence[str]
) -> Iterator[ChangeLine]:
    """Yield the line of items with IDs that have another order."""
    order_before = [name for name in before if name in after]
    order_after = [name for name in after if name in before]
    if order_before != order_after:
        order_labels = (*labels, "Order")
        yield _line(
            order_labels, ", ".join(order_before), ", ".join(order_after)
        )


def _line(labels: _Labels, before: str, after: str) -> ChangeLine:
    return ChangeLine(": ".join(labels), before, after)


def _on_or_off(section: Any) -> str:
    return "Off" if section is None else "On"


def _column(item: Mapping[str, Any] | None) -> str:
    """Return a column of the feed in words."""
    if item is None:
        return NOT_SET
    column = item.get("column")
    constant = item.get("constant")
    source = f"“{constant}”" if column is None else str(column)
    header = item.get("as", column)
    return source if header == column else f"{source}, as {header}"


def _in_words(option: Option, value: Any) -> str:
    """Return a value as people read it."""
    if value is None or value in ("", [], {}, ()):
        return NOT_SET
    if isinstance(value, bool) and not option.choices:
        return "Yes" if value else "No"
    if isinstance(value, Mapping):
        pairs = [f"{key}: {_plain(entry)}" for key, entry in value.items()]
        return ", ".join(pairs)
    if isinstance(value, list | tuple):
        items = [option.choices.get(str(item), str(item)) for item in value]
        return ", ".join(items)
    if option.kind is Kind.PERCENT:
        return display.percent(str(value))
    for word, text in option.words.texts.items():
        if text == value:
            return word
    text = str(value).lower() if isinstance(value, bool) else str(value)
    words = option.choices.get(text, text)
    is_number = option.kind in (Kind.WHOLE, Kind.AMOUNT)
    if is_number and option.words.unit not in ("", "currency"):
        unit = option.words.unit
        return f"{words}%" if unit == "percent" else f"{words} {unit}"
    return words


def _plain(entry: Any) -> str:
    if isinstance(entry, list | tuple):
        return " or ".join(map(str, entry))
    if isinstance(entry, Mapping):
        parts = [
            f"{name} {_plain(value)}"
            for name, value in entry.items()
            if value is not None
        ]
        return " ".join(parts)
    return str(entry)
