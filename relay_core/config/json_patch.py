"""JSON Patch (RFC 6902) as far as a config needs it, and the paths in which two configs differ."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
from typing import Any, Literal

from relay_core.config.loading import load_config
from relay_core.config.values import join_path
from relay_core.domain.errors import RelayError

Changes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PatchStep:
    """One operation; ``path`` is a JSON Pointer (RFC 6901)."""

    op: Literal["add", "replace"]
    path: str
    value: Any


def set_members(
    document: Mapping[str, Any], path: tuple[str | int, ...], members: Mapping[str, Any]
) -> list[PatchStep]:
    """Return steps that set members of the object that is at a path; nested objects are merged."""
    place: Any = document
    for step in path:
        place = place[step]
    steps: list[PatchStep] = []
    for name, value in members.items():
        own = place.get(name)
        if isinstance(value, Mapping) and isinstance(own, Mapping):
            steps += set_members(document, (*path, name), value)
        else:
            keys = (
                str(key).replace("~", "~0").replace("/", "~1") for key in (*path, name)
            )
            op: Literal["add", "replace"] = "replace" if name in place else "add"
            steps.append(PatchStep(op, "".join(f"/{key}" for key in keys), value))
    return steps


def apply_patch(
    document: Mapping[str, Any], steps: Iterable[PatchStep]
) -> dict[str, Any]:
    """Return a document with the steps of `set_members` taken; the given one stays as it is."""
    changed: dict[str, Any] = _apart(document)
    for each in steps:
        keys = (
            key.replace("~1", "/").replace("~0", "~")
            for key in each.path.split("/")[1:]
        )
        *parents, last = keys
        place: Any = changed
        for step in parents:
            place = place[int(step)] if isinstance(place, list) else place[step]
        place[last] = each.value
    return changed


def _apart(value: Any) -> Any:
    """Return a copy in which no mapping stands twice, as one that a YAML alias repeats does."""
    if isinstance(value, Mapping):
        return {name: _apart(each) for name, each in value.items()}
    return [_apart(each) for each in value] if isinstance(value, list) else value


def parser_patch(
    document: Mapping[str, Any], changes: Mapping[int, Changes]
) -> list[PatchStep]:
    """Return the steps that change vendors' parsers; none, should the config not load with them."""
    steps = [
        step
        for place, new in changes.items()
        for step in parser_steps(document, place, new)
    ]
    try:
        load_config(apply_patch(document, steps))
    except RelayError:
        return []
    return steps


def parser_steps(
    document: Mapping[str, Any], place: int, changes: Changes
) -> list[PatchStep]:
    """Return the steps that change one vendor's parser."""
    return set_members(document, ("vendors", place, "parser"), changes)


_ABSENT = object()


def changed_paths(before: str, after: str) -> list[str]:
    """Return the paths of all members that one of two JSON texts lacks, or has otherwise.

    Items of lists are named by their places. A text that is no JSON differs as a whole, path "".
    """
    try:
        was, is_ = (json.loads(text, parse_float=Decimal) for text in (before, after))
    except (ValueError, RecursionError):
        return [] if before == after else [""]
    return [join_path(path) for path in _differing((), was, is_)]


def _differing(
    path: tuple[str | int, ...], was: Any, is_: Any
) -> Iterator[tuple[str | int, ...]]:
    if isinstance(was, Mapping) and isinstance(is_, Mapping):
        for name in {**was, **is_}:
            yield from _differing(
                (*path, name), was.get(name, _ABSENT), is_.get(name, _ABSENT)
            )
    elif isinstance(was, list) and isinstance(is_, list):
        for place, pair in enumerate(zip_longest(was, is_, fillvalue=_ABSENT)):
            yield from _differing((*path, place), *pair)
    elif isinstance(was, bool) is not isinstance(is_, bool) or was != is_:
        yield path
