"""Which members of a config differ between two of its versions, as they are stored."""

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from relay_core.config.scalars import join_path

_ABSENT = object()


def changed_paths(before: str, after: str) -> list[str]:
    """Return the paths of all members that one of two JSON texts lacks, or has otherwise.

    Items of lists are told by their places. A text that is no JSON differs as a whole, path "".
    """
    try:
        was, is_ = (json.loads(text, parse_float=Decimal) for text in (before, after))
    except (ValueError, RecursionError):
        return [] if before == after else [""]
    return [join_path(path) for path in _differing((), was, is_)]


def _differing(path: tuple[str | int, ...], was: Any, is_: Any) -> Iterator[tuple[str | int, ...]]:
    if isinstance(was, Mapping) and isinstance(is_, Mapping):
        for name in {**was, **is_}:
            yield from _differing((*path, name), was.get(name, _ABSENT), is_.get(name, _ABSENT))
    elif _is_list(was) and _is_list(is_):
        for place, pair in enumerate(zip_longest(was, is_, fillvalue=_ABSENT)):
            yield from _differing((*path, place), *pair)
    elif isinstance(was, bool) is not isinstance(is_, bool) or was != is_:
        yield path


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
