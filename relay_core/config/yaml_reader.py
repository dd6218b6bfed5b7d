"""YAML text to plain mappings, lists and scalars, built from YAML's events.

Events do not recurse, know their line and column, and show the text of every scalar. Aliases and
merge keys work; what would not end well (a recursive alias, an alias bomb) is refused. PyYAML's
own constructors are not used: they turn ``007``, ``1_000`` and ``2020-01-01`` into other things.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from relay_core.config.scalars import (
    BareWord,
    NumberText,
    join_path,
    number,
    repeated_key,
    too_deep,
    too_many_values,
    type_name,
    whole_fault,
)
from relay_core.domain.errors import ConfigError, ConfigFault
from relay_core.domain.limits import LONGEST_QUOTED, Limits

_PREFIX = "tag:yaml.org,2002:"
_MERGE = object()


def parse_yaml(text: str, limits: Limits) -> Any:
    """Return what a YAML text holds; None where it holds nothing.

    Raises:
        ConfigError: the text is malformed, holds more than it may, or repeats keys.
    """
    return _Builder(text, limits).build()


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being read.

    ``size`` counts it and every value in it, ``levels`` how deeply it is nested; what an alias
    repeats counts each time.
    """

    value: dict[str, Any] | list[Any]
    anchor: str | None
    size: int = 1
    levels: int = 1
    key: Any = None
    key_mark: Any = None
    has_key: bool = False
    own_keys: set[str] = field(default_factory=set)

    @property
    def step(self) -> object:
        """Where in this mapping or list the next value goes."""
        return len(self.value) if isinstance(self.value, list) else self.key


@dataclass(frozen=True, slots=True)
class _Anchored:
    """What an anchor names; ``size`` is None while it is still being read."""

    value: Any
    size: int | None
    levels: int = 0


class _Builder:
    """Builds a document from YAML's events, so that nothing recurses and every place is known."""

    def __init__(self, text: str, limits: Limits) -> None:
        self._text = text
        self._limits = limits
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchored] = {}
        self._result: Any = None
        self._documents = 0
        self._faults: list[ConfigFault] = []

    def build(self) -> Any:
        """Read the whole text."""
        try:
            loader = yaml.SafeLoader(self._text)
            while loader.check_event():
                self._take(loader.get_event(), loader)  # type: ignore[no-untyped-call]
        except yaml.MarkedYAMLError as error:
            what = (error.problem or error.context or "")[:LONGEST_QUOTED]
            problem = f"the config is not valid YAML: {what}"
            raise whole_fault(_place(error.problem_mark or error.context_mark) + problem) from error
        except yaml.reader.ReaderError as error:
            before = self._text[: error.position]
            line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
            problem = (
                f"the character U+{ord(self._text[error.position]):04X} is not allowed in YAML"
            )
            raise whole_fault(f"line {line}, column {column}: {problem}") from error
        if self._faults:
            raise ConfigError(self._faults)
        return self._result

    def _take(self, event: yaml.Event, loader: yaml.SafeLoader) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _refusal(event, "the text holds more than one config; keep one")
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event, loader)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = self._stack.pop()
            value = _Anchored(closed.value, closed.size, closed.levels)
            self._finish(closed.anchor, value, event)

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        self._refuse_deeper(1, event)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", f"{_PREFIX}map" if is_mapping else f"{_PREFIX}seq"):
            raise _unsupported_tag(event)
        if self._stack and self._awaits_key(self._stack[-1]):
            raise _refusal(event, "a key must be text, not a mapping or a list")
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(None, None)
        self._stack.append(_Open({} if is_mapping else [], event.anchor))

    def _refuse_deeper(self, levels: int, event: yaml.Event) -> None:
        if len(self._stack) + levels > self._limits.config_levels:
            raise _refusal(event, too_deep(self._limits))

    def _alias(self, event: yaml.AliasEvent) -> None:
        target = self._anchors.get(event.anchor or "")
        alias = f"the alias *{(event.anchor or '')[:LONGEST_QUOTED]}"
        if target is None:
            raise _refusal(event, f"{alias} has no anchor before it")
        if target.size is None:
            raise _refusal(event, f"{alias} stands inside what it names")
        self._refuse_deeper(target.levels, event)
        self._finish(None, target, event)

    def _scalar(self, event: yaml.ScalarEvent, loader: yaml.SafeLoader) -> None:
        """Take a scalar: what YAML 1.1 makes of it decides its type, never its text."""
        if event.tag not in (None, "!", f"{_PREFIX}str"):
            raise _unsupported_tag(event)
        kind = "str"
        if event.tag is None and event.implicit[0]:
            tag = loader.resolve(yaml.ScalarNode, event.value, (True, False))  # type: ignore[no-untyped-call]
            kind = tag.removeprefix(_PREFIX)
        value = _SCALAR_READERS[kind](event.value)
        if self._stack and self._awaits_key(self._stack[-1]):
            value = _as_key(value, event.value)
        self._finish(event.anchor, _Anchored(value, 1), event)

    @staticmethod
    def _awaits_key(parent: _Open) -> bool:
        return isinstance(parent.value, dict) and not parent.has_key

    def _finish(self, anchor: str | None, finished: _Anchored, event: yaml.Event) -> None:
        """Put a finished value where it belongs: on top, into a list, or into a mapping."""
        value = finished.value
        if anchor is not None:
            self._anchors[anchor] = finished
        if not self._stack:
            self._result = None if value is _MERGE else value
            return
        parent = self._stack[-1]
        if self._awaits_key(parent):
            if isinstance(value, dict | list):
                raise _refusal(event, "a key must be text, not a mapping or a list")
            parent.key, parent.has_key = value if value is _MERGE else _as_key(value, ""), True
            parent.key_mark = event.start_mark
            return
        parent.size += finished.size or 0
        parent.levels = max(parent.levels, 1 + finished.levels)
        if parent.size > self._limits.config_values:
            raise _refusal(event, too_many_values(self._limits))
        if isinstance(parent.value, list):
            parent.value.append("<<" if value is _MERGE else value)
        else:
            parent.has_key = False
            self._set(parent, parent.value, "<<" if value is _MERGE else value, event)

    def _set(self, parent: _Open, target: dict[str, Any], value: Any, event: yaml.Event) -> None:
        if parent.key is _MERGE:
            for source in value if isinstance(value, list) else [value]:
                if not isinstance(source, dict):
                    raise _refusal(event, "<< takes a mapping, or a list of mappings")
                target.update({key: item for key, item in source.items() if key not in target})
        elif parent.key in parent.own_keys:
            path = join_path(step.step for step in self._stack[:-1])
            place = _place(parent.key_mark)
            self._faults.append(ConfigFault(path, place + repeated_key(parent.key)))
        else:
            parent.own_keys.add(parent.key)
            target[parent.key] = value


_SCALAR_READERS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "timestamp": str,
    "value": str,
    "int": number,
    "float": NumberText,
    "null": lambda text: None,
    "bool": lambda text: text.lower() in ("yes", "true", "on"),
    "merge": lambda text: _MERGE,
}


def _as_key(value: Any, text: str) -> Any:
    """Return a scalar as a key: text, a number's source text, or a bare word."""
    if value is None or isinstance(value, bool):
        return BareWord(text or type_name(value))
    return str(value) if isinstance(value, int) else value


def _place(mark: Any) -> str:
    return "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "


def _unsupported_tag(event: Any) -> ConfigError:
    tag = str(event.tag)[:LONGEST_QUOTED]
    return _refusal(event, f"the tag {tag} is not supported; leave it out")


def _refusal(event: yaml.Event, message: str) -> ConfigError:
    return whole_fault(_place(event.start_mark) + message)
