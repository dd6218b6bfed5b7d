"""Features that a resource must have: set where they are missing, reported where they differ.

A feature with another value is somebody's decision: it is reported, and changed on demand alone.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

CHANGED = "changed by hand"


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a resource.

    ``read`` returns its value, None where it is not set. ``apply`` sets the wanted value; it is
    None where that takes more than a call.
    """

    name: str
    wanted: Any
    read: Callable[[], Any]
    apply: Callable[[], Any] | None = None


def shared_list(
    name: str,  # the feature's name
    shown: str,  # its value while our entries are as wanted
    entries: Callable[[], list[Any]],  # reads the whole list
    wanted: list[Any],  # our entries
    *,
    is_ours: Callable[[Any], bool],  # recognizes an entry of ours
    essence: Callable[[Any], Any],  # the part of an entry that is compared
    store: Callable[[list[Any]], Any],  # writes the whole list
    # Returns its value while our entries differ
    describe: Callable[[list[Any]], str] = lambda _: CHANGED,
) -> Feature:
    """Return our entries of a list as a feature; the entries of others stay beside them."""

    def essences(those: list[Any]) -> list[str]:
        return sorted(json.dumps(essence(each), sort_keys=True) for each in those)

    def read() -> str | None:
        ours = [each for each in entries() if is_ours(each)]
        if not ours:
            return None
        return shown if essences(ours) == essences(wanted) else describe(ours)

    def apply() -> None:
        store([*(each for each in entries() if not is_ours(each)), *wanted])

    return Feature(name, shown, read, apply)


def set_missing(features: Iterable[Feature], *, repair: bool = False) -> list[str]:
    """Set the features that are not set, with ``repair`` also those that differ; return which."""
    changes = []
    for feature in features:
        is_ = feature.read()
        if is_ == feature.wanted or feature.apply is None or not (is_ is None or repair):
            continue
        feature.apply()
        was = "" if is_ is None else f" (it was {_shown(is_)})"
        changes.append(f"set {feature.name} to {_shown(feature.wanted)}{was}")
    return changes


def differences(features: Iterable[Feature]) -> list[str]:
    """Return how features differ from their wanted values, one sentence each."""
    found = ((feature, feature.read()) for feature in features)
    return [
        f"{feature.name} is {_shown(is_)}, not {_shown(feature.wanted)}"
        for feature, is_ in found
        if is_ != feature.wanted
    ]


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
