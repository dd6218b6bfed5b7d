"""JSON Patch (RFC 6902) for configs, and the paths in which two configs differ."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
from typing import Any, Literal

from relay_core.config.loading import load_config
from relay_core.config.refusals import join_path
from relay_core.domain.errors import RelayError

ParserChanges = Mapping[str, Any]
"""New options of a parser, by name."""
Path = tuple[str | int, ...]
"""The keys and indexes that lead to a member of a config."""
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class PatchStep:
    """One operation of a patch; ``path`` is a JSON Pointer (RFC 6901)."""

    op: Literal["add", "replace"]
    path: str
    value: Any


# --- patches --------------------------------------------------------------------------


def set_members(
    document: Mapping[str, Any],
    path: Path,
    members: Mapping[str, Any],
) -> list[PatchStep]:
    """Return the steps that set members of the object at a path.

    Members that are objects on both sides are merged.
    """
    target: Any = document
    for key in path:
        target = target[key]
    steps: list[PatchStep] = []
    for name, value in members.items():
        member_path = (*path, name)
        if isinstance(value, Mapping) and isinstance(target.get(name), Mapping):
            steps += set_members(document, member_path, value)
        elif name in target:
            steps.append(PatchStep("replace", _pointer(member_path), value))
        else:
            steps.append(PatchStep("add", _pointer(member_path), value))
    return steps


def _pointer(path: Path) -> str:
    pointer = ""
    for key in path:
        escaped = str(key).replace("~", "~0").replace("/", "~1")
        pointer += f"/{escaped}"
    return pointer


def _keys_of(pointer: str) -> list[str]:
    keys = pointer.split("/")[1:]
    return [key.replace("~1", "/").replace("~0", "~") for key in keys]


def apply_patch(
    document: Mapping[str, Any],
    steps: Iterable[PatchStep],
) -> dict[str, Any]:
    """Return a copy of a document with the steps of `set_members` applied."""
    patched: dict[str, Any] = _copy(document)
    for step in steps:
        *parents, last_key = _keys_of(step.path)
        target: Any = patched
        for key in parents:
            target = (
                target[int(key)] if isinstance(target, list) else target[key]
            )
        target[last_key] = step.value
    return patched


def _copy(value: Any) -> Any:
    """Return a copy in which no mapping occurs twice, as aliases of YAML make it."""
    if isinstance(value, Mapping):
        return {name: _copy(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def parser_patch(
    document: Mapping[str, Any],
    changes: Mapping[Path, ParserChanges],
) -> list[PatchStep]:
    """Return the steps that change the parsers of inputs, by the paths of their sections.

    Return no step if the config could not be loaded after them.
    """
    steps: list[PatchStep] = []
    for path, input_changes in changes.items():
        steps += parser_steps(document, path, input_changes)
    try:
        load_config(apply_patch(document, steps))
    except RelayError:
        return []
    return steps


def parser_steps(
    document: Mapping[str, Any],
    path: Path,
    changes: ParserChanges,
) -> list[PatchStep]:
    """Return the steps that change the parser of the input whose section is at a path."""
    return set_members(document, (*path, "parser"), changes)


# --- differences ----------------------------------------------------------------------


def changed_paths(before: str, after: str) -> list[str]:
    """Return the paths of all members in which two JSON texts differ.

    Items of lists are named by their index. A text that is no JSON differs as a whole,
    with the path "".
    """
    try:
        old = json.loads(before, parse_float=Decimal)
        new = json.loads(after, parse_float=Decimal)
    except (ValueError, RecursionError):
        return [] if before == after else [""]
    return [join_path(path) for path in _differing_paths((), old, new)]


def _differing_paths(path: Path, old: Any, new: Any) -> Iterator[Path]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in {**old, **new}:
            old_member = old.get(name, _ABSENT)
            new_member = new.get(name, _ABSENT)
            yield from _differing_paths((*path, name), old_member, new_member)
    elif isinstance(old, list) and isinstance(new, list):
        pairs = zip_longest(old, new, fillvalue=_ABSENT)
        for index, (old_item, new_item) in enumerate(pairs):
            yield from _differing_paths((*path, index), old_item, new_item)
    elif isinstance(old, bool) is not isinstance(new, bool) or old != new:
        # In Python True equals 1.
        yield path
