"""Properties that a resource must have: made where they are missing, reported where they differ.

What is set to something else is somebody's decision: it is reported, and changed on demand alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Feature:
    """One property of a resource.

    Args:
        name: what it is called, with its resource.
        wanted: what it must be.
        read: returns what it is, None where it is not set.
        apply: makes it what is wanted; None where that takes more than a call.
    """

    name: str
    wanted: Any
    read: Callable[[], Any]
    apply: Callable[[], Any] | None = None


def set_missing(features: Iterable[Feature], *, repair: bool = False) -> list[str]:
    """Set the features that are not set; with ``repair`` those too that differ. Tell which."""
    return [change for feature in features if (change := _set(feature, repair=repair))]


def differences(features: Iterable[Feature]) -> list[str]:
    """Return how features differ from what they must be, one sentence each."""
    found = ((feature, feature.read()) for feature in features)
    return [
        f"{feature.name} is {_shown(is_)}, not {_shown(feature.wanted)}"
        for feature, is_ in found
        if is_ != feature.wanted
    ]


def _set(feature: Feature, *, repair: bool) -> str | None:
    is_ = feature.read()
    if is_ == feature.wanted or feature.apply is None or not (is_ is None or repair):
        return None
    feature.apply()
    was = "" if is_ is None else f" (it was {_shown(is_)})"
    return f"set {feature.name} to {_shown(feature.wanted)}{was}"


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
