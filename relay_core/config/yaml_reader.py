"""YAML text to plain mappings, lists and scalars, each scalar with its own text.

PyYAML composes the nodes, and is stopped while it does where the text holds too much. Its own
constructors are not used: they turn ``007``, ``1_000`` and ``2020-01-01`` into other things.
Aliases and merge keys work.
"""

from collections.abc import Callable
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
from relay_core.domain.limits import MAX_QUOTED, Limits

_PREFIX = "tag:yaml.org,2002:"
_MERGE = f"{_PREFIX}merge"
_SCALARS: dict[str, Callable[[str], Any]] = {
    "int": number,
    "float": NumberText,
    "null": lambda _: None,
    "bool": lambda text: text.lower() in ("yes", "true", "on"),
}
"""The values of YAML 1.1's scalars; their texts stay. All other scalars are text."""


def parse_yaml(text: str, limits: Limits) -> Any:
    """Return the value of a YAML text; None where it is empty.

    Raises:
        ConfigError: the text is malformed, holds more than it may, or repeats keys.
    """
    try:
        loader = _Loader(text, limits)
        loader.get_event()  # type: ignore[no-untyped-call]
        if loader.check_event(yaml.StreamEndEvent):
            return None
        node: Any = loader.compose_document()
        if not loader.check_event(yaml.StreamEndEvent):
            another = loader.peek_event()  # type: ignore[no-untyped-call]
            raise _refusal(another, "the text holds more than one config; keep one")
    except yaml.MarkedYAMLError as error:
        problem = (error.problem or error.context or "")[:MAX_QUOTED]
        place = _place(error.problem_mark or error.context_mark)
        raise whole_fault(f"{place}the config is not valid YAML: {problem}") from error
    except yaml.reader.ReaderError as error:
        before, character = text[: error.position], ord(text[error.position])
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        problem = f"the character U+{character:04X} is not allowed in YAML"
        raise whole_fault(f"line {line}, column {column}: {problem}") from error
    builder = _Builder()
    document = builder.value(node, ())
    if builder.faults:
        raise ConfigError(builder.faults)
    return document


class _Loader(yaml.SafeLoader):
    """Composes nodes, and counts them: an alias counts like the node that it names."""

    def __init__(self, text: str, limits: Limits) -> None:
        super().__init__(text)
        self._limits = limits
        self._levels = 0
        self._values = 0
        self._sizes: dict[yaml.Node, tuple[int, int]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose the next node, or refuse it."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        is_key = index is None and isinstance(parent, yaml.MappingNode)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, is_key=is_key)
        is_collection = isinstance(event, yaml.CollectionStartEvent)
        own_tag = "str"
        if is_collection:
            own_tag = "map" if isinstance(event, yaml.MappingStartEvent) else "seq"
        if event.tag not in (None, "!", _PREFIX + own_tag):
            tag = str(event.tag)[:MAX_QUOTED]
            raise _refusal(event, f"the tag {tag} is not supported; leave it out")
        if is_key and is_collection:
            raise _refusal(event, "a key must be text, not a mapping or a list")
        before, level = self._values, self._levels
        self._count(event, 0 if is_key else 1, int(is_collection))
        self._levels += is_collection
        # YAML lets a later anchor take an earlier one's name.
        self.anchors.pop(event.anchor, None)
        node: Any = super().compose_node(parent, index)
        self._levels = level
        if event.tag == "!" and not is_collection:
            node.tag = f"{_PREFIX}str"
        if event.anchor is not None:
            self._sizes[node] = (self._values - before, self._levels_of(node))
        return node

    def _levels_of(self, node: Any) -> int:
        """Return how deeply a node is nested; of aliased nodes it is known already."""
        if node in self._sizes or isinstance(node, yaml.ScalarNode):
            return self._sizes.get(node, (0, 0))[1]
        is_mapping = isinstance(node, yaml.MappingNode)
        inner = (value for _, value in node.value) if is_mapping else iter(node.value)
        return 1 + max(map(self._levels_of, inner), default=0)

    def _alias(self, event: yaml.AliasEvent, *, is_key: bool) -> yaml.Node:
        target: yaml.Node | None = self.anchors.get(event.anchor)
        alias = f"the alias *{(event.anchor or '')[:MAX_QUOTED]}"
        if target is None:
            raise _refusal(event, f"{alias} has no anchor before it")
        if target not in self._sizes:
            raise _refusal(event, f"{alias} stands inside what it names")
        if is_key and not isinstance(target, yaml.ScalarNode):
            raise _refusal(event, "a key must be text, not a mapping or a list")
        values, levels = self._sizes[target]
        self._count(event, 0 if is_key else max(values, 1), levels)
        self.get_event()  # type: ignore[no-untyped-call]
        return target

    def _count(self, event: yaml.Event, values: int, levels: int) -> None:
        self._values += values
        if self._levels + levels > self._limits.config_levels:
            raise _refusal(event, too_deep(self._limits))
        if self._values > self._limits.config_values:
            raise _refusal(event, too_many_values(self._limits))


class _Builder:
    """Makes values of nodes; a node that aliases repeat is one value."""

    def __init__(self) -> None:
        self.faults: list[ConfigFault] = []
        self._made: dict[yaml.Node, Any] = {}

    def value(self, node: yaml.Node, path: tuple[object, ...]) -> Any:
        """Return the value of a node."""
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if node in self._made:
            return self._made[node]
        if isinstance(node, yaml.MappingNode):
            self._made[node] = self._mapping(node, path)
        else:
            items = enumerate(node.value)
            self._made[node] = [self.value(each, (*path, place)) for place, each in items]
        return self._made[node]

    def _mapping(self, node: yaml.Node, path: tuple[object, ...]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        own: set[str] = set()
        for key_node, item in node.value:
            if key_node.tag == _MERGE:
                for each in item.value if isinstance(item, yaml.SequenceNode) else [item]:
                    if not isinstance(each, yaml.MappingNode):
                        raise _refusal(each, "<< takes a mapping, or a list of mappings")
                    for key, value in self.value(each, path).items():
                        made.setdefault(key, value)
                continue
            key = _key(key_node)
            value = self.value(item, (*path, key))
            if key in own:
                place = _place(key_node.start_mark)
                self.faults.append(ConfigFault(join_path(path), place + repeated_key(key)))
            else:
                own.add(key)
                made[key] = value
        return made


def _scalar(node: yaml.ScalarNode) -> Any:
    return _SCALARS.get(node.tag.removeprefix(_PREFIX), str)(node.value)


def _key(node: yaml.ScalarNode) -> str:
    """Return a scalar as a key: text, a number's source text, or a bare word."""
    value = _scalar(node)
    if value is None or isinstance(value, bool):
        return BareWord(node.value or type_name(value))
    return str(value) if isinstance(value, int) else value


def _place(mark: Any) -> str:
    return "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "


def _refusal(where: yaml.Event | yaml.Node, message: str) -> ConfigError:
    return whole_fault(_place(where.start_mark) + message)
