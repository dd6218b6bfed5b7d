"""A YAML text to plain values, without any loss: a number keeps its source text.

Values are built from PyYAML's events, and reading stops where the text holds too much.
PyYAML's own constructors are not used, because they turn ``007``, ``1_000`` and
``2020-01-01`` into other values. Aliases and merge keys work.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

import relay_core.config.refusals as refusals
from relay_core.config.reading.scalars import (
    BareWord,
    NumberText,
    read_number,
    type_name,
)
from relay_core.domain.errors import ConfigError, ConfigFault
from relay_core.domain.limits import MAX_QUOTED, Limits

_PREFIX = "tag:yaml.org,2002:"
_MERGE = f"{_PREFIX}merge"
_TEXT = f"{_PREFIX}str"
_TRUE_WORDS = ("yes", "true", "on")
_Path = tuple[object, ...]


def _boolean(text: str) -> bool:
    return text.lower() in _TRUE_WORDS


def _null(_: str) -> None:
    return None


_KEY_IS_NO_TEXT = "a key must be text, not a mapping or a list; check the indentation and brackets"
_SCALARS: dict[str, Callable[[str], Any]] = {
    f"{_PREFIX}int": read_number,
    f"{_PREFIX}float": NumberText,
    f"{_PREFIX}null": _null,
    f"{_PREFIX}bool": _boolean,
}
"""The readers of YAML 1.1's scalars; a scalar of any other tag is text."""


def read_yaml(text: str, limits: Limits) -> Any:
    """Return the value in a YAML text, or None if the text is empty.

    A value that aliases repeat is one object.

    Raises:
        ConfigError: The text is no YAML, repeats a key, or holds too much.
    """
    try:
        return _read(text, limits)
    except yaml.MarkedYAMLError as error:
        position = _position(error.problem_mark or error.context_mark)
        problem = (error.problem or error.context or "")[:MAX_QUOTED]
        raise refusals.whole_fault(
            f"{position}the config is not valid YAML: {problem}",
        ) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n")
        code = ord(text[error.position])
        raise refusals.whole_fault(
            f"line {line}, column {column}: the character U+{code:04X} is not allowed "
            "in YAML; delete it",
        ) from error


def _read(text: str, limits: Limits) -> Any:
    reader = _Reader(yaml.SafeLoader(text), limits)
    reader.next_event()
    if isinstance(reader.peek(), yaml.StreamEndEvent):
        return None
    reader.next_event()
    value = reader.read(()).value
    reader.next_event()
    following = reader.peek()
    if not isinstance(following, yaml.StreamEndEvent):
        raise _refusal(
            following,
            "the file has more than one YAML document; keep only one",
        )
    reader.raise_faults()
    return value


class _Node(NamedTuple):
    """A value of the text, with what its aliases and merge keys need to know."""

    value: Any  # the plain value
    start_mark: Any  # the position of the value
    values: int  # the number of values, the value itself and those in it
    # The number of mappings and lists in one another; 0 for a scalar.
    levels: int
    tag: str = ""  # the tag of a scalar
    text: str = ""  # the source text of a scalar
    items: Sequence["_Node"] = ()  # the items of a list

    @property
    def is_scalar(self) -> bool:
        """Return True if the value is neither a mapping nor a list."""
        return bool(self.tag)


@dataclass(slots=True)
class _Reader:
    """Builds values from events, and counts them: an alias counts like its value."""

    loader: yaml.SafeLoader
    limits: Limits
    faults: list[ConfigFault] = field(default_factory=list)  # repeated keys
    # The first merge key that merges no mapping.
    merge_error: ConfigError | None = None
    _value_count: int = 0
    _level: int = 0
    # The values by anchor; for a value that is not complete, the event that began it
    _anchored: dict[str, _Node | yaml.Event] = field(default_factory=dict)

    def raise_faults(self) -> None:
        """Raise the faults of the mappings, if there are any."""
        if self.merge_error is not None:
            raise self.merge_error
        if self.faults:
            raise ConfigError(self.faults)

    def peek(self) -> Any:
        """Return the next event without taking it."""
        return self.loader.peek_event()  # type: ignore[no-untyped-call]  # untyped

    def next_event(self) -> Any:
        """Take the next event."""
        return self.loader.get_event()  # type: ignore[no-untyped-call]  # untyped

    def read(
        self,
        path: _Path,
        *,
        is_key: bool = False,
        merges: bool = False,
    ) -> _Node:
        """Read the next value.

        Faults in the value are reported under ``path``; with ``merges`` it is the value
        of a merge key, and faults in the items of a list are reported there, too.
        """
        event = self.next_event()
        if isinstance(event, yaml.AliasEvent):
            return self._read_alias(event, is_key=is_key)
        anchor = event.anchor
        self._check_tag(event)
        is_collection = isinstance(event, yaml.CollectionStartEvent)
        if is_key and is_collection:
            raise _refusal(
                event,
                _KEY_IS_NO_TEXT,
            )
        values_before = self._value_count
        self._count(event, values=0 if is_key else 1, levels=int(is_collection))
        if anchor is not None:
            self._anchored[anchor] = event
        self._level += is_collection
        if isinstance(event, yaml.MappingStartEvent):
            node = self._read_mapping(event, path)
        elif is_collection:
            node = self._read_list(event, path, merges=merges)
        else:
            node = self._read_scalar(event)
        self._level -= is_collection
        node = node._replace(values=self._value_count - values_before)
        # A value inside may have taken the name of this anchor.
        if self._anchored.get(anchor) is event:
            self._anchored[anchor] = node
        return node

    def _check_tag(self, event: Any) -> None:
        own_tag = _TEXT
        if isinstance(event, yaml.MappingStartEvent):
            own_tag = f"{_PREFIX}map"
        elif isinstance(event, yaml.SequenceStartEvent):
            own_tag = f"{_PREFIX}seq"
        if event.tag not in (None, "!", own_tag):
            tag = str(event.tag)[:MAX_QUOTED]
            raise _refusal(event, f"the tag {tag} is not supported; remove it")

    def _count(
        self,
        event: yaml.Event,
        *,
        values: int,
        levels: int,
    ) -> None:
        self._value_count += values
        if self._level + levels > self.limits.config_levels:
            raise _refusal(event, refusals.too_deep(self.limits))
        if self._value_count > self.limits.config_values:
            raise _refusal(event, refusals.too_many_values(self.limits))

    def _read_alias(self, event: yaml.AliasEvent, *, is_key: bool) -> _Node:
        anchor = event.anchor or ""
        alias = f"the alias *{anchor[:MAX_QUOTED]}"
        node = self._anchored.get(anchor)
        if node is None:
            raise _refusal(
                event,
                f"{alias} has no anchor before it; define the anchor first, or write the "
                "value out",
            )
        if isinstance(node, yaml.Event):
            raise _refusal(
                event,
                f"{alias} is inside the value that it refers to; write the value out",
            )
        if is_key and not node.is_scalar:
            raise _refusal(
                event,
                _KEY_IS_NO_TEXT,
            )
        # An anchored key has no values of its own, but its alias may be a value.
        values = 0 if is_key else max(node.values, 1)
        self._count(event, values=values, levels=node.levels)
        return node

    def _read_scalar(self, event: yaml.ScalarEvent) -> _Node:
        tag = event.tag
        if tag == "!":
            tag = _TEXT
        elif tag is None:
            tag = self.loader.resolve(  # type: ignore[no-untyped-call]  # untyped
                yaml.ScalarNode,
                event.value,
                event.implicit,
            )
        read_scalar = _SCALARS.get(tag, str)
        return _Node(
            value=read_scalar(event.value),
            start_mark=event.start_mark,
            values=1,
            levels=0,
            tag=tag,
            text=event.value,
        )

    def _read_list(
        self,
        event: yaml.Event,
        path: _Path,
        *,
        merges: bool,
    ) -> _Node:
        items: list[_Node] = []
        while not isinstance(self.peek(), yaml.SequenceEndEvent):
            item_path = path if merges else (*path, len(items))
            items.append(self.read(item_path))
        self.next_event()
        return _Node(
            value=[item.value for item in items],
            start_mark=event.start_mark,
            values=1,
            levels=1 + max((item.levels for item in items), default=0),
            items=items,
        )

    def _read_mapping(self, event: yaml.Event, path: _Path) -> _Node:
        mapping: dict[str, Any] = {}
        own_keys: set[str] = set()
        levels = 0
        while not isinstance(self.peek(), yaml.MappingEndEvent):
            key_node = self.read(path, is_key=True)
            if key_node.tag == _MERGE:
                node = self.read(path, merges=True)
                self._merge(node, mapping)
            else:
                key = _key_of(key_node)
                node = self.read((*path, key))
                if key in own_keys:
                    self._note_repeated(key, key_node, path)
                else:
                    own_keys.add(key)
                    mapping[key] = node.value
            levels = max(levels, node.levels)
        self.next_event()
        return _Node(
            mapping,
            event.start_mark,
            values=1,
            levels=1 + levels,
        )

    def _merge(self, merged: _Node, mapping: dict[str, Any]) -> None:
        """Add the members of the merged mappings that a mapping does not have yet."""
        is_list = isinstance(merged.value, list)
        for node in merged.items if is_list else [merged]:
            if not isinstance(node.value, dict):
                message = (
                    "<< must be followed by a mapping or a list of mappings"
                )
                self.merge_error = self.merge_error or _refusal(node, message)
                return
            for key, value in node.value.items():
                mapping.setdefault(key, value)

    def _note_repeated(
        self,
        key: str,
        key_node: _Node,
        path: _Path,
    ) -> None:
        message = _position(key_node.start_mark) + refusals.repeated_key(key)
        self.faults.append(ConfigFault(refusals.join_path(path), message))


def _key_of(node: _Node) -> str:
    """Return the key that a scalar is; YAML's booleans and nulls are `BareWord`."""
    if node.value is None or isinstance(node.value, bool):
        return BareWord(node.text or type_name(node.value))
    return str(node.value) if isinstance(node.value, int) else node.value


def _position(mark: Any) -> str:
    """Return a position as the beginning of a message."""
    if mark is None:
        return ""
    line = mark.line + 1
    column = mark.column + 1
    return f"line {line}, column {column}: "


def _refusal(source: yaml.Event | _Node, message: str) -> ConfigError:
    return refusals.whole_fault(_position(source.start_mark) + message)
